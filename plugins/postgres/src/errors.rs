//! What PostgreSQL says went wrong, in the contract's words.

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorResponseBody;
use std::io;
use studio_plugin_api::{DriverError, ErrorCode};

/// SQLSTATE codes that mean something here (PostgreSQL's manual, appendix A).
pub(crate) mod code {
    /// The server stops what a statement does, for its timeout or because it was asked to.
    pub(crate) const QUERY_CANCELED: &str = "57014";
    /// A statement that writes, in a transaction that may not.
    pub(crate) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";
    pub(crate) const UNIQUE_VIOLATION: &str = "23505";
    /// A prepared statement that is not there, and one that is there already.
    pub(crate) const NOT_PREPARED: &str = "26000";
    pub(crate) const ALREADY_PREPARED: &str = "42P05";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const INVALID_DATABASE: &str = "3D000";
    /// The server ends a connection that had nothing to do.
    pub(crate) const IDLE_SESSION_TIMEOUT: &str = "57P05";
    /// What a thing that was dropped meanwhile is to the functions that tell how it was made.
    pub(crate) const INTERNAL_ERROR: &str = "XX000";
}

/// The reason of an error for which waiting for another connection helps.
pub(crate) const TOO_MANY: &str = "too_many_connections";

/// Fields of an error that are kept; PostgreSQL has 18 of them.
const MOST_FIELDS: usize = 32;
/// What of a field is kept, in bytes: a message may be as long as a result.
const LONGEST_FIELD: usize = 64 << 10;

/// An `ErrorResponse` (PostgreSQL's manual, 55.8): its fields by their one-letter names.
#[derive(Debug, Clone)]
pub(crate) struct ServerError {
    fields: Vec<(u8, Box<str>)>,
    /// The message's length on the wire, without its type.
    pub(crate) length: usize,
    /// A transaction was committed before it, by the same text.
    pub(crate) is_after_commit: bool,
}

impl ServerError {
    pub(crate) fn read(body: &ErrorResponseBody) -> io::Result<Self> {
        let mut fields = Vec::new();
        // The message's own length, four bytes, and the zero at its end; each field has its name and a zero.
        let mut length = 5;
        let mut given = body.fields();
        while let Some(field) = given.next()? {
            let value = field.value_bytes();
            length += value.len() + 2;
            if fields.len() < MOST_FIELDS {
                let shown = value.get(..LONGEST_FIELD).unwrap_or(value);
                let cut = if shown.len() < value.len() { " …" } else { "" };
                fields.push((field.type_(), (String::from_utf8_lossy(shown) + cut).into()));
            }
        }
        Ok(Self { fields, length, is_after_commit: false })
    }

    /// One field: `b'M'` is the message.
    pub(crate) fn field(&self, name: u8) -> Option<&str> {
        self.fields.iter().find(|(other, _)| *other == name).map(|(_, value)| &**value)
    }

    /// The SQLSTATE.
    pub(crate) fn code(&self) -> &str {
        self.field(b'C').unwrap_or_default()
    }

    /// In one sentence.
    pub(crate) fn message(&self) -> &str {
        self.field(b'M').unwrap_or("PostgreSQL gave no message")
    }

    /// Whether a statement was stopped: by its timeout, or because someone asked for it. `COPY` without its data has the
    /// same code.
    pub(crate) fn is_interruption(&self) -> bool {
        self.code() == code::QUERY_CANCELED && self.field(b'R') == Some("ProcessInterrupts")
    }

    /// Whether what was prepared in a connection is not what should be there: a pooler is in between.
    pub(crate) fn is_about_preparing(&self) -> bool {
        matches!(self.code(), code::NOT_PREPARED | code::ALREADY_PREPARED)
    }

    /// Whether the server says goodbye with it: a shutdown, a crash, `pg_terminate_backend`.
    pub(crate) fn ends_the_connection(&self) -> bool {
        // The first is there since PostgreSQL 9.6, and in English whatever the server speaks.
        matches!(self.field(b'V').or_else(|| self.field(b'S')), Some("FATAL" | "PANIC"))
    }

