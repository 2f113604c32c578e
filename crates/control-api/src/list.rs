//! Lists of `slipway list --json`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One context of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ContextInfo {
    /// The context's name.
    pub name: String,
    /// The cluster's name in the kubeconfig.
    pub cluster: String,
    /// The API server's address; `None` if the kubeconfig has none for that cluster.
    pub server: Option<String>,
    /// The namespace that the context sets.
    pub namespace: Option<String>,
    /// Whether it is the current context.
    pub current: bool,
}

/// One namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Whether it is being deleted.
    pub ending: bool,
    /// Whether it is only assumed to exist: the user may not list namespaces, and the kubeconfig or a profile names it.
    #[serde(default)]
    pub assumed: bool,
}

/// Kind of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Workload {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Number of pods that it wants.
    pub wanted: i32,
    /// Number of ready pods.
    pub ready: i32,
    /// The containers of its pods.
    pub containers: Vec<Container>,
}

/// One container of a workload's pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The ports that it declares.
    pub ports: Vec<Port>,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Port {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its number.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Of a service: the pods' port, a number or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: String,
    /// Its addresses; empty for headless services and external names.
    pub addresses: Vec<String>,
    /// The target of an `ExternalName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_name: Option<String>,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// Workloads, and the kinds that the user may not list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Workloads {
    /// Sorted by kind, then name.
    pub workloads: Vec<Workload>,
    /// The kinds that the user may not list.
    pub forbidden: Vec<Access>,
}

/// One port with its owner. `slipway list ports --json` prints an array of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListedPort {
    /// `service`, or the workload's kind.
    pub of: String,
    /// The service's or workload's name.
    pub owner: String,
    /// Of a workload: the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The port.
    #[serde(flatten)]
    pub port: Port,
}

/// A permission: a verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Access {
    /// The verb as RBAC spells it: `get`, `list`, `watch`, `create`, `delete`.
    pub verb: Cow<'static, str>,
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The plural resource, with its subresource after a slash: `pods/exec`.
    pub resource: Cow<'static, str>,
    /// The namespace; `null` for the whole cluster.
    pub namespace: Option<String>,
}

impl Access {
    /// Access inside one namespace.
    pub fn within(namespace: &str, verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: Some(namespace.to_owned()),
        }
    }

    /// Access to the whole cluster.
    pub fn cluster(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            namespace: None,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, " ({})", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => write!(f, " in the whole cluster"),
        }
    }
}
