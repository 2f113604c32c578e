//! Laptop side of the resolver: asks the laptop's own name servers, and has addresses of answers routed by the lease.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use slipway_method::{LaptopSide, Upstreams};
use slipway_names::{Addressee, Admission, AskError, NamedBy};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::name_servers::NameServers;
use crate::need::Need;
use crate::reach::Reach;

/// Minimum time between two requests for new sockets to name servers that cannot be reached.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Resolver of a connected laptop.
pub(crate) type Names = slipway_names::Resolver<Upstreams<LeaseSide>>;

/// Laptop side of the resolver, with a lease.
pub(crate) struct LeaseSide {
    servers: NameServers,
    needs: mpsc::Sender<Need>,
    reach: watch::Receiver<Reach>,
    /// Time of the last renewal of all sockets; locked during one.
    renewed: tokio::sync::Mutex<Option<Instant>>,
}

impl LeaseSide {
    pub(crate) fn new(
        servers: NameServers,
        needs: mpsc::Sender<Need>,
        reach: watch::Receiver<Reach>,
    ) -> Self {
        Self {
            servers,
            needs,
            reach,
            renewed: tokio::sync::Mutex::default(),
        }
    }

    /// Renews all sockets, unless that was done a moment ago. Returns whether there are newer ones than at `since`.
    async fn renew(&self, since: Instant) -> bool {
        let mut renewed = self.renewed.lock().await;
        if renewed.is_some_and(|at| at > since) {
            return true;
        }
        if renewed.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return false;
        }
        let (notify, notified) = oneshot::channel();
        let asked = self.needs.send(Need::NameServers { renewed: notify }).await;
        let done = asked.is_ok() && notified.await == Ok(true);
        *renewed = Some(Instant::now());
        done
    }
}

impl LaptopSide for LeaseSide {
    async fn ask(&self, query: Bytes, addressee: Addressee) -> Result<Bytes, AskError> {
        let since = Instant::now();
        match self.servers.ask(query.clone(), addressee).await {
            // A connected socket keeps the laptop's address from when it was opened, which the laptop may have lost.
            Err(AskError::Unreachable) if self.renew(since).await => self.servers.ask(query, addressee).await,
            outcome => outcome,
        }
    }

    async fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> Vec<Admission> {
        let (decided, decision) = oneshot::channel();
        let need = Need::Admit {
            addresses: addresses.to_vec(),
            named_by,
            decided,
        };
        let withhold = || vec![Admission::Withhold; addresses.len()];
        if self.needs.send(need).await.is_err() {
            return withhold();
        }
        // Without a decision the lease has ended, and nothing is routed.
        decision.await.unwrap_or_else(|_| withhold())
    }

    fn why_withheld(&self, address: IpAddr) -> Option<String> {
        self.reach.borrow().withheld.why(address)
    }
}
