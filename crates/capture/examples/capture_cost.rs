//! What a capture costs: one flow each way, connections and DNS answers, beside the same over loopback.
//!
//! It makes a network namespace of its own, so it needs root and disturbs nothing:
//!
//! ```text
//! cargo run --release -p slipway-capture --example capture_cost -- [SECONDS [rewriting]]
//! ```
#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use nix::sched::{CloneFlags, unshare};
use slipway_capture::{
    Answer, BackEnd, Capture, Choice, ConnectRefusal, DnsService, Echo, FarEnd, Flow, Setup, TunAddresses,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TUN: &str = "slip0";
const CAPTURED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));
const LAPTOP: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1));
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 2));
/// The far end reads and drops.
const SINK: u16 = 9;
/// The far end writes.
const SOURCE: u16 = 19;
/// The far end sends back.
const ECHO: u16 = 7;
const CHUNK: usize = 256 << 10;
/// Connections made for the figure of one.
const CONNECTIONS: usize = 5_000;
/// Questions that one program has in flight.
const WINDOW: usize = 32;

fn main() -> Result<()> {
    slipway_capture::private_namespace::child_main_if_asked();
    let seconds = std::env::args()
        .nth(1)
        .map_or(Ok(4), |argument| argument.parse())
        .context("SECONDS")?;
    let span = Duration::from_secs(seconds);
    let back_end = match std::env::args().nth(2).as_deref() {
        Some("rewriting") => BackEnd::Rewriting,
        Some(_) | None => BackEnd::PrivateNamespace,
    };
    let setup = Setup {
        resolver_addresses: vec![RESOLVER],
        tun_addresses: vec![TunAddresses {
            laptop: LAPTOP,
            other: RESOLVER,
        }],
        back_end: Choice::Only(back_end),
    };
    unshare(CloneFlags::CLONE_NEWNET).context("a network namespace of its own: needs root")?;
    ip("link set lo up")?;
    let tun = slipway_capture::make_tun(TUN).context("a TUN")?;
    ip(&format!("link set {TUN} mtu 65535 up"))?;
    ip(&format!("addr add 198.18.0.1/30 dev {TUN}"))?;
    ip(&format!("route add 10.96.0.0/16 dev {TUN}"))?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let capture = runtime.block_on(async {
        for port in [SINK, SOURCE, ECHO] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(port, stream));
                }
            });
        }
        anyhow::Ok(Capture::start(tun, setup, Server, Answerer).await?)
    })?;

    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for (name, flow) in [
        ("up", upload as fn(SocketAddr, Duration) -> Result<f64>),
        ("down", download),
    ] {
        let port = if name == "up" { SINK } else { SOURCE };
        let direct = flow((loopback, port).into(), span)?;
        let captured = flow((CAPTURED, port).into(), span)?;
        println!(
            "one flow {name:4}     direct {direct:6.0} MB/s    captured {captured:6.0} MB/s    ratio {:.2}",
            captured / direct
        );
    }
    let direct = connections((loopback, ECHO).into())?;
    let captured = connections((CAPTURED, ECHO).into())?;
    for (name, direct, captured) in [("p50", direct.0, captured.0), ("p99", direct.1, captured.1)] {
        println!(
            "connect+byte {name}  direct {direct:6.0} us      captured {captured:6.0} us      ratio {:.2}",
            captured / direct
        );
    }
    for programs in [1, 4] {
        let answers = questions(programs, span)?;
        println!("DNS, {programs} programs  {answers:.0} answers/s");
    }
    runtime.block_on(capture.stop());
    Ok(())
}

/// Writes for a while; megabytes a second.
fn upload(to: SocketAddr, span: Duration) -> Result<f64> {
    let mut stream = TcpStream::connect(to)?;
    let chunk = vec![0; CHUNK];
    let (start, mut sent) = (Instant::now(), 0u64);
    while start.elapsed() < span {
        stream.write_all(&chunk)?;
        sent += u64::try_from(CHUNK)?;
    }
    Ok(rate(sent, start) / 1e6)
}

