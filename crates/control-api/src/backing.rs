//! Backing of a cluster name: the service that it means, the service's ports and endpoints, as the API server has them.
//! [`judgment`] decides what is wrong with it, and [`words`] puts that into sentences.

use serde::{Deserialize, Serialize};

use crate::list::{Access, Service, WorkloadKind};

mod judgment;
mod words;

pub use judgment::BackingVerdict;

/// Backing of a cluster name. What could not be read is `null`, and `unread` has the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Backing {
    /// The name of the service.
    pub name: String,
    /// The service's namespace.
    pub namespace: String,
    /// The pod that the name means, as in `db-0.db`; `null` if the name means the service.
    pub pod: Option<String>,
    /// Whether the namespace exists.
    pub namespace_exists: Option<bool>,
    /// An existing namespace of a similar name, if the namespace does not exist.
    pub near_namespace: Option<String>,
    /// Whether the service exists.
    pub exists: Option<bool>,
    /// The service.
    pub service: Option<Service>,
    /// The labels that the service's pods have, as in `app=web`; empty if it selects no pods.
    pub selector: Vec<String>,
    /// A service of a similar name in the same namespace, if the service does not exist.
    pub near: Option<String>,
    /// Other namespaces with a service of that name, if the service does not exist.
    pub elsewhere: Vec<String>,
    /// The service's endpoints.
    pub endpoints: Option<Endpoints>,
    /// The workload whose pods the service selects. It is looked for if no endpoint is ready.
    pub workload: Option<Replicas>,
    /// What could not be read.
    pub unread: Vec<Unread>,
}

/// Endpoints of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Endpoints {
    /// Number of endpoints that get connections.
    pub ready: usize,
    /// Number of endpoints that do not get connections yet, or no longer.
    pub not_ready: usize,
    /// Whether the pod that the name means is ready; `null` if the name means no pod, or the service has no such pod.
    pub pod_is_ready: Option<bool>,
    /// The names of the service's ports that lead to a port of a pod; an unnamed port has the name "". `null` if that is
    /// not known.
    pub ports: Option<Vec<String>>,
}

/// Pods of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Replicas {
    /// The kind of the workload.
    pub kind: WorkloadKind,
    /// The workload's name.
    pub name: String,
    /// Number of pods that it wants.
    pub wanted: i32,
    /// Number of ready pods.
    pub ready: i32,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unread {
    /// The permission that allows it.
    pub access: Access,
    /// Why it could not be read, in a clause; `null` if the permission is missing.
    pub reason: Option<String>,
}

impl Backing {
    /// A service of which nothing is known yet.
    pub fn unknown(name: &str, namespace: &str, pod: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            pod: pod.map(str::to_owned),
            namespace_exists: None,
            near_namespace: None,
            exists: None,
            service: None,
            selector: Vec::new(),
            near: None,
            elsewhere: Vec::new(),
            endpoints: None,
            workload: None,
            unread: Vec::new(),
        }
    }

    /// Whether the service is headless: its name leads to the pods themselves (Kubernetes DNS specification).
    pub(crate) fn is_headless(&self) -> bool {
        self.service
            .as_ref()
            .is_some_and(|service| service.addresses.is_empty() && service.external_name.is_none())
    }
}
