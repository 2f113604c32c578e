//! Events for answers of the resolver, as watchers and `slipway names` show them.

use jiff::Timestamp;
use slipway_control::Publisher;
use slipway_control_api::{Action, NameEvent, NameOutcome, Problem};
use slipway_names::{Answerer, Event, Observer};

/// Returns an observer that publishes every answer.
pub(crate) fn observer(publisher: &Publisher) -> Observer {
    let publisher = publisher.clone();
    Box::new(move |event: Event| {
        // Answers from the cache are frequent, and were published when they first came, so only watchers of names get them.
        if event.answerer != Answerer::Cache {
            publisher.name(name_event(&event));
        } else if publisher.names_are_watched() {
            publisher.name_again(name_event(&event));
        }
    })
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
        took_ms: u32::try_from(event.took.as_millis()).unwrap_or(u32::MAX),
        problem: problem.map(|(code, cause)| {
            let command = format!("slipway explain {}", event.name);
            Problem::new(code, cause, format!("Run `{command}`.")).with_actions([Action::Run { command }])
        }),
    }
}
