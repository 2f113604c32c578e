//! History of sessions: `slipway status --history`.

use std::fmt::Write as _;

use futures_util::future::join_all;
use jiff::Timestamp;
use slipway_control::{Client, RuntimeFolder};
use slipway_control_api::{Happening, History, SessionHistory, SessionStatus};

use super::text::{bytes, since};
use crate::failure::Failure;
use crate::output;

/// Asks each session for its last hour, all at once. Of several, those that do not answer are left out with a note.
///
/// # Errors
///
/// When the only session does not answer.
pub(super) async fn of(sessions: &[SessionStatus]) -> Result<Vec<SessionHistory>, Failure> {
    let folder = RuntimeFolder::of_user()?;
    let ask = |session: &SessionStatus| {
        let (id, title) = (session.id.clone(), session.title().to_owned());
        let folder = &folder;
        async move {
            let history = Client::connect(folder, &id).await?.history().await?;
            Ok::<_, slipway_control::Error>(SessionHistory { id, title, history })
        }
    };
    let mut histories = Vec::new();
    for answer in join_all(sessions.iter().map(ask)).await {
        match answer {
            Ok(history) => histories.push(history),
            Err(error) if sessions.len() == 1 => return Err(error.into()),
            Err(error) => output::note(&format!("Note: {error}")),
        }
    }
    Ok(histories)
}

/// Formats each session's hour: what happened, and the sum of its minutes.
pub(super) fn in_words(histories: &[SessionHistory], now: Timestamp) -> String {
    if histories.is_empty() {
        return "Not connected.\n".to_owned();
    }
    let mut text = String::new();
    for SessionHistory { title, history, .. } in histories {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title}");
        for event in &history.events {
            let Some(what) = happening(&event.what) else {
                continue;
            };
            let ago = format!("{} ago", since(event.at, now));
            let _ = writeln!(text, "  {ago:>12}  {what}");
        }
        let _ = writeln!(text, "  {}", summary(history));
    }
    text
}

fn happening(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::State {
            state,
            cause: Some(cause),
        } => format!("{state}: {cause}"),
        Happening::State { state, cause: None } => state.to_string(),
        Happening::Problem { code, cause } => format!("problem: {cause} ({code})"),
        Happening::Withdrawn { code } => format!("no longer: {code}"),
        Happening::Unknown => return None,
    })
}

fn summary(history: &History) -> String {
    let sum = |part: fn(&slipway_control_api::Minute) -> u64| history.minutes.iter().map(part).sum::<u64>();
    let [well, degraded, away] = [
        sum(|minute| minute.well.into()),
        sum(|minute| minute.degraded.into()),
        sum(|minute| minute.away.into()),
    ]
    .map(duration);
    let slowest = history.minutes.iter().filter_map(|minute| minute.rtt_ms).max();
    let slowest = slowest.map_or_else(String::new, |rtt| format!("; longest round trip {rtt} ms"));
    format!(
        "Last hour: connected {well}, with a problem {degraded}, not connected {away}{slowest}; up {}, down {}.",
        bytes(sum(|minute| minute.up_bytes)),
        bytes(sum(|minute| minute.down_bytes)),
    )
}

fn duration(seconds: u64) -> String {
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min", seconds / 60)
    }
}

#[cfg(test)]
mod tests {
    use slipway_control_api::{HistoryEvent, Minute, State};

    use super::*;

    fn histories() -> Vec<SessionHistory> {
        let at = |time: &str| format!("2026-03-01T{time}Z").parse::<Timestamp>().unwrap();
        let event = |time: &str, what| HistoryEvent { at: at(time), what };
        let state = |state, cause: Option<&str>| Happening::State {
            state,
            cause: cause.map(str::to_owned),
        };
        let history = History {
            events: vec![
                event("12:00:00", state(State::Connected, None)),
                event(
                    "12:10:00",
                    state(State::Reconnecting, Some("The carrier ended: timed out.")),
                ),
                event("12:10:04", state(State::Connected, None)),
                event(
                    "12:20:00",
                    Happening::Problem {
                        code: "helper-away".into(),
                        cause: "The helper is gone.".into(),
                    },
                ),
                event(
                    "12:20:03",
                    Happening::Withdrawn {
                        code: "helper-away".into(),
                    },
                ),
            ],
            minutes: vec![Minute {
                at: at("12:00:00"),
                well: 56,
                degraded: 0,
                away: 4,
                rtt_ms: Some(48),
                up_bytes: 1_200_000,
                down_bytes: 300,
            }],
            seconds: Vec::new(),
        };
        vec![SessionHistory {
            id: "shop-a1".parse().unwrap(),
            title: "shop".into(),
            history,
        }]
    }

    #[test]
    fn an_hour_is_a_line_for_each_event_and_a_sum() {
        let now = "2026-03-01T12:30:00Z".parse().unwrap();
        insta::assert_snapshot!(in_words(&histories(), now));
    }

    #[test]
    fn an_hour_keeps_its_form_as_json() {
        insta::assert_json_snapshot!(histories());
    }
}
