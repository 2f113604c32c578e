//! Walk through the bytes of an answer: its question, names, addresses and TTLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use slipway_control_api::NameOutcome;

use super::Answer;
use crate::name::{MAX_NAME, Name};
use crate::question::{HEADER, OPT, Query, RecordType};

/// Bound of aliases (CNAME) that are followed for one name. Other resolvers follow about ten.
const MOST_ALIASES: usize = 16;

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

/// Whether an answer is marked as truncated.
pub(crate) fn is_truncated(answer: &[u8]) -> bool {
    answer.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// Returns the response code in an answer's header.
pub(crate) fn rcode(answer: &[u8]) -> Option<u8> {
    answer.get(3).map(|flags| flags & 0x0f)
}

/// Walks the records of an answer to `query`; `None` if it answers another question, or its records do not add up. The
/// result has no bytes: the caller adds them.
pub(super) fn walk(bytes: &[u8], query: &Query<'_>) -> Option<Answer> {
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
            _ => None,
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
        _ => NameOutcome::Failed,
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

/// Returns the name at the end of the aliases of `name`, or `name` itself; `None` if one cannot be read or they are too
/// many.
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

/// Reads the name at `at` and follows pointers (RFC 1035, 4.1.4). A pointer must lead backwards, so this ends.
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
            // Reserved label types.
            _ => return None,
        }
        if wire.len() > MAX_NAME {
            return None;
        }
    }
}

/// Returns the offset after the name at `at`, which may end in a pointer.
pub(super) fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + length,
            0xc0..=0xff => return Some(at + 2),
            // Reserved label types.
            _ => return None,
        }
    }
}
