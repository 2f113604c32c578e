//! Finding, reading and merging kubeconfig files, and picking a context.

use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError as LibraryError};

use super::{ContextInfo, KubeconfigError, Sources};
use crate::similar::nearest;

/// Reads and merges the files that [`Sources`] name.
pub(super) fn load(sources: &Sources) -> Result<Kubeconfig, KubeconfigError> {
    let paths = paths(sources);
    let mut merged: Option<Kubeconfig> = None;
    for path in &paths {
        // As in kubectl, a list may name files that do not exist yet.
        let Some(next) = read(path)? else { continue };
        merged = Some(match merged {
            None => next,
            Some(first) => first.merge(next).map_err(|error| broken(path, &error))?,
        });
    }
    merged.ok_or(KubeconfigError::Missing { looked_at: paths })
}

fn paths(sources: &Sources) -> Vec<PathBuf> {
    if let Some(file) = &sources.file {
        return vec![file.clone()];
    }
    let listed: Vec<PathBuf> = match &sources.variable {
        Some(variable) => std::env::split_paths(variable)
            .filter(|path| !path.as_os_str().is_empty())
            .collect(),
        None => Vec::new(),
    };
    if !listed.is_empty() {
        return listed;
    }
    sources
        .home
        .iter()
        .map(|home| home.join(".kube").join("config"))
        .collect()
}

fn read(path: &Path) -> Result<Option<Kubeconfig>, KubeconfigError> {
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => Ok(Some(kubeconfig)),
        Err(LibraryError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(LibraryError::ReadConfig(source, path)) => Err(KubeconfigError::Unreadable { path, source }),
        Err(error) => Err(broken(path, &error)),
    }
}

fn broken(path: &Path, error: &LibraryError) -> KubeconfigError {
    let path = path.to_owned();
    let LibraryError::Parse(error) = error else {
        return KubeconfigError::Broken {
            path,
            line: None,
            column: None,
            detail: error.to_string(),
        };
    };
    let at = error.location();
    KubeconfigError::Broken {
        path,
        line: at.map(|at| at.line()),
        column: at.map(|at| at.column()),
        detail: without_values(&error.without_snippet().to_string()),
    }
}

/// Removes quoted values of the file from a message, because they may be tokens.
fn without_values(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let quoted = first.split('"').enumerate();
    quoted
        .map(|(index, part)| if index % 2 == 0 { part } else { "..." })
        .collect::<Vec<_>>()
        .join("\"")
}

/// Returns the contexts in file order.
pub(super) fn contexts(kubeconfig: &Kubeconfig) -> Vec<ContextInfo> {
    let server = |cluster: &str| {
        let named = kubeconfig.clusters.iter().find(|named| named.name == cluster)?;
        named.cluster.as_ref()?.server.clone()
    };
    kubeconfig
        .contexts
        .iter()
        .filter_map(|named| {
            let context = named.context.as_ref()?;
            Some(ContextInfo {
                name: named.name.clone(),
                cluster: context.cluster.clone(),
                server: server(&context.cluster),
                namespace: context.namespace.clone(),
                current: kubeconfig.current_context.as_deref() == Some(&named.name),
            })
        })
        .collect()
}

/// Returns the requested context, or the current one, with its cluster's name.
pub(super) fn pick(
    kubeconfig: &Kubeconfig,
    asked: Option<&str>,
) -> Result<(String, String), KubeconfigError> {
    let contexts = contexts(kubeconfig);
    let existing = || {
        contexts
            .iter()
            .map(|context| context.name.clone())
            .collect::<Vec<_>>()
    };
    let current = || {
        kubeconfig
            .current_context
            .as_deref()
            .filter(|name| !name.is_empty())
    };
    let Some(name) = asked.or_else(current) else {
        return Err(KubeconfigError::NoCurrentContext { existing: existing() });
    };
    let Some(context) = contexts.iter().find(|context| context.name == name) else {
        let existing = existing();
        let nearest = nearest(name, existing.iter().map(String::as_str));
        return Err(KubeconfigError::UnknownContext {
            asked: name.to_owned(),
            existing,
            nearest,
        });
    };
    if !kubeconfig
        .clusters
        .iter()
        .any(|named| named.name == context.cluster && named.cluster.is_some())
    {
        let (context, cluster) = (context.name.clone(), context.cluster.clone());
        return Err(KubeconfigError::UnknownCluster { context, cluster });
    }
    Ok((context.name.clone(), context.cluster.clone()))
}
