//! Backing of a name: reads what stands behind a name of the cluster, with whatever permission there is.
//!
//! What the user may not read is part of the answer, with the permission that allows it.

use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1 as core;
use kube::Client;
use kube::api::Api;
use slipway_control_api::{Backing, NameFacts, Unread};

use crate::list;
use slipway_api_server::request::{Access, ApiError, ask_within};
use slipway_api_server::similar::nearest;
use subject::Subject;

mod endpoints;
mod subject;
mod workload;

/// Limit of one request. There are three in a row at most, and a user waits for them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Bound of the services that a name may mean: a service, or a pod of another service.
const SUBJECTS: usize = 3;

/// Bound of the other namespaces that are named.
const ELSEWHERE: usize = 5;

/// Reads what stands behind the name of these facts. `None` if the name is not a service's, or if there is nothing to say
/// about it. Takes three times two seconds at most.
pub async fn read(client: &Client, facts: &NameFacts) -> Option<Backing> {
    let subjects = subject::of(facts);
    if subjects.is_empty() {
        return None;
    }
    let services = subjects
        .iter()
        .take(SUBJECTS)
        .map(|subject| service_of(client, subject));
    let (namespaces, found) = tokio::join!(namespaces(client), join_all(services));
    let only_one = found.len() == 1;
    let mut backings: Vec<Backing> = found
        .into_iter()
        .map(|mut backing| {
            judge_namespace(&mut backing, &namespaces);
            backing
        })
        .collect();
    let chosen = backings
        .iter()
        .position(|backing| backing.exists == Some(true))
        .or_else(|| backings.iter().position(|backing| is_likely(backing, only_one)))?;
    let mut backing = backings.swap_remove(chosen);
    match &backing.service {
        Some(_) => {
            endpoints::read(client, &mut backing).await;
            let ready = backing.endpoints.as_ref().map(|endpoints| endpoints.ready);
            if ready == Some(0) && !backing.selector.is_empty() {
                workload::read(client, &mut backing).await;
            }
        }
        None if backing.exists == Some(false) => elsewhere(client, facts, &mut backing).await,
        None => {}
    }
    Some(backing)
}

/// Whether a service that was not found is worth a word: its namespace is not missing, or was perhaps misspelled, or the
/// name can mean nothing else.
fn is_likely(backing: &Backing, only_one: bool) -> bool {
    match backing.namespace_exists {
        Some(false) => only_one || backing.near_namespace.is_some(),
        Some(true) | None => only_one || backing.pod.is_none(),
    }
}

/// Runs a request, and notes in the backing what could not be read.
async fn ask_or_note<T>(
    unread: &mut Vec<Unread>,
    access: Access,
    request: impl Future<Output = kube::Result<T>>,
) -> Option<T> {
    match ask_within(PATIENCE, access.clone(), request).await {
        Ok(answer) => Some(answer),
        Err(error) => {
            unread.push(noted(access, &error));
            None
        }
    }
}

fn noted(access: Access, error: &ApiError) -> Unread {
    let is_forbidden = matches!(error, ApiError::Forbidden { .. });
    Unread {
        access,
        reason: (!is_forbidden).then(|| error.to_string()),
    }
}

/// Namespaces of the cluster.
enum Namespaces {
    Known(Vec<String>),
    Unread(Unread),
}

async fn namespaces(client: &Client) -> Namespaces {
    let access = Access::cluster("list", "", "namespaces");
    match tokio::time::timeout(PATIENCE, list::namespaces(client)).await {
        Ok(Ok(listed)) => Namespaces::Known(listed.into_iter().map(|one| one.name).collect()),
        Ok(Err(error)) => Namespaces::Unread(noted(access, &error)),
        Err(_) => Namespaces::Unread(noted(access, &ApiError::Timeout { waited: PATIENCE })),
    }
}

/// Adds what is known of the namespace.
fn judge_namespace(backing: &mut Backing, namespaces: &Namespaces) {
    if backing.exists == Some(true) {
        backing.namespace_exists = Some(true);
        return;
    }
    match namespaces {
        Namespaces::Known(names) if names.contains(&backing.namespace) => {
            backing.namespace_exists = Some(true);
        }
        Namespaces::Known(names) => {
            backing.namespace_exists = Some(false);
            backing.near_namespace = nearest(&backing.namespace, names.iter().map(String::as_str));
        }
        // Whether the namespace exists matters only for a service that was not found.
        Namespaces::Unread(unread) if backing.exists == Some(false) => backing.unread.push(unread.clone()),
        Namespaces::Unread(_) => {}
    }
}

/// Looks for the service: in the list of its namespace, which also shows similar names, else by its name.
async fn service_of(client: &Client, subject: &Subject) -> Backing {
    let Subject {
        service,
        namespace,
        pod,
    } = subject;
    let mut backing = Backing::unknown(service, namespace, pod.as_deref());
    let api: Api<core::Service> = Api::namespaced(client.clone(), namespace);
    let listing = Access::within(namespace, "list", "", "services");
    let listed = tokio::time::timeout(PATIENCE, list::all(&api, &listing)).await;
    match listed.unwrap_or(Err(ApiError::Timeout { waited: PATIENCE })) {
        Ok(services) => {
            let names: Vec<String> = services
                .iter()
                .filter_map(|one| one.metadata.name.clone())
                .collect();
            match services
                .into_iter()
                .find(|one| one.metadata.name.as_ref() == Some(service))
            {
                Some(found) => fill(&mut backing, found),
                None => {
                    backing.exists = Some(false);
                    backing.near = nearest(service, names.iter().map(String::as_str));
                }
            }
        }
        Err(ApiError::Forbidden { .. }) => {
            let getting = Access::within(namespace, "get", "", "services");
            match ask_within(PATIENCE, getting.clone(), api.get_opt(service)).await {
                Ok(Some(found)) => fill(&mut backing, found),
                Ok(None) => backing.exists = Some(false),
                Err(error) => backing.unread.push(noted(getting, &error)),
            }
        }
        Err(error) => backing.unread.push(noted(listing, &error)),
    }
    backing
}

fn fill(backing: &mut Backing, found: core::Service) {
    let selector = found.spec.as_ref().and_then(|spec| spec.selector.clone());
    backing.exists = Some(true);
    backing.selector = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    backing.service = Some(list::service(found));
}

/// Looks for services of the same name in other namespaces; the cluster's DNS may have found one already.
async fn elsewhere(client: &Client, facts: &NameFacts, backing: &mut Backing) {
    let api: Api<core::Service> = Api::all(client.clone());
    let named = kube::api::ListParams::default()
        .fields(&format!("metadata.name={}", backing.name))
        .limit(u32::try_from(ELSEWHERE).unwrap_or(u32::MAX));
    let listing = Access::cluster("list", "", "services");
    let listed = ask_or_note(&mut backing.unread, listing, api.list(&named)).await;
    let by_api = listed.into_iter().flat_map(|listed| listed.items);
    backing.elsewhere = by_api.filter_map(|one| one.metadata.namespace).collect();
    let near = facts.near.as_deref().and_then(Subject::read);
    if let Some(near) = near.filter(|near| backing.elsewhere.is_empty() && near.service == backing.name) {
        backing.elsewhere.push(near.namespace);
    }
}

#[cfg(test)]
mod tests;
