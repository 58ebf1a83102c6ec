//! What logging in comes to, whichever way the server is reached.

use crate::errors;
use redis::{ErrorKind, RedisError, Value};
use std::time::Duration;
use studio_plugin_api::{DriverError, ErrorCode};

/// For TLS and for logging in. A server that does not speak TLS waits for the end of what it takes for a command, and
/// one that does waits for the start of TLS: neither would ever answer. Shorter than the host's own bound on opening a
/// session (5 s unless configured), which would only say that time ran out.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

/// The server is there and says nothing.
pub(crate) fn unanswered() -> DriverError {
    DriverError::connection("timeout", "the server accepts the connection but does not answer")
}

/// Why the login or the choice of the database failed.
pub(crate) fn refusal(error: &RedisError, database: i64) -> DriverError {
    match error.kind() {
        ErrorKind::Server(_) if database != 0 => no_such_database(database),
        _ => errors::from_client(error),
    }
}

/// The server refuses to use this database.
pub(crate) fn no_such_database(number: i64) -> DriverError {
    DriverError::connection("database", format!("database {number} can't be selected"))
}

/// What `PING` was answered. A login that is not needed is not made, so the first command is what shows a missing
/// password.
pub(crate) fn check_ping(answer: &Value) -> Result<(), DriverError> {
    match answer {
        // May log in but not ping: still in.
        Value::ServerError(error) if error.code() == "NOPERM" => Ok(()),
        Value::ServerError(error) => {
            let error = errors::from_server(error);
            match error.code {
                ErrorCode::ConnectionError => Err(error),
                _ => Err(DriverError::connection("refused", error.message)),
            }
        }
        _ => Ok(()),
    }
}
