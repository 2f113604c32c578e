//! What happened to each question, for whoever shows it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use slipway_control_api::NameOutcome;
use tokio::sync::mpsc;

use crate::name::Name;
use crate::question::RecordType;

/// Who answered.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Answerer {
    /// The cluster's DNS.
    Cluster,
    /// The laptop's own name servers.
    Laptop,
    /// The cluster's DNS, a moment ago.
    Cache,
    /// Another session.
    Neighbor,
    /// We did, asking nobody.
    Us,
    /// Nobody.
    Nobody,
}

/// One answered question.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The name, as the program's resolver asked for it.
    pub name: Name,
    /// The type that was asked.
    pub kind: RecordType,
    /// Who answered.
    pub answerer: Answerer,
    /// What the answer was.
    pub outcome: NameOutcome,
    /// The addresses that the answer gives for the name.
    pub addresses: Arc<[IpAddr]>,
    /// The full names that stood for it in the cluster; empty if the cluster was not asked.
    pub candidates: Arc<[Name]>,
    /// From question to answer.
    pub took: Duration,
}

/// Takes events. Called on the way of every answer: it must not block and keeps its own bounds.
pub type Observer = Box<dyn Fn(Event) + Send + Sync>;

/// An observer with a bounded queue behind it. Events that find it full are dropped: answers never wait to be shown.
#[must_use]
pub fn channel(capacity: usize) -> (Observer, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let observer = move |event| {
        if sender.try_send(event).is_err() {
            tracing::trace!("an event about a name was dropped");
        }
    };
    (Box::new(observer), receiver)
}
