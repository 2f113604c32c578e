//! Tests of the judgment and its words: each sentence from facts.

use super::super::{Endpoints, Unread};
use super::*;
use crate::list::{Access, Service};

fn port(number: u16, protocol: &str) -> Port {
    Port {
        name: Some(format!("p{number}")),
        port: number,
        protocol: protocol.into(),
        target: Some("http".into()),
    }
}

/// A service `web` in namespace `shop`, with two ready pods.
fn web() -> Backing {
    Backing {
        namespace_exists: Some(true),
        exists: Some(true),
        service: Some(Service {
            namespace: "shop".into(),
            name: "web".into(),
            kind: "ClusterIP".into(),
            addresses: vec!["10.96.0.7".into()],
            external_name: None,
            ports: vec![port(80, "TCP")],
        }),
        selector: vec!["app=web".into()],
        endpoints: Some(Endpoints {
            ready: 2,
            ports: Some(vec!["p80".into()]),
            ..Endpoints::default()
        }),
        ..Backing::unknown("web", "shop", None)
    }
}

fn headless() -> Backing {
    let mut backing = web();
    backing.service.as_mut().unwrap().addresses.clear();
    backing
}

fn none_ready(mut backing: Backing, not_ready: usize) -> Backing {
    backing.endpoints = Some(Endpoints {
        not_ready,
        ..Endpoints::default()
    });
    backing
}

fn replicas(wanted: i32) -> Option<Replicas> {
    Some(Replicas {
        kind: WorkloadKind::Deployment,
        name: "web".into(),
        wanted,
        ready: 0,
    })
}

fn missing() -> Backing {
    Backing {
        namespace_exists: Some(true),
        exists: Some(false),
        ..Backing::unknown("web", "shop", None)
    }
}

