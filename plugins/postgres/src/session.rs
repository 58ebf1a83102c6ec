//! A session: what is asked of the server, and how its answers are read.

use crate::{
    APPLICATION_NAME,
    errors::{Failure, ServerError, code},
    pool::{Borrowed, Connections},
    results::{Answer, Ignored, Receiver, Rows},
    statement::Statement,
    wire::Wire,
};
use postgres_protocol::message::backend::Message;
use std::{collections::HashMap, sync::Mutex, time::Duration};
use studio_plugin_api::{Context, DriverError, ServerFacts};
use tokio::time::timeout;

/// Puts a connection back to how it was when it was opened: settings, role, prepared statements, cursors, temporary
/// tables, `LISTEN`, advisory locks, sequences (PostgreSQL's manual, DISCARD).
const CLEAN: &str = "DISCARD ALL";

/// How long the server may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the catalogs are asked the same: what goes away while they are read fails its listing (`pg_get_indexdef` and
/// the like, "cache lookup failed").
const MOST_LOOKS: u32 = 6;
/// Bytes that it may take for that.
const GREETING_SIZE: u64 = 64 << 10;

/// An open session with a PostgreSQL server.
pub struct Postgres {
    connections: Connections,
    /// Names of types that are not PostgreSQL's own, by their numbers, as far as they were asked for.
    pub(crate) type_names: Mutex<HashMap<u32, String>>,
}

/// What a caller sends.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// One or several statements without parameters.
    Simple(String),
    /// One statement with parameters.
    Extended(Statement),
    /// One statement that may change nothing.
    ReadOnly(Statement),
}

impl Postgres {
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections, type_names: Mutex::default() }
    }

    /// A connection, for as long as the caller waits, under the name that they give it.
    pub(crate) async fn borrow(&self, context: &Context<Self>) -> Result<Borrowed, DriverError> {
        let name = context.header(APPLICATION_NAME).filter(|name| !name.is_empty());
        Ok(self.connections.borrow(context.time_left()).await?.named(name))
    }

    /// Asks the server who it is.
    pub(crate) async fn greet(&self) -> Result<ServerFacts, DriverError> {
        let mut connection = self.connections.borrow(GREETING_TIMEOUT).await?;
        let question = Statement::new(
            "select pg_catalog.current_database()::text as database, current_user::text as user_name, \
             pg_catalog.pg_is_in_recovery() as is_replica",
        );
        let asked = timeout(GREETING_TIMEOUT, self.look_up(&mut connection, &question, GREETING_SIZE)).await;
        let rows = match asked {
            Ok(answered) => answered.map_err(|failure| failure.into_error(false))?,
            Err(_) => {
                let message = "the PostgreSQL server does not answer any more";
                return Err(DriverError::connection("timeout", message));
            }
        };
        let version = connection.version().unwrap_or_default().to_owned();
        let facts = rows.into_only().and_then(|row| serde_json::from_slice(&row).ok()).unwrap_or_default();
        Ok(ServerFacts { version, facts })
    }

    /// Asks the catalogs. The rows are a JSON array of objects.
    ///
    /// # Errors
    /// `RESULT_TOO_LARGE`, `QUERY_ERROR` as the server has it, `CONNECTION_ERROR`.
    pub(crate) async fn rows(
        &self,
        context: &Context<Self>,
        statement: &Statement,
    ) -> Result<Vec<u8>, DriverError> {
        self.rows_within(context, statement, context.max_reply_bytes()).await
    }

    /// As [`Self::rows`], of so many bytes at the most.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub(crate) async fn rows_within(
        &self,
        context: &Context<Self>,
        statement: &Statement,
        limit: u64,
    ) -> Result<Vec<u8>, DriverError> {
        self.ask(context, statement, limit).await.map(Rows::into_array)
    }

    /// Asks the catalogs for one thing; nothing when it is not there.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub(crate) async fn row(
        &self,
        context: &Context<Self>,
        statement: &Statement,
    ) -> Result<Option<Vec<u8>>, DriverError> {
        self.ask(context, statement, context.max_reply_bytes()).await.map(Rows::into_only)
    }

    async fn ask(
        &self,
        context: &Context<Self>,
        statement: &Statement,
        limit: u64,
    ) -> Result<Rows, DriverError> {
        let mut connection = self.borrow(context).await?;
        let rows = self.look_up(&mut connection, statement, limit).await;
        rows.map_err(|failure| failure.into_error(false))
    }

    /// Runs a query of the driver's own, which leaves the connection as it was. `limit` is what its rows may have, in
    /// bytes.
    pub(crate) async fn look_up(
        &self,
        connection: &mut Borrowed,
        statement: &Statement,
        limit: u64,
    ) -> Result<Rows, Failure> {
        for _ in 0..MOST_LOOKS {
            let prepares = self.connections.prepares();
            match look_up_once(connection, statement, limit, prepares).await {
                Err(Failure::Refused(error)) if prepares && error.is_about_preparing() => {
                    self.connections.stop_preparing();
                }
                Err(Failure::Refused(error)) if error.code() == code::INTERNAL_ERROR => {}
                done => return done,
            }
        }
        let message = "things come and go in the database faster than they can be listed";
        let error = DriverError::connection("unavailable", message);
        Err(DriverError { retry_after: Some(Duration::from_secs(1)), ..error }.into())
    }

    /// Runs SQL that changes something: one or several statements, in one transaction.
    ///
    /// # Errors
    /// As the server has it. A broken connection leaves the outcome unknown.
    pub(crate) async fn change(&self, context: &Context<Self>, sql: &str) -> Result<(), DriverError> {
        let mut connection = self.borrow(context).await?;
        let input = Input::Simple(sql.to_owned());
        let done = send(&mut connection, &input, None, context.max_reply_bytes(), &mut Ignored).await;
        done.map_err(|failure| failure.into_error(true))
    }
}

