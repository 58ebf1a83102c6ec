//! The delivery of one answer to its client.

use super::{
    bytes::Account,
    clock::{MaybeMoment, Moment},
    times::Times,
};
use futures_util::future::AbortHandle;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// An answer under way. Only the time that the gateway waits for the client counts, not the time that making the answer
/// takes.
#[derive(Debug)]
pub struct Delivery {
    account: Option<Account>,
    /// Ends this request alone, on a connection with several; without it, the whole connection is ended.
    stream: Option<AbortHandle>,
    /// When the piece that is not taken yet was handed out.
    waiting_since: MaybeMoment,
    /// Milliseconds waited for pieces before that.
    waited: AtomicU64,
    sent: AtomicU64,
}

impl Delivery {
    /// Begins the delivery of an answer that belongs to a project, or to none.
    pub fn new(account: Option<Account>, stream: Option<AbortHandle>) -> Self {
        Self {
            account,
            stream,
            waiting_since: MaybeMoment::default(),
            waited: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Notes that the next piece is asked for: the client took the one before.
    pub fn asked(&self, now: Moment) {
        if let Some(since) = self.waiting_since.take() {
            self.waited.fetch_add(now.0.saturating_sub(since.0), Ordering::Relaxed);
        }
    }

    /// Notes that a piece was handed out.
    pub fn handed_out(&self, bytes: usize, now: Moment) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.waiting_since.set(now);
    }

    /// Returns since when the client takes nothing.
    pub fn waiting_since(&self) -> Option<Moment> {
        self.waiting_since.get()
    }

    /// Tells whether the client is over its time: it took nothing for too long, or too little over the whole answer.
    pub fn is_overdue(&self, now: Moment, times: &Times) -> bool {
        let Some(since) = self.waiting_since.get() else { return false };
        let waiting = now.since(since);
        let waited = Duration::from_millis(self.waited.load(Ordering::Relaxed)) + waiting;
        let fair = Duration::from_secs(self.sent.load(Ordering::Relaxed) / u64::from(times.least_rate));
        waiting > times.no_progress || waited > times.no_progress + fair
    }

    /// Tells whether it is of this project.
    pub fn is_of(&self, account: &Account) -> bool {
        self.account.as_ref().is_some_and(|own| own.is_same_project(account))
    }

    /// Returns the handle that ends this answer alone.
    pub fn stream(&self) -> Option<&AbortHandle> {
        self.stream.as_ref()
    }
}
