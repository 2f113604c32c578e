//! Promises of the resolver, against scripted sides and a clock that stands still unless it is moved.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;
use tokio::sync::mpsc;

use tokio::time::sleep;

use super::*;
use crate::event::channel;
use crate::limits::{PATIENCE, STALE_AFTER};
use crate::question::RecordType;
use crate::scope::{CHECK_ADDRESS, Namespaces};
use crate::search::SearchList;

/// What a side says to a question for a name.
#[derive(Clone, Copy, Debug)]
enum Say {
    Address(Ipv4Addr),
    /// The name is an alias of another one, which has this address.
    Alias(&'static str, Ipv4Addr),
    /// The address, and others of other names in every section.
    WithStrangers(Ipv4Addr),
    Long,
    NoData,
    NxDomain,
    ServFail,
    Fails(AskError),
    Nothing,
}

/// A side: what it says and after how long. Names it has not got are NXDOMAIN.
#[derive(Default)]
struct Side {
    says: Mutex<HashMap<String, (Say, Duration)>>,
    otherwise: Mutex<Option<(Say, Duration)>>,
    asked: Mutex<Vec<String>>,
}

impl Side {
    fn says(&self, name: &str, say: Say, after: u64) {
        self.says
            .lock()
            .unwrap()
            .insert(name.into(), (say, Duration::from_millis(after)));
    }

