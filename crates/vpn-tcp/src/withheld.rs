//! Withheld addresses: those of cluster answers that programs do not get, with the reasons.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;

use slipway_problem::Fault;

/// Maximum number of remembered addresses. The oldest is dropped first.
const MOST: usize = 64;

/// Reason why programs do not get an address. It decides whether `also-proxy` can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The laptop routes such an address only for its user, and only the cluster names it.
    NotNamed(String),
    /// The answer has more addresses than get a route.
    TooMany {
        /// Largest number of addresses that get one.
        most: usize,
    },
    /// The laptop does not route the address, whoever names it.
    Refused {
        /// The rule or the network in use, as a sentence without a period.
        why: String,
        /// What the user can do, as the end of a sentence.
        remedy: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotNamed(why) | Reason::Refused { why, .. } => f.write_str(why),
            Reason::TooMany { most } => write!(f, "Slipway adds at most {most} routes for one answer"),
        }
    }
}

impl Reason {
    /// Returns what the user can do, as the end of a sentence.
    fn remedy(&self) -> &str {
        match self {
            Reason::NotNamed(_) => {
                "to reach it through the cluster, run `slipway change --also-proxy` with its name or address; `--save` adds \
                 that to the profile too"
            }
            Reason::TooMany { .. } => {
                "to reach it through the cluster, run `slipway change --also-proxy` with its address, or its network if that \
                 is private; `--save` adds that to the profile too"
            }
            Reason::Refused { remedy, .. } => remedy,
        }
    }
}

/// Recently withheld addresses. Without withholding, the name of a cluster service could lead to the laptop's router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Withheld(VecDeque<(IpAddr, Reason)>);

impl Withheld {
    /// Remembers a withheld address and the reason. Returns whether that changed anything.
    pub(crate) fn add(&mut self, address: IpAddr, reason: Reason) -> bool {
        if self
            .0
            .back()
            .is_some_and(|newest| (newest.0, &newest.1) == (address, &reason))
        {
            return false;
        }
        self.0.retain(|(known, _)| *known != address);
        self.0.push_back((address, reason));
        while self.0.len() > MOST {
            self.0.pop_front();
        }
        true
    }

    /// Forgets an address that was handed out after all. Returns whether it was remembered.
    pub(crate) fn forget(&mut self, address: IpAddr) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| *known != address);
        self.0.len() != before
    }

    /// Returns why an address was withheld, as a sentence without a period.
    pub(crate) fn why(&self, address: IpAddr) -> Option<String> {
        let known = self.0.iter().find(|(known, _)| *known == address);
        known.map(|(_, reason)| reason.to_string())
    }

    /// Returns the address that was withheld last.
    pub(crate) fn newest(&self) -> Option<WithheldAddress> {
        let (address, reason) = self.0.back()?.clone();
        Some(WithheldAddress { address, reason })
    }
}

/// Address of a cluster answer that programs do not get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's DNS answered with {address}, which programs do not get: {reason}")]
pub(crate) struct WithheldAddress {
    /// The address.
    pub(crate) address: IpAddr,
    /// The reason.
    pub(crate) reason: Reason,
}

impl Fault for WithheldAddress {
    fn code(&self) -> &str {
        "address-withheld"
    }

    fn remedy(&self) -> String {
        format!(
            "{}. `slipway names --failed` shows the name, and `slipway explain NAME` shows details.",
            self.reason.remedy().trim_end_matches('.')
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl From<&str> for Reason {
        fn from(why: &str) -> Reason {
            Reason::Refused {
                why: why.to_owned(),
                remedy: "end the VPN".to_owned(),
            }
        }
    }

    #[test]
    fn the_newest_are_remembered() {
        let mut withheld = Withheld::default();
        for last in 0..=255 {
            withheld.add(IpAddr::from([127, 0, 0, last]), Reason::from("it stays here"));
        }
        let again = || Reason::from("again");
        assert!(withheld.add(IpAddr::from([127, 0, 0, 250]), again()));
        assert!(
            !withheld.add(IpAddr::from([127, 0, 0, 250]), again()),
            "nothing changed"
        );
        assert_eq!(withheld.0.len(), MOST);
        let newest = withheld.newest().unwrap();
        assert_eq!(
            (newest.address, newest.reason),
            ([127, 0, 0, 250].into(), again())
        );
        assert_eq!(withheld.why([127, 0, 0, 1].into()), None);
        assert!(withheld.forget([127, 0, 0, 255].into()));
        assert_eq!(withheld.why([127, 0, 0, 255].into()), None);
    }
    #[test]
    fn only_a_reason_that_also_proxy_ends_advises_it() {
        let remedy = |reason| {
            let address = [10, 1, 2, 3].into();
            WithheldAddress { address, reason }.problem().remedy
        };
        for reason in [
            Reason::NotNamed("it is public".to_owned()),
            Reason::TooMany { most: 64 },
        ] {
            let remedy = remedy(reason);
            assert!(
                remedy.starts_with("To reach it") && remedy.contains("--also-proxy`"),
                "{remedy}"
            );
        }
        let refused = remedy(Reason::from("it is the gateway"));
        assert_eq!(
            refused,
            "End the VPN. `slipway names --failed` shows the name, and `slipway explain NAME` shows details."
        );
    }
}
