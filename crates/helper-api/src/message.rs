//! Messages: the requests of a client and the replies of the helper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::dns_plan::{DnsMode, DnsPlan};
use crate::refusal::{DnsTrouble, HelperRefusal};
use crate::slot::Slot;
use crate::version::{Hello, Welcome};
use crate::{DnsSuffix, Route, TunnelCidr};

/// Most networks that one request may add, and most that it may remove: with it every request fits a frame.
pub const MAX_CHANGE: usize = 384;

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
    /// Where the session answers DNS inside the TUN.
    pub resolver: Ipv4Addr,
    /// The laptop's IPv6 address in the TUN, a `/126`; none where IPv6 is switched off.
    pub address6: Option<Ipv6Addr>,
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
}
