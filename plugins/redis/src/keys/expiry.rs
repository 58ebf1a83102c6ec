//! `DELETE /keys/{key}` and `POST /keys/{key}/expire`.

use super::{KeyPath, command, no_such_key, read_ttl, seconds};
use crate::{Redis, connection::Route, wire};
use redis::{Cmd, Pipeline};
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
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.add_command(command("EXISTS", &key)).add_command(command_to_expire(&key, ttl));
    let mut answers = redis.connection.transaction(pipeline, Route::Key(&key)).await?.into_iter();
    let exists = wire::check(answers.next().unwrap_or_default())?;
    wire::check(answers.next().unwrap_or_default())?;
    if wire::integer(&exists) == Some(0) {
        return Err(no_such_key());
    }
    let (key, key_encoding) = encoding::show(key);
    Ok(Json(ExpiringKey { key, key_encoding, ttl: seconds(ttl.unwrap_or(-1)) }))
}

/// Sets or removes an expiry. The answer is 0 for a missing key, but also where there was no expiry to remove.
pub(crate) fn command_to_expire(key: &[u8], milliseconds: Option<i64>) -> Cmd {
    match milliseconds {
        None => command("PERSIST", key),
        Some(milliseconds) => {
            let mut expire = command("PEXPIRE", key);
            expire.arg(milliseconds);
            expire
        }
    }
}
