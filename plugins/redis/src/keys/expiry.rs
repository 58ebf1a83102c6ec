//! `DELETE /keys/{key}` and `POST /keys/{key}/expire`.

use super::{KeyPath, command, no_such_key, read_ttl, seconds};
use crate::{Redis, route::Route, wire};
use redis::{Cmd, Pipeline, Value};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// When to expire.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpireBody {
    /// Seconds to live; −1 removes the expiry.
    ttl: i64,
}

/// A key's expiry.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ExpiringKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// Seconds left; −1: no expiry.
    ttl: i64,
}

/// `DELETE /keys/{key}`.
pub(crate) async fn delete(redis: Context<Redis>, path: Path<KeyPath>) -> Result<NoContent, DriverError> {
    let key = path.0.key.0;
    let deleted = redis.connection.query(&command("DEL", &key), Route::Key(&key)).await?;
    if wire::integer(&deleted) == Some(0) { Err(no_such_key()) } else { Ok(NoContent) }
}

/// `POST /keys/{key}/expire`.
pub(crate) async fn expire(
    redis: Context<Redis>,
    path: Path<KeyPath>,
    body: Body<ExpireBody>,
) -> Result<Json<ExpiringKey>, DriverError> {
    let key = path.0.key.0;
    let ttl = read_ttl(body.ttl, "ttl")?;
    let commands = commands_to_expire(&key, ttl);
    let answers = if let [expire] = commands.as_slice() {
        vec![redis.connection.query(expire, Route::Key(&key)).await?]
    } else {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
        redis.connection.pipeline(pipeline, Route::Key(&key)).await?
    };
    read_expired(answers.into_iter())?;
    let (key, key_encoding) = encoding::show(key);
    Ok(Json(ExpiringKey { key, key_encoding, ttl: seconds(ttl.unwrap_or(-1)) }))
}

/// Sets or removes an expiry. The answers are read by [`read_expired`].
///
/// No transaction holds them together: a server without memory left refuses to begin one, and to let keys expire is what
/// gives it some.
pub(crate) fn commands_to_expire(key: &[u8], milliseconds: Option<i64>) -> Vec<Cmd> {
    match milliseconds {
        // PERSIST answers 0 for a missing key, but also where there was no expiry to remove.
        None => vec![command("PERSIST", key), command("PTTL", key), command("EXISTS", key)],
        Some(milliseconds) => vec![command("PEXPIRE", key).arg(milliseconds).to_owned()],
    }
}

/// Whether the key was there. Where none of the commands that could tell is allowed, it is taken to be.
pub(crate) fn read_expired(mut answers: impl Iterator<Item = Value>) -> Result<(), DriverError> {
    let done = wire::check(answers.next().unwrap_or_default())?;
    if wire::integer(&done) != Some(0) {
        return Ok(());
    }
    let is_gone = match (answers.next(), answers.next()) {
        (None, _) => true,
        (Some(left), exists) => match (wire::integer(&left), exists.as_ref().and_then(wire::integer)) {
            (Some(left), _) => left == -2,
            (None, exists) => exists == Some(0),
        },
    };
    if is_gone { Err(no_such_key()) } else { Ok(()) }
}
