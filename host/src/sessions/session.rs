//! One open session.

use super::{permits::Permit, pool::Pooled};
use crate::plugins::DriverSession;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// An open session together with its place under the caps: closing it gives the place back.
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

    pub(super) fn touch(&self, now: Instant) {
        let since_opened = now.saturating_duration_since(self.opened);
        let milliseconds = u64::try_from(since_opened.as_millis()).unwrap_or(u64::MAX);
        self.last_used.store(milliseconds, Ordering::Relaxed);
    }

    /// Begins a check of the session; `None` while another one runs, so that there is one ping at a time.
    pub(super) fn begin_doubt(self: &Arc<Self>) -> Option<Doubt> {
        let first = !self.doubted.swap(true, Ordering::Relaxed);
        first.then(|| Doubt(self.clone()))
    }
}

impl Pooled for Arc<Session> {
    fn is_open(&self) -> bool {
        self.driver_session.is_open()
    }

    fn idle_since(&self) -> Option<Instant> {
        let last_used = Duration::from_millis(self.last_used.load(Ordering::Relaxed));
        (Arc::strong_count(self) == 1).then(|| self.opened + last_used)
    }
}

pub(super) struct Doubt(Arc<Session>);

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.doubted.store(false, Ordering::Relaxed);
    }
}
