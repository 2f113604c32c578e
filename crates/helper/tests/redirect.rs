//! Tests of the DNS redirect: queries of programs reach the session, those of the session reach the name server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "functions of tests may panic and print"
)]

mod laptop;

use std::net::{SocketAddr, UdpSocket};

use laptop::{
    NAME_SERVER, answer_as, ask_on, ask_tcp, ask_udp, connect, on_a_laptop, plan, redirect_plan,
    redirect_plan_to, run,
};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use slipway_helper_api::{DnsMode, DnsTrouble, HelperRefusal, Protocol};
use slipway_helper_client::{Plan, UpError, Upstream};

#[test]
#[ignore = "needs root"]
fn only_the_sessions_own_queries_pass_the_redirect() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let port = session_resolver("session");
        assert_eq!(
            ask_udp(server()).as_deref(),
            Some("lan:who"),
            "not redirected yet"
        );
        assert_eq!(ask_tcp(server()).as_deref(), Some("lan:who"));

        let up = connect()
            .await
            .up(&redirect_plan(&["10.96.0.0/16"], port), None)
            .await
            .expect("a lease");
        let dns = up.lease.granted().dns.clone().expect("names");
        assert_eq!(dns.mode, DnsMode::Redirect);
        assert_eq!(dns.laptop_search, ["lan.example".parse().expect("suffix")]);
        assert_eq!(ask_udp(server()).as_deref(), Some("session:who"));
        assert_eq!(ask_tcp(server()).as_deref(), Some("session:who"));
        assert_eq!(
            ask_udp("10.77.0.1:54".parse().expect("address")),
            None,
            "no other port"
        );

        let (udp, tcp): (Vec<_>, Vec<_>) = up
            .upstreams
            .into_iter()
            .partition(|upstream| upstream.protocol == Protocol::Udp);
        assert_eq!((udp.len(), tcp.len()), (4, 2));
        assert!(udp.iter().chain(&tcp).all(|upstream| upstream.server == server()));
        let ports: Vec<_> = udp
            .into_iter()
            .map(|upstream| {
                let socket = UdpSocket::from(upstream.socket);
                assert_eq!(
                    ask_on(&socket).as_deref(),
                    Some("lan:who"),
                    "the mark lets it pass"
                );
                socket.local_addr().expect("address").port()
            })
            .collect();
        assert!(
            ports.windows(2).all(|pair| pair[0] != pair[1]),
            "a source port each: {ports:?}"
        );
        for upstream in tcp {
            assert_eq!(ask_tcp_on(upstream).as_deref(), Some("lan:who"));
        }

        up.lease.down().await.expect("down");
        assert_eq!(ask_udp(server()).as_deref(), Some("lan:who"), "as before");
        assert_eq!(
            std::fs::read_to_string("/etc/resolv.conf").expect("file"),
            "search lan.example\nnameserver 10.77.0.1\n"
        );
    });
}

#[test]
#[ignore = "needs root"]
fn each_name_server_leads_to_its_own_port() {
    on_a_laptop(|laptop| async move {
        let other: SocketAddr = "127.0.0.9:53".parse().expect("address");
        laptop.set_resolv_conf(&format!("nameserver {NAME_SERVER}\nnameserver 127.0.0.9\n"));
        let _helper = laptop.helper();
        let ports = [
            session_resolver("one"),
            session_resolver("two"),
            session_resolver("three"),
        ];
        let mut up = connect()
            .await
            .up(&redirect_plan_to(&[], ports), None)
            .await
            .expect("a lease");
        assert_eq!(ask_udp(server()).as_deref(), Some("one:who"));
        assert_eq!(ask_udp(other).as_deref(), Some("two:who"));
        assert_eq!(ask_tcp(other).as_deref(), Some("two:who"));
        let dns = up.lease.granted().dns.clone().expect("names");
        assert_eq!((dns.servers, dns.laptop_timeout), (vec![server(), other], 5));

        laptop.set_resolv_conf(&format!(
            "nameserver 127.0.0.9\nnameserver {NAME_SERVER}\noptions timeout:1\n"
        ));
        up.lease.refresh_dns().await.expect("read again");
        assert_eq!(ask_udp(other).as_deref(), Some("one:who"));
        assert_eq!(ask_udp(server()).as_deref(), Some("two:who"));
        let dns = up.lease.granted().dns.clone().expect("names");
        assert_eq!((dns.servers, dns.laptop_timeout), (vec![other, server()], 1));
    });
}