    /// As the answer to a statement.
    pub(crate) fn into_error(self) -> DriverError {
        let code = self.code();
        let kind = match code {
            code::UNIQUE_VIOLATION => ErrorCode::Conflict,
            code::INSUFFICIENT_PRIVILEGE | code::READ_ONLY_TRANSACTION => ErrorCode::Forbidden,
            _ if self.ends_the_connection() => {
                return DriverError::connection("unavailable", self.message()).with("code", code);
            }
            _ => ErrorCode::QueryError,
        };
        self.into_error_of(kind)
    }

    /// As the answer to a statement, with this code whatever went wrong.
    pub(crate) fn into_error_of(self, kind: ErrorCode) -> DriverError {
        let mut error = DriverError::new(kind, self.message()).with("code", self.code());
        const SHOWN: [(u8, &str); 11] = [
            (b'P', "position"),
            (b'p', "internal_position"),
            (b'q', "internal_query"),
            (b'D', "detail"),
            (b'H', "hint"),
            (b'W', "where"),
            (b's', "schema"),
            (b't', "table"),
            (b'c', "column"),
            (b'd', "data_type"),
            (b'n', "constraint"),
        ];
        for (name, shown) in SHOWN {
            let Some(value) = self.field(name) else { continue };
            error = match value.parse::<u64>() {
                Ok(number) if matches!(name, b'P' | b'p') => error.with(shown, number),
                _ => error.with(shown, value),
            };
        }
        match self.is_after_commit {
            true => leave_open(error),
            false => error,
        }
    }

    /// As the answer to a try to connect.
    pub(crate) fn into_refusal(self) -> DriverError {
        let reason = match self.code() {
            code if code.starts_with("28") => "authentication_failed",
            code::INVALID_DATABASE => "unknown_database",
            code::TOO_MANY_CONNECTIONS => TOO_MANY,
            // Poolers have no code for it: PgBouncer's `max_client_conn`, Supavisor's `MaxClients`.
            _ if ["no more connections allowed", "max client"]
                .iter()
                .any(|words| self.message().to_ascii_lowercase().contains(words)) =>
            {
                TOO_MANY
            }
            // It shuts down, or starts.
            code if code.starts_with("57P") => "unavailable",
            _ => "refused",
        };
        DriverError::connection(reason, self.message()).with("code", self.code())
    }
}

/// Why an exchange with the server did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection broke.
    Broken(io::Error),
    /// The server refused the statement.
    Refused(ServerError),
    /// The server ended the connection, with a word.
    Ended(ServerError),
    /// The server had ended the connection before it read what was sent.
    Unheard(ServerError),
    /// The driver left a statement that runs.
    Left(DriverError),
    /// Nothing was done. In the contract's words.
    Told(DriverError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self::Told(error)
    }
}

impl Failure {
    /// In the contract's words. Of what `writes`, a connection that broke and a statement that was left leave open
    /// whether it was done.
    pub(crate) fn into_error(self, writes: bool) -> DriverError {
        let (error, is_open) = match self {
            Self::Told(error) => (error, false),
            Self::Left(error) => (error, true),
            Self::Refused(error) | Self::Unheard(error) => (error.into_error(), false),
            Self::Ended(error) => (error.into_error(), true),
            Self::Broken(error) => (from_io(&error), true),
        };
        if writes && is_open { leave_open(error) } else { error }
    }

    /// As the failure of something that was sent.
    pub(crate) fn after_sending(self) -> Self {
        match self {
            Self::Told(error) => Self::Left(error),
            failure => failure,
        }
    }
}

/// Says that what was to be done may have been done.
pub(crate) fn leave_open(error: DriverError) -> DriverError {
    error.with("outcome", "unknown")
}

/// An error of an open connection.
pub(crate) fn from_io(error: &io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => DriverError::new(
            ErrorCode::DriverError,
            format!("the server's answer is not of PostgreSQL's protocol: {error}"),
        ),
        io::ErrorKind::TimedOut => {
            DriverError::connection("timeout", "the PostgreSQL server does not answer any more")
        }
        _ => DriverError::connection("closed", "the connection to the PostgreSQL server was lost"),
    }
}
