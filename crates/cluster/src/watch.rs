//! A set of objects as it is after each change: list, then watch, and again when the watch ends.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::{Access, ApiError, ask, classify};

/// How long one watch lasts before it is begun anew.
const WATCH_SECONDS: u32 = 240;

/// How much longer a watch may be silent than it may last: then its connection is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);

/// The shortest time between two beginnings, should the server end watches at once.
const PAUSE: Duration = Duration::from_millis(200);

/// The status of a watch whose starting point the server has forgotten.
const GONE: u16 = 410;

/// Follows the objects of one selection.
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

/// Which objects to follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
}

impl<K> Follow<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Begins nothing yet. `resource` is the plural in the core group, for permission errors.
    pub(crate) fn new(api: Api<K>, namespace: &str, resource: &'static str, selection: Selection) -> Self {
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
            list_access: Access::within(namespace, "list", "", resource),
            watch_access: Access::within(namespace, "watch", "", resource),
            known: BTreeMap::new(),
            events: None,
            not_before: None,
        }
    }

    /// The objects by name: at once the first time, then after each change. After an error it may be called again.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<&BTreeMap<String, K>, ApiError> {
        loop {
            let Some(events) = &mut self.events else {
                self.begin().await?;
                break;
            };
            // Silence as long as this is the end of the stream.
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
