//! Tests of the rules.

use proptest::prelude::*;

use super::*;
use crate::question::RecordType;

const ZONE: &str = "cluster.local";

fn names(list: &[&str]) -> Vec<Name> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

/// A session in `shop`, in a cluster that also has the namespaces `dev`, `com` and `db`.
fn scope() -> Scope {
    let known = ["shop", "dev", "com", "db"].map(|label| label.parse().unwrap());
    Scope {
        namespaces: Namespaces::Known(known.into()),
        reverse: vec!["10.96.0.0/16".parse().unwrap(), "fd00:96::/32".parse().unwrap()],
        suffixes: names(&["corp.example"]),
        hosts: names(&["db.partner.example"]).into_iter().collect(),
        laptop_search: SearchList {
            domains: names(&["corp.internal", "internal"]),
            ..SearchList::default()
        },
        profile: Some("staging".parse().unwrap()),
        ..Scope::new(ZONE.parse().unwrap(), "shop".parse().unwrap())
    }
}

fn decide(scope: &Scope, name: &str) -> Decision {
    scope
        .classify(&Question::new(name.parse().unwrap(), RecordType::A))
        .decision
}

fn cluster(candidates: &[&str]) -> Decision {
    Decision::Cluster {
        candidates: names(candidates),
    }
}

fn both(order: Order, candidates: &[&str]) -> Decision {
    Decision::Both {
        candidates: names(candidates),
        order,
    }
}

#[test]
fn every_form_of_a_service_expands_to_its_full_name() {
    let scope = scope();
    let full = "web.shop.svc.cluster.local";
    assert_eq!(decide(&scope, "web"), both(Order::ClusterFirst, &[full]));
    assert_eq!(decide(&scope, "WEB"), both(Order::ClusterFirst, &[full]));
    assert_eq!(
        decide(&scope, "web.shop"),
        both(Order::Together, &[full, "web.shop.shop.svc.cluster.local"])
    );
    assert_eq!(decide(&scope, "web.shop.svc"), cluster(&[full]));
    assert_eq!(decide(&scope, full), cluster(&[full]));
    assert_eq!(decide(&scope, "cluster.local"), cluster(&[ZONE]));
}

#[test]
fn names_are_looked_up_in_the_users_namespaces_too() {
    let scope = Scope {
        also_namespaces: vec!["test".parse().unwrap(), "dev".parse().unwrap()],
        ..scope()
    };
    let of = |name: &str| ["shop", "test", "dev"].map(|namespace| format!("{name}.{namespace}.svc.{ZONE}"));
    let [shop, test, dev] = &of("web");
    assert_eq!(
        decide(&scope, "web"),
        both(Order::ClusterFirst, &[shop, test, dev]),
        "the session's namespace comes first"
    );
    let [shop, test, dev] = &of("db-0.data");
    assert_eq!(
        decide(&scope, "db-0.data"),
        both(
            Order::LaptopFirst,
            &[shop, test, dev, "db-0.data.svc.cluster.local"]
        )
    );
    let hidden = Scope {
        namespaces: Namespaces::Unknown,
        ..scope.clone()
    };
    assert!(
        matches!(
            decide(&hidden, "web.test"),
            Decision::Both {
                order: Order::Together,
                ..
            }
        ),
        "the user knows them"
    );
    let name = "web".parse().unwrap();
    let elsewhere: Vec<Name> = scope.elsewhere(&name).collect();
    assert_eq!(
        elsewhere,
        names(&["web.com.svc.cluster.local", "web.db.svc.cluster.local"])
    );
}

#[test]
fn another_cluster_domain_is_used_throughout() {
    let scope = Scope::new("k8s.example".parse().unwrap(), "shop".parse().unwrap());
    assert_eq!(
        decide(&scope, "web"),
        both(Order::ClusterFirst, &["web.shop.svc.k8s.example"])
    );
    assert_eq!(
        decide(&scope, "web.shop.svc"),
        cluster(&["web.shop.svc.k8s.example"])
    );
    assert_eq!(
        decide(&scope, "web.shop.svc.k8s.example"),
        cluster(&["web.shop.svc.k8s.example"])
    );
}

