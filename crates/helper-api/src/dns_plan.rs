//! DNS plan: which names a session answers, and how the laptop's programs reach its resolver.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::Zones;
use crate::plan_error::{MAX_SUFFIX_BYTES, PlanError};

/// Maximum number of name servers that programs ask (`MAXNS` of the C library).
pub const MAX_NAME_SERVERS: usize = 3;

/// DNS settings that a session wants while its lease lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DnsPlanWire", into = "DnsPlanWire")]
pub struct DnsPlan {
    zones: Zones,
    redirect_ports: [RedirectPort; MAX_NAME_SERVERS],
    mode: DnsModeChoice,
}

impl DnsPlan {
    /// Makes a plan.
    ///
    /// `zones` are the domains that the session answers; [`DnsMode::Resolved`] sends only those to it. On
    /// `redirect_ports` the session's resolver listens on 127.0.0.1 and ::1, UDP and TCP. [`DnsMode::Redirect`] sends
    /// every query to the laptop's first name server to the first port, and so on, so that the session knows which
    /// server a program asked.
    ///
    /// # Errors
    /// [`PlanError::TooManySuffixes`] above [`MAX_SUFFIX_BYTES`], [`PlanError::SearchOutside`] for a search domain
    /// whose names the session does not answer.
    pub fn new(
        zones: Zones,
        redirect_ports: [RedirectPort; MAX_NAME_SERVERS],
        mode: DnsModeChoice,
    ) -> Result<Self, PlanError> {
        let bytes = zones.bytes();
        if bytes > MAX_SUFFIX_BYTES {
            return Err(PlanError::TooManySuffixes { bytes });
        }
        zones.check()?;
        Ok(Self {
            zones,
            redirect_ports,
            mode,
        })
    }

    /// Returns the domains that the session answers.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Returns the ports of the session's resolver on loopback, in the order of the laptop's name servers.
    #[must_use]
    pub fn redirect_ports(&self) -> [RedirectPort; MAX_NAME_SERVERS] {
        self.redirect_ports
    }

    /// Returns the wanted DNS mode.
    #[must_use]
    pub fn mode(&self) -> DnsModeChoice {
        self.mode
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnsPlanWire {
    zones: Zones,
    redirect_ports: [RedirectPort; MAX_NAME_SERVERS],
    mode: DnsModeChoice,
}

impl TryFrom<DnsPlanWire> for DnsPlan {
    type Error = PlanError;

    fn try_from(wire: DnsPlanWire) -> Result<Self, Self::Error> {
        Self::new(wire.zones, wire.redirect_ports, wire.mode)
    }
}

impl From<DnsPlan> for DnsPlanWire {
    fn from(plan: DnsPlan) -> Self {
        Self {
            zones: plan.zones,
            redirect_ports: plan.redirect_ports,
            mode: plan.mode,
        }
    }
}

/// Local port to which the laptop's DNS may be redirected. Not below 1024, where services of the system listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RedirectPort(NonZeroU16);

impl RedirectPort {
    /// Returns the port number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for RedirectPort {
    type Error = PlanError;

    fn try_from(port: u16) -> Result<Self, Self::Error> {
        NonZeroU16::new(port)
            .filter(|port| port.get() >= 1024)
            .map(Self)
            .ok_or(PlanError::SystemPort { port })
    }
}

impl From<RedirectPort> for u16 {
    fn from(port: RedirectPort) -> Self {
        port.get()
    }
}

/// Choice of a DNS mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsModeChoice {
    /// [`DnsMode::Resolved`] if programs on this laptop ask systemd-resolved, else [`DnsMode::Redirect`].
    #[default]
    Auto,
    /// Only [`DnsMode::Resolved`].
    Resolved,
    /// Only [`DnsMode::Redirect`].
    Redirect,
}

/// DNS mode: how queries of the laptop's programs reach the session's resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsMode {
    /// systemd-resolved asks the session about its zones, and only those, at the resolver's address in the TUN.
    Resolved,
    /// nftables redirects every DNS query to a name server of the laptop to the session's port for that server, on
    /// 127.0.0.1 or ::1.
    Redirect,
}

impl fmt::Display for DnsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolved => "systemd-resolved",
            Self::Redirect => "redirect of port 53",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DnsSuffix;

    fn wide_dns() -> DnsPlan {
        let suffix = |n: usize| {
            let text = format!("{}.n{n:03}", ["abcdefghi"; 24].join("."));
            text.parse::<DnsSuffix>().expect("suffix")
        };
        let zones = Zones {
            user: (0..MAX_SUFFIX_BYTES / 252).map(suffix).collect(),
            ..Zones::default()
        };
        DnsPlan::new(zones, [5353.try_into().expect("port"); 3], DnsModeChoice::Auto).expect("fits")
    }

    #[test]
    fn limits_hold() {
        assert_eq!(
            RedirectPort::try_from(53),
            Err(PlanError::SystemPort { port: 53 })
        );
        assert_eq!(RedirectPort::try_from(0), Err(PlanError::SystemPort { port: 0 }));
        let mut zones = wide_dns().zones().clone();
        let more = zones
            .user
            .iter()
            .map(|suffix| format!("x{suffix}").parse().expect("suffix"));
        zones.user.extend(more.collect::<Vec<_>>());
        let text = serde_json::json!({"zones": zones, "redirect_ports": [5353, 5354, 5355], "mode": "auto"});
        assert!(
            serde_json::from_value::<DnsPlan>(text).is_err(),
            "the wire has the same limits"
        );
    }
}