/// Reads for a while; megabytes a second.
fn download(to: SocketAddr, span: Duration) -> Result<f64> {
    let mut stream = TcpStream::connect(to)?;
    let mut chunk = vec![0; CHUNK];
    let (start, mut received) = (Instant::now(), 0u64);
    while start.elapsed() < span {
        let len = stream.read(&mut chunk)?;
        ensure!(len > 0, "the far end ended");
        received += u64::try_from(len)?;
    }
    Ok(rate(received, start) / 1e6)
}

/// Connects, sends an octet, has it back, closes; microseconds, the median and the hundredth worst.
fn connections(to: SocketAddr) -> Result<(f64, f64)> {
    let mut took = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let start = Instant::now();
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| {
        took.get(CONNECTIONS * share / 100)
            .map_or(0.0, |took| took.as_secs_f64() * 1e6)
    };
    Ok((at(50), at(99)))
}

/// Programs that ask and ask; answers a second.
fn questions(programs: usize, span: Duration) -> Result<f64> {
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let threads: Vec<_> = (0..programs)
        .map(|_| {
            let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
            std::thread::spawn(move || ask(&stop, &answers))
        })
        .collect();
    std::thread::sleep(span);
    stop.store(true, Ordering::Relaxed);
    let answered = rate(answers.load(Ordering::Relaxed), start);
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a program ended by a panic"))??;
    }
    Ok(answered)
}

fn ask(stop: &AtomicBool, answers: &AtomicU64) -> Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((RESOLVER, 53))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let question = [7; 40];
    for _ in 0..WINDOW {
        socket.send(&question)?;
    }
    let mut answer = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        // A lost one is asked again.
        if socket.recv(&mut answer).is_ok() {
            answers.fetch_add(1, Ordering::Relaxed);
        }
        socket.send(&question)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

fn ip(arguments: &str) -> Result<()> {
    let status = Command::new("ip").args(arguments.split_whitespace()).status()?;
    ensure!(status.success(), "ip {arguments}: {status}");
    Ok(())
}

/// What the far end does with a connection, the same over loopback and captured.
async fn serve(port: u16, mut stream: tokio::net::TcpStream) {
    let mut chunk = vec![0; if port == ECHO { 64 } else { CHUNK }];
    loop {
        let done = match port {
            SOURCE => stream.write_all(&chunk).await.is_err(),
            SINK => !stream.read(&mut chunk).await.is_ok_and(|len| len > 0),
            _ => match stream.read(&mut chunk).await {
                Ok(len) if len > 0 => stream
                    .write_all(chunk.get(..len).unwrap_or_default())
                    .await
                    .is_err(),
                Ok(_) | Err(_) => true,
            },
        };
        if done {
            return;
        }
    }
}

/// A far end without a far.
#[derive(Clone)]
struct Server;

impl FarEnd for Server {
    type Opened = u16;

    async fn open(&self, to: SocketAddr) -> Result<u16, ConnectRefusal> {
        std::future::ready(Ok(to.port())).await
    }

    async fn carry(&self, port: u16, _: Flow, program: tokio::net::TcpStream) {
        serve(port, program).await;
    }

    fn datagram(&self, _: Flow, _: &[u8]) {}

    fn datagrams_ended(&self, _: Flow) {}

    fn echo(&self, _: Echo) {}
}

/// A resolver whose cache knows everything.
#[derive(Clone)]
struct Answerer;

impl DnsService for Answerer {
    fn try_answer(&self, query: &[u8], answer: &mut Vec<u8>) -> Answer {
        answer.extend_from_slice(query);
        answer.extend_from_slice(&[0; 60]);
        Answer::Ready
    }

    async fn answer(&self, _: Bytes, _: SocketAddr) -> Option<Bytes> {
        std::future::ready(None).await
    }

    async fn serve_tcp(&self, program: tokio::net::TcpStream) {
        drop(program);
        std::future::ready(()).await;
    }
}
