//! Server of one session: accepts carriers, and keeps the tunnel until the session ends or stays away too long.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use slipway_key::Key;
use slipway_tunnel::frame::Farewell;
use slipway_tunnel::{Incoming, Introduction, Limits, Request, Tunnel, proof};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::resolve::{self, NameServers};
use crate::{datagrams::Datagrams, dial, echo::Echoes};

/// Largest number of carriers: a session has two, and during a reconnection as many that are not yet known to be dead.
const MOST_CARRIERS: usize = 16;

/// Time for the carriers' writers to send a farewell. No answer follows it.
const GOODBYE: Duration = Duration::from_millis(100);

/// Serves until the session ends, or no client returned within `grace`. `descriptors` is the number of descriptors that
/// this process may have.
///
/// # Errors
///
/// Returns an error when the agent cannot listen on the port or for signals.
pub(crate) async fn serve(key: Key, port: u16, grace: Duration, descriptors: u64) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("Failed to listen on port {port} of the pod's loopback"))?;
    let mut term = signal(SignalKind::terminate()).context("Failed to listen for signals")?;
    let (over, mut ended) = mpsc::channel(1);
    let (names, domain) = resolve::of_the_pod();
    let agent = Arc::new(Agent {
        key,
        descriptors,
        introduction: Introduction {
            instance: random().context("Failed to name this run of the agent")?,
            domain,
        },
        names: Arc::new(names),
        session: Mutex::new(None),
        carriers: watch::Sender::new(0),
        unproven: watch::Sender::new(0),
        over,
    });
    tracing::info!(port, ?grace, "waiting for the session");
    let mut carriers = JoinSet::new();
    let mut left_alone = pin!(agent.is_left_alone(grace));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) if carriers.len() < MOST_CARRIERS => {
                    carriers.spawn(agent.clone().carry(socket));
                }
                Ok(_) => tracing::warn!("refused a carrier: there are {MOST_CARRIERS} already"),
                Err(error) => tracing::warn!(%error, "could not accept a carrier"),
            },
            Some(_) = carriers.join_next() => {}
            () = &mut left_alone => {
                tracing::info!(?grace, "no client returned within the grace time");
                return Ok(());
            }
            _ = ended.recv() => {
                tracing::info!("the session ended");
                return Ok(());
            }
            _ = term.recv() => {
                agent.say_goodbye().await;
                return Ok(());
            }
        }
    }
}

/// Connects standard input and output to the agent that serves on `port`.
///
/// # Errors
///
/// Returns an error when no agent serves there, or a connection breaks.
pub(crate) async fn join_stdio(port: u16) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("No agent serves on port {port}"))?;
    socket.set_nodelay(true)?;
    let mut stdio = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    tokio::io::copy_bidirectional(&mut stdio, &mut socket).await?;
    socket.shutdown().await?;
    Ok(())
}

struct Agent {
    key: Key,
    descriptors: u64,
    /// Identifies this run, so that a client notices when another agent has replaced this one.
    introduction: Introduction,
    names: Arc<NameServers>,
    session: Mutex<Option<Session>>,
    carriers: watch::Sender<usize>,
    /// Number of carriers whose proof is not complete.
    unproven: watch::Sender<usize>,
    over: mpsc::Sender<()>,
}

