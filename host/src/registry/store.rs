//! `Store`, the only implementation of [`Registry`](super::Registry): its opening, and the code that the resources
//! share.

use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Any, AssertSqlSafe, ConnectOptions, Connection, Row, Transaction};

use super::RegistryError;
use super::dialect::Dialect;
use super::pool::Pool;
use crate::config::QuotaSettings;

/// Database connections for queries: a small share of a server that others use too.
const POOL_SIZE: u32 = 8;
/// How long SQLite waits for another process's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The registry in one database.
pub(super) struct Store {
    pub(super) dialect: Dialect,
    /// For queries that only read.
    pub(super) reader: Pool,
    /// For everything that writes. In SQLite this is a single connection: writers wait for it in order, which is fairer
    /// and cheaper than waiting for the file's lock. In PostgreSQL it is the same pool as `reader`.
    pub(super) writer: Pool,
    /// The limits on the number of things that callers create.
    pub(super) quotas: QuotaSettings,
}

impl Store {
    /// Implements [`super::open`].
    pub(super) async fn open(url: &SecretString, quotas: QuotaSettings) -> Result<Self, RegistryError> {
        sqlx::any::install_default_drivers();
        let url = url.expose_secret();
        if url.starts_with("sqlite:") {
            let options = prepare_sqlite(url).await?;
            let reader = Pool::open(Dialect::Sqlite, &options, POOL_SIZE).await?;
            let writer = Pool::open(Dialect::Sqlite, &options, 1).await?;
            Ok(Self { dialect: Dialect::Sqlite, reader, writer, quotas })
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let options = AnyConnectOptions::from_str(url)?;
            // A pool would try again until its time is over, and then would not give the reason.
            options.connect().await?.close().await?;
            let reader = Pool::open(Dialect::Postgres, &options, POOL_SIZE).await?;
            Ok(Self { dialect: Dialect::Postgres, writer: reader.for_writing(), reader, quotas })
        } else {
            Err(RegistryError::Url("must start with `sqlite:`, `postgres:` or `postgresql:`"))
        }
    }

    /// Translates `query` for this database; see [`Dialect::sql`].
    pub(super) fn sql(&self, query: &str) -> AssertSqlSafe<String> {
        self.dialect.sql(query)
    }

    /// Begins a transaction that writes. It is rolled back if it is dropped without a commit.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, RegistryError> {
        Ok(self.writer.begin_with(self.dialect.begin()).await?)
    }

    /// Locks a project against other writers of its rows until the transaction ends. Returns the project's id.
    pub(super) async fn lock_project(
        &self,
        transaction: &mut Transaction<'static, Any>,
        reference: &str,
    ) -> Result<String, RegistryError> {
        let query = "SELECT CAST(id AS TEXT) AS id FROM projects WHERE ref = $1 FOR NO KEY UPDATE";
        let row = sqlx::query(self.sql(query)).bind(reference).fetch_optional(&mut **transaction).await?;
        text(&row.ok_or(RegistryError::NotFound { what: "project" })?, "id")
    }
}

/// A limit on how many rows of a kind belong to one thing.
pub(super) struct Quota {
    /// A query that counts the rows of the thing $1, as `total`.
    pub(super) count: &'static str,
    /// The limit.
    pub(super) most: NonZeroUsize,
    /// The rows and their owner, for the error.
    pub(super) what: &'static str,
}

impl Store {
    /// Refuses to exceed a limit. Another transaction that adds to the same thing waits here until this one is over.
    pub(super) async fn leave_room(
        &self,
        transaction: &mut Transaction<'static, Any>,
        quota: Quota,
        thing: &str,
    ) -> Result<(), RegistryError> {
        if let Some(lock) = self.dialect.lock_name() {
            sqlx::query(lock).bind(quota.what).bind(thing).execute(&mut **transaction).await?;
        }
        let row = sqlx::query(self.sql(quota.count)).bind(thing).fetch_one(&mut **transaction).await?;
        let total: i64 = row.try_get("total")?;
        if usize::try_from(total).is_ok_and(|total| total < quota.most.get()) {
            return Ok(());
        }
        Err(RegistryError::Full { what: quota.what, most: quota.most.get() })
    }
}

/// Makes the file and its folder if they do not exist, and turns on write-ahead logging, a mode that the file keeps.
async fn prepare_sqlite(url: &str) -> Result<AnyConnectOptions, RegistryError> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(RegistryError::Url("names an SQLite database in memory, which would forget everything"));
    }
    let options = SqliteConnectOptions::from_str(url)?;
    let path =
        std::path::absolute(options.get_filename()).map_err(|_| RegistryError::Url("names no file"))?;
    make_private_file(&path)
        .map_err(|error| RegistryError::Unavailable(format!("{}: {error}", path.display())))?;
    let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT);
    // Changing the mode fails at once, whatever the timeout, while another gateway does the same.
    let deadline = tokio::time::Instant::now() + BUSY_TIMEOUT;
    loop {
        match options.clone().journal_mode(SqliteJournalMode::Wal).connect().await {
            Ok(connection) => {
                connection.close().await?;
                return Ok(AnyConnectOptions::from_url(&options.to_url_lossy())?);
            }
            Err(error) if tokio::time::Instant::now() > deadline => return Err(error.into()),
            Err(error) => match RegistryError::from(error) {
                RegistryError::Unavailable(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                error => return Err(error),
            },
        }
    }
}

/// Makes an empty file, which is an empty database to SQLite. It is made here so that only its owner may read it.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Reads a text column that is never NULL.
pub(super) fn text(row: &AnyRow, column: &str) -> Result<String, RegistryError> {
    Ok(row.try_get(column)?)
}

/// Reads a text column that may be NULL.
pub(super) fn optional_text(row: &AnyRow, column: &str) -> Result<Option<String>, RegistryError> {
    Ok(row.try_get(column)?)
}

/// Reads a time column as text, in RFC 3339 with milliseconds. SQLite stores it so; PostgreSQL prints a time with a
/// blank, up to six decimals, and an offset only if the column has a time zone (the session's is UTC).
pub(super) fn optional_time(row: &AnyRow, column: &str) -> Result<Option<String>, RegistryError> {
    let Some(text) = optional_text(row, column)? else { return Ok(None) };
    let time = text.parse::<jiff::Timestamp>().or_else(|_| {
        text.parse::<jiff::civil::DateTime>()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
    });
    time.map(|time| Some(rfc3339(time))).map_err(|_| RegistryError::corrupt(column))
}

/// Reads a time column that is never NULL.
pub(super) fn time(row: &AnyRow, column: &str) -> Result<String, RegistryError> {
    optional_time(row, column)?.ok_or_else(|| RegistryError::corrupt(column))
}

/// Writes a time as RFC 3339, UTC, with milliseconds.
pub(super) fn rfc3339(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}
