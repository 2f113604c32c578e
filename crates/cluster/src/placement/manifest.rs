//! Manifests of the agent's Job and pod.
//!
//! They neither forbid nor request a service mesh: where the namespace injects one, the agent also reaches services that
//! only accept traffic of the mesh.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, Pod, PodSecurityContext, PodSpec, PodTemplateSpec,
    ResourceRequirements, SeccompProfile, SecurityContext, Sysctl, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use uuid::Uuid;

use super::{PlaceError, Placement};

/// Image for profiles that name none: small, and available everywhere.
pub const DEFAULT_IMAGE: &str = "busybox";

/// Path of an agent in an image; it is used instead of an uploaded one.
pub const AGENT_IN_IMAGE: &str = "/usr/local/bin/slipway-agent";

/// Only writable folder in the pod.
pub const AGENT_FOLDER: &str = "/slipway";

/// Port of the agent on the pod's loopback.
pub const AGENT_PORT: u16 = 7600;

/// Limit of the pod's wait for the upload to begin. After it the pod ends itself, so that a lost laptop leaves nothing.
pub const UPLOAD_BEGINS: Duration = Duration::from_secs(30);

/// Limit of the upload on the pod's side. An upload that breaks off ends the pod at once.
pub const UPLOAD_GRACE: Duration = Duration::from_secs(300);

/// Name of the agent's container in its pod.
pub const AGENT_CONTAINER: &str = "agent";
pub(super) const NAME_LABEL: &str = "app.kubernetes.io/name";
pub(super) const SESSION_LABEL: &str = "slipway.dev/session";
pub(super) const NAME: &str = "slipway-agent";

const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// User id without an account, which many images use for `nonroot`.
const USER: i64 = 65_532;

/// Time in seconds for the agent of a deleted pod to end its streams.
const TERMINATION_SECONDS: i64 = 2;

/// Sysctl that lets the agent, which has no capability, send pings for the laptop. The restricted standard and the
/// kubelet allow it by default.
const PING_SYSCTL: (&str, &str) = ("net.ipv4.ping_group_range", "0 2147483647");

/// Requirements of a namespace beyond the ordinary manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// A quota counts CPU limits. Otherwise the agent has none, because throttling would slow every stream.
    cpu_limit: bool,
    /// A quota counts ephemeral storage.
    ephemeral_storage: bool,
    /// The cluster assigns user ids itself (OpenShift's security context constraints).
    assigned_user: bool,
}

impl Shape {
    /// Returns the shape that satisfies a refusal, if it differs from this one.
    pub(super) fn adapted_to(&self, refused: &PlaceError) -> Option<Self> {
        let mut next = self.clone();
        match refused {
            PlaceError::Quota { message } => {
                let unspecified = message.split_once("must specify").map_or("", |(_, what)| what);
                next.cpu_limit |= unspecified.contains("limits.cpu");
                next.ephemeral_storage |= unspecified.contains("ephemeral-storage");
            }
            PlaceError::Admission { message } => {
                next.assigned_user |= message.contains("security context constraint");
            }
            PlaceError::Api(_)
            | PlaceError::Forbidden { .. }
            | PlaceError::NamespaceMissing { .. }
            | PlaceError::NamespaceEnding { .. }
            | PlaceError::LimitRange { .. }
            | PlaceError::Unschedulable { .. }
            | PlaceError::Image { .. }
            | PlaceError::Container { .. }
            | PlaceError::Ended { .. }
            | PlaceError::Evicted { .. }
            | PlaceError::Gone
            | PlaceError::TooSlow { .. }
            | PlaceError::Upload(_) => {}
        }
        (next != *self).then_some(next)
    }
}

/// Returns the label selector of one session's objects.
pub(super) fn selector(session: Uuid) -> String {
    format!("{NAME_LABEL}={NAME},{SESSION_LABEL}={session}")
}

