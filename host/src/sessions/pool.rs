//! Decides which caller gets which of one connection's sessions, without locks, tasks or I/O.
//!
//! The pool of a shared driver has room for one session, which stays in the pool while it is lent to several callers at
//! once. The pool of an exclusive driver has room for several sessions; a lent one is out of the pool until it comes
//! back. Everything else is the same for both.
//!
//! Two things always hold while a caller waits. No session is free; and a session is lent that will come back, or one
//! is being opened, so no caller is forgotten.

use super::{
    breaker::Breaker,
    wait_estimate::{WaitEstimate, too_many_waiting},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, manifest::Concurrency};

/// How long a connection that has sessions tries to open no further one after that failed.
const REST: Duration = Duration::from_secs(1);

/// A session as the pool sees it. A clone is the same session.
pub(super) trait Pooled: Clone {
    /// Tells whether its driver still takes it for usable.
    fn is_open(&self) -> bool;

    /// Returns when its last call ended; `None` while it has one.
    fn idle_since(&self) -> Option<Instant>;
}

/// How much a pool may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) concurrency: Concurrency,
    /// Sessions, including those that are lent or being opened.
    pub(super) sessions: usize,
    /// Calls under way.
    pub(super) calls: usize,
    /// Callers that wait.
    pub(super) waiting: usize,
}

/// One connection's sessions, `S`, and the callers that wait for one, `W`.
pub(super) struct Pool<S, W> {
    size: Size,
    /// Open and ready to be lent. The last one is lent first, so that unneeded ones fall idle and are closed.
    free: Vec<S>,
    /// Callers that have a session. The lent sessions of an exclusive driver are out of the pool.
    running: usize,
    opening: usize,
    /// One of the sessions being opened has no place under the caps yet. Only one at a time waits for such a place.
    seeking: bool,
    /// In order of arrival, numbered.
    waiting: VecDeque<(u64, W)>,
    arrivals: u64,
    breaker: Breaker,
    estimate: WaitEstimate,
    resting_until: Option<Instant>,
    /// Another pool has replaced this one: it keeps no unused session.
    retired: bool,
}

/// The answer to a caller that asks for a session.
pub(super) enum LendDecision<S> {
    Lent(S),
    /// In line, under this number.
    Waits(u64),
    Refused(DriverError),
}

/// How a caller's use of a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With the database's answer.
    Answered { begun: Instant },
    /// Without a database.
    Failed { begun: Instant, error: DriverError },
    /// The end is not known, or is no sign of the database's state.
    Unknown,
}

/// A change of a database's state, as calls show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Works,
    Fails,
}

/// The work that a decision leaves for after the lock is released, in this order.
#[must_use]
pub(super) struct After<S, W> {
    /// Answers to be sent.
    pub(super) answers: Vec<(W, Result<S, DriverError>)>,
    /// Sessions to be closed, by being dropped.
    pub(super) closed: Vec<S>,
    /// Whether to begin opening a session; it is counted already.
    pub(super) open: bool,
    /// A change to be told to the registry.
    pub(super) news: Option<News>,
}

impl<S, W> Default for After<S, W> {
    fn default() -> Self {
        Self { answers: Vec::new(), closed: Vec::new(), open: false, news: None }
    }
}

impl<S: Pooled, W> Pool<S, W> {
    pub(super) fn new(size: Size) -> Self {
        Self {
            size,
            free: Vec::new(),
            running: 0,
            opening: 0,
            seeking: false,
            waiting: VecDeque::new(),
            arrivals: 0,
            breaker: Breaker::default(),
            estimate: WaitEstimate::default(),
            resting_until: None,
            retired: false,
        }
    }

