//! Tests that need a system bus: DNS through systemd-resolved, and authorization by polkit.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "functions of tests may panic and print"
)]

mod laptop;

use std::fs::Permissions;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use laptop::{HELPER_UID, Laptop, WAIT, connect, on_a_laptop, plan, routes, run};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slipway_helper_api::{DnsMode, DnsModeChoice, DnsPlan, Zones};
use slipway_helper_client::Plan;

/// An ordinary user of the test laptop.
const DEV_UID: u32 = 59_001;
const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging");

#[test]
#[ignore = "needs root"]
fn resolved_gets_exactly_the_settings_of_the_lease() {
    on_a_laptop(|laptop| async move {
        let _bus = start_bus(&laptop);
        point_programs_at_resolved(&laptop);
        let _helper = laptop.helper();
        let status = connect().await.status().await.expect("status");
        assert_eq!(status.names, Ok(DnsMode::Redirect), "resolved is not there yet");

        let calls = Calls::default();
        let resolved = scripted_resolved(&calls).await;
        let mut up = connect()
            .await
            .up(&names_plan(DnsModeChoice::Auto), None)
            .await
            .expect("a lease");
        let dns = up.lease.granted().dns.clone().expect("names");
        assert_eq!(dns.mode, DnsMode::Resolved);
        assert!(laptop.trace().tables.is_empty(), "no query is redirected");
        assert!(
            up.upstreams
                .iter()
                .all(|upstream| upstream.server.to_string() == "10.77.0.1:53"),
            "not the stub"
        );
        let index = index_of(&up.lease.granted().tun_name);
        let expected = settings(index, up.lease.granted().resolver);
        assert_eq!(calls.take(), expected);

        // resolved lists the settings of all links in its files.
        let listed = format!(
            "nameserver {}\nnameserver 10.77.0.1\nsearch default.svc.cluster.local svc.cluster.local lan.example\n",
            up.lease.granted().resolver
        );
        std::fs::write("/run/systemd/resolve/resolv.conf", &listed).expect("file");
        laptop.set_resolv_conf(&listed.replace("10.77.0.1", "127.0.0.53"));
        let upstreams = up.lease.refresh_dns().await.expect("read again");
        assert!(
            upstreams
                .iter()
                .all(|upstream| upstream.server.to_string() == "10.77.0.1:53"),
            "not the session itself"
        );
        let dns = up.lease.granted().dns.clone().expect("names");
        assert_eq!(dns.laptop_search, ["lan.example".parse().expect("suffix")]);
        assert_eq!(calls.take(), [""; 0], "the same settings are not set again");

        // A restarted resolved has lost its settings.
        drop(resolved);
        let _resolved = scripted_resolved(&calls).await;
        calls.wait_for(expected.len()).await;
        assert_eq!(calls.take(), expected);

        let reverted = [format!("RevertLink {index}"), "FlushCaches".to_owned()];
        up.lease
            .update(&names_plan(DnsModeChoice::Redirect))
            .await
            .expect("the other mode");
        assert_eq!(calls.take(), reverted);
        assert!(laptop.trace().tables.contains("slipway-0"));
        up.lease
            .update(&names_plan(DnsModeChoice::Resolved))
            .await
            .expect("and back");
        assert_eq!(calls.take(), expected);
        assert!(laptop.trace().tables.is_empty());

        up.lease.down().await.expect("down");
        assert_eq!(calls.take(), reverted);
    });
}

#[test]
#[ignore = "needs root"]
fn a_silent_system_bus_counts_as_missing() {
    on_a_laptop(|laptop| async move {
        point_programs_at_resolved(&laptop);
        std::fs::create_dir_all("/run/dbus").expect("folder");
        // The socket's queue takes connections, but no program accepts them.
        let _bus = UnixListener::bind("/run/dbus/system_bus_socket").expect("a socket");
        let for_all = Permissions::from_mode(0o666);
        std::fs::set_permissions("/run/dbus/system_bus_socket", for_all).expect("a mode");
        let _helper = laptop.helper();
        let begun = Instant::now();
        let status = connect().await.status().await.expect("status");
        assert!(
            begun.elapsed() > Duration::from_secs(4),
            "the bus was not waited for"
        );
        assert_eq!(status.names, Ok(DnsMode::Redirect));
        let up = connect()
            .await
            .up(&names_plan(DnsModeChoice::Auto), None)
            .await
            .expect("a lease");
        let dns = up.lease.granted().dns.clone().expect("names");
        assert_eq!(dns.mode, DnsMode::Redirect);
        up.lease.down().await.expect("down");
        let refused = connect()
            .await
            .up(&names_plan(DnsModeChoice::Resolved), None)
            .await;
        let refused = refused.expect_err("that mode is not there").to_string();
        assert!(refused.contains("resolved"), "{refused}");
    });
}

