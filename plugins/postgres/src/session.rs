//! A session: what is asked of the server, by whom, and in which connection.

use crate::{
    APPLICATION_NAME,
    errors::{Failure, code, leave_open},
    exchange::{Input, put_cleaning, read_answer, send, send_proved},
    pool::{Borrowed, Connections},
    proof::Proofs,
    results::{Answer, Ignored, Receiver, Rows},
    statement::Statement,
    traces::Traces,
    type_names::TypeNames,
    wire::Wire,
};
use std::{sync::Mutex, time::Duration};
use studio_plugin_api::{Context, DriverError, ServerFacts, sync::lock};
use tokio::time::timeout;

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
    pub(crate) type_names: TypeNames,
    /// What is known of callers' statements.
    pub(crate) proofs: Proofs,
    /// What the server last said of itself.
    facts: Mutex<Option<ServerFacts>>,
}

impl Postgres {
    pub(crate) fn new(connections: Connections) -> Self {
        Self {
            connections,
            type_names: TypeNames::default(),
            proofs: Proofs::default(),
            facts: Mutex::default(),
        }
    }

    /// A connection, for as long as the caller waits, under the name that they give it.
    pub(crate) async fn borrow(&self, context: &Context<Self>) -> Result<Borrowed, DriverError> {
        let name = context.header(APPLICATION_NAME).filter(|name| !name.is_empty());
        Ok(self.connections.borrow(context.time_left()).await?.named(name))
    }

    /// Tells who the server is. It is asked as long as there is a connection that nobody uses. Without any, a look at
    /// whether a session is well would open one, which a statement that needs the database alone finds in its way; and
    /// those in use have deadlines of their own. A session given up for them would leave what they run behind.
    pub(crate) async fn greet(&self) -> Result<ServerFacts, DriverError> {
        let known = lock(&self.facts).clone();
        let connections = &self.connections;
        if let Some(facts) = known.filter(|_| connections.is_empty() || connections.are_all_in_use()) {
            return Ok(facts);
        }
        let facts = self.ask_who().await?;
        *lock(&self.facts) = Some(facts.clone());
        Ok(facts)
    }

    async fn ask_who(&self) -> Result<ServerFacts, DriverError> {
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
        let mut rows = self.look_up(&mut connection, statement, limit).await;
        if matches!(rows, Err(Failure::Unheard(_))) {
            drop(connection);
            connection = self.borrow(context).await?;
            rows = self.look_up(&mut connection, statement, limit).await;
        }
        rows.map_err(|failure| failure.into_error(false))
    }

    /// Runs what a caller sent. The connection that it ran in is given back as it is after it.
    pub(crate) async fn run(
        &self,
        context: &Context<Self>,
        input: &Input,
        statement_timeout: Option<u64>,
        receiver: &mut impl Receiver,
    ) -> Result<Borrowed, Failure> {
        let traces = match input {
            Input::Simple(_) | Input::Extended(_) => Traces::of(input.text()),
            Input::ReadOnly(..) | Input::Proved(..) => Traces::default(),
        };
        let mut connection = self.borrow(context).await?;
        self.note(traces, input);
        let mut result =
            self.run_in(&mut connection, context, input, statement_timeout, traces, receiver).await;
        if matches!(result, Err(Failure::Unheard(_))) {
            drop(connection);
            connection = self.borrow(context).await?;
            result = self.run_in(&mut connection, context, input, statement_timeout, traces, receiver).await;
        }
        self.note(traces, input);
        result.map(|()| connection)
    }

    /// Gives up what a text that is about to run, or did, makes stale.
    fn note(&self, traces: Traces, input: &Input) {
        if traces.concern_others {
            self.connections.replace_idle(input.text());
        }
        if traces.rename {
            self.type_names.forget();
        }
        if traces.define {
            self.proofs.end();
        }
    }

    async fn run_in(
        &self,
        connection: &mut Borrowed,
        context: &Context<Self>,
        input: &Input,
        statement_timeout: Option<u64>,
        traces: Traces,
        receiver: &mut impl Receiver,
    ) -> Result<(), Failure> {
        let limit = context.max_reply_bytes();
        if let Input::Proved(statement, proof) = input {
            return send_proved(&self.connections, connection, (statement, *proof), limit, receiver).await;
        }
        connection.last_use(traces.stay || traces.concern_others);
        send(connection, input, statement_timeout, limit, receiver).await
    }

