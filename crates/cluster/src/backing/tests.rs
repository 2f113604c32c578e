//! Tests of reading, against a scripted API server.

use serde_json::{Value, json};
use slipway_control_api::{BackingVerdict, NameOutcome, NameRule, NameVerdict, Said};

use super::*;
use slipway_scripted_api::{Script, list as list_of, rbac};

const NAMESPACES: &str = "/api/v1/namespaces";
const SERVICES: &str = "/api/v1/namespaces/shop/services";
const ALL_SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const APPS: &str = "/apis/apps/v1/namespaces/shop";

fn facts(candidates: &[&str], found: bool) -> NameFacts {
    NameFacts {
        asked: "web".into(),
        search_domain: None,
        namespace: "shop".into(),
        rule: NameRule::Short,
        candidates: candidates.iter().map(|name| (*name).to_owned()).collect(),
        cluster: found.then(|| Said {
            outcome: NameOutcome::Found,
            asked: candidates[0].to_owned(),
            addresses: Vec::new(),
            took_ms: 2,
        }),
        laptop: None,
        verdict: if found {
            NameVerdict::Answered
        } else {
            NameVerdict::Nowhere
        },
        near: None,
        withheld: None,
        refused: None,
    }
}

fn namespaces(names: &[&str]) -> Value {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name}}))
        .collect();
    list_of("NamespaceList", "v1", &items)
}

fn service(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "selector": {"app": name},
                 "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    })
}

