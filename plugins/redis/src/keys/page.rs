//! One page of a collection.
//!
//! Hashes and sets go by HSCAN and SSCAN, whose cursor is the server's and whose count is a hint. Lists and sorted sets
//! go by position, a sorted set by rank, lowest score first, as its users expect to see it; streams go by entry id.

use super::{KeyType, command, no_such_key};
use crate::{Redis, json_bytes::json_length, route::Route, wire};
use redis::{Cmd, Pipeline, Value};
use serde::{Serializer, ser::SerializeMap};
use std::collections::HashSet;
use studio_plugin_api::{encoding::Encoding, prelude::*};

/// Which page.
pub(crate) struct Request<'a> {
    pub(crate) cursor: Option<&'a str>,
    pub(crate) count: u32,
    /// Bytes of the whole collection, where the server tells.
    pub(crate) size: Option<i64>,
    /// Bytes that the answer may have.
    pub(crate) limit: u64,
}

/// A page of a collection.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Page {
    #[serde(flatten)]
    items: Items,
    /// How many items the whole collection has.
    length: i64,
    /// Where to go on; `"0"` at the end. Opaque.
    cursor: String,
    /// Present when every name, member and value on this page is base64, because one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_encoding: Option<Encoding>,
}

/// The items, under the name that their type gives them.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Items {
    Fields(Fields),
    Values(Vec<String>),
    #[serde(rename = "members")]
    SetMembers(Vec<String>),
    #[serde(rename = "members")]
    ScoredMembers(Vec<ScoredMember>),
    Entries(Vec<Entry>),
}

/// Names and values as a JSON object, in the server's order. A name that comes twice (only a stream's entry can have
/// that) has an array of its values.
#[derive(JsonSchema)]
#[schemars(transparent)]
struct Fields(
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")] Vec<(String, Vec<String>)>,
);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, values) in &self.0 {
            match values.as_slice() {
                [value] => map.serialize_entry(name, value)?,
                values => map.serialize_entry(name, values)?,
            }
        }
        map.end()
    }
}

#[derive(Serialize, JsonSchema)]
struct ScoredMember {
    member: String,
    /// A number; `"inf"` and `"-inf"` as text, since JSON has no such numbers.
    score: Score,
}

#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum Score {
    Finite(f64),
    Infinite(String),
}

