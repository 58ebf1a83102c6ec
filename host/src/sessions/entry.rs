//! One connection's place among the sessions: its pool behind a lock, and the code that carries out the pool's
//! decisions.

use super::{
    calls::ProjectCalls,
    lease::Lease,
    pool::{After, Ended, LendDecision, News, Pool, Pooled, Size},
    session::Session,
    shared::Shared,
};
use crate::{config::SessionSettings, connections::target::Target, registry::ConnectionStatus};
use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use studio_plugin_api::{DriverError, manifest::Concurrency, sync::lock};
use tokio::sync::oneshot;

type Answer = Result<Lease, DriverError>;
type Decisions = After<Arc<Session>, oneshot::Sender<Answer>>;

/// A connection's place among the sessions.
pub(super) struct Entry {
    pub(super) target: Target,
    /// The calls of its project.
    pub(super) project: Arc<ProjectCalls>,
    /// Callers that have a session and wait for a place among their project's calls.
    pub(super) held_up: AtomicUsize,
    shared: Weak<Shared>,
    pool: Mutex<Pool<Arc<Session>, oneshot::Sender<Answer>>>,
}

/// How many sessions and callers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Open sessions.
    pub open: usize,
    /// Callers that have a session and may use it.
    pub running: usize,
    /// Callers that wait for a session, or for a place among their project's calls.
    pub waiting: usize,
    /// Connections whose circuit is open, because their database fails.
    pub open_circuits: usize,
}

/// The answer to a caller that asks for a session.
pub(super) enum LeaseOutcome {
    Now(Lease),
    Later(QueueSpot),
}

impl Entry {
    pub(super) fn new(
        target: Target,
        settings: &SessionSettings,
        project: Arc<ProjectCalls>,
        shared: Weak<Shared>,
    ) -> Self {
        let pool = Mutex::new(Pool::new(size(&target, settings)));
        Self { target, project, held_up: AtomicUsize::new(0), shared, pool }
    }

    /// Asks for a session, which must come by `turn_by` and leave time for a call before `deadline`.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with reason `circuit_open` or `too_many_waiting`.
    pub(super) fn ask(
        self: &Arc<Self>,
        now: Instant,
        (turn_by, deadline): (Instant, Instant),
    ) -> Result<LeaseOutcome, DriverError> {
        let mut answer = None;
        let waiter = || {
            let (sender, receiver) = oneshot::channel();
            answer = Some(receiver);
            sender
        };
        let (decision, after) = lock(&self.pool).ask(now, (turn_by, deadline), waiter);
        self.carry_out(after);
        match (decision, answer) {
            (LendDecision::Lent(session), _) => Ok(LeaseOutcome::Now(Lease::new(self.clone(), session))),
            (LendDecision::Refused(error), _) => Err(error),
            (LendDecision::Waits(number), Some(answer)) => {
                Ok(LeaseOutcome::Later(QueueSpot { entry: self.clone(), number, answer }))
            }
            (LendDecision::Waits(_), None) => Err(cut_short()),
        }
    }

    /// Takes back a lent session; `None` when it is not to be used again.
    pub(super) fn give_back(self: &Arc<Self>, session: Option<Arc<Session>>, ended: Ended, now: Instant) {
        let after = lock(&self.pool).give_back(session, ended, now);
        self.carry_out(after);
    }

    /// Lends the sessions that have been idle since `limit` or longer, to be pinged.
    pub(super) fn borrow_idle(&self, limit: Instant) -> Vec<Arc<Session>> {
        lock(&self.pool).borrow_idle(limit)
    }

    /// Stops using this session; its running calls may finish.
    pub(super) fn give_up(&self, session: &Arc<Session>) {
        self.close(|pool| pool.remove(|other| Arc::ptr_eq(session, other)));
    }

    /// Opens another session for the callers that wait, if the pool allows one.
    pub(super) fn open_more(self: &Arc<Self>) {
        let open = lock(&self.pool).begin_opening(Instant::now());
        self.carry_out(After { open, ..After::default() });
    }

    pub(super) fn close_circuit(&self) {
        lock(&self.pool).close_circuit();
    }

