//! Tests of the probe from the laptop's side.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use slipway_control_api::NameOutcome;
use slipway_control_api::State::Connected;

use super::bed::{Bed, begin};
use super::cluster::{Answer, Script};
use super::method::Record;

/// A session whose agent reaches the service of the API server.
async fn connected() -> Bed {
    let method = Record {
        found: Mutex::new(Some((NameOutcome::Found, vec![[10, 96, 0, 1].into()]))),
        ..Record::default()
    };
    let bed = begin(Script::default(), method);
    bed.until_state(Connected).await;
    bed
}

fn codes(bed: &Bed) -> Vec<String> {
    bed.status()
        .problems
        .into_iter()
        .map(|problem| problem.code)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn programs_that_reach_nothing_are_a_problem_while_it_lasts() {
    let bed = connected().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.method.probes.load(Ordering::Relaxed), 1, "at once");
    bed.method.probed.send_replace(Answer::No);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(codes(&bed), [""; 0], "one failure may be a moment");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(codes(&bed), ["not-reached"]);
    bed.method.probed.send_replace(Answer::Yes);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(codes(&bed), [""; 0]);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_network_is_probed_at_once() {
    let bed = connected().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bed.change_addresses().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.method.probes.load(Ordering::Relaxed), 2);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn programs_are_not_blamed_while_the_agent_reaches_nothing() {
    let bed = connected().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bed.method.probed.send_replace(Answer::No);
    bed.until(|status| !status.problems.is_empty()).await;
    assert_eq!(codes(&bed), ["not-reached"]);
    *bed.method.found.lock().unwrap() = Some((NameOutcome::NotFound, Vec::new()));
    bed.until(|status| status.problems.is_empty()).await;
    bed.until(|status| !status.problems.is_empty()).await;
    assert_eq!(codes(&bed), ["cluster-domain-not-served"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(codes(&bed), ["cluster-domain-not-served"]);
    bed.stop().await;
}
