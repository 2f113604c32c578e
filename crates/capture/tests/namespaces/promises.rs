//! What a program sees while a capture runs.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use slipway_capture::Lost;
use slipway_capture::packet::Checksum;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::far::{self, Seen};
use crate::laptop::{self, TUN, as_root, ip};
use crate::{eventually, start, start_on};

/// How long to wait for what must not come.
const SHORT: Duration = Duration::from_millis(300);

pub(crate) async fn captured_addresses_are_reachable_only_after_the_start() {
    let tun = laptop::make_tun();
    let places = [
        "10.96.0.10:80",
        "10.96.255.254:65535",
        "10.96.7.7:22",
        "[fd00:96::1]:443",
    ];
    for place in places {
        assert!(
            timeout(SHORT, TcpStream::connect(place)).await.is_err(),
            "{place} is reachable already"
        );
    }
    let far = far::Far::new();
    let capture = start_on(tun, &far).await;
    for place in places {
        assert_echo(&mut connect(place).await, place.as_bytes()).await;
        assert!(far.seen().contains(&Seen::Open(place.parse().unwrap())));
    }
    capture.stop().await;
}

pub(crate) async fn a_socket_accepted_by_the_far_end_tells_both_names() {
    let (capture, _far) = start().await;
    for place in ["10.96.0.10", "10.96.200.1", "[fd00:96::10]"] {
        let place = format!("{place}:{}", far::NAMES);
        let mut program = connect(&place).await;
        let mut names = String::new();
        program.read_to_string(&mut names).await.unwrap();
        let here = program.local_addr().unwrap();
        let (to, from) = names.split_once(' ').unwrap();
        assert_eq!(
            to.replace("::ffff:", "").replace(['[', ']'], ""),
            place.replace(['[', ']'], "")
        );
        assert_eq!(canonical(from.parse().unwrap()), here);
    }
    capture.stop().await;
}

pub(crate) async fn a_refusal_reaches_the_program_at_once_and_as_what_it_is() {
    let (capture, _far) = start().await;
    for (host, prohibited) in [
        ("10.96.0.10", ErrorKind::HostUnreachable),
        ("[fd00:96::10]", ErrorKind::PermissionDenied),
    ] {
        for (port, expected) in [
            (far::REFUSED, ErrorKind::ConnectionRefused),
            (far::HOST_UNREACHABLE, ErrorKind::HostUnreachable),
            (far::NETWORK_UNREACHABLE, ErrorKind::NetworkUnreachable),
            (far::PROHIBITED, prohibited),
        ] {
            let start = Instant::now();
            let error = TcpStream::connect(format!("{host}:{port}")).await.unwrap_err();
            let took = start.elapsed();
            assert_eq!(error.kind(), expected, "{host}:{port}");
            assert!(took < Duration::from_millis(50), "{host}:{port} took {took:?}");
        }
    }
    capture.stop().await;
}

/// Linux drops an ICMP error for a socket whose `connect()` is not through yet, and TCP asks again only after a second.
pub(crate) async fn a_refusal_by_icmp_is_sent_twice() {
    let (capture, _far) = start().await;
    let errors = as_root(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap());
    errors.set_read_timeout(Some(SHORT)).unwrap();
    let place = format!("10.96.0.10:{}", far::HOST_UNREACHABLE);
    let program = TcpStream::connect(place).await.unwrap_err();
    assert_eq!(program.kind(), ErrorKind::HostUnreachable);
    let told = tokio::task::spawn_blocking(move || {
        let mut errors = errors;
        std::iter::from_fn(|| errors.read(&mut [0; 128]).ok()).count()
    });
    assert_eq!(told.await.unwrap(), 2);
    capture.stop().await;
}

pub(crate) async fn a_program_waits_while_the_far_end_is_silent() {
    let (capture, far) = start().await;
    let place = SocketAddr::from(([10, 96, 0, 10], far::SILENT));
    // Longer than the kernel waits before it repeats the SYN.
    assert!(
        timeout(Duration::from_millis(1500), TcpStream::connect(place))
            .await
            .is_err()
    );
    assert_eq!(
        far.seen(),
        [Seen::Open(place)],
        "a repeated SYN is not a second connection"
    );
    capture.stop().await;
}

