//! Tests of the helper's limits: users, requests, ranges, and state of the laptop that stays unchanged.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "functions of tests may panic and print"
)]

mod laptop;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use laptop::{
    HELPER_UID, Helper, WAIT, by, connect, helper_path, on_a_laptop, plan, ranges, redirect_plan, run,
    wait_until,
};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;
use slipway_helper_api::{
    ConflictWith, DEFAULT_SOCKET, DnsModeChoice, DnsPlan, HelperRefusal, RangeTrouble, RouteOrigin, Stranger,
    Version, Zones,
};
use slipway_helper_client::{Client, ClientError, Plan, UpError, refusal_remedy};
use slipway_problem::Fault as _;

#[test]
#[ignore = "needs root"]
fn every_rule_about_ranges_holds() {
    on_a_laptop(|laptop| async move {
        run("ip link add docker0 type veth peer name docker1");
        run("ip addr add 172.17.0.1/16 dev docker0");
        run("ip link set docker0 up");
        run("ip route add 10.60.0.0/24 via 10.77.0.9");
        laptop.set_resolv_conf("nameserver 10.66.0.53\n");
        let _helper = laptop.helper();
        let before = laptop.trace();
        for (range, why) in [
            ("8.8.8.0/24", RangeTrouble::Public),
            ("172.0.0.0/8", RangeTrouble::Public),
            ("2001:db8::/32", RangeTrouble::Public),
            ("198.18.0.0/15", RangeTrouble::HelpersOwn),
            ("198.18.0.2/32", RangeTrouble::HelpersOwn),
        ] {
            assert_eq!(
                refusal(range).await,
                HelperRefusal::RangeRefused {
                    range: ranges(&[range])[0],
                    why
                },
                "{range}"
            );
        }
        for (range, with, route, device) in [
            ("10.77.0.0/24", ConflictWith::Gateway, "10.77.0.1/32", "eth0"),
            ("10.77.0.128/25", ConflictWith::Attached, "10.77.0.0/24", "eth0"),
            ("10.77.0.77/32", ConflictWith::Attached, "10.77.0.0/24", "eth0"),
            (
                "172.16.0.0/12",
                ConflictWith::Attached,
                "172.17.0.0/16",
                "docker0",
            ),
            ("10.60.0.0/16", ConflictWith::Routed, "10.60.0.0/24", "eth0"),
            ("10.66.0.0/16", ConflictWith::NameServer, "10.66.0.53/32", ""),
        ] {
            let HelperRefusal::Conflicts(found) = refusal(range).await else {
                panic!("{range}")
            };
            let first = found.first().expect("a conflict");
            assert_eq!(
                (
                    first.with,
                    first.route.to_string().as_str(),
                    first.device.as_str()
                ),
                (with, route, device),
                "{range}"
            );
        }
        assert_eq!(laptop.trace(), before, "a refusal changes nothing");
        let up = connect()
            .await
            .up(&plan(&["10.96.0.0/12", "8.8.8.8", "10.60.1.0/24"]), None)
            .await;
        let up = up.expect("parts without conflicts are routed");
        let HelperRefusal::Conflicts(found) = refusal("10.100.0.0/16").await else {
            panic!("two sessions have one range")
        };
        assert_eq!(
            (found[0].with, found[0].device.as_str()),
            (ConflictWith::Session, "slipway0")
        );
        drop(up);
    });
}

