//! Probe from the laptop's side: whether programs on the laptop find and reach the cluster.
//!
//! Every 15 s, and when the laptop wakes up or changes its network, the method looks up a name of the cluster and connects
//! to it in the way in which programs do. It counts only while the agent's side is fine, which the self-check says.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use slipway_control::ProblemSource;
use slipway_method::{Probe, Probed};
use slipway_names::Name;
use slipway_tunnel::Tunnel;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::name_events::Unseen;

/// Pause after a probe that succeeded.
const EVERY: Duration = Duration::from_secs(15);

/// Pause after a probe that failed.
const AGAIN: Duration = Duration::from_secs(3);

/// Probe of a connected session.
pub(crate) struct LaptopProbe {
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) tunnel: Tunnel,
    /// Name and port of a service that every cluster has.
    pub(crate) service: Name,
    pub(crate) port: u16,
    /// Whether the agent reaches that service.
    pub(crate) agent_is_fine: watch::Receiver<bool>,
    /// Wakes the probe before its time.
    pub(crate) now: Arc<Notify>,
    /// Wakes the self-check, which says whether the agent is at fault.
    pub(crate) check_agent: Arc<Notify>,
    pub(crate) unseen: Unseen,
}

impl LaptopProbe {
    /// Probes until it is dropped, which also withdraws its problem. One failure may be a moment in which the laptop
    /// changes, so that only the second one in a row counts.
    pub(crate) async fn run(mut self, problems: ProblemSource) -> Infallible {
        let mut is_suspected = false;
        loop {
            if !*self.agent_is_fine.borrow() {
                is_suspected = false;
                problems.clear();
            }
            if self.agent_is_fine.wait_for(|fine| *fine).await.is_err() {
                return std::future::pending().await;
            }
            let outcome = {
                let _unseen = self.unseen.hide(&self.service);
                self.probe.probe(&self.service, self.port).await
            };
            match outcome {
                _ if !*self.agent_is_fine.borrow() => continue,
                Ok(Probed::Unknown) => {}
                Err(_) if self.says_nothing() => {}
                Ok(Probed::Reached) => {
                    if is_suspected {
                        tracing::info!("programs on this laptop reach the cluster again");
                    }
                    is_suspected = false;
                    problems.clear();
                }
                Err(problem) => {
                    tracing::warn!(code = problem.code, "{problem}");
                    if is_suspected {
                        problems.set([problem]);
                    } else {
                        self.check_agent.notify_one();
                    }
                    is_suspected = true;
                }
            }
            let pause = if is_suspected || self.says_nothing() {
                AGAIN
            } else {
                EVERY
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.now.notified() => {}
                Ok(_) = self.agent_is_fine.wait_for(|fine| !*fine) => {}
            }
        }
    }

    /// Whether a failure has another reason, which the session tells anyway: no carrier, or no room for another connection.
    fn says_nothing(&self) -> bool {
        let stats = self.tunnel.stats();
        stats.carriers == 0 || stats.full.is_some()
    }
}