    /// The role that viewers' SQL is run as, where one is named.
    pub(crate) fn viewer_role(&self) -> Option<&str> {
        self.connections.viewer_role()
    }

    /// Runs a query of the driver's own, which leaves the connection as it was. `limit` is what its rows may have, in
    /// bytes.
    pub(crate) async fn look_up(
        &self,
        connection: &mut Borrowed,
        statement: &Statement,
        limit: u64,
    ) -> Result<Rows, Failure> {
        let mut reason = String::new();
        for _ in 0..MOST_LOOKS {
            let prepares = self.connections.prepares();
            match look_up_once(connection, statement, limit, prepares).await {
                Err(Failure::Refused(error)) if prepares && error.is_about_preparing() => {
                    self.connections.stop_preparing();
                }
                Err(Failure::Refused(error)) if error.code() == code::INTERNAL_ERROR => {
                    error.message().clone_into(&mut reason);
                }
                done => return done,
            }
        }
        let message =
            format!("things come and go in the database faster than they can be listed; it says: {reason}");
        let error = DriverError::connection("unavailable", message).with("code", code::INTERNAL_ERROR);
        Err(DriverError { retry_after: Some(Duration::from_secs(1)), ..error }.into())
    }

    /// Runs SQL that changes something: one or several statements, in one transaction.
    ///
    /// # Errors
    /// As the server has it. A broken connection leaves the outcome unknown.
    pub(crate) async fn change(&self, context: &Context<Self>, sql: &str) -> Result<(), DriverError> {
        self.change_in(context, sql).await.map(drop)
    }

    /// As [`Self::change`]. The connection that it was made in is given back as it is after it.
    async fn change_in(&self, context: &Context<Self>, sql: &str) -> Result<Borrowed, DriverError> {
        let input = Input::Simple(sql.to_owned());
        let done = self.run(context, &input, None, &mut Ignored).await;
        done.map_err(|failure| failure.into_error(true))
    }

    /// As [`Self::change`]; and asks what became of it, in the same connection, since others may wait for one.
    ///
    /// # Errors
    /// As [`Self::change`]. What fails after the change leaves the outcome unknown.
    pub(crate) async fn change_and_ask(
        &self,
        context: &Context<Self>,
        sql: &str,
        then: &Statement,
    ) -> Result<Rows, DriverError> {
        let mut connection = self.change_in(context, sql).await?;
        let limit = context.max_reply_bytes();
        let rows = match connection.settle().await {
            true => {
                let rows = self.look_up(&mut connection, then, limit).await;
                rows.map_err(|failure| failure.into_error(false))
            }
            false => {
                drop(connection);
                self.ask(context, then, limit).await
            }
        };
        rows.map_err(leave_open)
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
            let result = read_answer(wire, &mut answer, preludes).await.map_err(Failure::after_sending);
            if matches!(result, Err(Failure::Refused(_))) {
                // What came after the refused statement was not done, preparing included.
                if !wire.is_outside_transactions() {
                    wire.put_simple("ROLLBACK")?;
                }
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
    let has_lists = !statement.lists.is_empty();
    if has_lists {
        wire.put_extended(&Statement::new("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))?;
    }
    // What a database has may be called as PostgreSQL's own is. So names and operators are read where only the latter
    // are; what is shown of expressions is as the connection's path has it.
    wire.put_extended(&Statement::new("SET search_path = pg_catalog"))?;
    let statements = || statement.lists.iter().map(|list| &list.statement).chain([statement]);
    for (index, planned) in statements().enumerate() {
        wire.put_planned(&portal(index), planned, prepares)?;
    }
    wire.put_extended(&Statement::new("RESET search_path"))?;
    for index in 0..statements().count() {
        wire.put_execution(&portal(index))?;
    }
    if has_lists {
        wire.put_extended(&Statement::new("COMMIT"))?;
    }
    wire.put_sync();
    Ok(2 + usize::from(has_lists))
}

fn portal(index: usize) -> String {
    format!("studio_{index}")
}
