//! Fields as postgres-meta's validator reads them, Ajv with `coerceTypes: "array"`: what can be taken for what a field
//! is to be, is. What can't is left, to be refused.

use super::{
    javascript::{known, number_of, text_of_number, truth, whole},
    schema::{FALSE_IS_NULL, Kind, fields, kind, others, reads},
};
use serde_json::Value;

/// Reads a value that has this schema.
pub(super) fn read(value: Value, schema: &Value) -> Value {
    if reads(schema) == FALSE_IS_NULL && !truth(&value) {
        return Value::Null;
    }
    match kind(schema) {
        Kind::Boolean => boolean(one(value)),
        Kind::Integer => integer(one(value)),
        Kind::Text => text(one(value)),
        Kind::List(items) => list(value, items),
        Kind::Object(schema) => object(value, schema),
        Kind::Anything => anything(value),
    }
}

/// A list of one thing is that thing.
fn one(value: Value) -> Value {
    match value {
        Value::Array(mut items) if items.len() == 1 => items.pop().unwrap_or_default(),
        other => other,
    }
}

/// Null is false.
fn boolean(value: Value) -> Value {
    match &value {
        Value::Null => Value::Bool(false),
        Value::String(text) if text == "false" => Value::Bool(false),
        Value::String(text) if text == "true" => Value::Bool(true),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Value::Bool(false),
            Some(1.0) => Value::Bool(true),
            _ => value,
        },
        _ => value,
    }
}

/// Null is zero.
fn integer(value: Value) -> Value {
    match &value {
        Value::Null => 0.into(),
        Value::Bool(boolean) => i64::from(*boolean).into(),
        Value::Number(number) => known(number).into(),
        Value::String(text) if !text.is_empty() => number_of(text).and_then(whole).map_or(value, Value::from),
        _ => value,
    }
}

/// Null is the empty text.
fn text(value: Value) -> Value {
    match value {
        Value::Null => String::new().into(),
        Value::Bool(boolean) => boolean.to_string().into(),
        Value::Number(number) => text_of_number(&number).into(),
        other => other,
    }
}

/// What is no list, and no object either, is a list of it.
fn list(value: Value, items: &Value) -> Value {
    let given = match value {
        Value::Array(given) => given,
        Value::Object(_) => return value,
        scalar => vec![scalar],
    };
    given.into_iter().map(|item| read(item, items)).collect()
}

fn object(value: Value, schema: &Value) -> Value {
    let Value::Object(mut object) = value else { return value };
    for (name, field) in object.iter_mut() {
        let known = fields(schema).find(|(known, _)| *known == name).map(|(_, schema)| schema);
        if let Some(schema) = known.or_else(|| others(schema)) {
            *field = read(field.take(), schema);
        }
    }
    object.into()
}

fn anything(value: Value) -> Value {
    match value {
        Value::Number(number) => known(&number).into(),
        Value::Array(items) => items.into_iter().map(anything).collect(),
        Value::Object(object) => object
            .into_iter()
            .map(|(name, field)| (name, anything(field)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read_all(schema: Value, values: &[(Value, Value)]) {
        for (value, wanted) in values {
            assert_eq!(read(value.clone(), &schema), *wanted, "{value}");
        }
    }

    #[test]
    fn booleans_may_be_texts_zero_one_and_null() {
        let (yes, no) = (json!(true), json!(false));
        let fine = [
            (json!("true"), yes.clone()),
            (json!(1), yes.clone()),
            (json!(1.0), yes.clone()),
            (json!([true]), yes),
            (json!("false"), no.clone()),
            (json!(0), no.clone()),
            (json!(null), no.clone()),
            (json!([null]), no),
        ];
        read_all(json!({"type": ["boolean", "null"]}), &fine);
        for value in
            [json!(""), json!("1"), json!("yes"), json!(5), json!([]), json!([true, true]), json!({})]
        {
            assert!(!read(value, &json!({"type": "boolean"})).is_boolean());
        }
    }

    #[test]
    fn integers_may_be_texts_booleans_and_null() {
        let fine = [
            (json!("5"), json!(5)),
            (json!(" 5.0 "), json!(5)),
            (json!(5.0), json!(5)),
            (json!("1e1"), json!(10)),
            (json!(" "), json!(0)),
            (json!(null), json!(0)),
            (json!(true), json!(1)),
            (json!(["5"]), json!(5)),
        ];
        read_all(json!({"type": "integer"}), &fine);
        let left = [json!(""), json!("x"), json!("5.5"), json!(5.5), json!([]), json!({})];
        read_all(json!({"type": "integer"}), &left.map(|value| (value.clone(), value)));
    }

    #[test]
    fn texts_may_be_anything_plain() {
        let fine = [
            (json!(null), json!("")),
            (json!(5), json!("5")),
            (json!(1.0), json!("1")),
            (json!(true), json!("true")),
            (json!(["x"]), json!("x")),
            (json!([null]), json!("")),
            (json!({}), json!({})),
            (json!([]), json!([])),
        ];
        read_all(json!({"anyOf": [{"oneOf": [{"type": "string", "const": "x"}]}, {"type": "null"}]}), &fine);
    }

    #[test]
    fn one_thing_is_a_list_of_it() {
        let texts = json!({"type": ["array", "null"], "items": {"type": "string"}});
        let fine = [
            (json!("a"), json!(["a"])),
            (json!(5), json!(["5"])),
            (json!(null), json!([""])),
            (json!([]), json!([])),
            (json!(["a", 5, null]), json!(["a", "5", ""])),
            (json!({}), json!({})),
        ];
        read_all(texts, &fine);
    }

    #[test]
    fn fields_are_read_at_any_depth_and_unknown_ones_left_alone() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "boolean"},
            "b": {"type": "object", "additionalProperties": {"type": "string"}},
            "c": {"type": ["string", "null"], "x-reads": FALSE_IS_NULL},
            "d": true,
        }});
        assert_eq!(
            read(json!({"a": 1, "b": {"x": 5}, "c": "", "d": [1.0, {"e": 2.0}], "f": 1.0}), &schema),
            json!({"a": true, "b": {"x": "5"}, "c": null, "d": [1, {"e": 2}], "f": 1.0})
        );
    }

    proptest! {
        #[test]
        fn what_fits_is_left_as_it_is(boolean: bool, integer: i64, text: String, texts: Vec<String>) {
            let schema = json!({"type": "object", "properties": {
                "boolean": {"type": "boolean"}, "integer": {"type": "integer"}, "text": {"type": "string"},
                "texts": {"type": "array", "items": {"type": "string"}},
            }});
            let value = json!({"boolean": boolean, "integer": integer, "text": text, "texts": texts});
            prop_assert_eq!(read(value.clone(), &schema), value);
        }
    }
}
