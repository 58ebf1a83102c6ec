//! Values for `$1`, `$2` … from JSON to the texts that PostgreSQL's input functions read, as node-postgres has them.

use serde_json::{Value, value::RawValue};
use studio_plugin_api::DriverError;

/// Reads `parameters`.
///
/// # Errors
/// `VALIDATION_ERROR` when it is no array.
pub(super) fn read(parameters: Option<&RawValue>) -> Result<Vec<Option<String>>, DriverError> {
    let Some(parameters) = parameters else { return Ok(Vec::new()) };
    let values: Option<Vec<&RawValue>> = serde_json::from_str(parameters.get())
        .map_err(|_| DriverError::validation("parameters", "Query values must be an array"))?;
    Ok(values.unwrap_or_default().into_iter().map(text_of).collect())
}

/// Numbers stay as they are written, whatever their size; objects are JSON; arrays are array constants.
fn text_of(value: &RawValue) -> Option<String> {
    match serde_json::from_str(value.get()) {
        Ok(Value::Null) => None,
        Ok(Value::String(text)) => Some(text),
        Ok(Value::Array(_)) => {
            let mut text = String::new();
            write_array(value, &mut text);
            Some(text)
        }
        _ => Some(value.get().to_owned()),
    }
}

fn write_array(value: &RawValue, out: &mut String) {
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
    out.push('{');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item.get().as_bytes().first() {
            Some(b'[') => write_array(item, out),
            Some(b'n') => out.push_str("NULL"),
            _ => {
                let text = text_of(item).unwrap_or_default();
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
    fn what_is_no_array_is_refused() {
        for json in ["\"x\"", "{}", "5"] {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(read(Some(&raw)).unwrap_err().details["field"], "parameters");
        }
    }
}