    /// Lends a session, or puts the caller in line for one. Refuses the caller if the line is too slow for a turn by
    /// `turn_by`, or for a call before `deadline`.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        (turn_by, deadline): (Instant, Instant),
        waiter: impl FnOnce() -> W,
    ) -> (LendDecision<S>, After<S, W>) {
        let mut after = After::default();
        if let Err(error) = self.breaker.admit(now) {
            return (LendDecision::Refused(error), after);
        }
        if let Some(session) = self.lend(&mut after) {
            return (LendDecision::Lent(session), after);
        }
        if self.waiting.len() >= self.size.waiting {
            return (LendDecision::Refused(too_many_waiting(Duration::ZERO)), after);
        }
        // Callers whose session is being opened are not ahead of this one; there may soon be as many calls as allowed.
        let line = (self.waiting.len().saturating_sub(self.opening), self.size.calls);
        if self.open() > 0
            && let Err(wait) = self.estimate.check(now, line, (turn_by, deadline))
        {
            return (LendDecision::Refused(too_many_waiting(wait)), after);
        }
        let number = self.arrivals;
        self.arrivals += 1;
        self.waiting.push_back((number, waiter()));
        after.open = self.begin_opening(now);
        (LendDecision::Waits(number), after)
    }

    /// Lends a free session if another call may run, and counts it as lent.
    fn lend(&mut self, after: &mut After<S, W>) -> Option<S> {
        while self.has_room()
            && let Some(session) = self.free.pop()
        {
            if !session.is_open() {
                after.closed.push(session);
                continue;
            }
            if self.size.concurrency == Concurrency::Shared {
                self.free.push(session.clone());
            }
            self.running += 1;
            return Some(session);
        }
        None
    }

    fn has_room(&self) -> bool {
        self.running < self.size.calls
    }

    /// Takes a caller out of the line. A caller that is no longer in it has its answer.
    pub(super) fn leave(&mut self, number: u64) {
        if let Some(place) = self.place_of(number) {
            self.waiting.remove(place);
        }
    }

    /// Tells whether a caller waits for a session that others use, not for the connection's first one or for one that
    /// is being opened for it.
    pub(super) fn is_behind_others(&self, number: u64) -> bool {
        self.open() > 0 && self.place_of(number).is_some_and(|place| place >= self.opening)
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    /// Takes back a lent session; `None` if it can't be used again. A shared driver's session is in the pool already.
    pub(super) fn give_back(&mut self, session: Option<S>, ended: Ended, now: Instant) -> After<S, W> {
        let mut after = After::default();
        self.running -= 1;
        self.learn(ended, now, &mut after);
        match session {
            Some(session) if self.size.concurrency == Concurrency::Exclusive => {
                self.place(session, &mut after)
            }
            _ => self.serve(&mut after),
        }
        after.open = self.begin_opening(now);
        after
    }

    /// Adds a call's end to the estimates. If it opens the circuit, all waiting callers are refused.
    fn learn(&mut self, ended: Ended, now: Instant, after: &mut After<S, W>) {
        match ended {
            Ended::Answered { begun } => {
                self.estimate.learn(now.saturating_duration_since(begun));
                if self.breaker.call_answered(now) {
                    after.news = Some(News::Works);
                }
            }
            Ended::Failed { begun, error } => {
                self.estimate.learn(now.saturating_duration_since(begun));
                if self.breaker.call_failed(begun, &error, now) {
                    after.news = Some(News::Fails);
                    self.refuse_all(&error, after);
                }
            }
            Ended::Unknown => {}
        }
    }

    fn refuse_all(&mut self, error: &DriverError, after: &mut After<S, W>) {
        after.answers.extend(self.waiting.drain(..).map(|(_, waiter)| (waiter, Err(error.clone()))));
    }

    /// Lends the sessions that have been idle since `limit` or longer, for each to be pinged and given back. A shared
    /// driver's session stays in the pool.
    pub(super) fn borrow_idle(&mut self, limit: Instant) -> Vec<S> {
        let is_idle = |session: &S| session.idle_since().is_some_and(|since| since <= limit);
        match self.size.concurrency {
            Concurrency::Shared => self.free.iter().filter(|session| is_idle(session)).cloned().collect(),
            Concurrency::Exclusive => {
                let idle: Vec<S> = self.free.extract_if(.., |session| is_idle(session)).collect();
                self.running += idle.len();
                idle
            }
        }
    }

    /// Counts one more session as being opened, if it is needed and allowed. A connection without sessions opens one at
    /// a time, also right after a failure: its callers have no other session to wait for.
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

    /// Tells whether the waiting callers need every session that is being opened.
    pub(super) fn is_opening_needed(&self) -> bool {
        self.opening <= self.waiting.len()
    }

    /// Notes that a session being opened has a place under the caps. Tells whether a caller still needs it.
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
        self.breaker.opening_succeeded();
        self.resting_until = None;
        self.place(session, &mut after);
        after.open = self.begin_opening(now);
        after
    }

    /// Notes that a session could not be opened. While there are others, callers go on waiting for those, and the
    /// answer is until when no further one is opened. Otherwise all callers get the error, and the connection is
    /// paused, unless the caps had no place: that is no failure of the database.
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
            self.breaker.opening_failed(error, now);
        }
        self.refuse_all(error, &mut after);
        (None, after)
    }

    pub(super) fn close_circuit(&mut self) {
        self.breaker.close();
    }

    /// Takes out the free sessions that are unwanted, to be closed.
    pub(super) fn remove(&mut self, unwanted: impl Fn(&S) -> bool) -> Vec<S> {
        self.free.extract_if(.., |session| unwanted(session)).collect()
    }

    /// Returns when the session that has been idle longest became idle.
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

    /// Stops keeping unused sessions. Callers that wait still get theirs.
    pub(super) fn retire(&mut self) -> Vec<S> {
        self.retired = true;
        std::mem::take(&mut self.free)
    }

    /// Counts the sessions open now.
    pub(super) fn open(&self) -> usize {
        match self.size.concurrency {
            Concurrency::Shared => self.free.len(),
            Concurrency::Exclusive => self.free.len() + self.running,
        }
    }

    /// Counts the callers that have a session now.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Counts the callers that wait now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_circuit_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// Tells whether this pool may be dropped: it holds nothing that would be missed.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        self.is_empty() && self.running == 0 && self.waiting.is_empty() && self.breaker.is_forgettable(now)
    }

    fn is_empty(&self) -> bool {
        self.open() == 0 && self.opening == 0
    }

    /// Gives a session to the first waiting caller, or keeps it if there is none.
    fn place(&mut self, session: S, after: &mut After<S, W>) {
        self.free.push(session);
        self.serve(after);
    }

    /// Gives free sessions to the waiting callers, in their order.
    fn serve(&mut self, after: &mut After<S, W>) {
        while !self.waiting.is_empty()
            && let Some(session) = self.lend(after)
            && let Some((_, waiter)) = self.waiting.pop_front()
        {
            after.answers.push((waiter, Ok(session)));
        }
        if self.retired && self.waiting.is_empty() {
            after.closed.append(&mut self.free);
        }
    }
}

#[cfg(test)]
mod tests;