async fn look_up_once(
    connection: &mut Borrowed,
    statement: &Statement,
    limit: u64,
    prepares: bool,
) -> Result<Rows, Failure> {
    connection
        .run(async |wire| {
            wire.bound_messages(limit);
            let mut answer = Answer::new(statement, limit);
            let preludes = put_look_up(wire, statement, prepares)?;
            wire.flush().await?;
            let result = read_answer(wire, &mut answer, preludes).await;
            if matches!(result, Err(Failure::Refused(_))) {
                // What came after the refused statement was not done, preparing included.
                wire.put_simple("ROLLBACK")?;
                put_cleaning(wire)?;
                wire.flush().await?;
                while wire.unanswered() > 0 {
                    read_answer(wire, &mut Ignored, 0).await?;
                }
            }
            result.map(|()| answer.into_rows())
        })
        .await
}

/// Puts a query of the driver's own in line, with its lists before it. They are all of one moment. The result is how many
/// statements come before those.
fn put_look_up(wire: &mut Wire, statement: &Statement, prepares: bool) -> Result<usize, Failure> {
    let put = |wire: &mut Wire, statement| match prepares {
        true => wire.put_prepared(statement),
        false => wire.put_extended(statement),
    };
    let preludes = usize::from(!statement.lists.is_empty());
    if preludes > 0 {
        wire.put_extended(&Statement::new("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))?;
    }
    for list in &statement.lists {
        put(wire, &list.statement)?;
    }
    put(wire, statement)?;
    if preludes > 0 {
        wire.put_extended(&Statement::new("COMMIT"))?;
    }
    wire.put_sync();
    Ok(preludes)
}

/// Runs what a caller sent, and has the connection cleaned after it. `statement_timeout` is in milliseconds; zero is none,
/// nothing leaves what the connection or the login has.
pub(crate) async fn send(
    connection: &mut Borrowed,
    input: &Input,
    statement_timeout: Option<u64>,
    limit: u64,
    receiver: &mut impl Receiver,
) -> Result<(), Failure> {
    connection
        .run(async |wire| {
            wire.bound_messages(limit);
            wire.expect_traces();
            let result = exchange(wire, input, statement_timeout, receiver).await;
            // What is left unread, or broken, is the borrower's to deal with.
            if matches!(result, Ok(()) | Err(Failure::Refused(_))) && !wire.is_outside_transactions() {
                wire.put_simple("ROLLBACK")?;
                put_cleaning(wire)?;
                wire.flush().await?;
            }
            result
        })
        .await
}

async fn exchange(
    wire: &mut Wire,
    input: &Input,
    statement_timeout: Option<u64>,
    receiver: &mut impl Receiver,
) -> Result<(), Failure> {
    let (text, preludes) = match input {
        Input::Simple(text) => {
            put_timeout(wire, statement_timeout)?;
            wire.put_simple(text)?;
            (text.as_str(), 0)
        }
        Input::Extended(statement) => {
            put_timeout(wire, statement_timeout)?;
            wire.put_extended(statement)?;
            wire.put_sync();
            (&*statement.text, 0)
        }
        Input::ReadOnly(statement) => {
            // In one line of the extended protocol: when the first fails, the next is not done.
            wire.put_extended(&Statement::new("BEGIN READ ONLY"))?;
            if let Some(time) = statement_timeout {
                wire.put_extended(&Statement::new(format!("SET LOCAL statement_timeout = {time}")))?;
            }
            wire.put_extended(statement)?;
            wire.put_sync();
            wire.put_simple("ROLLBACK")?;
            (&*statement.text, 1 + usize::from(statement_timeout.is_some()))
        }
    };
    // A statement that copies takes what follows it for data.
    let may_copy = text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"copy"));
    if !may_copy {
        put_cleaning(wire)?;
    }
    wire.flush().await?;
    let result = read_answer(wire, receiver, preludes).await;
    if may_copy && matches!(result, Ok(()) | Err(Failure::Refused(_))) && wire.is_outside_transactions() {
        put_cleaning(wire)?;
        wire.flush().await?;
    }
    result
}

fn put_timeout(wire: &mut Wire, statement_timeout: Option<u64>) -> Result<(), Failure> {
    match statement_timeout {
        Some(time) => wire.put_aside(&format!("SET statement_timeout = {time}")),
        None => Ok(()),
    }
}

fn put_cleaning(wire: &mut Wire) -> Result<(), Failure> {
    wire.put_simple(CLEAN)?;
    wire.forget_traces();
    Ok(())
}

/// Reads up to the next `ReadyForQuery`. Of the first `preludes` statements nobody is told.
async fn read_answer(wire: &mut Wire, receiver: &mut impl Receiver, preludes: usize) -> Result<(), Failure> {
    let mut refusal = None;
    let mut preludes = preludes;
    loop {
        match wire.receive().await? {
            Message::RowDescription(body) => receiver.describe(&body)?,
            Message::DataRow(body) => receiver.take(&body)?,
            Message::CommandComplete(_) if preludes > 0 => preludes -= 1,
            Message::CommandComplete(body) => receiver.complete(body.tag()?)?,
            Message::CopyInResponse(_) => {
                wire.put_copy_fail("No source stream defined")?;
                wire.flush().await?;
            }
            Message::ErrorResponse(body) => {
                let error = ServerError::read(&body)?;
                if error.ends_the_connection() {
                    return Err(Failure::Ended(error));
                }
                refusal.get_or_insert(error);
            }
            Message::ReadyForQuery(_) => return refusal.map_or(Ok(()), |error| Err(Failure::Refused(error))),
            _ => {}
        }
    }
}
