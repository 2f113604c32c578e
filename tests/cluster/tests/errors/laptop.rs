//! Laptops without a helper, TUN device or free range, and with broken profiles.

use serde_json::Value;
use slipway_cluster_tests::{Desk, LaptopFile, on_the_bare_laptop, on_the_plain_laptop, until};

use crate::other_helper::OtherHelper;
use crate::support::{AT_ONCE, Attempt, jobs_made};

on_the_bare_laptop!(without_a_helper_nothing_is_placed_and_its_start_is_named);
on_the_plain_laptop!(
    a_helper_of_another_version_asks_to_finish_the_update,
    without_a_tun_device_its_module_is_named,
    a_closed_tun_device_is_reported_with_its_usual_mode,
    a_helper_for_another_user_is_reported_before_placing,
    a_range_of_another_vpn_is_not_taken,
    a_wider_vpn_is_said_to_be_fine,
    a_range_is_told_with_what_overlaps_it,
    run_shows_the_notes_of_connect,
    a_broken_profile_is_reported_with_its_position,
);

fn without_a_helper_nothing_is_placed_and_its_start_is_named(desk: &Desk<'_>) {
    let jobs = jobs_made(desk);
    let failure = Attempt::connect(desk, &[]).fails(AT_ONCE);
    // The complete command, with the socket that was tried and the user id.
    let remedy = [
        "slipway-helper --socket",
        "--allow-uid 2000",
        "sudo systemctl start slipway-helper",
    ];
    failure.is("no-helper", &["slipway-helper does not run"], &remedy);
    assert_eq!(jobs_made(desk), jobs, "nothing was placed");
    let nowhere = "/nowhere/helper.sock";
    let findings = Attempt::new(desk, &["doctor", "--json", "--helper-socket", nowhere]).findings(true);
    let found = findings.one("helper", "fail", "no-helper");
    assert!(found["detail"].as_str().unwrap().contains(nowhere), "{found}");
}

fn a_helper_of_another_version_asks_to_finish_the_update(desk: &Desk<'_>) {
    let (helper, jobs) = (OtherHelper::of_the_next_epoch(), jobs_made(desk));
    let failure = Attempt::connect(desk, &[])
        .with("SLIPWAY_HELPER_SOCKET", helper.socket())
        .fails(AT_ONCE);
    // This test program answers as the helper, and it was not started by systemd.
    let remedy = ["Finish the update", "start it again with `sudo "];
    failure.is("helper-version", &["99.0.0", "different versions"], &remedy);
    assert_eq!(jobs_made(desk), jobs, "nothing was placed");
    let doctor = ["doctor", "--json", "--helper-socket", helper.socket()];
    Attempt::new(desk, &doctor)
        .findings(true)
        .one("helper", "fail", "helper-version");
}

/// A missing or closed TUN device of the laptop, restored when this is dropped.
struct NoTun<'a>(&'a Desk<'a>);

const TUN: &str = "/dev/net/tun";

impl<'a> NoTun<'a> {
    fn gone(desk: &'a Desk<'a>) -> NoTun<'a> {
        desk.as_root("mv", &[TUN, "/dev/net/tun.away"]);
        NoTun(desk)
    }

    fn closed(desk: &'a Desk<'a>) -> NoTun<'a> {
        desk.as_root("mv", &[TUN, "/dev/net/tun.away"]);
        desk.as_root("mknod", &["--mode=0600", TUN, "c", "10", "200"]);
        NoTun(desk)
    }
}

impl Drop for NoTun<'_> {
    fn drop(&mut self) {
        self.0.as_root("mv", &["-f", "/dev/net/tun.away", TUN]);
    }
}

fn without_a_tun_device_its_module_is_named(desk: &Desk<'_>) {
    let _gone = NoTun::gone(desk);
    let jobs = jobs_made(desk);
    let failure = Attempt::connect(desk, &[]).fails(AT_ONCE);
    failure.is("no-tun-device", &["/dev/net/tun"], &["sudo modprobe tun"]);
    assert_eq!(jobs_made(desk), jobs, "nothing was placed");
    Attempt::new(desk, &["doctor", "--json"])
        .findings(true)
        .one("tun", "fail", "no-tun-device");
}

