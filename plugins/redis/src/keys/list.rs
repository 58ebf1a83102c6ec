//! `GET /keys`: one page of SCAN.
//!
//! A cluster is listed node by node, in the order of the nodes' ids, which no reshard disturbs. Each primary is asked
//! itself, wherever its slots are, so none is left out and none is listed twice; one that is down is an error for its
//! pages. What SCAN promises of a server holds for each node: a key that was there all the time is listed. A key that
//! moves from one node to another while the listing is under way may be listed twice, or be missed.

use super::{in_parts, page::explained, read_count, read_expiry, seconds};
use crate::{
    Redis, errors,
    json_bytes::json_length,
    packed::Packed,
    resp::OWN_ANSWERS,
    route::{Primary, Route},
    wire,
};
use redis::{Value, cmd};
use std::collections::HashSet;
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// A glob, as in Redis; by default every key. Bytes that are not UTF-8 are percent-encoded: `%AC%ED*`.
    pattern: Option<PathBytes>,
    /// Where to go on: the `cursor` of the page before.
    cursor: Option<String>,
    /// How many keys SCAN should look at, 1 to 1000, by default 100. A hint: a page may have some more or fewer, or
    /// none, and the listing still goes on until `cursor` is `"0"`. In a cluster the primaries are listed one after the
    /// other; a key that moves between them meanwhile may be listed twice or be missed.
    #[schemars(range(min = 1, max = 1000))]
    count: Option<u32>,
    /// Only keys of this type (Redis 6 and later).
    r#type: Option<String>,
}

/// One key in a page.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ListedKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// A type of Redis, or a module's own name for one; null where the server does not tell.
    r#type: Option<String>,
    /// Seconds left, rounded up; −1: no expiry; null where the server does not tell.
    ttl: Option<i64>,
    /// Bytes by MEMORY USAGE; null where the server does not tell.
    size: Option<i64>,
}

/// A page of keys.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyPage {
    keys: Vec<ListedKey>,
    /// `"0"` at the end. Opaque.
    cursor: String,
    /// How many keys SCAN returned for this page: those in `keys`, those that vanished meanwhile, and those that are
    /// `forbidden`.
    total_scanned: usize,
    /// How many keys are left out because the connection's Redis user may not look at them.
    #[serde(skip_serializing_if = "is_zero")]
    forbidden: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// `GET /keys`, in two round trips: SCAN, then one pipeline about all its keys.
pub(crate) async fn list(
    redis: Context<Redis>,
    query: Query<ListQuery>,
) -> Result<Json<KeyPage>, DriverError> {
    let count = read_count(query.count)?;
    let cursor = Cursor::parse(query.cursor.as_deref().unwrap_or("0"))?;
    let (node, next_node) = find_nodes(&redis, &cursor).await?;

    let mut scan = cmd("SCAN");
    scan.arg(cursor.position);
    if let Some(PathBytes(pattern)) = &query.pattern
        && !matches!(pattern.as_slice(), b"" | b"*")
    {
        scan.arg("MATCH").arg(pattern);
    }
    scan.arg("COUNT").arg(count);
    if let Some(wanted) = query.r#type.as_deref().filter(|wanted| !wanted.is_empty()) {
        scan.arg("TYPE").arg(wanted);
    }
    let route = node.as_ref().map_or(Route::Any, Route::Node);
    let answer = redis.connection.query_within(&scan, route, redis.max_reply_bytes()).await;
    let (position, keys) =
        read_scan(answer.map_err(explained)?).ok_or_else(|| DriverError::unexpected_answer("SCAN"))?;

    if keys.iter().map(|key| json_length(key)).sum::<u64>() > redis.max_reply_bytes() {
        return Err(explained(DriverError::result_too_large(redis.max_reply_bytes())));
    }
    let total_scanned = keys.len();
    let (keys, forbidden) = describe_keys(&redis, keys, route).await?;
    let cursor = match (position, &node, next_node) {
        (0, _, Some(next)) => Cursor { position: 0, node: Some(next.id.to_string()) },
        (0, _, None) => Cursor { position: 0, node: None },
        (position, node, _) => Cursor { position, node: node.as_ref().map(|node| node.id.to_string()) },
    };
    Ok(Json(KeyPage { keys, cursor: cursor.to_string(), total_scanned, forbidden }))
}

async fn describe_keys(
    redis: &Redis,
    keys: Vec<Vec<u8>>,
    route: Route<'_>,
) -> Result<(Vec<ListedKey>, usize), DriverError> {
    let (mut listed, mut forbidden) = (Vec::with_capacity(keys.len()), 0);
    for part in in_parts(keys) {
        forbidden += describe_part(redis, part, route, &mut listed).await?;
    }
    Ok((listed, forbidden))
}

