//! Tests of the state placing: its exits to connecting and ending.

use std::sync::atomic::Ordering;

use slipway_control_api::State::{Connected, Connecting, Ended, Placing, Preparing};

use super::agent::Manner;
use super::bed::begin;
use super::cluster::{Answer, Script};
use super::method::Record;

#[tokio::test(start_paused = true)]
async fn placing_uses_the_agent_of_the_last_session() {
    let kept = Some(Manner::Serves);
    let bed = begin(
        Script {
            kept,
            ..Script::default()
        },
        Record::default(),
    );
    bed.until_state(Connected).await;
    assert_eq!(bed.cluster.pods(), ["kept"]);
    assert_eq!(bed.status().agent.unwrap().pod, "kept");
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn placing_reports_its_progress() {
    let bed = begin(
        Script::default().placing([(Answer::Never, Manner::Serves)]),
        Record::default(),
    );
    bed.until(|status| status.step.as_deref() == Some("Sending the agent (50 %)"))
        .await;
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn placing_ends_where_no_agent_can_be_placed() {
    let bed = begin(
        Script::default().placing([(Answer::No, Manner::Serves)]),
        Record::default(),
    );
    let end = bed.end().await;
    assert_eq!(end.failure.as_deref(), Some("namespace-missing"));
    assert_eq!(end.states, [Preparing, Placing, Ended]);
}

#[tokio::test(start_paused = true)]
async fn placing_ends_where_agents_cannot_be_looked_for() {
    let kept_found = Answer::No;
    let bed = begin(
        Script {
            kept_found,
            ..Script::default()
        },
        Record::default(),
    );
    assert_eq!(bed.end().await.failure.as_deref(), Some("api-timeout"));
}

#[tokio::test(start_paused = true)]
async fn placing_can_be_stopped() {
    let bed = begin(
        Script::default().placing([(Answer::Never, Manner::Serves)]),
        Record::default(),
    );
    bed.until_state(Placing).await;
    let cluster = bed.cluster.clone();
    let end = bed.stop().await;
    assert_eq!(end.failure, None);
    assert_eq!(end.states, [Preparing, Placing, Ended]);
    let abandoned = cluster.abandoned.load(Ordering::Relaxed);
    assert_eq!(abandoned, 1, "a pod without a node would not end by itself");
}

#[tokio::test(start_paused = true)]
async fn a_found_agent_that_does_not_work_is_replaced_once() {
    for kept in [
        Manner::Refuses,
        Manner::OtherKey,
        Manner::Silent,
        Manner::Forbidden,
    ] {
        let cluster = Script {
            kept: Some(kept),
            ..Script::default()
        };
        let bed = begin(cluster, Record::default());
        bed.until_state(Connected).await;
        assert_eq!(bed.cluster.pods(), ["kept", "new-1"], "{kept:?}");
        assert_eq!(*bed.cluster.discarded.lock().unwrap(), ["kept"]);
        let end = bed.stop().await;
        let again = [Placing, Connecting, Placing, Connecting];
        assert_eq!(
            end.states,
            [&[Preparing][..], &again, &[Connected, Ended]].concat()
        );
    }
}
