//! Estimates how fast a line moves, by the calls that ended lately, and turns callers away that would wait too long.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use studio_plugin_api::DriverError;

/// The latest call counts for one part in so many in the estimate, which is used only after so many calls, since the
/// first calls of a session are not like later ones.
const WEIGHT: u32 = 8;
/// The longest time after which callers are told to try again.
const LONGEST_ADVICE: Duration = Duration::from_secs(60);

/// How long calls took lately, on average.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WaitEstimate {
    call: Duration,
    /// Calls seen, up to [`WEIGHT`].
    seen: u32,
}

impl WaitEstimate {
    /// Adds the duration of a call that ended to the average.
    pub(super) fn learn(&mut self, took: Duration) {
        self.seen = (self.seen + 1).min(WEIGHT);
        self.call = match self.call.is_zero() {
            true => took,
            false => (self.call * (WEIGHT - 1) + took) / WEIGHT,
        };
    }

    /// Checks whether a new caller gets its turn in time behind `waiting` others, when `at_once` calls can run. The
    /// first caller in line is always admitted: its measured time keeps the estimate current.
    ///
    /// # Errors
    /// The time until the turn, if that is after `turn_by` or leaves no time for a call before `deadline`.
    pub(super) fn check(
        &self,
        now: Instant,
        (waiting, at_once): (usize, usize),
        (turn_by, deadline): (Instant, Instant),
    ) -> Result<(), Duration> {
        if waiting == 0 || self.seen < WEIGHT {
            return Ok(());
        }
        let calls_before = u32::try_from(waiting.saturating_add(1)).unwrap_or(u32::MAX);
        let at_once = u32::try_from(at_once.max(1)).unwrap_or(u32::MAX);
        let wait = self.call.saturating_mul(calls_before) / at_once;
        let turn = now + wait;
        if turn > turn_by || turn + self.call > deadline { Err(wait) } else { Ok(()) }
    }
}

/// The calls seen, in the lowest bits of a [`SharedEstimate`]; the average in nanoseconds is above them.
const SEEN_BITS: u32 = WEIGHT.ilog2() + 1;

/// An estimate that many callers add to at once, without a lock.
#[derive(Default)]
pub(super) struct SharedEstimate(AtomicU64);

impl SharedEstimate {
    pub(super) fn get(&self) -> WaitEstimate {
        unpack(self.0.load(Ordering::Relaxed))
    }

    /// Adds the duration of a call that ended to the average.
    pub(super) fn learn(&self, took: Duration) {
        let learned = |packed| {
            let mut estimate = unpack(packed);
            estimate.learn(took);
            Some(pack(estimate))
        };
        // The function gives a new value each time, so this does not fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, learned);
    }
}

fn pack(WaitEstimate { call, seen }: WaitEstimate) -> u64 {
    let most = u64::MAX >> SEEN_BITS;
    let nanoseconds = u64::try_from(call.as_nanos()).unwrap_or(most).min(most);
    nanoseconds << SEEN_BITS | u64::from(seen)
}

fn unpack(packed: u64) -> WaitEstimate {
    let seen = u32::try_from(packed & ((1 << SEEN_BITS) - 1)).unwrap_or(WEIGHT);
    WaitEstimate { call: Duration::from_nanos(packed >> SEEN_BITS), seen }
}

/// Makes the error for callers when the line is full, their wait is over, or their turn would come too late.
pub(super) fn too_many_waiting(wait: Duration) -> DriverError {
    let message = "the database is busy: others wait already, and there was or will be no turn in time";
    let mut error = DriverError::connection("too_many_waiting", message);
    error.retry_after = Some(wait.clamp(Duration::from_secs(1), LONGEST_ADVICE));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn estimate(seconds: impl IntoIterator<Item = u32>) -> WaitEstimate {
        let mut estimate = WaitEstimate::default();
        seconds.into_iter().for_each(|seconds| estimate.learn(SECOND * seconds));
        estimate
    }

    #[test]
    fn estimated_turn_is_the_line_divided_by_the_concurrent_calls() {
        let now = Instant::now();
        let far = now + SECOND * 1000;
        for (waiting, running, seconds) in [(1, 1, 4), (9, 1, 20), (9, 10, 2), (19, 10, 4)] {
            let turn = now + SECOND * seconds;
            let estimate = estimate([2; WEIGHT as usize]);
            assert_eq!(estimate.check(now, (waiting, running), (turn, far)), Ok(()));
            let early = turn.checked_sub(Duration::from_millis(1)).unwrap();
            assert_eq!(estimate.check(now, (waiting, running), (early, far)), Err(SECOND * seconds));
            assert_eq!(estimate.check(now, (waiting, running), (turn, turn + SECOND * 2)), Ok(()));
            assert!(
                estimate.check(now, (waiting, running), (turn, turn + SECOND)).is_err(),
                "no time for the call"
            );
        }
    }

    #[test]
    fn first_in_line_may_always_wait_and_all_may_before_an_estimate() {
        let now = Instant::now();
        assert_eq!(estimate([100; WEIGHT as usize]).check(now, (0, 1), (now, now)), Ok(()));
        assert_eq!(estimate([]).check(now, (1000, 1), (now, now)), Ok(()));
        let few = estimate([100; WEIGHT as usize - 1]);
        assert_eq!(few.check(now, (1000, 1), (now, now)), Ok(()));
    }

    #[test]
    fn shared_estimate_is_the_same_as_one_of_a_single_caller() {
        let (shared, mut single) = (SharedEstimate::default(), WaitEstimate::default());
        for nanoseconds in [0, 1, 12_345, 30_000_000_000, 0, 7, 1_000_000_000, 8, 9, 86_400_000_000_000, 10] {
            assert_eq!(shared.get(), single);
            shared.learn(Duration::from_nanos(nanoseconds));
            single.learn(Duration::from_nanos(nanoseconds));
        }
        assert_eq!(shared.get(), single);
        shared.learn(Duration::MAX / 8);
        assert_eq!(shared.get().seen, WEIGHT);
        assert!(shared.get().call > SECOND * 86_400 * 365, "{:?}", shared.get());
    }

    #[test]
    fn estimate_follows_what_is_seen() {
        assert_eq!(estimate([8, 16]).call, SECOND * 9);
        let after_a_storm = estimate(std::iter::repeat_n(10, 50).chain(std::iter::repeat_n(1, 30)));
        assert!(after_a_storm.call < SECOND * 2, "{after_a_storm:?}");
    }
}
