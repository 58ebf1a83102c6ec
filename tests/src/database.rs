//! The database of a test's registry, and a way to look into it beside the gateway.

use sqlx::{AnyConnection, Connection, Row, any::AnyRow};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;

/// Names a PostgreSQL whose user may create databases; `cargo xtask test` starts one.
const POSTGRES_URL: &str = "TEST_POSTGRES_URL";

/// The database that holds the registry. Tests that touch it run on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registry {
    /// A file.
    Sqlite,
    /// A fresh database on the run's server.
    Postgres,
}

/// A database for one test's registry.
pub struct Database {
    /// The kind of database.
    pub registry: Registry,
    /// For `DATABASE_URL`.
    pub url: String,
    folder: TempDir,
}

impl Database {
    /// Makes a fresh one.
    pub async fn create(registry: Registry) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match registry {
            Registry::Sqlite => format!("sqlite:{}", folder.path().join("platform.db").display()),
            Registry::Postgres => create_postgres_database().await,
        };
        Self { registry, url, folder }
    }

    /// Lists the database's files: main file, log, shared memory; SQLite only.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = self.folder.path().read_dir().unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// Returns the folder of the files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a table's name, as this database has it.
    pub fn table(&self, name: &str) -> String {
        match self.registry {
            Registry::Sqlite => name.to_owned(),
            Registry::Postgres => format!("platform.{name}"),
        }
    }

    async fn connect(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&self.url).await.expect("the registry's database")
    }

    /// Runs a statement; gives the number of rows it changed.
    pub async fn execute(&self, statement: &str) -> u64 {
        let mut connection = self.connect().await;
        let done = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
    }

    /// Reads the first column of a query's rows, which must be text.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let rows: Vec<AnyRow> = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or_default()).collect()
    }

    /// Reads every byte that the database holds: SQLite's files, or all rows of all tables of Postgres as text.
    pub async fn bytes(&self) -> Vec<u8> {
        match self.registry {
            Registry::Sqlite => self.files().iter().flat_map(|file| std::fs::read(file).unwrap()).collect(),
            Registry::Postgres => {
                let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'platform'";
                let mut all = Vec::new();
                for table in self.texts(tables).await {
                    let rows = format!("SELECT row_to_json(t)::text FROM platform.{table} t");
                    all.extend(self.texts(&rows).await.concat().into_bytes());
                }
                assert!(!all.is_empty(), "the registry has no rows in schema platform");
                all
            }
        }
    }
}

async fn create_postgres_database() -> String {
    let server = std::env::var(POSTGRES_URL).unwrap_or_else(|_| {
        panic!("no PostgreSQL to test with: run `cargo xtask test`, or name one by {POSTGRES_URL}")
    });
    sqlx::any::install_default_drivers();
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut connection = AnyConnection::connect(&server).await.expect("the test run's PostgreSQL");
    let statement = format!("CREATE DATABASE {name}");
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("CREATE DATABASE");
    let (server, _) = server.rsplit_once('/').expect("a URL with a database in it");
    format!("{server}/{name}")
}
