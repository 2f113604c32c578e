//! Watch of a set of objects: lists them, watches for changes, and lists them again when the watch ends.
//!
//! `kube::runtime::watcher` does the same with 24 more crates in the session, and retries after a refusal, which must end
//! a watch here with the verb that is missing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};

use slipway_api_server::request::{Access, ApiError, ask, classify};

/// Duration of one watch, in seconds, before it is started again.
const WATCH_SECONDS: u32 = 240;

/// Silence after which a watch's connection is dead: the duration of a watch and some seconds.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);

/// Pause between two starts, in case the server ends watches at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Status of a watch whose start version the server no longer has.
const GONE: u16 = 410;

/// Watch of the objects of one selection.
pub(crate) struct Follow<K> {
    api: Api<K>,
    list: ListParams,
    watch: WatchParams,
    list_access: Access,
    watch_access: Access,
    known: BTreeMap<String, K>,
    events: Option<BoxStream<'static, kube::Result<WatchEvent<K>>>>,
    not_before: Option<Instant>,
}

/// Selectors of the objects to watch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
}

impl<K> Follow<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Creates the watch, which starts with [`next`](Self::next). `resource` is the plural in the core group, for
    /// permission errors.
    pub(crate) fn new(api: Api<K>, namespace: &str, resource: &'static str, selection: Selection) -> Self {
        let access = |verb| Access::within(namespace, verb, "", resource);
        Self::with_access(api, access, selection)
    }

    /// Creates the watch of objects that are in no namespace.
    pub(crate) fn of_cluster(api: Api<K>, resource: &'static str) -> Self {
        let access = |verb| Access::cluster(verb, "", resource);
        Self::with_access(api, access, Selection::default())
    }

    fn with_access(api: Api<K>, access: impl Fn(&'static str) -> Access, selection: Selection) -> Self {
        let Selection { labels, fields } = selection;
        Self {
            api,
            list: ListParams {
                label_selector: labels.clone(),
                field_selector: fields.clone(),
                ..ListParams::default()
            },
            watch: WatchParams {
                label_selector: labels,
                field_selector: fields,
                timeout: Some(WATCH_SECONDS),
                ..WatchParams::default()
            },
            list_access: access("list"),
            watch_access: access("watch"),
            known: BTreeMap::new(),
            events: None,
            not_before: None,
        }
    }

    /// Returns the objects by name: at once the first time, then after each change. May be called again after an error.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<&BTreeMap<String, K>, ApiError> {
        loop {
            let Some(events) = &mut self.events else {
                self.begin().await?;
                break;
            };
            // Silence for this long counts as the end of the stream.
            let event = timeout(SILENCE, events.next()).await.ok().flatten();
            match event {
                None => self.events = None,
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    self.known.insert(object.name_any(), object);
                    break;
                }
                Some(Ok(WatchEvent::Deleted(object))) => {
                    self.known.remove(&object.name_any());
                    break;
                }
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                Some(Ok(WatchEvent::Error(status))) if status.code == GONE => self.events = None,
                Some(Ok(WatchEvent::Error(status))) => {
                    self.events = None;
                    return Err(classify(self.watch_access.clone(), kube::Error::Api(status)));
                }
                Some(Err(error)) => {
                    self.events = None;
                    return Err(classify(self.watch_access.clone(), error));
                }
            }
        }
        Ok(&self.known)
    }

    async fn begin(&mut self) -> Result<(), ApiError> {
        if let Some(not_before) = self.not_before {
            sleep_until(not_before).await;
        }
        self.not_before = Some(Instant::now() + PAUSE);
        let listed = ask(self.list_access.clone(), self.api.list(&self.list)).await?;
        let version = listed.metadata.resource_version.clone().unwrap_or_default();
        let events = ask(self.watch_access.clone(), self.api.watch(&self.watch, &version)).await?;
        self.known = listed
            .items
            .into_iter()
            .map(|object| (object.name_any(), object))
            .collect();
        self.events = Some(events.into_stream().boxed());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;
    use slipway_scripted_api::{Script, event, failure, list, rbac};

    const PODS: &str = "/api/v1/namespaces/dev/pods";

    fn follow(script: &Script) -> Follow<Pod> {
        Follow::new(
            Api::namespaced(script.client(), "dev"),
            "dev",
            "pods",
            Selection::default(),
        )
    }

    fn pods(names: &[&str]) -> Value {
        let pods: Vec<_> = names.iter().map(|name| pod(name)).collect();
        list("PodList", "v1", &pods)
    }

    fn pod(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}})
    }

    async fn names(follow: &mut Follow<Pod>) -> Vec<String> {
        follow.next().await.unwrap().keys().cloned().collect()
    }

    #[tokio::test]
    async fn a_watch_lists_objects_and_then_each_change() {
        let changes = [event("ADDED", &pod("c")), event("DELETED", &pod("a"))];
        let script = Script::new()
            .on("GET", PODS, 200, pods(&["a", "b"]))
            .on_watch(PODS, &changes);
        let mut follow = follow(&script);
        assert_eq!(names(&mut follow).await, ["a", "b"]);
        assert_eq!(names(&mut follow).await, ["a", "b", "c"]);
        assert_eq!(names(&mut follow).await, ["b", "c"]);
        assert!(
            script.seen("GET", PODS)[1].query.contains("resourceVersion=7"),
            "the watch begins where the list ended"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_watch_is_started_with_a_new_list() {
        let forgotten = event("ERROR", &failure(410, "Expired", "too old resource version"));
        let script = Script::new()
            .on("GET", PODS, 200, pods(&["a"]))
            .on("GET", PODS, 200, pods(&["b"]))
            .on_watch(PODS, &[forgotten]);
        let mut follow = follow(&script);
        assert_eq!(names(&mut follow).await, ["a"]);
        assert_eq!(names(&mut follow).await, ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_forbidden_watch_is_an_error_with_its_verb() {
        let refused = event("ERROR", &rbac("watch", "pods", "", "dev"));
        let script = Script::new()
            .on("GET", PODS, 200, pods(&["a"]))
            .on_watch(PODS, &[refused]);
        let mut follow = follow(&script);
        assert_eq!(names(&mut follow).await, ["a"]);
        assert_eq!(
            follow.next().await.unwrap_err().to_string(),
            "you may not watch pods in namespace dev"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_watch_is_started_again() {
        let script = Script::new()
            .on("GET", PODS, 200, pods(&["a"]))
            .on("GET", PODS, 200, pods(&["b"]))
            .on_watch(PODS, &[]);
        let mut follow = follow(&script);
        assert_eq!(names(&mut follow).await, ["a"]);
        let began = Instant::now();
        assert_eq!(names(&mut follow).await, ["b"]);
        assert_eq!(began.elapsed().as_secs(), SILENCE.as_secs());
    }
}
