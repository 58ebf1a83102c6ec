//! `GET /keys/{key}` and `POST /keys/get`.
//!
//! Reading here does not count as use: an item is evicted when it would have been without anybody looking at it. Hits
//! and misses of the server's statistics do count it.

use super::{Key, KeyPath, no_such_key, read_bytes};
use crate::{
    Memcached,
    connection::Reply,
    errors,
    number::Whole,
    wire::{Facts, Head},
};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// Value, flags, cas, time to live, whether read, seconds since used; `u` leaves the item's place among the others.
const EVERYTHING: &str = " v f c t h l u";
/// The most keys in one request.
const MAX_KEYS: usize = 100;

/// Which keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetBody {
    /// 1 to 100 keys.
    keys: Vec<String>,
    /// `base64`: every one of `keys` is base64.
    key_encoding: Option<Encoding>,
}

/// An item.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ReadKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_encoding: Option<Encoding>,
    /// What the writer's client library keeps beside the value.
    flags: u32,
    /// Changes with the value; null where the server keeps none.
    cas: Option<Whole>,
    /// Seconds left; −1: no expiry.
    ttl: i64,
    /// Bytes of the value.
    size: usize,
    /// Seconds since it was last used.
    idle_seconds: u64,
    /// Whether it was read since it was stored.
    fetched: bool,
}

/// A key that is not there.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MissingKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
}

/// What was found, in the order asked for, and what was not.
#[derive(Serialize, JsonSchema)]
pub(crate) struct GetAnswer {
    items: Vec<ReadKey>,
    missing: Vec<MissingKey>,
}

/// `GET /keys/{key}`.
pub(crate) async fn read(
    memcached: Context<Memcached>,
    path: Path<KeyPath>,
) -> Result<Json<ReadKey>, DriverError> {
    let key = path.0.read()?;
    let limit = memcached.max_reply_bytes();
    let reply = memcached.connection.ask(&key.command("mg", EVERYTHING), limit).await?;
    let item = show(key, reply, limit)?.map_err(|_| no_such_key())?;
    if item.value.len() as u64 > limit { Err(DriverError::result_too_large(limit)) } else { Ok(Json(item)) }
}

/// `POST /keys/get`: one round trip for every 32 keys.
pub(crate) async fn get(
    memcached: Context<Memcached>,
    body: Body<GetBody>,
) -> Result<Json<GetAnswer>, DriverError> {
    if !(1..=MAX_KEYS).contains(&body.keys.len()) {
        let message = format!("`keys`: must be 1 to {MAX_KEYS}, not {}", body.keys.len());
        return Err(DriverError::validation("keys", message));
    }
    let keys = body.keys.iter().enumerate().map(|(index, text)| {
        let field = format!("keys[{index}]");
        Key::new(read_bytes(text, body.key_encoding, &field)?, &field)
    });
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let commands: Vec<_> = keys.iter().map(|key| key.command("mg", EVERYTHING)).collect();
    let limit = memcached.max_reply_bytes();
    let replies = memcached.connection.ask_all(&commands, limit).await?;

    let mut answer = GetAnswer { items: Vec::with_capacity(keys.len()), missing: Vec::new() };
    for (key, reply) in keys.into_iter().zip(replies) {
        match show(key, reply, limit)? {
            Ok(item) => answer.items.push(item),
            Err(key) => {
                let (key, key_encoding) = encoding::show(key.bytes);
                answer.missing.push(MissingKey { key, key_encoding });
            }
        }
    }
    let size = answer.items.iter().fold(0, |size, item| size + item.value.len() as u64);
    if size > limit { Err(DriverError::result_too_large(limit)) } else { Ok(Json(answer)) }
}

/// The item, or the key itself where there is none.
fn show(key: Key, reply: Reply, limit: u64) -> Result<Result<ReadKey, Key>, DriverError> {
    match reply {
        Reply::Value(value, facts) => {
            let item = show_item(key, value, &facts).ok_or_else(|| DriverError::unexpected_answer("mg"))?;
            Ok(Ok(item))
        }
        Reply::TooLarge => Err(DriverError::result_too_large(limit)),
        Reply::Head(Head::Absent) => Ok(Err(key)),
        Reply::Head(Head::Refused(refusal)) => Err(errors::from_server(&refusal)),
        Reply::Head(_) => Err(DriverError::unexpected_answer("mg")),
    }
}

fn show_item(key: Key, value: Vec<u8>, facts: &Facts) -> Option<ReadKey> {
    let size = value.len();
    let (key, key_encoding) = encoding::show(key.bytes);
    let (value, value_encoding) = encoding::show(value);
    Some(ReadKey {
        key,
        key_encoding,
        value,
        value_encoding,
        flags: facts.number('f')?,
        cas: facts.number('c').filter(|cas| *cas > 0).map(Whole),
        ttl: facts.number('t')?,
        size,
        idle_seconds: facts.number('l')?,
        fetched: facts.number::<u8>('h')? == 1,
    })
}
