//! One limit, and each caller's use of it.

use super::{
    headers::{Left, Texts},
    usage::Usage,
};
use crate::config::Rate;
use governor::{Quota, RateLimiter, clock::Clock, middleware::StateInformationMiddleware};
use sfv::StringRef;
use std::time::Duration;

/// The most callers that one limit counts at a time: 5 MB. A caller is forgotten about a minute after its last request.
const MOST_CALLERS: usize = 200_000;

/// The time that rates are for.
const MINUTE: Duration = Duration::from_secs(60);

/// One limit, and each caller's use of it.
pub(super) struct Rule<C: Clock> {
    /// Its dotted key in the settings, below `rate_limit`.
    pub(super) key: String,
    /// The parts of its header fields.
    pub(super) texts: Texts,
    pub(super) rate: Rate,
    limiter: RateLimiter<u64, Usage, C, StateInformationMiddleware>,
    /// The limiter's own store.
    usage: Usage,
}

/// Rounds a time up to whole seconds.
pub(super) fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

/// Returns how many whole seconds so many requests take to come back.
fn seconds_for(rate: Rate, requests: u32) -> u32 {
    let seconds = (MINUTE.as_secs() * u64::from(requests)).div_ceil(rate.requests().get().into());
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

impl<C: Clock> Rule<C> {
    /// Makes a limit of this name in header fields, of the table `partition` if not everyone's.
    pub(super) fn new(key: String, name: &StringRef, partition: Option<&str>, rate: Rate, clock: C) -> Self {
        let quota = Quota::per_minute(rate.requests()).allow_burst(rate.burst());
        let usage = Usage::new(MOST_CALLERS);
        let limiter = RateLimiter::new(quota, usage.clone(), clock);
        // A policy is the burst over the time in which it comes back: the limiter enforces both, in the short and the
        // long term.
        let burst = rate.burst().get();
        let texts = Texts::new(name, partition, burst, seconds_for(rate, burst).max(1));
        Self { key, texts, rate, limiter, usage }
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
        self.usage.shorten(caller, (MINUTE / self.rate.requests().get()).into());
    }

    /// Returns the rest of the limit after a request that was let through. Its requests, spread over its seconds, stay
    /// within the rate; if none is left, the seconds are the wait for the next one.
    pub(super) fn left(&self, requests: u32) -> Left {
        Left { requests, seconds: seconds_for(self.rate, requests.max(1)) }
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