fn slice(endpoints: &[Value]) -> Value {
    let slice = json!({
        "addressType": "IPv4", "metadata": {"name": "web-x"}, "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    });
    list_of("EndpointSliceList", "discovery.k8s.io/v1", &[slice])
}

fn endpoint(name: &str, is_ready: bool) -> Value {
    json!({"addresses": ["10.244.0.5"], "hostname": name, "conditions": {"ready": is_ready},
           "targetRef": {"kind": "Pod", "name": name, "uid": name}})
}

/// An API server with namespaces `shop` and `dev`, and these services in `shop`.
fn cluster(services: &[Value]) -> Script {
    Script::new()
        .on("GET", NAMESPACES, 200, namespaces(&["shop", "dev"]))
        .on("GET", SERVICES, 200, list_of("ServiceList", "v1", services))
}

/// Returns the permissions that were missing.
fn unread(backing: &Backing) -> Vec<String> {
    let unread = backing.unread.iter();
    unread.map(|unread| unread.access.to_string()).collect()
}

#[tokio::test]
async fn a_service_is_read_with_its_endpoints() {
    let endpoints = [endpoint("a", true), endpoint("b", false), endpoint("a", true)];
    let script = cluster(&[service("web", "10.96.0.7")]).on("GET", SLICES, 200, slice(&endpoints));
    let backing = read(&script.client(), &facts(&["web.shop.svc.cluster.local"], true))
        .await
        .unwrap();
    let counted = backing.endpoints.clone().unwrap();
    assert_eq!(
        (counted.ready, counted.not_ready),
        (1, 1),
        "a pod of two slices counts once"
    );
    assert_eq!(counted.ports, Some(vec!["http".to_owned()]));
    assert_eq!(backing.selector, ["app=web"]);
    assert_eq!(backing.unread, []);
    assert_eq!(backing.verdict(Some(80)), BackingVerdict::Serves);
    assert_eq!(backing.verdict(Some(8080)), BackingVerdict::NoPort);
    let asked = &script.seen("GET", SLICES)[0].query;
    assert!(asked.contains("kubernetes.io%2Fservice-name%3Dweb"), "{asked}");
}

#[tokio::test]
async fn a_workload_that_is_scaled_to_0_is_found() {
    let template = |labels: Value| json!({"metadata": {"labels": labels}, "spec": {"containers": []}});
    let deployment = |name: &str, labels: Value| {
        json!({"metadata": {"name": name, "namespace": "shop"},
               "spec": {"replicas": 0, "selector": {}, "template": template(labels)}})
    };
    let deployments = [
        deployment("other", json!({"app": "other"})),
        deployment("web", json!({"app": "web", "tier": "front"})),
    ];
    let empty = |kind: &str| list_of(kind, "apps/v1", &[]);
    let script = cluster(&[service("web", "10.96.0.7")])
        .on("GET", SLICES, 200, slice(&[]))
        .on(
            "GET",
            &format!("{APPS}/deployments"),
            200,
            list_of("DeploymentList", "apps/v1", &deployments),
        )
        .on(
            "GET",
            &format!("{APPS}/statefulsets"),
            200,
            empty("StatefulSetList"),
        )
        .on(
            "GET",
            &format!("{APPS}/daemonsets"),
            403,
            rbac("list", "daemonsets", "apps", "shop"),
        );
    let backing = read(&script.client(), &facts(&["web.shop.svc.cluster.local"], true))
        .await
        .unwrap();
    assert_eq!(backing.verdict(None), BackingVerdict::ScaledToZero);
    assert_eq!(backing.workload.as_ref().unwrap().name, "web");
    assert_eq!(unread(&backing), ["list daemonsets (apps) in namespace shop"]);
}

#[tokio::test]
async fn pods_are_counted_where_endpoints_are_forbidden() {
    let pod = |name: &str, ready: &str, phase: &str| {
        json!({"metadata": {"name": name}, "spec": {"containers": [], "hostname": name},
               "status": {"podIP": "10.244.0.5", "phase": phase, "conditions": [{"type": "Ready", "status": ready}]}})
    };
    let pods = [
        pod("web-0", "True", "Running"),
        pod("web-1", "False", "Running"),
        pod("old", "False", "Failed"),
    ];
    let script = cluster(&[service("web", "None")])
        .on(
            "GET",
            SLICES,
            403,
            rbac("list", "endpointslices", "discovery.k8s.io", "shop"),
        )
        .on("GET", PODS, 200, list_of("PodList", "v1", &pods));
    let of = |name: &str| facts(&[name], false);
    let backing = read(&script.client(), &of("web-1.web.shop.svc.cluster.local"))
        .await
        .unwrap();
    let counted = backing.endpoints.clone().unwrap();
    assert_eq!(
        (counted.ready, counted.not_ready, counted.ports.clone()),
        (1, 1, None)
    );
    assert_eq!(backing.verdict(None), BackingVerdict::PodNotReady);
    assert_eq!(backing.unread, []);
    let asked = &script.seen("GET", PODS)[0].query;
    assert!(asked.contains("app%3Dweb"), "{asked}");
}

#[tokio::test]
async fn what_may_not_be_read_is_named_with_its_permission() {
    let script = Script::new()
        .on("GET", NAMESPACES, 403, rbac("list", "namespaces", "", ""))
        .on("GET", SERVICES, 403, rbac("list", "services", "", "shop"))
        .on(
            "GET",
            &format!("{SERVICES}/web"),
            403,
            rbac("get", "services", "", "shop"),
        );
    let backing = read(&script.client(), &facts(&["web.shop.svc.cluster.local"], true))
        .await
        .unwrap();
    assert_eq!(backing.verdict(Some(80)), BackingVerdict::Unknown);
    assert_eq!(unread(&backing), ["get services in namespace shop"]);
    assert!(backing.unread.iter().all(|unread| unread.reason.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_is_not_waited_for_long() {
    let script = cluster(&[service("web", "10.96.0.7")]).on_never("GET", SLICES);
    let begun = tokio::time::Instant::now();
    let backing = read(&script.client(), &facts(&["web.shop.svc.cluster.local"], true))
        .await
        .unwrap();
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(backing.verdict(None), BackingVerdict::Unknown);
    let reason = backing.unread[0].reason.as_deref();
    assert_eq!(reason, Some("the API server did not answer within 2 s"));
}

#[tokio::test]
async fn a_service_is_found_in_other_namespaces() {
    let elsewhere = json!({"metadata": {"name": "orders", "namespace": "dev"}, "spec": {}});
    let script = cluster(&[service("web", "10.96.0.7")]).on(
        "GET",
        ALL_SERVICES,
        200,
        list_of("ServiceList", "v1", &[elsewhere]),
    );
    let asked = facts(&["orders.shop.svc.cluster.local"], false);
    let backing = read(&script.client(), &asked).await.unwrap();
    assert_eq!(backing.verdict(None), BackingVerdict::Elsewhere);
    assert_eq!(backing.elsewhere, ["dev"]);
    let query = &script.seen("GET", ALL_SERVICES)[0].query;
    assert!(query.contains("metadata.name%3Dorders"), "{query}");

    // Where services of the whole cluster may not be listed, the cluster's DNS may have found one.
    let listing = "list services in the whole cluster";
    let script = cluster(&[]).on("GET", ALL_SERVICES, 403, rbac("list", "services", "", ""));
    let by_dns = NameFacts {
        near: Some("orders.dev.svc.cluster.local".into()),
        ..asked.clone()
    };
    let backing = read(&script.client(), &by_dns).await.unwrap();
    assert_eq!(backing.elsewhere, ["dev"]);
    assert_eq!(unread(&backing), [listing]);
    // Otherwise it is said that nobody looked there.
    let backing = read(&script.client(), &asked).await.unwrap();
    assert_eq!(backing.verdict(None), BackingVerdict::ServiceMissing);
    assert_eq!(unread(&backing), [listing]);
}

#[tokio::test]
async fn a_misspelled_namespace_has_a_similar_one() {
    let in_shpo = "/api/v1/namespaces/shpo/services";
    let script = Script::new()
        .on("GET", NAMESPACES, 200, namespaces(&["shop", "dev"]))
        .on("GET", in_shpo, 200, list_of("ServiceList", "v1", &[]))
        .on("GET", SERVICES, 200, list_of("ServiceList", "v1", &[]))
        .on(
            "GET",
            "/api/v1/namespaces/org/services",
            200,
            list_of("ServiceList", "v1", &[]),
        )
        .on("GET", ALL_SERVICES, 200, list_of("ServiceList", "v1", &[]));
    let client = script.client();
    let backing = read(&client, &facts(&["web.shpo.svc.cluster.local"], false))
        .await
        .unwrap();
    assert_eq!(backing.verdict(None), BackingVerdict::NamespaceMissing);
    assert_eq!(backing.near_namespace.as_deref(), Some("shop"));
    // `web.shpo` may also be a pod of a service in the session's namespace.
    let both = facts(
        &["web.shpo.shop.svc.cluster.local", "web.shpo.svc.cluster.local"],
        false,
    );
    let backing = read(&client, &both).await.unwrap();
    assert_eq!(backing.near_namespace.as_deref(), Some("shop"));
    // A public name is not judged as a namespace.
    let public = facts(
        &[
            "example.org.shop.svc.cluster.local",
            "example.org.svc.cluster.local",
        ],
        false,
    );
    assert_eq!(read(&client, &public).await, None);
}

#[tokio::test]
async fn a_misspelled_service_has_a_similar_one() {
    let script = cluster(&[service("checkout", "10.96.0.7")]).on(
        "GET",
        ALL_SERVICES,
        200,
        list_of("ServiceList", "v1", &[]),
    );
    let backing = read(
        &script.client(),
        &facts(&["chekcout.shop.svc.cluster.local"], false),
    )
    .await
    .unwrap();
    assert_eq!(backing.verdict(None), BackingVerdict::ServiceMissing);
    assert_eq!(backing.near.as_deref(), Some("checkout"));
}

#[tokio::test]
async fn a_name_that_is_no_service_is_not_read() {
    let script = Script::new();
    let facts = facts(&["10-244-0-5.shop.pod.cluster.local"], true);
    assert_eq!(read(&script.client(), &facts).await, None);
    assert!(script.seen("GET", NAMESPACES).is_empty());
}
