//! The registry's database connections: how long they are waited for, and which of them are not used again.

use super::dialect::Dialect;
use futures_util::{
    StreamExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyConnection, AnyPool, ConnectOptions, Connection, Database, Describe, Either, Execute, Executor,
    SqlSafeStr, SqlStr, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::{PoolConnection, PoolConnectionMetadata},
};
use std::{
    fmt,
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

/// How long a connection is waited for. Writers wait for each other.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long a server may take to say that a connection still stands.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long is waited before the server itself is looked at, and how long it may take to let somebody in.
const PROBE_AFTER: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_millis(900);
/// How long a server may take to answer a question.
const ANSWER: Duration = Duration::from_millis(1800);
/// How long a write may take, which waits for a disk.
const WRITE: Duration = Duration::from_secs(15);
/// PostgreSQL has as many connections as it may.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// Connections, as many as may be.
#[derive(Clone)]
pub(super) struct Pool {
    connections: AnyPool,
    /// For the answer to what is asked or done without a transaction.
    answer: Duration,
    /// Nothing for a file, which is never away.
    server: Option<Arc<Server>>,
}

/// A server that may be away: then it answers nothing at all, and callers should hear of it at once.
struct Server {
    options: AnyConnectOptions,
    /// When it did not answer for the last time. Connections from before that may lead to nobody, and closing them unasked
    /// costs less than to wait for each of them in turn.
    silence: watch::Sender<Option<Instant>>,
    /// Who looks whether it is there. One at a time.
    probe: Mutex<()>,
}

impl Pool {
    /// Opens one connection at once, so that a wrong URL is noticed here.
    pub(super) async fn open(
        dialect: Dialect,
        options: &AnyConnectOptions,
        size: u32,
    ) -> Result<Self, sqlx::Error> {
        let options = options.clone().disable_statement_logging();
        let (answer, server) = match dialect {
            Dialect::Sqlite => (WRITE, None),
            Dialect::Postgres => {
                let silence = watch::Sender::new(None);
                (
                    ANSWER,
                    Some(Arc::new(Server { options: options.clone(), silence, probe: Mutex::default() })),
                )
            }
        };
        let (before, after) = (server.clone(), server.clone());
        let connections = AnyPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(CONNECTION)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(dialect.session_setup()).await.map(drop) })
            })
            .before_acquire(move |connection, metadata| is_alive(before.clone(), connection, metadata))
            .after_release(move |connection, metadata| is_alive(after.clone(), connection, metadata))
            .connect_with(options)
            .await?;
        Ok(Self { connections, answer, server })
    }

    /// The same connections for those who write: who does not wait for the end of a write never knows whether it was done.
    pub(super) fn for_writing(&self) -> Self {
        Self { answer: WRITE, ..self.clone() }
    }

    /// A connection for several questions, whose answers nobody waits for in vain but the caller.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.connections.acquire().await
    }

    /// Begins a transaction by this statement.
    pub(super) async fn begin_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.unless_away(self.connections.begin_with(statement)).await
    }

    async fn lend(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.unless_away(self.connections.acquire()).await
    }

    /// Waits as long as there is a server to wait for.
    async fn unless_away<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let Some(server) = &self.server else { return work.await };
        let mut silence = server.silence.subscribe();
        tokio::select! {
            biased;
            done = work => done,
            _ = silence.changed() => Err(no_answer()),
            () = server.watch() => Err(no_answer()),
        }
    }

    /// Gives up a connection that did not answer.
    fn give_up(&self, connection: &mut PoolConnection<Any>) -> sqlx::Error {
        connection.close_on_drop();
        if let Some(server) = &self.server {
            server.is_silent();
        }
        no_answer()
    }
}

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(ErrorKind::TimedOut.into())
}

impl Server {
    /// Looks at the server again and again, and ends when it is not there. Only one of those who wait does.
    async fn watch(&self) {
        loop {
            tokio::time::sleep(PROBE_AFTER).await;
            let Ok(_turn) = self.probe.try_lock() else { continue };
            let is_there = match timeout(PROBE, self.options.connect()).await {
                Ok(Ok(connection)) => {
                    let _ = timeout(PROBE, connection.close()).await;
                    true
                }
                Ok(Err(sqlx::Error::Database(error))) => {
                    error.code().is_some_and(|code| code == TOO_MANY_CONNECTIONS)
                }
                Ok(Err(_)) | Err(_) => false,
            };
            if !is_there {
                return self.is_silent();
            }
        }
    }

    fn is_silent(&self) {
        self.silence.send_replace(Some(Instant::now()));
    }

    /// Tells whether a connection of this age is from before it was silent.
    fn was_silent_since(&self, age: Duration) -> bool {
        self.silence.borrow().is_some_and(|last| last.elapsed() <= age)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connections.fmt(formatter)
    }
}

/// Asks on a connection of its own, and waits for the answer no longer than the pool does.
impl<'p> Executor<'p> for &'p Pool {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<<Any as Database>::QueryResult, <Any as Database>::Row>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let all = async move {
            let mut connection = self.lend().await?;
            let asked = connection.fetch_many(query).try_collect::<Vec<_>>();
            match timeout(self.answer, asked).await {
                Ok(all) => all,
                Err(_) => Err(self.give_up(&mut connection)),
            }
        };
        stream::once(all).map_ok(|all| stream::iter(all).map(Ok)).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<Any as Database>::Row>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(async move {
            let mut connection = self.lend().await?;
            let asked = connection.fetch_optional(query);
            match timeout(self.answer, asked).await {
                Ok(row) => row,
                Err(_) => Err(self.give_up(&mut connection)),
            }
        })
    }

    fn prepare_with<'e>(
        self,
        query: SqlStr,
        parameters: &'e [<Any as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Any as Database>::Statement, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.connections.acquire().await?.prepare_with(query, parameters).await })
    }

    fn describe<'e>(self, query: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.connections.acquire().await?.describe(query).await })
    }
}

/// Tells whether a connection may be used, or used again: it answers, and no transaction is left on it. SQLite ends a
/// transaction by itself when the disk is full, and sqlx, whose rollback then fails, believes ever after that it is in
/// one, and refuses to begin another.
fn is_alive<'c>(
    server: Option<Arc<Server>>,
    connection: &'c mut AnyConnection,
    metadata: PoolConnectionMetadata,
) -> BoxFuture<'c, Result<bool, sqlx::Error>> {
    Box::pin(async move {
        if server.is_some_and(|server| server.was_silent_since(metadata.age)) {
            return Ok(false);
        }
        match timeout(SIGN_OF_LIFE, connection.ping()).await {
            // What a transaction left to do was done before the answer.
            Ok(Ok(())) => Ok(!connection.is_in_transaction()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection to the platform database is broken");
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    })
}