fn a_closed_tun_device_is_reported_with_its_usual_mode(desk: &Desk<'_>) {
    let _closed = NoTun::closed(desk);
    let jobs = jobs_made(desk);
    let failure = Attempt::connect(desk, &[]).fails(AT_ONCE);
    failure.is(
        "no-tun-device",
        &["/dev/net/tun"],
        &["sudo chmod 0666 /dev/net/tun"],
    );
    assert_eq!(jobs_made(desk), jobs, "nothing was placed");
    Attempt::new(desk, &["doctor", "--json"])
        .findings(true)
        .one("tun", "fail", "no-tun-device");
}

fn a_helper_for_another_user_is_reported_before_placing(desk: &Desk<'_>) {
    let (socket, jobs) = ("/tmp/slipway-test-strangers.sock", jobs_made(desk));
    let helper = slipway_cluster_tests::program("slipway-helper");
    let arguments = ["--socket", socket, "--allow-uid", "4242"];
    let helper = desk.laptop.command_as_helper(helper, arguments);
    let helper = slipway_cluster_tests::Running::start(helper);
    until("the helper listens", || {
        helper.said().contains("listening for sessions")
    })
    .unwrap();
    let failure = Attempt::connect(desk, &[])
        .with("SLIPWAY_HELPER_SOCKET", socket)
        .fails(AT_ONCE);
    failure.is("helper-not-authorized", &["2000", "4242"], &["--allow-uid"]);
    assert_eq!(jobs_made(desk), jobs, "nothing was placed");
}

/// Another VPN: a device, and a route into it.
struct Vpn<'a>(&'a Desk<'a>);

impl<'a> Vpn<'a> {
    const DEVICE: &'static str = "corp-vpn";

    fn new(desk: &'a Desk<'a>, range: &str) -> Vpn<'a> {
        desk.as_root("ip", &["tuntap", "add", Self::DEVICE, "mode", "tun"]);
        let vpn = Vpn(desk);
        desk.as_root("ip", &["link", "set", Self::DEVICE, "up"]);
        desk.as_root("ip", &["route", "add", range, "dev", Self::DEVICE]);
        vpn
    }
}

impl Drop for Vpn<'_> {
    fn drop(&mut self) {
        self.0.as_root("ip", &["link", "delete", Self::DEVICE]);
    }
}

fn a_range_of_another_vpn_is_not_taken(desk: &Desk<'_>) {
    let services = format!("{}/16", desk.bed.addresses().unwrap().services());
    let _vpn = Vpn::new(desk, &services);
    let route = || desk.as_root("ip", &["route", "show", &services]);
    let before = route();
    assert!(before.contains(Vpn::DEVICE), "{before}");
    let admin = "/home/dev/.kube/admin";
    let place = ["--kubeconfig", admin, "--namespace", "shop"];

    let doctor = [&["doctor", "--json"][..], &place].concat();
    let findings = Attempt::new(desk, &doctor).findings(false);
    let found = findings.one("range", "warn", "range-not-routed");
    assert!(found["detail"].as_str().unwrap().contains(Vpn::DEVICE), "{found}");

    let session = desk.connect(&place);
    let status = session.status().unwrap();
    let problem = &status["problems"][0];
    assert_eq!(problem["code"], "range-not-routed", "{status}");
    let cause = problem["cause"].as_str().unwrap();
    assert!(
        cause.contains(Vpn::DEVICE) && cause.contains(&services),
        "{cause}"
    );
    assert!(!problem["remedy"].as_str().unwrap().is_empty());
    assert!(
        session.running.said().contains(Vpn::DEVICE),
        "standard error reports it too: {}",
        session.running.said()
    );
    assert_eq!(route(), before, "the VPN keeps its range");
    assert!(
        desk.resolves("db-0.db.shop.svc.cluster.local"),
        "the pods' range is the cluster's"
    );
    let service = "web.shop.svc.cluster.local";
    assert!(!desk.resolves(service), "its address would lead into the VPN");
    let explained = desk.slipway(&["explain", service]).output().unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains(Vpn::DEVICE), "{explained}");
    session.disconnect();
    assert_eq!(route(), before);
}

