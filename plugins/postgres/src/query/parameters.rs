//! Values for `$1`, `$2` … from JSON to the texts that PostgreSQL's input functions read, as node-postgres has them.

use crate::{
    extent::Extent,
    lenient::javascript::{text_of_number, truth},
};
use serde_json::{Value, value::RawValue};
use studio_plugin_api::DriverError;

/// How many values parameters are made of at the most, those in lists among them. The server takes 65,535 parameters.
const MOST_VALUES: usize = 500_000;
/// The longest text that may still mean nothing, in bytes.
const LONGEST_FALSE: usize = 1 << 10;

/// Reads `parameters`.
///
/// # Errors
/// `VALIDATION_ERROR` when it is no array.
pub(super) fn read(parameters: Option<&RawValue>) -> Result<Vec<Option<String>>, DriverError> {
    read_as(parameters, |number| number.get().to_owned())
}

/// The same as postgres-meta has it, where what is false is none, and `1.0` is `1`.
///
/// # Errors
/// `VALIDATION_ERROR` when it is something else than an array.
pub(super) fn read_leniently(parameters: Option<&RawValue>) -> Result<Vec<Option<String>>, DriverError> {
    // What has more is no empty list, nor what else is false.
    let is_given = |given: &&RawValue| {
        given.get().len() > LONGEST_FALSE
            || serde_json::from_str(given.get()).is_ok_and(|value| truth(&value))
    };
    let given = parameters.filter(is_given);
    read_as(given, |number| {
        serde_json::from_str(number.get())
            .map_or_else(|_| number.get().to_owned(), |number| text_of_number(&number))
    })
}

fn read_as(
    parameters: Option<&RawValue>,
    number: fn(&RawValue) -> String,
) -> Result<Vec<Option<String>>, DriverError> {
    let Some(parameters) = parameters else { return Ok(Vec::new()) };
    if Extent::of(parameters.get()).values > MOST_VALUES {
        let message = format!("the parameters are made of more than {MOST_VALUES} values");
        return Err(DriverError::validation("parameters", message));
    }
    let values: Option<Vec<&RawValue>> = serde_json::from_str(parameters.get())
        .map_err(|_| DriverError::validation("parameters", "Query values must be an array"))?;
    Ok(values.unwrap_or_default().into_iter().map(|value| text_of(value, number)).collect())
}

/// Objects are JSON; arrays are array constants.
fn text_of(value: &RawValue, number: fn(&RawValue) -> String) -> Option<String> {
    match serde_json::from_str(value.get()) {
        Ok(Value::Null) => None,
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Array(_)) => {
            let mut text = String::new();
            write_array(value, number, &mut text);
            Some(text)
        }
        Ok(Value::Number(_)) => Some(number(value)),
        _ => Some(value.get().to_owned()),
    }
}

fn write_array(value: &RawValue, number: fn(&RawValue) -> String, out: &mut String) {
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
    out.push('{');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item.get().as_bytes().first() {
            Some(b'[') => write_array(item, number, out),
            Some(b'n') => out.push_str("NULL"),
            _ => {
                let text = text_of(item, number).unwrap_or_default();
                out.push('"');
                out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
                out.push('"');
            }
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(json: &str) -> Vec<Option<String>> {
        read(Some(&serde_json::from_str::<Box<RawValue>>(json).unwrap())).unwrap()
    }

    #[test]
    fn values_become_the_texts_that_postgresql_reads() {
        let json =
            r#"["x", 12345678901234567890, 1.50, true, null, {"a": 1}, [1, null, "a\"b", [true]], []]"#;
        let expected = [
            Some("x"),
            Some("12345678901234567890"),
            Some("1.50"),
            Some("true"),
            None,
            Some(r#"{"a": 1}"#),
            Some(r#"{"1",NULL,"a\"b",{"true"}}"#),
            Some("{}"),
        ];
        assert_eq!(texts(json), expected.map(|text| text.map(str::to_owned)));
        assert_eq!(texts("null"), []);
    }

    #[test]
    fn numbers_are_written_as_javascript_does_and_falsy_is_empty() {
        let raw = |json: &str| serde_json::from_str::<Box<RawValue>>(json).unwrap();
        let texts = read_leniently(Some(&raw("[1.0, 1e3, [2.50], 9007199254740993, true]"))).unwrap();
        let wanted = ["1", "1000", r#"{"2.5"}"#, "9007199254740993", "true"];
        assert_eq!(texts, wanted.map(|text| Some(text.to_owned())));
        for json in ["null", "false", "0", "\"\"", "[]"] {
            assert_eq!(read_leniently(Some(&raw(json))).unwrap(), []);
        }
        assert!(read_leniently(Some(&raw("{}"))).is_err() && read_leniently(Some(&raw("\"x\""))).is_err());
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for json in ["\"x\"", "{}", "5"] {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(read(Some(&raw)).unwrap_err().details["field"], "parameters");
        }
    }
}
