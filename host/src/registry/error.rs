//! The registry's errors, and the only place that makes them from a database's errors.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgDatabaseError;
use thiserror::Error;

/// Why a registry operation failed. No variant holds a stored value: only the message of an SQL error is kept, since
/// its details may quote a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// `DATABASE_URL` cannot be used. The text never quotes the URL, which may hold a password.
    #[error("DATABASE_URL {0}")]
    Url(&'static str),
    /// The database cannot be reached, refuses the login, or is too busy; another try may work.
    #[error("the platform database is not available: {0}")]
    Unavailable(String),
    /// The database did not confirm a change in time; it may have made the change.
    #[error("the platform database did not answer in time, and may have made the change")]
    Unanswered,
    /// Another row has this value already.
    #[error("this {field} is already taken")]
    Duplicate {
        /// The column: `slug`, `ref`, `identifier`, `id`.
        field: String,
    },
    /// The row to act on, or one it refers to, does not exist.
    #[error("no such {what}")]
    NotFound {
        /// `organization`, `project`, `member`, `connection`; `row` when only the database knows.
        what: &'static str,
    },
    /// The number of things has reached the limit in the settings.
    #[error("there are {most} {what} already, which is the most")]
    Full {
        /// The things and their owner: `connections of this project`.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The row has changed since the caller read it.
    #[error("somebody else changed it at the same time; look at it, and try again")]
    Changed,
    /// The row cannot be deleted, because a table that is not the gateway's refers to it.
    #[error("something outside the gateway still refers to this project{}", named(.table.as_deref()))]
    StillReferenced {
        /// The name of that table, if the database gives it.
        table: Option<String>,
    },
    /// A column of a Studio's table does not take this value, e.g. a user id that is not a UUID where the column is one.
    #[error("`{field}` {reason}")]
    Unacceptable {
        /// The column, or the caller's name for it, see [`Self::renamed`].
        field: String,
        /// Why not, and which values are right.
        reason: String,
    },
    /// The value violates a constraint of a Studio's table. The registry's methods look it up and give `Unacceptable`.
    #[error("the constraint `{name}` of the platform database's table `{table}` is against it")]
    Constraint {
        /// Its table; empty for a domain's constraint.
        table: String,
        /// Its name.
        name: String,
        /// Whether it is a reference to another table; otherwise it is a check.
        is_reference: bool,
    },
    /// A trigger of a Studio's table refuses the change, with this message.
    #[error("the platform database refuses this: {0}")]
    Refused(String),
    /// A stored value cannot be read.
    #[error("a stored {what} is not readable")]
    Corrupt {
        /// The column.
        what: String,
    },
    /// The gateway's login cannot work with this database.
    #[error("the platform database can't be used as it is:\n  {}", .0.join("\n  "))]
    Unfit(Vec<String>),
    /// The migrations could not be applied.
    #[error("the platform database could not be migrated: {0}")]
    Migration(String),
    /// Any other failure: the database's message, without its details.
    #[error("the platform database failed: {0}")]
    Failed(String),
}

impl RegistryError {
    /// Makes the error for a stored value in column `what` that the gateway never writes.
    pub(super) fn corrupt(what: &str) -> Self {
        Self::Corrupt { what: what.to_owned() }
    }

    /// Makes the error for a column that does not take a value.
    pub(super) fn unacceptable(field: &str, reason: impl Into<String>) -> Self {
        Self::Unacceptable { field: field.to_owned(), reason: reason.into() }
    }

    /// Replaces a column by the caller's name for it; `names` are pairs of a column and a field.
    pub fn renamed(self, names: &[(&str, &str)]) -> Self {
        let field_of = |column: String| {
            let found = names.iter().find(|(name, _)| *name == column);
            found.map_or(column, |(_, field)| (*field).to_owned())
        };
        match self {
            Self::Unacceptable { field, reason } => Self::Unacceptable { field: field_of(field), reason },
            Self::Duplicate { field } => Self::Duplicate { field: field_of(field) },
            error => error,
        }
    }
}

fn named(table: Option<&str>) -> String {
    table.map_or_else(String::new, |table| format!(": rows of the table `{table}`"))
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => from_database(error.as_ref()),
            // The error's text quotes the value.
            sqlx::Error::ColumnDecode { index, .. } => Self::Corrupt { what: index },
            sqlx::Error::Io(error) => Self::Unavailable(error.to_string()),
            sqlx::Error::Tls(error) => Self::Unavailable(error.to_string()),
            // A peer that cuts connections or speaks another protocol is not the database.
            sqlx::Error::Protocol(message) => Self::Unavailable(message),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no free connection in time".to_owned()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unavailable("closed".to_owned()),
            // The error's text may quote the URL.
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
    let postgres = error.try_downcast_ref::<PgDatabaseError>();
    match (error.kind(), postgres) {
        (ErrorKind::UniqueViolation, _) => {
            return RegistryError::Duplicate { field: duplicated_field(error) };
        }
        (kind @ (ErrorKind::ForeignKeyViolation | ErrorKind::CheckViolation), Some(postgres)) => {
            return RegistryError::Constraint {
                table: postgres.table().unwrap_or_default().to_owned(),
                name: postgres.constraint().unwrap_or_default().to_owned(),
                is_reference: matches!(kind, ErrorKind::ForeignKeyViolation),
            };
        }
        (ErrorKind::ForeignKeyViolation, None) => return RegistryError::NotFound { what: "row" },
        (ErrorKind::CheckViolation, None) => return ill_formed(),
        (ErrorKind::NotNullViolation, Some(postgres)) => {
            let table = postgres.table().unwrap_or_default();
            return RegistryError::unacceptable(
                postgres.column().unwrap_or("value"),
                format!(
                    "is required by the platform database's table `{table}`, and there is no value for it here; a \
                     default of that column mends it"
                ),
            );
        }
        _ => {}
    }
    let code = error.code().unwrap_or_default();
    let message = || error.message().to_owned();
    if code.len() == 5 {
        // An SQLSTATE: its first two characters are the class.
        return match code.get(..2) {
            // Data exceptions: text that is no UUID or no member of an enum, a NUL in a text.
            Some("22") => ill_formed(),
            Some("P0") => RegistryError::Refused(message()),
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

/// Makes the error for a value that its column's type does not take; the database does not name the column.
fn ill_formed() -> RegistryError {
    RegistryError::unacceptable("value", "is not of a form that the platform database takes")
}

/// Finds the last column of the violated key: the value is unique only within the columns before it.
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
