//! Tests of the resolver against scripted sides, with a clock that only moves while all tasks wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::{Message, ResponseCode};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::asks::{Admission, NamedBy};
use crate::event::channel;
use crate::question::RecordType;
use crate::scope::Namespaces;
use crate::search::SearchList;

mod addresses;
mod forms;
mod hostile;
mod memory;
mod precedence;
mod sessions;

/// Scripted reply of a side to a question.
#[derive(Clone, Copy, Debug)]
enum Say {
    Address(Ipv4Addr),
    /// The name is an alias of another one, which has this address.
    Alias(&'static str, Ipv4Addr),
    /// The address, and addresses of another name in every section.
    WithStrangers(Ipv4Addr),
    Long,
    NoData,
    NxDomain,
    ServFail,
    Fails(AskError),
    Nothing,
}

/// Scripted side: its replies and the time until each. It answers NXDOMAIN for other names.
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
        // With a TTL above zero, so that it is cached.
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
    addressees: Mutex<Vec<Addressee>>,
    withheld: Mutex<HashMap<IpAddr, Admission>>,
    routes_take: Mutex<Duration>,
}

impl Asks for Arc<Script> {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.cluster.answer(&query).await
    }

    async fn laptop(&self, query: Bytes, addressee: Addressee) -> Result<Bytes, AskError> {
        self.addressees.lock().unwrap().push(addressee);
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
                "an answer is about the name that was asked"
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
