//! The laptop's own name servers: a session follows their changes, and programs ask them as without a session.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use slipway_cluster_tests::lookups::Lookup;
use slipway_cluster_tests::{
    Desk, NameServer, on_each_laptop, on_the_plain_laptop, on_the_resolved_laptop, until_within,
};

on_the_plain_laptop!(
    other_name_servers_count_within_five_seconds,
    name_servers_keep_their_order,
    a_lookup_takes_no_longer_than_without_a_session,
);
on_each_laptop!(a_file_that_is_written_every_second_loses_no_name);
on_the_resolved_laptop!(other_servers_of_resolved_lose_no_name);

/// Time within which a change has to count.
const SOON: Duration = Duration::from_secs(5);

/// Addresses of name servers, from ranges for documentation (RFC 5737).
const FIRST: &str = "198.51.100.53";
const SECOND: &str = "198.51.100.54";

const PUBLIC: (&str, &str) = ("www.public.test", "203.0.113.10");

/// Returns whether getaddrinfo finds exactly these addresses.
fn finds(desk: &Desk<'_>, names: &[(&str, &str)]) -> bool {
    let lookup = Lookup::getaddrinfo();
    names
        .iter()
        .all(|(name, address)| lookup.addresses(desk, name) == *address)
}

fn other_name_servers_count_within_five_seconds(desk: &Desk<'_>) {
    let conf = ResolvConf::keep(desk);
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let home = [("web", &*web), ("web.shop", &web), PUBLIC];
    let _server = NameServer::start(
        desk,
        FIRST,
        &["public.example=203.0.113.17", "other.lan=203.0.113.20"],
    );
    let own = [("public.example", "203.0.113.17"), ("other", "203.0.113.20")];
    let away = [("web", &*web), ("web.shop", &web), own[0], own[1]];
    let text = format!("nameserver {FIRST}\nsearch lan\n");
    conf.write(&text);
    assert!(finds(desk, &own), "without a session");
    assert!(!finds(desk, &[("web.shop", &web)]), "not found before");
    conf.write(&conf.own);

    let session = desk.connect(&[]);
    assert!(finds(desk, &home));
    let ways = [
        ("written", WRITE),
        ("renamed", RENAME),
        ("a link", LINK),
        ("in a folder that was replaced", FOLDER),
    ];
    for (way, script) in ways {
        conf.change(script, &text);
        until_within(SOON, way, || finds(desk, &away)).unwrap();
        conf.change(script, &conf.own);
        until_within(SOON, &format!("{way}, and back"), || finds(desk, &home)).unwrap();
    }
    conf.write(&text);
    until_within(SOON, "written", || finds(desk, &away)).unwrap();
    session.disconnect();
    assert_eq!(
        desk.text("cat", &["/etc/resolv.conf"]),
        text,
        "what the laptop wrote stays"
    );
    assert!(finds(desk, &own) && !finds(desk, &[("web.shop", &web)]));
}

/// Name servers of a company: only the first knows the intranet, and it fails for one name.
fn company<'a>(desk: &'a Desk<'a>) -> (NameServer<'a>, NameServer<'a>) {
    let first = [
        "intranet.corp.example=203.0.113.31",
        "public.example=203.0.113.17",
        "broken.example=servfail",
    ];
    let second = ["public.example=203.0.113.17", "broken.example=203.0.113.32"];
    (
        NameServer::start(desk, FIRST, &first),
        NameServer::start(desk, SECOND, &second),
    )
}

const INTRANET: (&str, &str) = ("intranet.corp.example", "203.0.113.31");
const ANYWHERE: (&str, &str) = ("public.example", "203.0.113.17");
const BROKEN: (&str, &str) = ("broken.example", "203.0.113.32");

fn name_servers_keep_their_order(desk: &Desk<'_>) {
    let conf = ResolvConf::keep(desk);
    let (first, _second) = company(desk);
    conf.write(&format!(
        "nameserver {FIRST}\nnameserver {SECOND}\noptions timeout:1\n"
    ));
    let order_holds = |when: &str| {
        assert!(finds(desk, &[INTRANET]), "{when}");
        assert!(finds(desk, &[BROKEN]), "{when}: the second server has it");
        assert!(finds(desk, &[INTRANET]), "{when}: after a failure");
        let silent = first.freeze();
        assert!(finds(desk, &[ANYWHERE]), "{when}: the first server is silent");
        drop(silent);
        assert!(finds(desk, &[INTRANET]), "{when}: after a silence");
    };
    order_holds("without a session");
    let session = desk.connect(&[]);
    order_holds("with a session");
    session.disconnect();
}

