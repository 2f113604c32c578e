//! Tests of the shapes that answer the rules of a namespace.

use super::*;
use slipway_scripted_api::Seen;

#[tokio::test(start_paused = true)]
async fn a_limit_range_gets_requests_and_limits_within_it() {
    let refused = "Error creating: pods \"slipway-agent-x-1\" is forbidden: [minimum cpu usage per Container is 50m, but \
                   request is 10m, maximum memory usage per Container is 64Mi, but limit is 128Mi]";
    let said =
        json!({"metadata": {"name": "e1", "namespace": "dev"}, "involvedObject": {}, "message": refused});
    let gone = failure(404, "NotFound", "namespaces \"dev\" not found");
    let script = cluster(&[])
        .on("POST", JOBS, 404, gone)
        .on_watch(EVENTS, &[event("ADDED", &said)]);
    assert_eq!(failing(&script).await.code(), "namespace-missing");
    let asked = &script.seen("POST", JOBS)[1].body["spec"]["template"]["spec"]["containers"][0]["resources"];
    assert_eq!(
        *asked,
        json!({"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}})
    );
    assert_eq!(script.seen("DELETE", JOB).len(), 1, "the refused Job is removed");
}

#[tokio::test(start_paused = true)]
async fn a_rule_gets_other_shapes_and_then_its_text_is_shown() {
    let refused = "admission webhook \"policy.example\" denied the request: every pod needs the label team";
    let script = Script::new().on("POST", JOBS, 400, failure(400, "", refused));
    let error = failing(&script).await;
    assert_eq!(error.code(), "agent-refused");
    assert!(
        error.remedy().contains("`--agent-label KEY=VALUE`"),
        "{}",
        error.remedy()
    );
    let asked = script.seen("POST", JOBS);
    assert_eq!(asked.len(), 3, "one that costs nothing, one without pings");
    let sysctls =
        |seen: &Seen| seen.body["spec"]["template"]["spec"]["securityContext"]["sysctls"].is_array();
    assert_eq!(asked.iter().map(sysctls).collect::<Vec<_>>(), [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_added_containers_is_one_that_ends_with_its_agent() {
    let mut injected = pod(waiting("ContainerCreating", ""));
    injected["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "istio-proxy", "image": "proxy"}));
    let mut refused = injected.clone();
    refused["status"] = waiting("InvalidImageName", "");
    let removed = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
    let script = Script::new()
        .on("POST", JOBS, 201, job())
        .on("DELETE", JOB, 200, removed)
        .on("GET", EVENTS, 200, list("EventList", "v1", &[]))
        .on("GET", PODS, 200, list("PodList", "v1", &[injected]))
        .on("GET", PODS, 200, list("PodList", "v1", &[refused]));
    assert_eq!(failing(&script).await.code(), "agent-image");
    let asked = script.seen("POST", JOBS);
    let shared = |seen: &Seen| seen.body["spec"]["template"]["spec"]["shareProcessNamespace"].clone();
    assert_eq!(
        asked.iter().map(shared).collect::<Vec<_>>(),
        [Value::Null, json!(true)]
    );
    assert_eq!(
        script.seen("DELETE", JOB).len(),
        2,
        "the first Job is removed at once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_account_of_the_profile_is_reported() {
    let message = "Error creating: pods \"slipway-agent-x-1\" is forbidden: error looking up service account dev/tunnel: \
                   serviceaccount \"tunnel\" not found";
    let said =
        json!({"metadata": {"name": "e1", "namespace": "dev"}, "involvedObject": {}, "message": message});
    let settings = AgentSettings {
        service_account: Some("tunnel".parse().unwrap()),
        ..SETTINGS.clone()
    };
    let placement = Placement {
        settings: &settings,
        ..placement()
    };
    let script = cluster(&[]).on_watch(EVENTS, &[event("ADDED", &said)]);
    let error = place(&script.client(), &placement, &|_| ()).await.unwrap_err();
    assert_eq!(error.code(), "agent-refused");
    assert!(
        error.remedy().contains("--agent-service-account"),
        "{}",
        error.remedy()
    );
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_counts_cpu_limits_gets_one() {
    let quota = failure(
        403,
        "Forbidden",
        "jobs is forbidden: failed quota: q: must specify limits.cpu for: agent",
    );
    let script = Script::new()
        .on("POST", JOBS, 403, quota)
        .on("POST", JOBS, 201, job())
        .on("GET", PODS, 200, list("PodList", "v1", &[]))
        .on_watch(PODS, &[event("ADDED", &pod(waiting("InvalidImageName", "")))]);
    assert_eq!(failing(&script).await.code(), "agent-image");
    let limits =
        |seen: &Seen| seen.body["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].clone();
    let asked: Vec<_> = script.seen("POST", JOBS).iter().map(limits).collect();
    assert_eq!(
        asked,
        [json!({"memory": "128Mi"}), json!({"cpu": "1", "memory": "128Mi"})]
    );
}

#[tokio::test(start_paused = true)]
async fn an_unsatisfied_quota_ends_the_attempts() {
    let quota = failure(
        403,
        "Forbidden",
        "jobs is forbidden: failed quota: q: must specify limits.cpu for: agent",
    );
    let script = Script::new().on("POST", JOBS, 403, quota);
    let error = failing(&script).await;
    assert_eq!(error.code(), "quota");
    let asked = "requests of 10m CPU, 16Mi of memory, and limits of 1 CPU, 128Mi of memory";
    assert!(
        error.remedy().contains(asked),
        "those of the last attempt: {}",
        error.remedy()
    );
    assert_eq!(script.seen("POST", JOBS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_container_of_the_cluster_is_named() {
    let failed = json!({"phase": "Failed", "initContainerStatuses": [
        {"name": "istio-init", "image": "", "imageID": "", "ready": false, "restartCount": 0,
         "state": {"terminated": {"exitCode": 255, "message": "iptables: not permitted"}}},
    ]});
    let error = failing(&cluster(&[failed])).await;
    assert_eq!(error.code(), "agent-added-container");
    let cause = "the container istio-init that the cluster added to the agent's pod failed (exit code 255): iptables: \
                 not permitted";
    assert_eq!(error.to_string(), cause);
    assert!(error.remedy().contains("sidecar.istio.io/inject=false"));
}
