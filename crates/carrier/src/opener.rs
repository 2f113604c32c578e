//! Opener: tries the kinds of carrier and remembers which one worked.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::error::{CarrierError, Wait};
use crate::{CarrierKind, Endpoint, Pipe, open};

/// Time for which a kind is tried alone before the next one starts beside it. A proxy that drops an upgrade request
/// never answers; but a slow link should not carry two requests without need.
pub const HEAD_START: Duration = Duration::from_secs(2);

/// Tries the kinds of carrier, best first, and remembers the one that worked. One opener serves one cluster and one
/// network, because the proxies between the two decide which kind works.
#[derive(Debug, Default)]
pub struct CarrierOpener {
    preferred: Mutex<Option<CarrierKind>>,
}

impl CarrierOpener {
    /// Creates an opener that starts with `preferred`, the kind that worked last time, if it is known.
    pub fn new(preferred: Option<CarrierKind>) -> Self {
        Self {
            preferred: Mutex::new(preferred),
        }
    }

    /// Returns the kind that worked last.
    pub fn preferred(&self) -> Option<CarrierKind> {
        *self.preferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a carrier of the first kind that works.
    ///
    /// # Errors
    /// Returns the most useful error: a missing permission first, else the error of the best kind. An error that other
    /// kinds would repeat ends the attempt at once.
    pub async fn open(&self, client: &kube::Client, endpoint: &Endpoint) -> Result<Pipe, CarrierError> {
        let kinds = order(self.preferred(), endpoint);
        let pipe = open_first(&kinds, |kind| open(client, endpoint, kind)).await?;
        tracing::debug!(kind = ?pipe.kind(), "carrier is open");
        *self.preferred.lock().unwrap_or_else(PoisonError::into_inner) = Some(pipe.kind());
        Ok(pipe)
    }
}

fn order(preferred: Option<CarrierKind>, endpoint: &Endpoint) -> Vec<CarrierKind> {
    let others = CarrierKind::ALL
        .into_iter()
        .filter(|kind| Some(*kind) != preferred);
    let usable = |kind: &CarrierKind| *kind != CarrierKind::Exec || endpoint.command.is_some();
    preferred.into_iter().chain(others).filter(usable).collect()
}

/// Tries `kinds` in turn, and starts the next one beside those that take long.
async fn open_first<T, F>(
    kinds: &[CarrierKind],
    attempt: impl Fn(CarrierKind) -> F,
) -> Result<T, CarrierError>
where
    F: Future<Output = Result<T, CarrierError>>,
{
    let mut waiting = kinds.iter().copied().peekable();
    let mut running = FuturesUnordered::new();
    let mut worst = None;
    loop {
        if running.is_empty() {
            match waiting.next() {
                Some(kind) => running.push(attempt(kind)),
                None => return Err(worst.unwrap_or(CarrierError::NoCommand)),
            }
        }
        // Start a command only when no other kind is left, because it uses resources of the pod.
        let another = waiting.peek().is_some_and(|kind| *kind != CarrierKind::Exec);
        let head_start = pin!(sleep(HEAD_START));
        tokio::select! {
            Some(result) = running.next() => match result {
                Ok(pipe) => return Ok(pipe),
                Err(error) if !another_kind_may_help(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "carrier kind failed");
                    let tells_more = matches!(error, CarrierError::Forbidden { .. });
                    if worst.is_none() || tells_more {
                        worst = Some(error);
                    }
                }
            },
            () = head_start, if another => running.extend(waiting.next().map(&attempt)),
        }
    }
}

