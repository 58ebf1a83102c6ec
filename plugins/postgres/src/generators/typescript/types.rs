//! PostgreSQL's types in TypeScript.

use super::{
    super::rows::TypeName,
    Column, Database, Kind, Relation,
    layout::{Layout, text},
};

/// What a type takes of the text at the least, in bytes, and the name before it.
const LEAST: usize = 16;

/// One of some texts.
pub(super) fn literals(labels: &[String]) -> Layout {
    match labels {
        [] => Layout::word("never"),
        labels => Layout::Union(labels.iter().map(|label| Layout::Word(text(label))).collect()),
    }
}

/// A type that may be null as well. What is unknown may be anything.
pub(super) fn or_null(type_of: Layout) -> Layout {
    match type_of {
        Layout::Word(word) if word == "unknown" => Layout::Word(word),
        Layout::Union(mut members) => {
            members.push(Layout::word("null"));
            Layout::Union(members)
        }
        other => Layout::Union(vec![other, Layout::word("null")]),
    }
}

/// The type of a column's values.
pub(super) fn column(database: &Database<'_>, column: &Column) -> Layout {
    match type_of(database, &column.type_name) {
        type_of if column.nullable => or_null(type_of),
        // `Json` has null in it.
        Layout::Word(word) if word == "Json" => Layout::word("NonNullable<Json>"),
        type_of => type_of,
    }
}

/// The columns of a row.
pub(super) fn row(database: &Database<'_>, relation: &Relation) -> Vec<(String, Layout)> {
    let columns = relation.columns.iter().take_while(|own| database.budget.spend(own.name.len()));
    columns.map(|own| (super::key(&own.name), column(database, own))).collect()
}

/// The type of a value.
pub(super) fn type_of(database: &Database<'_>, type_name: &TypeName) -> Layout {
    // A property has a name and a line too.
    if !database.budget.spend(LEAST) {
        return Layout::word("unknown");
    }
    if let Some(element) = type_name.element() {
        return Layout::Array(Box::new(type_of(database, &element)));
    }
    let member = |kind: &str, part: &str| {
        let TypeName { schema, name } = type_name;
        match database.has_schema(schema) {
            true => Layout::Word(format!("Database[{}][\"{kind}\"][{}]{part}", text(schema), text(name))),
            false => Layout::word("unknown"),
        }
    };
    match type_name.name.as_str() {
        "bool" => Layout::word("boolean"),
        "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" => Layout::word("number"),
        "bpchar" | "bytea" | "citext" | "date" | "interval" | "text" | "time" | "timestamp"
        | "timestamptz" | "timetz" | "uuid" | "varchar" | "vector" => Layout::word("string"),
        "json" | "jsonb" => Layout::word("Json"),
        "void" => Layout::word("undefined"),
        "record" => Layout::word("Record<string, unknown>"),
        _ => {
            let found = database.type_named(type_name);
            match found.map(|found| (found.kind(), found)) {
                Some((Kind::Enumeration, found)) if !database.has_schema(&found.schema) => {
                    let size = found.labels.iter().map(|label| label.len() + LEAST).sum();
                    if database.budget.spend(size) { literals(&found.labels) } else { literals(&[]) }
                }
                Some((Kind::Enumeration, _)) => member("Enums", ""),
                Some((Kind::Composite, _)) => member("CompositeTypes", ""),
                // One that is not written about can't be referred to.
                Some((Kind::Table, found)) if database.relation(found.relation).is_some() => {
                    member("Tables", "[\"Row\"]")
                }
                Some((Kind::View, found)) if database.relation(found.relation).is_some() => {
                    member("Views", "[\"Row\"]")
                }
                _ => Layout::word("unknown"),
            }
        }
    }
}