/// Returns the Job. With `ttlSecondsAfterFinished: 0` the cluster removes Job and pod as soon as the agent has ended,
/// without a client.
pub(super) fn job(placement: &Placement<'_>, shape: &Shape) -> Job {
    Job {
        metadata: metadata(placement, true),
        spec: Some(JobSpec {
            parallelism: Some(1),
            completions: Some(1),
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(0),
            template: PodTemplateSpec {
                metadata: Some(metadata(placement, false)),
                spec: Some(pod_spec(placement, shape)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// Returns the pod alone, for namespaces where Jobs are forbidden.
pub(super) fn pod(placement: &Placement<'_>, shape: &Shape) -> Pod {
    Pod {
        metadata: metadata(placement, true),
        spec: Some(pod_spec(placement, shape)),
        ..Pod::default()
    }
}

fn metadata(placement: &Placement<'_>, named: bool) -> ObjectMeta {
    let labels = [
        (NAME_LABEL, NAME.to_owned()),
        (MANAGED_BY_LABEL, "slipway".to_owned()),
        (SESSION_LABEL, placement.session.to_string()),
    ];
    ObjectMeta {
        generate_name: named.then(|| format!("{NAME}-")),
        namespace: named.then(|| placement.namespace.clone()),
        labels: Some(
            labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        ),
        ..ObjectMeta::default()
    }
}

fn pod_spec(placement: &Placement<'_>, shape: &Shape) -> PodSpec {
    let user = (!shape.assigned_user).then_some(USER);
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(TERMINATION_SECONDS),
        node_selector: Some(pairs(
            [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")],
            str::to_owned,
        )),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: user,
            run_as_group: user,
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            sysctls: Some(vec![Sysctl {
                name: PING_SYSCTL.0.to_owned(),
                value: PING_SYSCTL.1.to_owned(),
            }]),
            ..PodSecurityContext::default()
        }),
        volumes: Some(vec![Volume {
            name: NAME.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity("64Mi".to_owned())),
            }),
            ..Volume::default()
        }]),
        containers: vec![container(placement, shape)],
        ..PodSpec::default()
    }
}

fn container(placement: &Placement<'_>, shape: &Shape) -> Container {
    Container {
        name: AGENT_CONTAINER.to_owned(),
        image: Some(placement.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), script(placement)]),
        resources: Some(resources(shape)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: NAME.to_owned(),
            mount_path: AGENT_FOLDER.to_owned(),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn resources(shape: &Shape) -> ResourceRequirements {
    let mut requests = vec![("cpu", "10m"), ("memory", "16Mi")];
    let mut limits = vec![("memory", "128Mi")];
    if shape.cpu_limit {
        limits.push(("cpu", "1"));
    }
    if shape.ephemeral_storage {
        requests.push(("ephemeral-storage", "1Mi"));
        limits.push(("ephemeral-storage", "16Mi"));
    }
    let quantity = |text: &str| Quantity(text.to_owned());
    ResourceRequirements {
        requests: Some(pairs(requests, quantity)),
        limits: Some(pairs(limits, quantity)),
        ..ResourceRequirements::default()
    }
}

fn pairs<'a, V>(
    listed: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: impl Fn(&str) -> V,
) -> BTreeMap<String, V> {
    listed
        .into_iter()
        .map(|(key, text)| (key.to_owned(), value(text)))
        .collect()
}

/// Returns the script of the container. It blocks on a FIFO until the upload reports that it has begun, and then that
/// binary and key have arrived; then it executes the agent. Container and upload may start in either order, so each
/// creates the FIFO if it is missing. The container keeps the FIFO open, so that no line is lost.
pub(super) fn script(placement: &Placement<'_>) -> String {
    let Placement { grace, key, .. } = placement;
    format!(
        "umask 077\n\
         cd {AGENT_FOLDER} || exit\n\
         [ -p start ] || mkfifo start 2>/dev/null\n\
         exec <>start || exit\n\
         timeout {begins} sh -c 'read -r here' || exit\n\
         timeout {wait} sh -c 'read -r go && [ \"$go\" = go ]' || exit\n\
         agent={AGENT_FOLDER}/agent\n\
         [ -x {AGENT_IN_IMAGE} ] && agent={AGENT_IN_IMAGE}\n\
         exec \"$agent\" serve --dir {AGENT_FOLDER} --key-sha256 {digest} --port {AGENT_PORT} --grace {grace} </dev/null\n",
        begins = UPLOAD_BEGINS.as_secs(),
        wait = UPLOAD_GRACE.as_secs(),
        digest = key.fingerprint(),
        grace = grace.as_secs(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::placement;
    use super::*;

    #[test]
    fn the_job_meets_the_restricted_standard() {
        insta::assert_yaml_snapshot!(job(&placement(), &Shape::default()));
    }

    #[test]
    fn the_bare_pod_is_the_jobs_pod() {
        let (job, pod) = (
            job(&placement(), &Shape::default()),
            pod(&placement(), &Shape::default()),
        );
        assert_eq!(job.spec.unwrap().template.spec, pod.spec);
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("slipway-agent-"));
        assert_eq!(
            pod.metadata.labels.unwrap()[SESSION_LABEL],
            placement().session.to_string()
        );
    }

    #[test]
    fn the_manifest_shows_the_keys_digest_and_never_the_key() {
        let text = serde_json::to_string(&job(&placement(), &Shape::default())).unwrap();
        assert!(text.contains(&placement().key.fingerprint().to_string()));
        assert!(!text.contains(&placement().key.to_hex()));
    }

    #[test]
    fn a_cluster_that_assigns_users_gets_no_user_id() {
        let message =
            "unable to validate against any security context constraint: runAsUser 65532".to_owned();
        let shape = Shape::default()
            .adapted_to(&PlaceError::Admission {
                message: message.clone(),
            })
            .unwrap();
        let pod = pod(&placement(), &shape).spec.unwrap().security_context.unwrap();
        assert_eq!(
            (pod.run_as_user, pod.run_as_group, pod.run_as_non_root),
            (None, None, Some(true))
        );
        assert_eq!(shape.adapted_to(&PlaceError::Admission { message }), None);
    }

    #[test]
    fn a_full_quota_is_not_answered_with_another_shape() {
        let message = "exceeded quota: q, requested: limits.cpu=1, used: limits.cpu=4".to_owned();
        assert_eq!(Shape::default().adapted_to(&PlaceError::Quota { message }), None);
    }
}
