//! Names that cluster and laptop may both have: who is asked, whose answer counts, and how long it takes.

use super::*;
use crate::limits::PATIENCE;

#[tokio::test(start_paused = true)]
async fn an_unknown_short_name_is_nxdomain_within_two_seconds() {
    for (say, after) in [
        (Say::NxDomain, 300),
        (Say::Nothing, 0),
        (Say::Fails(AskError::NoServer), 0),
        (Say::ServFail, 0),
    ] {
        let mut bench = bench();
        bench.script.laptop.otherwise(say, after);
        bench.script.cluster.otherwise(Say::NxDomain, 1200);
        let heard = bench.ask("nosuch").await;
        assert_eq!(heard.code, ResponseCode::NXDomain, "{say:?}");
        assert!(
            heard.took < Duration::from_secs(2),
            "{say:?} took {:?}",
            heard.took
        );
        assert_eq!(bench.event().1, NameOutcome::NotFound);
    }
    let heard = bench().ask("example.invalid").await;
    assert_eq!((heard.code, heard.took), (ResponseCode::NXDomain, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn public_names_never_reach_the_cluster() {
    let mut bench = bench();
    bench
        .script
        .laptop
        .says("www.example.org", Say::Address(PUBLIC), 30);
    bench.script.laptop.says("example.org", Say::Address(PUBLIC), 30);
    bench.finds("www.example.org", PUBLIC).await;
    bench.finds("example.org", PUBLIC).await;
    assert_eq!(bench.script.cluster.asked(), [""; 0]);
    assert_eq!(bench.event(), (Answerer::Laptop, NameOutcome::Found));
    assert!(
        bench.in_memory("example.org").is_none(),
        "answers of the laptop are not cached"
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_named_dev_takes_no_public_name_away() {
    let bench = bench();
    bench
        .script
        .cluster
        .says("shopify.dev.svc.cluster.local", Say::Address(SVC), 5);
    bench.script.laptop.says("shopify.dev", Say::Address(PUBLIC), 400);
    bench.finds("shopify.dev", PUBLIC).await;
    bench.finds("shopify.dev.svc", SVC).await;
    // A public name without an address of this type is public as well.
    bench
        .script
        .cluster
        .says("mail.dev.svc.cluster.local", Say::Address(SVC), 5);
    bench.script.laptop.says("mail.dev", Say::NoData, 100);
    let mail = bench.ask("mail.dev").await;
    assert_eq!((mail.code, mail.addresses), (ResponseCode::NoError, vec![]));
    // A name that is known as public stays so while the laptop's name servers are slow.
    bench
        .script
        .laptop
        .says("shopify.dev", Say::Address(PUBLIC), 3000);
    bench.finds("shopify.dev", PUBLIC).await;
    assert!(bench.in_memory("shopify.dev").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_company_host_wins_over_a_service_of_its_short_name() {
    let bench = bench();
    bench
        .script
        .laptop
        .says("web.corp.internal", Say::Address(PUBLIC), 400);
    bench.finds("web.corp.internal", PUBLIC).await;
}

/// Replies of a laptop whose name server is silent, failing, out of reach or slow.
const TROUBLE: [(Say, u64); 4] = [
    (Say::Nothing, 0),
    (Say::ServFail, 0),
    (Say::Fails(AskError::Unreachable), 0),
    (Say::Address(PUBLIC), 7000),
];

#[tokio::test(start_paused = true)]
async fn names_stay_the_laptops_when_its_servers_fail() {
    for (say, after) in TROUBLE {
        let bench = bench_without_namespaces();
        bench.script.cluster.otherwise(Say::Address(SVC), 1);
        bench.script.laptop.otherwise(say, after);
        for name in ["github.com", "api.github.com", "web.shop", "web.corp.internal"] {
            let heard = bench.ask(name).await;
            let expected = if let Say::Address(address) = say {
                vec![IpAddr::V4(address)]
            } else {
                Vec::new()
            };
            assert_eq!(heard.addresses, expected, "{name}: {say:?}");
        }
        assert_eq!(bench.script.cluster.asked(), [""; 0], "{say:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_not_asked_for_names_of_laptop_domains() {
    let bench = bench_without_namespaces();
    bench.script.cluster.otherwise(Say::Address(SVC), 1);
    bench.script.laptop.says("com", Say::NoData, 20);
    // The second time, the answer about `com` is remembered.
    for _ in 0..2 {
        for name in ["exampel.com", "www.exampel.com"] {
            assert_eq!(bench.ask(name).await.code, ResponseCode::NXDomain, "{name}");
        }
    }
    assert_eq!(bench.script.cluster.asked(), [""; 0]);
    // Name servers of another network may have no domain `com`.
    bench.script.laptop.says("com", Say::NxDomain, 0);
    bench.resolver.name_servers_changed();
    bench.finds("exampel.com", SVC).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_laptop_holds_up_no_cluster_name() {
    for (say, after) in TROUBLE {
        let bench = bench();
        bench.finds("web.shop", SVC).await;
        bench.resolver.flush();
        bench.script.laptop.otherwise(say, after);
        let heard = bench.ask("web.shop").await;
        assert_eq!(heard.addresses, [IpAddr::V4(SVC)], "{say:?}");
        assert!(heard.took <= PATIENCE, "{say:?} took {:?}", heard.took);
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_find_proxies_are_never_the_clusters() {
    let bench = bench();
    bench.script.cluster.otherwise(Say::Address(SVC), 1);
    for name in [
        "wpad",
        "isatap",
        "proxy",
        "wpad.corp.internal",
        "laptop",
        "laptop.corp.internal",
    ] {
        assert_eq!(bench.ask(name).await.code, ResponseCode::NXDomain, "{name}");
    }
    bench.finds("proxy.shop.svc", SVC).await;
    bench.finds("proxies", SVC).await;
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_domain_stays_the_laptops() {
    let bench = bench();
    let scope = Scope {
        domain_is_doubtful: true,
        ..Scope::new("com".parse().unwrap(), "shop".parse().unwrap())
    };
    bench.resolver.set_scope(scope);
    bench.script.cluster.otherwise(Say::Address(SVC), 0);
    bench.script.laptop.says("github.com", Say::Address(PUBLIC), 10);
    bench.finds("github.com", PUBLIC).await;
    assert_eq!(bench.ask("web.shop.svc.com").await.code, ResponseCode::NXDomain);
    assert_eq!(bench.script.cluster.asked(), [""; 0]);
    bench.finds("web", SVC).await;
    bench.finds("web.shop.svc", SVC).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_public_name_is_waited_for_as_before() {
    let bench = bench();
    bench.script.laptop.otherwise(Say::Address(PUBLIC), 4000);
    bench.finds("slow.example", PUBLIC).await;
    bench.finds("www.slow.example", PUBLIC).await;
}

#[tokio::test(start_paused = true)]
async fn laptop_names_work_while_the_cluster_is_unreachable() {
    let mut bench = bench();
    bench.script.cluster.otherwise(Say::Nothing, 0);
    bench.script.laptop.says("printer", Say::Address(PUBLIC), 10);
    bench
        .script
        .laptop
        .says("printer.corp.internal", Say::Address(PUBLIC), 10);
    let printer = bench.ask("printer.corp.internal").await;
    assert_eq!(
        (printer.addresses, printer.took),
        (vec![PUBLIC.into()], Duration::from_millis(10))
    );
    assert_eq!(bench.event(), (Answerer::Laptop, NameOutcome::Found));
    assert_eq!(
        bench.ask("nosuch.corp.internal").await.code,
        ResponseCode::NXDomain
    );
    assert_eq!(bench.event(), (Answerer::Laptop, NameOutcome::NotFound));
    bench.finds("printer", PUBLIC).await;
    assert_eq!(bench.event(), (Answerer::Laptop, NameOutcome::Found));
    let nosuch = bench.ask("nosuch").await;
    assert_eq!(nosuch.code, ResponseCode::ServFail, "it may exist in the cluster");
    assert!(nosuch.took < Duration::from_secs(2));
    assert_eq!(bench.event(), (Answerer::Nobody, NameOutcome::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn the_laptops_questions_go_to_the_server_that_was_asked() {
    let all = bench();
    all.script
        .laptop
        .says("www.example.org", Say::Address(PUBLIC), 30);
    let asked = || std::mem::take(&mut *all.script.addressees.lock().unwrap());
    let [first, second] = [0, 1].map(|place| Bench {
        resolver: all.resolver.in_place_of(place),
        script: Arc::clone(&all.script),
        events: mpsc::channel(1).1,
    });
    all.finds("www.example.org", PUBLIC).await;
    assert_eq!(asked(), [Addressee::InOrder]);
    first.finds("www.example.org", PUBLIC).await;
    assert_eq!(asked(), [Addressee::Only(0)]);
    second.finds("www.example.org", PUBLIC).await;
    assert_eq!(asked(), [Addressee::Only(1)]);
    first.ask("wiki.corp.internal").await;
    assert_eq!(
        asked(),
        [Addressee::Only(0)],
        "below a search domain of the laptop"
    );
    first.ask("nosuch").await;
    assert_eq!(
        asked(),
        [Addressee::InOrder],
        "there is no time for another server"
    );
    second.ask("nobody").await;
    assert_eq!(asked(), [Addressee::Only(1)]);
}
