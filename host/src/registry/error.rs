//! What can go wrong in the registry, and the one place where a database's error becomes one of these.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;
use thiserror::Error;

/// Why a registry operation failed. No variant holds a stored value: an SQL error is kept by its message alone, since
/// its details may quote a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// `DATABASE_URL` cannot be used. Never quotes the URL, which may hold a password.
    #[error("DATABASE_URL {0}")]
    Url(&'static str),
    /// The database cannot be reached, refuses us, or is too busy; another try may work.
    #[error("the platform database is not available: {0}")]
    Unavailable(String),
    /// Another row has this value already.
    #[error("this {field} is already taken")]
    Duplicate {
        /// The column: `slug`, `ref`, `identifier`, `id`.
        field: String,
    },
    /// The row to act on, or one it refers to, does not exist.
    #[error("no such {what}")]
    NotFound {
        /// `organization`, `project`, `connection`; `row` when only the database knows.
        what: &'static str,
    },
    /// The row cannot be deleted, because a table that is not the gateway's refers to it.
    #[error("something outside the gateway still refers to this project")]
    StillReferenced,
    /// A column does not take this value, e.g. a user id that is not a UUID where an older Studio's column is one.
    #[error("the platform database does not accept one of these values")]
    Unacceptable,
    /// A stored value cannot be read.
    #[error("a stored {what} is not readable")]
    Corrupt {
        /// The column.
        what: String,
    },
    /// The migrations could not be applied.
    #[error("the platform database could not be migrated: {0}")]
    Migration(String),
    /// Any other failure: the database's message, without its details.
    #[error("the platform database failed: {0}")]
    Failed(String),
}

impl RegistryError {
    /// A stored value in column `what` is not what the gateway writes there.
    pub(super) fn corrupt(what: &str) -> Self {
        Self::Corrupt { what: what.to_owned() }
    }
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => from_database(error.as_ref()),
            // Its text quotes the value.
            sqlx::Error::ColumnDecode { index, .. } => Self::Corrupt { what: index },
            sqlx::Error::Io(error) => Self::Unavailable(error.to_string()),
            sqlx::Error::Tls(error) => Self::Unavailable(error.to_string()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no free connection in time".to_owned()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unavailable("closed".to_owned()),
            // Its text may quote the URL.
            sqlx::Error::Configuration(_) => Self::Url("is not understood"),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for RegistryError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        match error {
            Execute(error) => Self::Migration(Self::from(error).to_string()),
            ExecuteMigration(error, version) => {
                Self::Migration(format!("migration {version}: {}", Self::from(error)))
            }
            error => Self::Migration(error.to_string()),
        }
    }
}

fn from_database(error: &dyn DatabaseError) -> RegistryError {
    match error.kind() {
        ErrorKind::UniqueViolation => return RegistryError::Duplicate { field: duplicated_field(error) },
        ErrorKind::ForeignKeyViolation => return RegistryError::NotFound { what: "row" },
        ErrorKind::CheckViolation => return RegistryError::Unacceptable,
        _ => {}
    }
    let code = error.code().unwrap_or_default();
    let message = || error.message().to_owned();
    if code.len() == 5 {
        // An SQLSTATE: its first two characters are the class.
        return match code.get(..2) {
            // Data exceptions: text that is no UUID or no member of an enum, a NUL in a text.
            Some("22") => RegistryError::Unacceptable,
            // Connection, authentication, unknown database, rollback by conflict, resources, operator intervention.
            Some("08" | "28" | "3D" | "40" | "53" | "57") => RegistryError::Unavailable(message()),
            _ => RegistryError::Failed(message()),
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // SQLITE_BUSY, _LOCKED, _READONLY, _IOERR, _FULL, _CANTOPEN; the higher bits are the finer reason.
        Ok(5 | 6 | 8 | 10 | 13 | 14) => RegistryError::Unavailable(message()),
        _ => RegistryError::Failed(message()),
    }
}

/// The last column of the violated key: the ones before it are only what it is unique within.
fn duplicated_field(error: &dyn DatabaseError) -> String {
    let columns = match error.try_downcast_ref::<PgDatabaseError>() {
        // `Key (project_id, identifier)=(7, cache) already exists.`, in the server's language around the brackets.
        Some(error) => error
            .detail()
            .and_then(|detail| detail.split_once('(')?.1.split_once(")=(").map(|(columns, _)| columns))
            .or(error.constraint()),
        // `UNIQUE constraint failed: database_connections.project_id, database_connections.identifier`
        None => error.message().rsplit_once(": ").map(|(_, columns)| columns),
    };
    let last = columns.and_then(|columns| columns.rsplit([',', '.']).next());
    last.map_or("value", str::trim).to_owned()
}
