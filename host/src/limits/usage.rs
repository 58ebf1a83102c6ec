//! The store of a limit: how much each caller has used of it, for a bounded number of callers.

use governor::{
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};
use studio_plugin_api::sync::lock;

/// Parts of a store, each behind a lock of its own, so that requests rarely wait for each other.
const PARTS: usize = 16;

/// For each caller, by a hash of its identity, the time at which its allowance is whole again (GCRA's theoretical
/// arrival time). After that time an entry means the same as no entry, and is dropped.
///
/// While a part of the store is full, callers of that part who are not in it are let through uncounted. An attacker
/// able to fill it already owns that many identities, each with a fresh allowance, so this gives nothing away. Known
/// callers stay limited. Clones are the same store.
#[derive(Clone)]
pub(super) struct Usage(Arc<[Part; PARTS]>);

/// The callers whose hash has the same remainder. Parts lie apart in memory, so that a lock that is taken does not slow
/// down its neighbours.
#[repr(align(128))]
struct Part {
    arrivals: Mutex<HashMap<u64, Nanos>>,
    most: usize,
}

impl Usage {
    /// Makes a store with room for `most` callers.
    pub(super) fn new(most: usize) -> Self {
        let part = |number| Part { arrivals: Mutex::default(), most: (most + number) / PARTS };
        Self(Arc::new(std::array::from_fn(part)))
    }

    /// Makes a caller's allowance whole again earlier, by `time`.
    pub(super) fn shorten(&self, caller: u64, time: Nanos) {
        if let Some(arrival) = self.part(caller).arrivals().get_mut(&caller) {
            *arrival = arrival.saturating_sub(time);
        }
    }

    fn part(&self, caller: u64) -> &Part {
        let [first, ..] = &*self.0;
        self.0.get(caller as usize % PARTS).unwrap_or(first)
    }
}

impl Part {
    fn arrivals(&self) -> MutexGuard<'_, HashMap<u64, Nanos>> {
        lock(&self.arrivals)
    }
}

impl StateStore for Usage {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, caller: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let part = self.part(*caller);
        let mut arrivals = part.arrivals();
        if let Some(arrival) = arrivals.get_mut(caller) {
            let (outcome, next) = decide(Some(*arrival))?;
            *arrival = next;
            return Ok(outcome);
        }
        let (outcome, first) = decide(None)?;
        if arrivals.len() < part.most {
            arrivals.insert(*caller, first);
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u64> for Usage {
    fn retain_recent(&self, drop_below: Nanos) {
        for part in self.0.iter() {
            let mut arrivals = part.arrivals();
            arrivals.retain(|_, arrival| *arrival > drop_below);
            // The memory is given back only after most callers have left, so that a crowd that comes and goes does not
            // move the table each time.
            if arrivals.capacity() / 4 > arrivals.len() {
                let room = arrivals.len() * 2;
                arrivals.shrink_to(room);
            }
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(|part| part.arrivals().len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|part| part.arrivals().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::{Quota, RateLimiter, clock::FakeRelativeClock, middleware::NoOpMiddleware};
    use std::{num::NonZeroU32, time::Duration};

    const MOST: usize = 1000;

    type Limiter = RateLimiter<u64, Usage, FakeRelativeClock, NoOpMiddleware<Nanos>>;

    fn limiter(clock: &FakeRelativeClock) -> Limiter {
        let quota = Quota::per_minute(NonZeroU32::new(2).unwrap());
        RateLimiter::new(quota, Usage::new(MOST), clock.clone())
    }

    /// Returns the callers that the memory of a limiter has room for.
    fn room(limiter: Limiter) -> usize {
        limiter.into_state_store().0.iter().map(|part| part.arrivals().capacity()).sum()
    }

    #[test]
    fn callers_without_number_do_not_grow_the_store() {
        let clock = FakeRelativeClock::default();
        let limiter = limiter(&clock);
        for caller in 0..1_000_000 {
            limiter.check_key(&caller).unwrap();
        }
        assert_eq!(limiter.len(), MOST);
        // Each part's table takes a power of two of slots, of which an eighth stays free.
        let room = room(limiter);
        assert!(room < 4 * MOST, "{room}");
    }

    #[test]
    fn no_request_is_lost_when_many_threads_count_at_once() {
        const EACH: u32 = 300;
        let quota = Quota::per_minute(NonZeroU32::new(EACH).unwrap());
        let limiter: Limiter = RateLimiter::new(quota, Usage::new(MOST), FakeRelativeClock::default());
        let ask = || (0..EACH).flat_map(|_| 0..40).filter(|caller| limiter.check_key(caller).is_ok()).count();
        let let_through: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(let_through, 40 * EACH as usize);
        assert_eq!(limiter.len(), 40);
    }

    #[test]
    fn those_who_were_counted_before_a_crowd_stay_limited_in_it() {
        let limiter = limiter(&FakeRelativeClock::default());
        limiter.check_key(&0).unwrap();
        limiter.check_key(&0).unwrap();
        for caller in 1..5000 {
            limiter.check_key(&caller).unwrap();
        }
        assert!(limiter.check_key(&0).is_err());
    }

    #[test]
    fn entry_expires_exactly_when_its_allowance_is_whole_again() {
        let clock = FakeRelativeClock::default();
        let limiter = limiter(&clock);
        for caller in 0..500 {
            limiter.check_key(&caller).unwrap();
        }
        limiter.check_key(&7).unwrap();
        clock.advance(Duration::from_secs(29));
        limiter.retain_recent();
        assert_eq!(limiter.len(), 500);
        // The rate is one request a half-minute: after one request, the allowance is whole again after 30 seconds, and
        // a sweep after that drops the entry.
        clock.advance(Duration::from_secs(31));
        limiter.retain_recent();
        assert_eq!(limiter.len(), 1, "only caller 7 is not long whole");
        clock.advance(Duration::from_secs(30));
        limiter.retain_recent();
        assert!(limiter.is_empty());
        assert!(room(limiter) < 16, "memory is given back");
    }
}
