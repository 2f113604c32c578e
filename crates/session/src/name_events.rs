//! Events for answers of the resolver, as watchers and `slipway names` show them.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use slipway_control::Publisher;
use slipway_control_api::{Action, NameEvent, NameOutcome, Problem};
use slipway_names::{Answerer, Event, Name, Observer};

use crate::askers::Askers;

/// Name for which no events are published, because the session itself asks for it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unseen(Arc<RwLock<Option<Name>>>);

/// Time in which a name is not published. It ends when this is dropped.
pub(crate) struct Hidden<'a>(&'a Unseen);

impl Unseen {
    /// Hides a name for as long as the result lives. A program that asks for it meanwhile is not seen either.
    pub(crate) fn hide(&self, name: &Name) -> Hidden<'_> {
        self.set(Some(name.clone()));
        Hidden(self)
    }

    fn set(&self, name: Option<Name>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// Whether this is the hidden name, perhaps with a search domain of the laptop.
    fn is(&self, name: &Name) -> bool {
        let hidden = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hidden.as_ref().is_some_and(|hidden| name.starts_with(hidden))
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// Returns an observer that publishes every answer with the program that asked, except to the session's own questions.
pub(crate) fn observer(publisher: &Publisher, unseen: Unseen) -> Observer {
    let askers = Arc::new(Askers::start(publisher));
    let (publisher, finder) = (publisher.clone(), askers.clone());
    let answered = move |event: Event| {
        if unseen.is(&event.name) {
            return;
        }
        let is_cached = event.answerer == Answerer::Cache;
        // Answers from the cache are frequent, and were published when they first came, so only watchers of names get them.
        if is_cached {
            if publisher.names_are_watched() {
                publisher.name_again(name_event(&event));
            }
            return;
        }
        let data = Box::new(name_event(&event));
        let rest = match event.asker {
            Some(socket) => askers.answered(data, socket),
            None => Err(data),
        };
        if let Err(data) = rest {
            publisher.name(*data);
        }
    };
    Observer::new(answered).with_askers(move |socket| finder.asked(socket))
}

fn name_event(event: &Event) -> NameEvent {
    let problem = match event.outcome {
        NameOutcome::Found | NameOutcome::NoData => None,
        NameOutcome::NotFound => Some(("name-not-found", "No name server knows this name.")),
        NameOutcome::Failed => Some(("name-server-failed", "The name server failed.")),
        NameOutcome::TimedOut => Some(("name-server-silent", "The name server did not answer in time.")),
        NameOutcome::Withheld => Some((
            "address-withheld",
            "The cluster answered with an address that programs do not get.",
        )),
    };
    NameEvent {
        at: Timestamp::now(),
        name: event.name.to_string(),
        kind: event.kind.to_string(),
        answer: event.addresses.iter().map(ToString::to_string).collect(),
        answered_by: event.answerer.data(),
        asked_by: None,
        took_ms: u32::try_from(event.took.as_millis()).unwrap_or(u32::MAX),
        problem: problem.map(|(code, cause)| {
            let command = format!("slipway explain {}", event.name);
            Problem::new(code, cause, format!("Run `{command}`.")).with_actions([Action::Run { command }])
        }),
    }
}
