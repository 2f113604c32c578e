//! The node: every process of the cluster, and the laptops' name server, on one machine of the bed.

use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::machine::{Machine, Runner};
use crate::pki::{self, Authority, Identity};
use crate::processes::{self, Daemon};
use crate::programs::Programs;
use crate::{Addresses, images};

/// A running node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) daemons: Vec<Daemon>,
    folder: PathBuf,
    kube: PathBuf,
}

/// The node's name in the cluster.
const NAME: &str = "node";

/// How long one part may take to be ready. Generous: other builds may hold the processors.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// What `workloads.yaml` makes.
const WORKLOADS: [(&str, &[&str]); 3] = [
    ("shop", &["deployment/web", "statefulset/db", "deployment/echo"]),
    ("shop-test", &["deployment/orders"]),
    ("dev", &["deployment/a"]),
];

/// The API server's name as a part.
const API_SERVER: &str = "kube-apiserver";

const ETCD: &str = "http://127.0.0.1:2379";
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Files of one bed that the node's parts read.
pub(crate) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    fn pki(&self, name: &str) -> String {
        self.folder.join("pki").join(name).display().to_string()
    }

    /// A kubeconfig with everything in it.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join("kubeconfigs").join(user)
    }

    fn state(&self, of: &str) -> String {
        self.folder.join("state").join(of).display().to_string()
    }

    fn config(&self, name: &str) -> PathBuf {
        self.folder.join("config").join(name)
    }

    /// Writes certificates, kubeconfigs and configurations. `domain` is that of the cluster's names.
    pub(crate) fn write(&self, bed: &str, addresses: Addresses, cgroup: &str, domain: &str) -> Result<()> {
        for name in ["pki", "kubeconfigs", "state", "config", "logs"] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        self.write_identities(bed, addresses, domain)?;
        let json = |value: &Value| serde_json::to_string_pretty(value);
        fs::write(self.config("containerd.toml"), containerd_config(self))?;
        fs::create_dir_all(self.config("cni"))?;
        fs::write(
            self.config("cni").join("10-pods.conflist"),
            json(&pod_network(addresses))?,
        )?;
        fs::write(
            self.config("kubelet.yaml"),
            json(&kubelet_config(self, addresses, cgroup, domain))?,
        )?;
        fs::write(
            self.config("resolv.conf"),
            format!("nameserver {}\n", addresses.node()),
        )?;
        self.write_names(addresses)?;
        self.write_manifests(addresses, domain)
    }

    fn write_names(&self, addresses: Addresses) -> Result<()> {
        let big = (0..20)
            .map(|i| format!("\"{}\"", format!("{i:02}").repeat(100)))
            .collect::<Vec<_>>()
            .join(" ");
        let zone = include_str!("../manifests/laptops.zone")
            .replace("@NODE@", &addresses.node().to_string())
            .replace("@BIG@", &big);
        fs::write(self.config("laptops.zone"), zone)?;
        let names = format!(
            ".:53 {{\n    bind {}\n    errors\n    file {} .\n}}\n",
            addresses.node(),
            self.config("laptops.zone").display()
        );
        fs::write(self.config("laptops.corefile"), names)?;
        Ok(())
    }

    fn write_manifests(&self, addresses: Addresses, domain: &str) -> Result<()> {
        for (name, manifest) in [
            ("cluster.yaml", include_str!("../manifests/cluster.yaml")),
            ("workloads.yaml", include_str!("../manifests/workloads.yaml")),
            ("existing.yaml", include_str!("../manifests/existing.yaml")),
        ] {
            let manifest = manifest
                .replace("@COREDNS@", images::COREDNS)
                .replace("@ECHO@", images::ECHO)
                .replace("@CLUSTER_DOMAIN@", domain)
                .replace("@CLUSTER_DNS@", &addresses.cluster_dns().to_string())
                .replace("@BESIDE_CLUSTER@", &Addresses::BESIDE_CLUSTER.to_string());
            fs::write(self.config(name), manifest)?;
        }
        Ok(())
    }

    fn write_identities(&self, bed: &str, addresses: Addresses, domain: &str) -> Result<()> {
        let authority = Authority::new()?;
        fs::write(self.pki("ca.crt"), authority.certificate())?;
        let put = |name: &str, identity: &Identity| -> Result<()> {
            fs::write(self.pki(&format!("{name}.crt")), &identity.certificate)?;
            fs::write(self.pki(&format!("{name}.key")), &identity.key)?;
            Ok(())
        };
        let server = [
            IpAddr::V4(addresses.node()),
            IpAddr::V4(addresses.kubernetes()),
            IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        ];
        let full_name = format!("kubernetes.default.svc.{domain}");
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            &full_name,
        ];
        put(
            "api-server",
            &authority.server("kube-apiserver", &server, &names)?,
        )?;
        put(
            "kubelet-server",
            &authority.server(NAME, &[IpAddr::V4(addresses.node())], &[NAME])?,
        )?;
        put(
            "kubelet-client",
            &authority.client("kube-apiserver", Some("system:masters"))?,
        )?;
        let (private, public) = pki::token_key()?;
        fs::write(self.pki("tokens.key"), private)?;
        fs::write(self.pki("tokens.pub"), public)?;
        for (user, name, group, namespace) in [
            ("admin", "admin", Some("system:masters"), "default"),
            ("developer", "developer", None, "shop"),
            ("kubelet", "system:node:node", Some("system:nodes"), "default"),
        ] {
            let identity = authority.client(name, group)?;
            let config = pki::kubeconfig(
                bed,
                &addresses.api_server(),
                &authority,
                user,
                &identity,
                namespace,
            )?;
            fs::write(self.kubeconfig(user), config)?;
        }
        let expired = authority.expired_client("developer")?;
        let server = addresses.api_server();
        let config = pki::kubeconfig(bed, &server, &authority, "developer", &expired, "shop")?;
        fs::write(self.kubeconfig("expired"), config)?;
        Ok(())
    }
}

