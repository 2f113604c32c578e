//! Processes of the cluster: the control plane, the container runtime, and those of every node.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cgroup::make_cgroup;
use super::{CONTAINERD, NAME, Node, READY_LIMIT};
use crate::machine::Runner;
use crate::{Addresses, processes};

/// Name of the API server's process.
const API_SERVER: &str = "kube-apiserver";

const ETCD: &str = "http://127.0.0.1:2379";

impl Node {
    /// Starts the control plane up to the API server, and the container runtime, without waiting.
    pub(crate) fn start_control_plane(&mut self, addresses: Addresses) -> Result<()> {
        let files = self.files();
        self.start_kube(
            "etcd",
            &[
                ("data-dir", files.state("etcd")),
                ("listen-client-urls", ETCD.to_owned()),
                ("advertise-client-urls", ETCD.to_owned()),
                ("listen-peer-urls", "http://127.0.0.1:2380".to_owned()),
                // The data need not survive a restart of the machine.
                ("unsafe-no-fsync", "true".to_owned()),
            ],
        )?;
        self.start_kept(
            API_SERVER,
            &[
                ("etcd-servers", ETCD.to_owned()),
                ("advertise-address", addresses.node().to_string()),
                ("secure-port", Addresses::API_PORT.to_string()),
                ("service-cluster-ip-range", format!("{}/16", addresses.services())),
                ("tls-cert-file", files.pki("api-server.crt")),
                ("tls-private-key-file", files.pki("api-server.key")),
                ("client-ca-file", files.pki("ca.crt")),
                ("kubelet-client-certificate", files.pki("kubelet-client.crt")),
                ("kubelet-client-key", files.pki("kubelet-client.key")),
                ("kubelet-certificate-authority", files.pki("ca.crt")),
                // By name it would ask the machine's resolver, which does not know the node.
                ("kubelet-preferred-address-types", "InternalIP".to_owned()),
                (
                    "service-account-issuer",
                    "https://kubernetes.default.svc".to_owned(),
                ),
                ("service-account-key-file", files.pki("tokens.pub")),
                ("service-account-signing-key-file", files.pki("tokens.key")),
                ("authorization-mode", "Node,RBAC".to_owned()),
                // A test can then let the pods of a namespace run on no node.
                ("enable-admission-plugins", "PodNodeSelector".to_owned()),
                ("allow-privileged", "true".to_owned()),
                // A test can then add containers to the pods of a namespace, as service meshes do.
                ("feature-gates", "MutatingAdmissionPolicy=true".to_owned()),
                (
                    "runtime-config",
                    "admissionregistration.k8s.io/v1beta1=true".to_owned(),
                ),
            ],
        )?;
        let config = files.config("containerd.toml").display().to_string();
        self.start("containerd", "containerd", &["--config", &config])
    }

    /// Loads images into the running container runtime.
    pub(crate) fn load_images(&self, archives: &[PathBuf]) -> Result<()> {
        let ctr = |arguments: &[&str]| {
            let all = ["--address", CONTAINERD, "--namespace", "k8s.io"]
                .iter()
                .chain(arguments);
            self.machine.command(Runner::Root, Path::new("/"), "ctr", all)
        };
        self.daemon("containerd")?.wait_until("ready", READY_LIMIT, || {
            processes::output(&mut ctr(&["version"])).is_ok_and(|output| output.status.success())
        })?;
        for archive in archives {
            processes::run(&mut ctr(&["images", "import", &archive.display().to_string()]))?;
        }
        Ok(())
    }

    /// Waits for the API server, then starts the rest of the cluster.
    pub(crate) fn start_cluster(&mut self, addresses: Addresses, cgroup: &str) -> Result<()> {
        self.wait_for_api_server()?;
        let files = self.files();
        let admin = files.kubeconfig("admin").display().to_string();
        let pods = format!("{}/16", addresses.pods());
        self.start_kube(
            "kube-controller-manager",
            &[
                ("kubeconfig", admin.clone()),
                ("service-account-private-key-file", files.pki("tokens.key")),
                ("root-ca-file", files.pki("ca.crt")),
                ("use-service-account-credentials", "true".to_owned()),
                ("allocate-node-cidrs", "true".to_owned()),
                ("cluster-cidr", pods.clone()),
                ("leader-elect", "false".to_owned()),
            ],
        )?;
        self.start_kube(
            "kube-scheduler",
            &[
                ("kubeconfig", admin.clone()),
                ("leader-elect", "false".to_owned()),
            ],
        )?;
        make_cgroup(cgroup)?;
        self.start_kube(
            "kubelet",
            &[
                ("kubeconfig", files.kubeconfig("kubelet").display().to_string()),
                ("config", files.config("kubelet.yaml").display().to_string()),
                ("hostname-override", NAME.to_owned()),
                ("node-ip", addresses.node().to_string()),
                ("root-dir", files.state("kubelet")),
            ],
        )?;
        self.start_kube(
            "kube-proxy",
            &[
                ("kubeconfig", admin),
                ("hostname-override", NAME.to_owned()),
                ("proxy-mode", "nftables".to_owned()),
                ("cluster-cidr", pods),
                // 0 leaves these settings of the machine unchanged.
                ("conntrack-max-per-core", "0".to_owned()),
                ("conntrack-tcp-timeout-established", "0".to_owned()),
                ("conntrack-tcp-timeout-close-wait", "0".to_owned()),
            ],
        )
    }

    fn wait_for_api_server(&self) -> Result<()> {
        self.daemon(API_SERVER)?.wait_until("ready", READY_LIMIT, || {
            self.asks_ok(&["get", "--raw", "/readyz"])
        })
    }

    /// Kills the API server, and waits until its successor with the same arguments is ready.
    pub(crate) fn restart_api_server(&self) -> Result<()> {
        let killed = self.daemon(API_SERVER)?.process.innermost(API_SERVER)?;
        killed.kill()?;
        self.daemon(API_SERVER)?
            .wait_until("gone", READY_LIMIT, || !killed.runs())?;
        self.wait_for_api_server()
    }

    fn start_kube(&mut self, name: &str, flags: &[(&str, String)]) -> Result<()> {
        let kube = self.kube.clone();
        self.start(name, &kube, &kube_arguments(name, flags))
    }

    /// Starts a process that is started again when it is killed, as a kubelet does for the control plane.
    fn start_kept(&mut self, name: &str, flags: &[(&str, String)]) -> Result<()> {
        // 137 is SIGKILL. A process that ends by itself is not started again: its log has the reason.
        let script = "while :; do \"$@\"; [ $? = 137 ] || exit; done";
        let before = ["-c", script, name].map(str::to_owned);
        let kube = self.kube.display().to_string();
        let arguments: Vec<_> = before
            .into_iter()
            .chain([kube])
            .chain(kube_arguments(name, flags))
            .collect();
        self.start(name, "sh", &arguments)
    }
}

fn kube_arguments(name: &str, flags: &[(&str, String)]) -> Vec<String> {
    let flags = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    std::iter::once(name.to_owned()).chain(flags).collect()
}