#[test]
#[ignore = "needs root"]
fn a_cluster_cannot_claim_addresses_of_others() {
    on_a_laptop(|laptop| async move {
        run("ip link add wg0 type veth peer name wg1");
        run("ip link set wg0 up");
        run("ip route add 10.0.0.0/8 dev wg0");
        run("ip route add 0.0.0.0/1 via 10.77.0.1");
        run("ip route add 128.0.0.0/1 via 10.77.0.1");
        let _helper = laptop.helper();
        let mut up = connect().await.up(&plan(&[]), None).await.expect("a lease");
        let public = RangeTrouble::PublicByCluster;
        for origin in [RouteOrigin::Learned, RouteOrigin::Declared] {
            for address in ["1.1.1.1/32", "140.82.112.3/32"] {
                let refused = up.lease.add(by(origin, &[address])).await;
                let Err(ClientError::Refused(HelperRefusal::RangeRefused { why, .. })) = refused else {
                    panic!("{address}: {refused:?}")
                };
                assert_eq!(why, public, "{address}");
            }
        }
        let refused = up.lease.add(by(RouteOrigin::Learned, &["10.20.30.40"])).await;
        let Err(ClientError::Refused(HelperRefusal::Conflicts(found))) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (found[0].with, found[0].device.as_str()),
            (ConflictWith::Routed, "wg0")
        );
        for device in ["1.1.1.1", "140.82.112.3", "10.20.30.40"] {
            assert!(
                !laptop.trace().has_route(&format!("{device} dev slipway0")),
                "{device}"
            );
        }

        // An address that no other network has may be learned, even beside a VPN for the whole Internet.
        up.lease
            .add(by(RouteOrigin::Learned, &["172.20.1.5"]))
            .await
            .expect("learned");
        // A part of a VPN may be declared by the cluster or named by the user.
        up.lease
            .add(by(RouteOrigin::Declared, &["10.20.0.0/16"]))
            .await
            .expect("declared");
        up.lease
            .add(by(RouteOrigin::User, &["1.1.1.1", "10.30.30.40"]))
            .await
            .expect("named");
        // The same address with the origin "user" is another request.
        up.lease
            .add(by(RouteOrigin::User, &["172.20.1.5"]))
            .await
            .expect("named");
        for route in ["172.20.1.5", "10.20.0.0/16", "1.1.1.1", "10.30.30.40"] {
            assert!(
                laptop.trace().has_route(&format!("{route} dev slipway0")),
                "{route}"
            );
        }
    });
}

#[test]
#[ignore = "needs root"]
fn the_halves_of_a_vpn_are_refused_in_one_request_and_in_two() {
    on_a_laptop(|laptop| async move {
        laptop.move_to("192.168.77.2/24", "192.168.77.1");
        laptop.set_resolv_conf("nameserver 192.168.77.1\n");
        run("ip link add wg0 type veth peer name wg1");
        run("ip link set wg0 up");
        run("ip route add 10.0.0.0/8 dev wg0");
        let _helper = laptop.helper();
        let whole = refusal("10.0.0.0/8").await;
        assert!(matches!(whole, HelperRefusal::Conflicts(_)), "{whole}");
        let halves = ["10.0.0.0/9", "10.128.0.0/9"];
        for origin in [RouteOrigin::Declared, RouteOrigin::User] {
            let both = Plan::new(by(origin, &halves), None).expect("plan");
            let refused = connect().await.up(&both, None).await;
            let Err(UpError::Refused { refusal, client }) = refused else {
                panic!("both halves are granted")
            };
            let HelperRefusal::Conflicts(found) = refusal else {
                panic!("{refusal}")
            };
            assert!(
                found.len() == 2
                    && found
                        .iter()
                        .all(|one| (one.with, one.device.as_str()) == (ConflictWith::Routed, "wg0")),
                "{found:?}"
            );
            let one = Plan::new(by(origin, &halves[..1]), None).expect("plan");
            let mut up = client.up(&one, None).await.expect("a part of a VPN");
            let refused = up.lease.add(by(origin, &halves[1..])).await;
            assert!(
                matches!(&refused, Err(ClientError::Refused(HelperRefusal::Conflicts(found))) if found.len() == 1),
                "{refused:?}"
            );
            up.lease.down().await.expect("down");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_cluster_cannot_claim_a_search_domain() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let before = laptop.trace();
        let named = |domain: &str| {
            let zones = Zones {
                cluster: Some(domain.parse().expect("domain")),
                ..Zones::default()
            };
            let dns = DnsPlan::new(
                zones,
                [5353.try_into().expect("port"); 3],
                DnsModeChoice::Redirect,
            );
            Plan::new([], Some(dns.expect("plan"))).expect("plan")
        };
        // lan.example is a search domain of the laptop.
        for domain in ["lan.example", "k8s.lan.example"] {
            let refused = connect().await.up(&named(domain), None).await;
            assert!(
                matches!(
                    refused,
                    Err(UpError::Refused {
                        refusal: HelperRefusal::DomainRefused { .. },
                        ..
                    })
                ),
                "{domain}"
            );
        }
        assert_eq!(laptop.trace(), before, "a refusal changes nothing");
        connect()
            .await
            .up(&named("k8s.example"), None)
            .await
            .expect("a lease");
    });
}

#[test]
#[ignore = "needs root"]
fn a_request_with_a_reserved_range_is_invalid() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let before = laptop.trace();
        for range in [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "127.0.0.0/8",
            "169.254.169.254/32",
            "224.0.0.0/24",
            "10.1.2.3/8",
            "eth0",
        ] {
            let mut stream = greeted();
            say(
                &mut stream,
                &format!(
                    r#"{{"up":{{"routes":[{{"net":"{range}","origin":"user"}}],"dns":null,"prefer":null}}}}"#
                ),
            );
            assert_eq!(rest(&mut stream), "", "{range}: closed without a reply");
        }
        assert_eq!(laptop.trace(), before);
        // The helper still serves.
        let _client = connect().await;
    });
}