    fn otherwise(&self, say: Say, after: u64) {
        *self.otherwise.lock().unwrap() = Some((say, Duration::from_millis(after)));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    async fn answer(&self, query: &Bytes) -> Result<Bytes, AskError> {
        let query = Query::parse(query).map_err(|_| AskError::Garbled)?;
        let name = query.question().unwrap().name.to_string();
        let said = self.says.lock().unwrap().get(&name).copied();
        self.asked.lock().unwrap().push(name);
        let default = (Say::NxDomain, Duration::ZERO);
        let (say, after) = said.or(*self.otherwise.lock().unwrap()).unwrap_or(default);
        sleep(after).await;
        let bytes = match say {
            Say::Address(address) if query.kind() == RecordType::A => message::address(&query, address),
            Say::Address(_) | Say::NoData => message::empty(&query, Rcode::NoError),
            Say::Alias(end, address) => {
                let end: Name = end.parse().unwrap();
                let mut bytes = message::empty(&query, Rcode::NoError);
                bytes[7] = 2;
                bytes.extend([
                    0xc0,
                    12,
                    0,
                    5,
                    0,
                    1,
                    0,
                    0,
                    0,
                    30,
                    0,
                    u8::try_from(end.wire().len()).unwrap(),
                ]);
                bytes.extend(end.wire());
                bytes.extend(end.wire());
                bytes.extend([0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
                bytes.extend(address.octets());
                bytes
            }
            Say::WithStrangers(address) => {
                let mut bytes = message::address(&query, address);
                for section in [7, 9, 11] {
                    bytes[section] += 1;
                    bytes.extend(b"\x08stranger\0\0\x01\0\x01\0\0\0\x1e\0\x04");
                    bytes.extend(PUBLIC.octets());
                }
                bytes
            }
            Say::Long => {
                let mut bytes = message::empty(&query, Rcode::NoError);
                bytes[7] = 40;
                let records =
                    (1..=40).flat_map(|last| [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 1, 1, last]);
                let at = 12 + query.name.len() + 4;
                bytes.splice(at..at, records);
                bytes
            }
            Say::NxDomain => message::empty(&query, Rcode::NxDomain),
            Say::ServFail => message::empty(&query, Rcode::ServFail),
            Say::Fails(error) => return Err(error),
            Say::Nothing => return std::future::pending().await,
        };
        // With a TTL, so that it may be remembered.
        Ok(with_ttl(bytes, &query).into())
    }
}

fn with_ttl(mut bytes: Vec<u8>, query: &Query<'_>) -> Vec<u8> {
    let at = 12 + query.name.len() + 4 + 6;
    if bytes[7] == 1 {
        bytes[at..at + 4].copy_from_slice(&30_u32.to_be_bytes());
    }
    bytes
}

#[derive(Default)]
struct Script {
    cluster: Side,
    laptop: Side,
    neighbors: Side,
    elders: Side,
    routed: Mutex<Vec<IpAddr>>,
    named: Mutex<Vec<NamedBy>>,
    withheld: Mutex<HashMap<IpAddr, Admission>>,
    routes_take: Mutex<Duration>,
}

impl Asks for Arc<Script> {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.cluster.answer(&query).await
    }

    async fn laptop(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.laptop.answer(&query).await
    }

    async fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> Vec<Admission> {
        let wait = *self.routes_take.lock().unwrap();
        sleep(wait).await;
        self.routed.lock().unwrap().extend(addresses);
        self.named.lock().unwrap().push(named_by);
        let withheld = self.withheld.lock().unwrap();
        addresses
            .iter()
            .map(|address| withheld.get(address).copied().unwrap_or(Admission::HandOut))
            .collect()
    }

    async fn neighbors(&self, query: Bytes) -> Option<Bytes> {
        self.neighbors.answer(&query).await.ok()
    }

    async fn elders(&self, query: Bytes) -> Option<Bytes> {
        self.elders.answer(&query).await.ok()
    }
}

const SVC: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 7);
const PUBLIC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn bench_without_namespaces() -> Bench {
    let bench = bench();
    let scope = Scope {
        namespaces: Namespaces::Unknown,
        ..scope()
    };
    bench.resolver.set_scope(scope);
    bench
}

struct Bench {
    script: Arc<Script>,
    resolver: Resolver<Arc<Script>>,
    events: mpsc::Receiver<Event>,
}

fn scope() -> Scope {
    let known = ["shop", "dev"].map(|label| label.parse().unwrap());
    Scope {
        namespaces: Namespaces::Known(known.into()),
        laptop_search: SearchList {
            domains: vec!["corp.internal".parse().unwrap()],
            ..SearchList::default()
        },
        reserved: ["laptop".parse().unwrap()].into(),
        profile: Some("staging".parse().unwrap()),
        ..Scope::new("cluster.local".parse().unwrap(), "shop".parse().unwrap())
    }
}

fn bench() -> Bench {
    let script = Arc::new(Script::default());
    let (observer, events) = channel(64);
    script
        .cluster
        .says("web.shop.svc.cluster.local", Say::Address(SVC), 20);
    Bench {
        resolver: Resolver::new(scope(), Arc::clone(&script), observer),
        script,
        events,
    }
}

#[derive(Debug, PartialEq)]
struct Heard {
    code: ResponseCode,
    addresses: Vec<IpAddr>,
    took: Duration,
}

impl Bench {
    async fn raw(&self, name: &str, kind: RecordType, transport: Transport) -> Message {
        let query = message::query(&name.parse().unwrap(), kind);
        let answer = self.resolver.answer(query.into(), transport).await;
        Message::from_vec(&answer).unwrap()
    }

    async fn ask(&self, name: &str) -> Heard {
        let start = Instant::now();
        let message = self.raw(name, RecordType::A, Transport::Udp).await;
        let addresses = message
            .answers
            .iter()
            .filter_map(|record| record.data.ip_addr())
            .collect();
        for record in &message.answers {
            assert_eq!(
                record.name, message.queries[0].name,
                "the owner is the name that was asked"
            );
        }
        Heard {
            code: message.metadata.response_code,
            addresses,
            took: start.elapsed(),
        }
    }

    fn event(&mut self) -> (Answerer, NameOutcome) {
        let event = self.events.try_recv().unwrap();
        (event.answerer, event.outcome)
    }

    async fn finds(&self, name: &str, address: Ipv4Addr) {
        assert_eq!(self.ask(name).await.addresses, [IpAddr::V4(address)], "{name}");
    }

