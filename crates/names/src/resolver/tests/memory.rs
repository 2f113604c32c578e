//! Cached answers, questions shared while they are under way, and changes of scope.

use super::*;
use crate::limits::STALE_AFTER;

#[tokio::test(start_paused = true)]
async fn found_names_are_cached_for_5_s_and_absent_ones_for_2() {
    let mut bench = bench();
    bench.finds("web", SVC).await;
    assert_eq!(bench.ask("nosuch.shop.svc").await.code, ResponseCode::NXDomain);
    bench.script.cluster.asked();
    sleep(Duration::from_millis(1900)).await;
    assert!(bench.in_memory("web").is_some() && bench.in_memory("nosuch.shop.svc").is_some());
    assert_eq!(bench.ask("WEB").await.took, Duration::ZERO);
    sleep(Duration::from_millis(200)).await;
    assert!(bench.in_memory("nosuch.shop.svc").is_none());
    sleep(Duration::from_secs(3)).await;
    assert!(bench.in_memory("web").is_none());
    assert_eq!(bench.script.cluster.asked(), [""; 0]);
    bench.events.close();
    let mut answerers = Vec::new();
    while let Ok(event) = bench.events.try_recv() {
        answerers.push(event.answerer);
    }
    assert_eq!(answerers[2..], [Answerer::Cache; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_new_service_is_found_within_ten_seconds() {
    let bench = bench();
    assert_eq!(bench.ask("late").await.code, ResponseCode::NXDomain);
    bench
        .script
        .cluster
        .says("late.shop.svc.cluster.local", Say::Address(SVC), 0);
    sleep(Duration::from_millis(2100)).await;
    bench.finds("late", SVC).await;
}

#[tokio::test(start_paused = true)]
async fn ttls_given_to_programs_never_exceed_the_cache() {
    let bench = bench();
    let message = bench.raw("web", RecordType::A, Transport::Udp).await;
    assert_eq!(message.answers[0].ttl, 5);
    sleep(Duration::from_secs(3)).await;
    let message = Message::from_vec(&bench.in_memory("web").unwrap()).unwrap();
    assert_eq!(message.answers[0].ttl, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_also_keeps_answers_under_way_out_of_the_cache() {
    let bench = bench();
    bench.finds("web", SVC).await;
    bench.resolver.flush();
    assert!(bench.in_memory("web").is_none());
    let flushed = async {
        sleep(Duration::from_millis(10)).await;
        bench.resolver.flush();
    };
    tokio::join!(bench.finds("web", SVC), flushed);
    assert!(bench.in_memory("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_change_of_scope_is_in_force_at_once() {
    let bench = bench();
    bench.finds("web", SVC).await;
    bench
        .script
        .cluster
        .says("web.dev.svc.cluster.local", Say::Address(PUBLIC), 0);
    bench.resolver.set_scope(Scope {
        namespace: "dev".parse().unwrap(),
        ..scope()
    });
    bench.finds("web", PUBLIC).await;
}

#[tokio::test(start_paused = true)]
async fn equal_questions_at_once_are_one_to_the_cluster() {
    let bench = bench();
    let all = (0..50).map(|_| bench.finds("web", SVC));
    futures_util::future::join_all(all).await;
    assert_eq!(bench.script.cluster.asked(), ["web.shop.svc.cluster.local"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_ends_no_other_wait() {
    let bench = bench();
    let gives_up = timeout(Duration::from_millis(5), bench.ask("web"));
    let (gone, ()) = tokio::join!(gives_up, bench.finds("web", SVC));
    assert!(gone.is_err());
    assert_eq!(bench.script.cluster.asked(), ["web.shop.svc.cluster.local"]);
    // When all callers have given up, the next one asks again.
    bench.resolver.flush();
    assert!(timeout(Duration::from_millis(5), bench.ask("web")).await.is_err());
    bench.finds("web", SVC).await;
    assert_eq!(bench.script.cluster.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_outage_is_bridged_for_ten_seconds() {
    for (say, within) in [
        (Say::Nothing, STALE_AFTER),
        (Say::Fails(AskError::Unreachable), Duration::ZERO),
        (Say::ServFail, Duration::ZERO),
    ] {
        let mut bench = bench();
        bench.finds("web", SVC).await;
        bench.event();
        bench.script.cluster.says("web.shop.svc.cluster.local", say, 0);
        sleep(Duration::from_secs(6)).await;
        let heard = bench.ask("web").await;
        assert_eq!(
            (heard.addresses, heard.took),
            (vec![SVC.into()], within),
            "{say:?}"
        );
        assert_eq!(bench.event(), (Answerer::Cache, NameOutcome::Found));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(bench.ask("web").await.code, ResponseCode::ServFail, "{say:?}");
    }
}