#[test]
#[ignore = "needs root"]
fn only_the_named_user_is_served() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper_with(&["--allow-uid", "4242"]);
        let refused = Client::connect(DEFAULT_SOCKET)
            .await
            .expect_err("the test runs as user 0");
        let ClientError::Refused(refusal) = refused else {
            panic!("{refused}")
        };
        assert_eq!(
            refusal,
            HelperRefusal::NotAuthorized {
                uid: 0,
                why: Stranger::OtherUser { allowed: 4242 }
            }
        );
        assert_eq!(
            mode(DEFAULT_SOCKET),
            0o666,
            "the helper checks the peer's user, so the file is open to all"
        );
    });
}

#[test]
#[ignore = "needs root"]
fn a_client_of_another_version_gets_a_remedy() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let ours = Version::OURS;
        for version in [
            Version {
                epoch: ours.epoch + 1,
                ..ours
            },
            Version {
                epoch: ours.epoch - 1,
                ..ours
            },
            Version {
                revision: ours.revision + 1,
                ..ours
            },
        ] {
            let stream = tokio::net::UnixStream::connect(DEFAULT_SOCKET)
                .await
                .expect("connected");
            let refused = Client::greet(stream, version).await.expect_err("another version");
            let ClientError::Refused(HelperRefusal::VersionMismatch { client, helper, .. }) = &refused else {
                panic!("{refused}")
            };
            assert_eq!((*client, *helper), (version, ours));
            assert!(refused.remedy().contains("systemctl restart slipway-helper"));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn an_invalid_message_ends_only_its_connection() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let up = connect()
            .await
            .up(&plan(&["10.96.0.0/16"]), None)
            .await
            .expect("a lease");
        let before = laptop.trace_with(&up.lease);

        let mut oversize = greeted();
        oversize.write_all(&65537u32.to_be_bytes()).expect("sent");
        assert_eq!(rest(&mut oversize), "");
        let mut garbage = greeted();
        say(&mut garbage, "\u{0}not json");
        assert_eq!(rest(&mut garbage), "");
        let mut shell = greeted();
        say(&mut shell, r#"{"run":"/bin/sh"}"#);
        assert_eq!(rest(&mut shell), "");
        let mut impatient = UnixStream::connect(DEFAULT_SOCKET).expect("connected");
        say(&mut impatient, r#""status""#);
        assert!(rest(&mut impatient).contains("out_of_order"));
        let mut silent = UnixStream::connect(DEFAULT_SOCKET).expect("connected");
        silent
            .set_read_timeout(Some(Duration::from_secs(8)))
            .expect("timeout");
        assert_eq!(rest(&mut silent), "", "a silent client is disconnected");

        assert_eq!(laptop.trace(), before, "another client's lease is unchanged");
        drop(up);
    });
}

#[test]
#[ignore = "needs root"]
fn the_ninth_lease_of_a_user_is_refused() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let mut held = Vec::new();
        for n in 0..8 {
            held.push(
                connect()
                    .await
                    .up(&plan(&[&format!("10.{n}.0.0/16")]), None)
                    .await
                    .expect("a lease"),
            );
        }
        let UpError::Refused { refusal, client } = connect()
            .await
            .up(&plan(&["10.8.0.0/16"]), None)
            .await
            .expect_err("the limit is eight")
        else {
            panic!("the connection is lost")
        };
        assert_eq!(refusal, HelperRefusal::TooManyLeases { limit: 8 });
        held.remove(3).lease.down().await.expect("down");
        let again = client.up(&plan(&["10.8.0.0/16"]), None).await.expect("a lease");
        assert_eq!(again.lease.granted().slot.get(), 3);
    });
}

