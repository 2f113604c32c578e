//! Names that other sessions answer.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_unknown_name_is_asked_of_other_sessions() {
    let mut bench = bench();
    bench.script.neighbors.says("orders", Say::Address(PUBLIC), 10);
    bench
        .script
        .neighbors
        .says("web.prod.slipway.internal", Say::Address(PUBLIC), 10);
    bench
        .script
        .neighbors
        .says("www.example.org", Say::Address(PUBLIC), 10);
    // The last one may be a host that the other profile sends to its cluster. The second `orders` shows that the
    // absence of the name in this cluster is not cached.
    for name in ["orders", "orders", "web.prod.slipway.internal", "www.example.org"] {
        bench.finds(name, PUBLIC).await;
        assert_eq!(bench.event(), (Answerer::Neighbor, NameOutcome::Found), "{name}");
    }
    bench.script.laptop.says("www.example.org", Say::Address(SVC), 0);
    bench.finds("www.example.org", SVC).await;
    assert_eq!(bench.ask("nosuch").await.code, ResponseCode::NXDomain);

    let neighbor = |name: &str| {
        let query = message::query(&name.parse().unwrap(), RecordType::A);
        bench.resolver.answer_neighbor(query.into())
    };
    assert!(neighbor("web").await.is_some());
    bench
        .script
        .cluster
        .says("shopify.dev.svc.cluster.local", Say::Address(SVC), 0);
    bench.script.laptop.says("shopify.dev", Say::Address(PUBLIC), 0);
    assert!(neighbor("shopify.dev").await.is_some());
    bench.finds("shopify.dev", PUBLIC).await;
    assert!(neighbor("orders").await.is_none());
    assert!(neighbor("www.example.org").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_shared_name_belongs_to_the_older_session() {
    let mut bench = bench();
    bench.script.elders.says("web", Say::Address(PUBLIC), 10);
    bench.finds("web", PUBLIC).await;
    assert_eq!(bench.event(), (Answerer::Neighbor, NameOutcome::Found));
    // An elder's answer is not cached, and elders are not asked for a name that this session's cluster does not have.
    bench.script.elders.says("web", Say::NxDomain, 10);
    bench.finds("web", SVC).await;
    assert_eq!(bench.script.elders.asked().len(), 2);
    assert_eq!(bench.ask("nosuch").await.code, ResponseCode::NXDomain);
    assert!(bench.script.elders.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn silent_older_sessions_hold_up_no_answer() {
    let mut bench = bench();
    bench.script.elders.says("web", Say::Address(PUBLIC), 5_000);
    bench.finds("web", SVC).await;
    assert_eq!(bench.event(), (Answerer::Cluster, NameOutcome::Found));
}
