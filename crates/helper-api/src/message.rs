//! The words of the wire.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::plan::{DnsMode, DnsPlan, MAX_CHANGE, Plan};
use crate::refusal::{DnsTrouble, HelperRefusal};
use crate::{DnsSuffix, Route, TunnelCidr};

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which protocol the client speaks. The first word, and only the first.
    Hello(Hello),
    /// Make a TUN with these routes. Once per connection.
    Up(Up),
    /// Change the lease of this connection.
    Update(Change),
    /// End the lease of this connection. The connection stays and may ask for another.
    Down,
    /// What there is, and which way of finding names this laptop has. Asks nobody for permission.
    Status,
}

/// What the helper answers: to each request one reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To [`Request::Hello`].
    Welcome(Welcome),
    /// To [`Request::Up`], with the TUN's descriptor and those of [`DnsGranted::upstreams`], in that order.
    Up(Granted),
    /// To [`Request::Update`], with the descriptors of [`DnsGranted::upstreams`]; without DNS when the change kept it.
    Updated(Option<DnsGranted>),
    /// To [`Request::Down`].
    Down(Tally),
    /// To [`Request::Status`].
    Status(Status),
    /// To any request: nothing was changed, and why.
    Refused(HelperRefusal),
}

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Which language. Different epochs do not understand each other past [`Hello`], whose form never changes.
    pub epoch: u32,
    /// Which words of it. A helper understands the revisions up to its own.
    pub revision: u32,
}

impl Version {
    /// What this build speaks.
    pub const OURS: Self = Self {
        epoch: 3,
        revision: 1,
    };

    /// Whether a helper of this version can serve that client.
    #[must_use]
    pub fn serves(self, client: Self) -> bool {
        self.epoch == client.epoch && client.revision <= self.revision
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

/// The first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// See [`Version::epoch`].
    pub epoch: u32,
    /// See [`Version::revision`].
    pub revision: u32,
    /// Which build the client is, for people.
    pub build: Build,
}

/// The answer to the first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// What the helper speaks.
    pub version: Version,
    /// Which build the helper is, for people.
    pub build: Build,
}

/// The name of a build, for people: 1 to 64 printable ASCII characters, so that it may go into a log as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Build(String);

impl Build {
    /// This build.
    #[must_use]
    pub fn ours() -> Self {
        Self(env!("CARGO_PKG_VERSION").to_owned())
    }
}

impl TryFrom<String> for Build {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err("a build is 1 to 64 printable ASCII characters")
    }
}

impl From<Build> for String {
    fn from(build: Build) -> Self {
        build.0
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A request for a lease. More than [`MAX_CHANGE`] networks follow as [`Request::Update`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Up {
    /// Networks to route into the TUN; at most [`MAX_CHANGE`].
    pub routes: Vec<Route>,
    /// How names are to be found.
    pub dns: Option<DnsPlan>,
    /// The slot to take if it is free: the one of a lease that a restarted helper lost.
    pub prefer: Option<Slot>,
}

impl Up {
    /// The request for a plan, and the updates that complete it.
    #[must_use]
    pub fn from_plan(plan: &Plan, prefer: Option<Slot>) -> (Self, Vec<Change>) {
        let all: Vec<_> = plan.routes().iter().collect();
        let (first, rest) = all.split_at(all.len().min(MAX_CHANGE));
        let rest = rest
            .chunks(MAX_CHANGE)
            .map(|part| Change {
                add: part.to_vec(),
                remove: Vec::new(),
                dns: DnsChange::Keep,
            })
            .collect();
        (
            Self {
                routes: first.to_vec(),
                dns: plan.dns().cloned(),
                prefer,
            },
            rest,
        )
    }
}

/// A change of a lease. Removals come before additions; all of it happens or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Networks to add; at most [`MAX_CHANGE`]. One that is there already is no error.
    pub add: Vec<Route>,
    /// Networks to remove; at most [`MAX_CHANGE`]. One that is not there is no error.
    pub remove: Vec<TunnelCidr>,
    /// What happens to names.
    pub dns: DnsChange,
}

/// What a change does to names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DnsChange {
    /// Nothing.
    Keep,
    /// The laptop finds names as it did before the lease.
    Off,
    /// This plan, with the laptop's name servers read again and fresh sockets to them: also what to say after the laptop
    /// has moved to another network.
    Set(DnsPlan),
}

/// Which of the leases on this laptop one is. It decides the lease's addresses and in which order the tables of several
/// leases see a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Slot(u8);

impl Slot {
    /// How many there are. The tables of slot k hook at priority -100-k, and the kernel does address translation only
    /// above connection tracking's -200.
    pub const COUNT: u8 = 64;

