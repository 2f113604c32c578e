//! Manifests of the agent's Job and pod.
//!
//! They neither forbid nor request a service mesh: where the namespace injects one, the agent also reaches services that
//! only accept traffic of the mesh. A label or an annotation of the profile can keep the mesh away.
//!
//! A container that the cluster adds does not end by itself, and keeps the pod and the Job alive after the agent has
//! ended. Therefore such a pod has one process namespace ([`Processes::Shared`]), and the agent's container ends its
//! first process: the pod's sandbox, which runs as the same user. The kernel then ends all processes of the pod.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, ExecAction, LocalObjectReference, Pod, PodSecurityContext,
    PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext, Sysctl, Toleration, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use slipway_profile::{AgentSettings, Grace, Image, MetadataKey};
use uuid::Uuid;

use super::Placement;
use super::shape::{Processes, Shape};

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

/// Grace of agents for which no other is set.
const DEFAULT_GRACE: Duration = Duration::from_secs(90);

/// Name of the agent's container in its pod.
pub const AGENT_CONTAINER: &str = "agent";
pub(super) const NAME_LABEL: &str = "app.kubernetes.io/name";
pub(super) const SESSION_LABEL: &str = "slipway.dev/session";
pub(super) const NAME: &str = "slipway-agent";

const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// User id without an account, which many images use for `nonroot`.
const USER: i64 = 65_532;

/// Nodes that can run the agent's program, by their labels.
const NODES: [(&str, &str); 2] = [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")];

/// Period and limit of a probe in seconds: rare, because it checks nothing, and long, so that a busy node passes it.
const PROBE_SECONDS: i32 = 60;

/// Time in seconds for the agent of a deleted pod to end its streams.
const TERMINATION_SECONDS: i64 = 2;

/// Sysctl that lets the agent, which has no capability, send pings for the laptop. The restricted standard and the
/// kubelet allow it by default.
const PING_SYSCTL: (&str, &str) = ("net.ipv4.ping_group_range", "0 2147483647");

/// Returns the agent's image.
#[must_use]
pub fn image_of(settings: &AgentSettings) -> &str {
    settings.image.as_ref().map_or(DEFAULT_IMAGE, Image::as_str)
}

/// Returns the agent's grace: how long it waits for a client that went away.
#[must_use]
pub fn grace_of(settings: &AgentSettings) -> Duration {
    settings.grace.map_or(DEFAULT_GRACE, Grace::duration)
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
    let settings = placement.settings;
    let ours = [
        (NAME_LABEL, NAME.to_owned()),
        (MANAGED_BY_LABEL, "slipway".to_owned()),
        (SESSION_LABEL, placement.session.to_string()),
    ];
    let mut labels = texts(&settings.labels);
    // After the user's, so that none replaces one of these.
    labels.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    ObjectMeta {
        generate_name: named.then(|| format!("{NAME}-")),
        namespace: named.then(|| placement.namespace.clone()),
        labels: Some(labels),
        annotations: listed(texts(&settings.annotations)),
        ..ObjectMeta::default()
    }
}

fn pod_spec(placement: &Placement<'_>, shape: &Shape) -> PodSpec {
    let user = (!shape.assigned_user).then_some(USER);
    let settings = placement.settings;
    let mut node_selector = texts(&settings.node_selector);
    node_selector.extend(NODES.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let secrets = settings.pull_secrets.iter().map(|name| LocalObjectReference {
        name: name.to_string(),
    });
    PodSpec {
        service_account_name: settings.service_account.as_ref().map(ToString::to_string),
        image_pull_secrets: listed(secrets.collect()),
        tolerations: listed(settings.tolerations.iter().map(toleration).collect()),
        share_process_namespace: (shape.processes == Processes::Shared).then_some(true),
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(TERMINATION_SECONDS),
        node_selector: Some(node_selector),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: user,
            run_as_group: user,
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            sysctls: (!shape.without_sysctls).then(|| {
                vec![Sysctl {
                    name: PING_SYSCTL.0.to_owned(),
                    value: PING_SYSCTL.1.to_owned(),
                }]
            }),
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
        image: Some(image_of(placement.settings).to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec!["sh".to_owned(), "-c".to_owned(), script(placement, shape)]),
        resources: Some(shape.demands.met()),
        liveness_probe: shape.probes.then(probe),
        readiness_probe: shape.probes.then(probe),
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

/// Returns a probe that always succeeds. One that failed would end an agent whose session is connected.
fn probe() -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(["sh", "-c", ":"].map(str::to_owned).into()),
        }),
        period_seconds: Some(PROBE_SECONDS),
        timeout_seconds: Some(PROBE_SECONDS),
        ..Probe::default()
    }
}

