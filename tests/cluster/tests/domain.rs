//! Clusters with a domain other than `cluster.local`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slipway_cluster_tests::lookups::Lookup;
use slipway_cluster_tests::{Bed, BedName, Desk, LaptopKind, Silent, with_laptop_of};

const DOMAIN: &str = "k8s.corp.example";

/// The kubelet gives every pod the domain, and the cluster's DNS answers for it instead of `cluster.local`. So the test
/// needs its own bed.
#[test]
#[ignore = "needs root"]
fn names_of_a_cluster_with_another_domain_are_found() {
    let name = BedName::of_tests().unwrap().beside("domain").unwrap();
    let bed = Gone(Bed::up_with_domain(&name, DOMAIN, &mut Silent).unwrap());
    for kind in [LaptopKind::Plain, LaptopKind::Resolved] {
        with_laptop_of(&bed.0, kind, names_are_found);
    }
    with_laptop_of(
        &bed.0,
        LaptopKind::Plain,
        a_domain_of_the_laptop_is_not_the_clusters,
    );
}

/// A laptop whose search domain contains the cluster's domain.
struct Searching<'a>(&'a Desk<'a>, String);

impl<'a> Searching<'a> {
    fn begin(desk: &'a Desk<'a>, search: &str) -> Self {
        let before = desk.text("cat", &["/etc/resolv.conf"]);
        let server = before
            .lines()
            .find(|line| line.starts_with("nameserver"))
            .unwrap();
        desk.laptop
            .write("/etc/resolv.conf", &format!("{server}\nsearch {search}\n"))
            .unwrap();
        Self(desk, before)
    }
}

impl Drop for Searching<'_> {
    fn drop(&mut self) {
        self.0.laptop.write("/etc/resolv.conf", &self.1).unwrap();
    }
}

fn a_domain_of_the_laptop_is_not_the_clusters(desk: &Desk<'_>) {
    let full = format!("web.shop.svc.{DOMAIN}");
    let _searching = Searching::begin(desk, "corp.example");
    let session = desk.connect(&[]);
    assert!(!desk.resolves(&full), "{full} stays the laptop's");
    for form in ["web", "web.shop.svc"] {
        assert!(desk.resolves(form), "{form}");
    }
    let status = session.status().unwrap().to_string();
    assert!(status.contains("cluster-domain-doubtful"), "{status}");
    session.disconnect();

    let session = desk.connect(&["--cluster-domain", DOMAIN]);
    for form in ["web", "web.shop.svc", &full] {
        assert!(desk.resolves(form), "{form} by the user's word");
    }
    session.disconnect();
}

fn names_are_found(desk: &Desk<'_>) {
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let full = format!("web.shop.svc.{DOMAIN}");
    let forms = ["web", "web.shop", "web.shop.svc", &full];
    let page = format!("http://{full}");
    let unreachable = |when: &str| {
        for form in forms {
            assert!(!desk.resolves(form), "{form} resolves {when}");
        }
        assert_eq!(desk.page(&page), None, "{when}");
    };
    unreachable("before");
    // The second session reuses the agent of the first, which must report the domain again.
    for agent in ["a new agent", "the agent of the last session"] {
        let session = desk.connect(&["--agent-grace", "60"]);
        for lookup in Lookup::all() {
            for form in forms {
                assert_eq!(
                    lookup.addresses(desk, form),
                    web,
                    "{}: {form} by {agent}",
                    lookup.by
                );
            }
        }
        assert!(desk.page(&page).is_some(), "by {agent}");
        assert!(
            !desk.resolves("web.shop.svc.cluster.local"),
            "the cluster does not know it"
        );
        session.disconnect();
        unreachable("after");
    }
    let agents = desk.kubectl(&["--namespace", "shop", "get", "jobs", "--output=name"]);
    let of_this_laptop = agents.lines().count();
    assert_eq!(
        of_this_laptop,
        if desk.laptop.kind() == LaptopKind::Plain {
            1
        } else {
            2
        },
        "the agent was kept: {agents}"
    );
}

/// A bed that is taken down when this is dropped.
struct Gone(Bed);

impl Drop for Gone {
    fn drop(&mut self) {
        Bed::down(self.0.name()).unwrap();
    }
}
