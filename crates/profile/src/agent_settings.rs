//! Settings of the agent's pod.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metadata::{AnnotationValue, LabelValue, MetadataKey, ObjectName};
use crate::toleration::Toleration;
use crate::value::{Grace, Image};

/// How the agent is placed in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AgentSettings {
    /// The agent's image; if absent, the one of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How long it waits for its client to return; if absent, Slipway's default.
    #[serde(default, rename = "grace-seconds", skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
    /// The service account of its pod, which gets no token for it; if absent, the namespace's default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ObjectName>,
    /// Secrets with which the node may fetch the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<ObjectName>,
    /// Taints of nodes that its pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Labels that its node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<MetadataKey, LabelValue>,
    /// Labels of its Job and its pod, in addition to Slipway's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<MetadataKey, LabelValue>,
    /// Annotations of its Job and its pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<MetadataKey, AnnotationValue>,
}
