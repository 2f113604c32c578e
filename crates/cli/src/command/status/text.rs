//! Text of sessions.

use std::fmt::Write as _;

use jiff::Timestamp;
use slipway_control::LastWords;
use slipway_control_api::{AgentLoss, CaptureStatus, Health, SessionStatus};
use slipway_profile::Extras;

use crate::narration::place;
use crate::table::table;

/// Formats sessions as a table, with their problems and the failures of ended sessions below it.
pub(super) fn all(sessions: &[SessionStatus], ended: &[LastWords], now: Timestamp) -> String {
    let mut text = if sessions.is_empty() {
        "Not connected.\n".to_owned()
    } else {
        running(sessions, now)
    };
    for LastWords { status, .. } in ended {
        let is_back = sessions.iter().any(|session| session.title() == status.title());
        let Some(failure) = status.failure.as_ref().filter(|_| !is_back) else {
            continue;
        };
        let _ = write!(
            text,
            "\n{} ended by itself {} ago: {}\n  {}\n  To see its log, run `slipway logs {}`.\n",
            status.title(),
            since(status.since, now),
            failure.cause,
            failure.remedy,
            status.id,
        );
    }
    text
}

fn running(sessions: &[SessionStatus], now: Timestamp) -> String {
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            [
                session.word().to_string(),
                session.title().to_owned(),
                place(session),
                session.method.to_string(),
                since(session.since, now),
                doing(session),
                session.id.to_string(),
            ]
        })
        .collect();
    let mut text = table(
        [
            "STATE",
            "NAME",
            "CONTEXT / NAMESPACE",
            "METHOD",
            "SINCE",
            "HEALTH",
            "SESSION",
        ],
        &rows,
    );
    for session in sessions {
        for loss in &session.losses {
            let _ = write!(text, "\n{}: {}\n", session.title(), lost(loss, now));
        }
        for problem in session.all_problems() {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n{}: {}\n  {}\n",
                session.title(),
                problem.cause,
                problem.remedy
            );
        }
    }
    text
}

/// Formats all details of one session.
pub(super) fn one(session: &SessionStatus, now: Timestamp) -> String {
    let mut rows = vec![
        ("State", session.word().to_string()),
        ("Since", since(session.since, now)),
        ("Place", place(session)),
        ("Method", session.method.to_string()),
    ];
    if let Some(ends) = session.ends {
        rows.push(("Ends", format!("in {}", since(now, ends))));
    }
    if let Some(step) = &session.step {
        rows.push(("Doing", step.clone()));
    }
    if let Some(figures) = &session.health {
        rows.push(("Health", health(figures)));
    }
    if let Some(agent) = &session.agent {
        let node = agent.node.as_ref().map(|node| format!(" on {node}"));
        rows.push(("Agent", format!("{}{}", agent.pod, node.unwrap_or_default())));
    }
    if let Some(capture) = session.capture.as_ref().and_then(CaptureStatus::vpn_tcp) {
        if !capture.routes.is_empty() {
            let routes: Vec<String> = capture.routes.iter().map(ToString::to_string).collect();
            rows.push(("Routes", routes.join(", ")));
        }
        rows.push(("DNS mode", capture.dns.clone()));
        rows.push(("Capture", capture.back_end.to_string()));
    }
    let Extras {
        also_proxy,
        suffixes,
        also_namespaces,
    } = &session.extras;
    for (what, extras) in [
        ("Hosts", texts(also_proxy)),
        ("Suffixes", texts(suffixes)),
        ("Also in", texts(also_namespaces)),
    ] {
        if !extras.is_empty() {
            rows.push((what, extras.join(", ")));
        }
    }
    rows.push(("Session", format!("{} (process {})", session.id, session.pid)));
    rows.extend(session.losses.iter().map(|loss| ("Past", lost(loss, now))));
    for problem in session.all_problems() {
        rows.push(("Problem", problem.cause.clone()));
        rows.push(("", problem.remedy.clone()));
    }
    let mut text = format!("{}\n", session.title());
    for (what, said) in rows {
        let _ = writeln!(text, "  {what:8} {said}");
    }
    text
}

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Formats a loss of an agent.
fn lost(loss: &AgentLoss, now: Timestamp) -> String {
    let connections = match loss.broken_connections {
        0 => "no connection broke".to_owned(),
        1 => "one connection broke".to_owned(),
        several => format!("{several} connections broke"),
    };
    format!("The agent {loss} {} ago; {connections}.", since(loss.at, now))
}

fn doing(session: &SessionStatus) -> String {
    match (&session.step, &session.health) {
        (Some(step), _) => step.clone(),
        (None, Some(figures)) => health(figures),
        (None, None) => String::new(),
    }
}

fn health(figures: &Health) -> String {
    format!(
        "{} ms, up {}, down {}, {} open",
        figures.rtt_ms,
        bytes(figures.up_bytes),
        bytes(figures.down_bytes),
        figures.open_connections
    )
}