pub(crate) async fn each_half_ends_by_itself() {
    let (capture, far) = start().await;
    let mut program = connect(&format!("10.96.0.10:{}", far::AFTER_END)).await;
    program.write_all(b"all of it").await.unwrap();
    program.shutdown().await.unwrap();
    let mut answer = Vec::new();
    program.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"all of it");

    let mut program = connect(&format!("10.96.0.10:{}", far::GREETS)).await;
    let mut greeting = Vec::new();
    program.read_to_end(&mut greeting).await.unwrap();
    assert_eq!(greeting, far::GREETING);
    program.write_all(b"said after the other's end").await.unwrap();
    drop(program);
    let took = Seen::Took(b"said after the other's end".to_vec());
    eventually("what is said into an ended half arrives", || {
        far.seen().contains(&took)
    })
    .await;
    capture.stop().await;
}

pub(crate) async fn two_connections_from_one_port_to_two_places_stay_apart() {
    let (capture, _far) = start().await;
    let port = 40_123;
    let from_port = |to: &'static str| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind((Ipv4Addr::new(198, 18, 0, 1), port).into()).unwrap();
        socket.connect(to.parse().unwrap()).await.unwrap()
    };
    let mut first = from_port("10.96.0.1:80").await;
    let mut second = from_port("10.96.0.2:80").await;
    let mut third = from_port("10.96.0.1:81").await;
    for _ in 0..3 {
        assert_echo(&mut first, b"first").await;
        assert_echo(&mut second, b"second").await;
        assert_echo(&mut third, b"third").await;
    }
    capture.stop().await;
}

pub(crate) async fn a_firewall_that_lets_nothing_in_does_not_matter() {
    let (capture, _far) = start().await;
    laptop::build_wall();
    assert_echo(&mut connect("10.96.0.10:80").await, b"through").await;
    assert_echo(&mut connect("[fd00:96::10]:80").await, b"through").await;
    let error = TcpStream::connect(("10.96.0.10", far::REFUSED))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = TcpStream::connect(("10.96.0.10", far::HOST_UNREACHABLE))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
    assert_eq!(exchange("10.96.0.10:7", b"datagram").await.unwrap(), b"datagram");
    laptop::tear_wall_down();
    capture.stop().await;
}

pub(crate) async fn many_connections_at_once_all_work() {
    let (capture, _far) = start().await;
    let mut programs = JoinSet::new();
    for number in 0..200u16 {
        programs.spawn(async move {
            let [high, low] = number.to_be_bytes();
            let mut program = connect(&format!("10.96.{high}.{low}:{}", 8000 + number % 10)).await;
            assert_echo(&mut program, format!("number {number}").as_bytes()).await;
            program
        });
    }
    assert_eq!(programs.join_all().await.len(), 200);
    capture.stop().await;
}

pub(crate) async fn more_ports_than_listeners_all_work() {
    let (capture, _far) = start().await;
    let mut first = connect("10.96.0.10:10000").await;
    for port in 10_001..10_600 {
        assert_echo(&mut connect(&format!("10.96.0.10:{port}")).await, b"x").await;
    }
    assert_echo(&mut first, b"its listener is gone").await;
    assert_echo(&mut connect("10.96.0.10:10000").await, b"and there again").await;
    capture.stop().await;
}

pub(crate) async fn a_route_that_comes_later_is_captured_at_once() {
    let (capture, _far) = start().await;
    let error = TcpStream::connect("172.30.1.1:80").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
    as_root(|| ip(&format!("route add 172.30.0.0/16 dev {TUN}")));
    assert_echo(&mut connect("172.30.1.1:80").await, b"captured").await;
    capture.stop().await;
}

