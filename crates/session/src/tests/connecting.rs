//! Tests of the state connecting: its exits to connected, placing and ending.

use std::sync::Mutex;
use std::time::Duration;

use slipway_control_api::NameOutcome;
use slipway_control_api::State::{Connected, Connecting, Ended, Placing, Preparing};
use slipway_profile::Profile;
use slipway_tunnel::PacketReply;
use tokio::time::Instant;

use super::agent::Manner;
use super::bed::{begin, begin_with};
use super::cluster::{Answer, Script};
use super::method::Record;

fn placing(manner: Manner) -> Script {
    Script::default().placing([(Answer::Yes, manner)])
}

#[tokio::test(start_paused = true)]
async fn a_session_connects_and_ends_when_asked_to() {
    let bed = begin(Script::default(), Record::default());
    bed.until_state(Connected).await;
    assert!(bed.status().capture.is_some());
    assert_eq!(bed.status().step, None);
    let (cluster, method) = (bed.cluster.clone(), bed.method.clone());
    let end = bed.stop().await;
    assert_eq!(end.failure, None);
    let states = [Preparing, Placing, Connecting, Connected, Ended];
    assert_eq!(end.states, states);
    assert_eq!((method.starts(), method.stops()), (1, 1));
    assert!(cluster.removed.lock().unwrap().is_empty(), "the agent stays");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_reached_is_removed() {
    let refused = (Manner::Forbidden, "carrier");
    let other = (Manner::OtherKey, "agent-proof");
    let silent = (Manner::Silent, "agent-silent");
    let never_listens = (Manner::Refuses, "agent-silent");
    for (manner, code) in [refused, other, silent, never_listens] {
        let bed = begin(placing(manner), Record::default());
        let (cluster, method) = (bed.cluster.clone(), bed.method.clone());
        let end = bed.end().await;
        assert_eq!(end.failure.as_deref(), Some(code), "{manner:?}");
        assert_eq!(end.states, [Preparing, Placing, Connecting, Ended]);
        assert_eq!(*cluster.removed.lock().unwrap(), ["new-0"]);
        assert_eq!(method.starts(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_agent_is_given_up_after_half_a_minute() {
    let began = Instant::now();
    begin(placing(Manner::Silent), Record::default()).end().await;
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn connecting_can_be_stopped_and_leaves_the_agent() {
    let starting = Record {
        started: Answer::Never,
        ..Record::default()
    };
    for (manner, method) in [(Manner::Silent, Record::default()), (Manner::Serves, starting)] {
        let bed = begin(placing(manner), method);
        bed.until_state(Connecting).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let cluster = bed.cluster.clone();
        let end = bed.stop().await;
        assert_eq!(end.failure, None);
        assert_eq!(end.states, [Preparing, Placing, Connecting, Ended]);
        assert!(cluster.removed.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_removed_where_the_method_does_not_start() {
    for (kept, removed) in [(None, &["new-0"][..]), (Some(Manner::Serves), &[])] {
        let cluster = Script {
            kept,
            ..Script::default()
        };
        let method = Record {
            started: Answer::No,
            ..Record::default()
        };
        let bed = begin(cluster, method);
        let cluster = bed.cluster.clone();
        let end = bed.end().await;
        assert_eq!(end.failure.as_deref(), Some("not-started"));
        assert_eq!(*cluster.removed.lock().unwrap(), removed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_no_name_ends_the_session() {
    let cluster = Script {
        namespace: "a.b",
        ..Script::default()
    };
    let end = begin(cluster, Record::default()).end().await;
    assert_eq!(end.failure.as_deref(), Some("bad-name"));
}

fn with_hosts() -> Profile {
    let mut profile = Profile::unsaved();
    profile.also_proxy = vec!["db.example".parse().unwrap(), "10.3.0.0/16".parse().unwrap()];
    profile
}

#[tokio::test(start_paused = true)]
async fn unknown_hosts_are_reported_and_withdrawn_at_the_end() {
    let method = Record {
        found: Mutex::new(Some((NameOutcome::NotFound, Vec::new()))),
        ..Record::default()
    };
    let bed = begin_with(with_hosts(), Script::default(), method);
    bed.until_state(Connected).await;
    let problems = bed.status().problems;
    assert_eq!(problems[0].code, "also-proxy-unknown");
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn slow_dns_holds_a_session_up_for_a_second() {
    let method = Record {
        host_takes: Duration::from_secs(20),
        found: Mutex::new(Some((NameOutcome::NotFound, Vec::new()))),
        ..Record::default()
    };
    let bed = begin_with(with_hosts(), Script::default(), method);
    let began = Instant::now();
    bed.until_state(Connected).await;
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(bed.status().problems, []);
    bed.until(|status| !status.problems.is_empty()).await;
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn packets_return_while_the_session_connects() {
    let method = Record {
        host_takes: Duration::from_secs(20),
        ..Record::default()
    };
    let bed = begin_with(with_hosts(), Script::default(), method);
    let mut waited = Duration::ZERO;
    while bed.method.starts() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        waited += Duration::from_millis(1);
        assert!(waited < Duration::from_secs(1));
    }
    let reply = bed.method.round_trip().await;
    assert!(
        matches!(reply, PacketReply::Datagram { flow: 1, .. }),
        "{reply:?}"
    );
    assert_eq!(bed.status().state, Connecting, "the session still waits for DNS");
    bed.stop().await;
}