/// Adds what is told about these keys; answers how many of them may not be looked at.
async fn describe_part(
    redis: &Redis,
    keys: Vec<Vec<u8>>,
    route: Route<'_>,
    listed: &mut Vec<ListedKey>,
) -> Result<usize, DriverError> {
    let with_memory = redis.has_memory_usage();
    let bytes: usize = keys.iter().map(|key| 3 * key.len() + 32).sum();
    let mut questions = Packed::with_room(3 * keys.len(), 7 * keys.len(), bytes);
    for key in &keys {
        questions.add([b"TYPE", key]);
        questions.add([b"PTTL", key]);
        if with_memory {
            questions.add([b"MEMORY", b"USAGE", key]);
        }
    }
    let mut answers = redis.connection.ask(questions, route, OWN_ANSWERS).await?.into_iter();
    let mut forbidden = 0;
    for key in keys {
        let (Some(key_type), Some(milliseconds)) = (answers.next(), answers.next()) else {
            return Err(DriverError::unexpected_answer("TYPE"));
        };
        let size = if with_memory {
            answers.next().and_then(|answer| redis.read_memory_usage(&answer))
        } else {
            None
        };
        if [&key_type, &milliseconds].into_iter().any(is_forbidden) {
            forbidden += 1;
            continue;
        }
        let key_type = read_type(key_type)?;
        let milliseconds = read_expiry(milliseconds)?;
        // Gone since SCAN saw it, before or between the two questions.
        if key_type.as_deref() == Some("none") || milliseconds == Some(-2) {
            continue;
        }
        let (key, key_encoding) = encoding::show(key);
        listed.push(ListedKey { key, key_encoding, r#type: key_type, ttl: milliseconds.map(seconds), size });
    }
    Ok(forbidden)
}

fn is_forbidden(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if errors::refuses_key(error))
}

fn read_type(answer: Value) -> Result<Option<String>, DriverError> {
    let answer = wire::told(answer)?;
    answer.map(|answer| wire::text(answer).ok_or_else(|| DriverError::unexpected_answer("TYPE"))).transpose()
}

fn read_scan(answer: Value) -> Option<(u64, Vec<Vec<u8>>)> {
    let mut parts = wire::items(answer)?.into_iter();
    let position = wire::text(parts.next()?)?.parse().ok()?;
    let keys: Vec<_> = wire::items(parts.next()?)?.into_iter().filter_map(wire::bytes).collect();
    // SCAN may return a key twice while the server's table grows or shrinks.
    let mut seen = HashSet::with_capacity(keys.len());
    let is_first: Vec<_> = keys.iter().map(|key| seen.insert(key.as_slice())).collect();
    let first = keys.into_iter().zip(is_first).filter(|(_, is_first)| *is_first);
    Some((position, first.map(|(key, _)| key).collect()))
}

/// The cluster's node that the cursor is on, and the one after it; nothing for a single server.
async fn find_nodes(
    redis: &Redis,
    cursor: &Cursor,
) -> Result<(Option<Primary>, Option<Primary>), DriverError> {
    if !redis.connection.is_cluster() {
        return match &cursor.node {
            Some(_) => Err(bad_cursor()),
            None => Ok((None, None)),
        };
    }
    // A caller's text never leads anywhere: the node is one that the cluster names now.
    let primaries = redis.connection.primaries().await?;
    let place = match &cursor.node {
        Some(id) => primaries.iter().position(|primary| *primary.id == **id).ok_or_else(|| {
            let message = "`cursor`: its node is no primary of the cluster any more; start again at 0";
            DriverError::validation("cursor", message)
        })?,
        None if cursor.position != 0 => return Err(bad_cursor()),
        None if primaries.is_empty() => return Err(errors::unavailable("the cluster has no primaries")),
        None => 0,
    };
    Ok((primaries.get(place).cloned(), primaries.get(place + 1).cloned()))
}

/// Where a listing is: SCAN's own cursor, and in a cluster the node that it belongs to, as `17@<node id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    position: u64,
    node: Option<String>,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, DriverError> {
        let (position, node) = match text.split_once('@') {
            Some((position, node)) => (position, Some(node.to_owned())),
            None => (text, None),
        };
        // `parse` would also take a sign.
        if position.starts_with('+') || node.as_deref() == Some("") {
            return Err(bad_cursor());
        }
        Ok(Self { position: position.parse().map_err(|_| bad_cursor())?, node })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            Some(node) => write!(formatter, "{}@{node}", self.position),
            None => write!(formatter, "{}", self.position),
        }
    }
}

fn bad_cursor() -> DriverError {
    DriverError::field("cursor", "must be the `cursor` of the page before, or 0 to begin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_come_back_from_their_text(position: u64, node in proptest::option::of("[0-9a-f]{40}")) {
            let cursor = Cursor { position, node };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()).unwrap(), cursor);
        }

        #[test]
        fn no_text_makes_the_cursor_parser_panic(text: String) {
            let _ = Cursor::parse(&text);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in ["", "x", "-1", "+1", "1.5", "18446744073709551616", "1@", "@a"] {
            assert_eq!(Cursor::parse(bad).unwrap_err().details["field"], "cursor", "{bad}");
        }
    }
}