#[derive(Serialize, JsonSchema)]
struct Entry {
    id: String,
    fields: Fields,
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The page as bytes, before they are encoded.
enum Raw {
    Hash(Pairs),
    List(Vec<Vec<u8>>),
    Set(Vec<Vec<u8>>),
    Zset(Vec<(Vec<u8>, f64)>),
    Stream(Vec<(String, Pairs)>),
}

/// Reads a page, in one round trip.
pub(crate) async fn read(
    redis: &Redis,
    key: &[u8],
    key_type: KeyType,
    request: &Request<'_>,
) -> Result<Page, DriverError> {
    let start = Start::parse(key_type, request.cursor.unwrap_or("0"))?;
    let (length_command, page_command) = commands(key, key_type, &start, request.count);

    // A collection of large items is measured first, so that a page of it is not loaded only to be refused. An item's
    // size is an average: it keeps the usual case out of memory, and the sum below judges.
    if request.size.and_then(|size| u64::try_from(size).ok()).is_some_and(|size| size > request.limit) {
        let length = redis.connection.query(&length_command, Route::Key(key)).await?;
        let length = wire::integer(&length).filter(|length| *length > 0).ok_or_else(no_such_key)?;
        let expected =
            request.size.unwrap_or_default().saturating_mul(i64::from(request.count).min(length)) / length;
        if u64::try_from(expected).is_ok_and(|expected| expected > request.limit) {
            return Err(too_large(request.limit));
        }
    }

    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.add_command(length_command).add_command(page_command);
    let answers = redis.connection.pipeline_within(pipeline, Route::Key(key), request.limit).await;
    let mut answers = answers.map_err(explained)?.into_iter();
    let length = wire::check(answers.next().unwrap_or_default())?;
    let length =
        wire::integer(&length).ok_or_else(|| DriverError::unexpected_answer("the question for a length"))?;
    let answer = wire::check(answers.next().unwrap_or_default())?;
    if length == 0 && key_type != KeyType::Stream {
        // Only a stream can be there and be empty: the key went since its type was read.
        return Err(no_such_key());
    }
    let unexpected = || DriverError::unexpected_answer("the question for a page");
    let (raw, cursor) = match key_type {
        KeyType::Hash | KeyType::Set => read_scan(answer, key_type).ok_or_else(unexpected)?,
        KeyType::Stream => read_entries(answer, request.count as usize).ok_or_else(unexpected)?,
        _ => {
            let raw = read_range(answer, key_type).ok_or_else(unexpected)?;
            let next = start.offset + raw.len() as i64;
            (raw, if next < length { next.to_string() } else { "0".to_owned() })
        }
    };
    if raw.bytes() > request.limit {
        return Err(too_large(request.limit));
    }
    let (items, value_encoding) = raw.encode();
    Ok(Page { items, length, cursor, value_encoding })
}

fn too_large(limit: u64) -> DriverError {
    explained(DriverError::result_too_large(limit))
}

pub(super) fn explained(mut error: DriverError) -> DriverError {
    if error.code == ErrorCode::ResultTooLarge {
        error.message.push_str("; ask for fewer items with `count`");
    }
    error
}

/// Where a page begins.
struct Start {
    /// For HSCAN and SSCAN, and as a position.
    offset: i64,
    /// For a stream.
    id: String,
    scan: u64,
}

impl Start {
    fn parse(key_type: KeyType, cursor: &str) -> Result<Self, DriverError> {
        let bad = || DriverError::field("cursor", "must be the `cursor` of the page before");
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut start = Self { offset: 0, id: "-".to_owned(), scan: 0 };
        match key_type {
            KeyType::Stream if cursor == "0" => {}
            KeyType::Stream => {
                let (time, sequence) = cursor.split_once('-').unwrap_or((cursor, "0"));
                if !digits(time) || !digits(sequence) {
                    return Err(bad());
                }
                cursor.clone_into(&mut start.id);
            }
            _ if !digits(cursor) => return Err(bad()),
            KeyType::Hash | KeyType::Set => start.scan = cursor.parse().map_err(|_| bad())?,
            _ => start.offset = cursor.parse().map_err(|_| bad())?,
        }
        Ok(start)
    }
}

/// The commands for the collection's length and for the page.
fn commands(key: &[u8], key_type: KeyType, start: &Start, count: u32) -> (Cmd, Cmd) {
    let last = start.offset.saturating_add(i64::from(count) - 1);
    let (length, name) = match key_type {
        KeyType::Hash => ("HLEN", "HSCAN"),
        KeyType::Set => ("SCARD", "SSCAN"),
        KeyType::Zset => ("ZCARD", "ZRANGE"),
        KeyType::Stream => ("XLEN", "XRANGE"),
        KeyType::List | KeyType::String => ("LLEN", "LRANGE"),
    };
    let mut page = command(name, key);
    match key_type {
        KeyType::Hash | KeyType::Set => page.arg(start.scan).arg("COUNT").arg(count),
        KeyType::Zset => page.arg(start.offset).arg(last).arg("WITHSCORES"),
        // One more than asked for: its id is where the next page begins.
        KeyType::Stream => page.arg(&start.id).arg("+").arg("COUNT").arg(count + 1),
        KeyType::List | KeyType::String => page.arg(start.offset).arg(last),
    };
    (command(length, key), page)
}

fn read_scan(answer: Value, key_type: KeyType) -> Option<(Raw, String)> {
    let mut parts = wire::items(answer)?.into_iter();
    let cursor = wire::text(parts.next()?)?;
    let found = parts.next()?;
    // The server may return an item twice while its table grows or shrinks.
    let mut seen = HashSet::new();
    let raw = if key_type == KeyType::Hash {
        let pairs = read_pairs(found)?;
        Raw::Hash(pairs.into_iter().filter(|(name, _)| seen.insert(name.clone())).collect())
    } else {
        let members = read_all(found)?;
        Raw::Set(members.into_iter().filter(|member| seen.insert(member.clone())).collect())
    };
    Some((raw, cursor))
}

fn read_range(answer: Value, key_type: KeyType) -> Option<Raw> {
    if key_type != KeyType::Zset {
        return read_all(answer).map(Raw::List);
    }
    let scored = wire::pairs(answer)?.into_iter().map(|(member, score)| {
        let score = match score {
            Value::Double(score) => score,
            score => wire::text(score)?.parse().ok()?,
        };
        Some((wire::bytes(member)?, score))
    });
    scored.collect::<Option<_>>().map(Raw::Zset)
}

fn read_entries(answer: Value, count: usize) -> Option<(Raw, String)> {
    let mut entries = Vec::new();
    for entry in wire::items(answer)? {
        let mut parts = wire::items(entry)?.into_iter();
        entries.push((wire::text(parts.next()?)?, read_pairs(parts.next()?)?));
    }
    let cursor = match entries.get(count) {
        Some((id, _)) => id.clone(),
        None => "0".to_owned(),
    };
    entries.truncate(count);
    Some((Raw::Stream(entries), cursor))
}

fn read_all(answer: Value) -> Option<Vec<Vec<u8>>> {
    wire::items(answer)?.into_iter().map(wire::bytes).collect()
}

fn read_pairs(answer: Value) -> Option<Pairs> {
    let pairs = wire::pairs(answer)?.into_iter();
    pairs.map(|(name, value)| Some((wire::bytes(name)?, wire::bytes(value)?))).collect()
}

impl Raw {
    fn len(&self) -> usize {
        match self {
            Self::Hash(pairs) => pairs.len(),
            Self::List(items) | Self::Set(items) => items.len(),
            Self::Zset(scored) => scored.len(),
            Self::Stream(entries) => entries.len(),
        }
    }