fn a_wider_vpn_is_said_to_be_fine(desk: &Desk<'_>) {
    let _vpn = Vpn::new(desk, "10.0.0.0/8");
    let place = ["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"];
    let findings = Attempt::new(desk, &[&["doctor", "--json"][..], &place].concat()).findings(false);
    let ranges = findings.details("range");
    let fine = format!("The wider route 10.0.0.0/8 to {} is fine", Vpn::DEVICE);
    assert!(ranges.iter().all(|range| range.contains(&fine)), "{ranges:?}");
    let session = desk.connect(&place);
    assert!(desk.page("http://web.shop.svc.cluster.local").is_some());
    session.disconnect();
}

/// Runs the doctor of the namespace `shop` as the cluster's administrator, and returns its events.
fn doctor_events(desk: &Desk<'_>) -> Vec<Value> {
    let place = ["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"];
    let arguments = [&["doctor", "--json-lines"][..], &place].concat();
    let output = desk.slipway(&arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns what the doctor knows about the range of the cluster's services.
fn services_of(events: &[Value]) -> Value {
    let facts = events.iter().map(|event| &event["value"]["data"]);
    let mut of_services = facts.filter(|facts| facts["origin"] == "services");
    of_services.next().unwrap().clone()
}

fn a_range_is_told_with_what_overlaps_it(desk: &Desk<'_>) {
    let services = format!("{}/16", desk.bed.addresses().unwrap().services());
    let other = ["profiles", "create", "elsewhere", "--context", "elsewhere"];
    let create = [&other[..], &["--also-proxy", &services]].concat();
    assert!(desk.slipway(&create).output().unwrap().status.success());
    let with_vpn = {
        let _vpn = Vpn::new(desk, &services);
        doctor_events(desk)
    };
    let session = desk.connect(&["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"]);
    let connected = doctor_events(desk);
    let id = session.status().unwrap()["id"].clone();
    session.disconnect();
    let deleted = desk
        .slipway(&["profiles", "delete", "elsewhere"])
        .output()
        .unwrap();
    assert!(deleted.status.success());

    let facts = services_of(&with_vpn);
    assert_eq!(facts["goes_to"], "laptop", "{facts}");
    let vpn = serde_json::json!({
        "net": services, "device": Vpn::DEVICE, "holder": {"is": "routed"}, "wins": true,
    });
    let profile = serde_json::json!({
        "net": services, "device": null, "holder": {"is": "profile", "profile": "elsewhere"}, "wins": false,
    });
    assert_eq!(facts["overlaps"], serde_json::json!([vpn, profile]));
    let layout = with_vpn.iter().find(|event| event["event"] == "layout").unwrap();
    let routes = layout["value"]["routes"].as_array().unwrap();
    assert!(
        routes
            .iter()
            .any(|route| route["net"] == *services && route["device"] == Vpn::DEVICE),
        "{routes:#?}"
    );

    let facts = services_of(&connected);
    assert_eq!(facts["goes_to"], "session", "{facts}");
    assert_eq!(facts["overlaps"][0]["holder"]["session"], id, "{facts}");
}

fn run_shows_the_notes_of_connect(desk: &Desk<'_>) {
    let services = format!("{}/16", desk.bed.addresses().unwrap().services());
    let _vpn = Vpn::new(desk, &services);
    let place = ["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"];
    let run = [&["run", "--agent-grace", "5"], &place[..], &["--", "echo", "ran"]].concat();
    let output = desk.slipway(&run).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Note: ") && said.contains(Vpn::DEVICE), "{said}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "ran\n",
        "the command's own"
    );
}

fn a_broken_profile_is_reported_with_its_position(desk: &Desk<'_>) {
    let folder = "/home/dev/.config/slipway/profiles";
    desk.as_root(
        "install",
        &[
            "-d",
            "-o",
            "2000",
            "-g",
            "2000",
            "/home/dev/.config",
            "/home/dev/.config/slipway",
            folder,
        ],
    );
    let file = LaptopFile::new(desk, "profile", "version = 1\nmethod = \"vpn-tcp\"\ngarce = 5\n");
    let place = format!("{folder}/shop.toml");
    desk.as_root("install", &["-o", "2000", &file.path, &place]);
    let failures = ["connect", "doctor"].map(|command| Attempt::new(desk, &[command, "shop"]).fails(AT_ONCE));
    desk.as_root("rm", &[&place]);
    for failure in failures {
        failure.is(
            "profile-invalid",
            &["shop.toml", "line 3, column 1", "garce"],
            &["Correct the file"],
        );
    }
}
