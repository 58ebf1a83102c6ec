//! Counts what is under way.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts one more until it is dropped, also by a panic.
pub(crate) struct CountGuard<'a> {
    counter: &'a AtomicUsize,
    /// The number that was counted before it.
    pub(crate) before: usize,
}

impl<'a> CountGuard<'a> {
    /// Counts one more from now on.
    pub(crate) fn enter(counter: &'a AtomicUsize) -> Self {
        Self { counter, before: counter.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for CountGuard<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}