    fn parts(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        fn both(pair: &(Vec<u8>, Vec<u8>)) -> [&[u8]; 2] {
            [&pair.0, &pair.1]
        }
        match self {
            Self::Hash(pairs) => Box::new(pairs.iter().flat_map(both)),
            Self::List(items) | Self::Set(items) => Box::new(items.iter().map(Vec::as_slice)),
            Self::Zset(scored) => Box::new(scored.iter().map(|(member, _)| member.as_slice())),
            Self::Stream(entries) => {
                Box::new(entries.iter().flat_map(|(_, fields)| fields.iter().flat_map(both)))
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.parts().map(json_length).sum()
    }

    fn encode(self) -> (Items, Option<Encoding>) {
        let encoding = Encoding::for_all(self.parts());
        let all = |items: Vec<Vec<u8>>| items.into_iter().map(|item| encoding.encode(item)).collect();
        let items = match self {
            Self::Hash(pairs) => Items::Fields(encode_fields(pairs, encoding)),
            Self::List(items) => Items::Values(all(items)),
            Self::Set(items) => Items::SetMembers(all(items)),
            Self::Zset(scored) => Items::ScoredMembers(
                scored
                    .into_iter()
                    .map(|(member, score)| ScoredMember {
                        member: encoding.encode(member),
                        score: if score.is_finite() {
                            Score::Finite(score)
                        } else {
                            Score::Infinite(wire::double(score))
                        },
                    })
                    .collect(),
            ),
            Self::Stream(entries) => Items::Entries(
                entries
                    .into_iter()
                    .map(|(id, fields)| Entry { id, fields: encode_fields(fields, encoding) })
                    .collect(),
            ),
        };
        (items, encoding.shown())
    }
}

fn encode_fields(pairs: Pairs, encoding: Encoding) -> Fields {
    let mut fields: Vec<(String, Vec<String>)> = Vec::with_capacity(pairs.len());
    let mut places = std::collections::HashMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let (name, value) = (encoding.encode(name), encoding.encode(value));
        let place = *places.entry(name.clone()).or_insert(fields.len());
        match fields.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => fields.push((name, vec![value])),
        }
    }
    Fields(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(raw: Raw) -> serde_json::Value {
        let (items, value_encoding) = raw.encode();
        serde_json::to_value(Page { items, length: 1, cursor: "0".into(), value_encoding }).unwrap()
    }

    #[test]
    fn one_binary_item_makes_the_page_base64() {
        let page = shown(Raw::Hash(vec![(b"a".to_vec(), vec![0xFF]), (b"b".to_vec(), b"c".to_vec())]));
        assert_eq!(page["fields"], json!({ "YQ==": "/w==", "Yg==": "Yw==" }));
        assert_eq!(page["value_encoding"], "base64");
    }

    #[test]
    fn infinite_scores_are_text() {
        let page = shown(Raw::Zset(vec![(b"a".to_vec(), f64::INFINITY), (b"b".to_vec(), 1.5)]));
        assert_eq!(
            page["members"],
            json!([{ "member": "a", "score": "inf" }, { "member": "b", "score": 1.5 }])
        );
    }

    #[test]
    fn a_field_repeated_in_an_entry_keeps_all_its_values() {
        let field = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let page =
            shown(Raw::Stream(vec![("1-1".into(), vec![field("a", "1"), field("b", "2"), field("a", "3")])]));
        assert_eq!(page["entries"], json!([{ "id": "1-1", "fields": { "a": ["1", "3"], "b": "2" } }]));
    }

    #[test]
    fn a_stream_page_ends_where_the_next_begins() {
        let entry = |id: &str| {
            Value::Array(vec![Value::BulkString(id.as_bytes().to_vec()), Value::Array(Vec::new())])
        };
        let answer = || Value::Array(vec![entry("1-0"), entry("2-0"), entry("3-0")]);
        let (raw, cursor) = read_entries(answer(), 2).unwrap();
        assert_eq!((raw.len(), cursor.as_str()), (2, "3-0"));
        assert_eq!(read_entries(answer(), 3).unwrap().1, "0");
    }

    #[test]
    fn cursors_that_are_not_ours_are_refused() {
        for (key_type, cursor) in [
            (KeyType::Hash, "x"),
            (KeyType::List, "-1"),
            (KeyType::Zset, "9223372036854775808"),
            (KeyType::Stream, "1-x"),
            (KeyType::Stream, "$"),
        ] {
            assert!(Start::parse(key_type, cursor).is_err(), "{key_type:?} {cursor}");
        }
        assert_eq!(Start::parse(KeyType::Stream, "5-3").unwrap().id, "5-3");
    }
}
