//! One limit, and each caller's use of it.

use super::usage::Usage;
use crate::config::Rate;
use governor::{Quota, RateLimiter, clock::Clock, middleware::StateInformationMiddleware};
use sfv::StringRef;
use std::time::Duration;

/// The most callers that one limit counts at a time: 5 MB. A caller is forgotten about a minute after its last request.
const MOST_CALLERS: usize = 200_000;

/// One limit, and each caller's use of it.
pub(super) struct Rule<C: Clock> {
    /// Its dotted key in the settings, below `rate_limit`.
    pub(super) key: String,
    /// Its name in header fields.
    pub(super) name: &'static StringRef,
    /// The table that it belongs to, for header fields; `None` for limits that apply to everyone.
    pub(super) partition: Option<Vec<u8>>,
    pub(super) rate: Rate,
    limiter: RateLimiter<u64, Usage, C, StateInformationMiddleware>,
    /// The limiter's own store.
    usage: Usage,
}

/// Rounds a time up to whole seconds.
pub(super) fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

impl<C: Clock> Rule<C> {
    pub(super) fn new(
        key: String,
        name: &'static StringRef,
        partition: Option<&str>,
        rate: Rate,
        clock: C,
    ) -> Self {
        let quota = Quota::per_minute(rate.requests()).allow_burst(rate.burst());
        let usage = Usage::new(MOST_CALLERS);
        let limiter = RateLimiter::new(quota, usage.clone(), clock);
        Self { key, name, partition: partition.map(Into::into), rate, limiter, usage }
    }

    /// Counts a request of a caller. Returns how many more may come now, or how long to wait for this one.
    pub(super) fn count(&self, caller: u64) -> Result<u32, Duration> {
        match self.limiter.check_key(&caller) {
            Ok(counted) => Ok(counted.remaining_burst_capacity()),
            Err(refused) => Err(refused.wait_time_from(self.limiter.clock().now())),
        }
    }

    /// Takes back the last request that was counted.
    pub(super) fn give_back(&self, caller: u64) {
        self.usage.shorten(caller, self.time_for(1).into());
    }

    /// Returns how long so many requests take to come back.
    pub(super) fn time_for(&self, requests: u32) -> Duration {
        Duration::from_secs(60) * requests / self.rate.requests().get()
    }

    /// Returns how many callers it counts now.
    #[cfg(test)]
    pub(super) fn callers(&self) -> usize {
        self.limiter.len()
    }

    /// Forgets callers whose allowance is whole again.
    pub(super) fn sweep(&self) {
        self.limiter.retain_recent();
    }
}
