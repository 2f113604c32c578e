//! Programs that ask for names: found while they wait for their answer, and added to the events about names.
//!
//! ```text
//! a question arrives ── socket ──► thread that looks in /proc ──► program
//! its answer is given ── event ──► publisher, which waits a moment for the program
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use slipway_control::Publisher;
use slipway_control_api::{Asker, NameEvent};
use slipway_laptop::{SocketOwner, SocketOwners};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// Number of questions whose programs are still to be found. Those beyond it are published without one.
const SOCKETS: usize = 32;

/// Number of events that wait for a program. Those beyond it are published at once.
const EVENTS: usize = 1024;

/// How long an event waits for its program.
const FOUND_WITHIN: Duration = Duration::from_millis(50);

/// Number of found programs that are kept for their events.
const MOST: usize = 256;

/// Finder of the programs that ask for names. Its task and its thread end when this is dropped.
pub(crate) struct Askers {
    sockets: std::sync::mpsc::SyncSender<SocketAddr>,
    events: mpsc::Sender<Waiting>,
    _publishing: AbortOnDropHandle<()>,
}

/// Event that waits for its program.
struct Waiting {
    event: Box<NameEvent>,
    socket: SocketAddr,
    until: Instant,
}

#[derive(Default)]
struct Found {
    /// `None` for a socket whose program was not found.
    programs: Mutex<HashMap<SocketAddr, Option<SocketOwner>>>,
    news: Notify,
}

impl Askers {
    /// Starts to find programs, for events that go to `publisher`.
    pub(crate) fn start(publisher: &Publisher) -> Self {
        let found = Arc::<Found>::default();
        let (sockets, asked) = std::sync::mpsc::sync_channel(SOCKETS);
        let finder = found.clone();
        let thread = std::thread::Builder::new().name("askers".to_owned());
        if let Err(error) = thread.spawn(move || finder.find_all(&asked)) {
            tracing::warn!(%error, "programs that ask for names are not shown");
        }
        let (events, waiting) = mpsc::channel(EVENTS);
        let publishing = tokio::spawn(publish(publisher.clone(), waiting, found));
        Self {
            sockets,
            events,
            _publishing: AbortOnDropHandle::new(publishing),
        }
    }

    /// Begins to find the program of a question that has just arrived. Does not block.
    pub(crate) fn asked(&self, socket: SocketAddr) {
        // Fails if many questions arrive at once, or without the thread.
        let _ = self.sockets.try_send(socket);
    }

    /// Publishes an event with its program, if that is found in time. Gives the event back if it does not wait.
    pub(crate) fn answered(&self, event: Box<NameEvent>, socket: SocketAddr) -> Result<(), Box<NameEvent>> {
        let until = Instant::now() + FOUND_WITHIN;
        let waiting = Waiting { event, socket, until };
        self.events
            .try_send(waiting)
            .map_err(|error| error.into_inner().event)
    }
}

impl Found {
    fn find_all(&self, asked: &std::sync::mpsc::Receiver<SocketAddr>) {
        let mut owners = SocketOwners::default();
        while let Ok(socket) = asked.recv() {
            let owner = owners.find(socket);
            let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
            if programs.len() >= MOST {
                programs.clear();
            }
            programs.insert(socket, owner);
            drop(programs);
            self.news.notify_waiters();
        }
    }

    async fn of(&self, socket: SocketAddr) -> Option<SocketOwner> {
        loop {
            let news = self.news.notified();
            let mut news = std::pin::pin!(news);
            news.as_mut().enable();
            {
                let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(owner) = programs.remove(&socket) {
                    return owner;
                }
            }
            news.await;
        }
    }
}

async fn publish(publisher: Publisher, mut waiting: mpsc::Receiver<Waiting>, found: Arc<Found>) {
    while let Some(Waiting {
        mut event,
        socket,
        until,
    }) = waiting.recv().await
    {
        let owner = timeout_at(until, found.of(socket)).await.ok().flatten();
        event.asked_by = owner.map(|owner| Asker {
            program: owner.program,
            pid: owner.pid,
        });
        publisher.name(*event);
    }
}

#[cfg(test)]
mod tests {
    use slipway_control::{LogRing, fresh_id, status_of_this_process};
    use slipway_control_api::Answerer;
    use slipway_profile::Method;

    use super::*;

    #[tokio::test]
    async fn an_event_names_the_program_that_waits() {
        let initial = status_of_this_process(fresh_id("shop"), None, Method::VpnTcp);
        let publisher = Publisher::new(initial, LogRing::new());
        let askers = Askers::start(&publisher);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let event = |name: &str| {
            Box::new(NameEvent {
                at: jiff::Timestamp::now(),
                name: name.into(),
                kind: "A".into(),
                answer: Vec::new(),
                answered_by: Answerer::Nobody,
                asked_by: None,
                took_ms: 1,
                problem: None,
            })
        };
        askers.asked(local);
        askers.answered(event("web"), local).unwrap();
        // Nobody asked from there.
        askers.answered(event("db"), ([127, 0, 0, 1], 1).into()).unwrap();
        let names = loop {
            let names = publisher.kept_names();
            if names.len() == 2 {
                break names;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert_eq!(names[0].asked_by.as_ref().unwrap().pid, std::process::id());
        assert_eq!(names[1].asked_by, None);
    }
}
