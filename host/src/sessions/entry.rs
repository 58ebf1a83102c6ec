//! One connection's place among the sessions: its pool behind a lock, and what the pool's decisions lead to.

use super::{
    calls::ProjectCalls,
    lease::Lease,
    lock::lock,
    pool::{After, Asked, Ended, News, Pool, Pooled, Size},
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
use studio_plugin_api::{DriverError, manifest::Concurrency};
use tokio::sync::oneshot;

type Answer = Result<Lease, DriverError>;
type Decisions = After<Arc<Session>, oneshot::Sender<Answer>>;

/// A connection's place among the sessions.
pub(super) struct Entry {
    pub(super) target: Target,
    /// All calls of its project.
    pub(super) project: Arc<ProjectCalls>,
    /// Callers who have a session and wait for a place among their project's calls.
    pub(super) held_up: AtomicUsize,
    shared: Weak<Shared>,
    pool: Mutex<Pool<Arc<Session>, oneshot::Sender<Answer>>>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Open sessions.
    pub open: usize,
    /// Callers that have one.
    pub running: usize,
    /// Callers that wait for one, or for a place among their project's calls.
    pub waiting: usize,
    /// Connections that are left alone because their database fails.
    pub open_circuits: usize,
}

/// What a caller gets who asks for a session.
pub(super) enum Turn {
    Now(Lease),
    Later(Place),
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

    /// Asks for a session, that is worth having if it comes by `turn_by` and leaves time for a call before `deadline`.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with reason `circuit_open` or `too_many_waiting`.
    pub(super) fn ask(self: &Arc<Self>, turn_by: Instant, deadline: Instant) -> Result<Turn, DriverError> {
        let mut answer = None;
        let waiter = || {
            let (sender, receiver) = oneshot::channel();
            answer = Some(receiver);
            sender
        };
        let (asked, after) = lock(&self.pool).ask(Instant::now(), (turn_by, deadline), waiter);
        self.carry_out(after);
        match (asked, answer) {
            (Asked::Lent(session), _) => Ok(Turn::Now(Lease::new(self.clone(), session))),
            (Asked::Refused(error), _) => Err(error),
            (Asked::Waits(number), Some(answer)) => {
                Ok(Turn::Later(Place { entry: self.clone(), number, answer }))
            }
            (Asked::Waits(_), None) => Err(cut_short()),
        }
    }

    /// Takes back a lent session; `None` when it is not to be used again.
    pub(super) fn give_back(self: &Arc<Self>, session: Option<Arc<Session>>, ended: Ended) {
        let after = lock(&self.pool).give_back(session, ended, Instant::now());
        self.carry_out(after);
    }

    /// The sessions that were idle from `limit` on, lent to be pinged.
    pub(super) fn borrow_idle(&self, limit: Instant) -> Vec<Arc<Session>> {
        lock(&self.pool).borrow_idle(limit)
    }

    /// Stops using this session; calls on it finish as they can.
    pub(super) fn give_up(&self, session: &Arc<Session>) {
        self.close(|pool| pool.remove(|other| Arc::ptr_eq(session, other)));
    }

    /// Opens another session for those who wait, if it may be.
    pub(super) fn open_more(self: &Arc<Self>) {
        let open = lock(&self.pool).begin_opening(Instant::now());
        self.carry_out(After { open, ..After::default() });
    }

    pub(super) fn close_circuit(&self) {
        lock(&self.pool).close_circuit();
    }

    /// Since when a session has been idle here, of all that are the longest.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        lock(&self.pool).idle_since()
    }

    pub(super) fn close_longest_idle(&self) {
        self.close(|pool| pool.remove_longest_idle().into_iter().collect());
    }

    /// Closes what has been idle since before `limit`, and what is broken.
    pub(super) fn close_idle_since(&self, limit: Instant) {
        let unwanted = |session: &Arc<Session>| {
            !session.is_open() || session.idle_since().is_some_and(|since| since <= limit)
        };
        self.close(|pool| pool.remove(unwanted));
    }

    /// For an entry that another has replaced: calls finish on its sessions, which are closed then.
    pub(super) fn retire(&self) {
        self.close(Pool::retire);
    }

    /// What there is now.
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

    /// Nothing is lost when this entry is.
    pub(super) fn is_forgettable(&self) -> bool {
        lock(&self.pool).is_forgettable(Instant::now())
    }

    /// Closing a session is the driver's code, and may take its time: not under the lock.
    fn close(
        &self,
        choose: impl FnOnce(&mut Pool<Arc<Session>, oneshot::Sender<Answer>>) -> Vec<Arc<Session>>,
    ) {
        let closed = choose(&mut lock(&self.pool));
        drop(closed);
    }

    fn carry_out(self: &Arc<Self>, after: Decisions) {
        for (waiter, answer) in after.answers {
            // One that leaves in this very moment drops the lease, which gives the session to the next.
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

/// How much a connection may have: what `plugins.toml` says for its driver, or else the settings.
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
pub(super) struct Place {
    entry: Arc<Entry>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Place {
    /// Waits for a session.
    ///
    /// # Errors
    /// What kept the last one from being opened.
    pub(super) async fn wait(&mut self) -> Answer {
        (&mut self.answer).await.unwrap_or_else(|_| Err(cut_short()))
    }

    /// Whether this is still the line for sessions that others use; not so while one is being opened for this caller,
    /// which has bounds of its own, nor once an answer is on its way.
    pub(super) fn is_behind_others(&self) -> bool {
        lock(&self.entry.pool).is_behind_others(self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.entry.pool).leave(self.number);
    }
}

/// A session being opened, counted as such until this ends, in whatever way.
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
    /// Whether anyone waits for it still.
    pub(super) fn is_needed(&self) -> bool {
        lock(&self.entry.pool).is_opening_needed()
    }

    /// Has its place under the caps now. When false, nobody needs it any more, and it is over.
    pub(super) fn find_room(&mut self) -> bool {
        let (needed, after) = lock(&self.entry.pool).find_room(Instant::now());
        self.state = if needed { OpeningState::Connecting } else { OpeningState::Ended };
        self.entry.carry_out(after);
        needed
    }

    /// Says whether the connection is as good as its new session: not so when it is calls that fail.
    pub(super) fn finish(mut self, session: Session) -> bool {
        self.state = OpeningState::Ended;
        let mut pool = lock(&self.entry.pool);
        let after = pool.finish_opening(Arc::new(session), Instant::now());
        let works = !pool.is_circuit_open();
        drop(pool);
        self.entry.carry_out(after);
        works
    }

    /// Says until when the connection must do with the sessions that it has; `None` when it has none.
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
        // Gone without a word; those who wait must not do so for ever.
        if self.state != OpeningState::Ended {
            self.end_in(&cut_short());
        }
    }
}

fn cut_short() -> DriverError {
    DriverError::connection("closed", "opening the session was cut short")
}