fn containerd_config(files: &Files) -> String {
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

/// Each pod at the end of a link of its own. On a bridge, a pod's answer to another that asked by way of a service
/// would pass by the translation back.
fn pod_network(addresses: Addresses) -> Value {
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

fn kubelet_config(files: &Files, addresses: Addresses, cgroup: &str, domain: &str) -> Value {
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
        // Two kubelets under one root would take each other's pods for orphans.
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

/// What the laptops need of the bed, whosever the cluster is.
impl Files {
    /// Writes what the laptops' name server reads, in place of all that a cluster of the bed's own would.
    pub(crate) fn write_neighbours(&self, addresses: Addresses, domain: &str) -> Result<()> {
        for name in ["pki", "kubeconfigs", "state", "config", "logs"] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        self.write_names(addresses)?;
        self.write_manifests(addresses, domain)
    }

    /// Writes a kubeconfig.
    pub(crate) fn put_kubeconfig(&self, user: &str, config: &str) -> Result<()> {
        fs::write(self.kubeconfig(user), config).context("write a kubeconfig")
    }
}

impl Node {
    /// On a new machine.
    pub(crate) fn new(machine: Machine, files: &Files, programs: &Programs) -> Self {
        Self {
            machine,
            daemons: Vec::new(),
            folder: files.folder.clone(),
            kube: programs.kube.clone(),
        }
    }

    fn files(&self) -> Files {
        Files::new(&self.folder)
    }

    /// Starts what the control plane needs, and the container runtime, each as far as it waits for no other.
    pub(crate) fn start_control_plane(&mut self, addresses: Addresses) -> Result<()> {
        let files = self.files();
        self.start_kube(
            "etcd",
            &[
                ("data-dir", files.state("etcd")),
                ("listen-client-urls", ETCD.to_owned()),
                ("advertise-client-urls", ETCD.to_owned()),
                ("listen-peer-urls", "http://127.0.0.1:2380".to_owned()),
                // Thrown away on the machine's next start anyhow.
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
                // So that a namespace can say on which nodes its pods may run: on none, for a test.
                ("enable-admission-plugins", "PodNodeSelector".to_owned()),
                ("allow-privileged", "true".to_owned()),
            ],
        )?;
        let config = files.config("containerd.toml").display().to_string();
        self.start("containerd", "containerd", &["--config", &config])
    }

    /// Loads images; the container runtime has been started.
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
                // Not ours to write: they are the machine's.
                ("conntrack-max-per-core", "0".to_owned()),
                ("conntrack-tcp-timeout-established", "0".to_owned()),
                ("conntrack-tcp-timeout-close-wait", "0".to_owned()),
            ],
        )
    }

    /// Starts the way to an API server that the host reaches: into the node's network, and out of it by a socket, which
    /// knows no network. The outer half is in the node's mounts, by which it is found when the bed ends.
    pub(crate) fn start_relay(&mut self, programs: &Programs, addresses: Addresses, to: &str) -> Result<()> {
        let socket = format!("unix:{}", self.files().state("api-server.sock"));
        let mut outer = self
            .machine
            .command_outside(&programs.echo, ["relay", &socket, &format!("tcp:{to}")]);
        let outer = Daemon::start("relay-outside", &self.files().logs(), &mut outer)?;
        self.daemons.push(outer);
        let inner = format!("tcp:{}:{}", addresses.node(), Addresses::API_PORT);
        self.start("relay", &programs.echo, &["relay", &inner, &socket])?;
        self.daemon("relay")?.wait_until("ready", READY_LIMIT, || {
            self.asks_ok(&["get", "--raw", "/readyz"])
        })
    }

    /// Applies the objects of the developer alone, and gives a token for one.
    pub(crate) fn apply_workloads(&self) -> Result<String> {
        let files = self.files();
        for name in ["workloads.yaml", "existing.yaml"] {
            let file = files.config(name).display().to_string();
            // Another bed may have applied another version of them.
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

    /// Starts what is on the laptops' network beside the cluster: the name server, and the hosts it names.
    pub(crate) fn start_neighbours(&mut self, programs: &Programs) -> Result<()> {
        let names = self.files().config("laptops.corefile").display().to_string();
        self.start("name-server", &programs.coredns, &["-conf", &names])?;
        self.start("outside", &programs.echo, &["serve", "-http=80", "-name=outside"])
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
        // Where the cluster is somebody else's there is none.
        let kubelet = self.daemon("kubelet").map(Daemon::tail).unwrap_or_default();
        format!("{}\n{kubelet}", pods.unwrap_or_else(|error| error.to_string()))
    }

    /// kubectl as the cluster's administrator, on the node.
    pub(crate) fn kubectl(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self
            .machine
            .command(Runner::Root, Path::new("/"), &self.kube, ["kubectl"]);
        command
            .args(arguments)
            .env("KUBECONFIG", self.files().kubeconfig("admin"))
            .env("HOME", "/tmp");
        command
    }

    /// Whether every part still runs.
    pub(crate) fn runs(&self) -> bool {
        self.machine.runs() && self.daemons.iter().all(|daemon| daemon.process.runs())
    }

    fn asks_ok(&self, arguments: &[&str]) -> bool {
        processes::output(&mut self.kubectl(arguments)).is_ok_and(|output| output.status.success())
    }

    fn daemon(&self, name: &str) -> Result<&Daemon> {
        self.daemons
            .iter()
            .find(|daemon| daemon.name == name)
            .with_context(|| format!("{name} is not started"))
    }

    fn wait_for_api_server(&self) -> Result<()> {
        self.daemon(API_SERVER)?.wait_until("ready", READY_LIMIT, || {
            self.asks_ok(&["get", "--raw", "/readyz"])
        })
    }

    /// Kills the API server and waits until the one that takes its place, with the same arguments, is ready.
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

    /// Starts a part that may be killed: it is started again then, as a kubelet does with the control plane's.
    fn start_kept(&mut self, name: &str, flags: &[(&str, String)]) -> Result<()> {
        // 137 is SIGKILL. A part that ends by itself is not started again: what it said is in its log.
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

    fn start(
        &mut self,
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<()> {
        let mut command = self
            .machine
            .command(Runner::Root, Path::new("/"), program, arguments);
        let daemon = Daemon::start(name, &self.files().logs(), &mut command)?;
        self.daemons.push(daemon);
        Ok(())
    }
}

fn kube_arguments(name: &str, flags: &[(&str, String)]) -> Vec<String> {
    let flags = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    std::iter::once(name.to_owned()).chain(flags).collect()
}

/// Where the kernel shows control groups, of both versions.
const CGROUPS: &str = "/sys/fs/cgroup";

/// The folders that are roots of a hierarchy: one for each controller in version 1, the only one in version 2.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.procs").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let mut roots = Vec::new();
    for entry in fs::read_dir(root).context("read the control groups")? {
        let path = entry?.path();
        if path.join("cgroup.procs").exists() && !path.is_symlink() {
            roots.push(path);
        }
    }
    ensure!(!roots.is_empty(), "{CGROUPS} has no control groups");
    Ok(roots)
}

/// Makes the kubelet's root group everywhere.
fn make_cgroup(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let group = root.join(name);
        fs::create_dir_all(&group)?;
        // Version 1 starts them empty, and lets no process into such a group.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if root.join(file).exists() {
                fs::write(group.join(file), fs::read(root.join(file))?)
                    .with_context(|| format!("fill {file} of {}", group.display()))?;
            }
        }
    }
    Ok(())
}

/// Removes a group and those below, everywhere. Their processes have been killed.
pub(crate) fn remove_cgroup(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let group = root.join(name);
        let mut tries = 0;
        // A group stays busy for a moment after its last process.
        while let Err(error) = remove_groups(&group) {
            tries += 1;
            ensure!(
                tries < 100,
                anyhow!(error).context(format!("remove {}", group.display()))
            );
            thread::sleep(processes::POLL);
        }
    }
    Ok(())
}

fn remove_groups(group: &Path) -> std::io::Result<()> {
    if !group.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
