//! The carriers of a session: a few that are kept open, each by a task of its own.

use std::sync::Arc;
use std::time::Duration;

use slipway_carrier::{CarrierError, Endpoint, HEAD_START, Ladder, PipeReader, PipeWriter};
use slipway_cluster::placement::{AGENT_CONTAINER, AGENT_PORT, Agent, agent_command};
use slipway_tunnel::{CARRIERS, CarrierEnd, Introduction, Key, Limits, ProofError, Tunnel, proof};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long an attempt to open a carrier may take. An API server that is back is found by the next attempt, so this
/// bounds how late that may be noticed: the kernel asks again 1 s after an attempt began, and not before 3 s.
const BRISK: Duration = Duration::from_secs(2);

/// How long every fourth attempt may take, for networks on which the others are too short.
const PATIENT: Duration = Duration::from_secs(12);

/// Attempts that are brisk before one is patient.
const BRISK_ATTEMPTS: usize = 3;

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
    /// Nothing came of it in time.
    #[error("nothing came of it within {0:?}")]
    Slow(Duration),
}

/// The tasks that keep carriers open. Dropping this ends them.
#[derive(Debug)]
pub(crate) struct Carriers {
    tasks: JoinSet<()>,
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
        let patience = Arc::new(Semaphore::new(1));
        for _place in 0..CARRIERS {
            tasks.spawn(keep(
                way.clone(),
                endpoint.clone(),
                key.clone(),
                report.clone(),
                patience.clone(),
            ));
        }
        Ok(Carriers { tasks, reports })
    }

    /// Ends all carriers and attempts, and returns when they have ended.
    pub(crate) async fn give_up(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Keeps one carrier open. Only whoever holds `patience` is patient, so that the others look again soon.
async fn keep(
    way: Way,
    endpoint: Endpoint,
    key: Key,
    report: mpsc::Sender<Report>,
    patience: Arc<Semaphore>,
) {
    let mut pause = FIRST_PAUSE;
    let mut failed = 0;
    loop {
        let patient = (failed >= BRISK_ATTEMPTS)
            .then(|| patience.try_acquire().ok())
            .flatten();
        let limit = match &patient {
            Some(_) => PATIENT,
            // What nobody knows the way to yet is found on the second rung after the first one's head start.
            None if way.ladder.preferred().is_none() => HEAD_START + BRISK,
            None => BRISK,
        };
        let opened = tokio::time::timeout(limit, open(&way, &endpoint, &key))
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
                if report.send(Report::Up(agent)).await.is_err() {
                    return;
                }
                let begun = Instant::now();
                let end = way.tunnel.carry(reader, writer).await;
                failed = 0;
                if begun.elapsed() >= GOOD_LIFE {
                    pause = Duration::ZERO;
                }
                Trouble::Ended(end)
            }
            Err(trouble) => trouble,
        };
        tracing::info!(%trouble, "no carrier");
        if report.send(Report::Down(trouble)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

/// A carrier to our agent.
struct Opened {
    reader: PipeReader,
    writer: PipeWriter,
    agent: Introduction,
}

async fn open(way: &Way, endpoint: &Endpoint, key: &Key) -> Result<Opened, Trouble> {
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
    Ok(Opened {
        reader,
        writer,
        agent,
    })
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
            Trouble::Open(_) | Trouble::Proof(_) | Trouble::Ended(_) | Trouble::Slow(_) => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use slipway_cluster::placement::Owner;
    use tokio::net::TcpListener;

    use super::*;

    /// Carriers through an API server that accepts and says nothing; and what keeps that one there.
    pub(crate) async fn into_a_black_hole() -> (Carriers, TcpListener) {
        let api_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", api_server.local_addr().unwrap());
        let client = slipway_carrier::client(kube::Config::new(url.parse().unwrap())).unwrap();
        let (tunnel, _events) = Tunnel::client(Limits::default());
        let way = Way {
            client,
            ladder: Arc::new(Ladder::new(None)),
            tunnel,
            run: 1,
        };
        let agent = Agent {
            namespace: "shop".to_owned(),
            pod: "slipway-agent-x".to_owned(),
            uid: "1".to_owned(),
            owner: Owner::Bare,
            node: None,
            addresses: Vec::new(),
        };
        let carriers = Carriers::start(&way, &agent, &Key::from_bytes([7; 32])).unwrap();
        (carriers, api_server)
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_says_nothing_is_asked_again_soon_however_patient_one_attempt_is() {
        let (mut carriers, _api_server) = into_a_black_hole().await;
        let mut ends = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < PATIENT * 6 {
            let Some(Report::Down(Trouble::Slow(limit))) = carriers.reports.recv().await else {
                panic!("nothing came, and nothing ended")
            };
            ends.push((begun.elapsed(), limit));
        }
        let patient = ends.iter().filter(|(_, limit)| *limit == PATIENT);
        let patient: Vec<_> = patient.map(|(end, limit)| *end - *limit..*end).collect();
        assert!(patient.len() >= 3, "slow networks get their turn: {ends:?}");
        assert!(
            patient.is_sorted_by(|one, next| one.end <= next.start),
            "never two at a time: {patient:?}"
        );
        // Whenever the API server is back, an attempt to connect is not far.
        let mut begins: Vec<_> = ends.iter().map(|(end, limit)| *end - *limit).collect();
        begins.sort();
        let longest = begins.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= HEAD_START + BRISK + LONGEST_PAUSE, "{longest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_has_ended() {
        let (mut carriers, _api_server) = into_a_black_hole().await;
        carriers.give_up().await;
        assert!(carriers.reports.recv().await.is_none(), "an attempt goes on");
    }
}