#[test]
fn pods_of_headless_services_are_found_in_every_form() {
    let scope = scope();
    let full = "db-0.data.shop.svc.cluster.local";
    assert_eq!(
        decide(&scope, "db-0.data"),
        both(Order::LaptopFirst, &[full, "db-0.data.svc.cluster.local"])
    );
    assert_eq!(decide(&scope, "db-0.data.shop"), both(Order::Together, &[full]));
    assert_eq!(decide(&scope, "db-0.data.shop.svc"), cluster(&[full]));
    // A headless service with the name of a namespace hides no name of either.
    assert_eq!(
        decide(&scope, "db-0.db"),
        both(
            Order::Together,
            &["db-0.db.svc.cluster.local", "db-0.db.shop.svc.cluster.local"]
        )
    );
    assert_eq!(
        decide(&scope, "10-1-2-3.shop.pod"),
        cluster(&["10-1-2-3.shop.pod.cluster.local"])
    );
}

#[test]
fn service_labels_do_not_count_as_dots() {
    let scope = scope();
    assert_eq!(
        decide(&scope, "_http._tcp.web"),
        both(Order::ClusterFirst, &["_http._tcp.web.shop.svc.cluster.local"])
    );
    assert_eq!(
        decide(&scope, "_http._tcp.web.dev"),
        both(
            Order::Together,
            &[
                "_http._tcp.web.dev.svc.cluster.local",
                "_http._tcp.web.dev.shop.svc.cluster.local"
            ]
        )
    );
    assert_eq!(decide(&scope, "_xmpp._tcp.chat.example.org"), Decision::Laptop);
    assert_eq!(decide(&scope, "_dmarc"), Decision::Laptop);
}

#[test]
fn a_namespace_named_like_a_tld_takes_no_public_name() {
    let scope = scope();
    for name in ["shopify.dev", "example.com", "www.shopify.dev", "www.example.com"] {
        let Decision::Both {
            order: Order::Together,
            ..
        } = decide(&scope, name)
        else {
            panic!("{name} has to stay the laptop's if the laptop has it");
        };
    }
    assert_eq!(decide(&scope, "a.dev.svc"), cluster(&["a.dev.svc.cluster.local"]));
    assert_eq!(decide(&scope, "a.b.example.com"), Decision::Laptop);
    assert_eq!(decide(&scope, "www.example.org"), Decision::Laptop);
    assert_eq!(
        decide(&scope, "org"),
        both(Order::ClusterFirst, &["org.shop.svc.cluster.local"])
    );
    let (ds, dnskey) = (RecordType(43), RecordType(48));
    for kind in [RecordType::NS, RecordType::SOA, ds, dnskey] {
        let question = Question::new("com".parse().unwrap(), kind);
        assert_eq!(scope.classify(&question).decision, Decision::Laptop, "{kind}");
    }
}

#[test]
fn every_form_works_without_a_list_of_namespaces() {
    let scope = Scope {
        namespaces: Namespaces::Unknown,
        ..scope()
    };
    assert_eq!(
        decide(&scope, "web.other"),
        both(
            Order::LaptopFirst,
            &["web.other.shop.svc.cluster.local", "web.other.svc.cluster.local"]
        )
    );
    assert_eq!(
        decide(&scope, "db-0.data.other"),
        both(Order::LaptopFirst, &["db-0.data.other.svc.cluster.local"])
    );
    let Decision::Both {
        order: Order::Together,
        ..
    } = decide(&scope, "web.shop")
    else {
        panic!("the session's own namespace is known in any case");
    };
}

#[test]
fn search_domains_of_the_laptop_do_not_break_cluster_names() {
    let scope = scope();
    let stripped = both(Order::Searched, &["web.shop.svc.cluster.local"]);
    assert_eq!(decide(&scope, "web.corp.internal"), stripped);
    let Decision::Both { candidates, order } = decide(&scope, "web.internal") else {
        panic!("both sides may have it")
    };
    assert_eq!(order, Order::Searched);
    assert!(candidates.contains(&"web.shop.svc.cluster.local".parse().unwrap()));
    assert_eq!(
        decide(&scope, "_http._tcp.web.corp.internal"),
        both(Order::Searched, &["_http._tcp.web.shop.svc.cluster.local"])
    );
    // Resolvers also ask for a name with dots as it is, and `a.dev` is then the laptop's if the laptop has it.
    assert_eq!(decide(&scope, "web.shop.corp.internal"), Decision::Laptop);
    assert_eq!(decide(&scope, "a.dev.corp.internal"), Decision::Laptop);
    for name in [
        "web.shop.svc.corp.internal",
        "web.shop.svc.cluster.local.corp.internal",
    ] {
        assert_eq!(
            decide(&scope, name),
            cluster(&["web.shop.svc.cluster.local"]),
            "{name}"
        );
    }
    assert_eq!(decide(&scope, "corp.internal.example"), Decision::Laptop);
    assert_eq!(decide(&scope, "a.b.wiki.corp.internal"), Decision::Laptop);
}

