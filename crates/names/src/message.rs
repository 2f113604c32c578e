//! Answers: reading them, giving them another owner name, making our own.
//!
//! Answers stay the bytes that came. They are walked once to find what may be patched in place (TTLs) and what must be
//! known (addresses, outcome); only one that gets another owner name is taken apart, since names point into each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bytes::Bytes;
use hickory_proto::op::Message;
use hickory_proto::rr::Name as HickoryName;
use hickory_proto::serialize::binary::BinDecodable;
use slipway_control_api::NameOutcome;

use crate::asks::AskError;
use crate::name::{MAX_NAME, Name};
use crate::question::{HEADER, OPT, Query, RecordType};

/// The longest that a found name may be remembered, by us and by those we tell it to.
pub(crate) const FOUND_FOR: Duration = Duration::from_secs(5);

/// The longest that a name may be remembered as absent: a service is there soon after it was made.
pub(crate) const ABSENT_FOR: Duration = Duration::from_secs(2);

/// The most aliases (CNAME) that one name may go through. Resolvers follow some ten.
const MOST_ALIASES: usize = 16;

/// What we can take in a datagram, told in EDNS: fits every path without fragments (DNS flag day 2020).
const OUR_UDP: u16 = 1232;

/// Response codes (RFC 1035, 4.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rcode {
    NoError,
    FormErr,
    ServFail,
    NxDomain,
    NotImp,
    Refused,
}

impl Rcode {
    const fn bits(self) -> u8 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
        }
    }
}

/// An answer whose records have been walked.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) outcome: NameOutcome,
    /// The name that the question's name is an alias (CNAME) of, where it is one.
    pub(crate) alias_of: Option<Name>,
    /// The addresses of the question's name, or of the name that it is an alias of.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether there are addresses of other names in it, of any section.
    pub(crate) has_other_addresses: bool,
    /// Where they are, in the same order.
    places: Vec<usize>,
    /// Where the TTLs are.
    ttls: Vec<usize>,
}

impl Answer {
    /// Walks an answer to `query`.
    pub(crate) fn read(bytes: Vec<u8>, query: &Query<'_>) -> Result<Self, AskError> {
        walk(&bytes, query)
            .map(|walked| Self { bytes, ..walked })
            .ok_or(AskError::Garbled)
    }

    /// Shortens TTLs to what a cluster answer may be remembered, and says how long this one may be.
    pub(crate) fn limit_ttls(&mut self) -> Duration {
        let limit = if self.outcome == NameOutcome::Found {
            FOUND_FOR
        } else {
            ABSENT_FOR
        };
        let mut shortest = limit;
        for at in &self.ttls {
            let Some(field) = self.bytes.get_mut(*at..).and_then(|rest| rest.first_chunk_mut()) else {
                continue;
            };
            let ttl = Duration::from_secs(u32::from_be_bytes(*field).into()).min(limit);
            *field = seconds(ttl);
            shortest = shortest.min(ttl);
        }
        shortest
    }

    /// Whether there are no addresses in it but those of its name that `keep` holds.
    pub(crate) fn has_only(&self, keep: &[IpAddr]) -> bool {
        !self.has_other_addresses && self.addresses.iter().all(|address| keep.contains(address))
    }

    /// This answer with the addresses of its name that `keep` holds, and no others.
    pub(crate) fn with_addresses(&self, query: &Query<'_>, keep: &[IpAddr]) -> Result<Self, AskError> {
        let owner = self.alias_of.as_ref().map_or(query.name, Name::wire);
        let rewritten = || {
            let owner = HickoryName::from_bytes(owner).ok()?;
            let mut message = Message::from_vec(&self.bytes).ok()?;
            message.answers.retain(|record| {
                let address = record.data.ip_addr();
                address.is_none_or(|address| record.name == owner && keep.contains(&address))
            });
            message
                .authorities
                .retain(|record| record.data.ip_addr().is_none());
            message
                .additionals
                .retain(|record| record.data.ip_addr().is_none());
            message.to_vec().ok()
        };
        let mut bytes = rewritten().ok_or(AskError::Garbled)?;
        // What rewrites it does not keep the case of letters.
        address_to(query, &mut bytes);
        Self::read(bytes, query)
    }

