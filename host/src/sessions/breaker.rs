//! Decides when a connection is left alone for a while: after a failure to open a session, and when most of its recent
//! calls failed. Callers pass the time in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use studio_plugin_api::DriverError;

/// The shortest and the longest pause. The longest keeps recovery within two seconds of a database's return, and costs
/// a dead one no more than one attempt a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How far back calls count.
const WINDOW: Duration = Duration::from_secs(10);
/// With fewer calls than this in the window, their failures do not open the circuit.
const ENOUGH_CALLS: u32 = 20;

/// One connection's circuit. While it is open, callers are refused at once; after each pause one of them is let through
/// to try. If that caller never reports how it went, another one is let through after the longest pause.
#[derive(Default)]
pub(super) struct Breaker {
    /// Failures since the last success: to open a session, and of calls that were let through to try.
    failures: u32,
    open: Option<Open>,
    calls: RecentCalls,
}

struct Open {
    since: Instant,
    /// The first caller after this time is let through, alone.
    until: Instant,
    error: DriverError,
    /// Calls failed, so that opening a session proves nothing.
    by_calls: bool,
}

impl Breaker {
    /// Lets a caller through, or refuses it.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with reason `circuit_open`.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), DriverError> {
        match &mut self.open {
            Some(open) if open.until > now => Err(circuit_open(open.until - now, &open.error)),
            Some(open) => {
                open.until = now + PAUSE.1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes that a session could not be opened.
    pub(super) fn opening_failed(&mut self, error: &DriverError, now: Instant) {
        self.pause(error, false, now);
    }

    /// Notes that a session was opened.
    pub(super) fn opening_succeeded(&mut self) {
        if !self.open.as_ref().is_some_and(|open| open.by_calls) {
            self.close();
        }
    }

    /// Notes that the database answered a call, even with an error. Tells whether that closed the circuit.
    pub(super) fn call_answered(&mut self, now: Instant) -> bool {
        if let Some(second) = self.calls.current(now) {
            second.answered += 1;
        }
        let was_open = self.open.is_some();
        if was_open {
            self.close();
        }
        was_open
    }

    /// Notes that a call that began at `begun` found no database. Tells whether that opened the circuit.
    pub(super) fn call_failed(&mut self, begun: Instant, error: &DriverError, now: Instant) -> bool {
        match &self.open {
            // A call from before the circuit opened says nothing new.
            Some(open) if begun < open.since => false,
            Some(_) => {
                self.pause(error, true, now);
                false
            }
            None => {
                if let Some(second) = self.calls.current(now) {
                    second.failed += 1;
                }
                let trips = self.calls.mostly_fail(now);
                if trips {
                    self.pause(error, true, now);
                }
                trips
            }
        }
    }

    /// Closes the circuit: the database is known to work.
    pub(super) fn close(&mut self) {
        self.failures = 0;
        self.open = None;
        self.calls = RecentCalls::default();
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Tells whether this circuit may be dropped: it is closed, or its pause ended more than a minute ago.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        self.open.as_ref().is_none_or(|open| open.until + Duration::from_secs(60) < now)
    }

    fn pause(&mut self, error: &DriverError, by_calls: bool, now: Instant) {
        let (shortest, longest) = PAUSE;
        let length = shortest.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        let since = self.open.as_ref().map_or(now, |open| open.since);
        self.open = Some(Open { since, until: now + length, error: error.clone(), by_calls });
    }
}

/// How the calls of the last [`WINDOW`] went, counted by the second.
#[derive(Default)]
struct RecentCalls {
    /// The latest last.
    seconds: VecDeque<Second>,
}

struct Second {
    from: Instant,
    answered: u32,
    failed: u32,
}

impl RecentCalls {
    /// Returns the second that `now` falls into.
    fn current(&mut self, now: Instant) -> Option<&mut Second> {
        if self.seconds.back().is_none_or(|last| last.from + Duration::from_secs(1) <= now) {
            self.seconds.retain(|second| second.from + WINDOW > now);
            self.seconds.push_back(Second { from: now, answered: 0, failed: 0 });
        }
        self.seconds.back_mut()
    }

    fn mostly_fail(&self, now: Instant) -> bool {
        let recent = self.seconds.iter().filter(|second| second.from + WINDOW > now);
        let (answered, failed) = recent
            .fold((0, 0), |(answered, failed), second| (answered + second.answered, failed + second.failed));
        answered + failed >= ENOUGH_CALLS && failed >= answered
    }
}

fn circuit_open(wait: Duration, error: &DriverError) -> DriverError {
    let message = format!("the database could not be reached a moment ago: {}", error.message);
    let mut open = DriverError::connection("circuit_open", message);
    if let Some(reason) = error.details.get("reason") {
        open = open.with("cause", reason.clone());
    }
    open.retry_after = Some(wait.max(Duration::from_secs(1)));
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused() -> DriverError {
        DriverError::connection("refused", "nobody listens")
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Lets `calls` calls fail, all begun and ended now; tells whether one of them opened the circuit.
    fn fail(breaker: &mut Breaker, calls: u32, now: Instant) -> bool {
        (0..calls).any(|_| breaker.call_failed(now, &refused(), now))
    }

    fn answer(breaker: &mut Breaker, calls: u32, now: Instant) {
        assert!((0..calls).all(|_| !breaker.call_answered(now)));
    }

    #[test]
    fn half_of_enough_calls_open_it_and_fewer_do_not() {
        let now = Instant::now();
        for (answered, failed, opens) in
            [(0, 19, false), (0, 20, true), (10, 9, false), (10, 10, true), (11, 10, false), (100, 99, false)]
        {
            let mut breaker = Breaker::default();
            answer(&mut breaker, answered, now);
            assert_eq!(fail(&mut breaker, failed, now), opens, "{answered} answered, {failed} failed");
            assert_eq!(breaker.is_open(), opens);
        }
    }

    #[test]
    fn calls_of_more_than_a_window_ago_do_not_count() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        answer(&mut breaker, 100, now);
        assert!(!fail(&mut breaker, 30, now + WINDOW - milliseconds(1)), "a hundred were answered");
        assert!(fail(&mut breaker, 1, now + WINDOW), "those are forgotten now");
        let mut breaker = Breaker::default();
        assert!(!fail(&mut breaker, 19, now) && !fail(&mut breaker, 19, now + WINDOW));
    }

    #[test]
    fn open_circuit_refuses_everyone_and_then_lets_one_try() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(fail(&mut breaker, 20, now));
        let error = breaker.admit(now + milliseconds(99)).unwrap_err();
        assert_eq!(
            (&error.details["reason"], &error.details["cause"]),
            (&"circuit_open".into(), &"refused".into())
        );
        assert_eq!(error.retry_after, Some(Duration::from_secs(1)));
        let trying = now + milliseconds(100);
        assert!(breaker.admit(trying).is_ok());
        assert!(breaker.admit(trying).is_err(), "one is enough");
        assert!(breaker.call_answered(trying), "it worked");
        assert!(!breaker.is_open() && breaker.admit(trying).is_ok());
        assert!(!fail(&mut breaker, 19, trying), "the failures from before are forgotten");
    }

    #[test]
    fn pauses_grow_with_each_try_that_fails_up_to_a_second() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(fail(&mut breaker, 20, now));
        for pause in [100, 200, 400, 800, 1000, 1000] {
            assert!(breaker.admit(now + milliseconds(pause - 1)).is_err(), "less than {pause} ms");
            now += milliseconds(pause);
            assert!(breaker.admit(now).is_ok(), "{pause} ms");
            fail(&mut breaker, 1, now);
        }
    }

