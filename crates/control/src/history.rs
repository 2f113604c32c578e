//! Recorder of a session's last hour, without a clock: the caller says when something happens.

use std::collections::VecDeque;

use jiff::Timestamp;
use slipway_control_api::{Happening, History, HistoryEvent, Minute, Second, SessionStatus, State};

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// Bounds of the lists. The oldest entry is dropped first.
const MOST_EVENTS: usize = 512;
const MOST_MINUTES: usize = 60;
const MOST_SECONDS: usize = 300;

/// Longest cause in characters. Some have text of a cluster, or list many names.
const MOST_CAUSE: usize = 300;

/// Recorder of the last hour.
#[derive(Debug)]
pub(crate) struct Recorder {
    events: VecDeque<HistoryEvent>,
    minutes: VecDeque<Minute>,
    seconds: VecDeque<Second>,
    /// Payload so far: up and down.
    total: (u64, u64),
}

impl Recorder {
    /// Begins with a session's first state.
    pub(crate) fn new(initial: &SessionStatus) -> Self {
        let mut recorder = Self {
            events: VecDeque::new(),
            minutes: VecDeque::new(),
            seconds: VecDeque::new(),
            total: (0, 0),
        };
        let state = initial.state;
        recorder.happened(initial.since, Happening::State { state, cause: None });
        recorder
    }

    /// Notes what a change of the status means.
    pub(crate) fn changed(&mut self, before: &SessionStatus, after: &SessionStatus, at: Timestamp) {
        if before.state != after.state || before.since != after.since {
            self.happened(
                at,
                Happening::State {
                    state: after.state,
                    cause: why(after),
                },
            );
        } else if before.cause != after.cause {
            self.learned(why(after));
        }
        let is_new = |problem: &&slipway_control_api::Problem| !before.problems.contains(problem);
        for problem in after.problems.iter().filter(is_new) {
            self.happened(
                at,
                Happening::Problem {
                    code: problem.code.clone(),
                    cause: shortened(&problem.cause),
                },
            );
        }
        let has = |code: &str| after.problems.iter().any(|problem| problem.code == code);
        for problem in before.problems.iter().filter(|problem| !has(&problem.code)) {
            let code = problem.code.clone();
            self.happened(at, Happening::Withdrawn { code });
        }
    }

    /// Notes a second with this status.
    pub(crate) fn second(&mut self, status: &SessionStatus, at: Timestamp) {
        let is_connected = status.state == State::Connected;
        let measured = status.health.filter(|_| is_connected);
        let total = status
            .health
            .map_or(self.total, |health| (health.up_bytes, health.down_bytes));
        let (up, down) = (
            total.0.saturating_sub(self.total.0),
            total.1.saturating_sub(self.total.1),
        );
        self.total = total;
        let minute = self.minute(at);
        match (is_connected, status.problems.is_empty()) {
            (true, true) => minute.well += 1,
            (true, false) => minute.degraded += 1,
            (false, _) => minute.away += 1,
        }
        minute.up_bytes += up;
        minute.down_bytes += down;
        let Some(health) = measured else { return };
        minute.rtt_ms = minute.rtt_ms.max(Some(health.rtt_ms));
        self.seconds.push_back(Second {
            at,
            rtt_ms: health.rtt_ms,
            up_bytes: up,
            down_bytes: down,
        });
        keep(&mut self.seconds, MOST_SECONDS);
    }

    /// Returns what happened within the hour before `now`.
    pub(crate) fn history(&self, now: Timestamp) -> History {
        let is_recent = |at: Timestamp| now.as_second().saturating_sub(at.as_second()) <= HOUR;
        History {
            events: self
                .events
                .iter()
                .filter(|event| is_recent(event.at))
                .cloned()
                .collect(),
            minutes: self
                .minutes
                .iter()
                .filter(|minute| is_recent(minute.at))
                .cloned()
                .collect(),
            seconds: self
                .seconds
                .iter()
                .filter(|second| is_recent(second.at))
                .cloned()
                .collect(),
        }
    }

    fn happened(&mut self, at: Timestamp, what: Happening) {
        self.events.push_back(HistoryEvent { at, what });
        keep(&mut self.events, MOST_EVENTS);
    }

    /// Completes the last change of the state with its cause, which became known later.
    fn learned(&mut self, now_known: Option<String>) {
        let last = self
            .events
            .iter_mut()
            .rev()
            .find_map(|event| match &mut event.what {
                Happening::State { cause, .. } => Some(cause),
                Happening::Problem { .. } | Happening::Withdrawn { .. } | Happening::Unknown => None,
            });
        if let Some(cause) = last {
            *cause = now_known;
        }
    }

    fn minute(&mut self, at: Timestamp) -> &mut Minute {
        let begun = at.as_second() - at.as_second().rem_euclid(60);
        // A clock that was set back does not begin an old minute again.
        let is_new = self.minutes.back().is_none_or(|last| last.at.as_second() < begun);
        if is_new {
            keep(&mut self.minutes, MOST_MINUTES - 1);
            self.minutes.push_back(Minute {
                at: Timestamp::from_second(begun).unwrap_or(at),
                well: 0,
                degraded: 0,
                away: 0,
                rtt_ms: None,
                up_bytes: 0,
                down_bytes: 0,
            });
        }
        let last = self.minutes.len() - 1;
        &mut self.minutes[last]
    }
}

