//! Tests of placing with a scripted API server: each failure, and the cleanup after it.

use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};
use slipway_control_api::AgentEnd;
use slipway_problem::Fault;

use super::*;
use slipway_scripted_api::{Script, event, failure, list, rbac};
use tokio::sync::watch;

mod rules;

const JOBS: &str = "/apis/batch/v1/namespaces/dev/jobs";
const JOB: &str = "/apis/batch/v1/namespaces/dev/jobs/slipway-agent-x";
const PODS: &str = "/api/v1/namespaces/dev/pods";
const NODES: &str = "/api/v1/nodes";
const EVENTS: &str = "/api/v1/namespaces/dev/events";

static SETTINGS: LazyLock<AgentSettings> = LazyLock::new(|| AgentSettings {
    grace: Some(600.try_into().unwrap()),
    ..AgentSettings::default()
});

pub(super) fn placement() -> Placement<'static> {
    Placement {
        namespace: "dev".to_owned(),
        session: Uuid::from_u128(0x5115_0000_0000_0000_0000_0000_0000_0001),
        settings: &SETTINGS,
        key: Key::from_bytes([7; 32]),
        binary: b"agent",
    }
}

fn job() -> Value {
    json!({"metadata": {"name": "slipway-agent-x", "namespace": "dev"}, "spec": {"template": {}}})
}

fn pod(status: Value) -> Value {
    json!({
        "metadata": {
            "name": "slipway-agent-x-1", "namespace": "dev", "uid": "u1",
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "slipway-agent-x", "uid": "j1"}],
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "agent", "image": "busybox"}]},
        "status": status,
    })
}

fn state(state: Value) -> Value {
    json!({"phase": "Pending", "containerStatuses": [
        {"name": "agent", "image": "busybox", "imageID": "", "ready": false, "restartCount": 0, "state": state},
    ]})
}

fn waiting(reason: &str, message: &str) -> Value {
    state(json!({"waiting": {"reason": reason, "message": message}}))
}

fn running() -> Value {
    let mut status = state(json!({"running": {}}));
    status["podIP"] = json!("10.244.0.7");
    status["podIPs"] = json!([{"ip": "10.244.0.7"}, {"ip": "fd00::7"}]);
    status
}

/// Returns a cluster where the Job is created and its pod has these states in order.
fn cluster(states: &[Value]) -> Script {
    let events: Vec<_> = states
        .iter()
        .map(|state| event("MODIFIED", &pod(state.clone())))
        .collect();
    Script::new()
        .on("POST", JOBS, 201, job())
        .on(
            "DELETE",
            JOB,
            200,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
        )
        .on("GET", EVENTS, 200, list("EventList", "v1", &[]))
        .on("GET", PODS, 200, list("PodList", "v1", &[]))
        .on_watch(PODS, &events)
}

fn unschedulable() -> Value {
    let message = "0/3 nodes are available: 3 node(s) had untolerated taint(s)";
    json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message},
    ]})
}

