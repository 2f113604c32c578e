//! Upstreams of the resolver: the agent for cluster names, and the method's side of the laptop for everything else.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use slipway_names::{Addressee, Admission, AskError, Asks, NamedBy};
use slipway_tunnel::Tunnel;

/// Laptop side of the resolver, which each method implements: it asks the laptop's own name servers, and decides which
/// addresses programs may have.
///
/// Every future may be dropped before it completes.
pub trait LaptopSide: Send + Sync + 'static {
    /// Asks the laptop's own name servers, as [`Asks::laptop`].
    fn ask(&self, query: Bytes, addressee: Addressee)
    -> impl Future<Output = Result<Bytes, AskError>> + Send;

    /// Decides on each address of a cluster answer, as [`Asks::admit`].
    fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> impl Future<Output = Vec<Admission>> + Send;

    /// Returns why an address was recently withheld, as [`Asks::why_withheld`].
    fn why_withheld(&self, address: IpAddr) -> Option<String>;
}

/// Elders: sessions of the same method that connected earlier, and whose names programs get as well.
pub trait Elders: Send + Sync {
    /// Asks them for a name, the oldest first. `None` if no cluster of theirs has it. Completes at once without elders.
    fn ask(&self, query: Bytes) -> BoxFuture<'_, Option<Bytes>>;
}

/// Upstreams of a resolver: the tunnel, the laptop side and the elders.
pub struct Upstreams<L> {
    tunnel: Tunnel,
    laptop: L,
    elders: Arc<dyn Elders>,
}

impl<L> Upstreams<L> {
    /// Makes upstreams that ask the cluster's DNS through `tunnel`.
    #[must_use]
    pub fn new(tunnel: Tunnel, laptop: L, elders: Arc<dyn Elders>) -> Self {
        Self {
            tunnel,
            laptop,
            elders,
        }
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

    fn laptop(
        &self,
        query: Bytes,
        addressee: Addressee,
    ) -> impl Future<Output = Result<Bytes, AskError>> + Send {
        self.laptop.ask(query, addressee)
    }

    fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> impl Future<Output = Vec<Admission>> + Send {
        self.laptop.admit(addresses, named_by)
    }

    fn why_withheld(&self, address: IpAddr) -> Option<String> {
        self.laptop.why_withheld(address)
    }

    fn elders(&self, query: Bytes) -> impl Future<Output = Option<Bytes>> + Send {
        self.elders.ask(query)
    }
}
