//! A fresh database of a PostgreSQL server, and a way to look into it beside the gateway.

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Names a PostgreSQL whose user may create databases; `cargo xtask test` starts one.
const SHARED: &str = "TEST_POSTGRES_URL";
/// One of everything that a catalog can hold.
const RICH: &str = include_str!("../schemas/rich.sql");

/// A database. Nobody drops it from the run's shared server: the server's data are removed after the run.
#[derive(Debug, Clone)]
pub struct PostgresDatabase {
    /// Its name.
    pub name: String,
    /// `postgresql://…` over the network.
    pub url: String,
    truth: String,
    /// The connection of those who ask often.
    kept: Option<Arc<Mutex<PgConnection>>>,
}

impl PostgresDatabase {
    /// Makes a fresh, empty one on the run's shared server. Other tests have theirs there: they share the server's
    /// roles and settings.
    pub async fn shared() -> Self {
        let server = std::env::var(SHARED).unwrap_or_else(|_| {
            panic!("no PostgreSQL to test with: run `cargo xtask test`, or name one by {SHARED}")
        });
        let (base, _) = server.rsplit_once('/').expect("a URL with a database in it");
        let name = format!("test_{}", Uuid::new_v4().simple());
        let url = format!("{base}/{name}");
        Self::create(&server, name, url.clone(), url).await
    }

    /// Makes one by a connection to this server. `url` leads to it over the network, `truth` beside the gateway.
    pub(crate) async fn create(server: &str, name: String, url: String, truth: String) -> Self {
        let mut connection = PgConnection::connect(server).await.expect("PostgreSQL");
        let statement = format!("create database {name} template template0");
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("create database");
        Self { name, url, truth, kept: None }
    }

    /// Fills it with `schemas/rich.sql`.
    pub async fn fill(self) -> Self {
        self.run(RICH).await;
        self
    }

    /// Connects to it beside the gateway.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.truth).await.expect("PostgreSQL")
    }

    /// Lets [`run`](Self::run) and [`texts`](Self::texts) use one connection from now on, for those who ask often: a
    /// new one costs PostgreSQL more than most questions do. It keeps what statements set.
    pub async fn keep_connection(self) -> Self {
        let connection = self.connect().await;
        Self { kept: Some(Arc::new(Mutex::new(connection))), ..self }
    }

    async fn with_connection<T>(&self, ask: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
        match &self.kept {
            Some(connection) => ask(&mut *connection.lock().await).await,
            None => ask(&mut self.connect().await).await,
        }
    }

    /// Runs statements, all in one transaction unless they say otherwise.
    pub async fn run(&self, statements: &str) {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(statements));
        let done = self.with_connection(async |connection| sql.execute(connection).await).await;
        let start: String = statements.chars().take(200).collect();
        done.unwrap_or_else(|error| panic!("{start}: {error}"));
    }

    /// Reads the first column of a query's rows, which must be text; NULL is empty.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        self.try_texts(query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Reads as [`texts`](Self::texts) does, by a query that may fail.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn try_texts(&self, query: &str) -> Result<Vec<String>, sqlx::Error> {
        let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(query));
        let rows: Vec<PgRow> =
            self.with_connection(async |connection| sql.fetch_all(connection).await).await?;
        Ok(rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect())
    }

    /// Returns the first of [`texts`](Self::texts).
    pub async fn text(&self, query: &str) -> String {
        let texts = self.texts(query).await;
        texts.into_iter().next().unwrap_or_else(|| panic!("no rows: {query}"))
    }

    /// Tells whether it is of this version of PostgreSQL, or a later one.
    pub async fn is_at_least(&self, version: u32) -> bool {
        let number: u32 = self.text("show server_version_num").await.parse().expect("a number");
        number >= version * 10_000
    }
}
