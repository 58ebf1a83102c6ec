//! What there is of one connection's sessions, and who gets which: decisions alone, without locks, tasks or I/O.
//!
//! A pool of a shared driver has room for one session, which stays in the pool while it is lent, to any number of
//! callers. One of an exclusive driver has room for several, and what is lent is out of the pool until it comes back.
//! All else is the same for both.
//!
//! Two things always hold. While somebody waits, no session is free. And while somebody waits, a session is lent that
//! will come back, or one is being opened: nobody is forgotten.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, manifest::Concurrency};

/// The shortest and the longest pause after a failure to open. The longest keeps recovery within two seconds of a
/// database's return, and costs a dead one no more than one attempt a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How long a connection with sessions makes do with them after one more could not be opened.
const REST: Duration = Duration::from_secs(1);

/// What the pool asks of a session. A clone is the same session.
pub(super) trait Pooled: Clone {
    /// Whether its driver still believes in it.
    fn is_open(&self) -> bool;

    /// Since when it has been without a call; `None` while it has one.
    fn idle_since(&self) -> Option<Instant>;
}

/// How much a pool may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) concurrency: Concurrency,
    /// Sessions, lent ones and those being opened included.
    pub(super) sessions: usize,
    /// Callers that wait.
    pub(super) waiting: usize,
}

/// One connection's sessions, `S`, and those who wait for one, `W`.
pub(super) struct Pool<S, W> {
    size: Size,
    /// Open and ready to be lent. The last one is lent first, so that those not needed fall idle and are closed.
    free: Vec<S>,
    /// Out of the pool, in the hands of one caller each.
    lent: usize,
    opening: usize,
    /// One of those being opened has no place under the caps yet. No second one stands in that line beside it.
    seeking: bool,
    /// In order of arrival, numbered.
    waiting: VecDeque<(u64, W)>,
    arrivals: u64,
    /// Failures to open since the last success.
    failures: u32,
    paused: Option<(Instant, DriverError)>,
    resting_until: Option<Instant>,
    /// Another pool is in its place: nothing is kept here that nobody uses.
    retired: bool,
}

/// What a caller gets who asks for a session.
pub(super) enum Asked<S> {
    Lent(S),
    /// In line, under this number.
    Waits(u64),
    Refused(DriverError),
}

/// What a decision leaves to be done, outside the lock, in this order.
#[must_use]
pub(super) struct After<S, W> {
    /// To be sent.
    pub(super) answers: Vec<(W, Result<S, DriverError>)>,
    /// To be closed, by being dropped.
    pub(super) closed: Vec<S>,
    /// To begin opening a session; it is counted already.
    pub(super) open: bool,
}

impl<S, W> Default for After<S, W> {
    fn default() -> Self {
        Self { answers: Vec::new(), closed: Vec::new(), open: false }
    }
}

impl<S: Pooled, W> Pool<S, W> {
    pub(super) fn new(size: Size) -> Self {
        Self {
            size,
            free: Vec::new(),
            lent: 0,
            opening: 0,
            seeking: false,
            waiting: VecDeque::new(),
            arrivals: 0,
            failures: 0,
            paused: None,
            resting_until: None,
            retired: false,
        }
    }

    /// Lends a session, or puts the caller in line for one.
    pub(super) fn ask(&mut self, now: Instant, waiter: impl FnOnce() -> W) -> (Asked<S>, After<S, W>) {
        let mut after = After::default();
        while let Some(session) = self.free.pop() {
            if !session.is_open() {
                after.closed.push(session);
                continue;
            }
            match self.size.concurrency {
                Concurrency::Shared => self.free.push(session.clone()),
                Concurrency::Exclusive => self.lent += 1,
            }
            return (Asked::Lent(session), after);
        }
        if let Some((until, error)) = &self.paused
            && *until > now
            && self.is_empty()
        {
            return (Asked::Refused(circuit_open(*until - now, error)), after);
        }
        if self.waiting.len() >= self.size.waiting {
            return (Asked::Refused(too_many_waiting()), after);
        }
        let number = self.arrivals;
        self.arrivals += 1;
        self.waiting.push_back((number, waiter()));
        after.open = self.begin_opening(now);
        (Asked::Waits(number), after)
    }

    /// Takes a caller out of the line. One that is not in it any more has its answer.
    pub(super) fn leave(&mut self, number: u64) {
        if let Some(place) = self.place_of(number) {
            self.waiting.remove(place);
        }
    }

