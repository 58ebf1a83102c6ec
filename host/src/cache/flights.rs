//! Reads under way that others may join: many callers who miss the same reply at once make one call.

use super::{generations::Generation, key::Key};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Instant,
};
use studio_plugin_api::sync::lock;

/// The read and its generation: a caller that asks after a write was acknowledged is in another generation, and joins
/// no read from before the write.
type FlightKey = (Arc<Key>, Generation);
type Work<T> = BoxFuture<'static, T>;

/// All reads under way that give a `T`.
pub(super) struct Flights<T: Clone + Send + Sync + 'static> {
    state: Arc<Mutex<State<T>>>,
}

struct State<T: Clone + Send + Sync + 'static> {
    last_number: u64,
    /// Held weakly: work that no caller waits for any more is dropped, and the driver's call with it.
    flights: HashMap<FlightKey, (Landing, WeakShared<Work<T>>)>,
}

/// When the work is cut off, and its number.
#[derive(Clone, Copy)]
struct Landing {
    deadline: Instant,
    number: u64,
}

/// A place on a read under way.
pub struct Flight<T: Clone> {
    /// Gives the reply. It goes on while a caller waits for it; the caller that began it may leave.
    pub work: Shared<Work<T>>,
    /// When the work is cut off: the deadline of the caller that began it.
    pub deadline: Instant,
    /// Whether another caller began it.
    pub joined: bool,
}

impl<T: Clone + Send + Sync + 'static> Default for Flights<T> {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(State { last_number: 0, flights: HashMap::new() })) }
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Joins the read that is under way, or begins one, which must end by `deadline` itself.
    pub(super) fn join<F>(
        &self,
        key: &Arc<Key>,
        generation: Generation,
        deadline: Instant,
        begin: impl FnOnce() -> F,
    ) -> Flight<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let flight_key = (key.clone(), generation);
        let mut state = lock(&self.state);
        if let Some((landing, work)) = state.flights.get(&flight_key)
            && let Some(work) = work.upgrade()
        {
            return Flight { work, deadline: landing.deadline, joined: true };
        }
        state.last_number += 1;
        let number = state.last_number;
        let (begun, end) =
            (begin(), End { state: self.state.clone(), flight_key: flight_key.clone(), number });
        let work = async move {
            let result = begun.await;
            drop(end);
            result
        };
        let work = work.boxed().shared();
        if let Some(weak) = work.downgrade() {
            state.flights.insert(flight_key, (Landing { deadline, number }, weak));
        }
        Flight { work, deadline, joined: false }
    }
}

/// Takes the read out of those under way when it has ended or was dropped.
struct End<T: Clone + Send + Sync + 'static> {
    state: Arc<Mutex<State<T>>>,
    flight_key: FlightKey,
    number: u64,
}

impl<T: Clone + Send + Sync + 'static> Drop for End<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        // Another read may have begun in this one's place, after all callers had left it.
        if state.flights.get(&self.flight_key).is_some_and(|(landing, _)| landing.number == self.number) {
            state.flights.remove(&self.flight_key);
        }
    }
}
