//! A few tables with things that people look for in their databases, written through the gateway.

use crate::gateway::Gateway;
use anyhow::{Result, bail};
use serde_json::{Value, json};

/// Statements that make it.
const SAMPLE: &str = include_str!("postgres.sql");

/// The tables of the sample's schema.
pub const SHOWN: &str = "/api/platform/postgres/default/tables?included_schemas=sample&include_columns=false";

/// Gives the user that logs in, and the database.
pub fn login() -> Value {
    json!({"username": "postgres", "database_name": "postgres"})
}

/// Writes the sample data, unless they are there already.
pub fn load(gateway: &Gateway) -> Result<()> {
    match gateway.ask("GET", SHOWN, None)? {
        (200, Value::Array(tables)) if tables.is_empty() => {}
        (200, _) => return Ok(()),
        (status, answer) => bail!("GET {SHOWN}: {status} {answer}"),
    }
    let path = "/api/platform/postgres/default/query";
    match gateway.ask("POST", path, Some(&json!({"query": SAMPLE})))? {
        (200, _) => Ok(()),
        (status, answer) => bail!("POST {path}: {status} {answer}"),
    }
}
