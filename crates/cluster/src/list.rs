//! Lists for the user to choose from: namespaces, workloads, services, ports.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{self as core, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
pub use slipway_control_api::list::{Container, Namespace, Port, Service, Workload, WorkloadKind, Workloads};

use crate::watch::Follow;
use slipway_api_server::request::{Access, ApiError, ask};

/// Number of objects in one page of a list.
const PAGE: u32 = 500;

/// Largest number of pages; a longer list is of no use to choose from.
const PAGES: usize = 20;

/// Lists the namespaces by name.
///
/// # Errors
/// Returns [`ApiError::Forbidden`] for many developers; then only the namespaces of kubeconfig and profiles are known.
pub async fn namespaces(client: &Client) -> Result<Vec<Namespace>, ApiError> {
    let api: Api<core::Namespace> = Api::all(client.clone());
    let listed = all(&api, &Access::cluster("list", "", "namespaces")).await?;
    let namespace = |one: core::Namespace| Namespace {
        ending: one.metadata.deletion_timestamp.is_some(),
        assumed: false,
        name: one.name_any(),
    };
    Ok(listed.into_iter().map(namespace).collect())
}

/// Watch of the cluster's namespaces.
pub struct FollowNamespaces(Follow<core::Namespace>);

impl FollowNamespaces {
    /// Creates the watch. It starts with the first call of [`next`](Self::next).
    pub fn new(client: &Client) -> FollowNamespaces {
        FollowNamespaces(Follow::of_cluster(Api::all(client.clone()), "namespaces"))
    }

    /// Returns the names of the namespaces: at once the first time, then after each change. May be called again after an
    /// error. Cancel-safe.
    ///
    /// # Errors
    /// Returns [`ApiError`]; [`ApiError::Forbidden`] if the user may not list or not watch namespaces.
    pub async fn next(&mut self) -> Result<Vec<String>, ApiError> {
        Ok(self.0.next().await?.keys().cloned().collect())
    }
}

/// Lists the workloads of a namespace.
///
/// # Errors
/// Returns [`ApiError`], except for kinds that the user may not list, which are part of the answer.
pub async fn workloads(client: &Client, namespace: &str) -> Result<Workloads, ApiError> {
    let (deployments, stateful_sets, daemon_sets) = tokio::join!(
        apps::<Deployment>(client, namespace, "deployments"),
        apps::<StatefulSet>(client, namespace, "statefulsets"),
        apps::<DaemonSet>(client, namespace, "daemonsets"),
    );
    let mut found = Workloads::default();
    for one in listed_or_noted(deployments, &mut found.forbidden)? {
        let (spec, status) = (
            one.spec.clone().unwrap_or_default(),
            one.status.clone().unwrap_or_default(),
        );
        let counts = (spec.replicas.unwrap_or(1), status.ready_replicas.unwrap_or(0));
        found.workloads.push(workload(
            WorkloadKind::Deployment,
            &one,
            counts,
            spec.template.spec,
        ));
    }
    for one in listed_or_noted(stateful_sets, &mut found.forbidden)? {
        let (spec, status) = (
            one.spec.clone().unwrap_or_default(),
            one.status.clone().unwrap_or_default(),
        );
        let counts = (spec.replicas.unwrap_or(1), status.ready_replicas.unwrap_or(0));
        found.workloads.push(workload(
            WorkloadKind::StatefulSet,
            &one,
            counts,
            spec.template.spec,
        ));
    }
    for one in listed_or_noted(daemon_sets, &mut found.forbidden)? {
        let (spec, status) = (
            one.spec.clone().unwrap_or_default(),
            one.status.clone().unwrap_or_default(),
        );
        let counts = (status.desired_number_scheduled, status.number_ready);
        found.workloads.push(workload(
            WorkloadKind::DaemonSet,
            &one,
            counts,
            spec.template.spec,
        ));
    }
    Ok(found)
}

/// Lists the services of a namespace by name.
///
/// # Errors
/// Returns [`ApiError`] if the user may not list them.
pub async fn services(client: &Client, namespace: &str) -> Result<Vec<Service>, ApiError> {
    let api: Api<core::Service> = Api::namespaced(client.clone(), namespace);
    let listed = all(&api, &Access::within(namespace, "list", "", "services")).await?;
    Ok(listed.into_iter().map(service).collect())
}

/// Returns the listed objects. For a kind that the user may not list, records the missing permission instead.
fn listed_or_noted<K>(
    listed: Result<Vec<K>, ApiError>,
    forbidden: &mut Vec<Access>,
) -> Result<Vec<K>, ApiError> {
    match listed {
        Err(ApiError::Forbidden { access, .. }) => {
            forbidden.push(access);
            Ok(Vec::new())
        }
        other => other,
    }
}

async fn apps<K>(client: &Client, namespace: &str, resource: &'static str) -> Result<Vec<K>, ApiError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    all(&api, &Access::within(namespace, "list", "apps", resource)).await
}

/// Lists all objects, in pages.
pub(crate) async fn all<K>(api: &Api<K>, access: &Access) -> Result<Vec<K>, ApiError>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    for _ in 0..PAGES {
        let page = ask(access.clone(), api.list(&params)).await?;
        objects.extend(page.items);
        let Some(next) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
            break;
        };
        params = params.continue_token(&next);
    }
    Ok(objects)
}

fn workload(
    kind: WorkloadKind,
    object: &impl Resource<DynamicType = ()>,
    (wanted, ready): (i32, i32),
    pods: Option<PodSpec>,
) -> Workload {
    let containers = pods.map_or_else(Vec::new, |pods| pods.containers);
    Workload {
        kind,
        namespace: object.meta().namespace.clone().unwrap_or_default(),
        name: object.meta().name.clone().unwrap_or_default(),
        wanted,
        ready,
        containers: containers.into_iter().map(container).collect(),
    }
}

