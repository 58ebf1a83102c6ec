//! Sharing values between a session's calls.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, even if a call that held it has panicked: for values that are whole between any two statements.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