#[test]
#[ignore = "needs root"]
fn real_resolved_asks_the_session_only_for_its_names() {
    on_a_laptop(|laptop| async move {
        let _bus = start_bus(&laptop);
        // Only the package's polkit rule allows this to the helper's user.
        let _polkit = start_polkit(&laptop, "");
        let _resolved = start_resolved(&laptop);
        let _helper = laptop.helper();
        let mut up = connect()
            .await
            .up(&names_plan(DnsModeChoice::Resolved), None)
            .await
            .expect("a lease");
        let resolver = up.lease.granted().resolver.octets();
        let asked = |name: &str| {
            let program = std::net::UdpSocket::bind("127.0.0.1:0").expect("UDP");
            program.send_to(&question(name), "127.0.0.53:53").expect("sent");
            next_query(&up.tun, resolver)
        };
        assert_eq!(
            asked("web.default.svc.cluster.local"),
            Some("web.default.svc.cluster.local".to_owned())
        );
        assert_eq!(
            asked("www.example.com"),
            None,
            "public names are asked of the laptop's name server"
        );
        assert_eq!(asked("db.svc"), Some("db.svc".to_owned()));
        let stub = "/run/systemd/resolve/stub-resolv.conf";
        let text = std::fs::read_to_string(stub).expect("file");
        assert!(
            text.contains("search default.svc.cluster.local svc.cluster.local"),
            "resolved lists the session's search domains: {text}"
        );
        laptop.set_resolv_conf(&text);
        up.lease.refresh_dns().await.expect("read again");
        let dns = up.lease.granted().dns.clone().expect("names");
        assert!(
            !dns.servers
                .iter()
                .any(|server| server.ip() == up.lease.granted().resolver),
            "the session itself is not one of the laptop's servers: {:?}",
            dns.servers
        );
        assert!(
            dns.laptop_search.is_empty(),
            "its search domains are not the laptop's"
        );
        up.lease.down().await.expect("down");
    });
}

#[test]
#[ignore = "needs root"]
fn polkit_decides_who_may_connect() {
    on_a_laptop(|laptop| async move {
        let _bus = start_bus(&laptop);
        let _polkit = start_polkit(&laptop, "");
        let _helper = laptop.helper_with(&[]);
        let before = laptop.trace();
        let said = as_user(DEV_UID);
        assert!(
            said.contains("polkit did not allow dev.slipway.helper.connect"),
            "polkit has not asked the user: {said}"
        );
        assert!(said.contains("status is open to all"), "{said}");
        assert!(
            !said.contains("access: Granted"),
            "the status foresees it: {said}"
        );
        assert_eq!(laptop.trace(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn a_user_whom_polkit_allows_gets_a_lease() {
    on_a_laptop(|laptop| async move {
        let _bus = start_bus(&laptop);
        let rule = "polkit.addRule(function (action, subject) {
            if (action.id === 'dev.slipway.helper.connect' && subject.user === 'developer') { return polkit.Result.YES; }
        });";
        let _polkit = start_polkit(&laptop, rule);
        let _helper = laptop.helper_with(&[]);
        let said = as_user(DEV_UID);
        assert!(said.contains("the lease is up"), "{said}");
        assert!(said.contains("access: Granted"), "{said}");
        let said = as_user(DEV_UID + 1);
        assert!(said.contains("polkit did not allow"), "{said}");
        assert!(!said.contains("access: Granted"), "{said}");
    });
}

#[test]
#[ignore = "needs root"]
fn without_polkit_only_root_gets_a_lease() {
    on_a_laptop(|laptop| async move {
        let _helper = laptop.helper_with(&[]);
        let said = as_user(DEV_UID);
        assert!(said.contains("polkit could not be asked"), "{said}");
        let _up = connect()
            .await
            .up(&plan(&["10.96.0.0/16"]), None)
            .await
            .expect("root may change the network anyway");
    });
}

fn as_user(uid: u32) -> String {
    let program = laptop::open_to_all(&laptop::session_program(), "/run/session-under-test");
    let uid = uid.to_string();
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            &uid,
            "--regid",
            &uid,
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(program)
        .output()
        .expect("a session");
    String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr)
}

fn names_plan(mode: DnsModeChoice) -> Plan {
    let search = ["default.svc.cluster.local", "svc.cluster.local"];
    let zones = Zones {
        cluster: Some("cluster.local".parse().expect("domain")),
        namespaces: vec!["default".parse().expect("namespace")],
        search: search.map(|suffix| suffix.parse().expect("suffix")).to_vec(),
        ..Zones::default()
    };
    let dns = DnsPlan::new(zones, [5353.try_into().expect("port"); 3], mode).expect("plan");
    Plan::new(routes(&["10.96.0.0/16"]), Some(dns)).expect("plan")
}

/// Calls for [`names_plan`]: search domains first, each domain once.
fn settings(index: i32, resolver: std::net::Ipv4Addr) -> Vec<String> {
    vec![
        format!("SetLinkDefaultRoute {index} false"),
        format!("SetLinkLLMNR {index} no"),
        format!("SetLinkMulticastDNS {index} no"),
        format!("SetLinkDNSSEC {index} no"),
        format!("SetLinkDNSOverTLS {index} no"),
        format!(
            "SetLinkDomains {index} default.svc.cluster.local svc.cluster.local ~cluster.local ~svc ~pod ~slipway.internal ~default"
        ),
        format!("SetLinkDNS {index} {resolver}"),
        "FlushCaches".to_owned(),
    ]
}

fn index_of(device: &str) -> i32 {
    nix::net::if_::if_nametoindex(device)
        .expect("a device")
        .try_into()
        .expect("small")
}

/// Calls that the scripted resolved received, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn add(&self, words: String) {
        self.0.lock().expect("whole").push(words);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }

    async fn wait_for(&self, count: usize) {
        let enough = async {
            while self.0.lock().expect("whole").len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WAIT, enough).await.expect("called in time");
    }
}