#[test]
#[ignore = "needs root"]
fn queries_pass_from_the_youngest_session_to_the_oldest() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let first = connect()
            .await
            .up(&redirect_plan(&[], session_resolver("first")), None)
            .await
            .expect("a lease");
        let second = connect()
            .await
            .up(&redirect_plan(&[], session_resolver("second")), None)
            .await
            .expect("a lease");
        let third = connect()
            .await
            .up(&redirect_plan(&[], session_resolver("third")), None)
            .await
            .expect("a lease");
        let slots = [&first, &second, &third].map(|up| up.lease.granted().slot.get());
        assert_eq!(slots, [0, 1, 2]);
        assert_eq!(ask_udp(server()).as_deref(), Some("third:who"));
        let asked = |mut upstreams: Vec<Upstream>| ask_on(&UdpSocket::from(upstreams.remove(0).socket));
        assert_eq!(asked(third.upstreams).as_deref(), Some("second:who"));
        assert_eq!(asked(second.upstreams).as_deref(), Some("first:who"));
        assert_eq!(
            asked(first.upstreams).as_deref(),
            Some("lan:who"),
            "queries for public names do not loop"
        );

        second.lease.down().await.expect("down");
        assert_eq!(ask_udp(server()).as_deref(), Some("third:who"));
        third.lease.down().await.expect("down");
        assert_eq!(ask_udp(server()).as_deref(), Some("first:who"));
    });
}

#[test]
#[ignore = "needs root"]
fn queries_to_an_unreachable_name_server_are_redirected() {
    on_a_laptop(|laptop| async move {
        laptop.set_resolv_conf("nameserver 172.29.0.53\nnameserver 127.0.0.1\nnameserver fd00::53\n");
        run("ip route del default");
        let _helper = laptop.helper();
        let lost: SocketAddr = "172.29.0.53:53".parse().expect("address");
        assert_eq!(
            ask_udp(lost),
            None,
            "without a route the query fails before the redirect"
        );
        let port = session_resolver("session");
        let six = answer_as("session", SocketAddr::new("::1".parse().expect("address"), port));
        assert_eq!(six, port);

        let mut up = connect()
            .await
            .up(&redirect_plan(&[], port), None)
            .await
            .expect("a lease");
        let trace = laptop.trace();
        assert!(
            trace.has_route("172.29.0.53 dev slipway0") && trace.has_route("fd00::53 dev slipway0"),
            "{trace:#?}"
        );
        assert_eq!(ask_udp(lost).as_deref(), Some("session:who"));
        assert_eq!(
            ask_udp("[fd00::53]:53".parse().expect("address")).as_deref(),
            Some("session:who")
        );
        assert_eq!(
            ask_udp("127.0.0.1:53".parse().expect("address")).as_deref(),
            Some("session:who")
        );
        assert!(
            up.upstreams
                .iter()
                .all(|upstream| upstream.server.ip().is_loopback()),
            "{:?}",
            up.upstreams
        );

        // The laptop moves to a network in which a name server is reachable.
        run("ip route add default via 10.77.0.1");
        laptop.set_resolv_conf(&format!("nameserver {NAME_SERVER}\n"));
        let upstreams = up.lease.refresh_dns().await.expect("read again");
        assert!(upstreams.iter().all(|upstream| upstream.server == server()) && upstreams.len() == 6);
        assert!(!laptop.trace().has_route("172.29.0.53"));
        assert_eq!(ask_udp(server()).as_deref(), Some("session:who"));
    });
}

