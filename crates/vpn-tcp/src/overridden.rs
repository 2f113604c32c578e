//! Watch of the laptop's routing. After every change, the lease is checked again, and then whether packets to its routes
//! really go to the cluster.

use std::time::Duration;

use ipnet::IpNet;
use slipway_laptop::{Kernel, Overridden, Routing};
use slipway_problem::{Action, Fault};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::doctor;
use crate::need::Need;
use crate::reach::Reach;

/// Pause after a change, before the checks: changes of routes come in groups.
const SETTLE: Duration = Duration::from_millis(300);

/// Returns which of these routes other rules or routes of the laptop override. None if the kernel does not say.
pub(crate) async fn check(routes: &[IpNet]) -> Vec<Overridden> {
    let checked = async { Ok::<_, std::io::Error>(Kernel::open()?.overridden(routes).await?) };
    checked.await.unwrap_or_else(|error| {
        tracing::info!(%error, "cannot ask the kernel where packets to the cluster go");
        Vec::new()
    })
}

/// Checks again after every change of the laptop's routing or of the lease's routes, and publishes the result. `routing`
/// is a watch from before the lease.
pub(crate) async fn follow(mut routing: Routing, reach: watch::Sender<Reach>, needs: mpsc::Sender<Need>) {
    let mut seen = reach.subscribe();
    let mut has_moved = false;
    loop {
        if has_moved {
            // First: a route that leaves the lease is not overridden.
            tokio::select! {
                () = recheck(&needs) => {}
                // Then the keeper is busy until it has a new lease.
                _ = seen.wait_for(|reach| reach.helper_away) => {}
            }
        }
        let checked = routes(&seen.borrow_and_update());
        let found = match &checked {
            Some(routes) => check(routes).await,
            None => Vec::new(),
        };
        publish(&reach, found);
        has_moved = loop {
            tokio::select! {
                () = routing.changed() => break true,
                changed = seen.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // Other parts of the reach, and this result, need no check.
                    if routes(&seen.borrow_and_update()) != checked {
                        break false;
                    }
                }
            }
        };
        tokio::time::sleep(SETTLE).await;
    }
}

/// Has the keeper check the lease again.
async fn recheck(needs: &mpsc::Sender<Need>) {
    let (done, checked) = oneshot::channel();
    if needs.send(Need::Recheck { done }).await.is_ok() {
        // Fails if the session ends.
        let _ = checked.await;
    }
}

fn publish(reach: &watch::Sender<Reach>, found: Vec<Overridden>) {
    reach.send_if_modified(|reach| {
        let is_new = reach.overridden != found;
        if is_new {
            for overridden in &found {
                tracing::warn!("{overridden}");
            }
            reach.overridden = found;
        }
        is_new
    });
}

/// Returns the routes of the lease; `None` while there are none, because the helper is gone.
fn routes(reach: &Reach) -> Option<Vec<IpNet>> {
    (!reach.helper_away).then(|| reach.routes.clone())
}

/// Problem of networks whose packets do not reach the cluster.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RangeOverridden<'a>(pub(crate) &'a Overridden);

impl Fault for RangeOverridden<'_> {
    fn code(&self) -> &str {
        "range-overridden"
    }

    fn remedy(&self) -> String {
        Overridden::REMEDY.to_owned()
    }

    fn actions(&self) -> Vec<Action> {
        vec![doctor()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a busy machine may take for a check.
    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn routes_are_checked_while_the_helper_is_there() {
        let first = Reach {
            // A network for documentation, to which no helper has a route (RFC 5737).
            routes: vec!["192.0.2.0/24".parse().unwrap()],
            ..Reach::default()
        };
        let (reach, mut seen) = watch::channel(first);
        let (needs, _needed) = mpsc::channel(1);
        let following = tokio::spawn(follow(Routing::watch(), reach.clone(), needs));
        let found = seen.wait_for(|reach| !reach.overridden.is_empty());
        tokio::time::timeout(LIMIT, found).await.unwrap().unwrap();
        reach.send_modify(|reach| reach.helper_away = true);
        let withdrawn = seen.wait_for(|reach| reach.overridden.is_empty());
        tokio::time::timeout(LIMIT, withdrawn).await.unwrap().unwrap();
        following.abort();
    }
}
