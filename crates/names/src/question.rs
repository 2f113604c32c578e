//! Header, question and EDNS record of a query, parsed by hand because every lookup passes here.

use std::fmt;

use crate::name::{self, Name};

/// Size of the fixed header, in bytes (RFC 1035, 4.1.1).
pub(crate) const HEADER: usize = 12;

/// Largest UDP message for a client that states no limit, in bytes (RFC 1035, 4.2.1).
pub(crate) const PLAIN_UDP: u16 = 512;

/// Type of an EDNS record (RFC 6891).
pub(crate) const OPT: u16 = 41;

/// Type of a record, by its number.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordType(pub u16);

/// Names of types; a type without one is written `TYPE123` (RFC 3597, 5).
const TYPES: [(u16, &str); 17] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (43, "DS"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
];

impl RecordType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// The name servers of a zone.
    pub const NS: Self = Self(2);
    /// An alias of another name.
    pub const CNAME: Self = Self(5);
    /// The name of an address, asked for by its reverse name.
    pub const PTR: Self = Self(12);
    /// The start of a zone, with the time for which absent names may be cached.
    pub const SOA: Self = Self(6);
    /// Text.
    pub const TXT: Self = Self(16);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);
    /// All types.
    pub const ANY: Self = Self(255);
    /// The host and port of a service.
    pub const SRV: Self = Self(33);

    /// Whether a question of this type asks for a whole zone.
    pub(crate) const fn is_transfer(self) -> bool {
        matches!(self.0, 251 | 252)
    }

    /// Whether records of this type belong to zones rather than hosts. A name without dots is then a top-level domain.
    pub(crate) const fn is_about_zones(self) -> bool {
        matches!(self.0, 2 | 6 | 43 | 48)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl fmt::Debug for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Question of a DNS query.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// The name, in lower case.
    pub name: Name,
    /// The type of record.
    pub kind: RecordType,
    /// The class; nearly always 1, the Internet.
    pub class: u16,
}

impl Question {
    /// Makes a question of class 1, the Internet.
    #[must_use]
    pub const fn new(name: Name, kind: RecordType) -> Self {
        Self { name, kind, class: 1 }
    }

    pub(crate) const fn is_internet(&self) -> bool {
        self.class == 1
    }
}

/// EDNS record of a query (RFC 6891).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Edns {
    /// The largest UDP message that the client takes, in bytes.
    pub(crate) size: u16,
    /// Whether the client wants DNSSEC signatures (RFC 3225).
    pub(crate) wants_signatures: bool,
}

/// Query, parsed as far as the resolver needs it. The rest stays in the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) id: [u8; 2],
    flags: [u8; 2],
    /// The name in wire form, in the letter case that the client sent.
    pub(crate) name: &'a [u8],
    kind: RecordType,
    class: u16,
    pub(crate) edns: Option<Edns>,
}

/// Reason why bytes are not a query that the resolver answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum QueryError {
    /// The header is incomplete, or the message is an answer. It gets no reply: two resolvers could answer each other
    /// for ever.
    NoQuery,
    /// The header is not followed by exactly one question.
    Garbled,
    /// The operation is not a query.
    NotImplemented,
}

impl<'a> Query<'a> {
    /// Parses header, question and EDNS record.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, QueryError> {
        let header: [u8; HEADER] = bytes.first_chunk().copied().ok_or(QueryError::NoQuery)?;
        let [id0, id1, flags0, flags1, counts @ ..] = header;
        if flags0 & 0x80 != 0 {
            return Err(QueryError::NoQuery);
        }
        if flags0 & 0x78 != 0 {
            return Err(QueryError::NotImplemented);
        }
        let [0, 1, 0, 0, 0, 0, 0, additional] = counts else {
            return Err(QueryError::Garbled);
        };
        let rest = &bytes[HEADER..];
        let length = name::wire_length(rest).map_err(|_| QueryError::Garbled)?;
        let (name, rest) = rest.split_at(length);
        let Some((&[kind0, kind1, class0, class1], rest)) = rest.split_first_chunk() else {
            return Err(QueryError::Garbled);
        };
        Ok(Self {
            id: [id0, id1],
            flags: [flags0, flags1],
            name,
            kind: RecordType(u16::from_be_bytes([kind0, kind1])),
            class: u16::from_be_bytes([class0, class1]),
            edns: if additional == 0 { None } else { find_edns(rest) },
        })
    }

    /// The question, with its name in lower case.
    pub(crate) fn question(&self) -> Option<Question> {
        let name = Name::from_wire(self.name).ok()?;
        Some(Question {
            name,
            kind: self.kind,
            class: self.class,
        })
    }

    /// The question section as it was sent: name, type and class.
    pub(crate) fn section(&self) -> Vec<u8> {
        [self.name, &self.kind.0.to_be_bytes(), &self.class.to_be_bytes()].concat()
    }

    pub(crate) const fn kind(&self) -> RecordType {
        self.kind
    }

    /// The largest UDP answer that the client takes, in bytes.
    pub(crate) fn udp_limit(&self) -> usize {
        self.edns
            .map_or(PLAIN_UDP, |edns| edns.size.max(PLAIN_UDP))
            .into()
    }

    /// The header bits that an answer depends on: recursion desired, authentic data, checking disabled.
    pub(crate) const fn wishes(&self) -> [u8; 2] {
        [self.flags[0] & 0x01, self.flags[1] & 0x30]
    }

    /// Writes the key of the query and returns the key's length. The key is the question in lower case and the wishes:
    /// queries with the same key get the same answer, apart from ID and letter case.
    pub(crate) fn key(&self, into: &mut [u8; KEY]) -> usize {
        let signatures = match self.edns {
            None => 0,
            Some(Edns {
                wants_signatures: false,
                ..
            }) => 1,
            Some(Edns {
                wants_signatures: true,
                ..
            }) => 2,
        };
        let [wishes0, wishes1] = self.wishes();
        let [kind0, kind1] = self.kind.0.to_be_bytes();
        let [class0, class1] = self.class.to_be_bytes();
        let tail = [kind0, kind1, class0, class1, wishes0 | wishes1 | signatures << 1];
        let length = self.name.len() + tail.len();
        let (name, rest) = into.split_at_mut(self.name.len());
        name.copy_from_slice(self.name);
        name.make_ascii_lowercase();
        rest[..tail.len()].copy_from_slice(&tail);
        length
    }
}

/// Size of the longest key, in bytes: name, type, class, wishes.
pub(crate) const KEY: usize = name::MAX_NAME + 5;

/// Returns the EDNS record if it is the first of the additional records, as it is unless the query is signed.
fn find_edns(additional: &[u8]) -> Option<Edns> {
    let (
        &[
            0,
            kind0,
            kind1,
            size0,
            size1,
            _rcode,
            _version,
            flags0,
            _flags1,
            _length0,
            _length1,
        ],
        _options,
    ) = additional.split_first_chunk()?
    else {
        return None;
    };
    (u16::from_be_bytes([kind0, kind1]) == OPT).then_some(Edns {
        size: u16::from_be_bytes([size0, size1]),
        wants_signatures: flags0 & 0x80 != 0,
    })
}
