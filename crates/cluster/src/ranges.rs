//! Ranges of the cluster's addresses, learned with any permissions that the user has.
//!
//! Nothing is created for it. Declared ranges (the ServiceCIDR API, flags of the control plane, kubeadm's configuration,
//! the nodes' shares) are trusted. Observed addresses of services and pods are [covered](cover()) narrowly. A refusal is
//! normal and no error: what stays unknown is learned later, address by address, from the answers of the cluster's DNS.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

pub use cover::{cover, merge};

mod cover;
mod declared;
mod gather;

/// Source of ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The ServiceCIDR objects (`networking.k8s.io/v1`, Kubernetes 1.33 and later).
    ServiceCidrs,
    /// `--service-cluster-ip-range` and `--cluster-cidr` of control-plane pods.
    ControlPlaneFlags,
    /// kubeadm's ClusterConfiguration in `kube-system`.
    KubeadmConfig,
    /// `spec.podCIDRs` of the nodes.
    NodeShares,
    /// Addresses of services that the user may list.
    ObservedServices,
    /// Addresses of pods that the user may list.
    ObservedPods,
}

/// Known ranges of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ranges {
    /// Ranges of service addresses, disjoint and sorted.
    pub services: Vec<IpNet>,
    /// Ranges of pod addresses, disjoint and sorted.
    pub pods: Vec<IpNet>,
    /// Sources of the ranges, sorted.
    pub how: Vec<Source>,
    /// Whether the cluster declares both kinds of ranges as a whole, and no address was observed outside of them.
    pub complete: bool,
}

/// Data from the cluster, before it is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    /// Service ranges that the cluster declares.
    services: Vec<(Source, Vec<IpNet>)>,
    /// Pod ranges that the cluster declares.
    pods: Vec<(Source, Vec<IpNet>)>,
    /// Addresses of services.
    service_addresses: Vec<IpAddr>,
    /// Addresses of pods that do not use their node's network.
    pod_addresses: Vec<IpAddr>,
}

/// Learns the cluster's ranges. `namespaces` are those to look into where the user may not list the whole cluster.
pub async fn learn(client: &kube::Client, namespaces: &[String]) -> Ranges {
    judge(&gather::gather(client, namespaces).await)
}

fn judge(facts: &Facts) -> Ranges {
    let mut how = Vec::new();
    let (services, services_whole) = kind(
        &facts.services,
        &facts.service_addresses,
        Source::ObservedServices,
        &mut how,
    );
    let (pods, pods_whole) = kind(&facts.pods, &facts.pod_addresses, Source::ObservedPods, &mut how);
    how.sort_unstable();
    how.dedup();
    Ranges {
        services,
        pods,
        how,
        complete: services_whole && pods_whole,
    }
}

