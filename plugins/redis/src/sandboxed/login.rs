//! Logging in as the `redis` crate does where it makes the connection itself.

use super::channel::Channel;
use crate::{
    errors,
    login::{GREETING_TIMEOUT, check_ping, no_such_database, refusal, unanswered},
};
use redis::{Cmd, ErrorKind, RedisConnectionInfo, ServerError, Value, cmd};
use std::iter;
use studio_plugin_api::{DriverError, time::Instant};

/// Logs in, selects the database, and proves that the server answers.
pub(super) async fn log_in(channel: &mut Channel, login: &RedisConnectionInfo) -> Result<(), DriverError> {
    let deadline = Instant::now() + GREETING_TIMEOUT;
    greet(channel, login, deadline).await.map_err(|error| {
        if error.details.get("reason").is_some_and(|reason| reason == "timeout") {
            unanswered()
        } else {
            error
        }
    })
}

async fn greet(
    channel: &mut Channel,
    login: &RedisConnectionInfo,
    deadline: Instant,
) -> Result<(), DriverError> {
    if !set_up(channel, login, login.username(), deadline).await? {
        set_up(channel, login, None, deadline).await?;
    }
    let answers = channel.exchange(iter::once(&cmd("PING")), deadline.into()).await?;
    answers.first().map_or(Ok(()), check_ping)
}

/// False: the server is too old to know users.
async fn set_up(
    channel: &mut Channel,
    login: &RedisConnectionInfo,
    username: Option<&str>,
    deadline: Instant,
) -> Result<bool, DriverError> {
    let speaks_resp3 = login.protocol().supports_resp3();
    let introduction = if speaks_resp3 { Some(hello(login)) } else { authentication(login, username) };
    let selection = (login.db() != 0).then(|| {
        let mut select = cmd("SELECT");
        select.arg(login.db());
        select
    });
    if introduction.is_none() && selection.is_none() {
        return Ok(true);
    }
    let commands = introduction.iter().chain(&selection);
    let mut answers = channel.exchange(commands, deadline.into()).await?.into_iter();
    if introduction.is_some() {
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
    refusal(&error.into(), login.db())
}

fn knows_no_users(error: &ServerError) -> bool {
    error.details().is_some_and(|details| details.contains("wrong number of arguments for 'auth' command"))
}
