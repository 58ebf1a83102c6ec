//! Running something on the server for one caller, and stopping it there when the caller leaves.
//!
//! Each call has a server session (an `lsid`) to itself, from its begin to its end. Four things stop what runs in it:
//!
//! - `maxTimeMS`, which every operation that can take it has from its request's deadline.
//! - `killSessions` when the caller leaves: by MongoDB's manual it ends what runs in the session and closes its cursors,
//!   and users may always kill their own. `killOp` needs the operation's number, which must be searched for first, and
//!   on a `mongos` a privilege.
//! - `killCursors`, which the client library sends for a cursor that was not read to its end.
//! - The end of the connection: dropping a call's future closes it, through the relay too. MongoDB 4.2 and later notice
//!   that for commands that read; not for all that write.
//!
//! Measured on SecantusDB 0.7.0b3 with an aggregation that takes minutes: `maxTimeMS` stops it at the next document or
//! stage. `killSessions`, `killOp` and a closed connection do not: it goes on until `maxTimeMS`, and is then gone. An
//! open cursor is closed by `killCursors` at once and left by `killSessions`, which is why both are sent, and sent again
//! until the server answers (`session/kill.rs`): the client library sends its `killCursors` once. `killSessions`
//! is granted to a user who may only `readWrite`, `killOp` is not.

mod idle;
mod kill;

pub(crate) use idle::IdleSessions;

use crate::{MongoDb, errors, relay::Relay};
use futures_util::StreamExt;
use kill::{Cursor, Kill};
use mongodb::{
    Client, ClientSession,
    error::Error,
    raw_batch_cursor::{RawBatch, SessionRawBatchCursor, SessionRawBatchCursorStream},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use studio_plugin_api::{Context, DriverError, ErrorCode};
use tokio::time::timeout;

/// The part of the time left that is kept back for giving an answer, and its bounds.
const RESERVED_PART: u32 = 20;
const RESERVED_LEAST: Duration = Duration::from_millis(5);
const RESERVED_MOST: Duration = Duration::from_millis(250);

/// Whether an operation may change something, so that a failure may leave that open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes nothing.
    Reads,
    /// May change one thing, and does it whole or not at all.
    Writes,
    /// May change several things, one after the other.
    WritesSeveral,
}

/// A server session in use. Dropped before [`finish`](Self::finish), what runs in it is killed on the server.
pub(crate) struct Running {
    client: Client,
    relay: Arc<Relay>,
    session: Option<ClientSession>,
    kind: Kind,
    /// What is open on the server, as its last batch said.
    cursor: Option<Cursor>,
    /// When to give up, from now: the time that the server gets as `maxTimeMS`.
    time: Duration,
}

impl Running {
    /// The session, for the client library's `session(…)`.
    ///
    /// # Errors
    /// None while it runs.
    pub(crate) fn session(&mut self) -> Result<&mut ClientSession, Error> {
        self.session.as_mut().ok_or_else(ended)
    }

    /// What the server gets as `maxTimeMS`.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// `maxTimeMS` as a command takes it.
    pub(crate) fn max_time_ms(&self) -> i64 {
        i64::try_from(self.time.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    /// Goes through what a cursor gives, and keeps what is open on the server meanwhile.
    ///
    /// # Errors
    /// As [`session`](Self::session).
    pub(crate) fn batches<'a>(
        &'a mut self,
        cursor: &'a mut SessionRawBatchCursor,
    ) -> Result<Batches<'a>, Error> {
        let session = self.session.as_mut().ok_or_else(ended)?;
        Ok(Batches { batches: cursor.stream(session), open: &mut self.cursor })
    }

    /// Ends it where the operation came to its end: only a cursor may still be open. Gives the session where none is.
    fn finish(mut self) -> Option<ClientSession> {
        let session = self.session.take();
        if self.cursor.is_some() {
            self.kill(None);
            return None;
        }
        session
    }

    fn kill(&mut self, session: Option<ClientSession>) {
        // Where a connection string says to read from secondaries, it runs there.
        let reads_from =
            if self.kind == Kind::Reads { self.client.selection_criteria().cloned() } else { None };
        let (client, _relay) = (self.client.clone(), self.relay.clone());
        Kill { client, _relay, session, cursor: self.cursor.take(), reads_from }.start();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.kill(Some(session));
        }
    }
}

