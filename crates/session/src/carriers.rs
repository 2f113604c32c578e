//! The carriers of a session: a few that are kept open, each by a task of its own.

use std::sync::Arc;
use std::time::Duration;

use slipway_carrier::{CarrierError, Endpoint, Ladder};
use slipway_cluster::placement::{AGENT_CONTAINER, AGENT_PORT, Agent, agent_command};
use slipway_tunnel::{CarrierEnd, Introduction, Key, Limits, ProofError, Tunnel, proof};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Carriers at one time: one for conversations, one for bulk data, and neither waits for the other.
const COUNT: usize = 2;

/// How long an attempt to open a carrier may take. An API server that is back is found by the next attempt, so this
/// bounds how late that may be noticed.
const BRISK: Duration = Duration::from_secs(3);

/// How long every fourth attempt may take, for networks on which the others are too short.
const PATIENT: Duration = Duration::from_secs(12);

/// The pause after a failed attempt: the first, and the longest it grows to.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A carrier that lived this long was a good one: the next attempt comes at once.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// What befell a carrier.
#[derive(Debug)]
pub(crate) enum Report {
    /// It stands; this is what the agent says of itself.
    Up(Introduction),
    /// There is no such carrier at present, and why; another attempt follows.
    Down(Trouble),
}

/// Why there is no carrier.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It could not be opened.
    #[error("it could not be opened: {0}")]
    Open(CarrierError),
    /// What answered is not our agent.
    #[error("what answered is not our agent: {0}")]
    Proof(ProofError),
    /// It stood and ended.
    #[error("it ended: {0}")]
    Ended(CarrierEnd),
    /// Nobody listens to reports any more.
    #[error("the session ends")]
    Unwatched,
    /// Nothing came of it in time.
    #[error("nothing came of it within {0:?}")]
    Slow(Duration),
}

/// The tasks that keep carriers open. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Carriers {
    _tasks: JoinSet<()>,
    pub(crate) reports: mpsc::Receiver<Report>,
}

/// What every carrier of a session has in common.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) client: kube::Client,
    pub(crate) ladder: Arc<Ladder>,
    pub(crate) tunnel: Tunnel,
    /// Names this run of the session to its agent.
    pub(crate) run: u64,
}

impl Carriers {
    /// Keeps carriers to an agent open.
    ///
    /// # Errors
    ///
    /// When the agent's pod has a name that no carrier can lead to.
    pub(crate) fn start(way: &Way, agent: &Agent, key: &Key) -> Result<Carriers, CarrierError> {
        let port = AGENT_PORT.to_string();
        // Where port-forward does not get through, the agent's program joins its own standard input and output.
        let endpoint = Endpoint::new(&agent.namespace, &agent.pod, AGENT_PORT)?
            .with_command(AGENT_CONTAINER, agent_command(&["stdio", "--port", &port]));
        let (report, reports) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        for place in 0..COUNT {
            tasks.spawn(keep(
                place,
                way.clone(),
                endpoint.clone(),
                key.clone(),
                report.clone(),
            ));
        }
        Ok(Carriers {
            _tasks: tasks,
            reports,
        })
    }
}

async fn keep(place: usize, way: Way, endpoint: Endpoint, key: Key, report: mpsc::Sender<Report>) {
    let mut pause = FIRST_PAUSE;
    // Places are patient in turn, so that one of them always looks again soon.
    let mut attempt = place * 2;
    loop {
        let begun = Instant::now();
        let limit = if attempt % 4 == 3 { PATIENT } else { BRISK };
        let trouble = carry(&way, &endpoint, &key, &report, limit).await;
        attempt += 1;
        tracing::info!(%trouble, "no carrier");
        if report.send(Report::Down(trouble)).await.is_err() {
            return;
        }
        if begun.elapsed() >= GOOD_LIFE + PATIENT {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn carry(
    way: &Way,
    endpoint: &Endpoint,
    key: &Key,
    report: &mpsc::Sender<Report>,
    limit: Duration,
) -> Trouble {
    let opening = async {
        let pipe = way
            .ladder
            .open(&way.client, endpoint)
            .await
            .map_err(Trouble::Open)?;
        let (mut reader, mut writer) = pipe.into_split();
        let proof_limit = Limits::default().proof;
        let agent = proof::prove_to_agent(key, way.run, &mut reader, &mut writer, proof_limit)
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
        Ok((reader, writer, agent))
    };
    let (reader, writer, agent) = match tokio::time::timeout(limit, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(trouble)) => return trouble,
        Err(_) => return Trouble::Slow(limit),
    };
    if report.send(Report::Up(agent)).await.is_err() {
        return Trouble::Unwatched;
    }
    Trouble::Ended(way.tunnel.carry(reader, writer).await)
}

impl Trouble {
    /// Whether no further attempt can cure it: the agent is gone or is not ours.
    pub(crate) fn is_lost_agent(&self) -> bool {
        match self {
            Trouble::Open(
                CarrierError::PodNotFound { .. }
                | CarrierError::PodGone { .. }
                | CarrierError::PortRefused { .. },
            ) => true,
            Trouble::Proof(ProofError::WrongKey | ProofError::NotATunnel | ProofError::Version { .. }) => {
                true
            }
            Trouble::Open(_)
            | Trouble::Proof(_)
            | Trouble::Ended(_)
            | Trouble::Unwatched
            | Trouble::Slow(_) => false,
        }
    }
}
