//! Tests of the state preparing: its exits to placing and ending.

use slipway_control_api::State::{Ended, Preparing};

use super::bed::{Bed, begin};
use super::cluster::{Answer, Script};
use super::method::Record;

async fn fails_with(bed: Bed, code: &str) {
    let (cluster, method) = (bed.cluster.clone(), bed.method.clone());
    let end = bed.end().await;
    assert_eq!(end.failure.as_deref(), Some(code));
    assert_eq!(end.states, [Preparing, Ended]);
    assert!(cluster.pods().is_empty() && method.starts() == 0);
}

#[tokio::test(start_paused = true)]
async fn preparing_ends_where_no_cluster_can_be_chosen() {
    let chosen = Answer::No;
    let bed = begin(
        Script {
            chosen,
            ..Script::default()
        },
        Record::default(),
    );
    fails_with(bed, "api-timeout").await;
}

#[tokio::test(start_paused = true)]
async fn preparing_ends_where_the_api_server_is_silent() {
    let reached = Answer::No;
    let bed = begin(
        Script {
            reached,
            ..Script::default()
        },
        Record::default(),
    );
    fails_with(bed, "api-timeout").await;
}

#[tokio::test(start_paused = true)]
async fn preparing_ends_where_the_laptop_lacks_something() {
    let checked = Answer::No;
    let method = Record {
        checked,
        ..Record::default()
    };
    fails_with(begin(Script::default(), method), "no-device").await;
}

#[tokio::test(start_paused = true)]
async fn preparing_can_be_stopped_at_each_step() {
    let never = Answer::Never;
    let choosing = Script {
        chosen: never,
        ..Script::default()
    };
    let reaching = Script {
        reached: never,
        ..Script::default()
    };
    let checking = Record {
        checked: never,
        ..Record::default()
    };
    for (cluster, method) in [
        (choosing, Record::default()),
        (reaching, Record::default()),
        (Script::default(), checking),
    ] {
        let end = begin(cluster, method).stop().await;
        assert_eq!(end.failure, None);
        assert_eq!(end.states, [Preparing, Ended]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_chosen_place_is_shown_before_the_api_server_answers() {
    let reached = Answer::Never;
    let bed = begin(
        Script {
            reached,
            ..Script::default()
        },
        Record::default(),
    );
    bed.until(|status| status.namespace.as_deref() == Some("shop"))
        .await;
    assert_eq!(bed.status().context.as_deref(), Some("kind"));
    bed.stop().await;
}
