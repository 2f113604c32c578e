//! Why the helper did not do what it was asked.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::version::{Build, Version};
use crate::{ClusterDomain, DnsSuffix, TunnelCidr};

/// Why the helper did not do what it was asked. Nothing was changed.
///
/// Its text is [`HelperRefusal::cause`]; what its user can do is the client's to say. Texts of the system inside it (an interface's name, an error's)
/// are for people; a program branches on the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HelperRefusal {
    /// The user may not have a lease.
    NotAuthorized {
        /// Whose process asked.
        uid: u32,
        /// What speaks against it.
        why: Stranger,
    },
    /// The client speaks another version than the helper.
    VersionMismatch {
        /// What the client speaks.
        client: Version,
        /// Which build the client is.
        client_build: Build,
        /// What the helper speaks.
        helper: Version,
        /// Which build the helper is.
        helper_build: Build,
    },
    /// The user has as many leases as one user may have.
    TooManyLeases {
        /// How many that is.
        limit: usize,
    },
    /// Every slot is taken, or every address for one.
    NoFreeSlot,
    /// More networks than a request or a lease may have.
    TooManyRoutes {
        /// How many were asked for, with those there are.
        given: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A network that this laptop's rules do not let into a tunnel.
    RangeRefused {
        /// The network.
        range: TunnelCidr,
        /// Which rule.
        why: RangeTrouble,
    },
    /// Networks that would take from the laptop what it uses now. Ask again without the conflicting parts
    /// ([`TunnelCidr::without`]).
    Conflicts(
        /// All of them, up to [`HelperRefusal::MAX_CONFLICTS`].
        Vec<Conflict>,
    ),
    /// There is no `/dev/net/tun`, or it may not be opened.
    NoTunDevice {
        /// The system's error number.
        errno: i32,
    },
    /// The kernel did not do its part.
    Kernel {
        /// Which part.
        operation: Operation,
        /// The system's error number.
        errno: i32,
    },
    /// The laptop's programs cannot be made to ask the session for names.
    DnsUnavailable(DnsTrouble),
    /// The domain that the cluster says is its own is one of the laptop's.
    DomainRefused {
        /// The domain.
        domain: ClusterDomain,
        /// The search domain of the laptop that it is, lies in or has in it.
        search: DnsSuffix,
    },
    /// The first word was not Hello, or Hello came again.
    OutOfOrder,
    /// This connection has a lease already.
    LeaseExists,
    /// This connection has no lease to change.
    NoLease,
    /// The helper serves as many connections as it can, or this user has too many.
    Busy,
    /// A defect of the helper. The connection ends.
    Defect,
}

impl HelperRefusal {
    /// Most conflicts that are told at once.
    pub const MAX_CONFLICTS: usize = 64;

    /// A word for scripts that never changes.
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

    /// What happened.
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
                "this program ({client_build}, protocol {client}) and slipway-helper ({helper_build}, protocol {helper}) \
                 are of different versions"
            ),
            Self::TooManyLeases { limit } => {
                format!("you have {limit} connections already, as many as one user may have")
            }
            Self::NoFreeSlot => "this laptop has no room for another connection".to_owned(),
            Self::TooManyRoutes { given, limit } => {
                format!("{given} networks are more than the allowed {limit}")
            }
            Self::RangeRefused { range, why } => format!("{range} may not be routed into the cluster: {why}"),
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
                    "cluster names cannot be made to work on this laptop: {}",
                    trouble.cause()
                )
            }
            Self::DomainRefused { domain, search } => {
                format!("the cluster says that its domain is {domain}, and this laptop searches {search}")
            }
            Self::OutOfOrder => "the helper was spoken to out of order".to_owned(),
            Self::LeaseExists => "this connection has a lease already".to_owned(),
            Self::NoLease => "this connection has no lease".to_owned(),
            Self::Busy => "slipway-helper serves as many programs as it can".to_owned(),
            Self::Defect => "slipway-helper met a defect of its own".to_owned(),
        }
    }
}

impl fmt::Display for HelperRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())
    }
}

impl std::error::Error for HelperRefusal {}

/// Why a user may not have a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stranger {
    /// The helper was started for one user.
    OtherUser {
        /// For whom.
        allowed: u32,
    },
    /// polkit said no, or the user did not answer.
    Denied,
    /// polkit could not be asked.
    NoPolkit {
        /// What went wrong, for people.
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

/// A rule that keeps a network out of tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RangeTrouble {
    /// Public addresses are routed one by one only.
    #[error("a range of public addresses is not routed, only single addresses")]
    Public,
    /// A public address that only the cluster names.
    #[error("a public address goes to the cluster only if the profile names it or its host")]
    PublicByCluster,
    /// The administrator keeps this range out.
    #[error("the administrator denies it in /etc/slipway/helper.toml")]
    Denied,
    /// 198.18.0.0/16, the addresses of the TUNs themselves; 198.19.0.0/16 is free for a session's own use.
    #[error("the helper numbers its own devices from 198.18.0.0/16")]
    HelpersOwn,
    /// The kernel has IPv6 switched off.
    #[error("IPv6 is switched off on this laptop")]
    NoIpv6,
}

/// A network that was asked for, and what it would take away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The network that was asked for.
    pub range: TunnelCidr,
    /// The network in use that it overlaps.
    pub route: IpNet,
    /// Through which device that one is reached, for people. Empty where it has none.
    pub device: String,
    /// What it is.
    pub with: ConflictWith,
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

/// What a conflicting network is to the laptop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictWith {
    /// Where a route leads through.
    Gateway,
    /// A network the laptop is attached to: a LAN, a bridge of containers.
    Attached,
    /// A network that another session on this laptop has.
    Session,
    /// A network that is routed elsewhere already.
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

/// What the kernel was asked to do.
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
    /// Load the table that redirects DNS.
    RedirectDns,
    /// Make a socket to a name server.
    OpenUpstream,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTun => "create the TUN device",
            Self::ConfigureTun => "configure the TUN device",
            Self::AddRoute => "add a route",
            Self::RemoveRoute => "remove a route",
            Self::ReadRoutes => "tell its routes",
            Self::RedirectDns => "redirect DNS (nftables)",
            Self::OpenUpstream => "open a socket to a name server",
        })
    }
}

/// Why the laptop's programs cannot be made to ask a session for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DnsTrouble {
    /// `/etc/resolv.conf` cannot be read.
    NoResolvConf {
        /// The system's error number.
        errno: i32,
    },
    /// [`crate::DnsModeChoice::Resolved`] was asked for, and programs do not ask systemd-resolved.
    NoResolved {
        /// What speaks against it, for people.
        reason: String,
    },
    /// systemd-resolved is there and refused.
    ResolvedRefused {
        /// What it answered, for people.
        reason: String,
    },
}

impl DnsTrouble {
    /// What happened.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::NoResolvConf { errno } => format!("/etc/resolv.conf cannot be read (errno {errno})"),
            Self::NoResolved { reason } => {
                format!("systemd-resolved does not answer this laptop's programs ({reason})")
            }
            Self::ResolvedRefused { reason } => {
                format!("systemd-resolved refused to serve the tunnel ({reason})")
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