    /// Returns when the session that has been idle longest became idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        lock(&self.pool).idle_since()
    }

    pub(super) fn close_longest_idle(&self) {
        self.close(|pool| pool.remove_longest_idle().into_iter().collect());
    }

    /// Closes the sessions that have been idle since `limit` or longer, and the broken ones.
    pub(super) fn close_idle_since(&self, limit: Instant) {
        let unwanted = |session: &Arc<Session>| {
            !session.is_open() || session.idle_since().is_some_and(|since| since <= limit)
        };
        self.close(|pool| pool.remove(unwanted));
    }

    /// Closes the sessions of an entry that another one has replaced; running calls finish first.
    pub(super) fn retire(&self) {
        self.close(Pool::retire);
    }

    /// Counts sessions and callers, after it has closed the broken sessions.
    pub(super) fn count(&self) -> Count {
        self.close(|pool| pool.remove(|session| !session.is_open()));
        let held_up = self.held_up.load(Ordering::Relaxed);
        let pool = lock(&self.pool);
        Count {
            open: pool.open(),
            running: pool.running().saturating_sub(held_up),
            waiting: pool.waiting() + held_up,
            open_circuits: usize::from(pool.is_circuit_open()),
        }
    }

    /// Tells whether this entry may be dropped: it holds nothing that would be missed.
    pub(super) fn is_forgettable(&self) -> bool {
        lock(&self.pool).is_forgettable(Instant::now())
    }

    /// Closes the chosen sessions outside the lock, since closing runs the driver's code and may take long.
    fn close(
        &self,
        choose: impl FnOnce(&mut Pool<Arc<Session>, oneshot::Sender<Answer>>) -> Vec<Arc<Session>>,
    ) {
        let closed = choose(&mut lock(&self.pool));
        drop(closed);
    }

    fn carry_out(self: &Arc<Self>, after: Decisions) {
        for (waiter, answer) in after.answers {
            // If the caller has just left, the lease is dropped here, which gives the session to the next caller.
            drop(waiter.send(answer.map(|session| Lease::new(self.clone(), session))));
        }
        drop(after.closed);
        let opening = after.open.then(|| Opening { entry: self.clone(), state: OpeningState::Seeking });
        if opening.is_none() && after.news.is_none() {
            return;
        }
        let Some(shared) = self.shared.upgrade() else { return };
        if let Some(opening) = opening {
            shared.start_opening(opening);
        }
        match after.news {
            Some(News::Works) => shared.report(&self.target, ConnectionStatus::Active),
            Some(News::Fails) => {
                tracing::warn!(connection = %self.target.connection.id, "most calls fail: left alone for a while");
                shared.report(&self.target, ConnectionStatus::Error);
            }
            None => {}
        }
    }
}

/// Makes a connection's bounds: those of its driver in `plugins.toml`, or else those of the settings.
fn size(target: &Target, settings: &SessionSettings) -> Size {
    let limits = &target.driver.entry().limits;
    let waiting = limits.waiting.map_or(settings.max_waiting.get(), |waiting| waiting.get() as usize);
    match target.driver.instance().concurrency() {
        Concurrency::Shared => {
            let calls = limits.calls.map_or(settings.max_calls.get(), |calls| calls.get() as usize);
            Size { concurrency: Concurrency::Shared, sessions: 1, calls, waiting }
        }
        Concurrency::Exclusive => {
            let sessions = limits.sessions();
            Size { concurrency: Concurrency::Exclusive, sessions, calls: sessions, waiting }
        }
    }
}

/// A caller's place in the line. Dropping it leaves the line.
pub(super) struct QueueSpot {
    entry: Arc<Entry>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl QueueSpot {
    /// Waits for a session.
    ///
    /// # Errors
    /// The error of the last attempt to open a session.
    pub(super) async fn wait(&mut self) -> Answer {
        (&mut self.answer).await.unwrap_or_else(|_| Err(cut_short()))
    }

    /// Tells whether the caller still waits for a session that others use. False while a session is being opened for
    /// this caller, which has other time limits, and once an answer is on its way.
    pub(super) fn is_behind_others(&self) -> bool {
        lock(&self.entry.pool).is_behind_others(self.number)
    }
}

impl Drop for QueueSpot {
    fn drop(&mut self) {
        lock(&self.entry.pool).leave(self.number);
    }
}

/// A session being opened. The pool counts it until this value is finished or dropped.
pub(super) struct Opening {
    pub(super) entry: Arc<Entry>,
    state: OpeningState,
}

#[derive(PartialEq)]
enum OpeningState {
    /// Without a place under the caps.
    Seeking,
    Connecting,
    Ended,
}

impl Opening {
    /// Tells whether a caller still waits for it.
    pub(super) fn is_needed(&self) -> bool {
        lock(&self.entry.pool).is_opening_needed()
    }

    /// Notes that it has a place under the caps. Returns false, and ends it, if no caller needs it any more.
    pub(super) fn find_room(&mut self) -> bool {
        let (needed, after) = lock(&self.entry.pool).find_room(Instant::now());
        self.state = if needed { OpeningState::Connecting } else { OpeningState::Ended };
        self.entry.carry_out(after);
        needed
    }

    /// Adds the session to the pool. Returns whether the circuit is closed now; it stays open when it was calls that
    /// failed.
    pub(super) fn finish(mut self, session: Session) -> bool {
        self.state = OpeningState::Ended;
        let mut pool = lock(&self.entry.pool);
        let after = pool.finish_opening(Arc::new(session), Instant::now());
        let works = !pool.is_circuit_open();
        drop(pool);
        self.entry.carry_out(after);
        works
    }

    /// Ends it with an error. Returns until when no further session is opened; `None` if the connection has no session.
    pub(super) fn fail(mut self, error: &DriverError) -> Option<Instant> {
        self.end_in(error)
    }

    fn end_in(&mut self, error: &DriverError) -> Option<Instant> {
        let had_room = self.state == OpeningState::Connecting;
        self.state = OpeningState::Ended;
        let (until, after) = lock(&self.entry.pool).fail_opening(error, had_room, Instant::now());
        self.entry.carry_out(after);
        until
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        // The opening was dropped before it ended; without an answer, its callers would wait for ever.
        if self.state != OpeningState::Ended {
            self.end_in(&cut_short());
        }
    }
}

fn cut_short() -> DriverError {
    DriverError::connection("closed", "opening the session was cut short")
}
