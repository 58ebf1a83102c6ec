//! What may be written about a database. A few things in it can make a lot of text: views that show the two ends of a
//! reference are related each with each, and a function that gives rows tells of all their columns.

use crate::room::Wanted;
use std::cell::Cell;
use studio_plugin_api::DriverError;

/// The largest text, in bytes: no compiler takes more.
const LARGEST: u64 = 16 << 20;

/// So many bytes, and somebody who waits for them.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    limit: u64,
    left: Cell<u64>,
    is_over: Cell<bool>,
    wanted: &'a Wanted,
}

impl<'a> Budget<'a> {
    /// For a reply of `limit` bytes.
    pub(super) fn new(limit: u64, wanted: &'a Wanted) -> Self {
        let limit = limit.min(LARGEST);
        Self { limit, left: Cell::new(limit), is_over: Cell::new(false), wanted }
    }

    /// Takes so many bytes of it. Once there are not enough, nothing need be written any more.
    pub(super) fn spend(&self, bytes: usize) -> bool {
        match self.left.get().checked_sub(bytes as u64) {
            Some(left) if !self.is_over.get() && self.wanted.check().is_ok() => {
                self.left.set(left);
                true
            }
            _ => {
                self.is_over.set(true);
                false
            }
        }
    }

    /// Whether so many bytes are left in it.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        bytes as u64 <= self.left.get() && self.wanted.check().is_ok()
    }

    /// Says that there is not enough left.
    pub(super) fn refuse<T>(&self) -> Result<T, DriverError> {
        Err(DriverError::result_too_large(self.limit))
    }

    /// Whether a text that was written is whole.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE` when it is not.
    pub(super) fn check(&self) -> Result<(), DriverError> {
        self.wanted.check()?;
        match self.is_over.get() {
            false => Ok(()),
            true => self.refuse(),
        }
    }
}