    /// The number, below [`Slot::COUNT`].
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// All of them, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl TryFrom<u8> for Slot {
    type Error = Unslotted;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number < Self::COUNT {
            Ok(Self(number))
        } else {
            Err(Unslotted { number })
        }
    }
}

impl From<Slot> for u8 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that is no slot's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no slot {number}: they end before {}", Slot::COUNT)]
pub struct Unslotted {
    /// The number.
    pub number: u8,
}

/// A lease as it was granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// The lease's slot.
    pub slot: Slot,
    /// The TUN's name, for people and logs.
    pub tun_name: String,
    /// The laptop's address in the TUN.
    pub address: Ipv4Addr,
    /// Prefix length of `address`: the resolver's is in the same network.
    pub prefix: u8,
    /// Where the session answers DNS inside the TUN.
    pub resolver: Ipv4Addr,
    /// The laptop's IPv6 address in the TUN, a `/126`; none where IPv6 is switched off.
    pub address6: Option<Ipv6Addr>,
    /// The TUN's MTU in bytes.
    pub mtu: u16,
    /// How names are found, if the plan spoke of names.
    pub dns: Option<DnsGranted>,
}

/// How names are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsGranted {
    /// The way that was taken.
    pub mode: DnsMode,
    /// What the laptop's own `resolv.conf` puts behind short names: the session strips it before it expands a name.
    pub laptop_search: Vec<DnsSuffix>,
    /// How many dots a name has that programs ask for as it is first, before they try the search list behind it.
    pub laptop_ndots: u8,
    /// One entry for each descriptor that rides with the reply: first those for UDP, then those for TCP.
    pub upstreams: Vec<UpstreamName>,
}

/// What a socket to one of the laptop's own name servers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamName {
    /// The name server.
    pub server: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
}

/// What a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Connected to the server.
    Udp,
    /// Not connected: for an answer that did not fit UDP. Good for one connection.
    Tcp,
}

/// What a lease had when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Routes removed.
    pub routes: usize,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// This connection's lease.
    pub lease: Option<Leased>,
    /// How many leases the asking user has, this one included.
    pub yours: usize,
    /// How many there are on this laptop.
    pub all: usize,
    /// The way of finding names that [`crate::DnsModeChoice::Auto`] would take, or why there is none.
    pub names: Result<DnsMode, DnsTrouble>,
    /// The laptop's own name servers.
    pub name_servers: Vec<IpAddr>,
}

/// A lease, as [`Status`] tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    /// Its slot.
    pub slot: Slot,
    /// The TUN's name.
    pub tun_name: String,
    /// How many networks are routed.
    pub routes: usize,
    /// How names are found.
    pub mode: Option<DnsMode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_five_words() {
        // A sixth word widens what an unprivileged user can have done: it belongs in the threat model first.
        let word = |request: Request| match request {
            Request::Hello(_) => 1,
            Request::Up(_) => 2,
            Request::Update(_) => 3,
            Request::Down => 4,
            Request::Status => 5,
        };
        assert_eq!(word(Request::Status), 5);
    }

    #[test]
    fn unknown_words_and_fields_are_refused() {
        for text in [
            r#"{"exec":"/bin/sh"}"#,
            r#"{"up":{"routes":[],"dns":null,"prefer":null,"table":52}}"#,
            r#"{"up":{"routes":[],"dns":null,"prefer":null},"down":null}"#,
            r#"{"up":{"routes":[{"net":"0.0.0.0/0","origin":"user"}],"dns":null,"prefer":null}}"#,
            r#"{"up":{"routes":[],"dns":null,"prefer":64}}"#,
            r#"{"up":{"routes":[{"net":"10.0.0.0/16","origin":"root"}],"dns":null,"prefer":null}}"#,
            r#"{"hello":{"epoch":1,"revision":1,"build":"two\nlines"}}"#,
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
        assert_eq!(
            serde_json::from_str::<Request>("\"status\"").expect("a word"),
            Request::Status
        );
    }

    #[test]
    fn a_helper_serves_clients_up_to_its_own_revision() {
        let ours = Version {
            epoch: 3,
            revision: 5,
        };
        assert!(ours.serves(Version {
            epoch: 3,
            revision: 5
        }));
        assert!(ours.serves(Version {
            epoch: 3,
            revision: 1
        }));
        assert!(!ours.serves(Version {
            epoch: 3,
            revision: 6
        }));
        assert!(!ours.serves(Version {
            epoch: 1,
            revision: 5
        }));
        assert!(!ours.serves(Version {
            epoch: 4,
            revision: 5
        }));
    }
}
