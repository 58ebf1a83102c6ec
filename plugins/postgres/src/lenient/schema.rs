//! What a JSON Schema says of a value that matters for reading it.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};
use std::{
    any::TypeId,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

/// What else a field's schema says of how postgres-meta reads it: `#[schemars(extend("x-reads" = SQL))]`.
const READS: &str = "x-reads";
/// What is false to JavaScript is not given.
pub(crate) const FALSE_IS_ABSENT: &str = "false is absent";
/// What is no text is not given.
pub(crate) const TEXT_OR_ABSENT: &str = "text or absent";
/// A piece of SQL, in which nothing is `null`.
pub(crate) const SQL: &str = "sql";
/// A boolean as SQL has it, and null for what is not given.
pub(crate) const SQL_BOOLEAN: &str = "sql boolean";
/// What is false to JavaScript is null.
pub(crate) const FALSE_IS_NULL: &str = "false is null";

/// What a value is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind<'a> {
    Boolean,
    Integer,
    Text,
    /// Each of such items.
    List(&'a Value),
    Object(&'a Value),
    Anything,
}

/// The schema of a type, in one piece. It is made once.
pub(super) fn of<T: JsonSchema + 'static>() -> Arc<Value> {
    static MADE: RwLock<BTreeMap<TypeId, Arc<Value>>> = RwLock::new(BTreeMap::new());
    let known = MADE.read().unwrap_or_else(PoisonError::into_inner).get(&TypeId::of::<T>()).cloned();
    known.unwrap_or_else(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let made: Arc<Value> = Arc::new(settings.into_generator().into_root_schema_for::<T>().into());
        MADE.write().unwrap_or_else(PoisonError::into_inner).insert(TypeId::of::<T>(), made.clone());
        made
    })
}

/// What a value is to be when it is not null.
pub(super) fn kind(schema: &Value) -> Kind<'_> {
    let alternatives = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(name)?.as_array());
    if let Some(alternative) = alternatives.and_then(|all| all.iter().find(|one| !is_null(one))) {
        return kind(alternative);
    }
    match types(schema).find(|name| *name != "null") {
        Some("boolean") => Kind::Boolean,
        Some("integer") => Kind::Integer,
        Some("string") => Kind::Text,
        Some("array") => Kind::List(schema.get("items").unwrap_or(&Value::Null)),
        Some("object") => Kind::Object(schema),
        _ => Kind::Anything,
    }
}

/// Whether a value may be null.
pub(super) fn is_nullable(schema: &Value) -> bool {
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|name| schema.get(name)?.as_array()).flatten();
    types(schema).any(|name| name == "null") || alternatives.into_iter().any(is_null)
}

/// What is said by [`READS`], or nothing.
pub(super) fn reads(schema: &Value) -> &str {
    schema.get(READS).and_then(Value::as_str).unwrap_or_default()
}

/// The fields that an object may have.
pub(super) fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// What all other fields of an object are to be, where they may have any name.
pub(super) fn others(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|others| **others != Value::Bool(false))
}

fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let names =
        schema.get("type").map(|names| names.as_array().map_or(std::slice::from_ref(names), Vec::as_slice));
    names.unwrap_or_default().iter().filter_map(Value::as_str)
}

fn is_null(schema: &Value) -> bool {
    types(schema).eq(["null"])
}
