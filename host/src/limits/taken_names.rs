//! Bounds how many names a caller may find to be taken by trying to create them.
//!
//! Slugs of organizations and refs of projects are one space for all, since they stand in paths and tokens. So a caller
//! that creates something learns whether the name was free. That can't be hidden, but callers can be kept from trying
//! all names.

use crate::{config::QuotaSettings, identity::Principal};
use moka::future::Cache;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long tries count, from the first of them on.
const WINDOW: Duration = Duration::from_secs(3600);
/// The most callers whose tries are counted.
const MOST_CALLERS: u64 = 20_000;

/// The tries of the last hour, by caller.
pub struct TakenNames {
    tries: Cache<String, Arc<AtomicUsize>>,
    most: usize,
}

/// A try under way. It counts unless [`Try::end`] says that the name was free.
pub struct Try(Arc<AtomicUsize>);

/// The refusal of a caller that found too many taken names.
#[derive(Debug, thiserror::Error)]
#[error("too many names that are taken were tried")]
pub struct TooManyTaken;

impl TooManyTaken {
    /// The setting that bounds it.
    pub const SETTING: &str = "quotas.taken_names_per_hour";
    /// The longest time until a caller may try again.
    pub const WAIT: Duration = WINDOW;
}

impl TakenNames {
    /// Starts without tries, with the quota of these settings.
    pub fn new(settings: &QuotaSettings) -> Self {
        Self {
            tries: Cache::builder().max_capacity(MOST_CALLERS).time_to_live(WINDOW).build(),
            most: settings.taken_names_per_hour.get(),
        }
    }

    /// Lets a caller try a name.
    ///
    /// # Errors
    /// [`TooManyTaken`] when they have found too many that are taken.
    pub async fn begin(&self, caller: &Principal) -> Result<Try, TooManyTaken> {
        let tries = self.tries.get_with(caller.to_string(), async { Arc::default() }).await;
        if tries.fetch_add(1, Ordering::Relaxed) < self.most {
            return Ok(Try(tries));
        }
        tries.fetch_sub(1, Ordering::Relaxed);
        Err(TooManyTaken)
    }
}

impl Try {
    /// Ends the try, which counts only if it failed because the name is taken.
    pub fn end(self, is_taken: bool) {
        if !is_taken {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
