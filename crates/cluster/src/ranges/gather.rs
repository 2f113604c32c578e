//! Requests for the cluster's ranges, all in parallel. Each may fail.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::Client;
use kube::api::{Api, ListParams};

use super::{Facts, Source, declared};
use slipway_api_server::request::{Access, ApiError, ask_within};

/// Limit of one request. Addresses that are unknown after it are learned later from DNS answers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Number of objects in one answer: enough to find the ranges, and limited in a huge cluster.
const SAMPLE: u32 = 500;

const SYSTEM: &str = "kube-system";

/// Namespace of the API server's Service. A user who may list it learns one service address.
const DEFAULT: &str = "default";

pub(super) async fn gather(client: &Client, namespaces: &[String]) -> Facts {
    let (service_cidrs, nodes, flags, kubeadm, service_addresses, pod_addresses) = tokio::join!(
        service_cidrs(client),
        node_shares(client),
        control_plane_flags(client),
        kubeadm(client),
        service_addresses(client, namespaces),
        pod_addresses(client, namespaces),
    );
    let (flag_services, flag_pods) = flags;
    let (kubeadm_services, kubeadm_pods) = kubeadm;
    Facts {
        services: vec![
            (Source::ServiceCidrs, service_cidrs),
            (Source::ControlPlaneFlags, flag_services),
            (Source::KubeadmConfig, kubeadm_services),
        ],
        pods: vec![
            (Source::ControlPlaneFlags, flag_pods),
            (Source::KubeadmConfig, kubeadm_pods),
            (Source::NodeShares, nodes),
        ],
        service_addresses,
        pod_addresses,
    }
}

async fn service_cidrs(client: &Client) -> Vec<IpNet> {
    let api: Api<ServiceCIDR> = Api::all(client.clone());
    let access = Access::cluster("list", "networking.k8s.io", "servicecidrs");
    let Some(listed) = maybe(access, api.list(&sample())).await else {
        return Vec::new();
    };
    let cidrs = listed
        .items
        .into_iter()
        .filter_map(|one| one.spec?.cidrs)
        .flatten();
    cidrs.flat_map(|cidr| declared::from_list(&cidr)).collect()
}

async fn node_shares(client: &Client) -> Vec<IpNet> {
    let api: Api<Node> = Api::all(client.clone());
    let Some(listed) = maybe(Access::cluster("list", "", "nodes"), api.list(&sample())).await else {
        return Vec::new();
    };
    let shares = listed.items.into_iter().filter_map(|node| {
        let spec = node.spec?;
        let single = || spec.pod_cidr.clone().map(|cidr| vec![cidr]);
        spec.pod_cidrs.clone().or_else(single)
    });
    shares
        .flatten()
        .flat_map(|cidr| declared::from_list(&cidr))
        .collect()
}

async fn control_plane_flags(client: &Client) -> (Vec<IpNet>, Vec<IpNet>) {
    let api: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let control_plane = sample().labels("component in (kube-apiserver,kube-controller-manager)");
    let Some(listed) = maybe(
        Access::within(SYSTEM, "list", "", "pods"),
        api.list(&control_plane),
    )
    .await
    else {
        return (Vec::new(), Vec::new());
    };
    let containers = listed
        .items
        .into_iter()
        .filter_map(|pod| pod.spec)
        .flat_map(|spec| spec.containers);
    let words: Vec<String> = containers
        .flat_map(|one| one.command.into_iter().chain(one.args))
        .flatten()
        .collect();
    (
        declared::from_flag(&words, "--service-cluster-ip-range"),
        declared::from_flag(&words, "--cluster-cidr"),
    )
}

async fn kubeadm(client: &Client) -> (Vec<IpNet>, Vec<IpNet>) {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM);
    let found = maybe(
        Access::within(SYSTEM, "get", "", "configmaps"),
        api.get("kubeadm-config"),
    )
    .await;
    let text = found
        .and_then(|map| map.data?.remove("ClusterConfiguration"))
        .unwrap_or_default();
    (
        declared::from_kubeadm(&text, "serviceSubnet"),
        declared::from_kubeadm(&text, "podSubnet"),
    )
}

async fn service_addresses(client: &Client, namespaces: &[String]) -> Vec<IpAddr> {
    let everywhere: Api<Service> = Api::all(client.clone());
    let services = match maybe(
        Access::cluster("list", "", "services"),
        everywhere.list(&sample()),
    )
    .await
    {
        Some(listed) => listed.items,
        None => {
            let asked = visible(namespaces).into_iter().map(|namespace| async move {
                let api: Api<Service> = Api::namespaced(client.clone(), namespace);
                let access = Access::within(namespace, "list", "", "services");
                maybe(access, api.list(&sample()))
                    .await
                    .map_or_else(Vec::new, |listed| listed.items)
            });
            join_all(asked).await.into_iter().flatten().collect()
        }
    };
    let specs = services.into_iter().filter_map(|service| service.spec);
    let addresses = specs.flat_map(|spec| {
        spec.cluster_ips
            .unwrap_or_else(|| spec.cluster_ip.into_iter().collect())
    });
    // A headless service has the value `None`.
    addresses.filter_map(|address| address.parse().ok()).collect()
}

async fn pod_addresses(client: &Client, namespaces: &[String]) -> Vec<IpAddr> {
    let everywhere: Api<Pod> = Api::all(client.clone());
    let pods = match maybe(Access::cluster("list", "", "pods"), everywhere.list(&sample())).await {
        Some(listed) => listed.items,
        None => {
            let asked = visible(namespaces).into_iter().map(|namespace| async move {
                let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
                let access = Access::within(namespace, "list", "", "pods");
                maybe(access, api.list(&sample()))
                    .await
                    .map_or_else(Vec::new, |listed| listed.items)
            });
            join_all(asked).await.into_iter().flatten().collect()
        }
    };
    let own = pods.into_iter().filter(|pod| {
        // A pod in its node's network has the node's address.
        !pod.spec
            .as_ref()
            .and_then(|spec| spec.host_network)
            .unwrap_or(false)
    });
    let addresses = own
        .filter_map(|pod| pod.status?.pod_ips)
        .flatten()
        .map(|address| address.ip);
    addresses.filter_map(|address| address.parse().ok()).collect()
}

fn visible(namespaces: &[String]) -> Vec<&str> {
    let mut visible: Vec<&str> = namespaces.iter().map(String::as_str).collect();
    visible.push(DEFAULT);
    visible.sort_unstable();
    visible.dedup();
    visible
}

fn sample() -> ListParams {
    ListParams::default().limit(SAMPLE)
}

/// Returns the answer, or `None` if it is forbidden, missing or late.
async fn maybe<T>(access: Access, request: impl Future<Output = kube::Result<T>>) -> Option<T> {
    let asked = access.to_string();
    match ask_within(PATIENCE, access, request).await {
        Ok(answer) => Some(answer),
        Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. }) => None,
        Err(error) => {
            tracing::debug!(asked, %error, "a request for ranges failed; learning without it");
            None
        }
    }
}
