//! Time as a number that one task moves on and all others read: times measured in seconds need no call to the system.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Milliseconds since the clock began. Never zero, so that zero can stand for no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Returns how long this is after an earlier one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The clock.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    now: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now(), now: AtomicU64::new(1) }
    }
}

impl Clock {
    /// Returns the time of its last tick.
    pub fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::Relaxed))
    }

    /// Moves the clock on.
    pub fn tick(&self, now: Instant) -> Moment {
        let milliseconds = now.saturating_duration_since(self.began).as_millis();
        let moment = u64::try_from(milliseconds).unwrap_or(u64::MAX).saturating_add(1);
        self.now.store(moment, Ordering::Relaxed);
        Moment(moment)
    }
}

/// A moment, or none.
#[derive(Debug, Default)]
pub(super) struct MaybeMoment(AtomicU64);

impl MaybeMoment {
    pub(super) fn get(&self) -> Option<Moment> {
        Some(self.0.load(Ordering::Relaxed)).filter(|milliseconds| *milliseconds != 0).map(Moment)
    }

    pub(super) fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Relaxed);
    }

    pub(super) fn set_if_none(&self, moment: Moment) {
        if self.0.load(Ordering::Relaxed) == 0 {
            self.set(moment);
        }
    }

    pub(super) fn take(&self) -> Option<Moment> {
        // Most often there is none, and a load costs less than a swap.
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            _ => Some(self.0.swap(0, Ordering::Relaxed)).filter(|at| *at != 0).map(Moment),
        }
    }
}
