//! Tests of placing, permissions and ranges in a real cluster, from a laptop that reaches only its API server.
//!
//! They need the test bed (`cargo xtask cluster up`) and root. Each test starts this program again on the bed's plain
//! laptop, as its ordinary user, in a new namespace that enforces the restricted Pod Security Standard and in which the
//! developer has exactly the permissions of [`permissions::role_yaml`].
//! `SLIPWAY_BED` names a bed other than the default.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "the helpers of tests are tests too"
)]

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway_api_server::Target;
use slipway_api_server::kubeconfig::{Choice, ConnectError, Sources, choose};
use slipway_api_server::request::{Access, ApiError, CertificateProblem};
use slipway_bed::again;
use slipway_cluster::list;
use slipway_cluster::permissions::{self, Verdict, check, missing};
use slipway_cluster::placement::{
    AgentPod, Owner, PlaceError, Placement, Progress, cleanup, find, leftovers, place, remove, watch_end,
};
use slipway_cluster::ranges::learn;
use slipway_control_api::AgentEnd;
use slipway_key::Key;
use slipway_problem::Fault;
use slipway_profile::AgentSettings;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Limit of every wait in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Interval at which a state without an event is polled.
const LOOK: Duration = Duration::from_millis(50);

/// Size of the upload: about that of a real agent.
const SIZE: usize = 5_000_000;

/// Settings of the agents.
static SETTINGS: LazyLock<AgentSettings> = LazyLock::new(|| AgentSettings {
    grace: Some(30.try_into().unwrap()),
    ..AgentSettings::default()
});

/// Waits until an agent has ended.
async fn end_of(client: &Client, agent: &AgentPod) -> Result<AgentEnd, ApiError> {
    let (sender, end) = watch::channel(None);
    watch_end(client, agent, &sender).await?;
    Ok(end.borrow().clone().unwrap())
}

