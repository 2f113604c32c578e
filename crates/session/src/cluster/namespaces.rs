//! List of the cluster's namespaces, kept current while a session lives.

use std::time::Duration;

use slipway_api_server::request::ApiError;
use slipway_cluster::list::FollowNamespaces;
use slipway_names::{Label, Namespaces};
use tokio::time::Instant;

/// Pause after a failed attempt. The last known list stays in use meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Watch of the cluster's namespaces.
pub(super) struct Followed {
    /// `None` where the user may not list namespaces.
    follow: Option<FollowNamespaces>,
    not_before: Instant,
}

impl Followed {
    /// Starts the watch if the namespaces could be listed.
    pub(super) fn new(client: &kube::Client, listed: &Namespaces) -> Followed {
        let may_list = matches!(listed, Namespaces::Known(_));
        Followed {
            follow: may_list.then(|| FollowNamespaces::new(client)),
            not_before: Instant::now(),
        }
    }

    /// Waits for the namespaces after a change. Never returns where the user may not list them. Cancel-safe.
    pub(super) async fn next(&mut self) -> Namespaces {
        loop {
            let Some(follow) = &mut self.follow else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(self.not_before).await;
            match follow.next().await {
                Ok(names) => return known(names.iter().map(String::as_str)),
                Err(error @ ApiError::Forbidden { .. }) => {
                    tracing::info!(%error, "the user may not watch namespaces");
                    self.follow = None;
                }
                Err(error) => {
                    tracing::debug!(%error, "the watch of namespaces failed; trying again");
                    self.not_before = Instant::now() + PAUSE;
                }
            }
        }
    }
}

/// Builds the set of known namespaces from names, without invalid ones.
pub(super) fn known<'a>(names: impl Iterator<Item = &'a str>) -> Namespaces {
    Namespaces::Known(
        names
            .filter_map(|name| Label::from_bytes(name.as_bytes()))
            .collect(),
    )
}
