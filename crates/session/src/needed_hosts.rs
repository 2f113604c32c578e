//! Addresses that the session needs itself, looked up again while it is not connected.
//!
//! The API server's name may get another address while a session is connected, and that address may lie in a network that
//! leads through the tunnel. A session that reconnects could then not reach it.

use std::net::IpAddr;
use std::time::Duration;

use slipway_control::Publisher;
use slipway_control_api::{SessionStatus, State};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;
use crate::link::Link;

/// Interval at which the addresses are looked up while the session is not connected.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Maximum number of addresses that are kept. The oldest is dropped first.
const MOST: usize = 64;

/// Task that looks up the addresses. Dropping this ends it.
pub(crate) struct NeededWatch {
    _task: AbortOnDropHandle<()>,
}

impl NeededWatch {
    /// Starts the task. The receiver has the addresses of the link's facts first.
    pub(crate) fn start<C: Cluster>(
        link: &Link<C>,
        publisher: &Publisher,
    ) -> (Self, watch::Receiver<Vec<IpAddr>>) {
        let (never, receiver) = watch::channel(link.facts.needed.addresses.clone());
        let (cluster, status) = (link.cluster.clone(), publisher.watch());
        let task = tokio::spawn(async move { follow(&*cluster, status, &never).await });
        let task = AbortOnDropHandle::new(task);
        (Self { _task: task }, receiver)
    }
}

async fn follow<C: Cluster>(
    cluster: &C,
    mut status: watch::Receiver<SessionStatus>,
    never: &watch::Sender<Vec<IpAddr>>,
) {
    let is_away = |status: &SessionStatus| {
        matches!(status.state, State::Reconnecting | State::Placing) && status.capture.is_some()
    };
    while status.wait_for(is_away).await.is_ok() {
        let found = cluster.needed_addresses().await;
        never.send_if_modified(|known| add(known, found));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Adds addresses that are not known. Returns whether there were any.
fn add(known: &mut Vec<IpAddr>, found: Vec<IpAddr>) -> bool {
    let before = known.len();
    for address in found {
        if !known.contains(&address) {
            tracing::info!(%address, "the API server, its proxy or the login has another address");
            known.push(address);
        }
    }
    let is_new = known.len() != before;
    known.drain(..known.len().saturating_sub(MOST));
    is_new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_addresses_are_kept() {
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut known = vec![address(0)];
        assert!(!add(&mut known, vec![address(0)]));
        assert!(add(&mut known, (0..100).map(address).collect()));
        assert_eq!((known.len(), known[MOST - 1]), (MOST, address(99)));
    }
}
