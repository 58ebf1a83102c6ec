//! Reading the server's answers.

use crate::errors;
use redis::Value;
use studio_plugin_api::DriverError;

/// The value, or the error that the server answered with instead.
pub(crate) fn check(value: Value) -> Result<Value, DriverError> {
    match value {
        Value::ServerError(error) => Err(errors::from_server(&error)),
        Value::Attribute { data, .. } => check(*data),
        value => Ok(value),
    }
}

/// The answer to the only command, checked.
pub(crate) fn only(answers: Vec<Value>) -> Result<Value, DriverError> {
    answers.into_iter().next().map_or_else(|| Err(errors::lost()), check)
}

/// As [`check`]; nothing where the server does not tell it to this user, or to anyone.
pub(crate) fn told(value: Value) -> Result<Option<Value>, DriverError> {
    match value {
        Value::ServerError(error) if errors::refuses_command(&error) => Ok(None),
        value => check(value).map(Some),
    }
}

/// A string's bytes, whichever kind of string it is; `None` for nil and for what is no string.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        Value::Double(number) => Some(double(number).into_bytes()),
        _ => None,
    }
}

/// A string that is text.
pub(crate) fn text(value: Value) -> Option<String> {
    bytes(value).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// A whole number, also where an older protocol sends it as text.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        Value::Boolean(flag) => Some(i64::from(*flag)),
        _ => None,
    }
}

/// The members of an array or set.
pub(crate) fn items(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Some(items),
        Value::Nil => Some(Vec::new()),
        _ => None,
    }
}

/// Name and value pairs: a RESP3 map, an array of both by turns, or an array of pairs.
pub(crate) fn pairs(value: Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Map(pairs) => Some(pairs),
        value => {
            let items = items(value)?;
            if !items.is_empty() && items.iter().all(|item| matches!(item, Value::Array(_))) {
                return items.into_iter().map(|item| pair(items_of(item))).collect();
            }
            let mut items = items.into_iter();
            let mut pairs = Vec::with_capacity(items.len() / 2);
            while let Some(name) = items.next() {
                pairs.push((name, items.next()?));
            }
            Some(pairs)
        }
    }
}

/// Redis's own text of a double.
pub(crate) fn double(number: f64) -> String {
    if number.is_infinite() {
        if number > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else {
        number.to_string()
    }
}

fn items_of(value: Value) -> Vec<Value> {
    items(value).unwrap_or_default()
}

fn pair(items: Vec<Value>) -> Option<(Value, Value)> {
    let mut items = items.into_iter();
    Some((items.next()?, items.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn pairs_read_the_same_in_every_protocol() {
        let expected = vec![(bulk("a"), bulk("1")), (bulk("b"), bulk("2"))];
        let flat = Value::Array(vec![bulk("a"), bulk("1"), bulk("b"), bulk("2")]);
        let nested = Value::Array(vec![
            Value::Array(vec![bulk("a"), bulk("1")]),
            Value::Array(vec![bulk("b"), bulk("2")]),
        ]);
        assert_eq!(pairs(flat).unwrap(), expected);
        assert_eq!(pairs(nested).unwrap(), expected);
        assert_eq!(pairs(Value::Map(expected.clone())).unwrap(), expected);
        assert_eq!(pairs(Value::Array(vec![bulk("odd")])), None);
    }

    #[test]
    fn doubles_are_written_as_redis_does() {
        assert_eq!(double(f64::NEG_INFINITY), "-inf");
        assert_eq!(double(3.0), "3");
        assert_eq!(double(0.1), "0.1");
    }
}
