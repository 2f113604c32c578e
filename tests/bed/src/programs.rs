//! Go programs of the bed: Kubernetes, CoreDNS and the echo server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cache::{Cache, Key};
use crate::processes;
use crate::report::{self, Report};

/// Paths of the built programs on the host.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Multi-call program of every Kubernetes component and `kubectl`.
    pub(crate) kube: PathBuf,
    pub(crate) coredns: PathBuf,
    pub(crate) echo: PathBuf,
}

/// Kubernetes version that clients see, the same as of the modules in `kube/go.mod`. Kubernetes 1.35 and later refuse
/// machines with version 1 control groups.
const KUBERNETES: &str = "v1.34.4";

/// Folder of the sources, beside this crate's.
pub(crate) fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Programs {
    /// Builds the programs that the cache lacks.
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
