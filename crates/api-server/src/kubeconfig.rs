//! Kubeconfig: its contexts, and the choice of a cluster.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

pub use slipway_control_api::list::ContextInfo;

pub use error::KubeconfigError;
pub use named_server::NamedServer;

pub use crate::target::ConnectError;

use crate::login::Login;
use crate::target::Target;

mod error;
mod load;
mod named_server;
mod resolve;

/// Places of kubeconfig files, or a server in place of them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file that the user named; no other file is read then.
    pub file: Option<PathBuf>,
    /// The value of `KUBECONFIG`: files separated by colons. They are merged, and the first definition of a name counts.
    pub variable: Option<OsString>,
    /// The home folder, for `.kube/config`.
    pub home: Option<PathBuf>,
    /// A server that the user named; no file is read then.
    pub server: Option<NamedServer>,
}

impl Sources {
    /// Returns the places that the environment names, with the file that the user named, if any.
    pub fn from_environment(file: Option<PathBuf>) -> Self {
        Self {
            file,
            variable: std::env::var_os("KUBECONFIG"),
            home: std::env::var_os("HOME").map(PathBuf::from),
            server: None,
        }
    }
}

/// Choice of the user. For `None`, the kubeconfig decides.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Name of the context.
    pub context: Option<String>,
    /// Namespace of the session.
    pub namespace: Option<String>,
    /// Whether a credential plugin may use the terminal. Without it, a plugin's standard error goes into the error
    /// message, and a plugin that needs a terminal fails with a reason.
    pub terminal: bool,
}

/// Reads the kubeconfig and picks a context from it. Sends no request and runs no plugin.
///
/// # Errors
/// Returns [`KubeconfigError`] with the file, the position in it, or the names that exist.
pub fn choose(sources: &Sources, choice: &Choice) -> Result<Target, KubeconfigError> {
    let chosen = choose_context(sources, choice);
    match &sources.server {
        Some(server) => chosen.map_err(|error| error.of_server(&server.url)),
        None => chosen,
    }
}

fn choose_context(sources: &Sources, choice: &Choice) -> Result<Target, KubeconfigError> {
    let kubeconfig = load::load(sources)?;
    let picked = load::pick(&kubeconfig, choice.context.as_deref())?;
    let user = resolve::user(&kubeconfig, &picked);
    let api = resolve::server(&picked, &user)?;
    let user = resolve::user_login(&user, &picked, choice.terminal)?;
    let is_named = sources.server.is_some();
    // A new login may be in the files.
    let (sources, terminal, context) = (sources.clone(), choice.terminal, picked.name.clone());
    let reload = Box::new(move || {
        let kubeconfig = load::load(&sources).ok()?;
        let picked = load::pick(&kubeconfig, Some(&context)).ok()?;
        let user = resolve::user(&kubeconfig, &picked);
        resolve::user_login(&user, &picked, terminal).ok()
    });
    let namespace = choice
        .namespace
        .clone()
        .or_else(|| picked.context.namespace.clone());
    Ok(Target {
        namespace: namespace.unwrap_or_else(|| "default".to_owned()),
        cluster: picked.context.cluster.clone().unwrap_or_default(),
        server: api.url.to_string(),
        api: Arc::new(api),
        login: Arc::new(Login::new(user, reload)),
        context: picked.name,
        is_named,
    })
}

/// Lists the contexts of a kubeconfig in the order of the files.
///
/// # Errors
/// Returns [`KubeconfigError`] if no file can be read or parsed.
pub fn contexts(sources: &Sources) -> Result<Vec<ContextInfo>, KubeconfigError> {
    Ok(load::contexts(&load::load(sources)?))
}

#[cfg(test)]
mod tests;
