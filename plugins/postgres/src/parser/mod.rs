//! `/query/parse`, `/query/deparse` and `/query/format`: SQL text as PostgreSQL's own parser understands it. They ask no
//! server.

pub(crate) mod deep;
mod deparse;
mod format;
pub(crate) mod fuzzing;
mod measure;
pub(crate) mod node;
mod read;
mod shapes;
mod trees;
mod write;

use crate::{Postgres, extent, prefix::Prefix, room::Wanted};
use pg_query::protobuf::ParseResult;
use prost::Message;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use studio_plugin_api::{Body, Context, DriverError, Operations, RawJson};

/// The version of PostgreSQL that trees say they are of: that of postgres-meta's parser. They are the same in all of 17.
const VERSION: i32 = 170_004;

/// The rows of the operations, for one prefix.
pub(crate) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .post("/query/format", format_query::<F>)
        .read()
        .summary("Lay out SQL")
        .post("/query/parse", parse_query::<F>)
        .read()
        .summary("Parse SQL into a tree")
        .post("/query/deparse", deparse::deparse_tree::<F>)
        .read()
        .summary("Make a tree SQL again")
}

/// SQL to look at.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct Sql {
    /// The statements.
    #[serde(default, deserialize_with = "extent::bounded")]
    #[schemars(with = "String")]
    query: Value,
}

impl Sql {
    /// The text, or what postgres-meta says when there is none.
    fn text(self) -> Result<String, DriverError> {
        match self.query {
            Value::String(text) if !text.is_empty() => Ok(text),
            Value::Null | Value::String(_) | Value::Bool(false) => {
                Err(DriverError::validation("query", "query not found"))
            }
            other => {
                let kind = match other {
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "number",
                    _ => "object",
                };
                Err(DriverError::validation("query", format!("Query must be a string, got {kind}")))
            }
        }
    }
}

async fn format_query<F: Prefix>(_: Context<Postgres>, sql: Body<Sql>) -> Result<F::Text, DriverError> {
    let result = async {
        let text = sql.0.text()?;
        deep::run_slowly(text, format::format).await
    };
    result.await.map(F::text).map_err(F::error)
}

async fn parse_query<F: Prefix>(_: Context<Postgres>, sql: Body<Sql>) -> Result<RawJson, DriverError> {
    let result = async {
        let text = sql.0.text()?;
        deep::run(text, write_tree).await
    };
    result.await.map(RawJson::new).map_err(F::error)
}

/// Parses statements, in [`deep::run`]. The tree is its message on the wire, a hundredth of what it takes otherwise.
///
/// # Errors
/// `VALIDATION_ERROR` with the parser's message.
pub(crate) fn parse(sql: &str) -> Result<Vec<u8>, DriverError> {
    let tree = parse_tree(sql)?;
    Ok(tree.encode_to_vec())
}

fn parse_tree(sql: &str) -> Result<ParseResult, DriverError> {
    match pg_query::parse(sql) {
        Ok(parsed) => Ok(ParseResult { version: VERSION, ..parsed.protobuf }),
        Err(error) => Err(DriverError::validation("query", deep::message(error))),
    }
}

/// The tree of statements, in libpg_query's JSON.
fn write_tree(sql: &str, wanted: &Wanted) -> Result<Vec<u8>, DriverError> {
    if sql.trim().is_empty() {
        return Err(DriverError::validation("query", "Query cannot be empty"));
    }
    let tree = parse_tree(sql)?;
    // The wire leaves an empty list out.
    if tree.stmts.is_empty() {
        return Ok(format!(r#"{{"version":{VERSION},"stmts":[]}}"#).into_bytes());
    }
    let wire = tree.encode_to_vec();
    drop(tree);
    wanted.check()?;
    write::write_json("ParseResult", &wire)
}

#[cfg(test)]
mod tests;
