//! What a text is, as PostgreSQL's own parser reads it.

use crate::{
    parser::{
        self,
        node::{Node, Part, Unknown},
    },
    room::Wanted,
};
use std::collections::BTreeSet;
use studio_plugin_api::{DriverError, ErrorCode};

/// A name that may be a function's, and be called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Called {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// What a text mentions behind which a function may be.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    /// What it calls.
    pub(super) called: Vec<Called>,
    /// Operators, by their names alone.
    pub(super) operators: Vec<String>,
    /// Types, and what may be one, by their names alone.
    pub(super) types: Vec<String>,
}

impl Mentioned {
    /// Whether nothing in it has to be asked for. What looks like PostgreSQL's own is asked for beside the rest, and is
    /// no reason alone: every query has a `=` or a `::text`.
    pub(super) fn is_harmless(&self) -> bool {
        let is_own = |own: &[&str], name: &String| own.contains(&name.as_str());
        self.called.is_empty()
            && self.operators.iter().all(|name| is_own(OPERATORS, name))
            && self.types.iter().all(|name| is_own(TYPES, name))
    }
}

/// Operators that PostgreSQL has for most of its types.
const OPERATORS: &[&str] = &[
    "=",
    "<>",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "||",
    "~",
    "~*",
    "!~",
    "!~*",
    "~~",
    "!~~",
    "~~*",
    "!~~*",
    "BETWEEN",
    "NOT BETWEEN",
    "BETWEEN SYMMETRIC",
    "NOT BETWEEN SYMMETRIC",
    "->",
    "->>",
    "#>",
    "#>>",
    "@>",
    "<@",
    "&&",
    "@@",
    "?",
];

/// Types of PostgreSQL's own.
const TYPES: &[&str] = &[
    "bool",
    "bpchar",
    "bytea",
    "char",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "name",
    "numeric",
    "oid",
    "regclass",
    "regnamespace",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
    "varchar",
    "xml",
];

/// Refuses everything but one query, and finds the names that it calls. A text without any statement is harmless.
///
/// # Errors
/// `FORBIDDEN`; `QUERY_ERROR` for what does not parse; `VALIDATION_ERROR` for what is nested too deeply.
pub(super) fn inspect(sql: &str, wanted: &Wanted) -> Result<Mentioned, DriverError> {
    let wire = parser::parse(sql).map_err(|error| match error.code {
        ErrorCode::ValidationError => DriverError::query("42601", error.message),
        _ => error,
    })?;
    wanted.check()?;
    let statements: Vec<Node<'_>> =
        Node::whole(&wire).and_then(|tree| tree.nodes("stmts").collect()).map_err(unknown)?;
    match statements.as_slice() {
        [] => Ok(Mentioned::default()),
        [statement] => {
            check_kind(*statement)?;
            find_mentioned(*statement)
        }
        several => Err(DriverError::forbidden(format!(
            "only one statement can be run by those who may only read; here are {}",
            several.len()
        ))),
    }
}

/// Only queries, explanations of queries, and settings to be shown.
fn check_kind(statement: Node<'_>) -> Result<(), DriverError> {
    let statement = only(statement, "stmt")?;
    match statement.kind() {
        "SelectStmt" | "VariableShowStmt" => Ok(()),
        "ExplainStmt" => match only(statement, "query")?.kind() {
            "SelectStmt" => Ok(()),
            _ => Err(refuse("EXPLAIN of anything but a query")),
        },
        _ => Err(refuse("anything but a query")),
    }
}

/// The node of a field that has one.
fn only<'a>(node: Node<'a>, field: &str) -> Result<Node<'a>, DriverError> {
    node.nodes(field).next().unwrap_or(Err(Unknown)).map_err(unknown)
}

fn refuse(what: &str) -> DriverError {
    DriverError::forbidden(format!("{what} cannot be run by those who may only read"))
}

fn unknown(_: Unknown) -> DriverError {
    DriverError::new(ErrorCode::DriverError, "the parser gave a tree that is not known")
}

/// Goes through the whole tree, whatever it is made of, so that nothing the grammar has is forgotten.
fn find_mentioned(statement: Node<'_>) -> Result<Mentioned, DriverError> {
    let (mut called, mut operators, mut types) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut left: Vec<Node<'_>> = statement.nodes("stmt").collect::<Result<_, _>>().map_err(unknown)?;
    while let Some(node) = left.pop() {
        check_node(node.kind())?;
        called.extend(called_by(node).map_err(unknown)?);
        let named = match node.kind() {
            "A_Expr" => Some((&mut operators, "name")),
            "SubLink" => Some((&mut operators, "operName")),
            "SortBy" => Some((&mut operators, "useOp")),
            "TypeName" => Some((&mut types, "names")),
            _ => None,
        };
        if let Some((list, field)) = named {
            list.extend(node.texts(field).map_err(unknown)?.pop());
        }
        for part in node.parts() {
            if let (_, Part::Node(inner)) = part.map_err(unknown)? {
                left.push(inner);
            }
        }
    }
    // A call may be a cast by the type's name.
    types.extend(called.iter().map(|called| called.name.clone()));
    Ok(Mentioned {
        called: called.into_iter().collect(),
        operators: operators.into_iter().collect(),
        types: types.into_iter().collect(),
    })
}

/// Refuses what is no query inside one: statements in WITH, SELECT INTO, FOR UPDATE.
fn check_node(kind: &str) -> Result<(), DriverError> {
    match kind {
        "SelectStmt" | "ExplainStmt" | "VariableShowStmt" => Ok(()),
        _ if kind.ends_with("Stmt") => Err(refuse("a statement that changes something, inside a query,")),
        "IntoClause" => Err(refuse("SELECT INTO")),
        "LockingClause" => Err(refuse("a query that locks rows")),
        _ => Ok(()),
    }
}

/// The names that a node may call: a function, or what is written as if it were a column: `("a").upper`, `t.upper`.
fn called_by(node: Node<'_>) -> Result<Vec<Called>, Unknown> {
    Ok(match node.kind() {
        "FuncCall" => qualified(&node.texts("funcname")?).into_iter().collect(),
        "A_Indirection" => {
            node.texts("indirection")?.into_iter().map(|name| Called { schema: None, name }).collect()
        }
        // A column of a table is never alone: what is before it is a row, or what a function in FROM gives.
        "ColumnRef" => match node.texts("fields")?.as_slice() {
            [_, .., last] => vec![Called { schema: None, name: last.clone() }],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    })
}

fn qualified(parts: &[String]) -> Option<Called> {
    let (name, before) = parts.split_last()?;
    Some(Called { schema: before.last().cloned(), name: name.clone() })
}
