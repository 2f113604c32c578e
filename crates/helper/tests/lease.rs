//! Tests of leases: their effects, and that no trace is left, with the real helper on a separate test laptop.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "functions of tests may panic and print"
)]

mod laptop;

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use laptop::{Laptop, WAIT, connect, on_a_laptop, plan, ranges, redirect_plan};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use slipway_helper_api::{DnsMode, Route, RouteOrigin};
use slipway_helper_client::{ClientError, Handover, Plan};
use slipway_laptop::{By, Kernel, Overridden};

#[test]
#[ignore = "needs root"]
fn packets_go_in_and_out_of_the_device() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let before = UdpSocket::bind("0.0.0.0:0").expect("UDP");
        before
            .connect("10.96.0.10:80")
            .expect("the default route leads there");
        assert_eq!(
            before.local_addr().expect("address").ip(),
            Ipv4Addr::new(10, 77, 0, 2),
            "not reachable yet"
        );

        let up = connect()
            .await
            .up(&plan(&["10.96.0.0/16"]), None)
            .await
            .expect("a lease");
        let granted = up.lease.granted();
        assert_eq!(granted.address, Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(granted.resolver, Ipv4Addr::new(198, 18, 0, 2));
        assert_eq!(granted.tun_name, "slipway0");
        let trace = laptop.trace();
        assert!(
            trace.has_route("10.96.0.0/16 dev slipway0 proto 201 scope link"),
            "{trace:#?}"
        );
        assert!(
            trace.addresses.iter().any(|line| line.contains("198.18.0.1/30")),
            "{trace:#?}"
        );

        let program = UdpSocket::bind("0.0.0.0:0").expect("UDP");
        program.connect("10.96.0.10:80").expect("route");
        program.send(b"ping").expect("sent");
        let tun = up.tun;
        let packet = loop {
            let packet = read_packet(&tun);
            if packet[0] >> 4 == 4 && packet[16..20] == [10, 96, 0, 10] {
                break packet;
            }
        };
        assert_eq!(packet[12..16], [198, 18, 0, 1]);
        assert_eq!(&packet[28..], b"ping");

        nix::unistd::write(&tun, &answer_to(&packet)).expect("written");
        program.set_read_timeout(Some(WAIT)).expect("timeout");
        let mut answer = [0; 16];
        let length = program.recv(&mut answer).expect("an answer");
        assert_eq!(&answer[..length], b"ping");
    });
}

#[test]
#[ignore = "needs root"]
fn down_leaves_nothing() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let before = laptop.trace();
        let Handover {
            lease,
            tun,
            upstreams,
        } = full_lease(&laptop).await;
        let tally = lease.down().await.expect("down");
        assert_eq!(tally.routes, 2);
        // All is undone although the session's descriptors are still open.
        laptop.looks_like(&before).await;
        drop((tun, upstreams));
    });
}

#[test]
#[ignore = "needs root"]
fn a_closed_connection_leaves_nothing() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let before = laptop.trace();
        let Handover {
            lease,
            tun,
            upstreams,
        } = full_lease(&laptop).await;
        drop(lease);
        laptop.looks_like(&before).await;
        drop((tun, upstreams));
    });
}

