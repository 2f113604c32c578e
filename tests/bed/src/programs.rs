//! The bed's programs that are built from Go sources: Kubernetes, CoreDNS and the echo server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cache::{Cache, Key};
use crate::processes;
use crate::report::{self, Report};

/// Where the built programs are on the host.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Every Kubernetes component and `kubectl`, by the name it is called by.
    pub(crate) kube: PathBuf,
    pub(crate) coredns: PathBuf,
    pub(crate) echo: PathBuf,
}

/// The version that clients are told, and that the modules in `kube/go.mod` are of.
/// Kubernetes 1.35 and later refuse machines with version 1 control groups.
const KUBERNETES: &str = "v1.34.4";

/// The sources, beside this crate's.
pub(crate) fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Programs {
    /// Builds what the cache does not hold.
    pub(crate) fn build(cache: &Cache, report: &mut dyn Report) -> Result<Self> {
        let version = format!(
            "-X k8s.io/component-base/version.gitVersion={KUBERNETES} \
             -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"
        );
        Ok(Self {
            kube: build(cache, "kube", &version, report)?,
            coredns: build(cache, "coredns", "", report)?,
            echo: build(cache, "echo", "", report)?,
        })
    }
}

fn build(cache: &Cache, name: &str, version: &str, report: &mut dyn Report) -> Result<PathBuf> {
    let source = sources().join(name);
    let link = format!("-s -w {version}");
    let key = Key::default().add_files(&source)?.add(&link);
    let folder = cache.keyed("bin", name, &key, |folder| {
        report::step(report, &format!("build {name}"), || {
            processes::run(
                Command::new("go")
                    .current_dir(&source)
                    .args(["build", "-trimpath", "-buildvcs=false", "-ldflags", &link, "-o"])
                    .arg(folder.join(name))
                    .arg(".")
                    .env("CGO_ENABLED", "0")
                    .env("GOCACHE", cache.root().join("go-build"))
                    .env("GOMODCACHE", cache.root().join("go-mod")),
            )?;
            Ok(())
        })
    })?;
    Ok(folder.join(name))
}