fn why(status: &SessionStatus) -> Option<String> {
    let failure = status.failure.as_ref().map(|failure| &failure.cause);
    failure.or(status.cause.as_ref()).map(|cause| shortened(cause))
}

fn shortened(cause: &str) -> String {
    match cause.char_indices().nth(MOST_CAUSE) {
        Some((end, _)) => format!("{}...", &cause[..end]),
        None => cause.to_owned(),
    }
}

fn keep<T>(list: &mut VecDeque<T>, most: usize) {
    let surplus = list.len().saturating_sub(most);
    list.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use slipway_control_api::{Health, Problem};
    use slipway_profile::Method;

    use super::*;
    use crate::start::status_of_this_process;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn connected(up_bytes: u64) -> SessionStatus {
        let mut status = status_of_this_process("shop-a1".parse().unwrap(), None, Method::VpnTcp);
        status.state = State::Connected;
        status.health = Some(Health {
            rtt_ms: 7,
            up_bytes,
            ..Health::default()
        });
        status
    }

    fn begun() -> SessionStatus {
        SessionStatus {
            since: at(0),
            ..connected(0)
        }
    }

    #[test]
    fn states_and_problems_are_events_with_their_cause() {
        let mut recorder = Recorder::new(&begun());
        let before = begun();
        let mut lost = before.clone();
        lost.state = State::Reconnecting;
        recorder.changed(&before, &lost, at(1));
        let mut known = lost.clone();
        known.cause = Some("the carrier ended".into());
        recorder.changed(&lost, &known, at(2));
        let mut problem = known.clone();
        problem.problems = vec![Problem::new("helper-away", "it is gone", "start it")];
        recorder.changed(&known, &problem, at(3));
        recorder.changed(&problem, &known, at(4));
        let events = recorder.history(at(5)).events;
        let what: Vec<Happening> = events.into_iter().map(|event| event.what).collect();
        assert_eq!(
            what,
            [
                Happening::State {
                    state: State::Connected,
                    cause: None,
                },
                Happening::State {
                    state: State::Reconnecting,
                    cause: Some("the carrier ended".into()),
                },
                Happening::Problem {
                    code: "helper-away".into(),
                    cause: "It is gone.".into(),
                },
                Happening::Withdrawn {
                    code: "helper-away".into(),
                },
            ]
        );
    }

    #[test]
    fn a_long_cause_is_shortened() {
        let mut recorder = Recorder::new(&begun());
        let mut long = begun();
        long.problems = vec![Problem::new("x", "ä".repeat(1000), "c")];
        recorder.changed(&begun(), &long, at(1));
        let Some(HistoryEvent {
            what: Happening::Problem { cause, .. },
            ..
        }) = recorder.history(at(2)).events.pop()
        else {
            panic!("it is a problem")
        };
        assert_eq!(cause.chars().count(), MOST_CAUSE + 3);
    }

    #[test]
    fn a_minute_counts_its_seconds_and_bytes() {
        let mut recorder = Recorder::new(&begun());
        for second in 0..90 {
            let mut status = connected(100 * u64::try_from(second + 1).unwrap());
            if second == 70 {
                status.problems = vec![Problem::new("a", "b", "c")];
            }
            if second >= 80 {
                status.state = State::Reconnecting;
            }
            recorder.second(&status, at(second));
        }
        let history = recorder.history(at(90));
        let minutes: Vec<_> = history
            .minutes
            .iter()
            .map(|minute| {
                (
                    minute.well,
                    minute.degraded,
                    minute.away,
                    minute.up_bytes,
                    minute.rtt_ms,
                )
            })
            .collect();
        assert_eq!(minutes, [(60, 0, 0, 6000, Some(7)), (19, 1, 10, 3000, Some(7))]);
        assert_eq!(
            history.seconds.len(),
            80,
            "nothing is measured while it is not connected"
        );
        assert!(history.seconds.iter().all(|second| second.up_bytes == 100));
    }

    #[test]
    fn the_lists_are_bounded_and_an_hour_long() {
        let mut recorder = Recorder::new(&begun());
        for second in 0..2 * HOUR {
            recorder.second(&connected(0), at(second));
            let mut lost = connected(0);
            lost.state = State::Reconnecting;
            recorder.changed(&connected(0), &lost, at(second));
        }
        let history = recorder.history(at(2 * HOUR));
        assert_eq!(
            (history.events.len(), history.minutes.len(), history.seconds.len()),
            (MOST_EVENTS, MOST_MINUTES, MOST_SECONDS)
        );
        assert_eq!(recorder.history(at(4 * HOUR)), History::default());
    }

    #[test]
    fn a_clock_that_jumps_leaves_the_minutes_in_order() {
        let mut recorder = Recorder::new(&begun());
        for second in [0, 7200, 3600, 7260] {
            recorder.second(&connected(0), at(second));
        }
        let minutes = recorder.history(at(7260)).minutes;
        assert!(minutes.is_sorted_by_key(|minute| minute.at), "{minutes:?}");
        assert_eq!(
            minutes.iter().map(|minute| minute.well).sum::<u32>(),
            3,
            "the first is too old"
        );
    }
}
