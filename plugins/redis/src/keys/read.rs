//! `GET /keys/{key}`.

use super::{KeyPath, KeyType, command, no_such_key, page, read_count, read_expiry, seconds};
use crate::{Redis, errors, json_bytes::json_length, packed::Packed, resp::OWN_ANSWERS, route::Route, wire};
use redis::{Cmd, Value};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// A string up to this long comes with the first round trip; a longer one takes a second, so that asking about a huge
/// string never loads it just to refuse it.
const FIRST_BYTES: u64 = 64 << 10;
/// As GETRANGE counts: with its last byte.
const FIRST_RANGE: &[u8] = b"65536";

/// So often a key is read whose type others change meanwhile, each time between two questions about it.
const ATTEMPTS: usize = 4;

/// Which part of a collection to read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadQuery {
    /// Where to go on: the `cursor` of the page before. Not for strings.
    pub(crate) cursor: Option<String>,
    /// How many items, 1 to 1000, by default 100. A hint for hashes and sets, exact for the others.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) count: Option<u32>,
}

/// A key with its value, or one page of it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyAnswer {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// A type of Redis, or a module's own name for one.
    r#type: String,
    /// Seconds left, rounded up; −1: no expiry; null where the server does not tell.
    ttl: Option<i64>,
    /// Redis's inner representation, by OBJECT ENCODING; null where the server does not tell.
    encoding: Option<String>,
    /// Bytes by MEMORY USAGE; null where the server does not tell.
    size: Option<i64>,
    #[serde(flatten)]
    content: Content,
}

/// The value, by its type.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Content {
    /// A string, whole.
    Text {
        /// The string.
        value: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        value_encoding: Option<Encoding>,
    },
    /// A page of a collection.
    Page(page::Page),
    /// A type that this driver does not read (a module's): the facts only.
    Unread {},
}

/// What the first round trip told.
struct Facts {
    key_type: String,
    milliseconds: Option<i64>,
    encoding: Option<String>,
    size: Option<i64>,
    /// The first bytes of a string.
    start: Value,
}

/// `GET /keys/{key}`: one round trip for a string up to 64 KiB, two for nearly everything else.
pub(crate) async fn read(
    redis: Context<Redis>,
    path: Path<KeyPath>,
    query: Query<ReadQuery>,
) -> Result<Json<KeyAnswer>, DriverError> {
    let key = path.0.key.0;
    for _ in 0..ATTEMPTS {
        match read_once(&redis, &key, &query).await {
            Err(error) if errors::is_of_another_type(&error) => {}
            outcome => return outcome.map(Json),
        }
    }
    Err(DriverError::conflict("the key changes its type while it is read"))
}

async fn read_once(redis: &Context<Redis>, key: &[u8], query: &ReadQuery) -> Result<KeyAnswer, DriverError> {
    let count = read_count(query.count)?;
    let facts = ask(redis, key).await?;
    if facts.key_type == "none" || facts.milliseconds == Some(-2) {
        return Err(no_such_key());
    }
    let limit = redis.max_reply_bytes();
    let content = match KeyType::from_name(&facts.key_type) {
        None => Content::Unread {},
        Some(KeyType::String) => {
            let value = whole_string(redis, key, facts.start, facts.size, limit).await?;
            let encoding = Encoding::for_all([value.as_slice()]);
            Content::Text { value: encoding.encode(value), value_encoding: encoding.shown() }
        }
        Some(key_type) => {
            let request = page::Request { cursor: query.cursor.as_deref(), count, size: facts.size, limit };
            Content::Page(page::read(redis, key, key_type, &request).await?)
        }
    };
    let (key, key_encoding) = encoding::show(key.to_vec());
    Ok(KeyAnswer {
        key,
        key_encoding,
        r#type: facts.key_type,
        ttl: facts.milliseconds.map(seconds),
        encoding: facts.encoding,
        size: facts.size,
        content,
    })
}

async fn ask(redis: &Redis, key: &[u8]) -> Result<Facts, DriverError> {
    let with_memory = redis.has_memory_usage();
    let mut questions = Packed::with_room(5, 12, 5 * key.len() + 64);
    questions.add([b"TYPE", key]);
    questions.add([b"PTTL", key]);
    questions.add([b"OBJECT", b"ENCODING", key]);
    questions.add([b"GETRANGE", key, b"0", FIRST_RANGE]);
    if with_memory {
        questions.add([b"MEMORY", b"USAGE", key]);
    }
    let mut answers = redis.connection.ask(questions, Route::Key(key), OWN_ANSWERS).await?.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let key_type = wire::text(wire::check(next())?).ok_or_else(|| DriverError::unexpected_answer("TYPE"))?;
    let milliseconds = read_expiry(next())?;
    // Not known, not allowed, or the key is gone: then there is simply no encoding to show.
    let encoding = wire::text(next());
    let start = next();
    let size = if with_memory { redis.read_memory_usage(&next()) } else { None };
    Ok(Facts { key_type, milliseconds, encoding, size, start })
}

async fn whole_string(
    redis: &Redis,
    key: &[u8],
    start: Value,
    size: Option<i64>,
    limit: u64,
) -> Result<Vec<u8>, DriverError> {
    let Some(start) = wire::told(start)? else {
        return within(
            read_string(redis.connection.query_within(&command("GET", key), Route::Key(key), limit).await?)?,
            limit,
        );
    };
    let start = read_string(start)?;
    if start.len() as u64 <= FIRST_BYTES {
        return within(start, limit);
    }
    // A string takes more memory than it has bytes.
    let fits = |bytes| u64::try_from(bytes).is_ok_and(|bytes| bytes <= limit);
    if !size.is_some_and(fits) {
        let length = redis.connection.query(&command("STRLEN", key), Route::Key(key)).await;
        if matches!(length.as_ref().ok().and_then(wire::integer), Some(length) if !fits(length)) {
            return Err(DriverError::result_too_large(limit));
        }
    }
    let answer = redis.connection.query_within(&up_to(key, limit), Route::Key(key), limit).await?;
    within(read_string(answer)?, limit)
}

/// One byte more than `limit` shows that there is more than `limit`. What GETRANGE answers is from one moment,
/// whatever others write meanwhile.
fn up_to(key: &[u8], limit: u64) -> Cmd {
    let mut get = command("GETRANGE", key);
    get.arg(0).arg(limit);
    get
}

fn read_string(answer: Value) -> Result<Vec<u8>, DriverError> {
    wire::bytes(wire::check(answer)?).ok_or_else(|| DriverError::unexpected_answer("GETRANGE"))
}

fn within(value: Vec<u8>, limit: u64) -> Result<Vec<u8>, DriverError> {
    if json_length(&value) > limit.saturating_add(2) {
        Err(DriverError::result_too_large(limit))
    } else {
        Ok(value)
    }
}