#[test]
fn the_users_hosts_and_suffixes_reach_the_cluster_as_is() {
    let scope = scope();
    assert_eq!(
        decide(&scope, "db.partner.example"),
        cluster(&["db.partner.example"])
    );
    assert_eq!(decide(&scope, "www.partner.example"), Decision::Laptop);
    assert_eq!(decide(&scope, "a.b.corp.example"), cluster(&["a.b.corp.example"]));
    assert_eq!(
        decide(&scope, "xcorp.example"),
        both(
            Order::LaptopFirst,
            &[
                "xcorp.example.shop.svc.cluster.local",
                "xcorp.example.svc.cluster.local"
            ],
        )
    );
}

#[test]
fn only_reverse_names_of_cluster_ranges_reach_the_cluster() {
    let scope = scope();
    for (address, ours) in [
        ("10.96.3.4", true),
        ("10.97.0.1", false),
        ("fd00:96::7", true),
        ("::1", false),
    ] {
        let name = Name::of_address(address.parse().unwrap());
        let expected = if ours {
            Decision::Cluster {
                candidates: vec![name.clone()],
            }
        } else {
            Decision::Laptop
        };
        assert_eq!(
            scope.classify(&Question::new(name, RecordType::PTR)).decision,
            expected,
            "{address}"
        );
    }
}

#[test]
fn names_of_our_own_are_never_ambiguous() {
    let scope = scope();
    assert_eq!(decide(&scope, "check.slipway.internal"), Decision::Us(Own::Check));
    assert_eq!(decide(&scope, "slipway.internal"), Decision::Us(Own::Empty));
    assert_eq!(
        decide(&scope, "staging.slipway.internal"),
        Decision::Us(Own::Empty)
    );
    assert_eq!(
        decide(&scope, "web.staging.slipway.internal"),
        cluster(&["web.shop.svc.cluster.local"])
    );
    assert_eq!(
        decide(&scope, "web.dev.svc.staging.slipway.internal"),
        cluster(&["web.dev.svc.cluster.local"])
    );
    assert_eq!(
        decide(&scope, "www.example.org.staging.slipway.internal"),
        cluster(&["www.example.org"])
    );
    assert_eq!(
        scope.classify(&Question::new(
            "web.prod.slipway.internal".parse().unwrap(),
            RecordType::A
        )),
        Ruling::new(Rule::OtherProfile, Decision::Refuse(RefusedQuestion::NoSuchName))
    );
}

#[test]
fn special_names_and_questions_keep_their_meaning() {
    let scope = scope();
    assert_eq!(decide(&scope, "localhost"), Decision::Laptop);
    assert_eq!(decide(&scope, "web.localhost"), Decision::Laptop);
    assert_eq!(decide(&scope, "."), Decision::Laptop);
    assert_eq!(
        decide(&scope, "example.invalid"),
        Decision::Refuse(RefusedQuestion::NoSuchName)
    );
    let transfer = Question::new("cluster.local".parse().unwrap(), RecordType(252));
    assert_eq!(
        scope.classify(&transfer).decision,
        Decision::Refuse(RefusedQuestion::Transfer)
    );
    let chaos = Question {
        class: 3,
        ..Question::new("version.bind".parse().unwrap(), RecordType::TXT)
    };
    assert_eq!(scope.classify(&chaos).decision, Decision::Laptop);
}

proptest! {
    #[test]
    fn expansion_never_leaves_the_cluster_domain(name in "[a-z_.-]{1,80}", kind: u16, known: bool) {
        let mut scope = Scope { suffixes: Vec::new(), hosts: BTreeSet::new(), profile: None, ..scope() };
        if !known {
            scope.namespaces = Namespaces::Unknown;
        }
        if let Ok(name) = name.parse::<Name>()
            && let Decision::Cluster { candidates } | Decision::Both { candidates, .. } =
                scope.classify(&Question::new(name, RecordType(kind))).decision
        {
            prop_assert!(!candidates.is_empty());
            for candidate in candidates {
                prop_assert!(candidate.is_within(&scope.cluster_domain), "{candidate}");
            }
        }
    }

    #[test]
    fn any_name_of_any_length_is_classified(wire in proptest::collection::vec(any::<u8>(), 1..300)) {
        if let Ok(name) = Name::from_wire(&wire) {
            let _ = scope().classify(&Question::new(name, RecordType::A));
        }
    }
}

