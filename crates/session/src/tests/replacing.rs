//! Tests of the replacement of a lost agent: it is tried until the session is asked to end.

use std::time::Duration;

use slipway_control_api::State::{Connected, Connecting, Ended, Placing, Preparing};
use tokio::time::Instant;

use super::agent::Manner;
use super::bed::{Bed, begin};
use super::cluster::{Answer, Script};
use super::method::{Record, problem};

/// A session that has just lost its agent, and the outcomes of the attempts to replace it. After them, an attempt
/// succeeds.
async fn lost(attempts: impl IntoIterator<Item = (Answer, Manner)>) -> Bed {
    let first = (Answer::Yes, Manner::Serves);
    let cluster = Script::default().placing([first].into_iter().chain(attempts));
    let bed = begin(cluster, Record::default());
    bed.until_state(Connected).await;
    bed.cluster.agent().end();
    bed.until_state(Placing).await;
    bed
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_tried_until_it_succeeds() {
    let began = Instant::now();
    let bed = lost([(Answer::NotNow, Manner::Serves); 20]).await;
    bed.until(|status| !status.problems.is_empty()).await;
    let status = bed.status();
    assert_eq!(status.state, Placing);
    assert_eq!(status.problems[0].code, "agent-unschedulable");
    let step = status.step.unwrap();
    assert!(step.contains("0/1 nodes are available"), "{step}");
    bed.until_state(Connected).await;
    assert_eq!(bed.status().problems, [], "what is over is no problem");
    // 1, 2 and 4 s, then 8 s each.
    assert_eq!(began.elapsed().as_secs(), 7 + 17 * 8);
    assert_eq!(
        (bed.method.starts(), bed.method.stops()),
        (1, 0),
        "routes and names stay"
    );
    let method = bed.method.clone();
    let end = bed.stop().await;
    assert_eq!(end.failure, None);
    assert_eq!(
        end.states,
        [
            Preparing, Placing, Connecting, Connected, Placing, Connecting, Connected, Ended
        ]
    );
    assert_eq!(method.stops(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_replacement_begins_with_a_short_pause() {
    let bed = lost([(Answer::NotNow, Manner::Serves); 5]).await;
    bed.until_state(Connected).await;
    bed.cluster
        .placings
        .lock()
        .unwrap()
        .push_back((Answer::NotNow, Manner::Serves));
    let began = Instant::now();
    bed.cluster.agent().end();
    bed.until_state(Placing).await;
    bed.until_state(Connected).await;
    assert_eq!(began.elapsed().as_secs(), 1);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_wait_mends_is_shown_and_tried_slowly() {
    let bed = lost([(Answer::No, Manner::Serves); 2]).await;
    let began = Instant::now();
    bed.until(|status| !status.problems.is_empty()).await;
    let problem = bed.status().problems.remove(0);
    assert_eq!(problem.code, "namespace-missing");
    for part in ["tries again", "another namespace"] {
        assert!(problem.remedy.contains(part), "{}", problem.remedy);
    }
    bed.until_state(Connected).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_can_be_stopped_at_any_time() {
    for attempt in [Answer::Never, Answer::NotNow, Answer::No] {
        let bed = lost([(attempt, Manner::Serves); 100]).await;
        tokio::time::sleep(Duration::from_millis(20_500)).await;
        let began = Instant::now();
        let method = bed.method.clone();
        let end = bed.stop().await;
        assert_eq!(end.failure, None, "{attempt:?}");
        assert_eq!(began.elapsed().as_secs(), 0);
        assert_eq!(method.stops(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_method_that_ends_ends_a_replacement() {
    for (attempt, manner) in [
        (Answer::Never, Manner::Serves),
        (Answer::NotNow, Manner::Serves),
        (Answer::Yes, Manner::Silent),
    ] {
        let bed = lost([(attempt, manner); 100]).await;
        tokio::time::sleep(Duration::from_millis(20_500)).await;
        bed.method.ended.send_replace(Some(problem("helper-gone")));
        let method = bed.method.clone();
        let end = bed.end().await;
        assert_eq!(end.failure.as_deref(), Some("helper-gone"), "{attempt:?}");
        assert_eq!(method.stops(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn reports_of_the_method_are_published_during_a_replacement() {
    let bed = lost([(Answer::Never, Manner::Serves)]).await;
    bed.method
        .report
        .send_modify(|report| report.problems = vec![problem("helper-away")]);
    bed.until(|status| {
        status
            .problems
            .iter()
            .any(|problem| problem.code == "helper-away")
    })
    .await;
    bed.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_does_not_answer_is_replaced() {
    for manner in [Manner::Silent, Manner::OtherKey, Manner::Forbidden] {
        let bed = lost([(Answer::Yes, manner)]).await;
        bed.until(|status| !status.problems.is_empty()).await;
        assert_eq!(bed.status().state, Placing);
        bed.until_state(Connected).await;
        assert_eq!(bed.cluster.pods(), ["new-0", "new-1", "new-2"], "{manner:?}");
        let discarded = bed.cluster.discarded.lock().unwrap().clone();
        assert_eq!(discarded, ["new-0", "new-1"], "nothing is left of them");
        assert_eq!(bed.method.stops(), 0);
        bed.stop().await;
    }
}
