//! Addresses of cluster answers: which ones programs get, and their routes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_withheld_address_is_left_out_and_spoils_no_others() {
    let bench = bench();
    bench
        .script
        .cluster
        .says("many.shop.svc.cluster.local", Say::Long, 0);
    let bad = [1, 17, 40].map(|last| IpAddr::from([10, 1, 1, last]));
    bench
        .script
        .withheld
        .lock()
        .unwrap()
        .extend(bad.map(|address| (address, Admission::Withhold)));
    // The second answer comes from the cache.
    for _ in 0..2 {
        let heard = bench.raw("many", RecordType::A, Transport::Tcp).await;
        let addresses: Vec<_> = heard
            .answers
            .iter()
            .filter_map(|record| record.data.ip_addr())
            .collect();
        assert_eq!(addresses.len(), 37);
        assert!(!addresses.iter().any(|address| bad.contains(address)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_no_address_left_is_a_failure() {
    let mut bench = bench();
    let decide = |admission| {
        bench
            .script
            .withheld
            .lock()
            .unwrap()
            .insert(SVC.into(), admission);
        bench.resolver.flush();
    };
    decide(Admission::Withhold);
    let heard = bench.ask("web").await;
    assert_eq!((heard.code, heard.addresses), (ResponseCode::ServFail, vec![]));
    assert_eq!(bench.event(), (Answerer::Nobody, NameOutcome::Withheld));
    assert!(bench.in_memory("web").is_none());
    // An address of a family that the laptop does not have is left out, and the answer is no failure.
    bench
        .script
        .withheld
        .lock()
        .unwrap()
        .insert(SVC.into(), Admission::Unusable);
    let heard = bench.ask("web").await;
    assert_eq!((heard.code, heard.addresses), (ResponseCode::NoError, vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_origin_of_an_address_follows_from_its_name() {
    let bench = bench();
    let scope = Scope {
        hosts: ["db.partner.example".parse().unwrap()].into(),
        ..scope()
    };
    bench.resolver.set_scope(scope);
    bench
        .script
        .cluster
        .says("db.partner.example", Say::Address(PUBLIC), 0);
    bench.script.cluster.says(
        "saas.shop.svc.cluster.local",
        Say::Alias("api.example.org", PUBLIC),
        0,
    );
    bench.script.cluster.says(
        "twin.shop.svc.cluster.local",
        Say::Alias("web.shop.svc.cluster.local", SVC),
        0,
    );
    for (name, named_by) in [
        (
            "db.partner.example",
            NamedBy::User("db.partner.example".parse().unwrap()),
        ),
        ("saas", NamedBy::Alias),
        ("twin", NamedBy::Cluster),
        ("web", NamedBy::Cluster),
    ] {
        bench.script.named.lock().unwrap().clear();
        assert_eq!(
            bench
                .raw(name, RecordType::A, Transport::Udp)
                .await
                .metadata
                .response_code,
            ResponseCode::NoError
        );
        assert_eq!(*bench.script.named.lock().unwrap(), [named_by], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_names_own_addresses_are_routed_and_given() {
    let bench = bench();
    bench
        .script
        .cluster
        .says("web.shop.svc.cluster.local", Say::WithStrangers(SVC), 0);
    let heard = bench.raw("web", RecordType::A, Transport::Tcp).await;
    assert_eq!(*bench.script.routed.lock().unwrap(), [IpAddr::V4(SVC)]);
    let everywhere = [&heard.answers, &heard.authorities, &heard.additionals];
    let addresses: Vec<_> = everywhere
        .into_iter()
        .flatten()
        .filter_map(|record| record.data.ip_addr())
        .collect();
    assert_eq!(addresses, [IpAddr::V4(SVC)]);
}

#[tokio::test(start_paused = true)]
async fn no_address_is_handed_out_before_its_route_is_made() {
    let bench = bench();
    *bench.script.routes_take.lock().unwrap() = Duration::from_millis(200);
    let heard = bench.ask("web").await;
    assert_eq!(*bench.script.routed.lock().unwrap(), [IpAddr::V4(SVC)]);
    assert!(heard.took >= Duration::from_millis(200));

    bench.resolver.flush();
    *bench.script.routes_take.lock().unwrap() = Duration::from_secs(60);
    let heard = bench.ask("web").await;
    assert_eq!((heard.code, heard.addresses), (ResponseCode::ServFail, vec![]));
    assert!(bench.in_memory("web").is_none());
}

/// Session whose cluster uses a range that a VPN of the laptop uses too, so that addresses are mapped.
struct Mapped(Script);

impl Asks for Mapped {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.0.cluster.answer(&query).await
    }
    async fn laptop(&self, _query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
        Err(AskError::NoServer)
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        self.0.routed.lock().unwrap().extend(addresses);
        vec![Admission::HandOut; addresses.len()]
    }
    fn outward(&self, address: IpAddr) -> IpAddr {
        if address == IpAddr::V4(SVC) {
            MAPPED.into()
        } else {
            address
        }
    }
    fn inward(&self, address: IpAddr) -> IpAddr {
        if address == IpAddr::V4(MAPPED) {
            SVC.into()
        } else {
            address
        }
    }
}

const MAPPED: Ipv4Addr = Ipv4Addr::new(198, 18, 4, 7);

#[tokio::test(start_paused = true)]
async fn a_conflicting_address_is_mapped_and_mapped_back() {
    let script = Script::default();
    script
        .cluster
        .says("web.shop.svc.cluster.local", Say::Address(SVC), 0);
    script.cluster.says("7.0.96.10.in-addr.arpa", Say::NoData, 0);
    let scope = Scope {
        reverse: vec!["198.18.0.0/15".parse().unwrap()],
        ..scope()
    };
    let resolver = Resolver::new(scope, Mapped(script), channel(8).0);
    let ask = async |name: Name, kind| {
        let answer = resolver
            .answer(message::query(&name, kind).into(), Transport::Udp)
            .await;
        Message::from_vec(&answer).unwrap()
    };
    let answer = ask("web".parse().unwrap(), RecordType::A).await;
    assert_eq!(answer.answers[0].data.ip_addr(), Some(MAPPED.into()));
    assert_eq!(*resolver.asks().0.routed.lock().unwrap(), [IpAddr::V4(MAPPED)]);
    let name = Name::of_address(MAPPED.into());
    let reverse = ask(name.clone(), RecordType::PTR).await;
    assert_eq!(reverse.metadata.response_code, ResponseCode::NoError);
    assert_eq!(reverse.queries[0].name.to_ascii(), format!("{name}."));
}