#[test]
#[ignore = "needs a bed, and so root"]
fn an_agent_runs_restricted_and_removes_itself() {
    on_a_laptop("an_agent_runs_restricted_and_removes_itself", async |room| {
        let binary = stand_in("sleep 2");
        let placement = room.placement(&binary);
        assert_eq!(
            find(&room.developer, &room.namespace, placement.session)
                .await
                .unwrap(),
            None
        );

        let began = Instant::now();
        let uploading = Mutex::new(None);
        let progress = |progress| {
            if matches!(progress, Progress::Uploading { sent: 0, .. }) {
                *uploading.lock().unwrap() = Some(began.elapsed());
            }
        };
        let agent = place(&room.developer, &placement, &progress).await.unwrap();
        let (placed, running) = (began.elapsed(), uploading.lock().unwrap().unwrap());
        println!(
            "running after {running:.3?}, {SIZE} bytes uploaded in {:.3?}",
            placed - running
        );
        assert!(matches!(agent.owner, Owner::Job(_)));
        assert_eq!(
            find(&room.developer, &room.namespace, placement.session)
                .await
                .unwrap(),
            Some(agent.clone())
        );
        assert!(
            leftovers(&room.developer, &room.namespace)
                .await
                .unwrap()
                .is_empty(),
            "a running agent is no leftover"
        );

        let gone = timeout(PATIENCE, end_of(&room.developer, &agent))
            .await
            .unwrap()
            .unwrap();
        let ended = Instant::now();
        let reason = "Completed".to_owned();
        assert!(
            gone == AgentEnd::Deleted || gone == AgentEnd::Ended { exit_code: 0, reason },
            "{gone:?}"
        );
        room.until_empty().await;
        println!("Job and pod gone {:.3?} after the process ended", ended.elapsed());
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_removed_agent_is_gone_with_its_job() {
    on_a_laptop("a_removed_agent_is_gone_with_its_job", async |room| {
        let agent = room.placed("sleep 600").await;
        let watched = end_of(&room.developer, &agent);
        let (gone, removed) = timeout(PATIENCE, async {
            tokio::join!(watched, async {
                // Remove it only after the watch has seen it alive.
                sleep(LOOK).await;
                remove(&room.developer, &agent).await
            })
        })
        .await
        .unwrap();
        removed.unwrap();
        // The watch may see the agent's end or its deletion first.
        println!("the agent {}", gone.unwrap());
        room.until_empty().await;
        remove(&room.developer, &agent)
            .await
            .expect("removing twice is no error");
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn without_jobs_a_bare_pod_serves_and_is_removed() {
    on_a_laptop("without_jobs_a_bare_pod_serves_and_is_removed", async |room| {
        let mut role = room.role();
        let rules = role.rules.as_mut().unwrap();
        rules.retain(|rule| !rule.resources.iter().flatten().any(|resource| resource == "jobs"));
        for rule in rules
            .iter_mut()
            .filter(|rule| rule.resources.iter().flatten().any(|one| one == "pods"))
        {
            rule.verbs.extend(["create".to_owned(), "delete".to_owned()]);
        }
        room.grant(role).await;
        assert!(missing(&check(&room.developer, &room.namespace).await.unwrap()).is_empty());

        let agent = room.placed("exit 0").await;
        assert_eq!(agent.owner, Owner::Bare);
        let gone = timeout(PATIENCE, end_of(&room.developer, &agent))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            gone,
            AgentEnd::Ended {
                exit_code: 0,
                reason: "Completed".to_owned()
            }
        );
        let found = loop {
            let found = leftovers(&room.developer, &room.namespace).await.unwrap();
            if !found.is_empty() {
                break found;
            }
            sleep(LOOK).await;
        };
        assert_eq!(found[0].name, agent.pod);
        assert_eq!(cleanup(&room.developer, &room.namespace).await.unwrap().len(), 1);
        room.until_empty().await;
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn each_missing_verb_is_named_before_anything_is_created() {
    on_a_laptop(
        "each_missing_verb_is_named_before_anything_is_created",
        async |room| {
            assert!(
                missing(&check(&room.developer, &room.namespace).await.unwrap()).is_empty(),
                "the Role is enough"
            );
            for (verb, group, resource) in [
                ("list", "", "pods"),
                ("watch", "", "pods"),
                ("get", "", "pods/exec"),
                ("create", "", "pods/exec"),
                ("get", "", "pods/portforward"),
                ("create", "", "pods/portforward"),
                ("delete", "batch", "jobs"),
                ("create", "batch", "jobs"),
            ] {
                room.grant_without(verb, resource).await;
                let verdicts = check(&room.developer, &room.namespace).await.unwrap();
                let access = Access::within(&room.namespace, verb, group, resource);
                // Carriers use exec where port-forward is forbidden.
                let needed: &[&Access] = if resource == "pods/portforward" {
                    &[]
                } else {
                    &[&access]
                };
                assert_eq!(missing(&verdicts), needed);
                let denied = |verdict: &&Verdict| verdict.access == access && !verdict.allowed;
                assert_eq!(verdicts.iter().filter(denied).count(), 1, "{access}");
            }
            let binary = stand_in("exit 0");
            let error = place(&room.developer, &room.placement(&binary), &|_| ())
                .await
                .unwrap_err();
            let expected = format!("you may not create jobs (batch) in namespace {}", room.namespace);
            assert_eq!(error.to_string(), expected);
            assert!(error.remedy().contains(&permissions::role_yaml(&room.namespace)));
            room.until_empty().await;
        },
    );
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_placement_that_fails_half_way_leaves_nothing() {
    on_a_laptop("a_placement_that_fails_half_way_leaves_nothing", async |room| {
        room.grant_without("get", "pods/exec").await;
        let binary = stand_in("exit 0");
        let error = place(&room.developer, &room.placement(&binary), &|_| ())
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("you may not get pods/exec in namespace"),
            "{error}"
        );
        room.until_empty().await;
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_counting_quota_is_met_and_a_full_one_reported() {
    on_a_laptop("a_counting_quota_is_met_and_a_full_one_reported", async |room| {
        room.quota("counting", json!({"limits.cpu": "4", "limits.memory": "1Gi"}))
            .await;
        let agent = room.placed("sleep 600").await;
        remove(&room.developer, &agent).await.unwrap();
        room.until_empty().await;

        room.quota("full", json!({"pods": "0"})).await;
        let binary = stand_in("exit 0");
        let began = Instant::now();
        let error = place(&room.developer, &room.placement(&binary), &|_| ())
            .await
            .unwrap_err();
        println!("{error} [{}] after {:.3?}", error.code(), began.elapsed());
        assert!(
            matches!(&error, PlaceError::Quota { message, .. } if message.contains("full")),
            "{error}"
        );
        room.until_empty().await;

        // Without events a dry run finds the same, which needs the permission to create pods.
        let mut role = room.role();
        for rule in role.rules.as_mut().unwrap() {
            if rule
                .resources
                .iter()
                .flatten()
                .any(|resource| resource == "events")
            {
                rule.resources = Some(vec!["pods".to_owned()]);
                rule.verbs.push("create".to_owned());
            }
        }
        room.grant(role).await;
        let error = place(&room.developer, &room.placement(&binary), &|_| ())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, PlaceError::Quota { message, .. } if message.contains("full")),
            "{error}"
        );
        room.until_empty().await;
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_missing_image_has_the_nodes_message() {
    on_a_laptop("a_missing_image_has_the_nodes_message", async |room| {
        let binary = stand_in("exit 0");
        let settings = AgentSettings {
            image: Some("registry.invalid/nobody/nothing:1".parse().unwrap()),
            ..SETTINGS.clone()
        };
        let placement = Placement {
            settings: &settings,
            ..room.placement(&binary)
        };
        let began = Instant::now();
        let error = place(&room.developer, &placement, &|_| ()).await.unwrap_err();
        println!("{error} [{}] after {:.3?}", error.code(), began.elapsed());
        assert!(
            matches!(&error, PlaceError::Image { image, .. } if image.contains("registry.invalid")),
            "{error}"
        );
        room.until_empty().await;
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn an_agent_that_cannot_run_has_its_exit_code() {
    on_a_laptop("an_agent_that_cannot_run_has_its_exit_code", async |room| {
        // A bare pod stays, so that its end is certainly seen.
        let agent = room.placed("exit 3").await;
        match timeout(PATIENCE, end_of(&room.developer, &agent))
            .await
            .unwrap()
            .unwrap()
        {
            AgentEnd::Ended { exit_code, .. } => assert_eq!(exit_code, 3),
            AgentEnd::Deleted => println!("the cluster was faster than the watch"),
            other @ (AgentEnd::OutOfMemory { .. } | AgentEnd::Evicted { .. } | AgentEnd::Unknown) => {
                panic!("{other}")
            }
        }
        room.until_empty().await;
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn ranges_are_learned_with_any_permissions() {
    on_a_laptop("ranges_are_learned_with_any_permissions", async |room| {
        let began = Instant::now();
        let all = learn(&room.admin, &[]).await;
        println!("as administrator in {:.3?}: {all:?}", began.elapsed());
        let kubernetes = room.kubernetes().await;
        assert_eq!(all.services.len(), 1, "{all:?}");
        assert!(
            all.services[0].contains(&kubernetes) && all.services[0].prefix_len() == 16,
            "{all:?}"
        );
        assert!(!all.pods.is_empty(), "{all:?}");

        let began = Instant::now();
        let some = learn(&room.developer, &["shop".to_owned()]).await;
        println!("as developer of shop in {:.3?}: {some:?}", began.elapsed());
        assert!(!some.complete);
        let web = list::services(&room.developer, "shop").await.unwrap();
        let address = web
            .iter()
            .find(|service| service.name == "web")
            .unwrap()
            .addresses[0]
            .clone();
        let address: std::net::IpAddr = address.parse().unwrap();
        assert!(
            some.services.iter().any(|range| range.contains(&address)),
            "{address} in {some:?}"
        );
        assert!(
            some.services
                .iter()
                .chain(&some.pods)
                .all(|range| range.prefix_len() >= 16),
            "{some:?}"
        );

        let none = learn(&room.developer, std::slice::from_ref(&room.namespace)).await;
        assert!(
            none.services.is_empty() && none.pods.is_empty() && !none.complete,
            "{none:?}"
        );
    });
}

#[test]
#[ignore = "needs a bed, and so root"]
fn a_wrong_authority_differs_from_wrong_credentials() {
    on_a_laptop("a_wrong_authority_differs_from_wrong_credentials", async |room| {
        let version = room.target.probe(&room.developer).await.unwrap();
        assert!(version.version.starts_with("v1."), "{version:?}");

        let stranger = |config: &mut Value| {
            // Any other certificate serves as a wrong authority.
            let other = config["users"][0]["user"]["client-certificate-data"].clone();
            config["clusters"][0]["cluster"]["certificate-authority-data"] = other;
        };
        let error = refusal(stranger).await;
        assert!(
            matches!(
                &error.cause,
                ApiError::Certificate {
                    problem: CertificateProblem::UnknownIssuer,
                    ..
                }
            ),
            "{error}"
        );
        let error = refusal(|config| config["users"][0]["user"] = json!({"token": "expired"})).await;
        assert_eq!(error.code(), "credentials-refused", "{error}");
        let nowhere = json!("https://no-such-name.invalid:6443");
        let error = refusal(|config| config["clusters"][0]["cluster"]["server"] = nowhere).await;
        assert_eq!(error.code(), "api-name-unknown", "{error}");
    });
}

/// Returns the error of a request with a changed kubeconfig of the developer.
async fn refusal(change: impl FnOnce(&mut Value)) -> ConnectError {
    let text = std::fs::read_to_string(kubeconfigs().join("config")).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    change(&mut config);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, config.to_string()).unwrap();
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let target = choose(&sources, &Choice::default()).unwrap();
    target.probe(&target.client().await.unwrap()).await.unwrap_err()
}

fn kubeconfigs() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap()).join(".kube")
}

#[test]
#[ignore = "needs a bed, and so root"]
fn namespaces_workloads_and_services_are_listed() {
    on_a_laptop("namespaces_workloads_and_services_are_listed", async |room| {
        let namespaces = list::namespaces(&room.admin).await.unwrap();
        assert!(namespaces.iter().any(|namespace| namespace.name == "shop"));
        assert_eq!(
            list::namespaces(&room.developer).await.unwrap_err().code(),
            "forbidden"
        );
        let found = list::workloads(&room.admin, "shop").await.unwrap();
        let web = found
            .workloads
            .iter()
            .find(|workload| workload.name == "web")
            .unwrap();
        assert_eq!((web.wanted, web.containers[0].ports[0].port), (2, 8080));
    });
}

/// Namespace of one test, with the clients of both users.
struct Room {
    target: Target,
    admin: Client,
    developer: Client,
    namespace: String,
}

impl Room {
    /// Returns the API server's address among the services.
    async fn kubernetes(&self) -> std::net::IpAddr {
        let services: Api<k8s_openapi::api::core::v1::Service> =
            Api::namespaced(self.admin.clone(), "default");
        let service = services.get("kubernetes").await.unwrap();
        service.spec.unwrap().cluster_ip.unwrap().parse().unwrap()
    }

    async fn open() -> Self {
        let target = |name: &str| {
            let sources = Sources {
                file: Some(kubeconfigs().join(name)),
                ..Sources::default()
            };
            choose(&sources, &Choice::default()).unwrap()
        };
        let (admin, developer) = (target("admin"), target("config"));
        let namespace = format!("slipway-test-{}", Uuid::new_v4().simple());
        let room = Self {
            admin: admin.client().await.unwrap(),
            developer: developer.client().await.unwrap(),
            target: developer,
            namespace,
        };
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let namespaces: Api<Namespace> = Api::all(room.admin.clone());
        create(
            &namespaces,
            json!({"metadata": {"name": room.namespace, "labels": labels}}),
        )
        .await;
        let bindings: Api<RoleBinding> = Api::namespaced(room.admin.clone(), &room.namespace);
        create(
            &bindings,
            json!({
                "metadata": {"name": "slipway"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "slipway"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "developer"}],
            }),
        )
        .await;
        // Pods are not admitted before the service account exists.
        let accounts: Api<ServiceAccount> = Api::namespaced(room.admin.clone(), &room.namespace);
        let account = async {
            while accounts.get_opt("default").await.unwrap().is_none() {
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, account).await.unwrap();
        room.grant(room.role()).await;
        room
    }

    /// Returns the Role that the crate suggests to users without permissions.
    fn role(&self) -> Role {
        serde_saphyr::from_str(&permissions::role_yaml(&self.namespace)).unwrap()
    }

    /// Replaces the developer's Role, and waits until the API server applies it.
    async fn grant(&self, role: Role) {
        let roles: Api<Role> = Api::namespaced(self.admin.clone(), &self.namespace);
        let params = DeleteParams::default();
        if roles.get_opt("slipway").await.unwrap().is_some() {
            roles.delete("slipway", &params).await.unwrap();
        }
        self.until(|_| false).await;
        let allowed = role.rules.clone().unwrap();
        roles.create(&PostParams::default(), &role).await.unwrap();
        self.until(|access| {
            allowed.iter().any(|rule| {
                let names =
                    |list: &Option<Vec<String>>, word: &str| list.iter().flatten().any(|one| one == word);
                names(&rule.resources, &access.resource) && rule.verbs.iter().any(|verb| *verb == access.verb)
            })
        })
        .await;
    }

    async fn grant_without(&self, verb: &str, resource: &str) {
        let mut role = self.role();
        let mut split = Vec::new();
        for rule in role.rules.take().unwrap() {
            for one in rule.resources.iter().flatten() {
                let mut rule = rule.clone();
                rule.resources = Some(vec![one.clone()]);
                rule.verbs.retain(|word| !(word == verb && one == resource));
                split.push(rule);
            }
        }
        role.rules = Some(split);
        self.grant(role).await;
    }

    /// Waits until the API server allows exactly the expected ones of the Role's permissions.
    async fn until(&self, expected: impl Fn(&Access) -> bool) {
        let settled = async {
            loop {
                let verdicts = check(&self.developer, &self.namespace).await.unwrap();
                let mut of_role = verdicts
                    .iter()
                    .filter(|verdict| verdict.access.namespace.is_some());
                if of_role.all(|verdict| verdict.allowed == expected(&verdict.access)) {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, settled)
            .await
            .expect("the API server did not apply the new Role");
    }

    async fn quota(&self, name: &str, hard: serde_json::Value) {
        let quotas: Api<ResourceQuota> = Api::namespaced(self.admin.clone(), &self.namespace);
        create(
            &quotas,
            json!({"metadata": {"name": name}, "spec": {"hard": hard}}),
        )
        .await;
        let counted = async {
            while quotas
                .get(name)
                .await
                .unwrap()
                .status
                .and_then(|status| status.hard)
                .is_none()
            {
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, counted)
            .await
            .expect("the quota is not counted");
    }

    fn placement<'a>(&self, binary: &'a [u8]) -> Placement<'a> {
        Placement {
            namespace: self.namespace.clone(),
            session: Uuid::new_v4(),
            settings: &SETTINGS,
            key: Key::generate().unwrap(),
            binary,
        }
    }

    async fn placed(&self, script: &str) -> AgentPod {
        let binary = stand_in(script);
        place(&self.developer, &self.placement(&binary), &|_| ())
            .await
            .unwrap()
    }

    /// Waits until neither a Job nor a pod is left.
    async fn until_empty(&self) {
        let jobs: Api<Job> = Api::namespaced(self.admin.clone(), &self.namespace);
        let pods: Api<Pod> = Api::namespaced(self.admin.clone(), &self.namespace);
        let all = ListParams::default();
        let empty = async {
            while !(jobs.list(&all).await.unwrap().items.is_empty()
                && pods.list(&all).await.unwrap().items.is_empty())
            {
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, empty).await.expect("a Job or pod is left");
    }

    async fn close(&self) {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await
            .unwrap();
    }
}

async fn create<K>(api: &Api<K>, object: serde_json::Value)
where
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap())
        .await
        .unwrap();
}

/// Returns a replacement for the agent: a script of an agent's size.
fn stand_in(script: &str) -> Vec<u8> {
    let mut binary = format!("#!/bin/sh\n{script}\nexit\n#").into_bytes();
    binary.resize(SIZE, b'.');
    binary
}

/// Runs `body` on a laptop of the bed: on the host, it starts the test called `name` again there.
fn on_a_laptop(name: &str, body: impl AsyncFnOnce(&Room)) {
    if again::is_there() {
        return tokio::runtime::Runtime::new().unwrap().block_on(async {
            let room = Room::open().await;
            let ended = AssertUnwindSafe(body(&room)).catch_unwind().await;
            room.close().await;
            ended.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }
    print!(
        "{}",
        again::on_plain_laptop("cluster-real-cluster", name).unwrap()
    );
}
