//! Tests of the resolver with real clients: glibc, musl, Go and dig. They run in their own network and mount namespace,
//! whose resolv.conf leads to the resolver. Each test first shows that the names do not resolve without it.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name as DnsName, RData, Record};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use slipway_names::upstream::{Dial, Server, Upstream};
use slipway_names::{
    Addressee, Admission, AskError, Asks, CHECK_ADDRESS, LAPTOP_WITHIN, NamedBy, Namespaces, Resolver, Scope,
    SearchList, Transport, channel,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

/// Limit for a program to look up one name: more than any client's own retries take.
const PROGRAM: Duration = Duration::from_secs(20);

/// Address of the laptop's name server.
const LAPTOP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 53);

/// Address of the resolver under test.
const OURS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// Records of a name server.
#[derive(Clone, Default)]
struct Zone(BTreeMap<String, Vec<RData>>);

impl Zone {
    fn with(mut self, name: &str, data: impl IntoIterator<Item = RData>) -> Self {
        self.0.entry(format!("{name}.")).or_default().extend(data);
        self
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let asked = query.queries.first()?;
        let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(asked.clone());
        answer.edns = query.edns.clone();
        match self.0.get(&asked.name.to_lowercase().to_ascii()) {
            Some(records) => {
                let meant = records
                    .iter()
                    .filter(|data| data.record_type() == asked.query_type);
                answer
                    .add_answers(meant.map(|data| Record::from_rdata(asked.name.clone(), 30, data.clone())));
            }
            None if self.has_names_below(&asked.name.to_lowercase().to_ascii()) => {}
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        if answer.answers.is_empty() {
            let root = DnsName::root();
            answer.add_authority(Record::from_rdata(
                root.clone(),
                30,
                RData::SOA(SOA::new(root.clone(), root, 1, 1, 1, 1, 30)),
            ));
        }
        answer.to_vec().ok()
    }

    /// Whether there are names below this one, so that it exists (RFC 8020).
    fn has_names_below(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.0.keys().any(|key| key.ends_with(&below))
    }
}

fn v4(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

fn dns(text: &str) -> DnsName {
    DnsName::from_ascii(text).unwrap()
}

/// Records of a cluster with services: one headless, one with both address families, one with many addresses.
fn cluster() -> Zone {
    let srv = SRV::new(0, 100, 8080, dns("web.shop.svc.cluster.local."));
    Zone::default()
        .with("web.shop.svc.cluster.local", [v4("10.96.0.7")])
        .with(
            "both.shop.svc.cluster.local",
            [v4("10.96.0.8"), RData::AAAA(AAAA("fd00:96::8".parse().unwrap()))],
        )
        .with("db-0.db.shop.svc.cluster.local", [v4("10.244.1.5")])
        .with("web.ops.svc.cluster.local", [v4("10.96.0.9")])
        .with("web.dev.svc.cluster.local", [v4("10.96.0.10")])
        .with("shopify.dev.svc.cluster.local", [v4("10.96.0.66")])
        .with(
            "many.shop.svc.cluster.local",
            (1..=120).map(|last| v4(&format!("10.244.2.{last}"))),
        )
        .with("_http._tcp.web.shop.svc.cluster.local", [RData::SRV(srv)])
        .with(
            "dns-version.cluster.local",
            [RData::TXT(TXT::new(vec!["1.1.0".into()]))],
        )
        .with(
            "7.0.96.10.in-addr.arpa",
            [RData::PTR(PTR(dns("web.shop.svc.cluster.local.")))],
        )
}

fn laptop() -> Zone {
    Zone::default()
        .with("www.example.org", [v4("192.0.2.1")])
        .with("shopify.dev", [v4("192.0.2.2")])
        .with("wiki.corp.internal", [v4("192.0.2.3")])
        .with(
            "large.example.org",
            (1..=120).map(|last| v4(&format!("192.0.2.{last}"))),
        )
}

struct Tcp;

impl Dial for Tcp {
    fn dial(&self, server: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send {
        TcpStream::connect(server)
    }
}

struct World {
    cluster: Zone,
    laptop: Upstream<Tcp>,
}

impl Asks for World {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        // A round trip to the cluster.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.cluster
            .answer(&query)
            .map(Bytes::from)
            .ok_or(AskError::Garbled)
    }
    async fn laptop(&self, query: Bytes, addressee: Addressee) -> Result<Bytes, AskError> {
        self.laptop.ask(query, addressee).await
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

/// Binds a socket, with retries: tasks of a server that has just ended hold theirs until the runtime drops them.
async fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    for _ in 0..100 {
        match UdpSocket::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Serves the laptop's records: over UDP up to 512 bytes, over TCP all.
async fn serve_laptop() -> io::Result<()> {
    let (udp, tcp) = (bind_udp(LAPTOP).await?, TcpListener::bind(LAPTOP).await?);
    let zone = laptop();
    let datagrams = async {
        let mut query = [0; 1024];
        loop {
            let (length, from) = udp.recv_from(&mut query).await?;
            let Some(mut answer) = zone.answer(&query[..length]) else {
                continue;
            };
            if answer.len() > 512 {
                answer = Message::from_vec(&answer).unwrap().truncate().to_vec().unwrap();
            }
            udp.send_to(&answer, from).await?;
        }
    };
    let streams = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = tcp.accept().await?;
            let mut query = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut query).await?;
            let answer = zone.answer(&query).unwrap_or_default();
            stream.write_u16(u16::try_from(answer.len()).unwrap()).await?;
            stream.write_all(&answer).await?;
        }
    };
    tokio::select! {
        ended = datagrams => ended,
        ended = streams => ended,
    }
}

/// Serves the resolver under test on UDP and TCP.
async fn serve_ours() -> io::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        socket.connect(LAPTOP).await?;
        sockets.push(socket);
    }
    let laptop = Upstream::new(
        vec![Server {
            address: LAPTOP,
            sockets,
        }],
        LAPTOP_WITHIN,
        Tcp,
    );
    let scope = Scope {
        namespaces: Namespaces::Known(["shop", "dev", "ops"].map(|label| label.parse().unwrap()).into()),
        reverse: vec!["10.96.0.0/16".parse().unwrap()],
        laptop_search: SearchList {
            domains: vec!["corp.internal".parse().unwrap()],
            ..SearchList::default()
        },
        ..Scope::new("cluster.local".parse().unwrap(), "shop".parse().unwrap())
    };
    let resolver = Resolver::new(
        scope,
        World {
            cluster: cluster(),
            laptop,
        },
        channel(1).0,
    );
    let (udp, tcp) = (Arc::new(bind_udp(OURS).await?), TcpListener::bind(OURS).await?);
    let streams = async {
        let mut served = JoinSet::new();
        loop {
            let (stream, _) = tcp.accept().await?;
            let resolver = resolver.clone();
            served.spawn(async move { resolver.serve_tcp(stream).await });
        }
    };
    tokio::select! {
        ended = serve_udp(&resolver, udp) => ended,
        ended = streams => ended,
    }
}

