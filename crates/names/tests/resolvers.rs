//! Real resolvers against ours: glibc, musl, Go and dig, in a network and mount namespace of their own with a
//! resolv.conf that leads to it. Each first shows that the names do not resolve without it.
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
    Admission, AskError, Asks, CHECK_ADDRESS, NamedBy, Namespaces, Resolver, Scope, SearchList, Transport,
    channel,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Command;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

/// How long a program may take to look up one name: more than any resolver's own retry.
const PROGRAM: Duration = Duration::from_secs(20);

/// The laptop's own name server, as if before the session.
const LAPTOP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 53);

/// Where our resolver is.
const OURS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

/// The records of a name server.
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

    /// A name with names below it exists (RFC 8020).
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

/// A cluster with a service, a headless one, one with both families, and one with many addresses.
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
        // A round trip to somewhere.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.cluster
            .answer(&query)
            .map(Bytes::from)
            .ok_or(AskError::Garbled)
    }
    async fn laptop(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.laptop.ask(query).await
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

/// Binds a socket. Tasks of a server that has just ended hold theirs until the runtime has dropped them.
async fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    for _ in 0..100 {
        match UdpSocket::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// The laptop's name server: over UDP what fits into 512 bytes, over TCP all.
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

/// Our resolver on UDP and TCP.
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

/// Answers datagrams as a listener does: from memory at once, else by asking.
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

/// The files of a laptop, in place of this machine's for the test's own mount namespace.
struct Laptop {
    files: tempfile::TempDir,
}

impl Laptop {
    /// `Err` says why it cannot be made here.
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
            return Err("loopback cannot be set up".into());
        }
        Ok(laptop)
    }

    fn write(&self, name: &str, text: &str) {
        // In place: what is mounted is this very file.
        fs::write(self.files.path().join(name), text).unwrap();
    }

    fn resolve_by(&self, server: SocketAddr, more: &str) {
        self.write("resolv.conf", &format!("nameserver {}\n{more}", server.ip()));
    }
}

/// One of the programs that look names up.
struct Program {
    name: &'static str,
    command: Vec<String>,
}

impl Program {
    /// The addresses it finds, and how long it took.
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
    let output = timeout(PROGRAM, child).await.expect("the program hangs").unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// The programs that ask for names.
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
                "there is no {compiler} to build the program `{name}` with"
            );
            let program = into.join(name);
            let mut command = std::process::Command::new(compiler);
            prepare(&mut command, &program);
            assert!(command.status().unwrap().success(), "{name} cannot be built");
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

/// Runs `test` in a laptop of its own, on a thread of its own: namespaces belong to threads.
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

/// Serves while `test` runs.
async fn while_serving(serving: impl Future<Output = io::Result<()>>, test: impl Future<Output = ()>) {
    tokio::select! {
        // In this order: a program that is started first asks before anybody listens.
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
        // As they come, and as a company's network would have it.
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
                            "{by} finds {name} before the session"
                        );
                    }
                    for (name, address) in public_names.into_iter().chain(short) {
                        assert_eq!(
                            program.addresses(name).await.0,
                            [address],
                            "{by} before the session: {name}"
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
                    // `dev` is a domain of the laptop's name servers, so `web.dev` is nobody's.
                    for name in [
                        "nosuch",
                        "nosuch.shop",
                        "nosuch.example.org",
                        "example.invalid",
                        "web.dev",
                    ] {
                        let (found, took) = program.addresses(name).await;
                        assert_eq!(found, [""; 0], "{by} {name}");
                        assert!(took < Duration::from_secs(2), "{by} needed {took:?} for {name}");
                    }
                    let (many, _) = program.addresses("many").await;
                    // musl before 1.2.4 does not ask over TCP: what fits into 512 bytes must do.
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
                // 120 addresses take 1,9 KB: not in a datagram of 1,232 bytes, so dig asks again over TCP.
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
