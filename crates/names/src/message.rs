//! Answers as raw bytes: reading, patching and writing them.
//!
//! An answer keeps the bytes in which it came. They are walked once, to find the TTLs and addresses that can be patched
//! in place, and the outcome. Only an answer that gets another owner name, or loses records, is parsed and written
//! anew, because names in it point into each other.
//!
//! That parser is `hickory-proto`, which allocates each record; one core serves three million cached answers a second
//! because the usual answer does not pass through it. The crate `domain` parses in place, but would not write the few
//! answers that change shorter than this, and brings more crates.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::Name as HickoryName;
use hickory_proto::serialize::binary::BinDecodable;
use slipway_control_api::NameOutcome;

pub(crate) use self::walk::{answers, is_truncated, rcode};
pub(crate) use self::write::{address, cut, empty, in_place_of, query, rename, unreadable};
use crate::asks::AskError;
use crate::name::Name;
use crate::question::{HEADER, Query};

mod walk;
mod write;

/// Longest time for which a found name may be cached, here and by programs.
pub(crate) const FOUND_FOR: Duration = Duration::from_secs(5);

/// Longest time for which a name may be cached as absent: a new service has to be found soon after it was made.
pub(crate) const ABSENT_FOR: Duration = Duration::from_secs(2);

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

/// Answer, and the places of its addresses and TTLs.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) outcome: NameOutcome,
    /// The name at the end of the aliases (CNAME) of the question's name; `None` if it is not an alias.
    pub(crate) alias_of: Option<Name>,
    /// The addresses of the question's name, or of `alias_of`.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether any section has addresses of other names.
    pub(crate) has_other_addresses: bool,
    /// The offsets of `addresses`, in the same order.
    places: Vec<usize>,
    /// The offsets of all TTLs.
    ttls: Vec<usize>,
}

impl Answer {
    /// Reads an answer to `query`.
    ///
    /// # Errors
    /// [`AskError::Garbled`] if it answers another question, or its records do not add up.
    pub(crate) fn read(bytes: Vec<u8>, query: &Query<'_>) -> Result<Self, AskError> {
        walk::walk(&bytes, query)
            .map(|walked| Self { bytes, ..walked })
            .ok_or(AskError::Garbled)
    }

    /// Shortens all TTLs to the time for which a cluster answer may be cached, and returns the time for this one.
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

    /// Whether all addresses in the answer belong to its name and are in `keep`.
    pub(crate) fn has_only(&self, keep: &[IpAddr]) -> bool {
        !self.has_other_addresses && self.addresses.iter().all(|address| keep.contains(address))
    }

    /// Returns this answer without the addresses that are not in `keep` or belong to other names.
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
        // Rewriting does not keep the letter case.
        address_to(query, &mut bytes);
        Self::read(bytes, query)
    }

    /// Replaces addresses in place. A replacement of the other family is ignored.
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

    /// Writes the answer for `query`, which has the same key, with TTLs reduced by `age`.
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
            // An expired answer gets 1 s: RFC 8767 suggests 30 s, but a session is reconnected within seconds.
            *field = seconds(Duration::from_secs(left.max(1)));
        }
    }
}

fn seconds(ttl: Duration) -> [u8; 4] {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Gives an answer the ID and the letter case of `query`, whose question it has.
pub(crate) fn address_to(query: &Query<'_>, answer: &mut [u8]) {
    if let Some(id) = answer.first_chunk_mut() {
        *id = query.id;
    }
    if let Some(name) = answer.get_mut(HEADER..HEADER + query.name.len()) {
        name.copy_from_slice(query.name);
    }
}

#[cfg(test)]
mod tests;
