//! Why the helper did not do what it was asked.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::TunnelCidr;
use crate::message::{Build, Version};

/// Why the helper did not do what it was asked. Nothing was changed.
///
/// The text says the cause and what the user can do. Texts of the system inside it (an interface's name, an error's) are
/// for people; a program branches on the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    /// The user may not have a lease.
    #[error("user {uid} may not change this laptop's network: {why}")]
    NotAuthorised {
        /// Whose process asked.
        uid: u32,
        /// What speaks against it.
        why: Stranger,
    },
    /// The client speaks another version than the helper.
    #[error(
        "this program ({client_build}, protocol {client}) and slipway-helper ({helper_build}, protocol {helper}) are of \
         different versions: finish the update, then run `sudo systemctl restart slipway-helper` and connect again"
    )]
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
    #[error("you have {limit} connections already, as many as one user may have: disconnect one first")]
    TooManyLeases {
        /// How many that is.
        limit: usize,
    },
    /// Every slot is taken, or every address for one.
    #[error("this laptop has no room for another connection: disconnect one first")]
    NoFreeSlot,
    /// More networks than a request or a lease may have.
    #[error(
        "{given} networks are more than the allowed {limit}: drop the oldest unused addresses, or give wider ranges"
    )]
    TooManyRoutes {
        /// How many were asked for, with those there are.
        given: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A network that this laptop's rules do not let into a tunnel.
    #[error("{range} may not be routed into the cluster: {why}")]
    RangeRefused {
        /// The network.
        range: TunnelCidr,
        /// Which rule.
        why: RangeTrouble,
    },
    /// Networks that would take from the laptop what it uses now. Ask again without the conflicting parts
    /// ([`TunnelCidr::without`]).
    #[error("{}", conflicts_text(.0))]
    Conflicts(
        /// All of them, up to [`Refusal::MAX_CONFLICTS`].
        Vec<Conflict>,
    ),
    /// There is no `/dev/net/tun`, or it may not be opened.
    #[error(
        "the kernel's TUN device cannot be opened (errno {errno}): load it with `sudo modprobe tun`; in a container, pass \
         /dev/net/tun in"
    )]
    NoTunDevice {
        /// The system's error number.
        errno: i32,
    },
    /// The kernel did not do its part.
    #[error(
        "the kernel refused to {operation} ({}): `journalctl -u slipway-helper` says more",
        nix::errno::Errno::from_raw(*.errno).desc()
    )]
    Kernel {
        /// Which part.
        operation: Operation,
        /// The system's error number.
        errno: i32,
    },
    /// The laptop's programs cannot be made to ask the session for names.
    #[error("cluster names cannot be made to work on this laptop: {0}")]
    DnsUnavailable(DnsTrouble),
    /// The first word was not Hello, or Hello came again.
    #[error(
        "the helper was spoken to out of order: reinstall Slipway, so that all its parts are of one version"
    )]
    OutOfOrder,
    /// This connection has a lease already.
    #[error("this connection has a lease already: open another connection for another lease")]
    LeaseExists,
    /// This connection has no lease to change.
    #[error("this connection has no lease: ask for one first")]
    NoLease,
    /// The helper serves as many connections as it can, or this user has too many.
    #[error("slipway-helper serves as many programs as it can: close one that is connected to it")]
    Busy,
    /// A defect of the helper. The connection ends.
    #[error(
        "slipway-helper met a defect of its own: `journalctl -u slipway-helper` says more; please report it"
    )]
    Defect,
}

impl Refusal {
    /// Most conflicts that are told at once.
    pub const MAX_CONFLICTS: usize = 64;
}

/// Why a user may not have a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Stranger {
    /// The helper was started for one user.
    #[error("slipway-helper was started for user {allowed} only; start it with --allow-uid for you")]
    OtherUser {
        /// For whom.
        allowed: u32,
    },
    /// polkit said no, or the user did not answer.
    #[error(
        "polkit did not allow dev.slipway.helper.connect; sign in at this computer, or ask its administrator"
    )]
    Denied,
    /// polkit could not be asked.
    #[error(
        "polkit could not be asked ({reason}); install polkit, or start the helper by hand with --allow-uid"
    )]
    NoPolkit {
        /// What went wrong, for people.
        reason: String,
    },
}

/// A rule that keeps a network out of tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RangeTrouble {
    /// Public addresses are routed one by one only.
    #[error(
        "public addresses are taken one by one only; to allow the range, the administrator adds it to allow_ranges in \
         /etc/slipway/helper.toml"
    )]
    Public,
    /// The administrator keeps this range out.
    #[error("the administrator denies it in /etc/slipway/helper.toml")]
    Denied,
    /// 198.18.0.0/16, the addresses of the TUNs themselves; 198.19.0.0/16 is free for a session's own use.
    #[error("the helper numbers its own devices from 198.18.0.0/16; take 198.19.0.0/16")]
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
    text.push_str(". Leave these parts out of the profile's ranges, or leave the other network");
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DnsTrouble {
    /// `/etc/resolv.conf` cannot be read.
    #[error("/etc/resolv.conf cannot be read (errno {errno}); restore it")]
    NoResolvConf {
        /// The system's error number.
        errno: i32,
    },
    /// [`crate::RungChoice::Resolved`] was asked for, and programs do not ask systemd-resolved.
    #[error(
        "systemd-resolved does not answer this laptop's programs ({reason}); start it and link /etc/resolv.conf to \
         /run/systemd/resolve/stub-resolv.conf, or use the redirect"
    )]
    NoResolved {
        /// What speaks against it, for people.
        reason: String,
    },
    /// systemd-resolved is there and refused.
    #[error(
        "systemd-resolved refused to serve the tunnel ({reason}); the package's polkit rule for the user slipway-helper may \
         be missing: reinstall it"
    )]
    ResolvedRefused {
        /// What it answered, for people.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_cause_and_remedy() {
        let conflict = Conflict {
            range: "10.0.0.0/8".parse().expect("range"),
            route: "10.0.2.0/24".parse().expect("net"),
            device: "wlan0".to_owned(),
            with: ConflictWith::Attached,
        };
        assert_eq!(
            Refusal::Conflicts(vec![conflict]).to_string(),
            "the cluster's networks overlap networks that this laptop uses: 10.0.0.0/8 overlaps the attached network \
             10.0.2.0/24 on wlan0. Leave these parts out of the profile's ranges, or leave the other network"
        );
        assert_eq!(
            Refusal::Kernel {
                operation: Operation::AddRoute,
                errno: 1
            }
            .to_string(),
            "the kernel refused to add a route (Operation not permitted): `journalctl -u slipway-helper` says more"
        );
    }

    #[test]
    fn refusals_survive_the_wire() {
        for refusal in [
            Refusal::Busy,
            Refusal::DnsUnavailable(DnsTrouble::NoResolvConf { errno: 13 }),
            Refusal::NotAuthorised {
                uid: 7,
                why: Stranger::OtherUser { allowed: 8 },
            },
        ] {
            let text = serde_json::to_string(&refusal).expect("text");
            assert_eq!(serde_json::from_str::<Refusal>(&text).expect("the same"), refusal);
        }
    }
}
