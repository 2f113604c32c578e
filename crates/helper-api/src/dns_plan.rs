//! DNS plan: which names a session answers, and how the laptop's programs are to reach it.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::Zones;
use crate::plan_error::{MAX_SUFFIX_BYTES, PlanError};

/// How the laptop is to find names while a session lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DnsPlanWire", into = "DnsPlanWire")]
pub struct DnsPlan {
    zones: Zones,
    redirect_port: RedirectPort,
    mode: DnsModeChoice,
}

impl DnsPlan {
    /// A plan for names.
    ///
    /// `zones` are the domains that the session answers; they matter where only those are sent to it
    /// ([`DnsMode::Resolved`]). `redirect_port` is where the session's resolver listens on 127.0.0.1 and ::1, UDP and TCP; it
    /// matters where every query comes to it ([`DnsMode::Redirect`]).
    ///
    /// # Errors
    /// [`PlanError::TooManySuffixes`] past [`MAX_SUFFIX_BYTES`], [`PlanError::SearchOutside`] for a search domain whose
    /// names the session does not answer.
    pub fn new(zones: Zones, redirect_port: RedirectPort, mode: DnsModeChoice) -> Result<Self, PlanError> {
        let bytes = zones.bytes();
        if bytes > MAX_SUFFIX_BYTES {
            return Err(PlanError::TooManySuffixes { bytes });
        }
        zones.check()?;
        Ok(Self {
            zones,
            redirect_port,
            mode,
        })
    }

    /// The domains that the session answers.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Where the session's resolver listens on loopback.
    #[must_use]
    pub fn redirect_port(&self) -> RedirectPort {
        self.redirect_port
    }

    /// Which way to take.
    #[must_use]
    pub fn mode(&self) -> DnsModeChoice {
        self.mode
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnsPlanWire {
    zones: Zones,
    redirect_port: RedirectPort,
    mode: DnsModeChoice,
}

impl TryFrom<DnsPlanWire> for DnsPlan {
    type Error = PlanError;

    fn try_from(wire: DnsPlanWire) -> Result<Self, Self::Error> {
        Self::new(wire.zones, wire.redirect_port, wire.mode)
    }
}

impl From<DnsPlan> for DnsPlanWire {
    fn from(plan: DnsPlan) -> Self {
        Self {
            zones: plan.zones,
            redirect_port: plan.redirect_port,
            mode: plan.mode,
        }
    }
}

/// A local port that the laptop's DNS may be sent to. Not below 1024: such a port is some service's of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RedirectPort(NonZeroU16);

impl RedirectPort {
    /// The port number.
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

/// Which way of reaching the session's resolver is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsModeChoice {
    /// The first that this laptop has.
    #[default]
    Auto,
    /// [`DnsMode::Resolved`] or nothing.
    Resolved,
    /// [`DnsMode::Redirect`] or nothing.
    Redirect,
}

/// A way in which the laptop's programs reach the session's resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsMode {
    /// systemd-resolved asks the session about its zones, and only those, at the resolver's address in the TUN.
    Resolved,
    /// Every DNS query to a listed name server lands at the session's port on 127.0.0.1 or ::1.
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
        DnsPlan::new(zones, 5353.try_into().expect("port"), DnsModeChoice::Auto).expect("fits")
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
        let text = serde_json::json!({"zones": zones, "redirect_port": 5353, "mode": "auto"});
        assert!(
            serde_json::from_value::<DnsPlan>(text).is_err(),
            "the wire has the same limits"
        );
    }
}