fn toleration(toleration: &slipway_profile::Toleration) -> Toleration {
    let operator = match toleration.value() {
        Some(_) => "Equal",
        None => "Exists",
    };
    Toleration {
        key: Some(toleration.key().to_owned()),
        operator: Some(operator.to_owned()),
        value: toleration.value().map(str::to_owned),
        effect: toleration.effect().map(str::to_owned),
        ..Toleration::default()
    }
}

fn texts(pairs: &BTreeMap<MetadataKey, impl ToString>) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// Returns a collection, or `None` for an empty one, so that the manifest does not contain it.
fn listed<C>(collection: C) -> Option<C>
where
    for<'c> &'c C: IntoIterator,
{
    let is_empty = (&collection).into_iter().next().is_none();
    (!is_empty).then_some(collection)
}

/// Returns the script of the container. It blocks on a FIFO until the upload reports that it has begun, and then that
/// binary and key have arrived; then it executes the agent. Container and upload may start in either order, so each
/// creates the FIFO if it is missing. The container keeps the FIFO open, so that no line is lost.
///
/// Where the pod's processes are shared, the shell stays, and its end is the end of the pod.
pub(super) fn script(placement: &Placement<'_>, shape: &Shape) -> String {
    let Placement { settings, key, .. } = placement;
    let agent = format!(
        "\"$agent\" serve --dir {AGENT_FOLDER} --key-sha256 {digest} --port {AGENT_PORT} --grace {grace} </dev/null",
        digest = key.fingerprint(),
        grace = grace_of(settings).as_secs(),
    );
    let (begin, end) = match shape.processes {
        Processes::Own | Processes::NeverShared => ("", format!("exec {agent}\n")),
        // A signal ends the first wait; the second one lets the agent say goodbye.
        Processes::Shared => (
            "trap 'kill 1' EXIT\n",
            format!("{agent} &\ntrap \"kill $!\" TERM\nwait $!\nwait $!\n"),
        ),
    };
    format!(
        "{begin}\
         umask 077\n\
         cd {AGENT_FOLDER} || exit\n\
         [ -p start ] || mkfifo start 2>/dev/null\n\
         exec <>start || exit\n\
         timeout {begins} sh -c 'read -r here' || exit\n\
         timeout {wait} sh -c 'read -r go && [ \"$go\" = go ]' || exit\n\
         agent={AGENT_FOLDER}/agent\n\
         [ -x {AGENT_IN_IMAGE} ] && agent={AGENT_IN_IMAGE}\n\
         {end}",
        begins = UPLOAD_BEGINS.as_secs(),
        wait = UPLOAD_GRACE.as_secs(),
    )
}

#[cfg(test)]
mod tests {
    use slipway_profile::Profile;

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
        let shape = Shape {
            assigned_user: true,
            ..Shape::default()
        };
        let pod = pod(&placement(), &shape).spec.unwrap().security_context.unwrap();
        assert_eq!(
            (pod.run_as_user, pod.run_as_group, pod.run_as_non_root),
            (None, None, Some(true))
        );
    }

    #[test]
    fn a_strict_namespace_gets_limits_and_probes_and_no_sysctl() {
        let mut shape = Shape {
            probes: true,
            without_sysctls: true,
            ..Shape::default()
        };
        shape.demands.limit(super::super::resources::Resource::Cpu);
        let mut pod = pod(&placement(), &shape).spec.unwrap();
        assert_eq!(pod.security_context.unwrap().sysctls, None);
        let container = pod.containers.remove(0);
        assert!(container.liveness_probe.is_some() && container.readiness_probe.is_some());
        assert_eq!(container.resources.unwrap().limits.unwrap()["cpu"].0, "1");
    }

    #[test]
    fn settings_of_the_profile_are_in_job_and_pod() {
        let settings = Profile::from_toml(
            "shop".parse().unwrap(),
            r#"
            version = 1
            [agent]
            service-account = "tunnel"
            pull-secrets = ["regcred"]
            tolerations = ["dedicated=ci:NoSchedule", "spot"]
            node-selector = { pool = "ci" }
            labels = { team = "shop" }
            annotations = { "linkerd.io/inject" = "disabled" }
            "#,
        );
        let settings = settings.unwrap().agent;
        let placement = Placement {
            settings: &settings,
            ..placement()
        };
        insta::assert_yaml_snapshot!(job(&placement, &Shape::default()));
    }

    #[test]
    fn a_shared_pod_ends_with_its_agent() {
        let pod = pod(&placement(), &Shape::default().shared()).spec.unwrap();
        assert_eq!(pod.share_process_namespace, Some(true));
        let script = pod.containers[0].command.as_ref().unwrap()[2].clone();
        assert!(script.starts_with("trap 'kill 1' EXIT\n"), "{script}");
        assert!(!script.contains("exec \"$agent\""), "{script}");
    }
}
