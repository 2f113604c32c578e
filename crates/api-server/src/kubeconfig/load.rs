//! Finding, reading and merging kubeconfig files, and picking a context.

use std::path::{Path, PathBuf};

use super::{ContextInfo, KubeconfigError, Sources};
use crate::file::{Cluster, Context, Kubeconfig, NamedContext};
use crate::similar::nearest;

/// Reads and merges the files that [`Sources`] name, or returns the server that they name.
pub(super) fn load(sources: &Sources) -> Result<Kubeconfig, KubeconfigError> {
    if let Some(server) = &sources.server {
        return Ok(server.kubeconfig());
    }
    let paths = paths(sources);
    let mut merged: Option<Kubeconfig> = None;
    for path in &paths {
        let Some(next) = read(path)? else { continue };
        merged = Some(match merged {
            None => next,
            Some(first) => first.merge(next),
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
    // As in kubectl, a list may name files that do not exist yet.
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(KubeconfigError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut kubeconfig = Kubeconfig::parse(text).map_err(|error| broken(path, &error))?;
    // A relative path of the file counts from the folder that the user named, also through a symbolic link.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    kubeconfig.resolve(absolute.parent().unwrap_or(Path::new("/")));
    Ok(Some(kubeconfig))
}

fn broken(path: &Path, error: &serde_saphyr::Error) -> KubeconfigError {
    let at = error.location();
    KubeconfigError::Broken {
        path: path.to_owned(),
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
    let of = |named: &NamedContext| {
        let context = named.context.as_ref()?;
        let cluster = context.cluster.clone().unwrap_or_default();
        Some(ContextInfo {
            name: named.name.clone(),
            server: kubeconfig
                .cluster(&cluster)
                .and_then(|cluster| cluster.server.clone()),
            cluster,
            namespace: context.namespace.clone(),
            current: kubeconfig.current_context.as_deref() == Some(&named.name),
        })
    };
    kubeconfig.contexts.iter().filter_map(of).collect()
}

/// A context with the cluster that it names.
pub(super) struct Picked<'k> {
    pub(super) name: String,
    pub(super) context: &'k Context,
    pub(super) cluster: &'k Cluster,
}

/// Returns the requested context, or the current one.
pub(super) fn pick<'k>(
    kubeconfig: &'k Kubeconfig,
    asked: Option<&str>,
) -> Result<Picked<'k>, KubeconfigError> {
    let existing = || {
        let contexts = kubeconfig.contexts.iter();
        contexts.map(|named| named.name.clone()).collect::<Vec<_>>()
    };
    let Some(name) = asked.or(kubeconfig.current_context.as_deref()) else {
        return Err(KubeconfigError::NoCurrentContext { existing: existing() });
    };
    let Some(context) = kubeconfig.context(name) else {
        let existing = existing();
        let nearest = nearest(name, existing.iter().map(String::as_str));
        return Err(KubeconfigError::UnknownContext {
            asked: name.to_owned(),
            existing,
            nearest,
        });
    };
    let cluster = context.cluster.as_deref().unwrap_or_default();
    let Some(cluster) = kubeconfig.cluster(cluster) else {
        return Err(KubeconfigError::UnknownCluster {
            context: name.to_owned(),
            cluster: cluster.to_owned(),
        });
    };
    Ok(Picked {
        name: name.to_owned(),
        context,
        cluster,
    })
}
