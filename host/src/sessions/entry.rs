//! One connection's place among the sessions: its pool behind a lock, and what the pool's decisions lead to.

use super::{
    Shared, Target,
    lease::Lease,
    lock,
    pool::{After, Asked, Pool, Pooled, Size},
    session::Session,
};
use std::{
    sync::{Arc, Mutex, Weak},
    time::Instant,
};
use studio_plugin_api::{DriverError, manifest::Concurrency};
use tokio::sync::oneshot;

type Answer = Result<Lease, DriverError>;
type Decisions = After<Arc<Session>, oneshot::Sender<Answer>>;

/// A connection's place among the sessions.
pub(super) struct Entry {
    pub(super) target: Target,
    shared: Weak<Shared>,
    pool: Mutex<Pool<Arc<Session>, oneshot::Sender<Answer>>>,
}

/// What a caller gets who asks for a session.
pub(super) enum Turn {
    Now(Lease),
    Later(Place),
}

impl Entry {
    pub(super) fn new(target: Target, shared: Weak<Shared>) -> Self {
        let size = match target.driver.instance().concurrency() {
            Concurrency::Shared => {
                Size { concurrency: Concurrency::Shared, sessions: 1, waiting: usize::MAX }
            }
            Concurrency::Exclusive => {
                let limits = &target.driver.entry().limits;
                Size {
                    concurrency: Concurrency::Exclusive,
                    sessions: limits.sessions(),
                    waiting: limits.waiting(),
                }
            }
        };
        Self { target, shared, pool: Mutex::new(Pool::new(size)) }
    }

    /// Asks for a session.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with reason `circuit_open` or `too_many_waiting`.
    pub(super) fn ask(self: &Arc<Self>) -> Result<Turn, DriverError> {
        let mut answer = None;
        let waiter = || {
            let (sender, receiver) = oneshot::channel();
            answer = Some(receiver);
            sender
        };
        let (asked, after) = lock(&self.pool).ask(Instant::now(), waiter);
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
    pub(super) fn give_back(self: &Arc<Self>, session: Option<Arc<Session>>) {
        let after = lock(&self.pool).give_back(session, Instant::now());
        self.carry_out(after);
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

    pub(super) fn end_pause(&self) {
        lock(&self.pool).end_pause();
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

    /// Sessions open and callers waiting now.
    pub(super) fn count(&self) -> (usize, usize) {
        self.close(|pool| pool.remove(|session| !session.is_open()));
        let pool = lock(&self.pool);
        (pool.open(), pool.waiting())
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
        if after.open {
            let opening = Opening { entry: self.clone(), state: OpeningState::Seeking };
            if let Some(shared) = self.shared.upgrade() {
                shared.start_opening(opening);
            }
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

    pub(super) fn finish(mut self, session: Session) {
        self.state = OpeningState::Ended;
        let after = lock(&self.entry.pool).finish_opening(Arc::new(session), Instant::now());
        self.entry.carry_out(after);
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
