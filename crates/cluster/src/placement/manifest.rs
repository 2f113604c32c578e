//! The agent's Job and pod, as the API server gets them.
//!
//! A service mesh is neither refused nor asked for: where the namespace injects one, the agent reaches what only the
//! mesh lets in.

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

/// The image that is used where the profile names none: small, and everywhere.
pub const DEFAULT_IMAGE: &str = "busybox";

/// Where an image may bring an agent of its own; it is used instead of the one that would be sent.
pub const AGENT_IN_IMAGE: &str = "/usr/local/bin/slipway-agent";

/// The only folder in the pod that can be written.
pub const AGENT_FOLDER: &str = "/slipway";

/// The agent's port on the pod's loopback.
pub const AGENT_PORT: u16 = 7600;

/// How long a pod waits for the upload of its agent to begin before it ends itself, so that a laptop which went away
/// leaves nothing.
pub const UPLOAD_BEGINS: Duration = Duration::from_secs(30);

/// How long an upload may take, as far as the pod is concerned. One that breaks off ends the pod at once.
pub const UPLOAD_GRACE: Duration = Duration::from_secs(300);

/// The name of the agent's container in its pod.
pub const AGENT_CONTAINER: &str = "agent";
pub(super) const NAME_LABEL: &str = "app.kubernetes.io/name";
pub(super) const SESSION_LABEL: &str = "slipway.dev/session";
pub(super) const NAME: &str = "slipway-agent";

const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// An id without an account, as many images use for `nonroot`.
const USER: i64 = 65_532;

/// How long a deleted pod's agent may say goodbye to its streams.
const TERMINATION_SECONDS: i64 = 2;

/// Lets the agent, which has no capability, send pings for the laptop. One of the few sysctls that the restricted
/// standard and the kubelet allow without anybody's consent.
const PING_SYSCTL: (&str, &str) = ("net.ipv4.ping_group_range", "0 2147483647");

/// What a namespace may want beyond the ordinary manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// A quota counts CPU limits. Otherwise there is none: a throttled agent would slow every stream.
    cpu_limit: bool,
    /// A quota counts ephemeral storage.
    ephemeral_storage: bool,
    /// The cluster assigns user ids itself (OpenShift's security context constraints).
    assigned_user: bool,
}

impl Shape {
    /// The shape that answers a refusal, if there is one that was not tried yet.
    pub(super) fn with_what_is_wanted(&self, refused: &PlaceError) -> Option<Self> {
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

/// The label selector of one session's objects.
pub(super) fn selector(session: Uuid) -> String {
    format!("{NAME_LABEL}={NAME},{SESSION_LABEL}={session}")
}

/// The Job. `ttlSecondsAfterFinished: 0` makes the cluster remove Job and pod as soon as the agent ended, with no
/// client running.
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

/// The pod alone, for namespaces where Jobs are forbidden.
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

/// What the container runs: wait on a FIFO, without turning round, until the upload says that it is there, and then that
/// binary and key are; then become the agent. Whoever comes first makes the FIFO, the container or the upload. It stays
/// open in between, so that no word is lost.
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
    fn the_job_is_removed_by_the_cluster_and_keeps_to_the_restricted_standard() {
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
    fn a_cluster_that_assigns_users_is_left_to() {
        let message =
            "unable to validate against any security context constraint: runAsUser 65532".to_owned();
        let shape = Shape::default()
            .with_what_is_wanted(&PlaceError::Admission {
                message: message.clone(),
            })
            .unwrap();
        let pod = pod(&placement(), &shape).spec.unwrap().security_context.unwrap();
        assert_eq!(
            (pod.run_as_user, pod.run_as_group, pod.run_as_non_root),
            (None, None, Some(true))
        );
        assert_eq!(
            shape.with_what_is_wanted(&PlaceError::Admission { message }),
            None
        );
    }

    #[test]
    fn a_full_quota_is_not_answered_with_another_shape() {
        let message = "exceeded quota: q, requested: limits.cpu=1, used: limits.cpu=4".to_owned();
        assert_eq!(
            Shape::default().with_what_is_wanted(&PlaceError::Quota { message }),
            None
        );
    }
}
