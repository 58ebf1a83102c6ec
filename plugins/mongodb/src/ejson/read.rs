//! Extended JSON to BSON.
//!
//! `bson` has a conversion from `serde_json::Value`, which would be less code. It is not enough: by then the second of
//! two equal keys has replaced the first, decimals such as `""` or `.+1` and doubles such as `1e400` become numbers, errors
//! do not say where in the value they are, and text with the wrong type inside is taken for a document.

use super::types;
use bson::{Bson, Document};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt;
use studio_plugin_api::DriverError;

/// Levels of documents and arrays that a value may have, MongoDB's documented limit. A type's object is no level.
const DEEPEST: usize = 100;

/// Any Extended JSON value, as a field of a request body. A field that is `Option<Value>` takes JSON's `null` for `None`.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub(crate) struct Value(#[schemars(with = "serde_json::Value")] pub(crate) Bson);

/// An Extended JSON object that is a document, as a field of a request body.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
pub(crate) struct Object(
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")] pub(crate) Document,
);

/// Reads a query parameter's text as any value.
///
/// # Errors
/// `VALIDATION_ERROR` whose field is `field` and the place inside the value, and which says what would be right.
pub(crate) fn parse_value(text: &str, field: &str) -> Result<Bson, DriverError> {
    parse::<Value>(text, field).map(|value| value.0)
}

/// Reads a query parameter's text as a document.
///
/// # Errors
/// As [`parse_value`].
pub(crate) fn parse_document(text: &str, field: &str) -> Result<Document, DriverError> {
    parse::<Object>(text, field).map(|object| object.0)
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str, field: &str) -> Result<T, DriverError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let not_json = |error: &serde_json::Error| {
        DriverError::validation(field, format!("`{field}` is not Extended JSON: {error}"))
    };
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if !error.inner().is_data() {
            return not_json(error.inner());
        }
        let place = match error.path().to_string() {
            path if path == "." => field.to_owned(),
            path if path.starts_with('[') => format!("{field}{path}"),
            path => format!("{field}.{path}"),
        };
        let message = error.inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        DriverError::validation(&place, format!("`{place}`: {message}"))
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Node(value) = Node::deserialize(deserializer)?;
        if levels(&value) > DEEPEST {
            return Err(Error::custom(format!("must not be nested over {DEEPEST} levels")));
        }
        Ok(Self(value))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)?.0 {
            Bson::Document(document) => Ok(Self(document)),
            other => Err(Error::custom(format!("must be an object, not {:?}", other.element_type()))),
        }
    }
}

fn levels(value: &Bson) -> usize {
    match value {
        Bson::Document(document) => 1 + document.values().map(levels).max().unwrap_or_default(),
        Bson::Array(items) => 1 + items.iter().map(levels).max().unwrap_or_default(),
        Bson::JavaScriptCodeWithScope(code) => 1 + code.scope.values().map(levels).max().unwrap_or_default(),
        _ => 0,
    }
}

/// A value of any depth: `serde_json` stops at 128 levels, so that the stack is safe.
struct Node(Bson);

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(Node)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Bson;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an Extended JSON value")
    }

    fn visit_unit<E>(self) -> Result<Bson, E> {
        Ok(Bson::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Bson, E> {
        Ok(Bson::Boolean(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Bson, E> {
        Ok(i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Bson, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => Ok(Bson::Double(number as f64)),
        }
    }

    fn visit_f64<E>(self, number: f64) -> Result<Bson, E> {
        Ok(Bson::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Bson, E> {
        Ok(Bson::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Bson, E> {
        Ok(Bson::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bson, A::Error> {
        let mut array = Vec::new();
        while let Some(Node(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Bson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Bson, A::Error> {
        let mut document = Document::new();
        let mut is_document = true;
        while let Some(name) = fields.next_key::<String>()? {
            if name.contains('\0') {
                return Err(Error::custom("the name of a field must not contain a NUL character"));
            }
            if document.contains_key(&name) {
                return Err(Error::custom(format!("duplicate field `{name}`")));
            }
            is_document &= !types::is_key(&name);
            let Node(value) = fields.next_value()?;
            document.insert(name, value);
        }
        if is_document { Ok(Bson::Document(document)) } else { types::read(document).map_err(Error::custom) }
    }
}
