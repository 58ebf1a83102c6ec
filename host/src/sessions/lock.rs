//! The lock that the session modules share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. A poisoned one is used on: the code that holds these locks does not panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
