//! Messages that the resolver writes: queries, empty answers, one address, and answers that are renamed or cut.

use std::net::Ipv4Addr;

use bytes::Bytes;
use hickory_proto::op::Message;
use hickory_proto::rr::Name as HickoryName;
use hickory_proto::serialize::binary::BinDecodable;

use super::Rcode;
use super::walk::skip_name;
use crate::asks::AskError;
use crate::name::Name;
use crate::question::{HEADER, OPT, Query, RecordType};

/// Largest datagram that the resolver takes, stated in EDNS, in bytes: fits every path without fragments (DNS flag day
/// 2020).
const OUR_UDP: u16 = 1232;

/// Writes a query for `candidate` with the type, class and wishes of `query`.
///
/// EDNS options are not copied: they concern one hop (cookies, padding, keep-alive), and the answer is shared by all
/// programs that ask the same.
pub(crate) fn in_place_of(query: &Query<'_>, candidate: &Name) -> Bytes {
    let [wishes0, wishes1] = query.wishes();
    let mut bytes = Vec::with_capacity(HEADER + candidate.wire().len() + 15);
    let additional = u8::from(query.edns.is_some());
    bytes.extend([0, 0, wishes0, wishes1, 0, 1, 0, 0, 0, 0, 0, additional]);
    bytes.extend_from_slice(candidate.wire());
    bytes.extend_from_slice(&query.section()[query.name.len()..]);
    push_edns(query, &mut bytes);
    bytes.into()
}

/// Appends an EDNS record if the query has one (RFC 6891, 6.1.1).
fn push_edns(query: &Query<'_>, bytes: &mut Vec<u8>) {
    let Some(edns) = query.edns else { return };
    let [size0, size1] = OUR_UDP.to_be_bytes();
    let [kind0, kind1] = OPT.to_be_bytes();
    bytes.extend([
        0,
        kind0,
        kind1,
        size0,
        size1,
        0,
        0,
        u8::from(edns.wants_signatures) << 7,
        0,
        0,
        0,
    ]);
}

/// Gives the answer about `candidate` the owner name that `query` asked for. There is no CNAME between them, so that
/// programs see only the name that they asked for.
pub(crate) fn rename(answer: &[u8], candidate: &Name, query: &Query<'_>) -> Result<Vec<u8>, AskError> {
    let renamed = || {
        let from = HickoryName::from_bytes(candidate.wire()).ok()?;
        let to = HickoryName::from_bytes(query.name).ok()?;
        let mut message = Message::from_vec(answer).ok()?;
        for question in &mut message.queries {
            question.name = to.clone();
        }
        let sections = [
            &mut message.answers,
            &mut message.authorities,
            &mut message.additionals,
        ];
        for record in sections
            .into_iter()
            .flatten()
            .filter(|record| record.name == from)
        {
            record.name = to.clone();
        }
        message.to_vec().ok()
    };
    renamed().ok_or(AskError::Garbled)
}

/// Writes an answer without records.
pub(crate) fn empty(query: &Query<'_>, rcode: Rcode) -> Vec<u8> {
    let [wishes0, wishes1] = query.wishes();
    let additional = u8::from(query.edns.is_some());
    let mut bytes = Vec::with_capacity(HEADER + query.name.len() + 15);
    bytes.extend(query.id);
    // QR and RA are set; AD is not, because nothing was validated here.
    bytes.extend([
        0x80 | wishes0,
        0x80 | wishes1 & 0x10 | rcode.bits(),
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        additional,
    ]);
    bytes.extend(query.section());
    push_edns(query, &mut bytes);
    bytes
}

/// Writes an answer with one address and a TTL of 0.
pub(crate) fn address(query: &Query<'_>, address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = empty(query, Rcode::NoError);
    let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &address.octets()].concat();
    let at = HEADER + query.name.len() + 4;
    bytes.splice(at..at, record);
    bytes[7] = 1;
    bytes
}

/// Writes the answer to a query that cannot be read: its ID and the reason.
pub(crate) fn unreadable(query: &[u8], rcode: Rcode) -> Vec<u8> {
    let &[id0, id1, flags, ..] = query else {
        return Vec::new();
    };
    vec![
        id0,
        id1,
        0x80 | flags & 0x79,
        0x80 | rcode.bits(),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]
}

/// Cuts an answer to the client's UDP limit: it keeps the answer records that fit and marks the answer as truncated, so
/// that the client asks over TCP. A client without TCP, such as musl before 1.2.4, uses the records that it got.
pub(crate) fn cut(query: &Query<'_>, answer: &[u8]) -> Vec<u8> {
    let mut short = empty(query, Rcode::NoError);
    let at = HEADER + query.name.len() + 4;
    let (kept, end) = records_within(answer, at, query.udp_limit().saturating_sub(short.len() - at));
    if let (Some(records), [_, _, flags0, flags1, ..]) = (answer.get(at..end), answer) {
        short.splice(at..at, records.iter().copied());
        short[2..4].copy_from_slice(&[flags0 | 0x02, *flags1]);
        short[6..8].copy_from_slice(&kept.to_be_bytes());
    }
    short
}

/// Counts the records of the answer section, from `start`, that end before `limit`; returns the count and their end.
fn records_within(answer: &[u8], start: usize, limit: usize) -> (u16, usize) {
    let all = answer
        .get(6..8)
        .and_then(|count| count.first_chunk())
        .map_or(0, |count| u16::from_be_bytes(*count));
    let (mut kept, mut end) = (0, start);
    while kept < all {
        let Some(next) = skip_name(answer, end).and_then(|at| {
            let &[length0, length1] = answer.get(at + 8..)?.first_chunk()?;
            Some(at + 10 + usize::from(u16::from_be_bytes([length0, length1])))
        }) else {
            break;
        };
        if next > limit || next > answer.len() {
            break;
        }
        kept += 1;
        end = next;
    }
    (kept, end)
}

/// Writes a query of class 1 without EDNS, for example for an explanation.
pub(crate) fn query(name: &Name, kind: RecordType) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(name.wire());
    bytes.extend(kind.0.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}