    /// Puts other addresses of the same family in their places.
    pub(crate) fn replace_addresses(&mut self, replace: impl Fn(IpAddr) -> IpAddr) {
        for (address, at) in self.addresses.iter_mut().zip(&self.places) {
            let rest = self.bytes.get_mut(*at..).unwrap_or_default();
            match (*address, replace(*address)) {
                (IpAddr::V4(_), IpAddr::V4(other)) => {
                    let Some(field) = rest.first_chunk_mut() else {
                        continue;
                    };
                    *field = other.octets();
                    *address = other.into();
                }
                (IpAddr::V6(_), IpAddr::V6(other)) => {
                    let Some(field) = rest.first_chunk_mut() else {
                        continue;
                    };
                    *field = other.octets();
                    *address = other.into();
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
            }
        }
    }

    /// Writes the answer for `query`, which has the same key, `age` after it was limited.
    pub(crate) fn write(&self, query: &Query<'_>, age: Duration, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        address_to(query, out);
        let age = age.as_secs();
        if age == 0 {
            return;
        }
        for at in &self.ttls {
            let Some(field) = out.get_mut(*at..).and_then(|rest| rest.first_chunk_mut()) else {
                continue;
            };
            let left = u64::from(u32::from_be_bytes(*field)).saturating_sub(age);
            // A stale answer is good for this once (RFC 8767 has 30 s, but our clusters are back within seconds).
            *field = seconds(Duration::from_secs(left.max(1)));
        }
    }
}

fn seconds(ttl: Duration) -> [u8; 4] {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Gives an answer the ID and the letter case of `query`, whose question it carries.
pub(crate) fn address_to(query: &Query<'_>, answer: &mut [u8]) {
    if let Some(id) = answer.first_chunk_mut() {
        *id = query.id;
    }
    if let Some(name) = answer.get_mut(HEADER..HEADER + query.name.len()) {
        name.copy_from_slice(query.name);
    }
}

/// Whether `answer` answers the one question of `query`, whatever its ID.
pub(crate) fn answers(answer: &[u8], query: &Query<'_>) -> bool {
    let Some((header, rest)) = answer.split_first_chunk::<HEADER>() else {
        return false;
    };
    let section = query.section();
    header[2] & 0xf8 == 0x80
        && header[4..6] == [0, 1]
        && rest
            .get(..section.len())
            .is_some_and(|echoed| echoed.eq_ignore_ascii_case(&section))
}

/// Whether a server cut its answer short.
pub(crate) fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// The response code in an answer's header.
pub(crate) fn rcode(answer: &[u8]) -> Option<u8> {
    answer.get(3).map(|flags| flags & 0x0f)
}

/// Walks the records of an answer; `None` when they do not add up. The bytes are left to the caller.
fn walk(bytes: &[u8], query: &Query<'_>) -> Option<Answer> {
    if !answers(bytes, query) {
        return None;
    }
    let count = |at: usize| {
        Some(usize::from(u16::from_be_bytes([
            *bytes.get(at)?,
            *bytes.get(at + 1)?,
        ])))
    };
    let in_answer = count(6)?;
    let all = in_answer + count(8)? + count(10)?;
    let mut at = HEADER + query.name.len() + 4;
    let (mut aliases, mut addresses) = (Vec::new(), Vec::new());
    let mut has_other_addresses = false;
    let mut ttls = Vec::new();
    let mut found = false;
    for index in 0..all {
        let owner = at;
        at = skip_name(bytes, at)?;
        let fixed: &[u8; 10] = bytes.get(at..)?.first_chunk()?;
        let kind = RecordType(u16::from_be_bytes([fixed[0], fixed[1]]));
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let data = bytes.get(at + 10..at + 10 + length)?;
        if kind.0 != OPT {
            ttls.push(at + 4);
        }
        let address: Option<IpAddr> = match (kind, data.len()) {
            (RecordType::A, 4) => Some(Ipv4Addr::from(*data.first_chunk()?).into()),
            (RecordType::AAAA, 16) => Some(Ipv6Addr::from(*data.first_chunk()?).into()),
            _other => None,
        };
        match address {
            Some(address) if index < in_answer => addresses.push((owner, address, at + 10)),
            Some(_) => has_other_addresses = true,
            None if kind == RecordType::CNAME && index < in_answer => aliases.push((owner, at + 10)),
            None => {}
        }
        found |= index < in_answer && (kind == query.kind() || query.kind() == RecordType::ANY);
        at += 10 + length;
    }
    let asked = Name::from_wire(query.name).ok()?;
    let end = end_of_aliases(bytes, &asked, &aliases);
    let all_of_them = addresses.len();
    addresses.retain(|(owner, _, _)| end.is_some() && name_at(bytes, *owner) == end);
    let outcome = match rcode(bytes)? {
        0 if found => NameOutcome::Found,
        0 => NameOutcome::NoData,
        3 => NameOutcome::NotFound,
        _failure => NameOutcome::Failed,
    };
    Some(Answer {
        bytes: Vec::new(),
        outcome,
        alias_of: end.filter(|end| *end != asked),
        has_other_addresses: has_other_addresses || addresses.len() < all_of_them,
        addresses: addresses.iter().map(|(_, address, _)| *address).collect(),
        places: addresses.iter().map(|(_, _, place)| *place).collect(),
        ttls,
    })
}

/// The name that `name` is an alias of in the end; `None` where that cannot be read or is too far away.
fn end_of_aliases(bytes: &[u8], name: &Name, aliases: &[(usize, usize)]) -> Option<Name> {
    let mut end = name.clone();
    for _ in 0..=MOST_ALIASES {
        let next = aliases
            .iter()
            .find(|(owner, _)| name_at(bytes, *owner).as_ref() == Some(&end));
        let Some((_, target)) = next else { return Some(end) };
        end = name_at(bytes, *target)?;
    }
    None
}

/// Reads the name at `at`, pointers followed (RFC 1035 section 4.1.4). A pointer leads backwards, so this ends.
fn name_at(bytes: &[u8], mut at: usize) -> Option<Name> {
    let mut wire = Vec::new();
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => {
                wire.push(0);
                return Name::from_wire(&wire).ok();
            }
            1..=63 => {
                let next = at + 1 + usize::from(length);
                wire.extend_from_slice(bytes.get(at..next)?);
                at = next;
            }
            0xc0..=0xff => {
                let target = usize::from(u16::from_be_bytes([length & 0x3f, *bytes.get(at + 1)?]));
                if target >= at {
                    return None;
                }
                at = target;
            }
            _reserved => return None,
        }
        if wire.len() > MAX_NAME {
            return None;
        }
    }
}