#[test]
#[ignore = "needs root"]
fn dns_can_be_switched_on_and_off_during_a_lease() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let mut up = connect()
            .await
            .up(&plan(&["10.96.0.0/16"]), None)
            .await
            .expect("a lease");
        assert_eq!(
            (up.upstreams.len(), ask_udp(server()).as_deref()),
            (0, Some("lan:who"))
        );
        let named = redirect_plan(&["10.96.0.0/16"], session_resolver("session"));
        assert_eq!(up.lease.update(&named).await.expect("on").len(), 6);
        assert_eq!(ask_udp(server()).as_deref(), Some("session:who"));
        let elsewhere = redirect_plan(&["10.96.0.0/16"], session_resolver("elsewhere"));
        up.lease.update(&elsewhere).await.expect("another port");
        assert_eq!(ask_udp(server()).as_deref(), Some("elsewhere:who"));
        up.lease.update(&plan(&["10.96.0.0/16"])).await.expect("off");
        assert_eq!(ask_udp(server()).as_deref(), Some("lan:who"));
    });
}

#[test]
#[ignore = "needs root"]
fn other_programs_cannot_delete_the_table() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        assert_eq!(delete_table("slipway-0"), Err(Errno::ENOENT));
        let _up = connect()
            .await
            .up(&redirect_plan(&[], session_resolver("session")), None)
            .await
            .expect("a lease");
        assert_eq!(delete_table("slipway-0"), Err(Errno::EPERM), "not even root");
        assert_eq!(ask_udp(server()).as_deref(), Some("session:who"));
    });
}

#[test]
#[ignore = "needs root"]
fn the_resolved_mode_is_refused_without_resolved() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let dns = redirect_plan(&[], 5353).dns().cloned().expect("names");
        let dns = slipway_helper_api::DnsPlan::new(
            dns.zones().clone(),
            dns.redirect_ports(),
            slipway_helper_api::DnsModeChoice::Resolved,
        );
        let before = laptop.trace();
        let plan = Plan::new([], Some(dns.expect("plan"))).expect("plan");
        let refused = connect()
            .await
            .up(&plan, None)
            .await
            .expect_err("there is no resolved");
        let UpError::Refused { refusal, mut client } = refused else {
            panic!("{refused}")
        };
        assert!(
            matches!(
                refusal,
                HelperRefusal::DnsUnavailable(DnsTrouble::NoResolved { .. })
            ),
            "{refusal}"
        );
        assert_eq!(laptop.trace(), before, "all or nothing");
        let status = client.status().await.expect("status");
        assert_eq!((status.names, status.all), (Ok(DnsMode::Redirect), 0));
        assert_eq!(status.name_servers, [std::net::IpAddr::V4(NAME_SERVER)]);
    });
}

fn server() -> SocketAddr {
    SocketAddr::new(NAME_SERVER.into(), 53)
}

fn session_resolver(name: &'static str) -> u16 {
    answer_as(name, "127.0.0.1:0".parse().expect("address"))
}

fn ask_tcp_on(upstream: Upstream) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let socket = socket2::Socket::from(upstream.socket);
    socket
        .connect_timeout(&upstream.server.into(), laptop::WAIT)
        .ok()?;
    socket.set_nonblocking(false).ok()?;
    let mut stream = std::net::TcpStream::from(socket);
    stream.write_all(b"who").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Deletes a table of the family inet as `nft delete table` would.
fn delete_table(name: &str) -> Result<(), Errno> {
    let fd = nix::sys::socket::socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let message = |kind: u16, flags: u16, sequence: u32, family: u8, resource: u16, body: &[u8]| {
        let mut bytes = Vec::new();
        bytes.extend((20 + body.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0, 0, 0, 0, family, 0]);
        bytes.extend(resource.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let mut body = Vec::new();
    body.extend((5 + name.len() as u16).to_ne_bytes());
    body.extend(1u16.to_ne_bytes());
    body.extend(name.as_bytes());
    body.resize((body.len() + 1).next_multiple_of(4), 0);
    let batch = [
        message(16, 1, 0, 0, 10, &[]),
        message((10 << 8) | 2, 5, 1, 1, 0, &body),
        message(17, 1, 2, 0, 10, &[]),
    ];
    let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
    nix::sys::socket::sendto(raw, &batch.concat(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 1024];
    nix::sys::socket::recv(raw, &mut answer, MsgFlags::MSG_DONTWAIT)?;
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(-errno)),
    }
}