/// Formats a size in the largest unit in which it is at least 1.
pub(super) fn bytes(count: u64) -> String {
    let mut rest = count;
    let mut tenths = 0;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if rest < 1024 {
            return match unit {
                "B" => format!("{rest} B"),
                unit => format!("{rest}.{tenths} {unit}"),
            };
        }
        tenths = rest % 1024 * 10 / 1024;
        rest /= 1024;
    }
    format!("{rest}.{tenths} TiB")
}

/// Formats an age in the largest whole unit.
pub(super) fn since(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_control_api::{AgentEnd, AgentInfo, BackEnd, Problem, State, VpnTcpStatus};
    use slipway_profile::Method;

    use super::*;

    fn sessions() -> (Vec<SessionStatus>, Timestamp) {
        let then: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let now: Timestamp = "2026-03-01T12:47:11Z".parse().unwrap();
        let mut shop = status_of_this_process(
            "shop-a1b2c3".parse().unwrap(),
            Some("shop".into()),
            Method::VpnTcp,
        );
        shop.pid = 4711;
        shop.started = then;
        shop.since = then;
        shop.context = Some("staging".into());
        shop.namespace = Some("shop".into());
        shop.state = State::Connected;
        shop.health = Some(Health {
            rtt_ms: 12,
            up_bytes: 1_300,
            down_bytes: 5_400_000,
            open_connections: 3,
        });
        shop.agent = Some(AgentInfo {
            pod: "slipway-agent-x".into(),
            node: Some("node-1".into()),
        });
        shop.problems = vec![
            Problem::new("range-shared", "10.96.0.0/16 is another session's.", "Use it."),
            Problem::new("also-proxy-unknown", "`db` is unknown.", "Correct it."),
        ];
        shop.capture = Some(CaptureStatus::VpnTcp(VpnTcpStatus {
            routes: vec!["10.96.0.0/16".parse().unwrap(), "10.244.0.0/16".parse().unwrap()],
            dns: "redirect of port 53".into(),
            resolver: "198.19.0.2".parse().unwrap(),
            back_end: BackEnd::Rewriting,
        }));
        let mut new = status_of_this_process("session-d4e5f6".parse().unwrap(), None, Method::VpnTcp);
        new.pid = 4712;
        new.started = now;
        new.since = now;
        new.step = Some("Reading the kubeconfig".into());
        new.problems = vec![Problem::new("x", "The kubeconfig is empty.", "Write one.")];
        (vec![shop, new], now)
    }

    #[test]
    fn a_lost_agent_is_shown_with_its_reason() {
        let (mut sessions, now) = sessions();
        sessions[0].losses = vec![AgentLoss {
            at: "2026-03-01T12:45:00Z".parse().unwrap(),
            pod: "slipway-agent-x".into(),
            end: Some(AgentEnd::OutOfMemory {
                limit: Some("128Mi".into()),
            }),
            broken_connections: 12,
        }];
        let said = "The agent ran out of memory (limit 128Mi) 2 min ago; 12 connections broke.";
        for text in [all(&sessions, &[], now), one(&sessions[0], now)] {
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_table_shows_each_session_and_its_problems() {
        let (sessions, now) = sessions();
        insta::assert_snapshot!(all(&sessions, &[], now));
        assert_eq!(all(&[], &[], now), "Not connected.\n");
    }

    #[test]
    fn an_ended_session_is_shown_until_it_is_back() {
        let (mut sessions, now) = sessions();
        let ended = |mut status: SessionStatus, id: &str| {
            status.id = id.parse().unwrap();
            status.state = State::Ended;
            status.problems.clear();
            status.failure = Some(Problem::new("helper-gone", "The helper ended", "Start it again"));
            LastWords {
                status,
                log: Vec::new(),
            }
        };
        let words = [ended(sessions[0].clone(), "shop-f0f0f0")];
        insta::assert_snapshot!(all(&[], &words, now), @r"
        Not connected.

        shop ended by itself 47 min ago: The helper ended.
          Start it again.
          To see its log, run `slipway logs shop-f0f0f0`.
        ");
        sessions.truncate(1);
        let text = all(&sessions, &words, now);
        assert!(!text.contains("shop-f0f0f0"), "{text}");
    }

    #[test]
    fn one_session_is_shown_with_all_details() {
        let (sessions, now) = sessions();
        insta::assert_snapshot!(one(&sessions[0], now));
    }

    #[test]
    fn sessions_keep_their_form_as_json() {
        let (sessions, _) = sessions();
        insta::assert_json_snapshot!(sessions);
    }

    #[test]
    fn sizes_have_their_largest_unit() {
        let shown = [0, 1023, 1024, 1536, 5 << 20, 3 << 40].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "3.0 TiB"]
        );
    }
}