fn kind(
    declared: &[(Source, Vec<IpNet>)],
    observed: &[IpAddr],
    observed_source: Source,
    how: &mut Vec<Source>,
) -> (Vec<IpNet>, bool) {
    let mut known = Vec::new();
    let mut whole = false;
    for (source, ranges) in declared {
        let usable: Vec<IpNet> = ranges.iter().copied().filter(cover::is_plausible).collect();
        if usable.is_empty() {
            continue;
        }
        how.push(*source);
        // New nodes bring new shares, so shares are never the whole range.
        whole |= *source != Source::NodeShares;
        known.extend(usable);
    }
    let outside: Vec<IpAddr> = observed
        .iter()
        .copied()
        .filter(|address| !known.iter().any(|range| range.contains(address)))
        .collect();
    let covered = cover(&outside);
    if !covered.is_empty() {
        how.push(observed_source);
        whole = false;
    }
    known.extend(covered);
    (merge(&known), whole)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use slipway_scripted_api::{Script, list, rbac};

    fn nets(text: &[&str]) -> Vec<IpNet> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn service(addresses: &[&str]) -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"clusterIP": addresses[0], "clusterIPs": addresses}})
    }

    fn pod(address: &str, host: bool) -> Value {
        json!({
            "metadata": {"name": "web-1"}, "spec": {"hostNetwork": host, "containers": []},
            "status": {"podIP": address, "podIPs": [{"ip": address}]},
        })
    }

    fn developer() -> Script {
        Script::new()
            .on(
                "GET",
                "/apis/networking.k8s.io/v1/servicecidrs",
                403,
                rbac("list", "servicecidrs", "", ""),
            )
            .on("GET", "/api/v1/nodes", 403, rbac("list", "nodes", "", ""))
            .on("GET", "/api/v1/services", 403, rbac("list", "services", "", ""))
            .on("GET", "/api/v1/pods", 403, rbac("list", "pods", "", ""))
            .on(
                "GET",
                "/api/v1/namespaces/kube-system/pods",
                403,
                rbac("list", "pods", "", "kube-system"),
            )
            .on(
                "GET",
                "/api/v1/namespaces/kube-system/configmaps/kubeadm-config",
                403,
                rbac("get", "configmaps", "", ""),
            )
    }

    #[tokio::test]
    async fn the_clusters_own_declarations_are_complete() {
        let apiserver = json!({
            "metadata": {"name": "kube-apiserver-a"},
            "spec": {"containers": [{"name": "a", "command": ["kube-controller-manager", "--cluster-cidr=10.244.0.0/16"]}]},
        });
        let cidrs = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]}});
        let nodes = json!({"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.244.3.0/24"]}});
        let script = Script::new()
            .on(
                "GET",
                "/apis/networking.k8s.io/v1/servicecidrs",
                200,
                list("ServiceCIDRList", "networking.k8s.io/v1", &[cidrs]),
            )
            .on("GET", "/api/v1/nodes", 200, list("NodeList", "v1", &[nodes]))
            .on(
                "GET",
                "/api/v1/namespaces/kube-system/pods",
                200,
                list("PodList", "v1", &[apiserver]),
            )
            .on(
                "GET",
                "/api/v1/services",
                200,
                list("ServiceList", "v1", &[service(&["10.103.7.1"])]),
            )
            .on(
                "GET",
                "/api/v1/pods",
                200,
                list(
                    "PodList",
                    "v1",
                    &[pod("10.244.3.9", false), pod("192.168.1.5", true)],
                ),
            );
        let ranges = learn(&script.client(), &["dev".to_owned()]).await;
        assert_eq!(ranges.services, nets(&["10.96.0.0/12"]));
        assert_eq!(
            ranges.pods,
            nets(&["10.244.0.0/16"]),
            "a pod in its node's network adds nothing"
        );
        assert!(ranges.complete);
        assert_eq!(
            ranges.how,
            [
                Source::ServiceCidrs,
                Source::ControlPlaneFlags,
                Source::NodeShares
            ]
        );
        assert!(
            script.changes().is_empty(),
            "nothing may be created to learn something"
        );
    }

    #[tokio::test]
    async fn a_developer_gets_the_ranges_of_one_namespace() {
        let script = developer()
            .on(
                "GET",
                "/api/v1/namespaces/dev/services",
                200,
                list(
                    "ServiceList",
                    "v1",
                    &[service(&["10.96.7.1"]), service(&["None"])],
                ),
            )
            .on(
                "GET",
                "/api/v1/namespaces/dev/pods",
                200,
                list("PodList", "v1", &[pod("10.244.3.9", false)]),
            )
            .on(
                "GET",
                "/api/v1/namespaces/default/services",
                403,
                rbac("list", "services", "", "default"),
            )
            .on(
                "GET",
                "/api/v1/namespaces/default/pods",
                403,
                rbac("list", "pods", "", "default"),
            );
        let ranges = learn(&script.client(), &["dev".to_owned()]).await;
        assert_eq!(ranges.services, nets(&["10.96.7.0/24"]));
        assert_eq!(ranges.pods, nets(&["10.244.3.0/24"]));
        assert_eq!(ranges.how, [Source::ObservedServices, Source::ObservedPods]);
        assert!(!ranges.complete);
    }

    #[tokio::test]
    async fn without_permissions_nothing_is_known_or_fails() {
        let script = developer();
        let ranges = learn(&script.client(), &["dev".to_owned()]).await;
        assert_eq!(ranges, Ranges::default());
        assert!(script.changes().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unanswered_question_does_not_hold_up_the_others() {
        let cidrs = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/12"]}});
        let script = developer().on_never("GET", "/api/v1/namespaces/dev/pods");
        let script = Script::on(
            script,
            "GET",
            "/apis/networking.k8s.io/v1/servicecidrs",
            200,
            list("ServiceCIDRList", "networking.k8s.io/v1", &[cidrs]),
        );
        let client = script.client();
        let namespaces = ["dev".to_owned()];
        let started = tokio::time::Instant::now();
        // The script's first answer is the refusal; its second one has the range.
        let first = learn(&client, &namespaces).await;
        let second = learn(&client, &namespaces).await;
        assert_eq!(
            (first.services, second.services),
            (vec![], nets(&["10.96.0.0/12"]))
        );
        assert!(
            started.elapsed() < std::time::Duration::from_secs(11),
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn pods_outside_of_the_nodes_shares_are_covered_too() {
        let facts = Facts {
            pods: vec![(Source::NodeShares, nets(&["10.244.0.0/24", "10.244.1.0/24"]))],
            pod_addresses: vec!["10.244.1.7".parse().unwrap(), "100.64.3.4".parse().unwrap()],
            ..Facts::default()
        };
        let ranges = judge(&facts);
        assert_eq!(ranges.pods, nets(&["10.244.0.0/23", "100.64.3.0/24"]));
        assert_eq!(ranges.how, [Source::NodeShares, Source::ObservedPods]);
    }

    #[test]
    fn nodes_shares_alone_are_not_complete_because_nodes_come() {
        let facts = Facts {
            services: vec![(Source::ServiceCidrs, nets(&["10.96.0.0/12"]))],
            pods: vec![(Source::NodeShares, nets(&["10.244.0.0/24"]))],
            ..Facts::default()
        };
        assert!(!judge(&facts).complete);
    }

    #[test]
    fn a_declared_default_route_is_ignored() {
        let facts = Facts {
            services: vec![(Source::ControlPlaneFlags, nets(&["0.0.0.0/0"]))],
            ..Facts::default()
        };
        assert_eq!(judge(&facts), Ranges::default());
    }
}
