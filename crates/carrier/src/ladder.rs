//! Which rung to take when any will do.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use crate::error::{CarrierError, Wait};
use crate::{Endpoint, Pipe, Rung, open};

/// How long a rung has the field for itself before the next one starts beside it. A proxy that
/// swallows an upgrade gives no answer at all; a slow link must not be asked twice for nothing.
pub const HEAD_START: Duration = Duration::from_secs(2);

/// Tries the rungs, best first, and remembers which one worked. One for a cluster and a network:
/// what is in the way sits between the two.
#[derive(Debug, Default)]
pub struct Ladder {
    preferred: Mutex<Option<Rung>>,
}

impl Ladder {
    /// Starts with what worked the last time, if that is known.
    pub fn new(preferred: Option<Rung>) -> Self {
        Self {
            preferred: Mutex::new(preferred),
        }
    }

    /// The rung that worked last.
    pub fn preferred(&self) -> Option<Rung> {
        *self.preferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a carrier by the first rung that works.
    ///
    /// # Errors
    /// That of the rung that tells most: a missing permission before anything else, then the best
    /// rung's. An error that no other rung can cure ends the attempt at once.
    pub async fn open(&self, client: &kube::Client, endpoint: &Endpoint) -> Result<Pipe, CarrierError> {
        let rungs = order(self.preferred(), endpoint);
        let pipe = climb(&rungs, |rung| open(client, endpoint, rung)).await?;
        tracing::debug!(rung = ?pipe.rung(), "carrier open");
        *self.preferred.lock().unwrap_or_else(PoisonError::into_inner) = Some(pipe.rung());
        Ok(pipe)
    }
}

fn order(preferred: Option<Rung>, endpoint: &Endpoint) -> Vec<Rung> {
    let others = Rung::ALL.into_iter().filter(|rung| Some(*rung) != preferred);
    let usable = |rung: &Rung| *rung != Rung::Exec || endpoint.command.is_some();
    preferred.into_iter().chain(others).filter(usable).collect()
}

/// Attempts `rungs` in turn, each beside the ones before it if they take long.
async fn climb<T, F>(rungs: &[Rung], attempt: impl Fn(Rung) -> F) -> Result<T, CarrierError>
where
    F: Future<Output = Result<T, CarrierError>>,
{
    let mut waiting = rungs.iter().copied().peekable();
    let mut under_way = FuturesUnordered::new();
    let mut worst = None;
    loop {
        if under_way.is_empty() {
            match waiting.next() {
                Some(rung) => under_way.push(attempt(rung)),
                None => return Err(worst.unwrap_or(CarrierError::NoCommand)),
            }
        }
        // A command is started only when nothing else is left: it is not free for the pod.
        let another = waiting.peek().is_some_and(|rung| *rung != Rung::Exec);
        let head_start = pin!(sleep(HEAD_START));
        tokio::select! {
            Some(result) = under_way.next() => match result {
                Ok(pipe) => return Ok(pipe),
                Err(error) if !another_rung_may_help(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "carrier rung failed");
                    let tells_more = matches!(error, CarrierError::Forbidden { .. });
                    if worst.is_none() || tells_more {
                        worst = Some(error);
                    }
                }
            },
            () = head_start, if another => under_way.extend(waiting.next().map(&attempt)),
        }
    }
}

fn another_rung_may_help(error: &CarrierError) -> bool {
    match error {
        // What is asked for differs: another verb, another resource, another header.
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
        // Whom is asked, by whom, and for which pod stays the same.
        CarrierError::InvalidEndpoint { .. }
        | CarrierError::Credentials { .. }
        | CarrierError::Unauthorized { .. }
        | CarrierError::Unreachable { .. }
        | CarrierError::TimedOut { wait: Wait::Connect }
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
    fn what_worked_comes_first_and_exec_only_with_a_command() {
        let endpoint = Endpoint::new("default", "web", 80).unwrap();
        assert_eq!(order(None, &endpoint), [Rung::Spdy, Rung::WebSocket]);
        assert_eq!(
            order(Some(Rung::WebSocket), &endpoint),
            [Rung::WebSocket, Rung::Spdy]
        );
        let endpoint = endpoint.with_command("agent", ["agent", "stdio"]);
        assert_eq!(order(None, &endpoint), Rung::ALL);
    }

    #[tokio::test]
    async fn a_refused_rung_gives_way_to_the_next() {
        let opened = climb(&Rung::ALL, |rung| {
            ready(if rung == Rung::Spdy {
                Err(refused())
            } else {
                Ok(rung)
            })
        });
        assert_eq!(opened.await, Ok(Rung::WebSocket));
    }

    #[tokio::test]
    async fn an_error_that_stays_the_same_is_not_tried_again() {
        let tried = RefCell::new(Vec::new());
        let gone = CarrierError::PodNotFound {
            message: String::new(),
        };
        let opened = climb(&Rung::ALL, |rung| {
            tried.borrow_mut().push(rung);
            ready(Err::<(), _>(gone.clone()))
        });
        assert_eq!(opened.await, Err(gone.clone()));
        assert_eq!(*tried.borrow(), [Rung::Spdy]);
    }

    #[tokio::test]
    async fn a_missing_permission_is_what_the_user_is_told() {
        let opened = climb(&Rung::ALL, |rung| {
            ready(Err::<(), _>(if rung == Rung::WebSocket {
                forbidden()
            } else {
                refused()
            }))
        });
        assert_eq!(opened.await, Err(forbidden()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rung_without_an_answer_does_not_hold_the_next_one_back() {
        let begun = tokio::time::Instant::now();
        let opened = climb(&Rung::ALL, async |rung| match rung {
            Rung::Spdy => pending().await,
            Rung::WebSocket | Rung::Exec => Ok(rung),
        });
        assert_eq!(opened.await, Ok(Rung::WebSocket));
        assert_eq!(begun.elapsed(), HEAD_START);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_is_started_only_when_nothing_else_is_under_way() {
        let tried = RefCell::new(Vec::new());
        let opened = climb(&Rung::ALL, |rung| {
            tried.borrow_mut().push(rung);
            async move {
                sleep(HEAD_START * 4).await;
                if rung == Rung::WebSocket {
                    Ok(rung)
                } else {
                    Err(refused())
                }
            }
        });
        assert_eq!(opened.await, Ok(Rung::WebSocket));
        assert_eq!(*tried.borrow(), [Rung::Spdy, Rung::WebSocket]);
    }
}
