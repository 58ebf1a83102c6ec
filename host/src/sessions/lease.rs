//! A session in the hands of one caller.

use super::{
    calls::CallPlace,
    entry::Entry,
    ping::ping,
    pool::{Ended, Pooled},
    session::Session,
};
use crate::plugins::{Operation, Payload};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use studio_plugin_api::{Call, DriverError, ErrorCode, manifest::Concurrency};

/// A timeout after less than this is not counted as a failure of the database.
const TELLING_TIME: Duration = Duration::from_secs(1);

/// A session in use. Dropping it gives the session back.
pub struct Lease {
    entry: Arc<Entry>,
    session: Arc<Session>,
    concurrency: Concurrency,
    place: Option<CallPlace>,
    ended: Ended,
    ended_at: Option<Instant>,
    /// A call has ended well.
    has_worked: bool,
    /// A call has begun and has not ended by itself, so the session's state is not known.
    is_cut: bool,
}

impl Lease {
    pub(super) fn new(entry: Arc<Entry>, session: Arc<Session>) -> Self {
        let concurrency = entry.target.driver.instance().concurrency();
        Self {
            entry,
            session,
            concurrency,
            place: None,
            ended: Ended::Unknown,
            ended_at: None,
            has_worked: false,
            is_cut: false,
        }
    }

    /// Takes a place among the calls of the connection's project. It is taken last, so that callers that wait for a
    /// slow database hold no place that other callers could use.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with reason `too_many_waiting`.
    pub(super) async fn enter(mut self, turn_by: Instant, deadline: Instant) -> Result<Self, DriverError> {
        self.place = Some(self.entry.project.enter(&self.entry.held_up, turn_by, deadline).await?);
        Ok(self)
    }

    /// Makes a call of this operation by its deadline. Dropping the future cancels it.
    ///
    /// # Errors
    /// The driver's; `TIMEOUT` at the deadline, with `details.outcome` `unknown` where the call may have changed
    /// something.
    pub async fn call(mut self, operation: &Operation, call: Call) -> Result<Payload, DriverError> {
        let deadline = call.deadline;
        let may_write = operation.may_write(call.granted);
        // The task holds the session too: if it is cut, the session keeps its place under the caps until the task is
        // gone.
        let session = self.session.clone();
        let containment = self.entry.target.driver.containment();
        let task = containment.call(operation, &call.request_id);
        let running = async move {
            let result = session.driver_session.call(call).await;
            drop(session);
            Ok(result)
        };
        let begun = Instant::now();
        self.is_cut = true;
        let result = match containment.run(task, deadline, running).await {
            Ok(result) => {
                self.is_cut = false;
                result
            }
            // The driver was cut off in the middle of its work.
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
        let now = Instant::now();
        self.ended = how_it_ended(&result, begun, deadline);
        self.ended_at = Some(now);
        self.has_worked = result.is_ok();
        self.entry.project.learn(now.saturating_duration_since(begun));
        result
    }

    /// Pings the session after a timeout, to tell a slow query from a connection that is dead without knowing it. A
    /// session that does not answer is given up, so that the next caller gets a new one.
    fn doubt(&self) {
        let Some(doubt) = self.session.begin_doubt() else { return };
        let (entry, session) = (self.entry.clone(), self.session.clone());
        tokio::spawn(async move {
            if ping(&entry, &session).await.is_err() {
                entry.give_up(&session);
            }
            drop(doubt);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = self.ended_at.unwrap_or_else(Instant::now);
        self.session.touch(now);
        // A shared driver's session is in its pool all the time. One that has just worked is not asked whether it is
        // open: that happens when the next caller gets it.
        let is_usable = self.concurrency == Concurrency::Exclusive
            && !self.is_cut
            && (self.has_worked || self.session.is_open());
        let ended = std::mem::replace(&mut self.ended, Ended::Unknown);
        self.place = None;
        self.entry.give_back(is_usable.then(|| self.session.clone()), ended, now);
    }
}

/// Tells whether a call's end shows a working database, a failing one, or neither.
fn how_it_ended(result: &Result<Payload, DriverError>, begun: Instant, deadline: Instant) -> Ended {
    let Err(error) = result else { return Ended::Answered { begun } };
    match error.code {
        ErrorCode::ConnectionError => Ended::Failed { begun, error: error.clone() },
        ErrorCode::Timeout if deadline.saturating_duration_since(begun) >= TELLING_TIME => {
            Ended::Failed { begun, error: error.clone() }
        }
        ErrorCode::QueryError | ErrorCode::NotFound | ErrorCode::Conflict | ErrorCode::ResultTooLarge => {
            Ended::Answered { begun }
        }
        // The driver may have made this error without asking the database.
        _ => Ended::Unknown,
    }
}