fn ended() -> Error {
    Error::custom("the session has ended")
}

/// The batches of a cursor.
pub(crate) struct Batches<'a> {
    batches: SessionRawBatchCursorStream<'a, 'a>,
    open: &'a mut Option<Cursor>,
}

impl Batches<'_> {
    /// Gives the next one, while there are more.
    pub(crate) async fn next(&mut self) -> Option<Result<RawBatch, Error>> {
        let batch = self.batches.next().await;
        if let Some(Ok(batch)) = &batch {
            *self.open = Cursor::read(batch);
        }
        batch
    }
}

impl MongoDb {
    /// Runs an operation in a session of its own, for as long as its caller waits.
    ///
    /// # Errors
    /// As the operation fails; `TIMEOUT` when the time is over. Of what writes, `details.outcome` is `unknown` where it
    /// may have been done all the same.
    pub(crate) async fn run<T>(
        &self,
        context: &Context<Self>,
        kind: Kind,
        operation: impl AsyncFnOnce(&mut Running) -> Result<T, Failure>,
    ) -> Result<T, DriverError> {
        let left = context.time_left();
        let reserved = (left / RESERVED_PART).clamp(RESERVED_LEAST, RESERVED_MOST);
        let time = left.saturating_sub(reserved);
        let (begun, cuts, ends) = (Instant::now(), self.servers.cuts(), self.servers.ends());
        let running = async {
            let session = self.idle_sessions.take(&self.client, self.servers.session_lifetime()).await?;
            let (client, relay) = (self.client.clone(), self.relay.clone());
            let mut running = Running { client, relay, session: Some(session), kind, cursor: None, time };
            let result = operation(&mut running).await;
            let session = running.finish();
            // Where a connection ended meanwhile, a first attempt may still run in the session.
            if let (Ok(_), Some(session), true) = (&result, session, self.servers.ends() == ends) {
                self.idle_sessions.put(begun, session);
            }
            result
        };
        let result = timeout(time, async {
            tokio::select! {
                biased;
                result = running => result,
                breach = self.servers.broken() => Err(Failure::Told(match kind {
                    Kind::Reads => breach,
                    Kind::Writes | Kind::WritesSeveral => errors::outcome_unknown(breach),
                })),
            }
        })
        .await;
        let error = match (result, kind) {
            (Ok(Ok(value)), _) => return Ok(value),
            (Ok(Err(Failure::Told(error))), _) => error,
            (Ok(Err(Failure::AfterAll(error))), Kind::Reads) => error,
            (Ok(Err(Failure::AfterAll(error))), _) => errors::outcome_unknown(error),
            (Ok(Err(Failure::Client(error))), kind) => {
                let told = self.servers.tell(&error);
                match kind {
                    Kind::Reads => told,
                    Kind::Writes => errors::of_write(&error, told),
                    Kind::WritesSeveral => errors::of_write_of_several(&error, told),
                }
            }
            (Err(_), Kind::Reads) => out_of_time(),
            (Err(_), _) => errors::outcome_unknown(out_of_time()),
        };
        // What became of a first attempt is open, whatever the server says of the second.
        let is_open = kind != Kind::Reads && self.servers.cuts() != cuts;
        Err(if is_open { errors::outcome_unknown(error) } else { error })
    }
}

fn out_of_time() -> DriverError {
    DriverError::new(ErrorCode::Timeout, "MongoDB took longer than the request may; it was told to stop")
}

/// Why an operation failed.
pub(crate) enum Failure {
    /// In the client library's words, still to be translated.
    Client(Error),
    /// In the contract's words.
    Told(DriverError),
    /// In the contract's words too, of what comes after the server did what it was asked for.
    AfterAll(DriverError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self::Told(error)
    }
}

impl From<bson::error::Error> for Failure {
    fn from(error: bson::error::Error) -> Self {
        Self::AfterAll(DriverError::new(ErrorCode::DriverError, format!("the server's answer: {error}")))
    }
}
