//! Capture: its start, its tasks and its stop.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::back_end::{BackEnd, Chosen, choose};
use crate::connections::Connections;
use crate::dropped::Dropped;
use crate::lost::Lost;
use crate::private_namespace::{ChildEnd, NamespaceBackEnd};
use crate::pump::Inwards;
use crate::questions::Questions;
use crate::replies::Datagrams;
use crate::rewriting::RewritingBackEnd;
use crate::tasks::Tasks;
use crate::tcp_back_end::TcpBackEnd;
use crate::tun::{LaptopTun, Tun};
use crate::{CaptureError, DnsService, FarEnd, Replies, Setup};

/// The time between two searches for connections and flows that are too old.
const SWEEP: Duration = Duration::from_secs(1);
/// How long the child may take to end, including the kernel's removal of its namespace.
const CHILD_END_LIMIT: Duration = Duration::from_secs(5);

/// A running capture. Dropping it ends its tasks and child process; [`Capture::stop`] waits for that.
#[derive(Debug)]
pub struct Capture {
    laptop: Arc<LaptopTun>,
    datagrams: Arc<Datagrams>,
    dropped: Arc<Dropped>,
    tasks: Tasks,
    back_end: BackEnd,
    child: Option<ChildEnd>,
    lost: Mutex<mpsc::Receiver<Lost>>,
}

impl Capture {
    /// Starts capturing what arrives on `tun`.
    ///
    /// `tun` is an `IFF_TUN | IFF_NO_PI` device, best with an MTU of 65535. The caller routes what is to be
    /// captured into it; routes may change while this runs. Call it within a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// See [`CaptureError`]. Nothing is left behind.
    pub async fn start<F: FarEnd, R: DnsService>(
        tun: OwnedFd,
        setup: Setup,
        far: F,
        resolver: R,
    ) -> Result<Self, CaptureError> {
        let tun = Tun::adopt(tun).map_err(|source| CaptureError::Tun { source })?;
        let device = tun.name();
        let laptop = Arc::new(LaptopTun::new(tun));
        match choose(setup.back_end, !setup.tun_addresses.is_empty()).await? {
            Chosen::PrivateNamespace(namespace, private, child) => {
                let (back_end, outwards) = NamespaceBackEnd::new(namespace, private, Arc::clone(&laptop));
                let (mut capture, _, losing) =
                    Self::run(BackEnd::PrivateNamespace, back_end, laptop, setup, far, resolver);
                capture.tasks.spawn(outwards.run());
                capture.tasks.spawn(watch_child(child.clone(), losing));
                capture.child = Some(child);
                Ok(capture)
            }
            Chosen::Rewriting(refused) => {
                let started = RewritingBackEnd::start(&setup.tun_addresses, Arc::clone(&laptop));
                let (back_end, listeners) = match started {
                    Ok(started) => started,
                    Err(source) => return Err(blocked(device, refused, source)),
                };
                if let Some(refused) = &refused {
                    tracing::info!(%refused, "packets are rewritten instead");
                }
                let (capture, connections, _) =
                    Self::run(BackEnd::Rewriting, back_end, laptop, setup, far, resolver);
                connections.accept_on(listeners);
                if let Err(source) = connections.back_end().self_test().await {
                    drop(connections);
                    capture.stop().await;
                    return Err(blocked(device, refused, source));
                }
                Ok(capture)
            }
        }
    }

