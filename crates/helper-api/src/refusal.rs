//! Refusals of the helper, with their causes as texts.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::version::{Build, Version};
use crate::{ClusterDomain, DnsSuffix, TunnelCidr};

/// Refusal of a request, which has changed nothing.
///
/// Its text is [`HelperRefusal::cause`]; the client adds a remedy. Texts inside it (an interface's name, an error of
/// the system) are for people; programs branch on the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HelperRefusal {
    /// The user may not have a lease.
    NotAuthorized {
        /// User ID of the client's process.
        uid: u32,
        /// Reason.
        why: Stranger,
    },
    /// The helper does not serve the client's version of the protocol.
    VersionMismatch {
        /// Protocol version of the client.
        client: Version,
        /// Build of the client.
        client_build: Build,
        /// Protocol version of the helper.
        helper: Version,
        /// Build of the helper.
        helper_build: Build,
    },
    /// The user has as many leases as one user may have.
    TooManyLeases {
        /// Maximum number of leases of one user.
        limit: usize,
    },
    /// Every slot is taken, or every address of the slot.
    NoFreeSlot,
    /// The request or the lease would have too many networks.
    TooManyRoutes {
        /// Number of networks; for a lease, with those that it already has.
        given: usize,
        /// Maximum number.
        limit: usize,
    },
    /// A rule of this laptop forbids routing the network into a tunnel.
    RangeRefused {
        /// The network.
        range: TunnelCidr,
        /// The rule.
        why: RangeTrouble,
    },
    /// The networks overlap networks that the laptop uses now. Ask again without the conflicting parts
    /// ([`TunnelCidr::without`]).
    Conflicts(
        /// All of them, up to [`HelperRefusal::MAX_CONFLICTS`].
        Vec<Conflict>,
    ),
    /// `/dev/net/tun` does not exist, or cannot be opened.
    NoTunDevice {
        /// The system's error number.
        errno: i32,
    },
    /// The kernel refused an operation.
    Kernel {
        /// The operation.
        operation: Operation,
        /// The system's error number.
        errno: i32,
    },
    /// The laptop's DNS cannot be directed to the session.
    DnsUnavailable(DnsTrouble),
    /// The cluster's domain overlaps a search domain of the laptop.
    DomainRefused {
        /// The cluster's domain.
        domain: ClusterDomain,
        /// The search domain: the same, a parent or a subdomain.
        search: DnsSuffix,
    },
    /// The first message was not Hello, or a later one was.
    OutOfOrder,
    /// This connection already has a lease.
    LeaseExists,
    /// This connection has no lease to change.
    NoLease,
    /// The helper has as many connections as it can serve, or as this user may have.
    Busy,
    /// A defect of the helper. The connection ends.
    Defect,
}

impl HelperRefusal {
    /// Maximum number of conflicts in one refusal, and in one [`Updated`](crate::Updated).
    pub const MAX_CONFLICTS: usize = 64;

    /// Stable code for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAuthorized { .. } => "helper-not-authorized",
            Self::VersionMismatch { .. } => "helper-version",
            Self::NoTunDevice { .. } => "no-tun-device",
            Self::DnsUnavailable(_) => "dns-unavailable",
            Self::TooManyLeases { .. }
            | Self::NoFreeSlot
            | Self::TooManyRoutes { .. }
            | Self::RangeRefused { .. }
            | Self::Conflicts(_)
            | Self::Kernel { .. }
            | Self::DomainRefused { .. }
            | Self::OutOfOrder
            | Self::LeaseExists
            | Self::NoLease
            | Self::Busy
            | Self::Defect => "helper-refused",
        }
    }

    /// Cause as a sentence for people, without capital letter and period.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::NotAuthorized { uid, why } => {
                format!("user {uid} may not change this laptop's network: {}", why.cause())
            }
            Self::VersionMismatch {
                client,
                client_build,
                helper,
                helper_build,
            } => format!(
                "this program ({client_build}, protocol {client}) and slipway-helper ({helper_build}, \
                 protocol {helper}) have different versions"
            ),
            Self::TooManyLeases { limit } => {
                format!("you already have {limit} sessions, the maximum for one user")
            }
            Self::NoFreeSlot => "all slots for sessions on this laptop are in use".to_owned(),
            Self::TooManyRoutes { given, limit } => {
                format!("{given} networks are too many: slipway-helper allows {limit}")
            }
            Self::RangeRefused { range, why } => {
                format!("slipway-helper does not route {range} into the cluster: {why}")
            }
            Self::Conflicts(conflicts) => conflicts_text(conflicts),
            Self::NoTunDevice { errno } => {
                format!("the kernel's TUN device cannot be opened (errno {errno})")
            }
            Self::Kernel { operation, errno } => format!(
                "the kernel refused to {operation} ({})",
                nix::errno::Errno::from_raw(*errno).desc()
            ),
            Self::DnsUnavailable(trouble) => {
                format!(
                    "programs on this laptop cannot resolve cluster names: {}",
                    trouble.cause()
                )
            }
            Self::DomainRefused { domain, search } => {
                format!("the cluster's domain {domain} overlaps this laptop's search domain {search}")
            }
            Self::OutOfOrder => "slipway-helper got a request out of order".to_owned(),
            Self::LeaseExists => "this connection already has a lease".to_owned(),
            Self::NoLease => "this connection has no lease".to_owned(),
            Self::Busy => "slipway-helper has too many connections to serve another one".to_owned(),
            Self::Defect => "slipway-helper failed because of a defect".to_owned(),
        }
    }
}

impl fmt::Display for HelperRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())
    }
}

impl std::error::Error for HelperRefusal {}

