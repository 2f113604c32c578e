//! Container images of the bed, built as OCI archives, because the bed has no registry.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::cache::{Cache, Key};
use crate::processes;
use crate::programs::Programs;

/// The agent's default image, so that a session needs no registry.
const BUSYBOX: &str = "docker.io/library/busybox:latest";
pub(crate) const COREDNS: &str = "docker.io/slipway-bed/coredns:latest";
pub(crate) const ECHO: &str = "docker.io/slipway-bed/echo:latest";
/// The sandbox of every pod.
pub(crate) const PAUSE: &str = "docker.io/slipway-bed/pause:latest";

/// Archives for `ctr images import`.
pub(crate) fn make(cache: &Cache, programs: &Programs, busybox: &Path) -> Result<Vec<PathBuf>> {
    let busybox = busybox.join("usr/bin/busybox");
    let applets = processes::run(Command::new(&busybox).arg("--list"))?;
    let mut shell = Root::empty()
        .program("bin/busybox", &busybox)?
        .folder("tmp", 0o1777)?
        .folder("root", 0o700)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        shell = shell.link(&format!("bin/{applet}"), "busybox")?;
    }
    [
        archive(cache, BUSYBOX, shell, Start::Command(&["sh"])),
        archive(
            cache,
            COREDNS,
            Root::empty().program("coredns", &programs.coredns)?,
            Start::Entrypoint(&["/coredns"]),
        ),
        archive(
            cache,
            ECHO,
            Root::empty().program("echo", &programs.echo)?,
            Start::Entrypoint(&["/echo", "serve"]),
        ),
        archive(
            cache,
            PAUSE,
            Root::empty().program("echo", &programs.echo)?,
            Start::Entrypoint(&["/echo", "pause"]),
        ),
    ]
    .into_iter()
    .collect()
}

/// Start command of an image.
enum Start<'a> {
    /// Always runs, with the pod's arguments.
    Entrypoint(&'a [&'a str]),
    /// Runs unless the pod has its own command.
    Command(&'a [&'a str]),
}

/// A file system layer.
struct Root(Builder<Vec<u8>>);

impl Root {
    fn empty() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn program(self, path: &str, source: &Path) -> Result<Self> {
        let content = fs::read(source).with_context(|| format!("read {}", source.display()))?;
        self.entry(path, EntryType::Regular, 0o755, None, &content)
    }

    fn folder(self, path: &str, mode: u32) -> Result<Self> {
        self.entry(path, EntryType::Directory, mode, None, &[])
    }

    fn link(self, path: &str, target: &str) -> Result<Self> {
        self.entry(path, EntryType::Symlink, 0o777, Some(target), &[])
    }

    fn entry(
        mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        link: Option<&str>,
        content: &[u8],
    ) -> Result<Self> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        if let Some(link) = link {
            header.set_link_name(link)?;
        }
        self.0.append_data(&mut header, path, content)?;
        Ok(self)
    }
}

/// One blob of an image: its media type's last part, content and digest.
struct Blob {
    kind: &'static str,
    content: Vec<u8>,
    digest: String,
}

impl Blob {
    fn new(kind: &'static str, content: Vec<u8>) -> Self {
        let digest = Sha256::digest(&content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            kind,
            content,
            digest,
        }
    }

    fn json(kind: &'static str, content: &serde_json::Value) -> Result<Self> {
        Ok(Self::new(kind, serde_json::to_vec(content)?))
    }

    /// Returns its descriptor (OCI image-spec, descriptor.md).
    fn descriptor(&self) -> serde_json::Value {
        json!({
            "mediaType": format!("application/vnd.oci.image.{}", self.kind),
            "digest": format!("sha256:{}", self.digest),
            "size": self.content.len(),
        })
    }
}

/// Writes an archive of an OCI layout (image-spec, image-layout.md) with the image `name`.
fn archive(cache: &Cache, name: &str, root: Root, start: Start<'_>) -> Result<PathBuf> {
    let layer = Blob::new("layer.v1.tar", root.0.into_inner()?);
    let settings = match start {
        Start::Entrypoint(words) => json!({ "Entrypoint": words, "Env": ["PATH=/bin"] }),
        Start::Command(words) => json!({ "Cmd": words, "Env": ["PATH=/bin"] }),
    };
    let config = Blob::json(
        "config.v1+json",
        &json!({
            "architecture": match std::env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other },
            "os": "linux",
            "config": settings,
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
        }),
    )?;
    let manifest = Blob::json(
        "manifest.v1+json",
        &json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
        }),
    )?;
    let mut listed = manifest.descriptor();
    listed["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "manifests": [listed] }))?;

    let key = Key::default().add(name).add(&manifest.digest);
    let short = name.rsplit('/').next().unwrap_or(name).replace(':', "-");
    let folder = cache.keyed("images", &short, &key, |folder| {
        let mut archive = Builder::new(File::create(folder.join("image.tar"))?);
        let mut put = |path: &str, content: &[u8]| -> Result<()> {
            let mut header = Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            archive
                .append_data(&mut header, path, content)
                .with_context(|| format!("write {path}"))
        };
        put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        put("index.json", &index)?;
        for blob in [&layer, &config, &manifest] {
            put(&format!("blobs/sha256/{}", blob.digest), &blob.content)?;
        }
        archive.into_inner()?.sync_all().context("write the archive")
    })?;
    Ok(folder.join("image.tar"))
}
