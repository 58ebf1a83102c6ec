//! Python, for pydantic.

use super::{
    database::Database,
    names::{pascal, quote, snake},
    rows::{Column, Kind, Relation, Type, TypeName},
};

const HEADER: &str = "\
from __future__ import annotations

import datetime
import uuid
from typing import (
    Annotated,
    Any,
    List,
    Literal,
    Optional,
    TypedDict,
)
from typing_extensions import NotRequired, TypeAlias

from pydantic import BaseModel, Field, JsonValue";

/// Writes the database's types in Python.
pub(super) fn write(database: &Database<'_>) -> String {
    let enumerations = database.enumerations().map(|enumeration| {
        let labels: Vec<_> = enumeration.labels.iter().map(|label| quote(label)).collect();
        let name = class_name(&enumeration.schema, &enumeration.name);
        format!("{name}: TypeAlias = Literal[{}]", labels.join(", "))
    });
    let (tables, views): (Vec<_>, Vec<_>) =
        database.relations.iter().partition(|relation| relation.is_table());
    let (materialized, views): (Vec<_>, Vec<_>) = views.into_iter().partition(|view| view.is_materialized());
    let tables = tables.into_iter().filter(|table| !table.is_foreign()).map(|table| {
        [
            write_model(database, table),
            write_change(database, table, "Insert", Column::is_optional),
            write_change(database, table, "Update", |_| true),
        ]
        .join("\n\n")
    });
    let write_models = |relations: Vec<&Relation>| {
        relations.into_iter().map(|relation| write_model(database, relation)).collect::<Vec<_>>().join("\n\n")
    };
    let composites = database.composites().map(|composite| {
        let lines = composite.attributes.iter().map(|attribute| {
            field(&attribute.name, &optional(true, type_of(database, &attribute.type_name)))
        });
        write_class(&class_name(&composite.schema, &composite.name), "BaseModel", lines.collect())
    });
    let sections = [
        HEADER.to_owned(),
        enumerations.collect::<Vec<_>>().join("\n\n"),
        tables.collect::<Vec<_>>().join("\n\n"),
        write_models(views),
        write_models(materialized),
        composites.collect::<Vec<_>>().join("\n\n"),
    ];
    sections.join("\n\n").trim_end().to_owned()
}

fn class_name(schema: &str, name: &str) -> String {
    pascal(schema) + &pascal(name)
}

fn write_class(name: &str, base: &str, mut lines: Vec<String>) -> String {
    if lines.is_empty() {
        lines.push("    pass".to_owned());
    }
    format!("class {name}({base}):\n{}", lines.join("\n"))
}

fn field(name: &str, python_type: &str) -> String {
    format!("    {}: {python_type} = Field(alias={})", snake(name), quote(name))
}

fn optional(nullable: bool, python_type: String) -> String {
    if nullable { format!("Optional[{python_type}]") } else { python_type }
}

fn write_model(database: &Database<'_>, relation: &Relation) -> String {
    let lines = relation
        .columns
        .iter()
        .map(|column| field(&column.name, &optional(column.nullable, type_of(database, &column.type_name))));
    write_class(&class_name(&relation.schema, &relation.name), "BaseModel", lines.collect())
}

fn write_change(
    database: &Database<'_>,
    table: &Relation,
    operation: &str,
    is_optional: impl Fn(&Column) -> bool,
) -> String {
    let lines = table.columns.iter().map(|column| {
        let python_type = optional(column.nullable, type_of(database, &column.type_name));
        let annotated = format!("Annotated[{python_type}, Field(alias={})]", quote(&column.name));
        let given = if is_optional(column) { format!("NotRequired[{annotated}]") } else { annotated };
        format!("    {}: {given}", snake(&column.name))
    });
    let name = class_name(&table.schema, &table.name) + operation;
    write_class(&name, "TypedDict", lines.collect())
}

fn type_of(database: &Database<'_>, type_name: &TypeName) -> String {
    if let Some(element) = type_name.element() {
        return format!("List[{}]", type_of(database, &element));
    }
    let plain = match type_name.name.as_str() {
        "bool" => "bool",
        "int2" | "int4" | "int8" => "int",
        "float4" | "float8" | "numeric" => "float",
        "bytea" => "bytes",
        "bpchar" | "citext" | "interval" | "text" | "varchar" | "vector" => "str",
        "uuid" => "uuid.UUID",
        "date" => "datetime.date",
        "time" | "timetz" => "datetime.time",
        "timestamp" | "timestamptz" => "datetime.datetime",
        "json" | "jsonb" => "JsonValue",
        _ => match database.type_named(type_name).map(Type::kind) {
            Some(Kind::Range) => "str",
            Some(_) => return class_name(&type_name.schema, &type_name.name),
            None => "Any",
        },
    };
    plain.to_owned()
}
