//! A tree made SQL again.

use super::{
    deep,
    measure::{self, Size},
    read, shapes,
    trees::TREES,
    write_tree,
};
use crate::{
    Postgres,
    extent::Extent,
    prefix::Prefix,
    room::{self, Room, Wanted},
};
use pg_query::protobuf::ParseResult;
use prost::Message;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use studio_plugin_api::{Body, Context, DriverError};

/// How deep a tree's JSON may nest; an operator takes three levels.
const MAXIMUM_DEPTH: usize = 4_000;
/// How many values a tree's JSON may have. A column in a list of them is nine.
const MAXIMUM_VALUES: usize = 100_000;
/// What a value takes, measured, in all of the forms that it is turned into.
const VALUE: usize = 1_400;
/// What a level takes of the stack.
const LEVEL: usize = 4 << 10;
/// Words that a statement of few values may have.
const FEW: usize = 500;

/// A tree.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct Tree {
    /// What parsing answers with, or a node of it.
    #[schemars(with = "Value")]
    ast: Option<Box<RawValue>>,
}

pub(super) async fn deparse_tree<F: Prefix>(
    _: Context<Postgres>,
    tree: Body<Tree>,
) -> Result<F::Text, DriverError> {
    let result = async {
        match tree.0.ast {
            Some(json) => run(json.get().to_owned()).await,
            None => Ok(String::new()),
        }
    };
    result.await.map(F::text).map_err(F::error)
}

pub(super) async fn run(json: String) -> Result<String, DriverError> {
    let Extent { depth, values } = Extent::of(&json);
    if depth > MAXIMUM_DEPTH {
        return Err(DriverError::validation("ast", "the tree is nested too deeply"));
    }
    if values > MAXIMUM_VALUES {
        let message = format!("the tree is too large: it has more than {MAXIMUM_VALUES} values");
        return Err(DriverError::validation("ast", message));
    }
    // Names are not always quoted: each of their letters may be a token of the SQL.
    let bytes = values * VALUE + depth * LEVEL + json.len() * measure::DIVIDING;
    room::run(Room::of(bytes), move |wanted| deparse(&json, values, wanted)).await
}

/// Makes SQL of a tree that has so many values.
pub(super) fn deparse(json: &str, values: usize, wanted: &Wanted) -> Result<String, DriverError> {
    let tree =
        read_json(json.as_bytes()).map_err(|error| DriverError::validation("ast", error.to_string()))?;
    let mut statements = Vec::new();
    let mut ended = false;
    for statement in into_statements(tree) {
        // A statement's length is told when something ended it.
        ended = statement.get("stmt_len").and_then(Value::as_u64).is_some_and(|length| length > 0);
        let sql = write(statement, values, wanted)?;
        statements.push(sql);
    }
    Ok(statements.join(";\n\n") + if ended { ";" } else { "" })
}

/// Reads JSON that nests as deeply as it was let through.
fn read_json(json: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    deserializer.disable_recursion_limit();
    Value::deserialize(&mut deserializer)
}

/// The statements of a tree: all of an answer's, or the one that it is.
fn into_statements(tree: Value) -> Vec<Value> {
    match tree {
        Value::Array(nodes) => nodes.into_iter().flat_map(into_statements).collect(),
        Value::Object(mut object) => {
            if let Some(statements) = object.remove("stmts") {
                return into_statements(statements);
            }
            if let Some(statement) = object.remove("RawStmt") {
                return vec![statement];
            }
            match object.contains_key("stmt") || object.is_empty() {
                true => vec![Value::Object(object)],
                false => vec![json!({ "stmt": object })],
            }
        }
        _ => Vec::new(),
    }
}

fn write(statement: Value, values: usize, wanted: &Wanted) -> Result<String, DriverError> {
    let wrong = |message: String| DriverError::query("42601", message);
    let mut tree = Map::new();
    tree.insert("stmts".to_owned(), Value::Array(vec![statement]));
    let kind = TREES.message_named("ParseResult").ok_or_else(|| wrong("there are no trees".to_owned()))?;
    let wire = read::encode(kind, &tree).map_err(wrong)?;
    shapes::check(kind, &tree).map_err(wrong)?;
    let name = kind_of(&tree).unwrap_or_default();
    wanted.check()?;
    let decoded = ParseResult::decode(wire.as_slice()).map_err(|error| wrong(error.to_string()))?;
    let said = |error| wrong(deep::message(error));
    // Only trees of its own version are taken; which one a tree says it is of, its shape shows better.
    let version = pg_query::parse("").map_err(said)?.protobuf.version;
    let sql = pg_query::deparse(&ParseResult { version, ..decoded }).map_err(said)?;
    wanted.check()?;
    // The deparser leaves out parentheses that some trees need, and quotation marks, and more.
    measure::cost_of_measuring(&sql)?;
    let size = Size::measure(&sql)?;
    size.cost_of_parsing()?;
    let other = || wrong(format!("Error deparsing {name}: the deparser has no SQL that means this tree"));
    // There is room for as many words as the tree has values. More words come of names that are not quoted and should be.
    if size.tokens() > values.max(FEW) {
        return Err(other());
    }
    let again = write_tree(&sql, wanted).ok().and_then(|json| read_json(&json).ok()).unwrap_or_default();
    match statement_of(again) == statement_of(Value::Object(tree)) {
        true => Ok(sql),
        false => Err(other()),
    }
}

/// The kind of a statement.
fn kind_of(tree: &Map<String, Value>) -> Option<String> {
    let statement = tree.get("stmts")?.pointer("/0/stmt")?.as_object()?;
    statement.keys().next().cloned()
}

/// The one statement of a tree, without what tells where in the text a thing stood.
fn statement_of(mut tree: Value) -> Option<Value> {
    fn forget_places(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(forget_places),
            Value::Object(fields) => {
                fields.retain(|name, value| !(name.ends_with("location") && value.is_number()));
                fields.values_mut().for_each(forget_places);
            }
            _ => {}
        }
    }
    let [statement] = tree.get_mut("stmts")?.as_array_mut()?.as_mut_slice() else { return None };
    let mut statement = statement.get_mut("stmt")?.take();
    forget_places(&mut statement);
    Some(statement)
}