/// Configures programs to ask resolved, and resolved to ask the laptop's name server.
fn point_programs_at_resolved(laptop: &Laptop) {
    laptop.set_resolv_conf("nameserver 127.0.0.53\n");
    std::fs::create_dir_all("/run/systemd/resolve").expect("folder");
    std::fs::write("/run/systemd/resolve/resolv.conf", "nameserver 10.77.0.1\n").expect("file");
}

/// Starts a fake resolved that records the calls it receives.
async fn scripted_resolved(calls: &Calls) -> zbus::Connection {
    zbus::connection::Builder::system()
        .expect("bus")
        .serve_at("/org/freedesktop/resolve1", ScriptedResolved(calls.clone()))
        .expect("object")
        .name("org.freedesktop.resolve1")
        .expect("name")
        .build()
        .await
        .expect("resolved starts")
}

struct ScriptedResolved(Calls);

#[zbus::interface(name = "org.freedesktop.resolve1.Manager")]
impl ScriptedResolved {
    #[zbus(name = "SetLinkDNS")]
    fn set_link_dns(&self, index: i32, addresses: Vec<(i32, Vec<u8>)>) {
        let text = |(family, bytes): &(i32, Vec<u8>)| {
            assert_eq!(*family, libc::AF_INET);
            bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".")
        };
        let addresses: Vec<_> = addresses.iter().map(text).collect();
        self.0.add(format!("SetLinkDNS {index} {}", addresses.join(" ")));
    }

    fn set_link_domains(&self, index: i32, domains: Vec<(String, bool)>) {
        let text = |(name, routes): &(String, bool)| if *routes { format!("~{name}") } else { name.clone() };
        let domains: Vec<_> = domains.iter().map(text).collect();
        self.0
            .add(format!("SetLinkDomains {index} {}", domains.join(" ")));
    }

    fn set_link_default_route(&self, index: i32, enable: bool) {
        self.0.add(format!("SetLinkDefaultRoute {index} {enable}"));
    }

    #[zbus(name = "SetLinkLLMNR")]
    fn set_link_llmnr(&self, index: i32, mode: &str) {
        self.0.add(format!("SetLinkLLMNR {index} {mode}"));
    }

    #[zbus(name = "SetLinkMulticastDNS")]
    fn set_link_multicast_dns(&self, index: i32, mode: &str) {
        self.0.add(format!("SetLinkMulticastDNS {index} {mode}"));
    }

    #[zbus(name = "SetLinkDNSSEC")]
    fn set_link_dnssec(&self, index: i32, mode: &str) {
        self.0.add(format!("SetLinkDNSSEC {index} {mode}"));
    }

    #[zbus(name = "SetLinkDNSOverTLS")]
    fn set_link_dns_over_tls(&self, index: i32, mode: &str) {
        self.0.add(format!("SetLinkDNSOverTLS {index} {mode}"));
    }

    fn revert_link(&self, index: i32) {
        self.0.add(format!("RevertLink {index}"));
    }

    fn flush_caches(&self) {
        self.0.add("FlushCaches".to_owned());
    }
}