pub(crate) async fn much_data_arrives_whole() {
    const LEN: usize = 64 << 20;
    let (capture, _far) = start().await;
    let (mut read, mut write) = connect("10.96.0.10:80").await.into_split();
    let octet = |at: usize| u8::try_from((at * 31 + at / 65_536) % 251).unwrap();
    let sender = tokio::spawn(async move {
        let mut part = vec![0; 100_000];
        let mut at = 0;
        while at < LEN {
            let len = part.len().min(LEN - at);
            part.iter_mut()
                .take(len)
                .enumerate()
                .for_each(|(offset, to)| *to = octet(at + offset));
            write.write_all(&part[..len]).await.unwrap();
            at += len;
        }
        write.shutdown().await.unwrap();
    });
    let mut part = vec![0; 1 << 17];
    let mut at = 0;
    loop {
        let len = read.read(&mut part).await.unwrap();
        if len == 0 {
            break;
        }
        let right = part[..len]
            .iter()
            .enumerate()
            .all(|(offset, found)| *found == octet(at + offset));
        assert!(right, "somewhere after octet {at}");
        at += len;
    }
    assert_eq!(at, LEN);
    sender.await.unwrap();
    capture.stop().await;
}

pub(crate) async fn datagrams_come_back_and_refusals_too() {
    let (capture, _far) = start().await;
    let long = vec![7; 65_000];
    for place in ["10.96.0.10:7", "[fd00:96::10]:7"] {
        assert_eq!(exchange(place, b"datagram").await.unwrap(), b"datagram");
        assert_eq!(exchange(place, &long).await.unwrap(), long);
        assert_eq!(exchange(place, b"").await.unwrap(), b"");
    }
    for host in ["10.96.0.10", "[fd00:96::10]"] {
        let error = exchange(&format!("{host}:{}", far::NO_DATAGRAMS), b"anybody?")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{host}");
    }
    capture.stop().await;
}

pub(crate) async fn pings_are_answered_by_the_far_end_alone() {
    let (capture, far) = start().await;
    for (alive, dead) in [("10.96.0.10", "10.96.0.11"), ("fd00:96::10", "fd00:96::11")] {
        let (alive, dead): (IpAddr, IpAddr) = (alive.parse().unwrap(), dead.parse().unwrap());
        assert!(ping(alive, 1).await, "{alive}");
        assert!(!ping(dead, 2).await, "{dead}");
        assert!(far.seen().contains(&Seen::Echo(alive)) && far.seen().contains(&Seen::Echo(dead)));
    }
    capture.stop().await;
}

pub(crate) async fn the_ping_program_gets_its_answers() {
    let (capture, _far) = start().await;
    let program = |address: &str| {
        let ping = as_root(|| {
            std::process::Command::new("ping")
                .args(["-c1", "-W1", address])
                .output()
        });
        ping.unwrap().status.success()
    };
    assert!(tokio::task::block_in_place(|| program("10.96.0.10")));
    assert!(!tokio::task::block_in_place(|| program("10.96.0.11")));
    capture.stop().await;
}

pub(crate) async fn questions_are_answered_over_udp_and_tcp() {
    let (capture, far) = start().await;
    let resolver = format!("{}:53", laptop::RESOLVER);
    assert_eq!(exchange(&resolver, b"now").await.unwrap(), b"won");
    assert_eq!(exchange(&resolver, b"later").await.unwrap(), b"retal");
    assert!(timeout(SHORT, exchange(&resolver, b"garbage")).await.is_err());
    let other = exchange(&format!("{}:54", laptop::RESOLVER), b"now")
        .await
        .unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ConnectionRefused);

    let other = TcpStream::connect(format!("{}:54", laptop::RESOLVER))
        .await
        .unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(far.seen(), [], "the resolver's address is nothing to the far end");

    let mut program = connect(&resolver).await;
    program.write_all(b"over tcp").await.unwrap();
    program.shutdown().await.unwrap();
    let mut answer = Vec::new();
    program.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"pct revo");
    capture.stop().await;
}

