//! Logging in, whichever way the server is reached.

use crate::errors;
use redis::{Cmd, ErrorKind, RedisConnectionInfo, ServerError, Value, cmd};
use std::time::Duration;
use studio_plugin_api::{DriverError, ErrorCode, MaybeSend};

/// For TLS and for logging in. A server that does not speak TLS waits for the end of what it takes for a command, and
/// one that does waits for the start of TLS: neither would ever answer. Shorter than the host's own bound on opening a
/// session (5 s unless configured), which would only say that time ran out.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of what a server answers to a login.
pub(crate) const GREETING_BYTES: u64 = 64 << 10;

/// A connection that is not logged in yet.
pub(crate) trait Exchange {
    /// Sends the commands in one piece and waits for as many answers.
    fn exchange(
        &mut self,
        commands: &[Cmd],
    ) -> impl Future<Output = Result<Vec<Value>, DriverError>> + MaybeSend;
}

/// Logs in, selects the database, and proves that the server answers.
pub(crate) async fn log_in(
    connection: &mut impl Exchange,
    login: &RedisConnectionInfo,
) -> Result<(), DriverError> {
    greet(connection, login).await.map_err(|error| match error.code {
        // That is what a server says at length that is no Redis.
        ErrorCode::ResultTooLarge => errors::not_redis(),
        _ => error,
    })
}

async fn greet(connection: &mut impl Exchange, login: &RedisConnectionInfo) -> Result<(), DriverError> {
    // A step at a time: a server that has no room for one more connection answers the first and hangs up.
    if login.protocol().supports_resp3() {
        introduce(connection, login).await?;
    } else if !authenticate(connection, login, login.username()).await? {
        authenticate(connection, login, None).await?;
    }
    if login.db() != 0 {
        select(connection, login).await?;
    }
    // A login that is not needed is not made, so this may be what shows a missing password.
    match ask(connection, cmd("PING")).await? {
        Some(error) if !is_harmless(&error) => Err(refused(&error, login)),
        _ => Ok(()),
    }
}

/// The server is there and says nothing.
pub(crate) fn unanswered() -> DriverError {
    DriverError::connection("timeout", "the server accepts the connection but does not answer")
}

/// The error that a command is answered with, if it is one.
async fn ask(connection: &mut impl Exchange, command: Cmd) -> Result<Option<ServerError>, DriverError> {
    match connection.exchange(&[command]).await?.pop() {
        Some(Value::ServerError(error)) => Ok(Some(error)),
        _ => Ok(None),
    }
}

async fn introduce(connection: &mut impl Exchange, login: &RedisConnectionInfo) -> Result<(), DriverError> {
    let mut hello = cmd("HELLO");
    hello.arg("3");
    if let Some(password) = login.password() {
        hello.arg("AUTH").arg(login.username().unwrap_or("default")).arg(password);
    }
    match ask(connection, hello).await? {
        Some(error) if errors::refuses_command(&error) || error.code() == "NOPROTO" => {
            Err(errors::from_client(&(ErrorKind::RESP3NotSupported, "HELLO").into()))
        }
        Some(error) => Err(refused(&error, login)),
        None => Ok(()),
    }
}

/// False: the server is too old to know users.
async fn authenticate(
    connection: &mut impl Exchange,
    login: &RedisConnectionInfo,
    username: Option<&str>,
) -> Result<bool, DriverError> {
    let Some(password) = login.password() else { return Ok(true) };
    let mut auth = cmd("AUTH");
    auth.arg(username).arg(password);
    match ask(connection, auth).await? {
        Some(error) if says(&error, "wrong number of arguments for 'auth' command") => Ok(false),
        Some(error) => Err(refused(&error, login)),
        None => Ok(true),
    }
}

async fn select(connection: &mut impl Exchange, login: &RedisConnectionInfo) -> Result<(), DriverError> {
    let mut select = cmd("SELECT");
    select.arg(login.db());
    let Some(error) = ask(connection, select).await? else { return Ok(()) };
    Err(if error.code() == "NOPERM" || says(&error, "DB index") || errors::refuses_command(&error) {
        let reason = errors::from_server(&error).message;
        DriverError::connection("database", format!("database {} can't be selected: {reason}", login.db()))
    } else {
        refused(&error, login)
    })
}

/// Whether the connection can be used all the same: its user may log in but not ping, the server has no such command,
/// or it takes no writes for now, of which it counts this as one.
fn is_harmless(error: &ServerError) -> bool {
    matches!(error.code(), "NOPERM" | "MISCONF") || errors::refuses_command(error)
}

/// Why the server does not let anyone in, whichever step it says it at.
fn refused(error: &ServerError, login: &RedisConnectionInfo) -> DriverError {
    let failed = |message: &str| DriverError::connection("authentication_failed", message);
    match error.code() {
        "NOAUTH" if login.password().is_none() => {
            failed("the Redis server asks for a password, and the connection has none")
        }
        "NOAUTH" | "WRONGPASS" => errors::credentials_refused(),
        _ if says(error, "invalid password") => errors::credentials_refused(),
        _ if says(error, "without any password configured") || says(error, "no password is set") => {
            failed("the connection has a password, and the Redis server none for this user")
        }
        _ if says(error, "max number of clients") => DriverError::connection(
            "too_many_connections",
            "the Redis server has as many connections as it may have",
        ),
        _ => {
            let error = errors::from_server(error);
            match error.code {
                ErrorCode::ConnectionError => error,
                _ => DriverError::connection("refused", error.message),
            }
        }
    }
}

fn says(error: &ServerError, words: &str) -> bool {
    error.details().is_some_and(|details| details.contains(words))
}
