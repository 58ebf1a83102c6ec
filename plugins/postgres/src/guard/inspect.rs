//! What a text is, as PostgreSQL's own parser reads it.

use crate::parser;
use pg_query::protobuf::{RawStmt, node::Node};
use serde_json::Value;
use std::collections::BTreeSet;
use studio_plugin_api::{DriverError, ErrorCode};

/// A name that may be a function's, and be called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// Refuses everything but one query, and finds the names that it calls. A text without any statement is harmless.
///
/// # Errors
/// `FORBIDDEN`; `QUERY_ERROR` for what does not parse; `VALIDATION_ERROR` for what is nested too deeply.
pub(super) fn inspect(sql: &str) -> Result<Vec<Called>, DriverError> {
    let statements = parser::parse(sql).map_err(|error| DriverError::query("42601", error.message))?.stmts;
    match statements.as_slice() {
        [] => Ok(Vec::new()),
        [statement] => {
            check_kind(statement)?;
            find_called(statement)
        }
        several => Err(DriverError::forbidden(format!(
            "only one statement can be run by those who may only read; here are {}",
            several.len()
        ))),
    }
}

/// Only queries, explanations of queries, and settings to be shown.
fn check_kind(statement: &RawStmt) -> Result<(), DriverError> {
    let kind =
        |node: &Option<Box<pg_query::protobuf::Node>>| node.as_ref().and_then(|node| node.node.clone());
    match kind(&statement.stmt) {
        Some(Node::SelectStmt(_) | Node::VariableShowStmt(_)) => Ok(()),
        Some(Node::ExplainStmt(explain)) => match kind(&explain.query) {
            Some(Node::SelectStmt(_)) => Ok(()),
            _ => Err(refuse("EXPLAIN of anything but a query")),
        },
        _ => Err(refuse("anything but a query")),
    }
}

fn refuse(what: &str) -> DriverError {
    DriverError::forbidden(format!("{what} cannot be run by those who may only read"))
}

/// Goes through the whole tree, whatever it is made of, so that nothing the grammar has is forgotten.
fn find_called(statement: &RawStmt) -> Result<Vec<Called>, DriverError> {
    let tree = serde_json::to_value(statement).map_err(|error| {
        DriverError::new(ErrorCode::DriverError, format!("a tree has no JSON form: {error}"))
    })?;
    let mut called = BTreeSet::new();
    let mut left = vec![&tree];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => {
                for (name, value) in fields {
                    check_node(name, value)?;
                    called.extend(called_by(name, value));
                    left.push(value);
                }
            }
            _ => {}
        }
    }
    Ok(called.into_iter().collect())
}

/// Refuses what is no query inside one: statements in WITH, SELECT INTO, FOR UPDATE.
fn check_node(name: &str, value: &Value) -> Result<(), DriverError> {
    match name {
        "SelectStmt" | "ExplainStmt" | "VariableShowStmt" => Ok(()),
        // Kinds of nodes start with a capital, fields do not.
        _ if name.ends_with("Stmt") => Err(refuse("a statement that changes something, inside a query,")),
        "into_clause" if !value.is_null() => Err(refuse("SELECT INTO")),
        "locking_clause" if value.as_array().is_none_or(|clauses| !clauses.is_empty()) => {
            Err(refuse("a query that locks rows"))
        }
        _ => Ok(()),
    }
}

/// The names that a node may call: a function, or what is written as if it were a column: `("a").upper`, `t.upper`.
fn called_by(name: &str, value: &Value) -> Vec<Called> {
    match name {
        "FuncCall" => qualified(&texts(value.get("funcname"))).into_iter().collect(),
        "AIndirection" => {
            texts(value.get("indirection")).into_iter().map(|name| Called { schema: None, name }).collect()
        }
        // A column of a table is never alone: what is before it is a row, or what a function in FROM gives.
        "ColumnRef" => match texts(value.get("fields")).as_slice() {
            [_, .., last] => vec![Called { schema: None, name: last.clone() }],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn qualified(parts: &[String]) -> Option<Called> {
    let (name, before) = parts.split_last()?;
    Some(Called { schema: before.last().cloned(), name: name.clone() })
}

/// The texts of a list of nodes.
fn texts(list: Option<&Value>) -> Vec<String> {
    let text = |item: &Value| item.pointer("/node/String/sval")?.as_str().map(str::to_owned);
    list.and_then(Value::as_array).map(|items| items.iter().filter_map(text).collect()).unwrap_or_default()
}
