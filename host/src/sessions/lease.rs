//! A session in the hands of one caller.

use super::{entry::Entry, pool::Pooled, session::Session};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use studio_plugin_api::{Call, DriverError, ErrorCode, manifest::Concurrency, reply::Payload};

/// How long a shared session whose call timed out has to answer a ping before it is given up.
const DOUBT_TIME: Duration = Duration::from_secs(1);

/// A session in use. Dropping it gives the session back.
pub struct Lease {
    entry: Arc<Entry>,
    session: Arc<Session>,
    concurrency: Concurrency,
    /// A call has begun and not ended by itself: what it left behind in the session, nobody knows.
    is_cut: bool,
}

impl Lease {
    pub(super) fn new(entry: Arc<Entry>, session: Arc<Session>) -> Self {
        let concurrency = entry.target.driver.instance().concurrency();
        Self { entry, session, concurrency, is_cut: false }
    }

    /// Runs one operation by its deadline. Dropping the future cancels it.
    ///
    /// # Errors
    /// The driver's; `TIMEOUT` at the deadline, with `details.outcome` `unknown` where something may be changed.
    pub async fn call(mut self, call: Call) -> Result<Payload, DriverError> {
        let deadline = call.deadline;
        let may_write = self.entry.target.driver.may_write(call.operation, call.granted);
        // The task's own hold on the session: one that is cut keeps its place under the caps until it is gone.
        let session = self.session.clone();
        let running = async move {
            let result = session.driver_session.call(call).await;
            drop(session);
            Ok(result)
        };
        self.is_cut = true;
        let result = match self.entry.target.driver.containment().run(deadline, running).await {
            Ok(result) => {
                self.is_cut = false;
                result
            }
            // The driver was cut in whatever it did.
            Err(error) if may_write && error.code == ErrorCode::Timeout => {
                Err(error.with("outcome", "unknown"))
            }
            Err(error) => Err(error),
        };
        if self.concurrency == Concurrency::Shared
            && let Err(DriverError { code: ErrorCode::Timeout, .. }) = &result
        {
            self.doubt();
        }
        result
    }

    /// A call that timed out may mean a slow query, or a connection that is dead without knowing it. A ping tells
    /// them apart; a session that does not answer is given up, so that the next caller gets a new one.
    fn doubt(&self) {
        let Some(doubt) = self.session.begin_doubt() else { return };
        let (entry, session) = (self.entry.clone(), self.session.clone());
        tokio::spawn(async move {
            let ping = session.driver_session.ping();
            let answer = entry.target.driver.containment().run(Instant::now() + DOUBT_TIME, ping).await;
            if let Err(error) = answer {
                tracing::warn!(connection = %entry.target.connection.id, %error, "session given up: it does not answer");
                entry.give_up(&session);
            }
            drop(doubt);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.session.touch();
        if self.concurrency == Concurrency::Exclusive {
            let usable = !self.is_cut && self.session.is_open();
            self.entry.give_back(usable.then(|| self.session.clone()));
        }
    }
}
