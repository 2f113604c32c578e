//! Tests of the bed itself. They need root.

#![expect(clippy::unwrap_used, reason = "what a test needs and cannot have ends it")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use slipway_bed::{Addresses, Bed, BedName, Laptop, LaptopKind, Silent};

/// Returns the default bed, or the one that `SLIPWAY_BED` names. It stays up, because other tests use it.
fn bed() -> &'static Bed {
    static BED: OnceLock<Bed> = OnceLock::new();
    BED.get_or_init(|| Bed::up(&BedName::of_tests().unwrap(), &mut Silent).unwrap())
}

fn output(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(command: Command) -> String {
    let asked = format!("{command:?}");
    let output = output(command);
    assert!(
        output.status.success(),
        "{asked}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a TCP connection can be opened.
fn connects(laptop: &Laptop, address: &str, port: u16) -> bool {
    let open = format!("exec 3<>/dev/tcp/{address}/{port}");
    output(laptop.command("timeout", ["2", "bash", "-c", &open]))
        .status
        .success()
}

fn address_of(bed: &Bed, namespace: &str, what: &str, path: &str) -> String {
    let format = format!("--output=jsonpath={path}");
    let address = text(bed.kubectl(["--namespace", namespace, "get", what, &format]));
    assert!(!address.is_empty(), "{what} has no address");
    address
}

fn pod_address(bed: &Bed) -> String {
    address_of(
        bed,
        "shop",
        "pods",
        "{.items[?(@.metadata.labels.app==\"echo\")].status.podIP}",
    )
}

/// A program that is killed at the end of the test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root"]
fn up_is_fast_if_the_bed_is_up() {
    let bed = bed();
    let start = Instant::now();
    Bed::up(bed.name(), &mut Silent).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(Bed::status(bed.name()).unwrap().up);
}

#[test]
#[ignore = "needs root"]
fn a_pod_reaches_services_neighbors_and_public_hosts() {
    let bed = bed();
    let script = "set -e
        wget -q -O - http://web/
        wget -q -O - http://orders.shop-test/
        wget -q -O - http://a.dev.svc.cluster.local/
        wget -q -O - http://db-1.db:8080/hostname
        wget -q -O - http://warehouse.vpc.internal/
        wget -q -O - http://www.public.test/";
    let pod = format!("asker-{}", std::process::id());
    let run = [
        "--namespace=shop",
        "run",
        &pod,
        "--restart=Never",
        "--image=busybox",
        "--image-pull-policy=IfNotPresent",
    ];
    text(bed.kubectl(run.into_iter().chain(["--", "sh", "-c", script])));
    // Read from the log, because a short program can end before `attach` listens.
    let wait = [
        "wait",
        "--for=jsonpath={.status.phase}=Succeeded",
        "--timeout=30s",
        "--namespace=shop",
        "pod",
        &pod,
    ];
    let ended = output(bed.kubectl(wait));
    let answers = text(bed.kubectl(["--namespace=shop", "logs", &pod]));
    text(bed.kubectl(["--namespace=shop", "delete", "pod", &pod, "--now", "--wait=false"]));
    assert!(ended.status.success(), "{ended:?}: {answers}");
    let greetings: Vec<_> = answers
        .lines()
        .map(|line| line.trim_start_matches("hello from "))
        .collect();
    let expected = ["web-", "orders-", "a-", "db-1", "outside", "outside"];
    assert_eq!(greetings.len(), expected.len(), "{answers}");
    for (greeting, start) in greetings.iter().zip(expected) {
        assert!(greeting.starts_with(start), "{answers}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_developer_can_use_exec_and_port_forward() {
    let bed = bed();
    for laptop in bed.laptops() {
        assert_eq!(text(laptop.command("kubectl", ["get", "--raw", "/readyz"])), "ok");
        let pods = text(laptop.command("kubectl", ["get", "pods", "--output=name"]));
        let echo = pods.lines().find(|pod| pod.starts_with("pod/echo-")).unwrap();

        let words = output(laptop.command("kubectl", ["exec", echo, "--", "/echo", "nonsense"]));
        assert!(
            String::from_utf8_lossy(&words.stderr).contains("no command is called \"nonsense\""),
            "{words:?}"
        );

        let mut forward = laptop.command("kubectl", ["port-forward", "service/web", ":80"]);
        let mut forward = Running(
            forward
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut line = String::new();
        // Kept open: kubectl writes more, and would end if the pipe were closed.
        let mut lines = BufReader::new(forward.0.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let local = line.split(' ').nth(2).unwrap_or_else(|| panic!("{line:?}"));
        let url = format!("http://{local}/");
        let greeting = text(laptop.command("curl", ["--silent", "--max-time", "10", &url]));
        assert!(greeting.starts_with("hello from web-"), "{greeting}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_developer_may_do_no_more_than_the_role_allows() {
    let bed = bed();
    let laptop = bed.laptop(LaptopKind::Plain).unwrap();
    let may = |words: &[&str]| {
        let all = ["auth", "can-i", "--quiet"].iter().chain(words);
        output(laptop.command("kubectl", all)).status.success()
    };
    for allowed in [
        ["create", "jobs"],
        ["delete", "pods"],
        ["create", "pods/exec"],
        ["watch", "endpoints"],
    ] {
        assert!(may(&allowed), "{allowed:?}");
    }
    for refused in [
        ["get", "secrets"],
        ["get", "deployments"],
        ["patch", "pods"],
        ["list", "namespaces"],
    ] {
        assert!(!may(&refused), "{refused:?}");
    }
    assert!(!may(&["get", "pods", "--namespace=shop-test"]));
}

#[test]
#[ignore = "needs root"]
fn a_laptop_reaches_only_the_api_server_of_the_cluster() {
    let bed = bed();
    let pod = pod_address(bed);
    let service = address_of(bed, "shop", "service/web", "{.spec.clusterIP}");
    let addresses = bed.addresses().unwrap();
    let kubernetes = addresses.kubernetes().to_string();
    let warehouse = Addresses::BESIDE_CLUSTER.to_string();
    let node = addresses.node().to_string();
    let inside = [
        (&pod, 8080),
        (&service, 80),
        (&kubernetes, 443),
        (&warehouse, 80),
        (&node, 10250),
        (&node, 2379),
    ];

    // They answer on the node, so silence on a laptop is significant.
    for (address, port) in &inside[..5] {
        let url = format!("telnet://{address}:{port}");
        let seen = output(bed.command_on_node(
            "timeout",
            ["5", "curl", "--silent", "--verbose", "--max-time", "1", &url],
        ));
        assert!(
            String::from_utf8_lossy(&seen.stderr).contains("Connected to"),
            "{address}:{port}: {seen:?}"
        );
    }
    // Each attempt takes its whole time, so all laptops run in parallel.
    std::thread::scope(|scope| {
        for laptop in bed.laptops() {
            let (node, inside) = (&node, &inside);
            scope.spawn(move || reaches_the_api_server_only(laptop, node, inside));
        }
    });
}

fn reaches_the_api_server_only(laptop: &Laptop, node: &str, inside: &[(&String, u16)]) {
    let _lock = laptop.lock().unwrap();
    let kind = laptop.kind();
    assert!(
        connects(laptop, node, 6443),
        "{kind} does not reach the API server"
    );
    let outside = ("198.51.100.1", 80);
    assert!(
        !connects(laptop, outside.0, outside.1),
        "{kind} reaches an outside host"
    );
    for (address, port) in inside {
        assert!(
            !connects(laptop, address, *port),
            "{kind} reaches {address}:{port}"
        );
    }
    let routes = ["10.0.0.0/8", "198.51.100.0/24"];
    for route in routes {
        text(laptop.command_as_root("ip", ["route", "add", route, "via", node]));
    }
    for (address, port) in inside
        .iter()
        .map(|(address, port)| (address.as_str(), *port))
        .chain([outside])
    {
        assert!(
            !connects(laptop, address, port),
            "{kind} reaches {address}:{port} by a route"
        );
    }
    for route in routes {
        text(laptop.command_as_root("ip", ["route", "delete", route]));
    }
}

#[test]
#[ignore = "needs root"]
fn every_resolver_knows_all_names_but_the_clusters() {
    let bed = bed();
    let node = bed.addresses().unwrap().node().to_string();
    for laptop in bed.laptops() {
        let kind = laptop.kind();
        let asks = |name: &str| output(laptop.command("getent", ["ahosts", name]));
        let node = node.as_str();
        for (name, address) in [
            ("www.public.test", "203.0.113.10"),
            ("alias.public.test", "203.0.113.10"),
            ("v6.public.test", "2001:db8::10"),
            ("a.dev", "203.0.113.30"),
            ("db.corp.internal", node),
            // Through the search domain.
            ("wiki", node),
        ] {
            let answer = asks(name);
            let first = String::from_utf8_lossy(&answer.stdout)
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned();
            assert_eq!(first, address, "{kind}: {name}: {answer:?}");
        }
        for unknown in [
            "nosuch.public.test",
            "web.shop.svc.cluster.local",
            "web.shop",
            "warehouse.vpc.internal",
        ] {
            let start = Instant::now();
            let answer = asks(unknown);
            // 2: one or more keys could not be found.
            assert_eq!(answer.status.code(), Some(2), "{kind}: {unknown}: {answer:?}");
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "{kind}: {unknown} took {:?}",
                start.elapsed()
            );
        }
        // dig's `status` distinguishes "no such name" from "no answer", which getent does not.
        let refusal = text(laptop.command("dig", ["nosuch.public.test"]));
        assert!(refusal.contains("status: NXDOMAIN"), "{kind}: {refusal}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_long_answer_is_asked_for_again_by_tcp() {
    let bed = bed();
    for laptop in bed.laptops() {
        let cut = text(laptop.command("dig", ["+ignore", "+bufsize=1232", "big.public.test", "TXT"]));
        assert!(
            cut.lines()
                .any(|line| line.contains("flags:") && line.contains(" tc")),
            "{cut}"
        );
        let whole = text(laptop.command("dig", ["+short", "big.public.test", "TXT"]));
        assert!(whole.len() > 4000, "{}: {} bytes", laptop.kind(), whole.len());
    }
}

#[test]
#[ignore = "needs root"]
fn a_user_makes_a_tun_only_in_their_own_namespace() {
    let bed = bed();
    for laptop in bed.laptops() {
        let make = "ip tuntap add dev t0 mode tun && ip link show dev t0";
        let outside = output(laptop.command("sh", ["-c", make]));
        assert!(!outside.status.success(), "{outside:?}");
        let inside = text(laptop.command("unshare", ["--map-root-user", "--net", "sh", "-c", make]));
        assert!(inside.contains("t0:"), "{inside}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_helper_administers_the_network_and_nothing_else() {
    let bed = bed();
    for laptop in bed.laptops() {
        let _lock = laptop.lock().unwrap();
        assert_eq!(
            text(laptop.command_as_helper("id", ["--user", "--name"])).trim(),
            Laptop::HELPER.0
        );
        let status = text(laptop.command_as_helper("cat", ["/proc/self/status"]));
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(
                status.contains(&format!("{set}:\t0000000000001000")),
                "{set}: {status}"
            );
        }
        text(laptop.command_as_helper(
            "sh",
            [
                "-c",
                "ip tuntap add dev t1 mode tun && ip tuntap del dev t1 mode tun",
            ],
        ));
        assert!(
            !output(laptop.command_as_helper("touch", ["/etc/written"]))
                .status
                .success()
        );
        assert!(
            !output(laptop.command("ip", ["link", "set", "lo", "down"]))
                .status
                .success()
        );
    }
}

#[test]
#[ignore = "needs root"]
fn polkit_refuses_the_helper_until_a_rule_allows_it() {
    let bed = bed();
    let laptop = bed.laptop(LaptopKind::Resolved).unwrap();
    let _lock = laptop.lock().unwrap();
    // Every user may call FlushCaches; polkit decides about this call.
    let call = |laptop: &Laptop| {
        output(laptop.command_as_helper(
            "busctl",
            [
                "call",
                "org.freedesktop.resolve1",
                "/org/freedesktop/resolve1",
                "org.freedesktop.resolve1.Manager",
                "SetLinkDNSSEC",
                "is",
                "2",
                "no",
            ],
        ))
    };
    let refused = call(laptop);
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("authentication required"),
        "{refused:?}"
    );

    let rule = "/etc/polkit-1/rules.d/10-test.rules";
    let text_of_rule = r#"polkit.addRule(function(action, subject) {
        if (action.id.indexOf("org.freedesktop.resolve1.") == 0 && subject.user == "slipway-helper") {
            return polkit.Result.YES;
        }
    });"#;
    laptop.write(rule, text_of_rule).unwrap();
    until("the rule is read", || call(laptop).status.success());
    text(laptop.command_as_root("rm", [rule]));
    until("the rule is forgotten", || !call(laptop).status.success());
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs root"]
fn only_the_firewall_blocks_incoming_connections() {
    let bed = bed();
    for (kind, lets_in) in [(LaptopKind::Plain, true), (LaptopKind::Firewall, false)] {
        let laptop = bed.laptop(kind).unwrap();
        let _lock = laptop.lock().unwrap();
        let mut proxy = laptop.command(
            "kubectl",
            ["proxy", "--address=0.0.0.0", "--port=8001", "--accept-hosts=.*"],
        );
        let _proxy = Running(proxy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let local = ["--silent", "--max-time", "2", "http://127.0.0.1:8001/readyz"];
        until("the laptop serves", || {
            output(laptop.command("curl", local)).stdout == b"ok"
        });
        let url = format!("http://{}:8001/readyz", laptop.address());
        let seen = output(bed.command_on_node("curl", ["--silent", "--max-time", "2", &url]));
        assert_eq!(seen.stdout == b"ok", lets_in, "{kind}: {seen:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_echo_pod_serves_all_its_ports() {
    let bed = bed();
    let pod = pod_address(bed);
    // In Python, because socat may be missing, and bash cannot close one direction.
    let script = format!(
        "import hashlib, socket
def ask(port, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind); s.settimeout(10); s.connect(('{pod}', port)); return s
def rest(s):
    s.shutdown(socket.SHUT_WR); got = b''
    while more := s.recv(65536): got += more
    return got
data = bytes(range(256)) * 4096
s = ask(7001); s.sendall(data); assert rest(s) == b'1048576\\n'
s = ask(7003); s.sendall(data); assert rest(s).decode().strip() == hashlib.sha256(data).hexdigest()
s = ask(7000); s.sendall(b'hello'); assert rest(s) == b'hello'
s = ask(7002); assert len(s.makefile('rb').read(1000000)) == 1000000
s = ask(7000, socket.SOCK_DGRAM); s.send(b'datagram'); assert s.recv(100) == b'datagram'
print('all')"
    );
    assert_eq!(text(bed.command_on_node("python3", ["-c", &script])), "all\n");
}

#[test]
#[ignore = "needs root"]
fn an_installed_program_runs_only_on_its_laptop() {
    let bed = bed();
    let laptop = bed.laptop(LaptopKind::Plain).unwrap();
    let path = laptop.install("/usr/bin/env".as_ref(), "bed-proof-env").unwrap();
    assert!(text(laptop.command("bed-proof-env", ["id", "--user"])).starts_with("2000"));
    assert!(!path.exists(), "{} is on the host", path.display());
    text(laptop.command_as_root("rm", [&path]));
}
