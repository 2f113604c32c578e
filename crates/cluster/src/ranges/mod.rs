//! Which addresses are the cluster's, learned with whatever permission there is.
//!
//! Nothing is created to find out. What is declared (the ServiceCIDR API, flags of the control plane, kubeadm's
//! configuration, the nodes' shares) is believed; what is only observed (addresses of services and pods that may be
//! listed) is [covered](cover) narrowly. A refusal is normal and no error: what stays unknown is learned later, address
//! by address, from the cluster's own DNS answers.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

pub use cover::{cover, merge};

mod cover;
mod declared;
mod gather;

/// Where ranges were learned from.
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
    /// Addresses of services that may be listed.
    ObservedServices,
    /// Addresses of pods that may be listed.
    ObservedPods,
}

/// The cluster's addresses as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ranges {
    /// Ranges of service addresses, disjoint and sorted.
    pub services: Vec<IpNet>,
    /// Ranges of pod addresses, disjoint and sorted.
    pub pods: Vec<IpNet>,
    /// Where they come from, sorted.
    pub how: Vec<Source>,
    /// Whether the cluster declares both ranges as a whole and nothing was observed outside of them.
    pub complete: bool,
}

/// What was found out, before it is judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Facts {
    /// Service ranges that the cluster declares.
    services: Vec<(Source, Vec<IpNet>)>,
    /// Pod ranges that the cluster declares.
    pods: Vec<(Source, Vec<IpNet>)>,
    /// Addresses of services.
    service_addresses: Vec<IpAddr>,
    /// Addresses of pods with an address of their own.
    pod_addresses: Vec<IpAddr>,
}

/// Learns the cluster's ranges. `namespaces` are those that the user may see into where the whole cluster may not be
/// listed.
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
        // New nodes bring new shares.
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
