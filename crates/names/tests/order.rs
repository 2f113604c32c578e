//! Test with the C library that each question goes to the name server that the program asked: look-ups find the same
//! and take as long as without the resolver. It runs in its own network and mount namespace.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use slipway_names::upstream::{Dial, Server, Upstream};
use slipway_names::{
    Addressee, Admission, AskError, Asks, LAPTOP_WITHIN, NamedBy, Resolver, Scope, Transport, channel,
};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Difference of two look-ups that a busy machine makes.
const TOLERANCE: Duration = Duration::from_millis(400);

const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)];
const OURS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 2, 1), Ipv4Addr::new(127, 0, 2, 2)];

/// Look-ups: options of resolv.conf, whether the first server is silent, the name, and what the C library finds.
const LOOKUPS: [(&str, bool, &str, &str); 7] = [
    ("timeout:1 attempts:1", false, "intranet.example", "192.0.2.1"),
    ("timeout:1 attempts:1", false, "public.example", "192.0.2.1"),
    ("timeout:1 attempts:1", true, "public.example", "192.0.2.2"),
    // The first server again, after a silence, and after a failure.
    ("timeout:1 attempts:1", false, "intranet.example", "192.0.2.1"),
    ("timeout:1 attempts:1", false, "broken.example", "192.0.2.2"),
    ("timeout:1 attempts:1", false, "intranet.example", "192.0.2.1"),
    ("timeout:1", true, "public.example", "192.0.2.2"),
];

/// Reply of a server, from its place, to a question: the first knows the intranet and fails for one name.
fn reply(place: usize, query: &[u8]) -> Vec<u8> {
    let name = &query[13..];
    let is_address = query.ends_with(b"\0\0\x01\0\x01");
    let code = match place {
        0 if name.starts_with(b"broken") => 2,
        1 if name.starts_with(b"intranet") => 3,
        _ => 0,
    };
    let mut answer = query.to_vec();
    (answer[2], answer[3]) = (0x81, 0x80 | code);
    if code == 0 && is_address {
        answer[7] = 1;
        let last = u8::try_from(place + 1).unwrap();
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 2, last]);
    }
    answer
}

async fn serve(socket: UdpSocket, place: usize, is_silent: Arc<AtomicBool>) {
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).await.unwrap();
        if place == 1 || !is_silent.load(Ordering::Relaxed) {
            socket
                .send_to(&reply(place, &query[..length]), from)
                .await
                .unwrap();
        }
    }
}

struct Plain;

impl Dial for Plain {
    fn dial(&self, server: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send {
        TcpStream::connect(server)
    }
}

/// A cluster without names, and the laptop's servers.
struct World(Upstream<Plain>);

impl Asks for World {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        let mut answer = query.to_vec();
        (answer[2], answer[3]) = (0x81, 0x83);
        Ok(answer.into())
    }

    async fn laptop(&self, query: Bytes, addressee: Addressee) -> Result<Bytes, AskError> {
        self.0.ask(query, addressee).await
    }

    async fn admit(&self, addresses: &[IpAddr], _: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

async fn resolver() -> Resolver<World> {
    let mut servers = Vec::new();
    for address in SERVERS.map(|server| SocketAddr::from((server, 53))) {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
        socket.connect(address).await.unwrap();
        servers.push(Server {
            address,
            sockets: vec![socket],
        });
    }
    let scope = Scope::new("cluster.local".parse().unwrap(), "shop".parse().unwrap());
    let laptop = Upstream::new(servers, LAPTOP_WITHIN, Plain);
    Resolver::new(scope, World(laptop), channel(1).0)
}

async fn serve_ours(socket: UdpSocket, resolver: Resolver<World>) {
    let socket = Arc::new(socket);
    let mut answering = JoinSet::new();
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).await.unwrap();
        let (resolver, socket) = (resolver.clone(), Arc::clone(&socket));
        let query = Bytes::copy_from_slice(&query[..length]);
        answering.spawn(async move {
            let answer = resolver.answer(query, Transport::Udp).await;
            socket.send_to(&answer, from).await
        });
    }
}

/// Moves this thread to new namespaces, with these files in place of this machine's.
fn make_laptop(files: &Path) {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
    std::fs::write(files.join("nsswitch.conf"), "hosts: dns\n").unwrap();
    for name in ["nsswitch.conf", "resolv.conf"] {
        let (file, target) = (files.join(name), Path::new("/etc").join(name));
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .unwrap();
        mount(Some(&file), &target, none, MsFlags::MS_BIND, none).expect("bind mount");
    }
    let up = std::process::Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
}

/// Looks a name up. Returns the first address, and how long it took.
async fn look_up(files: &Path, servers: [Ipv4Addr; 2], options: &str, name: &str) -> (String, Duration) {
    let [first, second] = servers;
    let conf = format!("nameserver {first}\nnameserver {second}\noptions {options}\n");
    // In place, because the file is mounted.
    std::fs::write(files.join("resolv.conf"), conf).unwrap();
    let began = Instant::now();
    let output = Command::new("getent")
        .args(["ahosts", name])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.split_whitespace().next().unwrap_or_default();
    (first.to_owned(), began.elapsed())
}

#[test]
#[ignore = "needs root"]
fn the_c_library_decides_which_server_is_asked() {
    let test = || {
        let files = tempfile::tempdir().unwrap();
        make_laptop(files.path());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let is_silent = Arc::new(AtomicBool::new(false));
            let resolver = resolver().await;
            let mut serving = JoinSet::new();
            for place in [0, 1] {
                let server = UdpSocket::bind((SERVERS[place], 53)).await.unwrap();
                serving.spawn(serve(server, place, Arc::clone(&is_silent)));
                let ours = UdpSocket::bind((OURS[place], 53)).await.unwrap();
                serving.spawn(serve_ours(ours, resolver.in_place_of(place)));
            }
            for (options, silent, name, address) in LOOKUPS {
                is_silent.store(silent, Ordering::Relaxed);
                let (without, took_without) = look_up(files.path(), SERVERS, options, name).await;
                let (with, took_with) = look_up(files.path(), OURS, options, name).await;
                let what = format!("{name} with {options}, silent: {silent}");
                assert_eq!((&*without, &*with), (address, address), "{what}");
                assert!(
                    took_with < took_without + TOLERANCE,
                    "{what}: {took_with:?} instead of {took_without:?}"
                );
            }
        });
    };
    std::thread::spawn(test).join().unwrap();
}
