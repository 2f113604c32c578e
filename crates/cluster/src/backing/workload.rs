//! Workload of a service: the one whose pods have the labels that the service selects.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use slipway_control_api::list::WorkloadKind;
use slipway_control_api::{Backing, Replicas, Unread};

use super::{PATIENCE, noted};
use crate::list;
use slipway_api_server::request::{Access, ApiError};

/// Looks for the workload of the backing's service. Of several, the one that wants most pods counts.
pub(super) async fn read(client: &Client, backing: &mut Backing) {
    let namespace = &backing.namespace;
    let (deployments, stateful_sets, daemon_sets) = tokio::join!(
        listed::<Deployment>(client, namespace, "deployments"),
        listed::<StatefulSet>(client, namespace, "statefulsets"),
        listed::<DaemonSet>(client, namespace, "daemonsets"),
    );
    let unread = &mut backing.unread;
    let mut found: Vec<(Replicas, PodTemplateSpec)> = Vec::new();
    found.extend(or_note(deployments, unread).filter_map(|one| {
        let replicas = Replicas {
            kind: WorkloadKind::Deployment,
            name: one.name_any(),
            wanted: one.spec.as_ref()?.replicas.unwrap_or(1),
            ready: one
                .status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0),
        };
        Some((replicas, one.spec?.template))
    }));
    found.extend(or_note(stateful_sets, unread).filter_map(|one| {
        let replicas = Replicas {
            kind: WorkloadKind::StatefulSet,
            name: one.name_any(),
            wanted: one.spec.as_ref()?.replicas.unwrap_or(1),
            ready: one
                .status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0),
        };
        Some((replicas, one.spec?.template))
    }));
    found.extend(or_note(daemon_sets, unread).filter_map(|one| {
        let status = one.status.as_ref();
        let replicas = Replicas {
            kind: WorkloadKind::DaemonSet,
            name: one.name_any(),
            wanted: status.map_or(0, |status| status.desired_number_scheduled),
            ready: status.map_or(0, |status| status.number_ready),
        };
        Some((replicas, one.spec?.template))
    }));
    backing.workload = found
        .into_iter()
        .filter(|(_, template)| has_labels(template, &backing.selector))
        .map(|(replicas, _)| replicas)
        .max_by_key(|replicas| replicas.wanted);
}

fn or_note<K>(listed: Result<Vec<K>, Unread>, unread: &mut Vec<Unread>) -> std::vec::IntoIter<K> {
    listed
        .unwrap_or_else(|why| {
            unread.push(why);
            Vec::new()
        })
        .into_iter()
}

async fn listed<K>(client: &Client, namespace: &str, resource: &'static str) -> Result<Vec<K>, Unread>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let access = Access::within(namespace, "list", "apps", resource);
    let answer = tokio::time::timeout(PATIENCE, list::all(&api, &access)).await;
    answer
        .unwrap_or(Err(ApiError::Timeout { waited: PATIENCE }))
        .map_err(|error| noted(access, &error))
}

/// Whether the pods of a template have all labels of a selector, written `KEY=VALUE`.
fn has_labels(template: &PodTemplateSpec, selector: &[String]) -> bool {
    let labels = template
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.labels.as_ref());
    selector.iter().all(|wanted| {
        let has =
            |(key, value): (&String, &String)| wanted.split_once('=') == Some((key.as_str(), value.as_str()));
        labels.is_some_and(|labels| labels.iter().any(has))
    })
}