fn another_kind_may_help(error: &CarrierError) -> bool {
    match error {
        // The request of another kind differs in verb, resource or header.
        CarrierError::Forbidden { .. }
        | CarrierError::UpgradeRefused { .. }
        | CarrierError::TimedOut {
            wait: Wait::Upgrade | Wait::Refusal,
        }
        | CarrierError::Protocol { .. }
        | CarrierError::Forward { .. }
        | CarrierError::Reset { .. }
        | CarrierError::NoCommand
        | CarrierError::Lost { .. } => true,
        // The requests of all kinds have the same API server, user and pod.
        CarrierError::InvalidEndpoint { .. }
        | CarrierError::Login(_)
        | CarrierError::Unreachable { .. }
        | CarrierError::TimedOut {
            wait: Wait::Connect | Wait::Proxy,
        }
        | CarrierError::PodNotFound { .. }
        | CarrierError::PortRefused { .. }
        | CarrierError::PodGone { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use std::cell::RefCell;
    use std::future::{pending, ready};

    fn refused() -> CarrierError {
        CarrierError::UpgradeRefused {
            status: StatusCode::BAD_REQUEST,
            message: String::new(),
        }
    }

    fn forbidden() -> CarrierError {
        CarrierError::Forbidden {
            message: String::new(),
            resource: "pods/portforward",
        }
    }

    #[test]
    fn the_kind_that_worked_is_tried_first() {
        let endpoint = Endpoint::new("default", "web", 80).unwrap();
        assert_eq!(
            order(None, &endpoint),
            [CarrierKind::Spdy, CarrierKind::WebSocket]
        );
        assert_eq!(
            order(Some(CarrierKind::WebSocket), &endpoint),
            [CarrierKind::WebSocket, CarrierKind::Spdy]
        );
        let endpoint = endpoint.with_command("agent", ["agent", "stdio"]);
        assert_eq!(order(None, &endpoint), CarrierKind::ALL);
    }

    #[tokio::test]
    async fn a_refused_kind_is_followed_by_the_next() {
        let opened = open_first(&CarrierKind::ALL, |kind| {
            ready(if kind == CarrierKind::Spdy {
                Err(refused())
            } else {
                Ok(kind)
            })
        });
        assert_eq!(opened.await, Ok(CarrierKind::WebSocket));
    }

    #[tokio::test]
    async fn an_error_that_stays_the_same_is_not_tried_again() {
        let tried = RefCell::new(Vec::new());
        let gone = CarrierError::PodNotFound {
            message: String::new(),
        };
        let opened = open_first(&CarrierKind::ALL, |kind| {
            tried.borrow_mut().push(kind);
            ready(Err::<(), _>(gone.clone()))
        });
        assert_eq!(opened.await, Err(gone.clone()));
        assert_eq!(*tried.borrow(), [CarrierKind::Spdy]);
    }

    #[tokio::test]
    async fn a_missing_permission_is_reported_first() {
        let opened = open_first(&CarrierKind::ALL, |kind| {
            ready(Err::<(), _>(if kind == CarrierKind::WebSocket {
                forbidden()
            } else {
                refused()
            }))
        });
        assert_eq!(opened.await, Err(forbidden()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_kind_does_not_delay_the_next() {
        let begun = tokio::time::Instant::now();
        let opened = open_first(&CarrierKind::ALL, async |kind| match kind {
            CarrierKind::Spdy => pending().await,
            CarrierKind::WebSocket | CarrierKind::Exec => Ok(kind),
        });
        assert_eq!(opened.await, Ok(CarrierKind::WebSocket));
        assert_eq!(begun.elapsed(), HEAD_START);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_started_only_as_the_last_resort() {
        let tried = RefCell::new(Vec::new());
        let opened = open_first(&CarrierKind::ALL, |kind| {
            tried.borrow_mut().push(kind);
            async move {
                sleep(HEAD_START * 4).await;
                if kind == CarrierKind::WebSocket {
                    Ok(kind)
                } else {
                    Err(refused())
                }
            }
        });
        assert_eq!(opened.await, Ok(CarrierKind::WebSocket));
        assert_eq!(*tried.borrow(), [CarrierKind::Spdy, CarrierKind::WebSocket]);
    }
}
