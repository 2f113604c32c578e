//! Configurations of the container runtime, its pod network and the kubelet.

use serde_json::{Value, json};

use super::CONTAINERD;
use super::files::Files;
use crate::{Addresses, images};

pub(super) fn containerd_config(files: &Files) -> String {
    format!(
        "version = 2
root = \"{root}\"
state = \"/run/containerd\"
[grpc]
  address = \"{CONTAINERD}\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"{pause}\"
  restrict_oom_score_adj = true
  [plugins.\"io.containerd.grpc.v1.cri\".containerd]
    snapshotter = \"overlayfs\"
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    bin_dir = \"/usr/lib/cni\"
    conf_dir = \"{cni}\"
",
        root = files.state("containerd"),
        pause = images::PAUSE,
        cni = files.config("cni").display(),
    )
}

/// Each pod has its own point-to-point link. On a bridge, a pod's answer to another pod that used a service would bypass
/// the reverse translation.
pub(super) fn pod_network(addresses: Addresses) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": format!("{}/24", addresses.pods()) }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

pub(super) fn kubelet_config(files: &Files, addresses: Addresses, cgroup: &str, domain: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": false },
            "x509": { "clientCAFile": files.pki("ca.crt") },
        },
        "authorization": { "mode": "AlwaysAllow" },
        "tlsCertFile": files.pki("kubelet-server.crt"),
        "tlsPrivateKeyFile": files.pki("kubelet-server.key"),
        "clusterDNS": [addresses.cluster_dns().to_string()],
        "clusterDomain": domain,
        "resolvConf": files.config("resolv.conf"),
        "cgroupDriver": "cgroupfs",
        // Two kubelets with the same root group would take each other's pods for orphans.
        "cgroupRoot": format!("/{cgroup}"),
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": { "memory.available": "50Mi" },
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "2s",
    })
}