pub(crate) async fn an_open_connection_outlives_its_tun() {
    let (capture, _far) = start().await;
    let mut program = connect("10.96.0.10:80").await;
    assert_echo(&mut program, b"before").await;

    assert!(nix::net::if_::if_nametoindex(TUN).is_ok());
    capture.replace_tun(None).await.unwrap();
    assert!(
        nix::net::if_::if_nametoindex(TUN).is_err(),
        "the TUN is closed when the call returns"
    );
    program.write_all(b"meanwhile").await.unwrap();
    capture.replace_tun(Some(laptop::make_tun())).await.unwrap();
    assert_read(&mut program, b"meanwhile").await;
    assert_echo(&mut program, b"after").await;
    assert_echo(&mut connect("10.96.0.11:81").await, b"anew").await;

    // And once more at once, without a gap.
    as_root(|| ip(&format!("link set {TUN} down name gone0")));
    capture.replace_tun(Some(laptop::make_tun())).await.unwrap();
    assert_echo(&mut program, b"still").await;
    capture.stop().await;
}

pub(crate) async fn a_deleted_tun_is_told_and_can_be_replaced() {
    let (capture, _far) = start().await;
    let mut program = connect("10.96.0.10:80").await;
    assert!(timeout(SHORT, capture.lost()).await.is_err());
    as_root(|| ip(&format!("link delete {TUN}")));
    assert_eq!(capture.lost().await, Lost::Tun);
    capture.replace_tun(Some(laptop::make_tun())).await.unwrap();
    assert_echo(&mut program, b"goes on").await;
    capture.stop().await;
}

/// Connects, which must work in time.
pub(crate) async fn connect(place: &str) -> TcpStream {
    let connected = timeout(Duration::from_secs(5), TcpStream::connect(place)).await;
    connected
        .unwrap_or_else(|_| panic!("{place} is silent"))
        .unwrap_or_else(|error| panic!("{place}: {error}"))
}

/// Sends, and expects the same back.
pub(crate) async fn assert_echo(program: &mut TcpStream, bytes: &[u8]) {
    program.write_all(bytes).await.unwrap();
    assert_read(program, bytes).await;
}

async fn assert_read(program: &mut TcpStream, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    program.read_exact(&mut found).await.unwrap();
    assert_eq!(found, expected);
}

/// How long a program waits for a datagram before it sends again.
const RESEND: Duration = Duration::from_secs(2);

/// Sends one datagram and takes the answer.
async fn exchange(place: &str, payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let place: SocketAddr = place.parse().unwrap();
    let any = if place.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(place).await?;
    let mut answer = vec![0; 65_535];
    // The kernel may drop a datagram on a busy machine, so it is sent again, as programs do.
    let len = loop {
        socket.send(payload).await?;
        if let Ok(received) = timeout(RESEND, socket.recv(&mut answer)).await {
            break received?;
        }
    };
    answer.truncate(len);
    Ok(answer)
}

/// Whether an echo request is answered, with the same data.
async fn ping(to: IpAddr, seq: u8) -> bool {
    let (domain, protocol, request, reply) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = as_root(|| Socket::new(domain, Type::RAW, Some(protocol))).unwrap();
    socket.set_read_timeout(Some(SHORT)).unwrap();
    socket.connect(&SocketAddr::new(to, 0).into()).unwrap();
    let mut message = vec![request, 0, 0, 0, 0x12, 0x34, 0, seq];
    message.extend(b"some data");
    if to.is_ipv4() {
        // For ICMPv6 the kernel does it.
        let mut checksum = Checksum::default();
        checksum.add(&message);
        message[2..4].copy_from_slice(&checksum.finish().to_be_bytes());
    }
    socket.send(&message).unwrap();
    let answered = tokio::task::spawn_blocking(move || {
        let mut buffer = [0; 2048];
        let deadline = Instant::now() + SHORT;
        while Instant::now() < deadline {
            let Ok(len) = (&socket).read(&mut buffer) else {
                continue;
            };
            // A raw socket shows the header of IPv4, but not that of IPv6.
            let message = &buffer[if reply == 0 { 20 } else { 0 }..len];
            if message[0] == reply && message[4..] == [&[0x12, 0x34, 0, seq][..], b"some data"].concat() {
                return true;
            }
        }
        false
    });
    answered.await.unwrap()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
