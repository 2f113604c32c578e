//! Scripted agent: the agent's end of the real tunnel, over pipes in memory that can be cut.

use std::sync::Arc;
use std::time::Duration;

use slipway_carrier::CarrierError;
use slipway_cluster::placement::{AgentPod, Owner};
use slipway_key::Key;
use slipway_tunnel::frame::Farewell;
use slipway_tunnel::{Incoming, Introduction, Limits, Request, Tunnel, proof};
use tokio::io::{DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::PlacedAgent;

/// Behavior of a scripted agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Serves,
    /// The agent serves, and everything that it sends is lost.
    Blocked,
    /// The port refuses connections.
    Refuses,
    /// The agent has another key.
    OtherKey,
    /// The agent accepts carriers and sends nothing.
    Silent,
    /// The API server forbids carriers.
    Forbidden,
}

/// The network between laptop and cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Works,
    /// Connections break, and new ones fail.
    Gone,
    /// Connections stay and carry nothing.
    Silent,
}

/// An agent in a scripted cluster.
pub(super) struct ScriptedAgent {
    pub(super) pod: String,
    manner: Manner,
    instance: watch::Sender<u64>,
    tunnel: Tunnel,
    /// Cancelled when the cluster tells that the agent ended.
    pub(super) ended: CancellationToken,
    /// Cancelled when the agent's pod is gone.
    pub(super) gone: CancellationToken,
}

pub(super) fn key() -> Key {
    Key::from_bytes([7; 32])
}

impl ScriptedAgent {
    pub(super) fn new(pod: &str, manner: Manner) -> Arc<Self> {
        let (tunnel, incoming) = Tunnel::agent(Limits::default());
        let gone = CancellationToken::new();
        let blocked = manner == Manner::Blocked;
        tokio::spawn(serve(tunnel.clone(), incoming, blocked, gone.clone()));
        Arc::new(Self {
            pod: pod.to_owned(),
            manner,
            instance: watch::Sender::new(1),
            tunnel,
            ended: CancellationToken::new(),
            gone,
        })
    }

    pub(super) fn placed(&self, found: bool) -> PlacedAgent {
        PlacedAgent {
            agent: AgentPod {
                namespace: "shop".to_owned(),
                pod: self.pod.clone(),
                uid: "1".to_owned(),
                owner: Owner::Bare,
                node: None,
                addresses: Vec::new(),
            },
            key: key(),
            found,
        }
    }

    /// Acts as another run of the agent from the next carrier on.
    pub(super) fn restart(&self) {
        self.instance.send_modify(|instance| *instance += 1);
    }

    /// Ends the agent. The cluster tells it, and a moment later the pod is gone with its carriers.
    pub(super) fn end(&self) {
        self.ended.cancel();
        let gone = self.gone.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            gone.cancel();
        });
    }

    pub(super) fn say_goodbye(&self) {
        self.tunnel.say_goodbye(Farewell::AgentEnds);
    }

    /// Opens a carrier that breaks with the network.
    pub(super) fn open(
        self: &Arc<Self>,
        mut network: watch::Receiver<Network>,
    ) -> Result<(ReadHalf<DuplexStream>, WriteHalf<DuplexStream>), CarrierError> {
        let message = String::new();
        if self.gone.is_cancelled() {
            return Err(CarrierError::PodNotFound { message });
        }
        let key = match self.manner {
            Manner::Refuses => return Err(CarrierError::PortRefused { message }),
            Manner::Forbidden => {
                let resource = "pods/portforward";
                return Err(CarrierError::Forbidden { message, resource });
            }
            Manner::OtherKey => Key::from_bytes([8; 32]),
            Manner::Serves | Manner::Blocked | Manner::Silent => key(),
        };
        let (laptop, pod) = duplex(1 << 16);
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            let carried = async {
                if agent.manner == Manner::Silent {
                    std::future::pending::<()>().await;
                }
                agent.carry(&key, pod).await;
            };
            let mut carried = std::pin::pin!(carried);
            loop {
                let now = *network.borrow_and_update();
                tokio::select! {
                    () = &mut carried, if now != Network::Silent => return,
                    () = agent.gone.cancelled() => return,
                    changed = network.changed() => if changed.is_err() { return },
                }
                if *network.borrow() == Network::Gone {
                    return;
                }
            }
        });
        Ok(split(laptop))
    }

    async fn carry(&self, key: &Key, pod: DuplexStream) {
        let (mut reader, mut writer) = split(pod);
        let introduction = Introduction {
            instance: *self.instance.borrow(),
            domain: Some("cluster.local".to_owned()),
        };
        let limit = Limits::default().proof;
        let proven = proof::prove_to_client(key, &introduction, &mut reader, &mut writer, limit).await;
        if proven.is_ok() {
            self.tunnel.carry(reader, writer).await;
        }
    }
}

/// Sends datagrams back, and keeps connections open. A blocked agent never answers a request for one.
async fn serve(tunnel: Tunnel, mut incoming: Incoming, blocked: bool, gone: CancellationToken) {
    let mut streams = Vec::new();
    let mut unanswered = Vec::new();
    loop {
        tokio::select! {
            () = gone.cancelled() => return,
            Some(request) = incoming.recv() => match request {
                Request::Open(open) if blocked => unanswered.push(open),
                Request::Open(open) => streams.push(open.accept()),
                Request::Datagram { flow, payload, .. } => tunnel.deliver(flow, payload),
                Request::Ask(_) | Request::Echo(_) | Request::Goodbye(_) => {}
            },
        }
    }
}