/// Answers datagrams: from the cache at once, otherwise in a task.
async fn serve_udp(resolver: &Resolver<World>, socket: Arc<UdpSocket>) -> io::Result<()> {
    let mut asking = JoinSet::new();
    let (mut query, mut answer) = (vec![0; 4096], Vec::new());
    loop {
        let (length, from) = socket.recv_from(&mut query).await?;
        if resolver.try_answer(&query[..length], &mut answer) {
            socket.send_to(&answer, from).await?;
            continue;
        }
        let (resolver, socket) = (resolver.clone(), Arc::clone(&socket));
        let query = Bytes::copy_from_slice(&query[..length]);
        asking.spawn(async move {
            let answer = resolver.answer(query, Transport::Udp).await;
            socket.send_to(&answer, from).await
        });
    }
}

/// Network and mount namespace with the files of a laptop in place of this machine's.
struct Laptop {
    files: tempfile::TempDir,
}

impl Laptop {
    /// Moves this thread to new namespaces. The error says why that fails on this machine.
    fn new() -> Result<Self, String> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .map_err(|error| format!("namespaces: {error}"))?;
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .map_err(|error| format!("private mounts: {error}"))?;
        let files = tempfile::tempdir().map_err(|error| error.to_string())?;
        let laptop = Self { files };
        for (name, text) in [
            ("nsswitch.conf", "hosts: files dns\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("resolv.conf", ""),
        ] {
            laptop.write(name, text);
            let target = Path::new("/etc").join(name);
            mount(
                Some(&laptop.files.path().join(name)),
                &target,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
            .map_err(|error| format!("{}: {error}", target.display()))?;
        }
        let up = std::process::Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        if !up.is_ok_and(|status| status.success()) {
            return Err("`ip link set lo up` failed".into());
        }
        Ok(laptop)
    }

    fn write(&self, name: &str, text: &str) {
        // The file is written in place, because it is mounted and a new one would not be.
        fs::write(self.files.path().join(name), text).unwrap();
    }

    fn resolve_by(&self, server: SocketAddr, more: &str) {
        self.write("resolv.conf", &format!("nameserver {}\n{more}", server.ip()));
    }
}

/// Program that looks names up.
struct Program {
    name: &'static str,
    command: Vec<String>,
}

impl Program {
    /// Returns the addresses that it finds, and the time that it took.
    async fn addresses(&self, name: &str) -> (Vec<String>, Duration) {
        let start = Instant::now();
        let output = run(&[&self.command[..], &[name.into()]].concat()).await;
        let took = start.elapsed();
        let mut found: Vec<String> = output
            .lines()
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect();
        found.sort();
        found.dedup();
        (found, took)
    }
}

async fn run(command: &[String]) -> String {
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PROGRAM, child)
        .await
        .expect("the program did not end in time")
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Builds the programs that look names up.
fn programs(into: &Path) -> Vec<Program> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let mut programs = vec![Program {
        name: "glibc",
        command: vec!["getent".into(), "ahosts".into()],
    }];
    let mut build =
        |name: &'static str, compiler: &str, prepare: &dyn Fn(&mut std::process::Command, &PathBuf)| {
            assert!(
                has(compiler),
                "the program `{name}` needs {compiler}, which is not installed"
            );
            let program = into.join(name);
            let mut command = std::process::Command::new(compiler);
            prepare(&mut command, &program);
            assert!(
                command.status().unwrap().success(),
                "{compiler} could not build `{name}`"
            );
            programs.push(Program {
                name,
                command: vec![program.to_str().unwrap().into()],
            });
        };
    build("musl", "musl-gcc", &|command, program| {
        command
            .arg("-static")
            .arg("-o")
            .arg(program)
            .arg(sources.join("lookup.c"));
    });
    build("go", "go", &|command, program| {
        command
            .args(["build", "-o"])
            .arg(program)
            .arg(sources.join("lookup.go"))
            .env("CGO_ENABLED", "0");
    });
    programs
}

