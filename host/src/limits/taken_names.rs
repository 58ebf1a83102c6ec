//! How many names callers may learn to be somebody's by trying to take them.
//!
//! Slugs of organizations and refs of projects are one space for all, since they stand in paths and tokens. So whoever
//! creates something learns whether the name was free; that can't be kept from them, but they can be kept from trying
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

/// How long a try counts, from the first of them on.
const WINDOW: Duration = Duration::from_secs(3600);
/// The most callers whose tries are counted.
const MOST_CALLERS: u64 = 20_000;

/// The tries of the last hour, by caller.
pub struct TakenNames {
    tries: Cache<String, Arc<AtomicUsize>>,
    most: usize,
}

/// A try under way. It counts, unless it is told that the name was free.
pub struct Try(Arc<AtomicUsize>);

/// The refusal of a caller who found too many names that are taken.
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
    /// With this quota.
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
    /// Ends it: it counts when it failed because the name is somebody's.
    pub fn end(self, is_taken: bool) {
        if !is_taken {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