    fn in_memory(&self, name: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let query = message::query(&name.parse().unwrap(), RecordType::A);
        self.resolver.try_answer(&query, &mut out).then_some(out)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_found_by_every_form_of_its_name() {
    let mut bench = bench();
    for name in [
        "web",
        "web.shop",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "web.corp.internal",
        "web.staging.slipway.internal",
    ] {
        bench.finds(name, SVC).await;
        assert_eq!(bench.event(), (Answerer::Cluster, NameOutcome::Found), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_carries_the_askers_id_and_case() {
    let bench = bench();
    let mut query = message::query(&"web".parse().unwrap(), RecordType::A);
    query[..2].copy_from_slice(&[0xbe, 0xef]);
    query[13..16].copy_from_slice(b"wEB");
    let slow = bench.resolver.answer(query.clone().into(), Transport::Udp).await;
    let mut quick = Vec::new();
    assert!(bench.resolver.try_answer(&query, &mut quick));
    for answer in [&*slow, &*quick] {
        assert_eq!(
            (&answer[..2], &answer[12..query.len()]),
            (&query[..2], &query[12..])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_without_that_type_exists_all_the_same() {
    let bench = bench();
    let message = bench.raw("web", RecordType::AAAA, Transport::Udp).await;
    assert_eq!(
        (message.metadata.response_code, message.answers.len()),
        (ResponseCode::NoError, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_knows_is_nxdomain_within_two_seconds_however_silent_the_laptop_is() {
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
        "the laptop's answers are not ours to remember"
    );
}

#[tokio::test(start_paused = true)]
async fn a_public_name_stays_public_though_a_namespace_has_its_ending() {
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
    // Once known as public, a slow moment of the laptop's name servers does not give it away.
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

/// What a laptop says whose name server is slow, silent, failing or out of reach.
const TROUBLE: [(Say, u64); 4] = [
    (Say::Nothing, 0),
    (Say::ServFail, 0),
    (Say::Fails(AskError::Unreachable), 0),
    (Say::Address(PUBLIC), 7000),
];

#[tokio::test(start_paused = true)]
async fn a_laptop_that_fails_gives_no_name_away() {
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
async fn the_cluster_is_not_told_names_of_laptop_domains() {
    let bench = bench_without_namespaces();
    bench.script.cluster.otherwise(Say::Address(SVC), 1);
    bench.script.laptop.says("com", Say::NoData, 20);
    for _first_then_remembered in 0..2 {
        for name in ["exampel.com", "www.exampel.com"] {
            assert_eq!(bench.ask(name).await.code, ResponseCode::NXDomain, "{name}");
        }
    }
    assert_eq!(bench.script.cluster.asked(), [""; 0]);
    // Elsewhere, `com` may be nobody's.
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
async fn addresses_that_are_withheld_are_left_out_and_spoil_no_others() {
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
    for _fresh_then_cached in 0..2 {
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
    // Nobody misses an address of a family that the laptop has not got.
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
async fn whose_word_an_address_is_follows_from_its_name() {
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
        ("db.partner.example", NamedBy::User),
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
async fn only_addresses_of_the_name_itself_are_routed_and_handed_out() {
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
async fn a_cluster_out_of_reach_changes_nothing_for_names_of_the_laptop() {
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
async fn found_names_are_remembered_for_five_seconds_and_absent_ones_for_two() {
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
async fn a_service_made_after_connecting_is_found_within_ten_seconds() {
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
async fn ttls_that_leave_us_never_exceed_what_we_remember() {
    let bench = bench();
    let message = bench.raw("web", RecordType::A, Transport::Udp).await;
    assert_eq!(message.answers[0].ttl, 5);
    sleep(Duration::from_secs(3)).await;
    let message = Message::from_vec(&bench.in_memory("web").unwrap()).unwrap();
    assert_eq!(message.answers[0].ttl, 2);
}

#[tokio::test(start_paused = true)]
async fn flushing_forgets_and_keeps_what_is_under_way_from_being_remembered() {
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
async fn many_who_ask_the_same_at_once_are_one_question_to_the_cluster() {
    let bench = bench();
    let all = (0..50).map(|_| bench.finds("web", SVC));
    futures_util::future::join_all(all).await;
    assert_eq!(bench.script.cluster.asked(), ["web.shop.svc.cluster.local"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_takes_nobody_along() {
    let bench = bench();
    let gives_up = timeout(Duration::from_millis(5), bench.ask("web"));
    let (gone, ()) = tokio::join!(gives_up, bench.finds("web", SVC));
    assert!(gone.is_err());
    assert_eq!(bench.script.cluster.asked(), ["web.shop.svc.cluster.local"]);
    // All having given up, the next starts anew.
    bench.resolver.flush();
    assert!(timeout(Duration::from_millis(5), bench.ask("web")).await.is_err());
    bench.finds("web", SVC).await;
    assert_eq!(bench.script.cluster.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_moment_without_the_cluster_is_bridged_for_ten_seconds() {
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

#[tokio::test(start_paused = true)]
async fn answers_too_long_for_a_datagram_are_cut_and_whole_over_tcp() {
    let bench = bench();
    bench
        .script
        .cluster
        .says("many.shop.svc.cluster.local", Say::Long, 0);
    bench.script.laptop.says("many.example.org", Say::Long, 0);
    for name in ["many.shop.svc", "many.example.org"] {
        let cut = bench.raw(name, RecordType::A, Transport::Udp).await;
        assert!(
            cut.metadata.truncation && (20..40).contains(&cut.answers.len()),
            "{name}"
        );
        let whole = bench.raw(name, RecordType::A, Transport::Tcp).await;
        assert!(!whole.metadata.truncation, "{name}");
        assert_eq!(whole.answers.len(), 40, "{name}");
    }
    assert!(
        bench.in_memory("many.shop.svc").is_none(),
        "memory answers datagrams and obeys their bound"
    );
    let mut edns = message::query(&"many.shop.svc".parse().unwrap(), RecordType::A);
    edns[11] = 1;
    edns.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    let whole = bench.resolver.answer(edns.into(), Transport::Udp).await;
    assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn the_check_name_is_answered_here_and_never_leaves() {
    let mut bench = bench();
    bench.finds("check.slipway.internal", CHECK_ADDRESS).await;
    let v6 = bench
        .raw("check.slipway.internal", RecordType::AAAA, Transport::Udp)
        .await;
    assert_eq!(
        (v6.metadata.response_code, v6.answers.len()),
        (ResponseCode::NoError, 0)
    );
    assert_eq!(bench.event(), (Answerer::Us, NameOutcome::Found));
    assert!(bench.script.cluster.asked().is_empty() && bench.script.laptop.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_this_session_has_not_got_is_asked_of_the_next() {
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
    // The last is perhaps an extra host of theirs. "Not here" is not remembered as "nowhere".
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
async fn a_shared_name_is_an_older_sessions() {
    let mut bench = bench();
    bench.script.elders.says("web", Say::Address(PUBLIC), 10);
    bench.finds("web", PUBLIC).await;
    assert_eq!(bench.event(), (Answerer::Neighbor, NameOutcome::Found));
    // Theirs is not remembered as ours, and they are not asked for a name that ours has not got.
    bench.script.elders.says("web", Say::NxDomain, 10);
    bench.finds("web", SVC).await;
    assert_eq!(bench.script.elders.asked().len(), 2);
    assert_eq!(bench.ask("nosuch").await.code, ResponseCode::NXDomain);
    assert!(bench.script.elders.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn silent_older_sessions_have_no_name() {
    let mut bench = bench();
    bench.script.elders.says("web", Say::Address(PUBLIC), 5_000);
    bench.finds("web", SVC).await;
    assert_eq!(bench.event(), (Answerer::Cluster, NameOutcome::Found));
}

#[tokio::test(start_paused = true)]
async fn a_full_or_forgotten_observer_holds_up_no_answer() {
    let (observer, events) = channel(1);
    let script = Arc::new(Script::default());
    script
        .cluster
        .says("web.shop.svc.cluster.local", Say::Address(SVC), 0);
    let resolver = Resolver::new(scope(), script, observer);
    for _ in 0..3 {
        let query = message::query(&"web".parse().unwrap(), RecordType::A);
        assert!(!resolver.answer(query.into(), Transport::Udp).await.is_empty());
    }
    assert_eq!(events.len(), 1);
    drop(events);
    assert!(resolver.try_answer(
        &message::query(&"web".parse().unwrap(), RecordType::A),
        &mut Vec::new()
    ));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_cluster_to_something_else_is_not_believed() {
    struct Liar;
    impl Asks for Liar {
        async fn cluster(&self, _query: Bytes) -> Result<Bytes, AskError> {
            let other = message::query(&"other.shop.svc.cluster.local".parse().unwrap(), RecordType::A);
            Ok(message::address(&Query::parse(&other).unwrap(), SVC).into())
        }
        async fn laptop(&self, query: Bytes) -> Result<Bytes, AskError> {
            self.cluster(query).await
        }
        async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
            vec![Admission::HandOut; addresses.len()]
        }
    }
    let (observer, _events) = channel(8);
    let resolver = Resolver::new(scope(), Liar, observer);
    for name in ["web.shop.svc", "www.example.org", "web"] {
        let query = message::query(&name.parse().unwrap(), RecordType::A);
        let answer = resolver.answer(query.into(), Transport::Udp).await;
        assert_eq!(message::rcode(&answer), Some(2), "{name}");
    }
}

/// A session whose cluster has 10.96/16, as the laptop's VPN has.
struct Mapped(Script);

impl Asks for Mapped {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.0.cluster.answer(&query).await
    }
    async fn laptop(&self, _query: Bytes) -> Result<Bytes, AskError> {
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
async fn an_address_that_the_laptop_uses_otherwise_is_handed_out_as_another_and_found_back() {
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

/// A cluster on this very laptop, whose DNS asks the laptop's resolver, which is us.
#[derive(Default)]
struct Loop {
    resolver: std::sync::OnceLock<Resolver<Arc<Loop>>>,
    asked: AtomicUsize,
}

impl Asks for Arc<Loop> {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let resolver = self.resolver.get().unwrap().clone();
        tokio::spawn(async move { resolver.answer(query, Transport::Udp).await })
            .await
            .map_err(|_| AskError::Garbled)
    }
    async fn laptop(&self, _query: Bytes) -> Result<Bytes, AskError> {
        Err(AskError::NoServer)
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_asks_us_back_ends_in_one_failure_and_no_storm() {
    let asks = Arc::new(Loop::default());
    let scope = Scope {
        hosts: ["db.partner.example".parse().unwrap()].into(),
        ..scope()
    };
    let resolver = Resolver::new(scope, Arc::clone(&asks), channel(8).0);
    assert!(asks.resolver.set(resolver.clone()).is_ok());
    let start = Instant::now();
    let query = message::query(&"db.partner.example".parse().unwrap(), RecordType::A);
    let answer = resolver.answer(query.into(), Transport::Udp).await;
    assert_eq!(message::rcode(&answer), Some(2));
    assert_eq!(asks.asked.load(Ordering::Relaxed), 1);
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Every answer is garbage.
struct Noise(Vec<u8>);

impl Asks for Noise {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        let mut answer = [&query, &self.0[..]].concat();
        answer[2] |= 0x80;
        // How many records it claims to hold is noise too.
        answer[7] = self.0.first().map_or(0, |count| count % 3);
        Ok(answer.into())
    }
    async fn laptop(&self, _query: Bytes) -> Result<Bytes, AskError> {
        Ok(self.0.clone().into())
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_in_and_whatever_comes_back_there_is_an_answer(
        query in proptest::collection::vec(any::<u8>(), 0..64),
        well_formed: bool,
        label in "[a-zA-Z]{1,9}",
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let query = if well_formed {
            let mut bytes = message::query(&label.parse().unwrap(), RecordType::A);
            bytes[13..13 + label.len()].copy_from_slice(label.as_bytes());
            bytes
        } else {
            query
        };
        let (observer, _events) = channel(8);
        let resolver = Resolver::new(scope(), Noise(noise), observer);
        prop_assert!(!resolver.try_answer(&query, &mut Vec::new()));
        let answer = runtime.block_on(resolver.answer(query.clone().into(), Transport::Udp));
        if query.len() >= 12 && query[2] & 0x80 == 0 {
            prop_assert_eq!(&answer[..2], &query[..2]);
        }
        if well_formed {
            prop_assert_eq!(&answer[12..query.len()], &query[12..]);
        }
    }
}
