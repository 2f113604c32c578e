//! Events: the answer that each question got, for programs that show it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use slipway_control_api::NameOutcome;
use tokio::sync::mpsc;

use crate::name::Name;
use crate::question::RecordType;

/// Source of an answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Answerer {
    /// The cluster's DNS.
    Cluster,
    /// The laptop's own name servers.
    Laptop,
    /// The cache: the cluster's DNS answered recently.
    Cache,
    /// Another session.
    Neighbor,
    /// This resolver, without asking any server.
    Us,
    /// None: no server gave an answer.
    Nobody,
}

/// An answered question.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The name that the program's resolver asked for.
    pub name: Name,
    /// The record type that it asked for.
    pub kind: RecordType,
    /// The source of the answer.
    pub answerer: Answerer,
    /// Whether the answer is an address, "no such name" or a failure.
    pub outcome: NameOutcome,
    /// The addresses that the answer gives for the name.
    pub addresses: Arc<[IpAddr]>,
    /// The full names that the cluster was asked for; empty if it was not asked.
    pub candidates: Arc<[Name]>,
    /// The socket from which the question came, if it is known.
    pub asker: Option<SocketAddr>,
    /// Time from question to answer.
    pub took: Duration,
}

/// Receiver of what the resolver does. It is called before every answer is given, so it must not block and must bound its
/// own queue.
pub struct Observer {
    pub(crate) asked: Box<dyn Fn(SocketAddr) + Send + Sync>,
    pub(crate) answered: Box<dyn Fn(Event) + Send + Sync>,
}

impl Observer {
    /// Makes an observer of answers.
    #[must_use]
    pub fn new(answered: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self {
            asked: Box::new(|_| ()),
            answered: Box::new(answered),
        }
    }

    /// Also tells the socket of each question when it arrives, unless the answer is in the cache.
    #[must_use]
    pub fn with_askers(self, asked: impl Fn(SocketAddr) + Send + Sync + 'static) -> Self {
        Self {
            asked: Box::new(asked),
            ..self
        }
    }
}

/// Returns an observer and the bounded queue that it fills. Events are dropped while the queue is full, so that no
/// answer waits for the program that shows it.
#[must_use]
pub fn channel(capacity: usize) -> (Observer, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let observer = Observer::new(move |event| {
        if sender.try_send(event).is_err() {
            tracing::trace!("event about a name dropped");
        }
    });
    (observer, receiver)
}