#[test]
#[ignore = "needs root"]
fn a_killed_session_leaves_nothing() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let before = laptop.trace();
        let mut session = Command::new(laptop::session_program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a session");
        let mut said = std::io::BufReader::new(session.stdout.take().expect("its output"));
        let mut line = String::new();
        while !line.contains("the lease is up") {
            line.clear();
            assert_ne!(
                std::io::BufRead::read_line(&mut said, &mut line).expect("its output"),
                0,
                "the session ended early"
            );
        }
        assert!(laptop.trace().has_route("10.96.0.0/16 dev slipway0"));
        session.kill().expect("SIGKILL");
        session.wait().expect("dead");
        laptop.looks_like(&before).await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_killed_helper_leaves_nothing_but_the_open_device() {
    on_a_laptop(|laptop| async move {
        let mut helper = laptop.helper();
        let before = laptop.trace();
        let Handover {
            lease,
            tun,
            upstreams,
        } = full_lease(&laptop).await;
        helper.signal(Signal::SIGKILL);
        tokio::time::timeout(WAIT, lease.closed()).await.expect("noticed");
        let after = laptop.trace();
        assert_eq!(
            after.tables, before.tables,
            "the kernel unloads the table by itself"
        );
        assert!(
            after.has_route("10.96.0.0/16 dev slipway0"),
            "the descriptor keeps the routes until the session closes it"
        );
        drop((tun, upstreams));
        laptop.looks_like(&before).await;

        let granted = lease.granted().clone();
        let _helper = laptop.helper();
        let again = connect()
            .await
            .up(lease.plan(), Some(granted.slot))
            .await
            .expect("a lease");
        assert_eq!(
            again.lease.granted().address,
            granted.address,
            "open connections continue"
        );
    });
}

#[test]
#[ignore = "needs root"]
fn a_stopped_helper_leaves_nothing() {
    on_a_laptop(|laptop| async move {
        let mut helper = laptop.helper();
        let before = laptop.trace();
        let up = full_lease(&laptop).await;
        helper.signal(Signal::SIGTERM);
        up.lease.closed().await;
        laptop.looks_like(&before).await;
        assert!(
            !std::path::Path::new(slipway_helper_api::DEFAULT_SOCKET).exists(),
            "the socket is removed as well"
        );
    });
}

#[test]
#[ignore = "needs root"]
fn an_update_applies_only_differences_or_nothing() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let mut up = connect()
            .await
            .up(&plan(&["10.96.0.0/16", "10.244.0.0/16"]), None)
            .await
            .expect("a lease");
        up.lease
            .update(&plan(&["10.96.0.0/16", "10.112.0.0/16"]))
            .await
            .expect("updated");
        let trace = laptop.trace_with(&up.lease);
        assert!(
            trace.has_route("10.96.0.0/16 dev slipway0") && trace.has_route("10.112.0.0/16 dev slipway0")
        );
        assert!(!trace.has_route("10.244.0.0/16"));

        // 10.77.0.0/24 is the LAN.
        let refused = up.lease.update(&plan(&["10.200.0.0/16", "10.76.0.0/15"])).await;
        assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
        let after = laptop.trace();
        assert!(!after.has_route("10.200.0.0/16") && !after.has_route("10.76.0.0/15"));
        assert_eq!(
            up.lease.plan().routes().nets().collect::<Vec<_>>(),
            ranges(&["10.96.0.0/16", "10.112.0.0/16"])
        );
        assert_eq!(after, trace);
    });
}

#[test]
#[ignore = "needs root"]
fn four_thousand_learned_addresses_fit() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let learned = |count: u32| {
            (0..count)
                .map(|n| Ipv4Addr::from_bits(0x0a60_0000 + 2 * n).to_string())
                .collect::<Vec<_>>()
        };
        let route = |text: &str| Route::new(text.parse().expect("address"), RouteOrigin::Learned);
        let routes = |texts: Vec<String>| texts.iter().map(|text| route(text)).collect::<Vec<_>>();
        let full = Plan::new(routes(learned(4096)), None).expect("plan");
        let started = std::time::Instant::now();
        let mut up = connect().await.up(&full, None).await.expect("a lease");
        println!("4096 addresses up in {:?}", started.elapsed());
        let count = laptop
            .trace()
            .routes
            .iter()
            .filter(|route| route.contains("dev slipway0 proto 201"))
            .count();
        assert_eq!(count, 4096);

        up.lease
            .update(&Plan::new(routes(learned(4095)), None).expect("plan"))
            .await
            .expect("one dropped");
        let started = std::time::Instant::now();
        up.lease.add([route("10.128.0.1")]).await.expect("one learned");
        println!("one more in {:?}", started.elapsed());
        let refused = up.lease.add([route("10.128.0.2")]).await;
        assert!(matches!(refused, Err(ClientError::Refused(_))), "{refused:?}");
    });
}