/// Process on the test laptop, which ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a system bus on the test laptop.
fn start_bus(laptop: &Laptop) -> Service {
    laptop.add_users(&[
        ("slipway-helper", HELPER_UID),
        ("developer", DEV_UID),
        ("guest", DEV_UID + 1),
        ("systemd-resolve", 59_003),
    ]);
    std::fs::create_dir_all("/run/dbus").expect("folder");
    let config = "<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>\
            <auth>EXTERNAL</auth><policy context='default'><allow user='*'/><allow own='*'/>\
            <allow send_type='method_call'/><allow send_type='signal'/><allow send_requested_reply='true'/>\
            <allow receive_type='method_call'/><allow receive_type='signal'/><allow receive_requested_reply='true'/>\
            </policy></busconfig>";
    std::fs::write("/run/bus.conf", config).expect("file");
    let daemon = Command::new("dbus-daemon")
        .args([
            "--config-file=/run/bus.conf",
            "--nofork",
            "--nopidfile",
            "--nosyslog",
        ])
        .stderr(Stdio::null())
        .spawn();
    let daemon = daemon.expect("dbus-daemon");
    laptop::wait_until("the bus", || {
        std::os::unix::net::UnixStream::connect("/run/dbus/system_bus_socket").is_ok()
    });
    Service(daemon)
}

/// Returns a DNS question for the address of a name (RFC 1035 section 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("short"));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Returns the name in the next DNS query to the resolver that the device delivers.
fn next_query(tun: &OwnedFd, resolver: [u8; 4]) -> Option<String> {
    loop {
        let mut ready = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(2000u16)) == Ok(0) {
            return None;
        }
        let mut packet = [0; 2048];
        let length = nix::unistd::read(tun, &mut packet).expect("a packet");
        if packet[9] != 17 || packet[16..20] != resolver || packet[22..24] != [0, 53] {
            continue;
        }
        let mut rest = &packet[40..length];
        let mut labels = Vec::new();
        while let [size, after @ ..] = rest
            && *size > 0
        {
            let (label, next) = after.split_at(usize::from(*size));
            labels.push(String::from_utf8_lossy(label).into_owned());
            rest = next;
        }
        return Some(labels.join("."));
    }
}

/// Root folder of systemd-resolved: the system's, or that of an unpacked package (`SLIPWAY_TEST_RESOLVED`).
fn resolved_root() -> PathBuf {
    std::env::var_os("SLIPWAY_TEST_RESOLVED").map_or(PathBuf::from("/"), PathBuf::from)
}

/// Starts the real systemd-resolved of [`resolved_root`].
fn start_resolved(laptop: &Laptop) -> Service {
    let place = resolved_root().join("usr/lib/systemd/systemd-resolved");
    assert!(
        place.exists(),
        "there is no {}; SLIPWAY_TEST_RESOLVED may name an unpacked package",
        place.display()
    );
    laptop.set_resolv_conf("nameserver 127.0.0.53\n");
    std::fs::create_dir_all("/run/systemd/system").expect("folder");
    run("install -d -o systemd-resolve -g 59003 /run/systemd/resolve");
    let resolved = Command::new(place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let resolved = Service(resolved.expect("resolved starts"));
    wait_for_owner("org.freedesktop.resolve1");
    resolved
}

/// Waits until a program owns a name on the system bus.
fn wait_for_owner(name: &str) {
    laptop::wait_until(name, || {
        let owner = Command::new("dbus-send")
            .args([
                "--system",
                "--print-reply",
                "--dest=org.freedesktop.DBus",
                "/",
                "org.freedesktop.DBus.GetNameOwner",
            ])
            .arg(format!("string:{name}"))
            .output();
        owner.expect("dbus-send").status.success()
    });
}

/// Starts the real polkit with the package's action and rule, and one more rule.
fn start_polkit(laptop: &Laptop, rule: &str) -> Service {
    let daemon = "/usr/lib/polkit-1/polkitd";
    let resolved = resolved_root().join("usr/share/polkit-1/actions/org.freedesktop.resolve1.policy");
    let resolved = std::fs::read(resolved).unwrap_or_default();
    for folder in [
        "/usr/share/polkit-1/rules.d",
        "/usr/share/polkit-1/actions",
        "/etc/polkit-1/rules.d",
    ] {
        laptop.empty_folder(folder);
    }
    run(&format!(
        "cp {PACKAGING}/polkit/dev.slipway.helper.policy /usr/share/polkit-1/actions/"
    ));
    run(&format!(
        "cp {PACKAGING}/polkit/slipway-helper.rules /usr/share/polkit-1/rules.d/50-slipway-helper.rules"
    ));
    std::fs::write(
        "/usr/share/polkit-1/actions/org.freedesktop.resolve1.policy",
        resolved,
    )
    .expect("file");
    std::fs::write("/etc/polkit-1/rules.d/10-test.rules", rule).expect("file");
    let polkit = Command::new(daemon)
        .arg("--no-debug")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let polkit = Service(polkit.expect("polkitd starts"));
    wait_for_owner("org.freedesktop.PolicyKit1");
    polkit
}