/// Reason why a user may not have a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stranger {
    /// The helper serves only one user, and this is another one.
    OtherUser {
        /// ID of the user that the helper serves.
        allowed: u32,
    },
    /// polkit denied it, or the user did not answer polkit's question.
    Denied,
    /// The helper could not ask polkit.
    NoPolkit {
        /// The error, for people.
        reason: String,
    },
}

impl Stranger {
    fn cause(&self) -> String {
        match self {
            Self::OtherUser { allowed } => format!("slipway-helper was started for user {allowed} only"),
            Self::Denied => "polkit did not allow dev.slipway.helper.connect".to_owned(),
            Self::NoPolkit { reason } => format!("polkit could not be asked ({reason})"),
        }
    }
}

/// Rule of the laptop that forbids routing a network into a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RangeTrouble {
    /// The network is public and wider than a single address.
    #[error("only single public addresses are routed, not whole public networks")]
    Public,
    /// The address is public, and only the cluster names it, not the user.
    #[error("a public address is routed only if the profile names it or its host")]
    PublicByCluster,
    /// The administrator denies the network in `deny_ranges`.
    #[error("the administrator denies it in /etc/slipway/helper.toml")]
    Denied,
    /// The network overlaps 198.18.0.0/16, from which TUNs get their addresses. 198.19.0.0/16 is free for sessions.
    #[error("the helper's own devices have their addresses from 198.18.0.0/16")]
    HelpersOwn,
    /// The network is IPv6, which is switched off in the kernel.
    #[error("IPv6 is switched off on this laptop")]
    NoIpv6,
}

/// Overlap of a network of a request or lease, and a network that the laptop uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The network of the request or lease.
    pub range: TunnelCidr,
    /// The network in use.
    pub route: IpNet,
    /// Device of the network in use, for people. Empty if it has none.
    pub device: String,
    /// Kind of the network in use.
    pub with: ConflictWith,
}

impl Conflict {
    /// Returns whether a network must give way because of this conflict.
    ///
    /// A network that is routed elsewhere may contain networks of the cluster, depending on their origin, so such a
    /// conflict is only about the network that it names. In every other conflict no overlap is allowed.
    #[must_use]
    pub fn concerns(&self, net: TunnelCidr) -> bool {
        let is_named = || self.range.net().contains(&net.net());
        net.overlaps(self.route) && (self.with != ConflictWith::Routed || is_named())
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            range,
            route,
            device,
            with,
        } = self;
        write!(f, "{range} overlaps {with} {route}")?;
        if !device.is_empty() {
            write!(f, " on {device}")?;
        }
        Ok(())
    }
}

/// Kind of a network that the laptop uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictWith {
    /// The gateway of a route.
    Gateway,
    /// A network to which the laptop is attached: a LAN, a bridge of containers.
    Attached,
    /// A network of another session on this laptop.
    Session,
    /// A network that is already routed elsewhere.
    Routed,
    /// A name server in use.
    NameServer,
}

impl fmt::Display for ConflictWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "the gateway",
            Self::Attached => "the attached network",
            Self::Session => "another session's network",
            Self::Routed => "the routed network",
            Self::NameServer => "the name server",
        })
    }
}

fn conflicts_text(conflicts: &[Conflict]) -> String {
    let mut text = String::from("the cluster's networks overlap networks that this laptop uses: ");
    for (n, conflict) in conflicts.iter().enumerate() {
        if n > 0 {
            text.push_str("; ");
        }
        text.push_str(&conflict.to_string());
    }
    text
}

/// Operation that the helper asks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Create the TUN.
    CreateTun,
    /// Set the TUN up: MTU, address, state.
    ConfigureTun,
    /// Add a route.
    AddRoute,
    /// Remove a route.
    RemoveRoute,
    /// Read routes, addresses and links.
    ReadRoutes,
    /// Load the nftables table that redirects DNS.
    RedirectDns,
    /// Open a socket to a name server.
    OpenUpstream,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTun => "create the TUN device",
            Self::ConfigureTun => "configure the TUN device",
            Self::AddRoute => "add a route",
            Self::RemoveRoute => "remove a route",
            Self::ReadRoutes => "list its routes",
            Self::RedirectDns => "redirect DNS (nftables)",
            Self::OpenUpstream => "open a socket to a name server",
        })
    }
}

/// Reason why the laptop's DNS cannot be directed to a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DnsTrouble {
    /// `/etc/resolv.conf` cannot be read.
    NoResolvConf {
        /// The system's error number.
        errno: i32,
    },
    /// The plan demands systemd-resolved, which does not run or which programs do not ask.
    NoResolved {
        /// The reason, for people.
        reason: String,
    },
    /// systemd-resolved refused the settings.
    ResolvedRefused {
        /// Its answer, for people.
        reason: String,
    },
}

impl DnsTrouble {
    /// Cause as a sentence for people, without capital letter and period.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::NoResolvConf { errno } => format!("/etc/resolv.conf cannot be read (errno {errno})"),
            Self::NoResolved { reason } => {
                format!("systemd-resolved does not answer this laptop's programs ({reason})")
            }
            Self::ResolvedRefused { reason } => {
                format!("systemd-resolved refused the DNS settings of the tunnel ({reason})")
            }
        }
    }
}

impl fmt::Display for DnsTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())
    }
}

impl std::error::Error for DnsTrouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_survive_the_wire() {
        for refusal in [
            HelperRefusal::Busy,
            HelperRefusal::DnsUnavailable(DnsTrouble::NoResolvConf { errno: 13 }),
            HelperRefusal::NotAuthorized {
                uid: 7,
                why: Stranger::OtherUser { allowed: 8 },
            },
        ] {
            let text = serde_json::to_string(&refusal).expect("text");
            assert_eq!(
                serde_json::from_str::<HelperRefusal>(&text).expect("the same"),
                refusal
            );
        }
    }
}
