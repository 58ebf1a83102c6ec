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
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::{timeout, timeout_at};

/// How long a server may take to say that a connection still stands.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);
/// How long a write may take, which waits for a disk.
const WRITE: Duration = Duration::from_secs(15);

/// How long the database is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a connection.
    connection: Duration,
    /// For the beginning of a transaction, with the time for the connection.
    beginning: Duration,
    /// For what is asked or done without one, with the time for the connection.
    answer: Duration,
}

impl Patience {
    /// A server that is away answers nothing at all, and callers should hear of it at once. In a file, writers wait for
    /// each other, and there is nobody else who could be away.
    pub(super) fn with(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Sqlite => {
                let (connection, answer) = (Duration::from_secs(10), Duration::from_secs(20));
                Self { connection, beginning: answer, answer }
            }
            Dialect::Postgres => {
                let (connection, answer) = (Duration::from_millis(1500), Duration::from_millis(1800));
                Self { connection, beginning: answer, answer }
            }
        }
    }
}

/// Connections, as many as may be.
#[derive(Clone)]
pub(super) struct Pool {
    connections: AnyPool,
    patience: Patience,
    silence: Silence,
}

impl Pool {
    /// Opens one connection at once, so that a wrong URL is noticed here.
    pub(super) async fn open(
        dialect: Dialect,
        options: &AnyConnectOptions,
        size: u32,
    ) -> Result<Self, sqlx::Error> {
        let (patience, silence) = (Patience::with(dialect), Silence::default());
        let (before, after) = (silence.clone(), silence.clone());
        let connections = AnyPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(patience.connection)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(dialect.session_setup()).await.map(drop) })
            })
            .before_acquire(move |connection, metadata| is_alive(&before, connection, metadata))
            .after_release(move |connection, metadata| is_alive(&after, connection, metadata))
            .connect_with(options.clone().disable_statement_logging())
            .await?;
        Ok(Self { connections, patience, silence })
    }

    /// The same connections for those who write: who does not wait for the end of a write never knows whether it was done.
    pub(super) fn for_writing(&self) -> Self {
        let patience = Patience { answer: WRITE, ..self.patience };
        Self { patience, ..self.clone() }
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
        let begun = timeout(self.patience.beginning, self.connections.begin_with(statement)).await;
        begun.unwrap_or_else(|_| Err(self.silence.begin()))
    }

    /// A connection, and the time by which it should have answered.
    async fn lend(&self) -> Result<(PoolConnection<Any>, tokio::time::Instant), sqlx::Error> {
        let by = tokio::time::Instant::now() + self.patience.answer;
        Ok((self.connections.acquire().await?, by))
    }

    /// Gives up a connection that did not answer.
    fn give_up(&self, connection: &mut PoolConnection<Any>) -> sqlx::Error {
        connection.close_on_drop();
        self.silence.begin()
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
            let (mut connection, by) = self.lend().await?;
            let asked = connection.fetch_many(query).try_collect::<Vec<_>>();
            match timeout_at(by, asked).await {
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
            let (mut connection, by) = self.lend().await?;
            let asked = connection.fetch_optional(query);
            match timeout_at(by, asked).await {
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

/// The last time at which the database did not answer. Connections from before it may lead to nobody, and closing them
/// unasked costs less than to wait for each of them in turn.
#[derive(Debug, Clone)]
struct Silence {
    start: Instant,
    /// Milliseconds since the start.
    last: Arc<AtomicU64>,
}

impl Default for Silence {
    fn default() -> Self {
        Self { start: Instant::now(), last: Arc::new(AtomicU64::new(0)) }
    }
}

impl Silence {
    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn begin(&self) -> sqlx::Error {
        self.last.store(self.elapsed(), Ordering::Relaxed);
        sqlx::Error::Io(ErrorKind::TimedOut.into())
    }

    /// Tells whether a connection of this age is from before it.
    fn is_older(&self, age: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        last > 0 && self.elapsed().saturating_sub(age) <= last
    }
}

/// Tells whether a connection may be used, or used again: it answers, and no transaction is left on it. SQLite ends a
/// transaction by itself when the disk is full, and sqlx, whose rollback then fails, believes ever after that it is in
/// one, and refuses to begin another.
fn is_alive<'c>(
    silence: &Silence,
    connection: &'c mut AnyConnection,
    metadata: PoolConnectionMetadata,
) -> BoxFuture<'c, Result<bool, sqlx::Error>> {
    let silence = silence.clone();
    Box::pin(async move {
        if silence.is_older(metadata.age) {
            return Ok(false);
        }
        match timeout(SIGN_OF_LIFE, connection.ping()).await {
            // What a transaction left to do was done before the answer.
            Ok(Ok(())) => Ok(!connection.is_in_transaction()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection to the platform database is broken");
                Ok(false)
            }
            Err(_) => {
                let _ = silence.begin();
                Ok(false)
            }
        }
    })
}
