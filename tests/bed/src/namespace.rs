//! Network namespaces, managed with ip-netns(8).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::processes;

/// Folder in which ip-netns(8) keeps namespaces.
const NAMESPACES: &str = "/run/netns";

pub(crate) fn add(name: &str) -> Result<()> {
    ip(&["netns", "add", name])?;
    ip(&["-n", name, "link", "set", "lo", "up"])
}

/// Deletes a namespace with its links.
pub(crate) fn remove(name: &str) -> Result<()> {
    ip(&["netns", "delete", name])
}

/// Returns the namespaces whose names begin with `prefix`.
pub(crate) fn all(prefix: &str) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(NAMESPACES) else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Some(name) = entry?
            .file_name()
            .to_str()
            .filter(|name| name.starts_with(prefix))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

pub(crate) fn open(name: &str) -> Result<File> {
    let path = path(name);
    File::open(&path).with_context(|| format!("open {}", path.display()))
}

/// Runs `ip`.
pub(crate) fn ip(arguments: &[&str]) -> Result<()> {
    processes::run(Command::new("ip").args(arguments)).map(drop)
}
