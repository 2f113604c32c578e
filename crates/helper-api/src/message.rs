//! Messages: requests of a client and replies of the helper.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::dns_plan::{DnsMode, DnsPlan};
use crate::refusal::{Conflict, DnsTrouble, HelperRefusal};
use crate::slot::Slot;
use crate::version::{Hello, Welcome};
use crate::{DnsSuffix, Route, TunnelCidr};

/// Maximum number of networks that one request may add, and that it may remove. It makes every request fit a frame.
pub const MAX_CHANGE: usize = 384;

/// Request of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Tells the client's protocol version. It must be the first message, and no later one.
    Hello(Hello),
    /// Asks for a lease. A connection has at most one at a time.
    Up(Up),
    /// Changes the lease of this connection.
    Update(Change),
    /// Ends the lease of this connection. The connection stays and may ask for another one.
    Down,
    /// Asks for the leases, DNS mode and name servers of this laptop. Needs no permission.
    Status,
}

/// Reply of the helper. Each request gets one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// To [`Request::Hello`].
    Welcome(Welcome),
    /// To [`Request::Up`], with the TUN's descriptor and those of [`DnsGranted::upstreams`], in that order.
    Up(Granted),
    /// To [`Request::Update`], with the descriptors of [`DnsGranted::upstreams`].
    Updated(Updated),
    /// To [`Request::Down`].
    Down(Tally),
    /// To [`Request::Status`].
    Status(Status),
    /// To any request: the helper refused it, and it changed nothing.
    Refused(HelperRefusal),
}

/// A request for a lease. More than [`MAX_CHANGE`] networks follow as [`Request::Update`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Up {
    /// Networks to route into the TUN; at most [`MAX_CHANGE`].
    pub routes: Vec<Route>,
    /// DNS plan; without one DNS stays as it is.
    pub dns: Option<DnsPlan>,
    /// Slot to take if it is free, for a lease that a restarted helper lost.
    pub prefer: Option<Slot>,
}

/// Change of a lease. It is applied completely or not at all. A network that is replaced by its parts, or the reverse, is
/// routed all the time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Networks to add; at most [`MAX_CHANGE`]. Existing ones are not an error.
    pub add: Vec<Route>,
    /// Networks to remove; at most [`MAX_CHANGE`]. Missing ones are not an error.
    pub remove: Vec<TunnelCidr>,
    /// Change of DNS.
    pub dns: DnsChange,
}

/// Change of a lease's DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DnsChange {
    /// Keeps DNS as it is.
    #[default]
    Keep,
    /// Restores the laptop's DNS from before the lease.
    Off,
    /// Applies this plan. The helper reads the laptop's name servers again and opens new sockets to them, so send the
    /// same plan again after the laptop has moved to another network.
    Set(DnsPlan),
}

/// Changed lease.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Updated {
    /// The granted DNS; none if the change kept it, or switched it off.
    pub dns: Option<DnsGranted>,
    /// Networks that the helper has revoked since the last reply of this kind, before this change, because the laptop
    /// itself uses them by now; at most [`HelperRefusal::MAX_CONFLICTS`]. In this order,
    /// [`Routes::give_way`](crate::Routes::give_way) makes the client's routes the same as the helper's.
    pub revoked: Vec<Conflict>,
    /// Number of further ones, also from before this change. The next replies have them.
    pub more: usize,
}

/// Granted lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// The lease's slot.
    pub slot: Slot,
    /// The TUN's name, for people and logs.
    pub tun_name: String,
    /// The laptop's address in the TUN.
    pub address: Ipv4Addr,
    /// Address of the session's resolver in the TUN.
    pub resolver: Ipv4Addr,
    /// The laptop's IPv6 address in the TUN, a `/126`; none if IPv6 is switched off.
    pub address6: Option<Ipv6Addr>,
    /// Granted DNS, if the request had a plan for it.
    pub dns: Option<DnsGranted>,
}

/// Granted DNS of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsGranted {
    /// Applied DNS mode.
    pub mode: DnsMode,
    /// The laptop's own name servers, in the order in which they are asked; at most [`crate::MAX_NAME_SERVERS`]. Those
    /// that cannot be reached have no upstream.
    pub servers: Vec<SocketAddr>,
    /// Search domains of the laptop's `resolv.conf`. The session strips them from names before it expands a name.
    pub laptop_search: Vec<DnsSuffix>,
    /// `ndots` of the laptop's `resolv.conf`: programs ask for a name with this many dots before they try the search
    /// list.
    pub laptop_ndots: u8,
    /// `timeout` of the laptop's `resolv.conf`, in seconds: how long programs wait for a name server.
    pub laptop_timeout: u8,
    /// Upstream of each descriptor that comes with the reply: first those for UDP, then those for TCP.
    pub upstreams: Vec<UpstreamName>,
}

/// Name server and protocol of an upstream socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamName {
    /// One of the laptop's own name servers.
    pub server: SocketAddr,
    /// Protocol of the socket.
    pub protocol: Protocol,
}

/// Protocol of an upstream socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// UDP, connected to the server.
    Udp,
    /// TCP, not yet connected: for one connection, for an answer that does not fit a datagram.
    Tcp,
}

/// Counts of an ended lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Number of removed routes.
    pub routes: usize,
}

/// Status of the helper and the laptop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// This connection's lease.
    pub lease: Option<Leased>,
    /// Number of leases of the client's user, including this connection's.
    pub yours: usize,
    /// Number of leases on this laptop.
    pub all: usize,
    /// DNS mode that [`crate::DnsModeChoice::Auto`] would choose, or why there is none.
    pub names: Result<DnsMode, DnsTrouble>,
    /// The laptop's own name servers.
    pub name_servers: Vec<IpAddr>,
    /// Whether the client would get a lease.
    pub access: LeaseAccess,
}

/// Whether a client would get a lease, as far as is known without asking the user anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LeaseAccess {
    /// It would.
    Granted,
    /// It would after the user has proven to polkit who they are, for example with a password.
    AfterQuestion,
    /// It would be refused with this.
    Refused(HelperRefusal),
    /// polkit did not answer in time.
    Unknown,
}

/// Summary of a lease in [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leased {
    /// The lease's slot.
    pub slot: Slot,
    /// The TUN's name.
    pub tun_name: String,
    /// Number of routed networks.
    pub routes: usize,
    /// Applied DNS mode, if the lease has DNS.
    pub mode: Option<DnsMode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_five_kinds_of_request() {
        // A sixth kind gives unprivileged users a new power: describe it in the threat model first.
        let kind = |request: Request| match request {
            Request::Hello(_) => 1,
            Request::Up(_) => 2,
            Request::Update(_) => 3,
            Request::Down => 4,
            Request::Status => 5,
        };
        assert_eq!(kind(Request::Status), 5);
    }

    #[test]
    fn unknown_requests_and_fields_are_refused() {
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
            serde_json::from_str::<Request>("\"status\"").expect("a request"),
            Request::Status
        );
    }
}
