//! Fields as postgres-meta's JavaScript takes them where nothing validates them.

use super::{
    javascript::{text_of, truth},
    schema::{
        FALSE_IS_ABSENT, Kind, SQL, SQL_BOOLEAN, TEXT_OR_ABSENT, fields, is_nullable, kind, others, reads,
    },
};
use serde_json::{Map, Value};

/// Reads a body that is an object of this schema. What is none, but is something, has no fields.
pub(super) fn read(body: Value, schema: &Value) -> Value {
    match body {
        Value::Object(object) => read_fields(object, schema).into(),
        Value::Null => Value::Null,
        _ => Map::new().into(),
    }
}

fn read_fields(mut object: Map<String, Value>, schema: &Value) -> Map<String, Value> {
    for (name, schema) in fields(schema) {
        let Some(given) = object.get_mut(name) else { continue };
        match field(given.take(), schema) {
            Some(read) => *given = read,
            None => drop(object.shift_remove(name)),
        }
    }
    object
}

/// Nothing when it is as if it were not given.
fn field(value: Value, schema: &Value) -> Option<Value> {
    match reads(schema) {
        FALSE_IS_ABSENT if !truth(&value) => return None,
        TEXT_OR_ABSENT if !value.is_string() => return None,
        SQL if value.is_null() => return Some("null".into()),
        SQL_BOOLEAN => return Some(sql_boolean(value)),
        _ => {}
    }
    match (kind(schema), value) {
        (Kind::Boolean, value) => Some(truth(&value).into()),
        (_, Value::Null) => is_nullable(schema).then_some(Value::Null),
        (Kind::Text, value) => Some(text(value)),
        (Kind::List(_), Value::Array(items)) => Some(items.into_iter().map(text).collect()),
        (Kind::Object(schema), value) if others(schema).is_some() => settings(value),
        (_, value) => Some(value),
    }
}

fn text(value: Value) -> Value {
    text_of(&value).map_or(value, Value::String)
}

/// What PostgreSQL takes for a boolean, written without quotes or with them.
fn sql_boolean(value: Value) -> Value {
    match text_of(&value).as_deref() {
        Some("true" | "1") => true.into(),
        Some("false" | "0") => false.into(),
        _ => value,
    }
}

/// An object whose fields have any names: what has no fields has none, and a list's items are one text.
fn settings(value: Value) -> Option<Value> {
    match value {
        Value::Object(object) => {
            let settings = object.into_iter().map(|(name, value)| match value {
                Value::Array(_) => (name, text(value)),
                _ => (name, value),
            });
            Some(settings.collect::<Map<_, _>>().into())
        }
        Value::Number(_) | Value::Bool(_) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(items) if items.is_empty() => None,
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read_field(schema: Value, value: Value) -> Option<Value> {
        let schema = json!({"type": "object", "properties": {"field": schema}});
        let read = read(json!({"field": value}), &schema);
        read.as_object().unwrap().get("field").cloned()
    }

    #[test]
    fn booleans_are_what_javascript_takes_for_true() {
        for (value, wanted) in [
            (json!(null), false),
            (json!(""), false),
            (json!(0), false),
            (json!("false"), true),
            (json!([]), true),
        ] {
            assert_eq!(read_field(json!({"type": ["boolean", "null"]}), value), Some(wanted.into()));
        }
        let schema = json!({"type": ["boolean", "null"], "x-reads": SQL_BOOLEAN});
        for (value, wanted) in [
            (json!(null), json!(null)),
            (json!("false"), json!(false)),
            (json!(1), json!(true)),
            (json!("x"), json!("x")),
        ] {
            assert_eq!(read_field(schema.clone(), value), Some(wanted));
        }
    }

    #[test]
    fn texts_are_what_javascript_writes() {
        let schema = json!({"type": ["string", "null"]});
        for (value, wanted) in [
            (json!(5), json!("5")),
            (json!(true), json!("true")),
            (json!(["x"]), json!("x")),
            (json!(null), json!(null)),
            (json!({}), json!({})),
        ] {
            assert_eq!(read_field(schema.clone(), value), Some(wanted));
        }
        assert_eq!(read_field(json!({"type": "string"}), json!(null)), None);
    }

    #[test]
    fn fields_say_when_something_counts_as_nothing() {
        let reads = |reads: &str| json!({"type": ["string", "null"], "x-reads": reads});
        for nothing in [json!(""), json!(0), json!(false), json!(null)] {
            assert_eq!(read_field(reads(FALSE_IS_ABSENT), nothing), None);
        }
        assert_eq!(read_field(reads(FALSE_IS_ABSENT), json!("x")), Some(json!("x")));
        assert_eq!(read_field(reads(TEXT_OR_ABSENT), json!(["x"])), None);
        assert_eq!(read_field(reads(SQL), json!(null)), Some(json!("null")));
    }

    #[test]
    fn lists_are_of_texts_and_settings_of_texts_or_numbers() {
        let texts = json!({"type": "array", "items": {"type": "string"}});
        assert_eq!(
            read_field(texts.clone(), json!(["a", 5, null, ["b"]])),
            Some(json!(["a", "5", "null", "b"]))
        );
        assert_eq!(read_field(texts.clone(), json!(null)), None);
        assert_eq!(read_field(texts, json!("a")), Some(json!("a")));
        let settings = json!({"type": ["object", "null"], "additionalProperties": true});
        assert_eq!(
            read_field(settings.clone(), json!({"a": ["x", "y"], "b": 5})),
            Some(json!({"a": "x,y", "b": 5}))
        );
        assert_eq!(read_field(settings.clone(), json!("")), None);
        assert_eq!(read_field(settings, json!("x")), Some(json!("x")));
    }

    #[test]
    fn a_body_that_is_no_object_has_no_fields() {
        for body in [json!([]), json!("x"), json!(5), json!(true), json!([{"a": 1}])] {
            assert_eq!(read(body, &json!({})), json!({}));
        }
        assert_eq!(read(json!(null), &json!({})), json!(null));
    }

    proptest! {
        #[test]
        fn what_fits_is_left_as_it_is(boolean: bool, text: String, texts: Vec<String>) {
            let schema = json!({"type": "object", "properties": {
                "boolean": {"type": "boolean"}, "text": {"type": "string"},
                "texts": {"type": "array", "items": {"type": "string"}},
            }});
            let value = json!({"boolean": boolean, "text": text, "texts": texts});
            prop_assert_eq!(read(value.clone(), &schema), value);
        }
    }
}