/// Where the name at `at`, which may end in a pointer, is over.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + length,
            0xc0..=0xff => return Some(at + 2),
            _reserved => return None,
        }
    }
}

/// The question for `candidate` in place of the one asked, with the asker's wishes.
///
/// EDNS options stay behind: they are between two neighbors on the way (cookies, padding, keep-alive), and the answer is
/// shared by all who ask the same.
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

/// Writes our EDNS record if the query has one (RFC 6891, 6.1.1: never unasked).
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

/// Gives the answer about `candidate` the owner name that `query` asked for: without a CNAME between them, so that no
/// program sees a name other than the one it knows.
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

/// An answer of our own without records.
pub(crate) fn empty(query: &Query<'_>, rcode: Rcode) -> Vec<u8> {
    let [wishes0, wishes1] = query.wishes();
    let additional = u8::from(query.edns.is_some());
    let mut bytes = Vec::with_capacity(HEADER + query.name.len() + 15);
    bytes.extend(query.id);
    // An answer; recursion was available; "authentic data" is not ours to say.
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

/// An answer of our own with one address, not to be remembered.
pub(crate) fn address(query: &Query<'_>, address: Ipv4Addr) -> Vec<u8> {
    let mut bytes = empty(query, Rcode::NoError);
    let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &address.octets()].concat();
    let at = HEADER + query.name.len() + 4;
    bytes.splice(at..at, record);
    bytes[7] = 1;
    bytes
}

/// The answer to a query that cannot be read: its ID and the reason.
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

/// Cuts an answer to what a datagram can carry: the answer records that fit, and a mark that makes the client ask over
/// TCP. A client without TCP, such as musl before 1.2.4, makes do with them.
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

/// How many records of the answer section, which begins at `start`, end before `limit`, and where.
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

