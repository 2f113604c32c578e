//! Endpoints of a service: its EndpointSlices, or where they may not be read, the pods that it selects.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::Client;
use kube::api::{Api, ListParams};
use slipway_control_api::{Backing, Endpoints};

use super::{PATIENCE, ask_or_note, noted};
use slipway_api_server::request::{Access, ApiError, ask_within};

/// Label of an EndpointSlice with the name of its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Bound of the slices or pods that are counted. A slice has up to 100 endpoints.
const MOST: u32 = 500;

/// Reads the endpoints of the backing's service.
pub(super) async fn read(client: &Client, backing: &mut Backing) {
    let namespace = backing.namespace.clone();
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), &namespace);
    let of_service = ListParams::default()
        .labels(&format!("{SERVICE_NAME}={}", backing.name))
        .limit(MOST);
    let listing = Access::within(&namespace, "list", "discovery.k8s.io", "endpointslices");
    match ask_within(PATIENCE, listing.clone(), api.list(&of_service)).await {
        Ok(slices) => backing.endpoints = Some(count(&slices.items, backing.pod.as_deref())),
        // A session may list pods in any case, but only in its own namespace.
        Err(ApiError::Forbidden { .. }) if !backing.selector.is_empty() => {
            let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let selected = ListParams::default()
                .labels(&backing.selector.join(","))
                .limit(MOST);
            let mut unread = Vec::new();
            let access = Access::within(&namespace, "list", "", "pods");
            match ask_or_note(&mut unread, access, pods.list(&selected)).await {
                Some(listed) => backing.endpoints = Some(count_pods(&listed.items, backing.pod.as_deref())),
                None => backing.unread.push(noted(
                    listing.clone(),
                    &ApiError::Forbidden {
                        access: listing,
                        message: String::new(),
                    },
                )),
            }
        }
        Err(error) => backing.unread.push(noted(listing, &error)),
    }
}

fn count(slices: &[EndpointSlice], pod: Option<&str>) -> Endpoints {
    let mut counted = Endpoints::default();
    let mut ports = BTreeSet::new();
    // A pod with two addresses is in a slice of each family.
    let mut seen = BTreeSet::new();
    for slice in slices {
        let named = slice.ports.iter().flatten().filter(|port| port.port.is_some());
        ports.extend(named.map(|port| port.name.clone().unwrap_or_default()));
        for endpoint in &slice.endpoints {
            let is_ready = is_ready(endpoint);
            if names(endpoint, pod) {
                counted.pod_is_ready = Some(is_ready || counted.pod_is_ready == Some(true));
            }
            let target = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
            if target.is_some_and(|uid| !seen.insert(uid)) {
                continue;
            }
            if is_ready {
                counted.ready += 1;
            } else {
                counted.not_ready += 1;
            }
        }
    }
    counted.ports = Some(ports.into_iter().collect());
    counted
}

fn is_ready(endpoint: &Endpoint) -> bool {
    // Without a condition an endpoint is ready.
    endpoint
        .conditions
        .as_ref()
        .and_then(|conditions| conditions.ready)
        .unwrap_or(true)
}

/// Whether DNS knows an endpoint by this name: its host name, or its address with dashes.
fn names(endpoint: &Endpoint, pod: Option<&str>) -> bool {
    let dashed = |address: &String| address.replace(['.', ':'], "-");
    pod.is_some_and(|pod| {
        endpoint.hostname.as_deref() == Some(pod)
            || endpoint.addresses.iter().any(|address| dashed(address) == pod)
    })
}

fn count_pods(pods: &[Pod], named: Option<&str>) -> Endpoints {
    let mut counted = Endpoints::default();
    for pod in pods {
        let status = pod.status.as_ref();
        // As for an endpoint: a pod that has ended, or has no address yet, does not count.
        let has_ended = matches!(
            status.and_then(|status| status.phase.as_deref()),
            Some("Succeeded" | "Failed")
        );
        let Some(address) = status.and_then(|status| status.pod_ip.as_deref()) else {
            continue;
        };
        if has_ended {
            continue;
        }
        let conditions = status
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let is_ready = pod.metadata.deletion_timestamp.is_none()
            && conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let hostname = pod.spec.as_ref().and_then(|spec| spec.hostname.as_deref());
        if named.is_some_and(|named| hostname == Some(named) || address.replace(['.', ':'], "-") == named) {
            counted.pod_is_ready = Some(is_ready);
        }
        if is_ready {
            counted.ready += 1;
        } else {
            counted.not_ready += 1;
        }
    }
    counted
}