/// Runs `test` in its own [`Laptop`], on its own thread, because namespaces belong to threads.
fn on_a_laptop(test: impl AsyncFnOnce(&Laptop, Vec<Program>) + Send + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let programs = programs(folder.path());
    let thread = std::thread::spawn(move || match Laptop::new() {
        Err(reason) => panic!("{reason}"),
        Ok(laptop) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            LocalSet::new().block_on(&runtime, test(&laptop, programs));
        }
    });
    thread.join().unwrap();
}

/// Runs `serving` until `test` ends.
async fn while_serving(serving: impl Future<Output = io::Result<()>>, test: impl Future<Output = ()>) {
    tokio::select! {
        // Servers are polled first, so that they listen before a program asks.
        biased;
        ended = serving => panic!("the server ended with {ended:?}"),
        () = test => {}
    }
}

#[test]
#[ignore = "needs root, dig, and compilers for musl and Go"]
fn real_resolvers_find_cluster_names_and_keep_public_ones() {
    on_a_laptop(async |laptop, programs| {
        let cluster_names = [
            ("web", "10.96.0.7"),
            ("web.shop", "10.96.0.7"),
            ("web.shop.svc", "10.96.0.7"),
            ("web.shop.svc.cluster.local", "10.96.0.7"),
            ("web.ops", "10.96.0.9"),
            ("db-0.db", "10.244.1.5"),
            ("db-0.db.shop", "10.244.1.5"),
            ("db-0.db.shop.svc.cluster.local", "10.244.1.5"),
            ("check.slipway.internal", &CHECK_ADDRESS.to_string()),
        ];
        let public_names = [
            ("www.example.org", "192.0.2.1"),
            ("shopify.dev", "192.0.2.2"),
            ("wiki.corp.internal", "192.0.2.3"),
        ];
        // Without a search domain, and with one of a company.
        for (options, short) in [
            ("", None),
            ("search corp.internal\n", Some(("wiki", "192.0.2.3"))),
        ] {
            for program in &programs {
                let by = program.name;
                laptop.resolve_by(LAPTOP, options);
                while_serving(serve_laptop(), async {
                    for (name, _) in cluster_names {
                        assert_eq!(
                            program.addresses(name).await.0,
                            [""; 0],
                            "{by} finds {name} without the session"
                        );
                    }
                    for (name, address) in public_names.into_iter().chain(short) {
                        assert_eq!(
                            program.addresses(name).await.0,
                            [address],
                            "{by} without the session: {name}"
                        );
                    }
                })
                .await;
                laptop.resolve_by(OURS, options);
                let both = async { tokio::try_join!(serve_laptop(), serve_ours()).map(|_| ()) };
                while_serving(both, async {
                    for (name, address) in cluster_names.into_iter().chain(public_names).chain(short) {
                        assert_eq!(
                            program.addresses(name).await.0,
                            [address],
                            "{by} {options:?} {name}"
                        );
                    }
                    assert_eq!(
                        program.addresses("both").await.0,
                        ["10.96.0.8", "fd00:96::8"],
                        "{by}"
                    );
                    assert_eq!(
                        program.addresses("shopify.dev.svc").await.0,
                        ["10.96.0.66"],
                        "{by}"
                    );
                    // `dev` is a domain of the laptop's name servers, so the cluster is not asked for `web.dev`.
                    for name in [
                        "nosuch",
                        "nosuch.shop",
                        "nosuch.example.org",
                        "example.invalid",
                        "web.dev",
                    ] {
                        let (found, took) = program.addresses(name).await;
                        assert_eq!(found, [""; 0], "{by} {name}");
                        assert!(took < Duration::from_secs(2), "{by} took {took:?} for {name}");
                    }
                    let (many, _) = program.addresses("many").await;
                    // musl before 1.2.4 does not ask over TCP and uses the addresses that fit into 512 bytes.
                    assert!(
                        by == "musl" || many.len() == 120,
                        "{by} finds {} addresses",
                        many.len()
                    );
                })
                .await;
            }
        }
    });
}

