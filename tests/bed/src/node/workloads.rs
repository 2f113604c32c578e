//! Objects that a bed creates in its cluster, and the wait for their pods.

use anyhow::{Context, Result};

use super::{Node, READY_LIMIT};
use crate::processes::{self, Daemon};

/// Workloads of `workloads.yaml`.
const WORKLOADS: [(&str, &[&str]); 3] = [
    ("shop", &["deployment/web", "statefulset/db", "deployment/echo"]),
    ("shop-test", &["deployment/orders"]),
    ("dev", &["deployment/a"]),
];

impl Node {
    /// Applies only the objects of the developer, and returns a token of a developer.
    pub(crate) fn apply_workloads(&self) -> Result<String> {
        let files = self.files();
        for name in ["workloads.yaml", "existing.yaml"] {
            let file = files.config(name).display().to_string();
            // Another bed may have applied another version of the objects.
            let apply = ["apply", "--server-side", "--force-conflicts", "-f", &file];
            processes::run(&mut self.kubectl(apply))?;
        }
        let token = [
            "create",
            "token",
            "developer",
            "--namespace=shop",
            "--duration=24h",
        ];
        Ok(processes::run(&mut self.kubectl(token))?.trim().to_owned())
    }

    /// Waits until the developer's workloads have all their pods.
    pub(crate) fn wait_for_shop(&self) -> Result<()> {
        self.wait_for(&WORKLOADS)
    }

    /// Applies the objects of the cluster and of the developer.
    pub(crate) fn apply(&self) -> Result<()> {
        let files = self.files();
        for name in ["cluster.yaml", "workloads.yaml"] {
            let file = files.config(name).display().to_string();
            processes::run(&mut self.kubectl(["apply", "--server-side", "-f", &file]))?;
        }
        Ok(())
    }

    /// Waits until every workload has all its pods.
    pub(crate) fn wait_for_workloads(&self) -> Result<()> {
        let kubelet = self.daemon("kubelet")?;
        kubelet.wait_until("Ready", READY_LIMIT, || {
            self.asks_ok(&["wait", "--for=condition=Ready", "node/node", "--timeout=5s"])
        })?;
        self.wait_for(&[("kube-system", &["deployment/coredns"])])?;
        self.wait_for(&WORKLOADS)
    }

    fn wait_for(&self, awaited: &[(&str, &[&str])]) -> Result<()> {
        let limit = format!("--timeout={}s", READY_LIMIT.as_secs());
        for (namespace, workloads) in awaited {
            for workload in *workloads {
                let status = ["--namespace", namespace, "rollout", "status", workload, &limit];
                processes::run(&mut self.kubectl(status)).with_context(|| self.state_of_pods())?;
            }
        }
        Ok(())
    }

    fn state_of_pods(&self) -> String {
        let pods = processes::run(&mut self.kubectl(["get", "pods", "--all-namespaces", "--output=wide"]));
        // There is no CoreDNS of the bed in an existing cluster.
        let kubelet = self.daemon("kubelet").map(Daemon::tail).unwrap_or_default();
        format!("{}\n{kubelet}", pods.unwrap_or_else(|error| error.to_string()))
    }
}