#[test]
fn names_that_the_laptop_needs_itself_are_never_shared() {
    let scope = Scope {
        reserved: names(&["laptop", "router.home"]).into_iter().collect(),
        needed: names(&["k8s-api"]).into_iter().collect(),
        ..scope()
    };
    for name in [
        "wpad",
        "ISATAP",
        "proxy",
        "laptop",
        "k8s-api",
        "router.home",
        "wpad.internal",
    ] {
        assert_eq!(decide(&scope, name), Decision::Laptop, "{name}");
    }
    let full = "proxy.shop.svc.cluster.local";
    assert_eq!(
        decide(&scope, "proxy.shop.svc"),
        cluster(&[full]),
        "a name that ends in `svc` is the cluster's"
    );
    assert!(
        matches!(decide(&scope, "proxy.shop"), Decision::Both { .. }),
        "systems do not look for a proxy by this name"
    );
}

#[test]
fn a_users_suffix_does_not_take_what_the_session_needs() {
    let scope = Scope {
        suffixes: names(&["corp.example"]),
        hosts: names(&["proxy.example"]).into_iter().collect(),
        needed: names(&["api.corp.example", "proxy.example"])
            .into_iter()
            .collect(),
        ..scope()
    };
    for name in ["api.corp.example", "API.corp.example", "proxy.example"] {
        assert_eq!(decide(&scope, name), Decision::Laptop, "{name}");
    }
    let other = "db.corp.example";
    assert_eq!(decide(&scope, other), cluster(&[other]));
}

#[test]
fn a_users_suffix_does_not_take_a_needed_short_name() {
    let scope = Scope {
        suffixes: names(&["corp.internal"]),
        hosts: names(&["squid.lan"]).into_iter().collect(),
        needed: names(&["squid", "api.k8s"]).into_iter().collect(),
        laptop_search: SearchList {
            domains: names(&["corp.internal", "lan"]),
            ndots: 1,
        },
        ..scope()
    };
    for name in [
        "squid",
        "squid.corp.internal",
        "SQUID.lan",
        "api.k8s.corp.internal",
    ] {
        assert_eq!(decide(&scope, name), Decision::Laptop, "{name}");
    }
    for other in ["db.corp.internal", "squid.x.corp.internal", "k8s.corp.internal"] {
        assert_eq!(decide(&scope, other), cluster(&[other]));
    }
}

#[test]
fn our_search_domains_do_not_bypass_reserved_names() {
    let mut scope = Scope {
        needed: names(&["k8s-api"]).into_iter().collect(),
        ..scope()
    };
    let searched = ["wpad.shop.svc.cluster.local", "k8s-api.svc.cluster.local"];
    for name in searched {
        assert_eq!(
            decide(&scope, name),
            cluster(&[name]),
            "{name} was written in full"
        );
    }
    scope.our_search = names(&["shop.svc.cluster.local", "svc.cluster.local"]);
    for name in searched {
        assert_eq!(
            decide(&scope, name),
            Decision::Refuse(RefusedQuestion::NoSuchName),
            "{name}"
        );
    }
    let full = "wpad.shop.svc.cluster.local";
    assert_eq!(decide(&scope, "wpad.shop.svc"), cluster(&[full]));
    assert_eq!(
        decide(&scope, "web.shop.svc.cluster.local"),
        cluster(&["web.shop.svc.cluster.local"])
    );
}

#[test]
fn a_doubtful_domain_leaves_names_below_it_alone() {
    let scope = Scope {
        domain_is_doubtful: true,
        ..Scope::new("com".parse().unwrap(), "shop".parse().unwrap())
    };
    for name in ["github.com", "web.shop.svc.com", "com"] {
        assert_eq!(decide(&scope, name), Decision::Laptop, "{name}");
    }
    assert_eq!(decide(&scope, "web.shop.svc"), cluster(&["web.shop.svc.com"]));
    assert_eq!(
        decide(&scope, "web"),
        both(Order::ClusterFirst, &["web.shop.svc.com"])
    );
}
