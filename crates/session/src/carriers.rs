//! The carriers of a session: a few that are kept open, each by a task of its own.

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

/// Reports that wait to be taken. A carrier whose report does not fit waits with its next attempt.
const REPORTS: usize = 64;

/// How long an attempt to open a carrier may take. An API server that is back is found by the next attempt, so this
/// bounds how late that may be noticed: the kernel asks again 1 s after an attempt began, and not before 3 s.
pub(crate) const BRISK: Duration = Duration::from_secs(2);

/// How long every fourth attempt may take, for networks on which the others are too short.
pub(crate) const PATIENT: Duration = Duration::from_secs(12);

/// Attempts that are brisk before one is patient.
const BRISK_ATTEMPTS: usize = 3;

/// The pause after a failed attempt: the first, and the longest it grows to.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A carrier that lived this long was a good one: the next attempt comes at once.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// News of a carrier.
#[derive(Debug)]
pub(crate) enum Report {
    /// It is open; this is what the agent says of itself.
    Up(Introduction),
    /// There is no such carrier at present, and why; another attempt follows.
    Down(Trouble),
}

/// The tasks that keep carriers open. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Carriers {
    tasks: JoinSet<()>,
    pub(crate) reports: mpsc::Receiver<Report>,
}

impl Carriers {
    /// Keeps carriers to an agent open.
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

/// Keeps one carrier open.
struct Keeper<C> {
    cluster: Arc<C>,
    tunnel: Tunnel,
    run: u64,
    agent: PlacedAgent,
    report: mpsc::Sender<Report>,
    /// One carrier at a time is patient, so that the others look again soon.
    patience: Arc<Semaphore>,
}

/// A carrier to our agent.
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
            tracing::info!(%trouble, "no carrier");
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
