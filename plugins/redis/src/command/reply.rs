//! Any reply of the server as JSON.

use crate::{
    json_bytes::{JsonBytes, json_length},
    wire,
};
use redis::Value;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use std::collections::HashSet;

/// A reply to be shown.
pub(crate) struct Reply(pub(crate) Value);

impl Reply {
    /// About how large its JSON will be.
    pub(crate) fn bytes(&self) -> u64 {
        bytes(&self.0)
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown(&self.0).serialize(serializer)
    }
}

struct Shown<'a>(&'a Value);

#[derive(Serialize)]
struct ServerErrorShown<'a> {
    code: &'a str,
    message: &'a str,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => serializer.serialize_unit(),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Okay => serializer.serialize_str("OK"),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => serializer.serialize_str(text),
            Value::BulkString(bytes) | Value::BigNumber(bytes) => JsonBytes(bytes).serialize(serializer),
            Value::Boolean(flag) => serializer.serialize_bool(*flag),
            Value::Double(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Double(number) => serializer.serialize_str(&wire::double(*number)),
            Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
                serialize_items(items, serializer)
            }
            Value::Map(pairs) => serialize_map(pairs, serializer),
            Value::Attribute { data, .. } => Shown(data).serialize(serializer),
            Value::ServerError(error) => {
                let shown =
                    ServerErrorShown { code: error.code(), message: error.details().unwrap_or_default() };
                serializer.collect_map([("error", shown)])
            }
            // `Value` may get kinds that this driver was not written for.
            #[allow(unreachable_patterns)]
            other => serializer.collect_str(&format_args!("{other:?}")),
        }
    }
}

fn serialize_items<S: Serializer>(items: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
    let mut array = serializer.serialize_seq(Some(items.len()))?;
    for item in items {
        array.serialize_element(&Shown(item))?;
    }
    array.end()
}

/// An object where every name is text and none comes twice; else an array of pairs, so that nothing is lost.
fn serialize_map<S: Serializer>(pairs: &[(Value, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    let names: Option<Vec<_>> = pairs.iter().map(|(name, _)| text(name)).collect();
    let distinct = names.filter(|names| names.iter().collect::<HashSet<_>>().len() == names.len());
    let Some(names) = distinct else {
        return serializer.collect_seq(pairs.iter().map(|(name, value)| [Shown(name), Shown(value)]));
    };
    let mut map = serializer.serialize_map(Some(pairs.len()))?;
    for (name, (_, value)) in names.iter().zip(pairs) {
        map.serialize_entry(name, &Shown(value))?;
    }
    map.end()
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

fn bytes(value: &Value) -> u64 {
    match value {
        Value::BulkString(bytes) | Value::BigNumber(bytes) => json_length(bytes) + 1,
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => json_length(text.as_bytes()) + 1,
        Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
            items.iter().map(bytes).sum::<u64>() + 2
        }
        Value::Map(pairs) => pairs.iter().map(|(name, value)| bytes(name) + bytes(value)).sum::<u64>() + 2,
        Value::Attribute { data, .. } => bytes(data),
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(value: Value) -> serde_json::Value {
        serde_json::to_value(Reply(value)).unwrap()
    }

    fn bulk(bytes: &[u8]) -> Value {
        Value::BulkString(bytes.to_vec())
    }

    #[test]
    fn every_kind_of_reply_has_its_json() {
        let error = redis::parse_redis_value(b"-WRONGTYPE Operation\r\n").unwrap();
        let nested = Value::Array(vec![
            Value::Nil,
            Value::Int(-1),
            Value::Okay,
            bulk("é".as_bytes()),
            bulk(b"\xFF"),
            Value::Boolean(true),
            Value::Double(1.5),
            Value::Double(f64::NAN),
            Value::Double(f64::NEG_INFINITY),
            Value::BigNumber(b"12345678901234567890123".to_vec()),
            Value::Set(vec![Value::Int(1)]),
            error,
        ]);
        let expected = json!([
            null, -1, "OK", "é", { "base64": "/w==" }, true, 1.5, "NaN", "-inf", "12345678901234567890123", [1],
            { "error": { "code": "WRONGTYPE", "message": "Operation" } },
        ]);
        assert_eq!(shown(nested), expected);
    }

    #[test]
    fn maps_are_objects_where_that_loses_nothing() {
        let map =
            |names: [Value; 2]| Value::Map(names.into_iter().map(|name| (name, Value::Int(1))).collect());
        assert_eq!(shown(map([bulk(b"a"), bulk(b"b")])), json!({ "a": 1, "b": 1 }));
        assert_eq!(shown(map([bulk(b"a"), bulk(b"a")])), json!([["a", 1], ["a", 1]]));
        assert_eq!(shown(map([bulk(b"a"), Value::Int(2)])), json!([["a", 1], [2, 1]]));
        assert_eq!(shown(map([bulk(b"a"), bulk(b"\xFF")])), json!([["a", 1], [{ "base64": "/w==" }, 1]]));
    }
}