fn said(backing: &Backing, port: Option<u16>) -> String {
    let words = [backing.cause(port), backing.remedy(port)];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_service_that_serves_needs_no_words() {
    for port in [None, Some(80)] {
        assert_eq!(web().verdict(port), BackingVerdict::Serves);
        assert_eq!(said(&web(), port), "");
    }
}

#[test]
fn a_missing_port_is_named_beside_those_that_exist() {
    assert_eq!(
        said(&web(), Some(8080)),
        "Service `web` has no port 8080; it has 80/TCP. Use a port of the service."
    );
    let mut udp = web();
    udp.service.as_mut().unwrap().ports = vec![port(53, "UDP"), port(80, "TCP")];
    assert_eq!(
        said(&udp, Some(53)),
        "Service `web` has no port 53/TCP; it has 53/UDP, 80/TCP. Use a port of the service."
    );
}

#[test]
fn a_headless_service_lets_every_port_pass() {
    assert_eq!(headless().verdict(Some(8080)), BackingVerdict::Serves);
}

#[test]
fn a_service_without_pods_says_why() {
    let mut backing = none_ready(web(), 0);
    backing.workload = replicas(0);
    assert_eq!(
        said(&backing, None),
        "No pod stands behind service `web`: deployment `web` is scaled to 0. Scale it up, for example with `kubectl \
         --namespace shop scale deployment/web --replicas 1`."
    );
    backing.workload = replicas(2);
    assert_eq!(
        said(&backing, None),
        "No pod stands behind service `web`: 0 of 2 pods of deployment `web` are ready. `kubectl --namespace shop get pods \
         --selector app=web` shows its pods."
    );
    backing.workload = None;
    assert_eq!(
        backing.cause(None).unwrap(),
        "No pod stands behind service `web`: it selects pods with the labels `app=web`."
    );
    backing.selector.clear();
    assert_eq!(
        said(&backing, None),
        "No pod stands behind service `web`: the service selects no pods, and it has no other endpoints. `kubectl \
         --namespace shop describe service web` shows it."
    );
}

#[test]
fn pods_that_are_not_ready_are_counted() {
    assert_eq!(
        none_ready(web(), 2).cause(None).unwrap(),
        "Connections to service `web` fail: none of the 2 pods behind it is ready."
    );
    assert_eq!(
        none_ready(web(), 1).cause(None).unwrap(),
        "Connections to service `web` fail: the only pod behind it is not ready."
    );
}

#[test]
fn a_headless_service_without_ready_pods_has_no_name() {
    assert_eq!(
        none_ready(headless(), 2).cause(None).unwrap(),
        "Service `web` is headless, and none of the 2 pods behind it is ready. The cluster's DNS then answers that the name \
         does not exist."
    );
    let mut scaled = none_ready(headless(), 0);
    scaled.workload = replicas(0);
    assert_eq!(
        scaled.cause(None).unwrap(),
        "Service `web` is headless, and no pod stands behind it: deployment `web` is scaled to 0. The cluster's DNS then \
         answers that the name does not exist."
    );
}

#[test]
fn a_pod_of_a_service_is_judged_by_itself() {
    let mut backing = headless();
    backing.pod = Some("web-7".into());
    assert_eq!(backing.cause(None).unwrap(), "Service `web` has no pod `web-7`.");
    let endpoints = backing.endpoints.as_mut().unwrap();
    endpoints.pod_is_ready = Some(false);
    assert_eq!(
        backing.cause(None).unwrap(),
        "Pod `web-7` of service `web` is not ready. The cluster's DNS then answers that the name does not exist."
    );
    backing.endpoints.as_mut().unwrap().pod_is_ready = Some(true);
    assert_eq!(backing.cause(None), None);
}

#[test]
fn a_port_that_leads_nowhere_is_named() {
    let mut backing = web();
    backing.endpoints.as_mut().unwrap().ports = Some(Vec::new());
    let cause = "No pod behind service `web` has the port to which port 80 (`targetPort: http`) leads.";
    for port in [None, Some(80)] {
        assert_eq!(backing.cause(port).unwrap(), cause);
    }
}

#[test]
fn a_service_in_another_namespace_is_named() {
    let mut backing = missing();
    backing.elsewhere = vec!["dev".into()];
    assert_eq!(
        said(&backing, None),
        "Namespace `shop` has no service `web`; it exists in namespace `dev`. Did you mean `web.dev.svc`?"
    );
    backing.elsewhere.push("test".into());
    assert!(said(&backing, None).contains("it exists in namespaces `dev`, `test`."));
}

#[test]
fn a_missing_namespace_is_named_beside_a_similar_one() {
    let mut backing = missing();
    backing.namespace_exists = Some(false);
    assert_eq!(
        said(&backing, None),
        "There is no namespace `shop` in this cluster. `slipway list namespaces` shows the namespaces."
    );
    backing.near_namespace = Some("shop-test".into());
    assert!(said(&backing, None).ends_with("Did you mean namespace `shop-test`?"));
}

#[test]
fn a_missing_service_has_a_similar_one() {
    assert_eq!(said(&missing(), None), "");
    let mut backing = missing();
    backing.near = Some("web2".into());
    assert_eq!(said(&backing, None), "Did you mean `web2.shop`?");
}

#[test]
fn an_alias_names_its_target() {
    let mut backing = headless();
    backing.service.as_mut().unwrap().external_name = Some("mail.example".into());
    assert_eq!(
        said(&backing, Some(25)),
        "Service `web` is an alias of `mail.example`."
    );
}

#[test]
fn what_could_not_be_read_is_not_judged() {
    let forbidden = |verb, group, resource| Unread {
        access: Access::within("shop", verb, group, resource),
        reason: None,
    };
    let mut backing = Backing::unknown("web", "shop", None);
    backing.unread = vec![forbidden("list", "", "services")];
    assert_eq!(backing.verdict(Some(80)), BackingVerdict::Unknown);
    assert_eq!(said(&backing, Some(80)), "");
    assert_eq!(
        backing.steps(),
        ["Not looked at: you may not list services in namespace shop"]
    );
    let mut backing = web();
    backing.endpoints = None;
    backing.unread = vec![Unread {
        reason: Some("the API server did not answer within 2 s".into()),
        ..forbidden("list", "discovery.k8s.io", "endpointslices")
    }];
    assert_eq!(backing.verdict(None), BackingVerdict::Unknown);
    assert_eq!(
        backing.steps(),
        [
            "Service `web` in namespace `shop`: ClusterIP, 80/TCP",
            "Not looked at (list endpointslices): the API server did not answer within 2 s"
        ]
    );
}
