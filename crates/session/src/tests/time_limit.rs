//! Tests of sessions that end after a time.

use std::time::Duration;

use slipway_control_api::State::{Connected, Reconnecting};
use slipway_profile::Profile;
use tokio::sync::watch;
use tokio::time::Instant;

use super::agent::Network;
use super::bed::{Bed, begin_with};
use super::cluster::Script;
use super::method::Record;

const MINUTE: Duration = Duration::from_secs(60);

fn begin(after: &str, cluster: Script) -> Bed {
    let mut profile = Profile::unsaved();
    profile.disconnect_after = Some(after.parse().unwrap());
    begin_with(profile, cluster, Record::default())
}

async fn announcement(bed: &Bed) -> Duration {
    let began = Instant::now();
    bed.until(|status| {
        let codes = status.problems.iter().map(|problem| problem.code.as_str());
        codes.eq(["disconnects-soon"])
    })
    .await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_session_announces_its_end_and_ends() {
    let five_minutes_before = 25 * MINUTE;
    let at_half = MINUTE / 2;
    for (after, whole, announced) in [
        ("30m", 30 * MINUTE, five_minutes_before),
        ("1m", MINUTE, at_half),
        ("8m", 8 * MINUTE, 4 * MINUTE),
    ] {
        let bed = begin(after, Script::default());
        bed.until_state(Connected).await;
        let began = Instant::now();
        tokio::task::yield_now().await;
        assert!(bed.status().ends.is_some());
        assert_eq!(announcement(&bed).await.as_secs(), announced.as_secs(), "{after}");
        let said = bed.status().problems.remove(0);
        assert!(said.cause.starts_with("The session ends at "), "{said}");
        let method = bed.method.clone();
        assert_eq!(bed.end().await.failure.as_deref(), Some("disconnected-in-time"));
        assert_eq!(began.elapsed().as_secs(), whole.as_secs(), "{after}");
        assert_eq!(method.stops(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn time_counts_while_the_network_is_away() {
    let bed = begin("30m", Script::default());
    bed.until_state(Connected).await;
    let began = Instant::now();
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    assert_eq!(bed.end().await.failure.as_deref(), Some("disconnected-in-time"));
    assert_eq!(began.elapsed().as_secs(), 30 * 60);
}

#[tokio::test(start_paused = true)]
async fn time_begins_with_the_first_connection() {
    let without_network = Script {
        network: watch::Sender::new(Network::Gone),
        ..Script::default()
    };
    let bed = begin("1m", without_network);
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(bed.status().ends, None);
    bed.set_network(Network::Works);
    assert_eq!(bed.end().await.failure.as_deref(), Some("disconnected-in-time"));
    assert!(began.elapsed().as_secs() >= 80, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_stopped_in_time_did_not_fail() {
    let bed = begin("1m", Script::default());
    bed.until_state(Connected).await;
    announcement(&bed).await;
    assert_eq!(bed.stop().await.failure, None);
}