/// One run of a session, with the task that serves it.
struct Session {
    id: u64,
    tunnel: Tunnel,
    serving: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Agent {
    async fn carry(self: Arc<Agent>, socket: TcpStream) {
        let limits = limits();
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "could not set an option of a carrier's socket");
        }
        let (mut reader, mut writer) = socket.into_split();
        let unproven = Counted::one(&self.unproven);
        let proven = proof::prove_to_client(
            &self.key,
            &self.introduction,
            &mut reader,
            &mut writer,
            limits.proof,
        )
        .await;
        let id = match proven {
            Ok(id) => id,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "refused a carrier");
                return;
            }
        };
        let tunnel = self.tunnel_of(id);
        let _guard = Counted::one(&self.carriers);
        drop(unproven);
        let end = tunnel.carry(reader, writer).await;
        tracing::info!(end = &end as &dyn std::error::Error, "carrier ended");
    }

    /// Returns the tunnel of a session's run: the current one, or a new one that replaces it.
    fn tunnel_of(&self, id: u64) -> Tunnel {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = session.as_ref().filter(|session| session.id == id) {
            return session.tunnel.clone();
        }
        tracing::info!(again = session.is_some(), "session began");
        let limits = limits().within(self.descriptors);
        tracing::info!(streams = limits.streams, "room for connections");
        let (tunnel, requests) = Tunnel::agent(limits);
        let datagrams = Datagrams::new(tunnel.clone(), self.descriptors);
        let serving = act_on(
            tunnel.clone(),
            requests,
            datagrams,
            self.names.clone(),
            self.over.clone(),
        );
        *session = Some(Session {
            id,
            tunnel: tunnel.clone(),
            serving: tokio::spawn(serving).abort_handle(),
        });
        tunnel
    }

    /// Waits until there was no carrier for the whole grace. If a client connected within it and has not completed its
    /// proof, the wait is extended once by the limit of the proof.
    async fn is_left_alone(&self, grace: Duration) {
        let mut carriers = self.carriers.subscribe();
        loop {
            drop(carriers.wait_for(|count| *count == 0).await);
            if within(grace, &mut carriers).await {
                continue;
            }
            if *self.unproven.borrow() == 0 || !within(limits().proof, &mut carriers).await {
                return;
            }
        }
    }

    /// Sends a farewell to the client, which would otherwise notice the end of this agent only by silence.
    async fn say_goodbye(&self) {
        let tunnel = {
            let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            session.as_ref().map(|session| session.tunnel.clone())
        };
        let Some(tunnel) = tunnel else { return };
        tunnel.say_goodbye(Farewell::AgentEnds);
        tokio::time::sleep(GOODBYE).await;
    }
}

/// Waits until there is a carrier. Returns whether there was one within `limit`.
async fn within(limit: Duration, carriers: &mut watch::Receiver<usize>) -> bool {
    let one = carriers.wait_for(|count| *count > 0);
    tokio::time::timeout(limit, one).await.is_ok()
}

/// Guard that counts a carrier while it exists, even if its task is aborted.
struct Counted<'a>(&'a watch::Sender<usize>);

impl<'a> Counted<'a> {
    fn one(of: &'a watch::Sender<usize>) -> Counted<'a> {
        of.send_modify(|count| *count += 1);
        Counted(of)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Returns smaller limits than the session's, because the pod has 128 MiB for the binary, the streams and the kernel's
/// memory for sockets.
fn limits() -> Limits {
    Limits {
        most_credit: 8 * 1024 * 1024,
        receive_budget: 24 * 1024 * 1024,
        most_in_flight: 16 * 1024 * 1024,
        ..Limits::default()
    }
}

async fn act_on(
    tunnel: Tunnel,
    mut requests: Incoming,
    mut datagrams: Datagrams,
    names: Arc<NameServers>,
    over: mpsc::Sender<()>,
) {
    let mut tasks = JoinSet::new();
    let echoes = Echoes::start(tunnel, &mut tasks);
    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            Some(_) = tasks.join_next() => continue,
        };
        match request {
            None => return,
            Some(Request::Open(request)) => {
                tasks.spawn(dial::dial(request));
            }
            Some(Request::Ask(asked)) => {
                let names = names.clone();
                tasks.spawn(async move {
                    let outcome = names.ask(&asked.message).await;
                    asked.answer(outcome);
                });
            }
            Some(Request::Datagram { flow, to, payload }) => datagrams.send(flow, to, payload),
            Some(Request::Echo(echo)) => echoes.send(&echo),
            Some(Request::Goodbye(Farewell::SessionEnds)) => {
                // A full channel means that the end was signaled already.
                let _ = over.try_send(());
            }
            Some(Request::Goodbye(Farewell::SessionLeaves | Farewell::AgentEnds)) => {}
        }
    }
}

fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("The system returned no random bytes")?;
    Ok(u64::from_ne_bytes(bytes))
}