fn container(container: core::Container) -> Container {
    let port = |port: core::ContainerPort| {
        Some(Port {
            name: port.name,
            port: u16::try_from(port.container_port).ok()?,
            protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
            target: None,
        })
    };
    Container {
        name: container.name,
        image: container.image.unwrap_or_default(),
        ports: container
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(port)
            .collect(),
    }
}

/// Converts a service to what users see of it.
pub(crate) fn service(service: core::Service) -> Service {
    let name = service.name_any();
    let namespace = service.namespace().unwrap_or_default();
    let spec = service.spec.unwrap_or_default();
    let port = |port: core::ServicePort| {
        Some(Port {
            name: port.name,
            port: u16::try_from(port.port).ok()?,
            protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
            target: port.target_port.map(|target| match target {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(name) => name,
            }),
        })
    };
    let addresses = spec
        .cluster_ips
        .unwrap_or_else(|| spec.cluster_ip.into_iter().collect());
    Service {
        namespace,
        name,
        kind: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
        addresses: addresses
            .into_iter()
            .filter(|address| !address.is_empty() && address != "None")
            .collect(),
        external_name: spec.external_name,
        ports: spec
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter_map(port)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use slipway_scripted_api::{Script, list, rbac};

    #[tokio::test]
    async fn workloads_show_containers_and_forbidden_lists() {
        let deployment = json!({
            "metadata": {"name": "web", "namespace": "dev"},
            "spec": {"replicas": 3, "selector": {}, "template": {"spec": {"containers": [
                {"name": "app", "image": "shop:2", "ports": [{"name": "http", "containerPort": 8080}]},
            ]}}},
            "status": {"readyReplicas": 2},
        });
        let daemon = json!({
            "metadata": {"name": "logs", "namespace": "dev"},
            "spec": {"selector": {}, "template": {"spec": {"containers": []}}},
            "status": {"desiredNumberScheduled": 5, "numberReady": 5, "currentNumberScheduled": 5, "numberMisscheduled": 0},
        });
        let apps = "/apis/apps/v1/namespaces/dev";
        let script = Script::new()
            .on(
                "GET",
                &format!("{apps}/deployments"),
                200,
                list("DeploymentList", "apps/v1", &[deployment]),
            )
            .on(
                "GET",
                &format!("{apps}/daemonsets"),
                200,
                list("DaemonSetList", "apps/v1", &[daemon]),
            )
            .on(
                "GET",
                &format!("{apps}/statefulsets"),
                403,
                rbac("list", "statefulsets", "apps", "dev"),
            );
        let found = workloads(&script.client(), "dev").await.unwrap();
        assert_eq!(
            serde_json::to_value(&found).unwrap(),
            json!({
                "workloads": [
                    {"kind": "deployment", "namespace": "dev", "name": "web", "wanted": 3, "ready": 2, "containers": [
                        {"name": "app", "image": "shop:2", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]},
                    ]},
                    {"kind": "daemon-set", "namespace": "dev", "name": "logs", "wanted": 5, "ready": 5, "containers": []},
                ],
                "forbidden": [{"verb": "list", "group": "apps", "resource": "statefulsets", "namespace": "dev"}],
            })
        );
    }

    #[tokio::test]
    async fn services_show_addresses_ports_and_external_names() {
        let web = json!({
            "metadata": {"name": "web", "namespace": "dev"},
            "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"],
                     "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}, {"port": 53, "targetPort": 5353, "protocol": "UDP"}]},
        });
        let headless = json!({"metadata": {"name": "db", "namespace": "dev"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}});
        let external = json!({"metadata": {"name": "mail", "namespace": "dev"}, "spec": {"type": "ExternalName", "externalName": "mail.example"}});
        let script = Script::new().on(
            "GET",
            "/api/v1/namespaces/dev/services",
            200,
            list("ServiceList", "v1", &[web, headless, external]),
        );
        let found = services(&script.client(), "dev").await.unwrap();
        assert_eq!(found[0].addresses, ["10.96.0.9", "fd00::9"]);
        let targets: Vec<_> = found[0]
            .ports
            .iter()
            .map(|port| (port.port, port.target.as_deref(), &*port.protocol))
            .collect();
        assert_eq!(targets, [(80, Some("http"), "TCP"), (53, Some("5353"), "UDP")]);
        assert!(found[1].addresses.is_empty());
        assert_eq!(found[2].external_name.as_deref(), Some("mail.example"));
    }

    #[tokio::test]
    async fn long_lists_come_in_pages() {
        let page = |name: &str, next: &str| {
            json!({"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"continue": next},
                   "items": [{"metadata": {"name": name}}]})
        };
        let script = Script::new()
            .on("GET", "/api/v1/namespaces", 200, page("blog", "more"))
            .on("GET", "/api/v1/namespaces", 200, page("shop", ""));
        let found = namespaces(&script.client()).await.unwrap();
        assert_eq!(
            found.iter().map(|one| &*one.name).collect::<Vec<_>>(),
            ["blog", "shop"]
        );
        assert!(
            script.seen("GET", "/api/v1/namespaces")[1]
                .query
                .contains("continue=more")
        );
    }

    #[tokio::test]
    async fn forbidden_namespaces_are_an_error() {
        let script = Script::new().on(
            "GET",
            "/api/v1/namespaces",
            403,
            rbac("list", "namespaces", "", ""),
        );
        let error = namespaces(&script.client()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "you may not list namespaces in the whole cluster"
        );
    }
}