/// A query of our own, as for an explanation.
pub(crate) fn query(name: &Name, kind: RecordType) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(name.wire());
    bytes.extend(kind.0.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEB: &[u8] = b"\x03wEb\0";

    fn asked(name: &[u8], edns: bool) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        bytes.extend_from_slice(name);
        bytes.extend([0, 1, 0, 1]);
        if edns {
            bytes.extend([0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
        }
        bytes
    }

    #[test]
    fn a_renamed_answer_carries_the_programs_name_in_its_own_case() {
        let bytes = asked(WEB, false);
        let query = Query::parse(&bytes).unwrap();
        let full: Name = "web.shop.svc.cluster.local".parse().unwrap();
        let asked_for = in_place_of(&query, &full);
        let theirs = address(&Query::parse(&asked_for).unwrap(), Ipv4Addr::new(10, 96, 0, 7));
        let mut renamed = rename(&theirs, &full, &query).unwrap();
        address_to(&query, &mut renamed);
        assert_eq!(renamed, address(&query, Ipv4Addr::new(10, 96, 0, 7)));
    }

    #[test]
    fn edns_is_answered_if_and_only_if_it_was_asked() {
        for edns in [false, true] {
            let bytes = asked(WEB, edns);
            let query = Query::parse(&bytes).unwrap();
            let message = Message::from_vec(&empty(&query, Rcode::NxDomain)).unwrap();
            assert_eq!(message.edns.is_some(), edns);
            let onward = Message::from_vec(&in_place_of(&query, &"a.b".parse().unwrap())).unwrap();
            assert_eq!(
                onward.edns.map(|edns| edns.flags().dnssec_ok),
                edns.then_some(true)
            );
        }
    }

    #[test]
    fn ttls_are_limited_count_down_and_never_reach_nothing() {
        let bytes = asked(WEB, false);
        let query = Query::parse(&bytes).unwrap();
        let mut theirs = address(&query, Ipv4Addr::LOCALHOST);
        let ttl = theirs.len() - 10;
        theirs[ttl..ttl + 4].copy_from_slice(&3600_u32.to_be_bytes());
        let mut answer = Answer::read(theirs, &query).unwrap();
        assert_eq!(answer.limit_ttls(), FOUND_FOR);
        let mut out = Vec::new();
        for (age, left) in [(0, 5), (3, 2), (12, 1)] {
            answer.write(&query, Duration::from_secs(age), &mut out);
            assert_eq!(out[ttl..ttl + 4], [0, 0, 0, left]);
        }
    }

    #[test]
    fn an_answer_to_another_question_is_refused() {
        let (web, db) = (asked(WEB, false), asked(b"\x02db\0", false));
        let answer = empty(&Query::parse(&db).unwrap(), Rcode::NoError);
        assert!(Answer::read(answer.clone(), &Query::parse(&db).unwrap()).is_ok());
        assert_eq!(
            Answer::read(answer, &Query::parse(&web).unwrap()).err(),
            Some(AskError::Garbled)
        );
    }

    #[test]
    fn a_cut_answer_holds_what_fits_with_edns_behind_it() {
        for edns in [false, true] {
            let mut bytes = asked(WEB, edns);
            if edns {
                let size = bytes.len() - 8;
                bytes[size..size + 2].copy_from_slice(&600_u16.to_be_bytes());
            }
            let query = Query::parse(&bytes).unwrap();
            let mut long = empty(&query, Rcode::NoError);
            long[7] = 40;
            let at = HEADER + query.name.len() + 4;
            long.splice(
                at..at,
                (0..40).flat_map(|last| [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 1, 1, last]),
            );
            let short = cut(&query, &long);
            let limit = query.udp_limit();
            assert!(
                short.len() <= limit && short.len() + 16 > limit,
                "{} of {limit}",
                short.len()
            );
            let message = Message::from_vec(&short).unwrap();
            assert_eq!(
                (message.edns.is_some(), message.metadata.truncation),
                (edns, true)
            );
            assert_eq!(
                message.answers.len(),
                (limit - empty(&query, Rcode::NoError).len()) / 16
            );
        }
    }

    #[test]
    fn a_cut_answer_keeps_id_question_and_code_and_says_so() {
        let bytes = asked(WEB, true);
        let query = Query::parse(&bytes).unwrap();
        let short = cut(&query, &empty(&query, Rcode::NxDomain));
        assert!(is_truncated(&short) && answers(&short, &query));
        assert_eq!((rcode(&short), &short[..2]), (Some(3), &bytes[..2]));
    }

    proptest! {
        #[test]
        fn any_bytes_after_the_question_are_read_or_refused(rest in proptest::collection::vec(any::<u8>(), 0..80), counts: [u8; 3]) {
            let bytes = asked(WEB, false);
            let query = Query::parse(&bytes).unwrap();
            let mut theirs = empty(&query, Rcode::NoError);
            for (at, count) in [7, 9, 11].into_iter().zip(counts) {
                theirs[at] = count % 4;
            }
            theirs.extend(rest);
            if let Ok(mut answer) = Answer::read(theirs.clone(), &query) {
                answer.limit_ttls();
                let mut out = Vec::new();
                answer.write(&query, Duration::from_secs(1), &mut out);
                prop_assert!(answers(&out, &query));
            }
            prop_assert!(answers(&cut(&query, &theirs), &query));
            let _ = rename(&theirs, &"a.b".parse().unwrap(), &query);
        }
    }
}
