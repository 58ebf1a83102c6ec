//! The registry's database connections: how long callers wait for them, and which of them are not used again.

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

/// How long a caller waits for a connection. Writers wait for each other.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long a server may take to show that a connection still works.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long a caller waits before the server is probed, and how long the server may take to accept a connection.
const PROBE_AFTER: Duration = Duration::from_secs(1);
const PROBE: Duration = Duration::from_millis(900);
/// How long a server may take to answer a query.
const ANSWER: Duration = Duration::from_millis(1800);
/// How long a write may take; it waits for a disk.
const WRITE: Duration = Duration::from_secs(15);
/// PostgreSQL's code for a server without a free connection.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// A bounded pool of connections.
#[derive(Clone)]
pub(super) struct Pool {
    connections: AnyPool,
    /// How long a query or change outside a transaction may take.
    answer: Duration,
    /// `None` for a file, which is never out of reach.
    server: Option<Arc<Server>>,
}

/// A server that may be out of reach: then it answers nothing at all, and callers should be told at once.
struct Server {
    options: AnyConnectOptions,
    /// The last time at which it did not answer. Older connections may be dead, and closing them untested costs less
    /// than waiting for each of them in turn.
    silence: watch::Sender<Option<Instant>>,
    /// Lets one caller at a time probe the server.
    probe: Mutex<()>,
}

impl Pool {
    /// Opens a pool, and one connection at once, so that a wrong URL is noticed here.
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

    /// Gives the same pool with more time for writes: a caller that stops waiting can't know whether its write was
    /// made.
    pub(super) fn for_writing(&self) -> Self {
        Self { answer: WRITE, ..self.clone() }
    }

    /// Lends a connection for several queries. Their answers have no time limit but the caller's own.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.connections.acquire().await
    }

    /// Begins a transaction with this statement.
    pub(super) async fn begin_with(
        &self,
        statement: impl SqlSafeStr,
    ) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.unless_away(self.connections.begin_with(statement)).await
    }

    async fn lend(&self) -> Result<PoolConnection<Any>, sqlx::Error> {
        self.unless_away(self.connections.acquire()).await
    }

    /// Runs `work`, but fails as soon as the server is out of reach.
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

    /// Closes a connection that did not answer, and gives the error for that.
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
    /// Probes the server again and again, and returns when it does not answer. Only one waiting caller probes at a
    /// time.
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

    /// Tells whether the server was silent after a connection of this age was opened.
    fn was_silent_since(&self, age: Duration) -> bool {
        self.silence.borrow().is_some_and(|last| last.elapsed() <= age)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connections.fmt(formatter)
    }
}

/// Runs queries on a lent connection, and waits for the answer no longer than the pool allows.
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

/// Tells whether a connection may be used, or used again: it answers, and has no open transaction. SQLite ends a
/// transaction by itself when the disk is full. Then sqlx's rollback fails, and sqlx believes ever after that the
/// transaction is open, and refuses to begin another.
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
            // The end of an earlier transaction was carried out before this answer.
            Ok(Ok(())) => Ok(!connection.is_in_transaction()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection to the platform database is broken");
                Ok(false)
            }
            Err(_) => Ok(false),
        }
    })
}
