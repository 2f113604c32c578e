//! Withheld addresses: those of cluster answers that programs do not get, with the reasons.

use std::collections::VecDeque;
use std::net::IpAddr;

use slipway_problem::Fault;

/// Maximum number of remembered addresses. The oldest is dropped first.
const MOST: usize = 64;

/// Recently withheld addresses. Without withholding, the name of a cluster service could lead to the laptop's router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Withheld(VecDeque<(IpAddr, String)>);

impl Withheld {
    /// Remembers a withheld address and the reason. Returns whether that changed anything.
    pub(crate) fn add(&mut self, address: IpAddr, why: String) -> bool {
        if self
            .0
            .back()
            .is_some_and(|newest| *newest == (address, why.clone()))
        {
            return false;
        }
        self.0.retain(|(known, _)| *known != address);
        self.0.push_back((address, why));
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
        known.map(|(_, why)| why.clone())
    }

    /// Returns the address that was withheld last.
    pub(crate) fn newest(&self) -> Option<WithheldAddress> {
        let (address, why) = self.0.back()?.clone();
        Some(WithheldAddress { address, why })
    }
}

/// Address of a cluster answer that programs do not get.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cluster's DNS answered with {address}, which programs do not get: {why}")]
pub(crate) struct WithheldAddress {
    /// The address.
    pub(crate) address: IpAddr,
    /// The reason, as a sentence without a period.
    pub(crate) why: String,
}

impl Fault for WithheldAddress {
    fn code(&self) -> &str {
        "address-withheld"
    }

    fn remedy(&self) -> String {
        "To reach it through the cluster, connect with `--also-proxy` and its name or network, or add that to \
         `also-proxy` in the profile. `slipway names --failed` shows the name, and `slipway explain NAME` shows details."
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let mut withheld = Withheld::default();
        for last in 0..=255 {
            withheld.add(IpAddr::from([127, 0, 0, last]), format!("{last}"));
        }
        let again = || "again".to_owned();
        assert!(withheld.add(IpAddr::from([127, 0, 0, 250]), again()));
        assert!(
            !withheld.add(IpAddr::from([127, 0, 0, 250]), again()),
            "nothing changed"
        );
        assert_eq!(withheld.0.len(), MOST);
        let newest = withheld.newest().unwrap();
        assert_eq!(
            (newest.address, newest.why.as_str()),
            ([127, 0, 0, 250].into(), "again")
        );
        assert_eq!(withheld.why([127, 0, 0, 1].into()), None);
        assert!(withheld.forget([127, 0, 0, 255].into()));
        assert_eq!(withheld.why([127, 0, 0, 255].into()), None);
    }
}
