//! Flights: questions under way. Programs that ask the same question at the same time share one flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::asks::AskError;
use crate::message::Answer;

/// Result of a flight: the answer, and how long it may be cached.
pub(crate) type Landed = Result<(Arc<Answer>, Duration), AskError>;

/// A question under way. It ends early when the last caller stops waiting for it.
pub(crate) type Flight = Shared<BoxFuture<'static, Landed>>;

/// A flight in the list. The reference is weak, so that the list does not keep a flight running.
type WeakFlight = WeakShared<BoxFuture<'static, Landed>>;

/// List of all flights, by the key of their question.
#[derive(Default)]
pub(crate) struct Flights {
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Default)]
struct UnderWay {
    flights: HashMap<Box<[u8]>, (u64, WeakFlight)>,
    started: u64,
}

/// Removes a flight from the list when it ends or is dropped.
struct ListedGuard {
    under_way: Arc<Mutex<UnderWay>>,
    key: Box<[u8]>,
    number: u64,
}

impl Flights {
    /// Joins the flight of `key`, or starts one with the future that `start` makes.
    pub(crate) fn join<F>(&self, key: &[u8], start: impl FnOnce() -> F) -> Flight
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way
            .flights
            .get(key)
            .and_then(|(_, flight)| flight.upgrade())
        {
            return flight;
        }
        under_way.started += 1;
        let number = under_way.started;
        let guard = ListedGuard {
            under_way: Arc::clone(&self.under_way),
            key: key.into(),
            number,
        };
        let ask = start();
        let flight = async move {
            let _guard = guard;
            ask.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            under_way.flights.insert(key.into(), (number, weak));
        }
        flight
    }

    /// Empties the list, so that later questions do not share answers that are out of date.
    pub(crate) fn clear(&self) {
        lock(&self.under_way).flights.clear();
    }
}

impl Drop for ListedGuard {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        if under_way
            .flights
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number)
        {
            under_way.flights.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