fn a_lookup_takes_no_longer_than_without_a_session(desk: &Desk<'_>) {
    let conf = ResolvConf::keep(desk);
    let (first, _second) = company(desk);
    let lookup = Lookup::getaddrinfo();
    for options in ["timeout:1 attempts:1", "timeout:2"] {
        conf.write(&format!(
            "nameserver {FIRST}\nnameserver {SECOND}\noptions {options}\n"
        ));
        let with_a_silent_server = || {
            let _silent = first.freeze();
            lookup.find(desk, ANYWHERE.0)
        };
        let without = with_a_silent_server();
        let session = desk.connect(&[]);
        let with = with_a_silent_server();
        session.disconnect();
        assert_eq!(with.addresses, without.addresses, "{options}");
        assert!(
            with.took < without.took + Duration::from_millis(500),
            "{options}: {:?} instead of {:?}",
            with.took,
            without.took
        );
    }
}

fn a_file_that_is_written_every_second_loses_no_name(desk: &Desk<'_>) {
    let conf = ResolvConf::keep(desk);
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let names = [("web.shop.svc", &*web), ("web.shop", &web), PUBLIC];
    let session = desk.connect(&[]);
    for second in 0..6 {
        conf.change(RENAME, &format!("# written in second {second}\n{}", conf.own));
        std::thread::sleep(Duration::from_secs(1));
        assert!(finds(desk, &names), "second {second}");
    }
    session.disconnect();
    assert!(finds(desk, &[PUBLIC]) && !finds(desk, &[("web.shop", &web)]));
}

fn other_servers_of_resolved_lose_no_name(desk: &Desk<'_>) {
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let node = desk.laptop.node().to_string();
    let _reverted = Reverted(desk);
    let admin = ["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"];
    let session = desk.connect(&admin);
    let names = [("web.shop.svc", &*web), ("web.shop", &web), PUBLIC];
    assert!(finds(desk, &names));
    desk.as_root("resolvectl", &["dns", "eth0", &node]);
    desk.as_root("resolvectl", &["domain", "eth0", "lan"]);
    // Longer than the session takes to notice it.
    std::thread::sleep(SOON);
    assert!(finds(desk, &names));
    until_within(SOON, "the domains of namespaces are set", || {
        desk.text("resolvectl", &["domain"]).contains("~shop-test")
    })
    .unwrap();
    session.disconnect();
    assert!(!finds(desk, &[("web.shop", &web)]) && finds(desk, &[PUBLIC]));
}

/// The laptop's `/etc/resolv.conf`, restored when this is dropped.
struct ResolvConf<'a> {
    desk: &'a Desk<'a>,
    own: String,
    /// Target, if it is a link.
    link: Option<String>,
}

impl<'a> ResolvConf<'a> {
    fn keep(desk: &'a Desk<'a>) -> ResolvConf<'a> {
        let link = desk.output("readlink", &["/etc/resolv.conf"]);
        let link = String::from_utf8(link.stdout).unwrap().trim().to_owned();
        ResolvConf {
            desk,
            own: desk.text("cat", &["/etc/resolv.conf"]),
            link: (!link.is_empty()).then_some(link),
        }
    }

    /// Writes the file, through a link if it is one.
    fn write(&self, text: &str) {
        self.change(WRITE, text);
    }

    /// Changes the file by one of the scripts.
    fn change(&self, script: &str, text: &str) {
        self.desk.as_root("sh", &["-c", script, "change", text]);
    }
}

/// Script that writes `/etc/resolv.conf`, through a link if it is one.
const WRITE: &str = r#"printf %s "$1" > /etc/resolv.conf"#;

/// Script that replaces it.
const RENAME: &str = r#"printf %s "$1" > /etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf"#;

/// Script that makes it a link to another file.
const LINK: &str = r#"t=$(mktemp -d /run/slipway-test-XXXXXX) && chmod 755 $t && printf %s "$1" > $t/resolv.conf \
    && ln -sfn $t/resolv.conf /etc/resolv.conf"#;

/// Script that makes it a link into a folder, and replaces the folder.
const FOLDER: &str = r#"d=/run/slipway-test-net; mkdir -p $d $d.new && printf %s "$1" > $d.new/resolv.conf \
    && rm -rf $d && mv $d.new $d && ln -sfn $d/resolv.conf /etc/resolv.conf"#;

impl Drop for ResolvConf<'_> {
    fn drop(&mut self) {
        match &self.link {
            Some(target) => {
                self.desk
                    .output_as_root("ln", &["-sfn", target, "/etc/resolv.conf"]);
            }
            None => self.desk.laptop.write("/etc/resolv.conf", &self.own).unwrap(),
        }
        self.desk
            .output_as_root("sh", &["-c", "rm -rf /run/slipway-test-*", "clean"]);
    }
}

/// Settings of systemd-resolved for the laptop's device, removed when this is dropped.
struct Reverted<'a>(&'a Desk<'a>);

impl Drop for Reverted<'_> {
    fn drop(&mut self) {
        self.0.output_as_root("resolvectl", &["revert", "eth0"]);
    }
}