#[test]
#[ignore = "needs root"]
fn ipv6_networks_are_routed_too() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let up = connect()
            .await
            .up(&plan(&["fd00:10:96::/112"]), None)
            .await
            .expect("a lease");
        let address = up.lease.granted().address6.expect("IPv6 is on");
        assert!(
            laptop
                .trace()
                .has_route("fd00:10:96::/112 dev slipway0 proto 201"),
            "{:#?}",
            laptop.trace()
        );
        let program = UdpSocket::bind("[::]:0").expect("UDP");
        program.connect("[fd00:10:96::a]:80").expect("route");
        assert_eq!(program.local_addr().expect("address").ip(), address);
        program.send(b"ping").expect("sent");
        let tun = up.tun;
        let packet = read_packet(&tun);
        assert_eq!(
            (packet[0] >> 4, &packet[48..]),
            (6, &b"ping"[..]),
            "the kernel sent no packet of its own before"
        );
    });
}

/// The kernel is asked where packets go: with a rule of another VPN before the table of the lease's routes, as Tailscale
/// has it.
#[test]
#[ignore = "needs root"]
fn a_routing_rule_before_the_lease_is_found() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let _up = connect()
            .await
            .up(&plan(&["10.96.0.0/16"]), None)
            .await
            .expect("a lease");
        let kernel = Kernel::open().expect("a socket");
        let ranges = ["10.96.0.0/16".parse().expect("range")];
        let found = async || kernel.overridden(&ranges).await.expect("answers");
        assert_eq!(found().await, []);
        ip("link add ts0 type veth peer name ts1");
        ip("link set ts0 up");
        ip("link set ts1 up");
        // Marked packets are a VPN's own.
        ip("rule add pref 5210 fwmark 0x80000/0xff0000 lookup main");
        ip("rule add pref 5270 lookup 52");
        assert_eq!(found().await, [], "the table is empty");
        ip("route add 10.0.0.0/8 dev ts0 table 52");
        let overridden = |net: &str| Overridden {
            nets: vec![net.parse().expect("net")],
            device: Some("ts0".to_owned()),
            by: By::Rule("5270: from all lookup 52".to_owned()),
        };
        assert_eq!(found().await, [overridden("10.96.0.0/16")]);
        ip("route delete 10.0.0.0/8 dev ts0 table 52");
        ip("route add 10.96.7.0/24 dev ts0 table 52");
        assert_eq!(found().await, [overridden("10.96.7.0/24")], "a part of the range");
        ip("rule delete pref 5270");
        assert_eq!(found().await, []);
    });
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().expect("ip");
    assert!(status.success(), "ip {words}");
}

async fn full_lease(laptop: &Laptop) -> Handover {
    let up = connect()
        .await
        .up(&redirect_plan(&["10.96.0.0/16", "10.244.3.9"], 5353), None)
        .await
        .expect("a lease");
    let trace = laptop.trace();
    assert!(
        trace.has_route("10.96.0.0/16 dev slipway0") && trace.has_route("10.244.3.9 dev slipway0"),
        "{trace:#?}"
    );
    assert!(trace.tables.contains("slipway-0"), "{trace:#?}");
    assert_eq!(
        up.lease.granted().dns.as_ref().map(|dns| dns.mode),
        Some(DnsMode::Redirect)
    );
    up
}

fn read_packet(tun: &OwnedFd) -> Vec<u8> {
    let mut ready = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
    let wait = PollTimeout::try_from(WAIT).expect("short");
    assert_eq!(poll(&mut ready, wait), Ok(1), "a packet in time");
    let mut packet = vec![0; 65536];
    let length = nix::unistd::read(tun, &mut packet).expect("a packet");
    packet.truncate(length);
    packet
}

/// Returns the UDP packet with addresses and ports swapped, which keeps the checksums valid.
fn answer_to(packet: &[u8]) -> Vec<u8> {
    let mut answer = packet.to_vec();
    let (source, destination) = (packet[12..16].to_vec(), packet[16..20].to_vec());
    answer[12..16].copy_from_slice(&destination);
    answer[16..20].copy_from_slice(&source);
    answer[20..22].copy_from_slice(&packet[22..24]);
    answer[22..24].copy_from_slice(&packet[20..22]);
    answer
}
