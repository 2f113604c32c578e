//! Tests of the self-check while a session is connected.

use std::net::IpAddr;
use std::time::Duration;

use slipway_cluster::obstacles::DnsPods;
use slipway_control_api::NameOutcome;
use slipway_control_api::State::{Connected, Reconnecting};
use tokio::time::Instant;

use super::agent::{Manner, Network};
use super::bed::{Bed, begin};
use super::cluster::{Answer, Script};
use super::method::Record;

const SERVICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1));

fn answering(outcome: NameOutcome) -> Record {
    let record = Record::default();
    answer(&record, outcome);
    record
}

fn answer(record: &Record, outcome: NameOutcome) {
    let addresses = if outcome == NameOutcome::Found {
        vec![SERVICE]
    } else {
        Vec::new()
    };
    *record.found.lock().unwrap() = Some((outcome, addresses));
}

/// Waits for the only problem, and returns its code and cause.
async fn problem(bed: &Bed) -> (String, String) {
    bed.until(|status| !status.problems.is_empty()).await;
    let [problem] = &bed.status().problems[..] else {
        panic!("{:?}", bed.status().problems)
    };
    (problem.code.clone(), problem.cause.clone())
}

#[tokio::test(start_paused = true)]
async fn a_silent_dns_is_a_problem_until_it_answers() {
    let dns_pods = Some(DnsPods { ready: 0, all: 2 });
    let cluster = Script {
        dns_pods,
        ..Script::default()
    };
    let bed = begin(cluster, answering(NameOutcome::TimedOut));
    let (code, cause) = problem(&bed).await;
    assert_eq!(code, "cluster-dns-silent");
    assert!(cause.ends_with(": 0 of its 2 pods are ready."), "{cause}");
    answer(&bed.method, NameOutcome::Found);
    let began = Instant::now();
    bed.until(|status| status.problems.is_empty()).await;
    assert!(began.elapsed() <= Duration::from_secs(5), "{:?}", began.elapsed());
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dns_that_fails_later_is_found_within_a_minute() {
    let bed = begin(Script::default(), answering(NameOutcome::Found));
    bed.until_state(Connected).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(bed.status().problems, []);
    answer(&bed.method, NameOutcome::Failed);
    let began = Instant::now();
    let (code, cause) = problem(&bed).await;
    assert_eq!(code, "cluster-dns-silent");
    assert!(
        cause.contains("its pods are unknown, because you may not list pods in namespace kube-system"),
        "{cause}"
    );
    assert!(
        began.elapsed() <= Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn blocked_traffic_names_the_policy_where_it_may_be_read() {
    for (policies, words) in [
        (
            Some("deny-all"),
            "The network policy `deny-all` selects the agent's pod.",
        ),
        (
            None,
            "Its network policies are unknown, because you may not list networkpolicies in namespace shop.",
        ),
    ] {
        let cluster = Script {
            policies,
            ..Script::default().placing([(Answer::Yes, Manner::Blocked)])
        };
        let bed = begin(cluster, answering(NameOutcome::Found));
        let (code, cause) = problem(&bed).await;
        assert_eq!(code, "agent-blocked");
        assert!(
            cause.contains("10.96.0.1:443") && cause.ends_with(words),
            "{cause}"
        );
        bed.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_domain_of_the_clusters_dns_is_a_problem() {
    let bed = begin(Script::default(), answering(NameOutcome::NotFound));
    let (code, cause) = problem(&bed).await;
    assert_eq!(code, "cluster-domain-not-served");
    assert!(
        cause.contains("`kubernetes.default.svc.cluster.local`"),
        "{cause}"
    );
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_check_does_not_delay_connecting() {
    let method = Record {
        host_takes: Duration::from_secs(20),
        ..answering(NameOutcome::TimedOut)
    };
    let began = Instant::now();
    let bed = begin(Script::default(), method);
    bed.until_state(Connected).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_network_withdraws_what_cannot_be_checked() {
    let bed = begin(Script::default(), answering(NameOutcome::NotFound));
    problem(&bed).await;
    bed.set_network(Network::Gone);
    bed.until_state(Reconnecting).await;
    bed.until(|status| status.problems.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bed.status().problems, []);
    bed.set_network(Network::Works);
    problem(&bed).await;
    bed.stop().await;
}
