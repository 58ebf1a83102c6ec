//! The SQL that adds, changes and drops columns.

use super::{ColumnId, ColumnPatch, DefaultFormat, NewColumn, types::type_name};
use crate::{
    quote::{identifier, literal, qualified},
    resources::selection::text,
};
use serde_json::Value;
use studio_plugin_api::{DriverError, ErrorCode};

/// Adds one to a table (`schema`, `name`).
pub(super) fn create(table: &Value, name: &str, kind: &str, new: &NewColumn) -> Result<String, DriverError> {
    let table = qualified(text(table, "schema"), text(table, "name"));
    let column = identifier(name);
    let mut sql = format!("ALTER TABLE {table} ADD COLUMN {column} {}", type_name(kind));
    match &new.default_value {
        Some(_) if new.is_identity => {
            let message = "Columns cannot both be identity and have a default value";
            return Err(DriverError::new(ErrorCode::QueryError, message));
        }
        Some(value) => sql += &format!(" DEFAULT {}", default_value(value, new.default_value_format)),
        None if new.is_identity => {
            sql += &format!(" GENERATED {} AS IDENTITY", new.identity_generation.sql());
        }
        None => {}
    }
    match new.is_nullable {
        Some(true) => sql += " NULL",
        Some(false) => sql += " NOT NULL",
        None => {}
    }
    if new.is_primary_key {
        sql += " PRIMARY KEY";
    }
    if new.is_unique {
        sql += " UNIQUE";
    }
    if let Some(check) = &new.check {
        sql += &format!(" CHECK ({check})");
    }
    sql.push(';');
    if let Some(comment) = &new.comment {
        sql += &format!("COMMENT ON COLUMN {table}.{column} IS {};", literal(comment));
    }
    Ok(sql)
}

/// Changes one (a row of the query). The type comes before the default, which must be of it; what can be null cannot
/// be an identity, so that comes before this; the name comes last, so that all else can use the one that it has.
pub(super) fn change(current: &Value, id: ColumnId, patch: &ColumnPatch) -> String {
    let (table, column) = names(current);
    let mut statements = Vec::new();
    let mut alter = |action: String| statements.push(format!("ALTER TABLE {table} {action};"));
    if let Some(nullable) = patch.is_nullable {
        let action = if nullable { "DROP" } else { "SET" };
        alter(format!("ALTER COLUMN {column} {action} NOT NULL"));
    }
    if let Some(kind) = &patch.kind {
        let kind = type_name(kind);
        alter(format!("ALTER COLUMN {column} SET DATA TYPE {kind} USING {column}::{kind}"));
    }
    if patch.drop_default {
        alter(format!("ALTER COLUMN {column} DROP DEFAULT"));
    } else if let Some(value) = &patch.default_value {
        let value = default_value(value, patch.default_value_format);
        alter(format!("ALTER COLUMN {column} SET DEFAULT {value}"));
    }
    if let Some(action) = identity(current, patch) {
        alter(format!("ALTER COLUMN {column} {action}"));
    }
    let was_unique = current.get("is_unique") == Some(&Value::Bool(true));
    match patch.is_unique {
        Some(true) if !was_unique => alter(format!("ADD UNIQUE ({column})")),
        Some(false) if was_unique => statements.push(drop_constraints(&table, id, 'u', "")),
        _ => {}
    }
    if let Some(comment) = &patch.comment {
        statements.push(format!("COMMENT ON COLUMN {table}.{column} IS {};", literal(comment)));
    }
    if let Some(check) = &patch.check {
        statements.push(drop_constraints(&table, id, 'c', " ORDER BY oid LIMIT 1"));
        if let Some(check) = check {
            let name = format!("{}_{}_check", text(current, "table"), text(current, "name"));
            statements
                .push(format!("ALTER TABLE {table} ADD CONSTRAINT {} CHECK ({check});", identifier(&name)));
            statements.push(refuse_other_columns(id, &name));
        }
    }
    if let Some(name) = patch.name.as_deref().filter(|name| *name != text(current, "name")) {
        statements.push(format!("ALTER TABLE {table} RENAME COLUMN {column} TO {};", identifier(name)));
    }
    statements.concat()
}

/// Drops one (a row of the query).
pub(super) fn remove(current: &Value, cascade: bool) -> String {
    let (table, column) = names(current);
    format!("ALTER TABLE {table} DROP COLUMN {column} {}", if cascade { "CASCADE" } else { "RESTRICT" })
}

fn names(current: &Value) -> (String, String) {
    (qualified(text(current, "schema"), text(current, "table")), identifier(text(current, "name")))
}

/// A default in SQL. What JSON has and SQL has no constants for is JSON there too.
fn default_value(value: &Value, format: DefaultFormat) -> String {
    match (format, value) {
        (DefaultFormat::Expression, Value::String(text)) => text.clone(),
        (DefaultFormat::Expression, other) => other.to_string(),
        (DefaultFormat::Literal, Value::Null) => "NULL".to_owned(),
        (DefaultFormat::Literal, Value::Bool(boolean)) => if *boolean { "'t'" } else { "'f'" }.to_owned(),
        (DefaultFormat::Literal, Value::String(text)) => literal(text),
        (DefaultFormat::Literal, Value::Array(_) | Value::Object(_)) => {
            literal(&value.to_string()) + "::jsonb"
        }
        (DefaultFormat::Literal, plain) => literal(&plain.to_string()),
    }
}

fn identity(current: &Value, patch: &ColumnPatch) -> Option<String> {
    let was_identity = current.get("is_identity") == Some(&Value::Bool(true));
    let generation = patch.identity_generation.unwrap_or_default().sql();
    match (was_identity, patch.is_identity) {
        (_, Some(false)) => Some("DROP IDENTITY IF EXISTS".to_owned()),
        (true, None) if patch.identity_generation.is_none() => None,
        (true, _) => Some(format!("SET GENERATED {generation}")),
        (false, Some(true)) => Some(format!("ADD GENERATED {generation} AS IDENTITY")),
        (false, None) => None,
    }
}

/// Drops constraints of a kind on this column alone. They have names of their own, which only the catalog knows.
fn drop_constraints(table: &str, id: ColumnId, kind: char, which: &str) -> String {
    let ColumnId { table: relation, position } = id;
    let body = format!(
        "DECLARE found record; BEGIN \
         FOR found IN SELECT conname FROM pg_catalog.pg_constraint \
         WHERE conrelid = {relation} AND contype = '{kind}' AND conkey = '{{{position}}}'::int2[]{which} LOOP \
         EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', {}, found.conname); \
         END LOOP; END",
        literal(table)
    );
    format!("DO {};", literal(&body))
}

/// Fails, in postgres-meta's words, unless a check is on this column alone.
fn refuse_other_columns(id: ColumnId, name: &str) -> String {
    let ColumnId { table, position } = id;
    let body = format!(
        "DECLARE columns int2[]; fault text; BEGIN \
         SELECT conkey INTO columns FROM pg_catalog.pg_constraint \
         WHERE conrelid = {table} AND contype = 'c' AND conname = {}::name; \
         fault := CASE WHEN columns IS NULL THEN 'must refer to this column' \
         WHEN pg_catalog.cardinality(columns) > 1 THEN 'cannot refer to multiple columns' \
         WHEN columns[1] <> {position} THEN 'cannot refer to other columns' END; \
         IF fault IS NOT NULL THEN \
         RAISE assert_failure USING MESSAGE = 'error creating column constraint: check condition ' || fault; \
         END IF; END",
        literal(name)
    );
    format!("DO {};", literal(&body))
}

#[cfg(test)]
mod tests;