#[test]
#[ignore = "needs root"]
fn a_closed_connection_makes_room_for_another() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper();
        let mut held = Vec::new();
        for _ in 0..16 {
            held.push(connect().await);
        }
        let refused = Client::connect(DEFAULT_SOCKET).await.expect_err("too many");
        assert!(
            matches!(refused, ClientError::Refused(HelperRefusal::Busy)),
            "{refused}"
        );
        held.clear();
        let served = async {
            while Client::connect(DEFAULT_SOCKET).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT, served).await.expect("served again");
    });
}

#[test]
#[ignore = "needs root"]
fn the_start_removes_only_the_helpers_own_leftovers() {
    on_a_laptop(|laptop| async move {
        run("ip tuntap add dev slipway0 mode tun");
        run("ip addr add 198.18.0.1/30 dev slipway0");
        run("ip link set slipway0 up");
        run("ip route add 10.50.0.0/16 dev slipway0 proto static");
        run("ip rule add pref 5000 fwmark 0x1 lookup 52");
        run("ip route add 10.51.0.0/16 dev eth0 table 52");
        let others = laptop.trace();
        run("ip route add 10.52.0.0/16 dev eth0 proto 201");
        run("ip route add 10.53.0.0/16 dev eth0 table 53 proto 201");
        run("ip -6 route add fd00:52::/64 dev eth0 proto 201");
        run("ip rule add pref 5001 lookup 53 protocol 201");
        assert_ne!(laptop.trace(), others);
        let mut helper = laptop.helper();
        assert_eq!(
            laptop.trace(),
            others,
            "only the helper's leftovers are gone before it serves"
        );

        let up = connect()
            .await
            .up(&redirect_plan(&["10.96.0.0/16"], 5353), None)
            .await
            .expect("a lease");
        assert_eq!(
            up.lease.granted().tun_name,
            "slipway1",
            "an existing device is not taken over"
        );
        assert_eq!(
            up.lease.granted().address.to_string(),
            "198.18.64.1",
            "addresses in use are not taken over"
        );
        up.lease.down().await.expect("down");
        laptop.looks_like(&others).await;
        helper.signal(Signal::SIGTERM);
        assert_eq!(laptop.trace(), others);
    });
}

#[test]
#[ignore = "needs root"]
fn only_one_capability_is_kept_however_it_is_started() {
    on_a_laptop(|laptop| async move {
        let as_user = laptop.helper();
        assert_eq!(
            kept(&as_user),
            (
                "0000000000001000".to_owned(),
                "1".to_owned(),
                HELPER_UID.to_string()
            )
        );
        drop(as_user);
        run("chown 0:0 /run/slipway-helper");
        let as_root = Helper::start(Command::new(helper_path()).args(["--allow-uid", "0"]));
        assert_eq!(
            kept(&as_root),
            ("0000000000001000".to_owned(), "1".to_owned(), "0".to_owned())
        );
        let up = connect()
            .await
            .up(&redirect_plan(&["10.96.0.0/16"], 5353), None)
            .await
            .expect("the capability is enough");
        drop(up);
        let status = std::fs::read_to_string(format!("/proc/{}/status", as_root.pid())).expect("status");
        assert!(status.contains("CapBnd:\t0000000000001000"), "{status}");

        drop(as_root);
        let without = Command::new("setpriv")
            .args(["--bounding-set=-net_admin", "--inh-caps=-all"])
            .arg(helper_path())
            .output();
        let said = String::from_utf8(without.expect("ran").stderr).expect("text");
        assert!(said.contains("needs CAP_NET_ADMIN"), "{said}");
    });
}

