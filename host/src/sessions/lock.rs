//! Locks of the sessions.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. Nothing panics while it holds one of these for more than a map operation.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
