//! Logging in, whichever way the server is reached.

use crate::errors;
use redis::{Cmd, ErrorKind, RedisConnectionInfo, RedisError, ServerError, Value, cmd};
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
    if !set_up(connection, login, login.username()).await? {
        set_up(connection, login, None).await?;
    }
    let answers = connection.exchange(&[cmd("PING")]).await?;
    answers.first().map_or(Ok(()), check_ping)
}

/// The server is there and says nothing.
pub(crate) fn unanswered() -> DriverError {
    DriverError::connection("timeout", "the server accepts the connection but does not answer")
}

/// False: the server is too old to know users.
async fn set_up(
    connection: &mut impl Exchange,
    login: &RedisConnectionInfo,
    username: Option<&str>,
) -> Result<bool, DriverError> {
    let speaks_resp3 = login.protocol().supports_resp3();
    let introduction = if speaks_resp3 { Some(hello(login)) } else { authentication(login, username) };
    let selection = (login.db() != 0).then(|| {
        let mut select = cmd("SELECT");
        select.arg(login.db());
        select
    });
    let introduces = introduction.is_some();
    let commands: Vec<_> = introduction.into_iter().chain(selection).collect();
    if commands.is_empty() {
        return Ok(true);
    }
    let mut answers = connection.exchange(&commands).await?.into_iter();
    if introduces {
        match answers.next() {
            Some(Value::ServerError(error)) if speaks_resp3 => return Err(hello_refused(error, login)),
            Some(Value::ServerError(error)) if knows_no_users(&error) => return Ok(false),
            Some(Value::ServerError(_)) => return Err(errors::credentials_refused()),
            _ => {}
        }
    }
    match answers.next() {
        Some(Value::ServerError(_)) => Err(no_such_database(login.db())),
        _ => Ok(true),
    }
}

fn hello(login: &RedisConnectionInfo) -> Cmd {
    let mut hello = cmd("HELLO");
    hello.arg("3");
    if let Some(password) = login.password() {
        hello.arg("AUTH").arg(login.username().unwrap_or("default")).arg(password);
    }
    hello
}

fn authentication(login: &RedisConnectionInfo, username: Option<&str>) -> Option<Cmd> {
    let password = login.password()?;
    let mut auth = cmd("AUTH");
    auth.arg(username).arg(password);
    Some(auth)
}

fn hello_refused(error: ServerError, login: &RedisConnectionInfo) -> DriverError {
    if error.details().is_some_and(|details| details.starts_with("unknown command")) {
        return errors::from_client(&(ErrorKind::RESP3NotSupported, "HELLO").into());
    }
    let error = RedisError::from(error);
    match error.kind() {
        ErrorKind::Server(_) if login.db() != 0 => no_such_database(login.db()),
        _ => errors::from_client(&error),
    }
}

fn knows_no_users(error: &ServerError) -> bool {
    error.details().is_some_and(|details| details.contains("wrong number of arguments for 'auth' command"))
}

fn no_such_database(number: i64) -> DriverError {
    DriverError::connection("database", format!("database {number} can't be selected"))
}

/// What `PING` was answered. A login that is not needed is not made, so the first command is what shows a missing
/// password.
fn check_ping(answer: &Value) -> Result<(), DriverError> {
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
