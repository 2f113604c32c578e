//! Addresses of a bed.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use crate::LaptopKind;

/// The ranges of one bed. They differ between beds, so that one laptop can be connected to two clusters.
///
/// 198.18.0.0/15 stays free in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    index: u8,
}

impl Addresses {
    /// Number of beds on one machine.
    pub const MOST_BEDS: u8 = 10;

    pub(crate) fn of_bed(index: u8) -> Result<Self> {
        ensure!(
            index < Self::MOST_BEDS,
            "a machine holds at most {} beds",
            Self::MOST_BEDS
        );
        Ok(Self { index })
    }

    pub(crate) fn index(self) -> u8 {
        self.index
    }

    /// Address of the node on the laptops' network: API server, and name server of the laptops.
    #[must_use]
    pub fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 77 + self.index, 1)
    }

    /// The laptops' network with its prefix length.
    #[must_use]
    pub fn laptops(self) -> (Ipv4Addr, u8) {
        (Ipv4Addr::new(192, 168, 77 + self.index, 0), 24)
    }

    /// Address of a laptop on that network.
    #[must_use]
    pub fn laptop(self, kind: LaptopKind) -> Ipv4Addr {
        let host = match kind {
            LaptopKind::Plain => 11,
            LaptopKind::Resolved => 12,
            LaptopKind::Firewall => 13,
            LaptopKind::Bare => 14,
        };
        Ipv4Addr::new(192, 168, 77 + self.index, host)
    }

    /// Network of the pods, a /16.
    #[must_use]
    pub fn pods(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 244 + self.index, 0, 0)
    }

    /// Network of the services, a /16.
    #[must_use]
    pub fn services(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96 + self.index, 0, 0)
    }

    /// The service of the API server.
    #[must_use]
    pub fn kubernetes(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96 + self.index, 0, 1)
    }

    /// The service of the cluster's name server.
    #[must_use]
    pub fn cluster_dns(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96 + self.index, 0, 10)
    }

    /// `https://ADDRESS:6443`.
    #[must_use]
    pub fn api_server(self) -> String {
        format!("https://{}:{}", self.node(), Self::API_PORT)
    }

    pub(crate) const API_PORT: u16 = 6443;

    /// A host that pods reach and laptops do not: a database beside the cluster.
    pub const BESIDE_CLUSTER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 5);

    /// The "public" hosts of the bed, a /24 (a documentation range, RFC 5737). Laptops have a route to it.
    pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_beds_share_a_range() {
        let beds: Vec<_> = (0..Addresses::MOST_BEDS)
            .map(|index| Addresses::of_bed(index).unwrap())
            .collect();
        assert!(Addresses::of_bed(Addresses::MOST_BEDS).is_err());
        let mut starts: Vec<_> = beds
            .iter()
            .flat_map(|bed| [bed.laptops().0, bed.pods(), bed.services()])
            .collect();
        starts.sort();
        let all = starts.len();
        starts.dedup();
        assert_eq!(starts.len(), all);
        assert!(starts.iter().all(|start| start.is_private()), "{starts:?}");
    }
}