#[test]
#[ignore = "needs root, dig, and compilers for musl and Go"]
fn every_kind_of_record_comes_through_whole() {
    on_a_laptop(async |laptop, _programs| {
        let dig = async |arguments: &str| {
            let command: Vec<String> = "dig +time=3 +tries=1"
                .split(' ')
                .chain(arguments.split(' '))
                .map(str::to_owned)
                .collect();
            run(&command).await
        };
        laptop.resolve_by(LAPTOP, "");
        while_serving(serve_laptop(), async {
            assert!(
                dig("web.shop.svc.cluster.local")
                    .await
                    .contains("status: NXDOMAIN")
            );
        })
        .await;
        laptop.resolve_by(OURS, "");
        let both = async { tokio::try_join!(serve_laptop(), serve_ours()).map(|_| ()) };
        while_serving(both, async {
            for (arguments, said) in [
                ("+short web A", "10.96.0.7"),
                ("+short WeB.ShOp A", "10.96.0.7"),
                ("+short +tcp web A", "10.96.0.7"),
                ("+short +noedns web A", "10.96.0.7"),
                ("+short +dnssec web A", "10.96.0.7"),
                ("+short both AAAA", "fd00:96::8"),
                (
                    "+short _http._tcp.web SRV",
                    "0 100 8080 web.shop.svc.cluster.local.",
                ),
                (
                    "+short _http._tcp.web.shop.svc.cluster.local SRV",
                    "0 100 8080 web.shop.svc.cluster.local.",
                ),
                ("+short dns-version.cluster.local TXT", "\"1.1.0\""),
                ("+short -x 10.96.0.7", "web.shop.svc.cluster.local."),
            ] {
                assert_eq!(dig(arguments).await.trim(), said, "{arguments}");
            }
            for (arguments, part) in [
                ("web AAAA", "status: NOERROR"),
                ("web AAAA", "ANSWER: 0"),
                ("web A", "EDNS: version: 0"),
                ("nosuch.shop.svc A", "status: NXDOMAIN"),
                ("nosuch A", "status: NXDOMAIN"),
                ("-x 10.96.0.99", "status: NXDOMAIN"),
                ("cluster.local AXFR", "Transfer failed"),
                // 120 addresses take 1.9 kB and do not fit into 1232 bytes, so dig asks again over TCP.
                ("many A", "ANSWER: 120"),
                ("large.example.org A", "ANSWER: 120"),
                ("+ignore many A", "flags: qr tc"),
            ] {
                let said = dig(arguments).await;
                assert!(said.contains(part), "{arguments} lacks {part:?}:\n{said}");
            }
            assert!(
                !dig("+noedns web A").await.contains("EDNS"),
                "EDNS was not asked for"
            );
        })
        .await;
    });
}
