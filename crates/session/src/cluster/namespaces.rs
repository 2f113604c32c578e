//! The cluster's namespaces while a session lives, for whoever may see them.

use std::time::Duration;

use slipway_cluster::api::ApiError;
use slipway_cluster::list::FollowNamespaces;
use slipway_names::{Label, Namespaces};
use tokio::time::Instant;

/// The pause after a failed attempt: names of the namespaces that are known go on meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// The namespaces as they come and go.
pub(super) struct Followed {
    /// `None` where they may not be seen.
    follow: Option<FollowNamespaces>,
    not_before: Instant,
}

impl Followed {
    /// Follows them if they could be listed.
    pub(super) fn new(client: &kube::Client, listed: &Namespaces) -> Followed {
        let may_list = matches!(listed, Namespaces::Known(_));
        Followed {
            follow: may_list.then(|| FollowNamespaces::new(client)),
            not_before: Instant::now(),
        }
    }

    /// The namespaces after a change; never where they may not be seen. Cancel-safe.
    pub(super) async fn next(&mut self) -> Namespaces {
        loop {
            let Some(follow) = &mut self.follow else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(self.not_before).await;
            match follow.next().await {
                Ok(names) => return known(names.iter().map(String::as_str)),
                Err(error @ ApiError::Forbidden { .. }) => {
                    tracing::info!(%error, "namespaces are not followed");
                    self.follow = None;
                }
                Err(error) => {
                    tracing::debug!(%error, "namespaces are followed again in a moment");
                    self.not_before = Instant::now() + PAUSE;
                }
            }
        }
    }
}

/// Namespaces by their names.
pub(super) fn known<'a>(names: impl Iterator<Item = &'a str>) -> Namespaces {
    Namespaces::Known(
        names
            .filter_map(|name| Label::from_bytes(name.as_bytes()))
            .collect(),
    )
}
