//! One connection's place among the sessions, and the states it goes through.

use super::{Target, lock, permits::Permit};
use crate::plugins::DriverSession;
use futures_util::future::{BoxFuture, Shared};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use studio_plugin_api::DriverError;

/// A session being opened; everyone who waits for it holds a clone.
pub(super) type Opening = Shared<BoxFuture<'static, Result<Arc<Session>, DriverError>>>;

/// An open session together with its place under the caps: closing one gives back the other.
pub(super) struct Session {
    pub(super) driver_session: Box<dyn DriverSession>,
    _permit: Permit,
    opened: Instant,
    /// Milliseconds after `opened` when a call last ended.
    last_used: AtomicU64,
    doubted: AtomicBool,
}

impl Session {
    pub(super) fn new(driver_session: Box<dyn DriverSession>, permit: Permit) -> Self {
        Self {
            driver_session,
            _permit: permit,
            opened: Instant::now(),
            last_used: AtomicU64::new(0),
            doubted: AtomicBool::new(false),
        }
    }

    pub(super) fn touch(&self) {
        let milliseconds = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(milliseconds, Ordering::Relaxed);
    }

    fn last_used(&self) -> Instant {
        self.opened + Duration::from_millis(self.last_used.load(Ordering::Relaxed))
    }

    /// For one ping at a time.
    pub(super) fn begin_doubt(self: &Arc<Self>) -> Option<Doubt> {
        let first = !self.doubted.swap(true, Ordering::Relaxed);
        first.then(|| Doubt(self.clone()))
    }
}

pub(super) struct Doubt(Arc<Session>);

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.doubted.store(false, Ordering::Relaxed);
    }
}

/// What there is of a connection's session.
#[derive(Clone)]
pub(super) enum State {
    Closed,
    Opening(Opening),
    Open(Arc<Session>),
    /// Opening failed; nobody tries again before `until`.
    Paused {
        until: Instant,
        error: DriverError,
    },
}

/// A connection's place among the sessions.
pub(super) struct Entry {
    pub(super) target: Target,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// Failures to open since the last success.
    failures: u32,
}

impl Entry {
    pub(super) fn new(target: Target) -> Self {
        Self { target, inner: Mutex::new(Inner { state: State::Closed, failures: 0 }) }
    }

    /// The state now; a session that its driver no longer believes in counts as closed.
    pub(super) fn look(&self) -> State {
        let inner = lock(&self.inner);
        match &inner.state {
            State::Open(session) if !session.driver_session.is_open() => {
                close(inner);
                State::Closed
            }
            state => state.clone(),
        }
    }

    /// Starts opening, unless someone else did in the meantime.
    pub(super) fn begin_opening(&self, open: impl FnOnce() -> Opening) -> Opening {
        let mut inner = lock(&self.inner);
        match &inner.state {
            State::Opening(opening) => opening.clone(),
            State::Open(session) => {
                let session = session.clone();
                futures_util::FutureExt::shared(Box::pin(std::future::ready(Ok(session))))
            }
            State::Closed | State::Paused { .. } => {
                let opening = open();
                inner.state = State::Opening(opening.clone());
                opening
            }
        }
    }

    pub(super) fn finish_opening(&self, session: Arc<Session>) {
        let mut inner = lock(&self.inner);
        inner.failures = 0;
        inner.state = State::Open(session);
    }

    /// After a failure: a pause that doubles with each, between the two bounds.
    pub(super) fn pause(&self, (shortest, longest): (Duration, Duration), error: DriverError) {
        let mut inner = lock(&self.inner);
        let length = shortest.saturating_mul(1 << inner.failures.min(16)).min(longest);
        inner.failures = inner.failures.saturating_add(1);
        inner.state = State::Paused { until: Instant::now() + length, error };
    }

    /// After an attempt that never reached the database: the next caller tries again.
    pub(super) fn abandon_opening(&self) {
        lock(&self.inner).state = State::Closed;
    }

    pub(super) fn end_pause(&self) {
        let mut inner = lock(&self.inner);
        if let State::Paused { .. } = inner.state {
            inner.state = State::Closed;
        }
    }

    /// Stops using this session; calls on it finish as they can.
    pub(super) fn give_up(&self, session: &Arc<Session>) {
        let inner = lock(&self.inner);
        if matches!(&inner.state, State::Open(current) if Arc::ptr_eq(current, session)) {
            close(inner);
        }
    }

    /// Since when the session has been without a call; `None` while it has one or is not open.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match &lock(&self.inner).state {
            State::Open(session) if Arc::strong_count(session) == 1 => Some(session.last_used()),
            _ => None,
        }
    }

    pub(super) fn close_if_idle_since(&self, limit: Instant) {
        let inner = lock(&self.inner);
        let idle = match &inner.state {
            State::Open(session) => Arc::strong_count(session) == 1 && session.last_used() <= limit,
            _ => false,
        };
        if idle {
            close(inner);
        }
    }

    /// Nothing is lost when this entry is.
    pub(super) fn is_forgettable(self: &Arc<Self>) -> bool {
        let inner = lock(&self.inner);
        match &inner.state {
            State::Closed => true,
            State::Paused { until, .. } => *until + Duration::from_secs(60) < Instant::now(),
            State::Opening(_) | State::Open(_) => false,
        }
    }
}

/// Closes the session, once the lock is released: closing it is the driver's code, and may take its time.
fn close(mut inner: MutexGuard<'_, Inner>) {
    let session = std::mem::replace(&mut inner.state, State::Closed);
    drop(inner);
    drop(session);
}