    /// Starts the tasks that both back ends need. An early return of the caller drops the capture, which ends them.
    fn run<F: FarEnd, R: DnsService, B: TcpBackEnd>(
        kind: BackEnd,
        back_end: B,
        laptop: Arc<LaptopTun>,
        setup: Setup,
        far: F,
        resolver: R,
    ) -> (Self, Arc<Connections<F, R, B>>, mpsc::Sender<Lost>) {
        let tasks = Tasks::new();
        let dropped = Arc::new(Dropped::default());
        let datagrams = Arc::new(Datagrams::new(Arc::clone(&laptop), Arc::clone(&dropped)));
        let connections = Arc::new(Connections::new(
            back_end,
            Arc::clone(&laptop),
            (far.clone(), resolver.clone()),
            Arc::clone(&dropped),
            tasks.clone(),
        ));
        let (losing, lost) = mpsc::channel(2);
        let inwards = Inwards {
            laptop: Arc::clone(&laptop),
            resolver_addresses: setup.resolver_addresses.into(),
            connections: Arc::clone(&connections),
            questions: Questions::new(resolver, Arc::clone(&laptop), Arc::clone(&dropped), tasks.clone()),
            datagrams: Arc::clone(&datagrams),
            far: far.clone(),
            dropped: Arc::clone(&dropped),
            lost: losing.clone(),
        };
        tasks.spawn(inwards.run());
        tasks.spawn(sweep(Arc::clone(&connections), Arc::clone(&datagrams), far));
        let capture = Self {
            laptop,
            datagrams,
            dropped,
            tasks,
            back_end: kind,
            child: None,
            lost: Mutex::new(lost),
        };
        (capture, connections, losing)
    }

    /// The back end in use.
    pub fn back_end(&self) -> BackEnd {
        self.back_end
    }

    /// The handle by which the far end answers with packets. The far end exists before its capture, so the code
    /// that starts both passes it on.
    pub fn replies(&self) -> Replies {
        self.datagrams.replies()
    }

    /// Closes the TUN (it is closed when this returns) and goes on with another, or waits for one if `None`.
    ///
    /// Connections live on as long as the next TUN comes with the same addresses before TCP gives up. This takes
    /// some microseconds.
    ///
    /// # Errors
    /// [`CaptureError::Tun`] when the new TUN cannot be used: none is attached then.
    pub async fn replace_tun(&self, tun: Option<OwnedFd>) -> Result<(), CaptureError> {
        let tun = tun.map(Tun::adopt).transpose();
        let (tun, result) = match tun {
            Ok(tun) => (tun, Ok(())),
            Err(source) => (None, Err(CaptureError::Tun { source })),
        };
        self.laptop.replace(tun).await;
        result
    }

    /// Waits until the capture loses something that it cannot restore by itself. Each loss is reported once.
    pub async fn lost(&self) -> Lost {
        match self.lost.lock().await.recv().await {
            Some(lost) => lost,
            // Every sender is gone: the capture is being stopped.
            None => std::future::pending().await,
        }
    }

    /// Ends the capture: when this returns, its tasks and child process are gone and its TUN is closed.
    pub async fn stop(mut self) {
        self.end();
        self.tasks.ended().await;
        if let Some(child) = &mut self.child
            && timeout(CHILD_END_LIMIT, child.wait()).await.is_err()
        {
            tracing::warn!("the private namespace's process has not ended in time");
        }
        tracing::debug!(dropped = ?self.dropped, "capture stopped");
    }

    fn end(&self) {
        self.tasks.cancel();
        self.laptop.end();
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

async fn sweep<F: FarEnd, R: DnsService, B: TcpBackEnd>(
    connections: Arc<Connections<F, R, B>>,
    datagrams: Arc<Datagrams>,
    far: F,
) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        connections.expire(now);
        for over in datagrams.expire(now) {
            far.datagrams_ended(over);
        }
    }
}

async fn watch_child(mut child: ChildEnd, losing: mpsc::Sender<Lost>) {
    child.wait().await;
    let _ = losing.send(Lost::Namespace).await;
}

/// The error when rewriting does not work, and the private namespace was `refused` if it was tried.
fn blocked(device: String, refused: Option<CaptureError>, source: io::Error) -> CaptureError {
    let blocked = CaptureError::RewritingBlocked { device, source };
    match refused {
        Some(refused) => CaptureError::NoBackEnd {
            refused: Box::new(refused),
            blocked: Box::new(blocked),
        },
        None => blocked,
    }
}
