//! Tests of the states connected and reconnecting, and of their exits.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use slipway_control_api::State::{Connected, Connecting, Ended, Placing, Preparing, Reconnecting};
use slipway_names::Namespaces;
use slipway_tunnel::{Stream, StreamRefusal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::agent::Network;
use super::bed::{Bed, MOST_STREAMS, begin};
use super::cluster::Script;
use super::method::{Record, problem};

async fn connected(cluster: Script) -> Bed {
    let bed = begin(cluster, Record::default());
    bed.until_state(Connected).await;
    bed
}

async fn reconnecting(cluster: Script) -> Bed {
    let bed = connected(cluster).await;
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    bed
}

async fn stream(bed: &Bed) -> Stream {
    let to = ([10, 96, 0, 1], 80).into();
    bed.method.tunnel().open(to).await.unwrap()
}

async fn is_reset(stream: Stream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read());
    matches!(read.await, Ok(Err(_)))
}

/// The states after the first `Connected`.
fn since_connected(states: &[slipway_control_api::State]) -> &[slipway_control_api::State] {
    let first = [Preparing, Placing, Connecting, Connected];
    states.strip_prefix(&first).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lost_network_is_waited_for() {
    let bed = reconnecting(Script::default()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bed.status().state, Reconnecting);
    let why = bed.status().cause.unwrap();
    assert!(why.starts_with("The carrier ended: "), "{why}");
    bed.set_network(Network::Works);
    bed.until_state(Connected).await;
    assert_eq!(bed.status().cause, None);
    assert_eq!(bed.method.forgotten(), 1, "names may have changed meanwhile");
    assert_eq!(bed.cluster.pods(), ["new-0"]);
    let end = bed.stop().await;
    assert_eq!(since_connected(&end.states), [Reconnecting, Connected, Ended]);
}

#[tokio::test(start_paused = true)]
async fn connections_outlive_a_lost_network() {
    let bed = connected(Script::default()).await;
    let kept = stream(&bed).await;
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    bed.set_network(Network::Works);
    bed.until_state(Connected).await;
    assert!(!is_reset(kept).await);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_agent_is_replaced_and_programs_stay_captured() {
    let pod_gone: fn(&Bed) = |bed| bed.cluster.agent().end();
    let goodbye: fn(&Bed) = |bed| bed.cluster.agent().say_goodbye();
    for lose in [pod_gone, goodbye] {
        let bed = connected(Script::default()).await;
        let lost = stream(&bed).await;
        let agent = bed.cluster.agent();
        lose(&bed);
        bed.until_state(Placing).await;
        agent.gone.cancel();
        assert!(is_reset(lost).await, "the agent's end is gone");
        bed.until_state(Connected).await;
        assert_eq!(bed.cluster.pods(), ["new-0", "new-1"]);
        assert_eq!(*bed.cluster.discarded.lock().unwrap(), ["new-0"]);
        let losses = bed.status().losses;
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert_eq!(
            (losses[0].pod.as_str(), losses[0].broken_connections),
            ("new-0", 1)
        );
        assert_eq!(losses[0].to_string(), "ran out of memory (limit 128Mi)");
        assert_eq!(bed.status().agent.unwrap().pod, "new-1");
        stream(&bed).await;
        let method = bed.method.clone();
        let end = bed.stop().await;
        assert_eq!((method.starts(), method.stops()), (1, 1));
        assert_eq!(
            since_connected(&end.states),
            [Placing, Connecting, Connected, Ended]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_lost_while_reconnecting_is_replaced() {
    let bed = reconnecting(Script::default()).await;
    bed.cluster.agent().end();
    bed.until_state(Placing).await;
    bed.set_network(Network::Works);
    bed.until_state(Connected).await;
    let end = bed.stop().await;
    assert_eq!(
        since_connected(&end.states),
        [Reconnecting, Placing, Connecting, Connected, Ended]
    );
}

#[tokio::test(start_paused = true)]
async fn a_method_that_ends_ends_the_session() {
    for reconnects in [false, true] {
        let bed = match reconnects {
            false => connected(Script::default()).await,
            true => reconnecting(Script::default()).await,
        };
        bed.method.ended.send_replace(Some(problem("helper-gone")));
        let method = bed.method.clone();
        let end = bed.end().await;
        assert_eq!(end.failure.as_deref(), Some("helper-gone"));
        assert_eq!(method.stops(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn reconnecting_can_be_stopped() {
    let bed = reconnecting(Script::default()).await;
    let method = bed.method.clone();
    let end = bed.stop().await;
    assert_eq!(end.failure, None);
    assert_eq!(since_connected(&end.states), [Reconnecting, Ended]);
    assert_eq!(method.stops(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_run_of_the_agent_resets_connections() {
    let bed = connected(Script::default()).await;
    let lost = stream(&bed).await;
    bed.cluster.agent().restart();
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    bed.set_network(Network::Works);
    bed.until_state(Connected).await;
    assert!(is_reset(lost).await);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_address_of_the_api_server_leaves_the_tunnel() {
    let bed = connected(Script::default()).await;
    let mut never = bed.method.never.lock().unwrap().clone().unwrap();
    assert!(never.borrow_and_update().is_empty());
    let moved = IpAddr::from([10, 96, 0, 77]);
    bed.cluster.needed.lock().unwrap().push(moved);
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    never.wait_for(|never| *never == [moved]).await.unwrap();
    bed.set_network(Network::Works);
    bed.until_state(Connected).await;
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_agent_is_remembered_for_an_hour() {
    let bed = connected(Script::default()).await;
    bed.cluster.agent().restart();
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    bed.set_network(Network::Works);
    bed.until(|status| status.losses.len() == 1).await;
    tokio::time::sleep(Duration::from_secs(59 * 60)).await;
    assert_eq!(bed.status().losses.len(), 1);
    tokio::time::sleep(Duration::from_secs(2 * 60)).await;
    assert_eq!(bed.status().losses, []);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn reports_of_the_method_are_published() {
    let bed = connected(Script::default()).await;
    let raise = |codes: &[&str]| {
        let problems = codes.iter().map(|code| problem(code)).collect();
        bed.method.report.send_modify(|report| report.problems = problems);
    };
    raise(&["range-not-routed", "address-withheld"]);
    bed.until(|status| status.problems.len() == 2).await;
    raise(&["range-not-routed"]);
    bed.until(|status| status.problems.len() == 1).await;
    assert_eq!(bed.status().problems[0].code, "range-not-routed");
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_method_learns_namespaces_as_they_change() {
    let (changes, namespaces) = mpsc::channel(1);
    let cluster = Script::default();
    *cluster.namespaces.lock().unwrap() = Some(namespaces);
    let bed = connected(cluster).await;
    let known = Namespaces::Known(BTreeSet::from(["orders".parse().unwrap()]));
    changes.send(known.clone()).await.unwrap();
    let mut learned = bed.method.namespaces.subscribe();
    learned.wait_for(|now| *now == known).await.unwrap();
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn figures_are_measured_while_connected() {
    let bed = connected(Script::default()).await;
    let open = stream(&bed).await;
    bed.until(|status| status.health.is_some_and(|health| health.open_connections == 1))
        .await;
    drop(open);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_session_says_so_until_it_has_room() {
    let bed = connected(Script::default()).await;
    let mut open = Vec::new();
    for _ in 0..MOST_STREAMS {
        open.push(stream(&bed).await);
    }
    assert_eq!(bed.status().problems, []);
    let to = ([10, 96, 0, 1], 80).into();
    let began = Instant::now();
    let refused = bed.method.tunnel().open(to).await.err();
    assert_eq!(refused, Some(StreamRefusal::Exhausted));
    assert_eq!(began.elapsed(), Duration::ZERO);
    bed.until(|status| status.problems.len() == 1).await;
    assert_eq!(bed.status().problems[0].code, "session-full");
    open.pop();
    bed.until(|status| status.problems.is_empty()).await;
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn carriers_of_a_lost_address_are_found_dead_soon() {
    let mut found_after = Vec::new();
    for notified in [false, true] {
        let bed = connected(Script::default()).await;
        bed.set_network(Network::Silent);
        let began = Instant::now();
        if notified {
            bed.change_addresses().await;
        }
        bed.until_state(Reconnecting).await;
        found_after.push(began.elapsed());
        bed.stop().await;
    }
    let [by_silence, by_address] = found_after[..] else {
        unreachable!()
    };
    assert!(by_address < by_silence / 2, "{found_after:?}");
}
