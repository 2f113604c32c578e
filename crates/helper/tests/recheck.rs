//! Tests of leases while the laptop's network changes, with the real helper on a separate test laptop.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "functions of tests may panic"
)]

mod laptop;

use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use laptop::{Helper, by, connect, on_a_laptop, plan, redirect_plan, run, wait_until};
use slipway_helper_api::RouteOrigin;

/// Time within which an address must lead to the laptop's own network.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
#[ignore = "needs root"]
fn a_home_router_leaves_the_lease_at_once() {
    on_a_laptop(|laptop| async move {
        laptop.move_to("192.168.77.50/24", "192.168.77.1");
        let _helper = laptop.helper();
        let mut up = connect()
            .await
            .up(&plan(&["10.96.0.0/16"]), None)
            .await
            .expect("a lease");
        let router = by(
            RouteOrigin::Learned,
            &["192.168.1.1", "192.168.1.7", "172.20.1.5"],
        );
        up.lease.add(router.iter().copied()).await.expect("learned");
        assert!(!up.lease.take_revoked());
        for address in ["192.168.1.1", "192.168.1.7", "172.20.1.5"] {
            assert_eq!(device_to(address), "slipway0", "learned in another network");
        }
        let home = Instant::now();
        laptop.move_to("192.168.1.50/24", "192.168.1.1");
        wait_until("the router is reached", || device_to("192.168.1.1") == "eth0");
        assert!(home.elapsed() < AT_ONCE, "{:?}", home.elapsed());
        wait_until("the whole network is the laptop's", || {
            device_to("192.168.1.7") == "eth0"
        });
        assert_eq!(device_to("172.20.1.5"), "slipway0", "no network of this laptop");

        up.lease.recheck().await.expect("checked");
        assert!(up.lease.take_revoked(), "the client is told");
        let left: Vec<String> = up
            .lease
            .plan()
            .routes()
            .nets()
            .map(|net| net.to_string())
            .collect();
        assert_eq!(left, ["10.96.0.0/16", "172.20.1.5/32"]);
        up.lease.recheck().await.expect("checked");
        assert!(!up.lease.take_revoked(), "it is told once");
        let refused = up.lease.add(router.iter().copied()).await;
        assert!(refused.is_err(), "they are not learned again at home");

        laptop.move_to("192.168.77.50/24", "192.168.77.1");
        up.lease.add(router).await.expect("learned");
        assert_eq!(device_to("192.168.1.1"), "slipway0");
    });
}

#[test]
#[ignore = "needs root"]
fn the_rest_of_a_range_is_routed_all_the_time() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let mut up = connect()
            .await
            .up(&plan(&["172.16.0.0/12"]), None)
            .await
            .expect("a lease");
        let address = up.lease.granted().address;
        run("ip link add docker0 type veth peer name docker1");
        run("ip link set docker0 up");
        let over = Arc::new(AtomicBool::new(false));
        let watch = {
            let over = Arc::clone(&over);
            // Threads share the laptop's namespace with the one that starts them.
            thread::spawn(move || {
                let mut looks = 0;
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(
                        source_to("172.31.0.1"),
                        Some(address.into()),
                        "after {looks} looks"
                    );
                    looks += 1;
                }
                looks
            })
        };
        for _ in 0..5 {
            run("ip addr add 172.17.0.1/16 dev docker0");
            let trace = || laptop.trace();
            wait_until("the range is split", || {
                !trace().has_route("172.16.0.0/12 dev slipway0")
            });
            assert!(trace().has_route("172.16.0.0/16 dev slipway0"));
            run("ip addr del 172.17.0.1/16 dev docker0");
            up.lease.recheck().await.expect("checked");
            up.lease
                .update(&plan(&["172.16.0.0/12"]))
                .await
                .expect("whole again");
            assert!(!trace().has_route("172.16.0.0/16 dev slipway0"));
        }
        over.store(true, Ordering::Relaxed);
        let looks = watch.join().expect("no gap");
        assert!(looks > 100, "{looks}");
    });
}

#[test]
#[ignore = "needs root"]
fn a_new_name_server_leaves_the_lease() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let mut up = connect()
            .await
            .up(&redirect_plan(&["10.96.0.0/16", "9.9.9.9"], 5353), None)
            .await
            .expect("a lease");
        up.lease
            .add(by(RouteOrigin::Learned, &["172.20.1.53"]))
            .await
            .expect("learned");
        assert_eq!(device_to("9.9.9.9"), "slipway0");
        laptop.set_resolv_conf("nameserver 172.20.1.53\nnameserver 9.9.9.9\n");
        up.lease.refresh_dns().await.expect("read again");
        assert!(up.lease.take_revoked());
        for server in ["172.20.1.53", "9.9.9.9"] {
            assert_eq!(device_to(server), "eth0", "{server}");
        }
    });
}

/// Without a way to it, a name server is routed into the device, so that the redirect gets questions to it.
#[test]
#[ignore = "needs root"]
fn a_name_server_that_comes_near_leaves_the_device() {
    on_a_laptop(|laptop| async move {
        run("ip route del default");
        laptop.set_resolv_conf("nameserver 192.168.5.53\n");
        let _helper = laptop.helper();
        let up = connect()
            .await
            .up(&redirect_plan(&["10.96.0.0/16"], 5353), None)
            .await;
        let _up = up.expect("a lease");
        assert_eq!(device_to("192.168.5.53"), "slipway0");
        laptop.move_to("192.168.5.50/24", "192.168.5.1");
        wait_until("it is reached", || device_to("192.168.5.53") == "eth0");
    });
}

#[test]
#[ignore = "needs root"]
fn a_helper_with_a_lease_rests() {
    on_a_laptop(|laptop| async move {
        let helper = laptop.helper();
        let up = connect()
            .await
            .up(&plan(&["172.16.0.0/12"]), None)
            .await
            .expect("a lease");
        laptop.trace_with(&up.lease);
        run("ip link add docker0 type veth peer name docker1");
        run("ip addr add 172.17.0.1/16 dev docker0");
        run("ip link set docker0 up");
        wait_until("the range is split", || {
            laptop.trace().has_route("172.16.0.0/16 dev slipway0")
        });
        // Messages about the helper's own changes, and the kernel's about the new device.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = wakes(&helper);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let woken = wakes(&helper) - before;
        assert!(woken < 5, "the helper woke {woken} times in a second");
    });
}

/// Returns the device to which the kernel sends packets to an address.
fn device_to(address: &str) -> String {
    let output = Command::new("ip")
        .args(["route", "get", address])
        .output()
        .expect("ip");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut words = text.split(' ').skip_while(|word| *word != "dev");
    words.nth(1).unwrap_or_default().to_owned()
}

/// Returns the laptop's address from which a program would send to another one.
fn source_to(address: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect((address, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Number of times that the helper has waited for something.
fn wakes(helper: &Helper) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", helper.pid())).expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("a line").trim().parse().expect("a number")
}
