//! Fields of bodies as postgres-meta reads them.

use crate::extent;
use serde::{
    Deserializer,
    de::{DeserializeOwned, Error, Unexpected},
};
use serde_json::Value;
use studio_plugin_api::DriverError;

/// A text, which numbers and booleans are too; null is the empty one.
pub(super) fn read_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match extent::bounded::<_, Value>(deserializer)? {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(Some(String::new())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(boolean) => Ok(Some(boolean.to_string())),
        Value::Array(_) => Err(D::Error::invalid_type(Unexpected::Seq, &"a string")),
        Value::Object(_) => Err(D::Error::invalid_type(Unexpected::Map, &"a string")),
    }
}

/// A whole number, or the text of one.
pub(super) fn read_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let value: Value = extent::bounded(deserializer)?;
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    number.map(Some).ok_or_else(|| D::Error::custom(format!("{value} is no whole number")))
}

/// Anything, null among it, which stands for something else than absence.
pub(super) fn read_given<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    extent::bounded(deserializer).map(Some)
}

/// A field that must be there.
///
/// # Errors
/// `VALIDATION_ERROR` in postgres-meta's words when it is not.
pub(super) fn property<'a, T>(field: &str, value: Option<&'a T>) -> Result<&'a T, DriverError> {
    value.ok_or_else(|| DriverError::validation(field, format!("body must have required property '{field}'")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_may_be_anything_plain() {
        let texts = [json!("a"), json!(1), json!(true), json!(null)].map(|value| read_text(value).unwrap());
        assert_eq!(texts.map(Option::unwrap), ["a", "1", "true", ""]);
        assert!(read_text(json!([])).is_err() && read_text(json!({})).is_err());
    }

    #[test]
    fn whole_numbers_may_be_written_as_texts() {
        assert_eq!(read_integer(json!(7)).unwrap(), Some(7));
        assert_eq!(read_integer(json!("7")).unwrap(), Some(7));
        assert!(read_integer(json!(1.5)).is_err() && read_integer(json!("x")).is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = property::<String>("name", None).unwrap_err();
        assert_eq!(error.message, "body must have required property 'name'");
        assert_eq!(error.details["field"], "name");
    }
}
