//! Contents of a kubeconfig file (`k8s.io/client-go/tools/clientcmd/api/v1`).
//!
//! As in client-go, an empty text, an empty list, `null` and an absent field mean the same. A value that only matters for a
//! user who is not chosen does not make the file unusable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use crate::token_source::TokenSource;

pub(crate) mod data;

/// One file, or several merged ones.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Kubeconfig {
    #[serde(default, deserialize_with = "text")]
    pub(crate) current_context: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub(crate) contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "list")]
    pub(crate) clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "list")]
    pub(crate) users: Vec<NamedUser>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct NamedContext {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) context: Option<Context>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct NamedCluster {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) cluster: Option<Cluster>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct NamedUser {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) user: Option<User>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Context {
    #[serde(default, deserialize_with = "text")]
    pub(crate) cluster: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) user: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Cluster {
    #[serde(default, deserialize_with = "text")]
    pub(crate) server: Option<String>,
    #[serde(default)]
    pub(crate) insecure_skip_tls_verify: Option<bool>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) certificate_authority: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) certificate_authority_data: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) proxy_url: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) tls_server_name: Option<String>,
    /// For plugins only: the extension `client.authentication.k8s.io/exec` is passed to them.
    #[serde(default, deserialize_with = "list")]
    pub(crate) extensions: Vec<NamedExtension>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct NamedExtension {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) extension: serde_json::Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct User {
    #[serde(default, deserialize_with = "text")]
    pub(crate) username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) password: Option<SecretString>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) token: Option<SecretString>,
    #[serde(default, rename = "tokenFile", deserialize_with = "text")]
    pub(crate) token_file: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) client_certificate: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) client_certificate_data: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) client_key: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) client_key_data: Option<SecretString>,
    #[serde(default, rename = "as", deserialize_with = "text")]
    pub(crate) impersonate: Option<String>,
    #[serde(default, rename = "as-uid", deserialize_with = "text")]
    pub(crate) impersonate_uid: Option<String>,
    #[serde(default, rename = "as-groups", deserialize_with = "list")]
    pub(crate) impersonate_groups: Vec<String>,
    #[serde(default, rename = "as-user-extra", deserialize_with = "lists")]
    pub(crate) impersonate_extra: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) auth_provider: Option<AuthProvider>,
    #[serde(default)]
    pub(crate) exec: Option<Exec>,
    /// Source of a token outside the kubeconfig; no file has one.
    #[serde(skip)]
    pub(crate) token_source: Option<Arc<dyn TokenSource>>,
}

/// Login by a kind that is built into kubectl.
#[derive(Clone, Deserialize)]
pub(crate) struct AuthProvider {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "texts")]
    pub(crate) config: BTreeMap<String, String>,
}

/// The configuration contains tokens.
impl std::fmt::Debug for AuthProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthProvider")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Login by a credential plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exec {
    #[serde(default, deserialize_with = "text")]
    pub(crate) api_version: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) command: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub(crate) args: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub(crate) env: Vec<Variable>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) install_hint: Option<String>,
    #[serde(default, deserialize_with = "mode")]
    pub(crate) interactive_mode: Option<InteractiveMode>,
    #[serde(default)]
    pub(crate) provide_cluster_info: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Variable {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) value: String,
}

/// Whether a plugin talks to the user in a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InteractiveMode {
    Never,
    IfAvailable,
    Always,
    /// Another word, with which the plugin is not run.
    Unknown(String),
}

impl Kubeconfig {
    /// Parses the text of a file. Several YAML documents are merged like several files.
    pub(crate) fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        let documents: Vec<Option<Self>> = serde_saphyr::from_multiple(text)?;
        let documents = documents.into_iter().flatten();
        Ok(documents.reduce(Self::merge).unwrap_or_default())
    }

    /// Adds what another file says. The first definition of a name, and the first current context, count.
    pub(crate) fn merge(mut self, next: Self) -> Self {
        add_new(&mut self.contexts, next.contexts, |named| &named.name);
        add_new(&mut self.clusters, next.clusters, |named| &named.name);
        add_new(&mut self.users, next.users, |named| &named.name);
        self.current_context = self.current_context.or(next.current_context);
        self
    }

    /// Makes relative paths of the file start at its folder.
    pub(crate) fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut Option<String>| {
            if let Some(path) = path {
                *path = folder.join(&*path).to_string_lossy().into_owned();
            }
        };
        for cluster in self
            .clusters
            .iter_mut()
            .filter_map(|named| named.cluster.as_mut())
        {
            resolve(&mut cluster.certificate_authority);
        }
        for user in self.users.iter_mut().filter_map(|named| named.user.as_mut()) {
            resolve(&mut user.token_file);
            resolve(&mut user.client_certificate);
            resolve(&mut user.client_key);
            // A command without a slash is looked up in PATH.
            let plugin = user.exec.as_mut().map(|exec| &mut exec.command);
            if let Some(command) = plugin
                && command.as_ref().is_some_and(|command| command.contains('/'))
            {
                resolve(command);
            }
        }
    }

    pub(crate) fn context(&self, name: &str) -> Option<&Context> {
        let named = self.contexts.iter().find(|named| named.name == name)?;
        named.context.as_ref()
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<&Cluster> {
        let named = self.clusters.iter().find(|named| named.name == name)?;
        named.cluster.as_ref()
    }

    /// Returns a user; one without credentials if none has the name, as in client-go.
    pub(crate) fn user(&self, name: Option<&str>) -> User {
        let named = self.users.iter().find(|named| Some(&*named.name) == name);
        named.and_then(|named| named.user.clone()).unwrap_or_default()
    }
}

fn add_new<T>(base: &mut Vec<T>, next: Vec<T>, name: impl Fn(&T) -> &String) {
    for item in next {
        if !base.iter().any(|known| name(known) == name(&item)) {
            base.push(item);
        }
    }
}

/// Reads a text, and treats an empty one as absent.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(text(from)?.map(SecretString::from))
}

fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<InteractiveMode>, D::Error> {
    let mode = |text: String| match &*text {
        "Never" => InteractiveMode::Never,
        "IfAvailable" => InteractiveMode::IfAvailable,
        "Always" => InteractiveMode::Always,
        _ => InteractiveMode::Unknown(text),
    };
    Ok(text(from)?.map(mode))
}

/// Value whose default one is meant by `null`.
struct OrDefault<T>(T);

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for OrDefault<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(from)?.unwrap_or_default()))
    }
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(OrDefault::deserialize(from)?.0)
}

fn list<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let items: Vec<OrDefault<T>> = or_default(from)?;
    Ok(items.into_iter().map(|item| item.0).collect())
}

fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts: BTreeMap<String, OrDefault<String>> = or_default(from)?;
    Ok(texts.into_iter().map(|(key, text)| (key, text.0)).collect())
}

fn lists<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let lists: BTreeMap<String, OrDefault<Vec<OrDefault<String>>>> = or_default(from)?;
    let list = |list: OrDefault<Vec<OrDefault<String>>>| list.0.into_iter().map(|text| text.0).collect();
    Ok(lists.into_iter().map(|(key, texts)| (key, list(texts))).collect())
}

#[cfg(test)]
mod tests;
