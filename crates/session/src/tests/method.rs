//! Recording method: captures nothing, and records its calls.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control_api::{CaptureStatus, NameOutcome, Problem};
use slipway_method::{
    Additions, Changer, Connection, Explainer, Method, Probe, Probed, Report, RunningMethod,
};
use slipway_names::{Explanation, Finding, Name, Namespaces};
use slipway_tunnel::{PacketReply, Tunnel};
use tokio::sync::{mpsc, watch};

use super::cluster::Answer;

/// Script of a method, and a record of its calls.
pub(super) struct Record {
    pub(super) checked: Answer,
    pub(super) started: Answer,
    pub(super) stopped: Answer,
    /// Time in which the cluster answers for a name.
    pub(super) host_takes: Duration,
    /// The cluster's answer for every name; `None` if it cannot be asked.
    pub(super) found: Mutex<Option<(NameOutcome, Vec<IpAddr>)>>,
    pub(super) starts: AtomicUsize,
    pub(super) stops: AtomicUsize,
    pub(super) forgotten: AtomicUsize,
    pub(super) probes: AtomicUsize,
    pub(super) probed: watch::Sender<Answer>,
    pub(super) namespaces: watch::Sender<Namespaces>,
    pub(super) additions: watch::Sender<Additions>,
    pub(super) report: watch::Sender<Report>,
    pub(super) ended: watch::Sender<Option<Problem>>,
    pub(super) never: Mutex<Option<watch::Receiver<Vec<IpAddr>>>>,
    pub(super) connection: Mutex<Option<(Tunnel, mpsc::Receiver<PacketReply>)>>,
}

impl Default for Record {
    fn default() -> Self {
        let report = Report {
            capture: CaptureStatus::Unknown,
            problems: Vec::new(),
        };
        Self {
            checked: Answer::Yes,
            started: Answer::Yes,
            stopped: Answer::Yes,
            host_takes: Duration::ZERO,
            found: Mutex::default(),
            starts: AtomicUsize::new(0),
            stops: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            probed: watch::Sender::new(Answer::Yes),
            namespaces: watch::Sender::new(Namespaces::Unknown),
            additions: watch::Sender::new(Additions::default()),
            report: watch::Sender::new(report),
            ended: watch::Sender::new(None),
            never: Mutex::default(),
            connection: Mutex::default(),
        }
    }
}

impl Record {
    pub(super) fn starts(&self) -> usize {
        self.starts.load(Ordering::Relaxed)
    }

    pub(super) fn stops(&self) -> usize {
        self.stops.load(Ordering::Relaxed)
    }

    pub(super) fn forgotten(&self) -> usize {
        self.forgotten.load(Ordering::Relaxed)
    }

    pub(super) fn tunnel(&self) -> Tunnel {
        self.connection.lock().unwrap().as_ref().unwrap().0.clone()
    }

    /// Sends a datagram through the tunnel and waits for its reply.
    pub(super) async fn round_trip(&self) -> PacketReply {
        let (tunnel, mut packets) = self.connection.lock().unwrap().take().unwrap();
        let to = SocketAddr::from(([10, 96, 0, 10], 53));
        tunnel.send_datagram(1, to, b"ping"[..].into());
        packets.recv().await.unwrap()
    }
}

#[derive(Clone)]
pub(super) struct Recording(pub(super) Arc<Record>);

pub(super) fn problem(code: &str) -> Problem {
    Problem::new(code, "It is so.", "Change it.")
}

async fn answer(answer: Answer, code: &str) -> Result<(), Problem> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    match answer {
        Answer::Yes => Ok(()),
        Answer::No | Answer::NotNow => Err(problem(code)),
        Answer::Never => std::future::pending().await,
    }
}

impl Method for Recording {
    fn check(&self) -> BoxFuture<'_, Result<(), Problem>> {
        answer(self.0.checked, "no-device").boxed()
    }

    fn start(
        self: Box<Self>,
        connection: Connection,
    ) -> BoxFuture<'static, Result<Box<dyn RunningMethod>, Problem>> {
        let started = async move {
            answer(self.0.started, "not-started").await?;
            self.0.starts.fetch_add(1, Ordering::Relaxed);
            *self.0.never.lock().unwrap() = Some(connection.never);
            let kept = (connection.tunnel, connection.packets);
            *self.0.connection.lock().unwrap() = Some(kept);
            Ok(self as Box<dyn RunningMethod>)
        };
        started.boxed()
    }
}

impl RunningMethod for Recording {
    fn report(&self) -> watch::Receiver<Report> {
        self.0.report.subscribe()
    }

    fn set_namespaces(&self, namespaces: Namespaces) {
        self.0.namespaces.send_replace(namespaces);
    }

    fn forget_answers(&self) {
        self.0.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    fn explainer(&self) -> Arc<dyn Explainer> {
        Arc::new(self.clone())
    }

    fn changer(&self) -> Arc<dyn Changer> {
        Arc::new(self.clone())
    }

    fn probe(&self) -> Option<Arc<dyn Probe>> {
        Some(Arc::new(self.clone()))
    }

    fn ended(&self) -> BoxFuture<'static, Problem> {
        let mut ended = self.0.ended.subscribe();
        async move { ended.wait_for(Option::is_some).await.unwrap().clone().unwrap() }.boxed()
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        let stopped = async move {
            self.0.stops.fetch_add(1, Ordering::Relaxed);
            answer(self.0.stopped, "not-stopped").await.unwrap();
        };
        stopped.boxed()
    }
}

impl Probe for Recording {
    fn probe<'a>(&'a self, _: &'a Name, _: u16) -> BoxFuture<'a, Result<Probed, Problem>> {
        let outcome = async {
            self.0.probes.fetch_add(1, Ordering::Relaxed);
            let probed = *self.0.probed.borrow();
            answer(probed, "not-reached").await.map(|()| Probed::Reached)
        };
        outcome.boxed()
    }
}

impl Changer for Recording {
    fn change(&self, additions: Additions) -> BoxFuture<'_, Vec<Problem>> {
        self.0.additions.send_replace(additions);
        std::future::ready(self.0.report.borrow().problems.clone()).boxed()
    }
}

impl Explainer for Recording {
    fn explain<'a>(&'a self, _: &'a Name) -> BoxFuture<'a, Explanation> {
        unimplemented!("names are explained in the tests of the resolver")
    }

    fn explain_whole<'a>(&'a self, _: &'a Name) -> BoxFuture<'a, Explanation> {
        unimplemented!("names are explained in the tests of the resolver")
    }

    fn answer_neighbor(&self, _: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        unimplemented!("names are answered in the tests of the resolver")
    }

    fn in_cluster<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Option<Finding>> {
        async {
            tokio::time::sleep(self.0.host_takes).await;
            let (outcome, addresses) = self.0.found.lock().unwrap().clone()?;
            Some(Finding {
                outcome,
                asked: name.clone(),
                addresses,
                took: self.0.host_takes,
            })
        }
        .boxed()
    }
}