async fn failing(script: &Script) -> PlaceError {
    place(&script.client(), &placement(), &|_| ()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_failed_image_pull_has_the_registrys_message() {
    let script = cluster(&[
        waiting("ContainerCreating", ""),
        waiting("ErrImagePull", "dial tcp 192.0.2.1:443: i/o timeout"),
        waiting("ImagePullBackOff", "Back-off pulling image \"busybox\""),
    ]);
    let reasons = Mutex::new(Vec::new());
    let error = place(&script.client(), &placement(), &|progress| {
        reasons.lock().unwrap().push(progress)
    })
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cluster cannot fetch the image \"busybox\" (ImagePullBackOff): dial tcp 192.0.2.1:443: i/o timeout"
    );
    assert_eq!(error.code(), "agent-image");
    let waiting = |reason: &str| Progress::WaitingForPod {
        reason: reason.to_owned(),
    };
    assert_eq!(
        *reasons.lock().unwrap(),
        [
            Progress::Creating,
            Progress::Created(Created::Job("slipway-agent-x".to_owned())),
            waiting("no pod yet"),
            waiting("ContainerCreating"),
            waiting("ErrImagePull")
        ]
    );
    assert_eq!(
        script.seen("DELETE", JOB).len(),
        1,
        "objects of a failed placement are removed"
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_exist_fails_with_the_first_pull() {
    for message in [
        "docker.io/library/nosuch:latest: not found",
        "pull access denied, repository does not exist",
        "dial tcp: lookup registry.nosuch: no such host",
        "401 Unauthorized",
    ] {
        let script = cluster(&[waiting("ErrImagePull", message)]);
        let error = place(&script.client(), &placement(), &|_| {}).await.unwrap_err();
        assert_eq!(error.code(), "agent-image");
        assert!(
            error.to_string().ends_with(&format!("(ErrImagePull): {message}")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_made_fails_at_once() {
    let script = cluster(&[waiting("CreateContainerError", "no such runtime")]);
    assert_eq!(
        failing(&script).await.to_string(),
        "the agent's container does not start (CreateContainerError): no such runtime"
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_without_a_shell_has_a_remedy() {
    let ended = json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: \"sh\": not found"}});
    let error = failing(&cluster(&[state(ended)])).await;
    assert_eq!(error.code(), "agent-container");
    assert!(error.remedy().contains("shell"), "{}", error.remedy());
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_a_node_as_long_as_for_an_image() {
    let started = tokio::time::Instant::now();
    let steps = Mutex::new(Vec::new());
    let script = cluster(&[unschedulable()]);
    let error = place(&script.client(), &placement(), &|progress| {
        if let Progress::WaitingForPod { reason } = progress {
            steps.lock().unwrap().push((started.elapsed().as_secs(), reason));
        }
    })
    .await
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no node accepts the agent's pod: 0/3 nodes are available: 3 node(s) had untolerated taint(s)"
    );
    assert!(error.remedy().contains("amd64") && error.remedy().contains("--agent-toleration"));
    assert_eq!(started.elapsed(), START_PATIENCE);
    let (shown_after, step) = steps.lock().unwrap().last().cloned().unwrap();
    assert_eq!(shown_after, 0, "the scheduler's message is shown at once");
    assert!(step.contains("0/3 nodes are available"), "{step}");
}

#[tokio::test(start_paused = true)]
async fn nodes_of_another_processor_are_named_at_once() {
    let message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.";
    let mut status = unschedulable();
    status["conditions"][0]["message"] = json!(message);
    let node = json!({"metadata": {"name": "a", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}});
    let script = cluster(&[status.clone(), status]).on("GET", NODES, 200, list("NodeList", "v1", &[node]));
    let steps = Mutex::new(Vec::new());
    let error = place(&script.client(), &placement(), &|progress| {
        if let Progress::WaitingForPod { reason } = progress {
            steps.lock().unwrap().push(reason);
        }
    })
    .await
    .unwrap_err();
    let words = format!("this cluster has only arm64 nodes, and the agent needs amd64 ({message})");
    let last = steps.lock().unwrap().last().cloned();
    assert_eq!(last, Some(format!("Unschedulable: {words}")));
    assert_eq!(
        error.to_string(),
        format!("no node accepts the agent's pod: {words}")
    );
    assert_eq!(
        script.seen("GET", NODES).len(),
        1,
        "the same message is explained once"
    );
}

#[tokio::test(start_paused = true)]
async fn an_evicted_pod_has_the_nodes_message() {
    let evicted =
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    let error = failing(&cluster(&[evicted])).await;
    assert_eq!(error.code(), "agent-evicted");
    assert!(error.to_string().contains("low on resource"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_runs_fails_with_its_last_reason() {
    let error = failing(&cluster(&[waiting("ContainerCreating", "")])).await;
    let PlaceError::TooSlow { waited, last } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((*waited, &**last), (START_PATIENCE, "ContainerCreating"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_it_starts_is_reported() {
    let pods = [
        event("ADDED", &pod(waiting("ContainerCreating", ""))),
        event("DELETED", &pod(json!({}))),
    ];
    let script = Script::new()
        .on("POST", JOBS, 201, job())
        .on("GET", PODS, 200, list("PodList", "v1", &[]))
        .on_watch(PODS, &pods);
    assert_eq!(failing(&script).await.code(), "agent-deleted");
}

#[tokio::test(start_paused = true)]
async fn the_job_controllers_refusal_comes_from_events() {
    let message =
        "Error creating: pods \"slipway-agent-x-1\" is forbidden: exceeded quota: small, requested: pods=1";
    let said =
        json!({"metadata": {"name": "e1", "namespace": "dev"}, "involvedObject": {}, "message": message});
    let script = cluster(&[]).on_watch(EVENTS, &[event("ADDED", &said)]);
    let started = tokio::time::Instant::now();
    let error = failing(&script).await;
    assert_eq!(error.code(), "quota");
    assert!(error.to_string().contains("exceeded quota: small"));
    assert!(started.elapsed() < Duration::from_secs(1));
    let asked = &script.seen("GET", EVENTS)[0].query;
    assert!(asked.contains("involvedObject.name%3Dslipway-agent-x"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn without_events_a_dry_run_finds_the_refusal() {
    let violates =
        "pods \"slipway-agent-\" is forbidden: violates PodSecurity \"restricted:latest\": seccompProfile";
    let script = Script::new()
        .on("POST", JOBS, 201, job())
        .on("GET", PODS, 200, list("PodList", "v1", &[]))
        .on("GET", EVENTS, 403, rbac("list", "events", "", "dev"))
        .on("POST", PODS, 403, failure(403, "Forbidden", violates));
    let error = failing(&script).await;
    assert_eq!(error.code(), "agent-refused");
    assert!(error.to_string().contains("violates PodSecurity"));
    let asked = script.seen("POST", PODS);
    assert!(
        asked.iter().all(|seen| seen.query.contains("dryRun=All")),
        "nothing may be created by asking"
    );
}

#[tokio::test]
async fn where_jobs_are_forbidden_a_bare_pod_is_placed() {
    let script = Script::new()
        .on("POST", JOBS, 403, rbac("create", "jobs", "batch", "dev"))
        .on(
            "POST",
            PODS,
            201,
            json!({"metadata": {"name": "slipway-agent-b"}}),
        )
        .on(
            "DELETE",
            &format!("{PODS}/slipway-agent-b"),
            200,
            json!({"metadata": {"name": "slipway-agent-b"}}),
        )
        .on(
            "GET",
            PODS,
            200,
            list(
                "PodList",
                "v1",
                &[json!({
                    "metadata": {"name": "slipway-agent-b", "namespace": "dev", "uid": "u2"},
                    "status": waiting("ErrImageNeverPull", "not present"),
                })],
            ),
        );
    assert_eq!(failing(&script).await.code(), "agent-image");
    let asked = &script.seen("POST", PODS)[0];
    assert_eq!(asked.body["spec"]["restartPolicy"], "Never");
    assert_eq!(script.seen("DELETE", &format!("{PODS}/slipway-agent-b")).len(), 1);
}

#[tokio::test]
async fn a_user_who_may_create_nothing_gets_a_role() {
    let script = Script::new()
        .on("POST", JOBS, 403, rbac("create", "jobs", "batch", "dev"))
        .on("POST", PODS, 403, rbac("create", "pods", "", "dev"));
    let error = failing(&script).await;
    assert_eq!(
        error.to_string(),
        "you may not create jobs (batch) in namespace dev"
    );
    assert!(error.remedy().contains("resources: [jobs]"), "{}", error.remedy());
    assert!(script.changes().iter().all(|seen| seen.method == "POST"));
}

#[tokio::test]
async fn each_refusal_has_its_own_code() {
    let cases = [
        (404, "namespaces \"dev\" not found", "namespace-missing"),
        (
            403,
            "jobs is forbidden: unable to create new content in namespace dev because it is being terminated",
            "namespace-ending",
        ),
        (
            403,
            "jobs \"x\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 128Mi",
            "limit-range",
        ),
        (
            403,
            "jobs \"x\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1",
            "quota",
        ),
        (
            400,
            "admission webhook \"policy.example\" denied the request: no images from outside",
            "agent-refused",
        ),
        (
            422,
            "Job.batch \"x\" is invalid: spec.template.spec.containers[0].image: Required value",
            "agent-refused",
        ),
        (500, "etcdserver: leader changed", "api-refused"),
    ];
    for (status, message, code) in cases {
        let script = Script::new().on("POST", JOBS, status, failure(status, "", message));
        assert_eq!(failing(&script).await.code(), code, "{message}");
    }
}

#[tokio::test]
async fn only_a_running_agent_of_the_session_is_found() {
    let mut leaving = pod(running());
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    leaving["metadata"]["name"] = json!("slipway-agent-w-1");
    let pods = [leaving, pod(running())];
    let script = Script::new().on("GET", PODS, 200, list("PodList", "v1", &pods));
    let agent = find(&script.client(), "dev", placement().session)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        agent,
        AgentPod {
            namespace: "dev".to_owned(),
            pod: "slipway-agent-x-1".to_owned(),
            uid: "u1".to_owned(),
            owner: Owner::Job("slipway-agent-x".to_owned()),
            node: Some("node-1".to_owned()),
            addresses: vec!["10.244.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        }
    );
    let asked = &script.seen("GET", PODS)[0].query;
    assert!(asked.contains(&placement().session.to_string()), "{asked}");

    let script = Script::new().on(
        "GET",
        PODS,
        200,
        list("PodList", "v1", &[pod(waiting("ContainerCreating", ""))]),
    );
    assert_eq!(
        find(&script.client(), "dev", placement().session).await.unwrap(),
        None
    );
}

async fn agent() -> AgentPod {
    let script = Script::new().on("GET", PODS, 200, list("PodList", "v1", &[pod(running())]));
    find(&script.client(), "dev", placement().session)
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn removal_deletes_the_job_and_may_be_repeated() {
    let script = Script::new().on(
        "DELETE",
        JOB,
        404,
        failure(404, "NotFound", "jobs \"slipway-agent-x\" not found"),
    );
    remove(&script.client(), &agent().await).await.unwrap();
    assert_eq!(
        script.seen("DELETE", JOB)[0].body["propagationPolicy"],
        "Background"
    );
}

/// Waits until an agent has ended.
async fn end_of(client: &Client, agent: &AgentPod) -> Result<AgentEnd, ApiError> {
    let (sender, end) = watch::channel(None);
    watch_end(client, agent, &sender).await?;
    Ok(end.borrow().clone().unwrap())
}

#[tokio::test]
async fn a_lost_agent_is_reported_with_the_reason() {
    let mut killed = pod(state(
        json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
    ));
    killed["spec"]["containers"] =
        json!([{"name": AGENT_CONTAINER, "resources": {"limits": {"memory": "128Mi"}}}]);
    let mut other = pod(running());
    other["metadata"]["uid"] = json!("u9");
    let cases = [
        (event("DELETED", &pod(running())), AgentEnd::Deleted),
        (event("MODIFIED", &other), AgentEnd::Deleted),
        (
            event("MODIFIED", &killed),
            AgentEnd::OutOfMemory {
                limit: Some("128Mi".to_owned()),
            },
        ),
        (
            event(
                "MODIFIED",
                &pod(json!({"phase": "Failed", "reason": "Evicted", "message": "memory"})),
            ),
            AgentEnd::Evicted {
                reason: "Evicted".to_owned(),
                message: "memory".to_owned(),
            },
        ),
    ];
    for (change, expected) in cases {
        let script = Script::new()
            .on("GET", PODS, 200, list("PodList", "v1", &[pod(running())]))
            .on_watch(PODS, &[change]);
        assert_eq!(end_of(&script.client(), &agent().await).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_pod_that_is_deleted_tells_its_programs_end_last() {
    let mut deleted = pod(running());
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut ended = pod(state(
        json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
    ));
    ended["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let script = Script::new()
        .on("GET", PODS, 200, list("PodList", "v1", &[pod(running())]))
        .on_watch(PODS, &[event("MODIFIED", &deleted), event("MODIFIED", &ended)]);
    let (client, agent) = (script.client(), agent().await);
    let (sender, mut end) = watch::channel(None);
    let watching = tokio::spawn(async move { watch_end(&client, &agent, &sender).await });
    end.wait_for(Option::is_some).await.unwrap();
    watching.await.unwrap().unwrap();
    let completed = AgentEnd::Ended {
        exit_code: 0,
        reason: "Completed".to_owned(),
    };
    assert_eq!(*end.borrow(), Some(completed));
}

#[tokio::test(start_paused = true)]
async fn an_absent_api_server_does_not_mean_a_lost_agent() {
    let away = failure(503, "ServiceUnavailable", "starting");
    let script = Script::new()
        .on("GET", PODS, 503, away)
        .on("GET", PODS, 200, list("PodList", "v1", &[pod(running())]))
        .on_watch(PODS, &[]);
    let (client, agent) = (script.client(), agent().await);
    let day = Duration::from_secs(86_400);
    assert!(tokio::time::timeout(day, end_of(&client, &agent)).await.is_err());
    assert!(
        script.seen("GET", PODS).len() > 100,
        "a silent watch is started again"
    );
}
