//! Stopping on the server what nobody waits for any more.
//!
//! A server that is busy may take longer to answer a kill than anyone likes to wait, and a connection may break under it.
//! What is lost then is not found again: a cursor stays open until the server's own ten minutes are over.

use crate::{errors, relay::Relay};
use bson::{Document, doc};
use mongodb::{
    Client, ClientSession,
    error::{Error, ErrorKind},
    options::SelectionCriteria,
    raw_batch_cursor::RawBatch,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// How long the server may take to answer a kill before it is sent again.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How often it is sent, and the pauses between, which double.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The most kills, in all sessions, that wait to be sent again: a server that never answers must not collect them.
const MOST_WAITING: usize = 256;

static WAITING: Semaphore = Semaphore::const_new(MOST_WAITING);

/// A cursor that is open on the server.
pub(super) struct Cursor {
    database: String,
    collection: String,
    id: i64,
}

impl Cursor {
    /// Reads what a batch says: a cursor with more to come has a number.
    pub(super) fn read(batch: &RawBatch) -> Option<Self> {
        let cursor = batch.as_raw_document().get_document("cursor").ok()?;
        let id = cursor.get_i64("id").ok().filter(|id| *id != 0)?;
        let (database, collection) = cursor.get_str("ns").ok()?.split_once('.')?;
        Some(Self { database: database.to_owned(), collection: collection.to_owned(), id })
    }
}

/// What is to be stopped: all that runs in a session, a cursor, or both.
pub(super) struct Kill {
    pub(super) client: Client,
    /// The way to the server. The driver's session may be given up while the kill is still sent.
    pub(super) _relay: Arc<Relay>,
    pub(super) session: Option<ClientSession>,
    pub(super) cursor: Option<Cursor>,
    pub(super) reads_from: Option<SelectionCriteria>,
}

impl Kill {
    /// Goes about it beside whatever else there is to do.
    pub(super) fn start(self) {
        if self.session.is_none() && self.cursor.is_none() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.run());
        }
    }

    async fn run(mut self) {
        let (mut pause, mut is_missing) = (FIRST_PAUSE, false);
        for _ in 0..ATTEMPTS {
            match timeout(ANSWER_TIME, self.attempt()).await {
                Ok(Ok(Killed::Surely)) => return killed(),
                Ok(Ok(Killed::NotFound)) if is_missing => return killed(),
                // It was closed already, or it was in use just then and is back now.
                Ok(Ok(Killed::NotFound)) => is_missing = true,
                Ok(Ok(Killed::Alive)) => {}
                Ok(Err(error)) if matches!(error.kind.as_ref(), ErrorKind::Command(_)) => {
                    let error = errors::shorten(&error.to_string());
                    tracing::warn!(%error, "an abandoned operation could not be killed");
                    return;
                }
                Ok(Err(error)) => {
                    let error = errors::shorten(&error.to_string());
                    tracing::debug!(%error, "killing an abandoned operation failed, and is tried again");
                }
                Err(_) => tracing::debug!("killing an abandoned operation takes long, and is tried again"),
            }
            let Ok(_place) = WAITING.try_acquire() else { break };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::warn!("an abandoned operation could not be killed, and is left to the server");
    }

    async fn attempt(&mut self) -> Result<Killed, Error> {
        if let Some(session) = &self.session {
            let id: Document = session.id().clone();
            self.command("admin", doc! { "killSessions": [id] }).await?;
            // Only now may the client give the session's id to someone else.
            self.session = None;
        }
        let Some(cursor) = &self.cursor else { return Ok(Killed::Surely) };
        let answer = self
            .command(&cursor.database, doc! { "killCursors": &cursor.collection, "cursors": [cursor.id] })
            .await?;
        let has = |field: &str| answer.get_array(field).is_ok_and(|ids| !ids.is_empty());
        Ok(match (has("cursorsKilled"), has("cursorsAlive")) {
            (true, _) => Killed::Surely,
            (false, true) => Killed::Alive,
            (false, false) => Killed::NotFound,
        })
    }

    async fn command(&self, database: &str, command: Document) -> Result<Document, Error> {
        let database = self.client.database(database);
        let mut kill = database.run_command(command);
        if let Some(criteria) = &self.reads_from {
            kill = kill.selection_criteria(criteria.clone());
        }
        kill.await
    }
}

fn killed() {
    tracing::debug!("an abandoned operation was killed");
}

/// What the server says became of a cursor, or of all that ran in a session.
enum Killed {
    Surely,
    NotFound,
    /// It is in use.
    Alive,
}