    #[test]
    fn trial_call_that_never_reports_is_followed_by_another() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.opening_failed(&refused(), now);
        assert!(breaker.admit(now + milliseconds(100)).is_ok());
        assert!(breaker.admit(now + milliseconds(1099)).is_err());
        assert!(breaker.admit(now + milliseconds(1100)).is_ok());
    }

    #[test]
    fn calls_from_before_it_opened_prolong_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(fail(&mut breaker, 20, now));
        let later = now + milliseconds(100);
        assert!(!breaker.call_failed(now.checked_sub(milliseconds(1)).unwrap(), &refused(), later));
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn opened_session_ends_a_pause_by_openings_but_not_by_calls() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.opening_failed(&refused(), now);
        breaker.opening_succeeded();
        assert!(!breaker.is_open());
        assert!(fail(&mut breaker, 20, now));
        breaker.opening_succeeded();
        assert!(breaker.is_open());
        breaker.close();
        assert!(breaker.admit(now).is_ok());
    }

    proptest! {
        #[test]
        fn recovery_never_waits_longer_than_two_pauses(
            events in prop::collection::vec((0..5_u8, 0..3000_u64), 0..100)
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            for (event, time) in events {
                match event {
                    0 => drop(breaker.admit(now)),
                    1 => breaker.opening_failed(&refused(), now),
                    2 => breaker.opening_succeeded(),
                    3 => drop(fail(&mut breaker, 25, now)),
                    _ => drop(breaker.call_answered(now)),
                }
                let longest = now + PAUSE.1;
                prop_assert!(breaker.open.as_ref().is_none_or(|open| open.until <= longest));
                now += milliseconds(time);
            }
        }
    }
}
