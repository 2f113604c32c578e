//! Upstreams of the resolver: the agent for cluster names, and the method's side of the laptop for everything else.

use std::net::IpAddr;

use bytes::Bytes;
use slipway_names::{Admission, AskError, Asks, NamedBy};
use slipway_tunnel::Tunnel;

/// What only the method knows: how to reach the laptop's own name servers, and which addresses programs may have.
///
/// Every future may be dropped before it is done.
pub trait LaptopSide: Send + Sync + 'static {
    /// Asks the laptop's own name servers, as [`Asks::laptop`].
    fn ask(&self, query: Bytes) -> impl Future<Output = Result<Bytes, AskError>> + Send;

    /// Decides on each address of a cluster answer, as [`Asks::admit`].
    fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> impl Future<Output = Vec<Admission>> + Send;

    /// Why an address was withheld lately, as [`Asks::why_withheld`].
    fn why_withheld(&self, address: IpAddr) -> Option<String>;
}

/// The resolver's way out.
#[derive(Debug)]
pub struct Upstreams<L> {
    tunnel: Tunnel,
    laptop: L,
}

impl<L> Upstreams<L> {
    /// Asks the cluster's DNS through `tunnel`.
    #[must_use]
    pub fn new(tunnel: Tunnel, laptop: L) -> Self {
        Self { tunnel, laptop }
    }
}

impl<L: LaptopSide> Asks for Upstreams<L> {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.tunnel.ask(query).await.map_err(|error| match error {
            slipway_tunnel::AskError::TimedOut => AskError::TimedOut,
            slipway_tunnel::AskError::Unreachable | slipway_tunnel::AskError::NoTunnel => {
                AskError::Unreachable
            }
        })
    }

    fn laptop(&self, query: Bytes) -> impl Future<Output = Result<Bytes, AskError>> + Send {
        self.laptop.ask(query)
    }

    fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> impl Future<Output = Vec<Admission>> + Send {
        self.laptop.admit(addresses, named_by)
    }

    fn why_withheld(&self, address: IpAddr) -> Option<String> {
        self.laptop.why_withheld(address)
    }
}
