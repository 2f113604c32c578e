//! Files of one bed: those of the node's processes, and the kubeconfigs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::configuration::{containerd_config, kubelet_config, pod_network};
use crate::{Addresses, images};

/// Files of one bed that the node's processes use.
pub(crate) struct Files {
    pub(super) folder: PathBuf,
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

    pub(crate) fn pki(&self, name: &str) -> String {
        self.folder.join("pki").join(name).display().to_string()
    }

    /// Path of a kubeconfig with embedded certificates.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join("kubeconfigs").join(user)
    }

    pub(super) fn state(&self, of: &str) -> String {
        self.folder.join("state").join(of).display().to_string()
    }

    pub(super) fn config(&self, name: &str) -> PathBuf {
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
        let zone = include_str!("../../manifests/laptops.zone")
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
            ("cluster.yaml", include_str!("../../manifests/cluster.yaml")),
            ("workloads.yaml", include_str!("../../manifests/workloads.yaml")),
            ("existing.yaml", include_str!("../../manifests/existing.yaml")),
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
}

/// Files that laptops need, with the bed's own cluster or an existing one.
impl Files {
    /// Writes only the files of the laptops' name server, for a bed with an existing cluster.
    pub(crate) fn write_neighbors(&self, addresses: Addresses, domain: &str) -> Result<()> {
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