    /// Whether a caller waits for sessions that others use, and not for the connection's first or one that is being
    /// opened on its account.
    pub(super) fn is_behind_others(&self, number: u64) -> bool {
        self.open() > 0 && self.place_of(number).is_some_and(|place| place >= self.opening)
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    /// Takes back what was lent; `None` when it is not to be used again.
    pub(super) fn give_back(&mut self, session: Option<S>, now: Instant) -> After<S, W> {
        let mut after = After::default();
        self.lent -= 1;
        if let Some(session) = session {
            self.place(session, &mut after);
        }
        after.open = self.begin_opening(now);
        after
    }

    /// Counts one more as being opened, if one is needed and may be. A connection without any is tried by one alone,
    /// whatever went before: those who wait there have nothing else to hope for.
    pub(super) fn begin_opening(&mut self, now: Instant) -> bool {
        let open = self.open();
        let needed = self.opening < self.waiting.len() && open + self.opening < self.size.sessions;
        let allowed = match open {
            0 => self.opening == 0,
            _ => !self.seeking && self.resting_until.is_none_or(|until| until <= now),
        };
        if needed && allowed {
            self.opening += 1;
            self.seeking = true;
        }
        needed && allowed
    }

    /// Whether those who wait have use for every session that is being opened.
    pub(super) fn is_opening_needed(&self) -> bool {
        self.opening <= self.waiting.len()
    }

    /// One that was being opened has its place under the caps. When false, nobody needs it any more.
    pub(super) fn find_room(&mut self, now: Instant) -> (bool, After<S, W>) {
        let mut after = After::default();
        let needed = self.is_opening_needed();
        self.seeking = false;
        if !needed {
            self.opening -= 1;
        }
        after.open = self.begin_opening(now);
        (needed, after)
    }

    pub(super) fn finish_opening(&mut self, session: S, now: Instant) -> After<S, W> {
        let mut after = After::default();
        self.opening -= 1;
        self.failures = 0;
        self.paused = None;
        self.resting_until = None;
        self.place(session, &mut after);
        after.open = self.begin_opening(now);
        after
    }

    /// One could not be opened. While there are others, those who wait have them to wait for, and the answer is until
    /// when they must do. Otherwise everyone gets the error, and the connection is paused, unless there was no place
    /// under the caps, which says nothing of the database.
    pub(super) fn fail_opening(
        &mut self,
        error: &DriverError,
        had_room: bool,
        now: Instant,
    ) -> (Option<Instant>, After<S, W>) {
        let mut after = After::default();
        self.opening -= 1;
        self.seeking &= had_room;
        if !self.is_empty() {
            let until = now + REST;
            self.resting_until = Some(until);
            return (Some(until), after);
        }
        if had_room {
            let (shortest, longest) = PAUSE;
            let length = shortest.saturating_mul(1 << self.failures.min(16)).min(longest);
            self.failures = self.failures.saturating_add(1);
            self.paused = Some((now + length, error.clone()));
        }
        after.answers.extend(self.waiting.drain(..).map(|(_, waiter)| (waiter, Err(error.clone()))));
        (None, after)
    }

    pub(super) fn end_pause(&mut self) {
        self.paused = None;
    }

    /// Takes out the free sessions for which this is true, to be closed.
    pub(super) fn remove(&mut self, unwanted: impl Fn(&S) -> bool) -> Vec<S> {
        self.free.extract_if(.., |session| unwanted(session)).collect()
    }

    /// Since when the session that has been idle longest has been.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.longest_idle().map(|(since, _)| since)
    }

    /// Takes out the session that has been idle longest, to be closed.
    pub(super) fn remove_longest_idle(&mut self) -> Option<S> {
        self.longest_idle().map(|(_, place)| self.free.remove(place))
    }

    fn longest_idle(&self) -> Option<(Instant, usize)> {
        let idle = |(place, session): (usize, &S)| Some((session.idle_since()?, place));
        self.free.iter().enumerate().filter_map(idle).min()
    }

    /// From now on nothing is kept that nobody uses. Those who wait still get their sessions.
    pub(super) fn retire(&mut self) -> Vec<S> {
        self.retired = true;
        std::mem::take(&mut self.free)
    }

    /// Sessions open now.
    pub(super) fn open(&self) -> usize {
        self.free.len() + self.lent
    }

    /// Callers that wait now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Nothing is lost when this pool is.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        self.is_empty()
            && self.waiting.is_empty()
            && self.paused.as_ref().is_none_or(|(until, _)| *until + Duration::from_secs(60) < now)
    }

    fn is_empty(&self) -> bool {
        self.open() == 0 && self.opening == 0
    }

    /// Gives a session to whoever waits for it; keeps it when nobody does.
    fn place(&mut self, session: S, after: &mut After<S, W>) {
        while let Some((_, waiter)) = self.waiting.pop_front() {
            match self.size.concurrency {
                Concurrency::Shared => after.answers.push((waiter, Ok(session.clone()))),
                Concurrency::Exclusive => {
                    self.lent += 1;
                    after.answers.push((waiter, Ok(session)));
                    return;
                }
            }
        }
        match self.retired {
            true => after.closed.push(session),
            false => self.free.push(session),
        }
    }
}

fn circuit_open(wait: Duration, error: &DriverError) -> DriverError {
    let mut open = DriverError::connection(
        "circuit_open",
        format!("the database could not be reached a moment ago: {}", error.message),
    );
    if let Some(reason) = error.details.get("reason") {
        open = open.with("cause", reason.clone());
    }
    open.retry_after = Some(wait.max(Duration::from_secs(1)));
    open
}

/// For callers beyond those who may wait, and for those who waited long enough.
pub(super) fn too_many_waiting() -> DriverError {
    let message = "the connection's sessions are all in use, and others wait for them";
    let mut error = DriverError::connection("too_many_waiting", message);
    error.retry_after = Some(Duration::from_secs(1));
    error
}

#[cfg(test)]
mod tests;
