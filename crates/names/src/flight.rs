//! One flight per question: whoever asks what is being asked already waits for the same answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::asks::AskError;
use crate::message::Answer;

/// An answer, and how long it may be remembered.
pub(crate) type Landed = Result<(Arc<Answer>, Duration), AskError>;

/// An ask under way. It flies while somebody waits for it, and is given up when the last one stops waiting.
pub(crate) type Flight = Shared<BoxFuture<'static, Landed>>;

/// A flight as the board knows it: being listed keeps none in the air.
type WeakFlight = WeakShared<BoxFuture<'static, Landed>>;

/// The asks under way by key.
#[derive(Default)]
pub(crate) struct Flights {
    under_way: Arc<Mutex<UnderWay>>,
}

#[derive(Default)]
struct UnderWay {
    flights: HashMap<Box<[u8]>, (u64, WeakFlight)>,
    started: u64,
}

/// Takes a flight off the board when it lands or is given up.
struct Boarded {
    under_way: Arc<Mutex<UnderWay>>,
    key: Box<[u8]>,
    number: u64,
}

impl Flights {
    /// Joins the flight of `key`, or starts the one that `start` makes.
    pub(crate) fn join<F>(&self, key: &[u8], start: impl FnOnce() -> F) -> Flight
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut board = lock(&self.under_way);
        if let Some(flight) = board.flights.get(key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        board.started += 1;
        let number = board.started;
        let boarded = Boarded {
            under_way: Arc::clone(&self.under_way),
            key: key.into(),
            number,
        };
        let ask = start();
        let flight = async move {
            let _boarded = boarded;
            ask.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            board.flights.insert(key.into(), (number, weak));
        }
        flight
    }

    /// Lets nobody join what is under way: its answers belong to the past.
    pub(crate) fn clear(&self) {
        lock(&self.under_way).flights.clear();
    }
}

impl Drop for Boarded {
    fn drop(&mut self) {
        let mut board = lock(&self.under_way);
        if board
            .flights
            .get(&self.key)
            .is_some_and(|(number, _)| *number == self.number)
        {
            board.flights.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
