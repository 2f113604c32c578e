//! Tests with servers that never answer: every wait ends within its limit, and the program gets an answer.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use slipway_control_api::NameVerdict;
use slipway_names::upstream::{Dial, ROUNDS, Server, Upstream};
use slipway_names::{
    ADDRESSED_WITHIN, Addressee, Admission, AskError, Asks, CLUSTER_WITHIN, EXPLAIN_WITHIN, LAPTOP_WITHIN,
    NEIGHBORS_WITHIN, NamedBy, Namespaces, Observer, ROUTES_WITHIN, Resolver, Scope, Transport,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::Instant;

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// Tolerance of a wait. It is small, because the clock stands still while a task runs.
const SOON: Duration = Duration::from_millis(20);

/// Reply of a server.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Say {
    Nothing,
    Address,
    NoSuchName,
}

#[derive(Clone, Copy)]
struct World {
    cluster: Say,
    laptop: Say,
    routes_are_made: bool,
    others_answer: bool,
}

/// All servers answer.
const WELL: World = World {
    cluster: Say::Address,
    laptop: Say::Address,
    routes_are_made: true,
    others_answer: true,
};

impl Asks for World {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        say(self.cluster, &query).await
    }

    async fn laptop(&self, query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
        say(self.laptop, &query).await
    }

    async fn admit(&self, addresses: &[IpAddr], _: NamedBy) -> Vec<Admission> {
        if !self.routes_are_made {
            return std::future::pending().await;
        }
        vec![Admission::HandOut; addresses.len()]
    }

    async fn neighbors(&self, _: Bytes) -> Option<Bytes> {
        if self.others_answer {
            None
        } else {
            std::future::pending().await
        }
    }
}

async fn say(what: Say, query: &[u8]) -> Result<Bytes, AskError> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    match what {
        Say::Nothing => std::future::pending().await,
        Say::NoSuchName => answer[3] = NXDOMAIN,
        Say::Address => {
            answer[7] = 1;
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 7]);
        }
    }
    Ok(answer.into())
}

fn resolver(world: World) -> Resolver<World> {
    let mut scope = Scope::new("cluster.local".parse().unwrap(), "shop".parse().unwrap());
    scope.namespaces = Namespaces::Known(["shop".parse().unwrap()].into());
    Resolver::new(scope, world, Observer::new(|_| ()))
}

fn query(name: &str) -> Bytes {
    let mut query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.bytes());
    }
    query.extend(b"\0\0\x01\0\x01");
    query.into()
}

/// Checks that the answer to a name has this code and comes after this time.
async fn comes(world: World, name: &str, code: u8, after: Duration) {
    let began = Instant::now();
    let answer = resolver(world).answer(query(name), Transport::Udp).await;
    let waited = began.elapsed();
    assert_eq!(answer[3] & 0xf, code, "{name}");
    assert!(waited >= after && waited < after + SOON, "{name}: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_cluster_is_a_failed_answer() {
    let world = World {
        cluster: Say::Nothing,
        ..WELL
    };
    comes(world, "web.shop.svc.cluster.local", SERVFAIL, CLUSTER_WITHIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_laptop_is_a_failed_answer() {
    let world = World {
        laptop: Say::Nothing,
        ..WELL
    };
    comes(world, "www.example.org", SERVFAIL, LAPTOP_WITHIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_of_the_program_is_given_up() {
    let world = World {
        laptop: Say::Nothing,
        ..WELL
    };
    let resolver = resolver(world).in_place_of(0);
    let began = Instant::now();
    let answer = resolver.answer(query("www.example.org"), Transport::Udp).await;
    assert_eq!(answer[3] & 0xf, SERVFAIL);
    assert_eq!(began.elapsed().as_secs(), ADDRESSED_WITHIN.as_secs());
}

#[tokio::test(start_paused = true)]
async fn an_address_whose_route_is_not_made_is_not_handed_out() {
    let world = World {
        routes_are_made: false,
        ..WELL
    };
    comes(world, "web.shop.svc.cluster.local", SERVFAIL, ROUTES_WITHIN).await;
}

#[tokio::test(start_paused = true)]
async fn silent_neighbors_know_no_name() {
    let world = World {
        cluster: Say::NoSuchName,
        laptop: Say::NoSuchName,
        others_answer: false,
        ..WELL
    };
    comes(world, "web.shop.svc.cluster.local", NXDOMAIN, NEIGHBORS_WITHIN).await;
}

#[tokio::test(start_paused = true)]
async fn silence_on_all_sides_is_explained_in_time() {
    let world = World {
        cluster: Say::Nothing,
        laptop: Say::Nothing,
        others_answer: false,
        ..WELL
    };
    let began = Instant::now();
    let found = resolver(world).explain(&"web.shop".parse().unwrap()).await;
    let waited = began.elapsed();
    assert!(waited <= EXPLAIN_WITHIN + SOON, "{waited:?}");
    assert_eq!(found.verdict, NameVerdict::ClusterSilent);
}

/// Connects without bypassing capture.
struct Plain;

impl Dial for Plain {
    async fn dial(&self, server: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(server).await
    }
}

async fn upstream_of(server: SocketAddr) -> Upstream<Plain> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let server = Server {
        address: server,
        sockets: vec![socket],
    };
    Upstream::new(vec![server], LAPTOP_WITHIN, Plain)
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_given_up_after_two_rounds() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let upstream = upstream_of(silent.local_addr().unwrap()).await;
    let began = Instant::now();
    assert_eq!(
        upstream.ask(query("www.example.org"), Addressee::InOrder).await,
        Err(AskError::TimedOut)
    );
    let (waited, rounds) = (began.elapsed(), ROUNDS.iter().sum::<Duration>());
    assert!(waited >= rounds && waited < rounds + SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_silent_over_tcp_is_given_up() {
    let by_tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = by_tcp.local_addr().unwrap();
    let by_udp = UdpSocket::bind(address).await.unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        // Each answer is truncated, so the client asks over TCP, where the kernel accepts and no program answers.
        let mut question = [0; 512];
        loop {
            let (length, from) = by_udp.recv_from(&mut question).await.unwrap();
            question[2] |= 0x82;
            by_udp.send_to(&question[..length], from).await.unwrap();
        }
    });
    let upstream = upstream_of(address).await;
    let began = Instant::now();
    assert_eq!(
        upstream.ask(query("www.example.org"), Addressee::InOrder).await,
        Err(AskError::TimedOut)
    );
    let (waited, rounds) = (began.elapsed(), ROUNDS.iter().sum::<Duration>());
    assert!(waited >= rounds && waited < rounds + SOON, "{waited:?}");
    drop(by_tcp);
}
