//! Carriers of a session: each is kept open by its own task.

use std::sync::Arc;
use std::time::Duration;

use slipway_carrier::CarrierError;
use slipway_tunnel::{CARRIERS, Introduction, Limits, ProofError, Tunnel, proof};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{Cluster, PlacedAgent};
use crate::link::Link;
use crate::trouble::Trouble;

/// Capacity of the queue of reports. A task whose report does not fit delays its next attempt.
const REPORTS: usize = 64;

/// Limit of most attempts to open a carrier. It bounds how late a session notices that the API server is back: the
/// kernel repeats a lost SYN 1 s and 3 s after the attempt began, and a new attempt is sooner than that.
pub(crate) const BRISK: Duration = Duration::from_secs(2);

/// Limit of every fourth attempt, for slow networks on which [`BRISK`] is too short.
pub(crate) const PATIENT: Duration = Duration::from_secs(12);

/// Number of brisk attempts between two patient ones.
const BRISK_ATTEMPTS: usize = 3;

/// Pause after a failed attempt: the first one, and the longest that it grows to.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Life from which on a carrier counts as good: the next attempt follows without a pause.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// Change of one carrier.
#[derive(Debug)]
pub(crate) enum Report {
    /// The carrier is open. The introduction is the agent's.
    Up(Introduction),
    /// The carrier is missing for this reason; another attempt follows.
    Down(Trouble),
}

/// The tasks that keep carriers open. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Carriers {
    tasks: JoinSet<()>,
    pub(crate) reports: mpsc::Receiver<Report>,
}

impl Carriers {
    /// Starts the tasks that keep carriers to `agent` open.
    pub(crate) fn start<C: Cluster>(link: &Link<C>, agent: &PlacedAgent) -> Self {
        let (report, reports) = mpsc::channel(REPORTS);
        let mut tasks = JoinSet::new();
        let patience = Arc::new(Semaphore::new(1));
        for _ in 0..CARRIERS {
            let keeper = Keeper {
                cluster: link.cluster.clone(),
                tunnel: link.tunnel.clone(),
                run: link.run,
                agent: agent.clone(),
                report: report.clone(),
                patience: patience.clone(),
            };
            tasks.spawn(keeper.keep());
        }
        Self { tasks, reports }
    }

    /// Ends all carriers and attempts, and returns when they have ended.
    pub(crate) async fn give_up(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Task that keeps one carrier open.
struct Keeper<C> {
    cluster: Arc<C>,
    tunnel: Tunnel,
    run: u64,
    agent: PlacedAgent,
    report: mpsc::Sender<Report>,
    /// Permit for a patient attempt. Only one carrier at a time holds it, so that the others retry soon.
    patience: Arc<Semaphore>,
}

/// Open carrier whose agent has proven the session's key.
struct Opened<R, W> {
    reader: R,
    writer: W,
    agent: Introduction,
}

impl<C: Cluster> Keeper<C> {
    async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        let mut failed = 0;
        loop {
            let patient = (failed >= BRISK_ATTEMPTS)
                .then(|| self.patience.try_acquire().ok())
                .flatten();
            let limit = match &patient {
                Some(_) => PATIENT,
                None => self.cluster.head_start() + BRISK,
            };
            let opened = tokio::time::timeout(limit, self.open())
                .await
                .unwrap_or(Err(Trouble::Slow(limit)));
            failed = if patient.is_some() { 0 } else { failed + 1 };
            drop(patient);
            let trouble = match opened {
                Ok(Opened {
                    reader,
                    writer,
                    agent,
                }) => {
                    if self.report.send(Report::Up(agent)).await.is_err() {
                        return;
                    }
                    let begun = Instant::now();
                    let end = self.tunnel.carry(reader, writer).await;
                    failed = 0;
                    if begun.elapsed() >= GOOD_LIFE {
                        pause = Duration::ZERO;
                    }
                    Trouble::Ended(end)
                }
                Err(trouble) => trouble,
            };
            tracing::info!(%trouble, "carrier is missing");
            if self.report.send(Report::Down(trouble)).await.is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        }
    }

    async fn open(&self) -> Result<Opened<C::Reader, C::Writer>, Trouble> {
        let opened = self.cluster.open(&self.agent.agent).await;
        let (mut reader, mut writer) = opened.map_err(Trouble::Open)?;
        let proof_limit = Limits::default().proof;
        let agent = proof::prove_to_agent(&self.agent.key, self.run, &mut reader, &mut writer, proof_limit)
            .await
            .map_err(|error| match &error {
                ProofError::Broken(broken) => match CarrierError::of(broken) {
                    Some(carrier) => Trouble::Open(carrier.clone()),
                    None => Trouble::Proof(error),
                },
                ProofError::NoRandom
                | ProofError::NotATunnel
                | ProofError::Version { .. }
                | ProofError::WrongKey
                | ProofError::TimedOut(_) => Trouble::Proof(error),
            })?;
        Ok(Opened {
            reader,
            writer,
            agent,
        })
    }
}