#[test]
#[ignore = "needs root"]
fn a_second_helper_does_not_replace_the_first() {
    on_a_laptop(|laptop| async move {
        let mut first = laptop.helper();
        let second = Command::new(helper_path())
            .args(["--allow-uid", "0"])
            .output()
            .expect("ran");
        assert!(!second.status.success());
        assert!(String::from_utf8_lossy(&second.stderr).contains("another slipway-helper listens"));
        let _client = connect().await;
        first.signal(Signal::SIGKILL);
        // The socket that the crash left is replaced.
        let _helper = laptop.helper();
        let _client = connect().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_folder_of_another_user_is_refused() {
    on_a_laptop(|_laptop| async move {
        run("install -d -o 4242 /run/theirs");
        run("install -m 600 /dev/null /run/secret");
        let (socket, link) = (
            Path::new("/run/theirs/helper.sock"),
            Path::new("/run/theirs/link"),
        );
        std::os::unix::fs::symlink("/run/secret", link).expect("a link");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let swap = RenameFlags::RENAME_EXCHANGE;
                    // Fails until the socket exists.
                    let _ = renameat2(AT_FDCWD, socket, AT_FDCWD, link, swap);
                }
            });
            for _ in 0..20 {
                // A helper that starts would not end by itself.
                let mut start = Command::new("timeout");
                start.args(["--signal=KILL", "1"]).arg(helper_path());
                let started = start.arg("--socket").arg(socket).output().expect("ran");
                let said = String::from_utf8_lossy(&started.stderr);
                if !said.contains("/run/theirs belongs to user 4242") {
                    over.store(true, Ordering::Relaxed);
                    panic!("{:?}: {said}", started.status);
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(mode("/run/secret"), 0o600);
    });
}

#[test]
#[ignore = "needs root"]
fn the_umask_changes_neither_socket_nor_folder() {
    on_a_laptop(|_laptop| async move {
        for umask in ["000", "077"] {
            let folder = format!("/run/umask-{umask}");
            let socket = format!("{folder}/helper.sock");
            let script = format!("umask {umask}; exec \"$0\" --socket {socket}");
            let _helper = Helper::start(Command::new("sh").arg("-c").arg(script).arg(helper_path()));
            assert_eq!((mode(&folder), mode(&socket)), (0o755, 0o666), "umask {umask}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn the_log_has_causes_without_remedies() {
    on_a_laptop(|_laptop| async move {
        run("chown 0:0 /run/slipway-helper");
        let script = "exec \"$0\" --allow-uid 0 2>/run/log";
        let helper = Helper::start(Command::new("sh").args(["-c", script]).arg(helper_path()));
        let mut stream = greeted();
        say(&mut stream, r#""down""#);
        drop(stream);
        let public = refusal("203.0.112.0/20").await;
        assert!(refusal_remedy(&public).contains("allow_ranges"), "{public}");
        let log = || std::fs::read_to_string("/run/log").expect("a log");
        wait_until("the refusals in the log", || log().contains("203.0.112.0/20"));
        drop(helper);
        let log = log();
        assert!(log.contains("helper-refused"), "{log}");
        assert!(log.contains("this connection has no lease"), "{log}");
        for remedy in ["reinstall Slipway", "allow_ranges"] {
            assert!(!log.contains(remedy), "{log}");
        }
    });
}

/// Permission bits of a file.
fn mode(path: &str) -> u32 {
    std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

/// Asks for a lease of a range and returns the refusal.
async fn refusal(range: &str) -> HelperRefusal {
    match connect().await.up(&plan(&[range]), None).await {
        Ok(_) => panic!("{range} was granted"),
        Err(UpError::Refused { refusal, .. }) => refusal,
        Err(UpError::Lost(error)) => panic!("{range}: {error}"),
    }
}

/// Capabilities, no_new_privs and user of a running helper.
fn kept(helper: &Helper) -> (String, String, String) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", helper.pid())).expect("status");
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a line");
        line.split_whitespace().next().expect("a value").to_owned()
    };
    assert_eq!(field("CapEff:"), field("CapPrm:"));
    (field("CapEff:"), field("NoNewPrivs:"), field("Uid:"))
}

/// Connects and exchanges Hello, for messages that a client would not send.
fn greeted() -> UnixStream {
    let mut stream = UnixStream::connect(DEFAULT_SOCKET).expect("connected");
    stream.set_read_timeout(Some(WAIT)).expect("timeout");
    say(
        &mut stream,
        r#"{"hello":{"epoch":4,"revision":1,"build":"test"}}"#,
    );
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a reply");
    let mut reply = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut reply).expect("a reply");
    assert!(reply.starts_with(br#"{"welcome""#));
    stream
}

fn say(stream: &mut UnixStream, body: &str) {
    stream
        .write_all(&u32::try_from(body.len()).expect("short").to_be_bytes())
        .expect("sent");
    stream.write_all(body.as_bytes()).expect("sent");
}

/// Reads until the helper closes the connection.
fn rest(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("closed in time");
    String::from_utf8_lossy(&bytes).into_owned()
}
