//! Swift.

use super::{
    database::Database,
    names::{camel, pascal, quote},
    rows::{Column, Kind, Relation, Type, TypeName},
};

/// Writes the database's types in Swift, to be seen by whom `access` says.
pub(super) fn write(database: &Database<'_>, access: &str) -> String {
    let mut lines = vec!["import Foundation".to_owned(), "import Supabase".to_owned(), String::new()];
    for schema in &database.schemas {
        lines.push(format!("{access} enum {}Schema {{", pascal(schema)));
        for enumeration in database.enumerations().filter(|enumeration| enumeration.schema == *schema) {
            lines.push(format!(
                "  {access} enum {}: String, Codable, Hashable, Sendable {{",
                pascal(&enumeration.name)
            ));
            let case = |label: &String| format!("    case {} = {}", safe(camel(label)), quote(label));
            lines.extend(enumeration.labels.iter().map(case));
            lines.push("  }".to_owned());
        }
        let of_schema = || database.relations.iter().filter(|relation| relation.schema == *schema);
        for table in of_schema().filter(|relation| relation.is_table()) {
            lines.extend(write_relation(database, table, "Select", access, |column| column.nullable));
            lines.extend(write_relation(database, table, "Insert", access, Column::is_optional));
            lines.extend(write_relation(database, table, "Update", access, |_| true));
        }
        for view in of_schema().filter(|relation| !relation.is_table()) {
            lines.extend(write_relation(database, view, "Select", access, |column| column.nullable));
        }
        for composite in database.composites().filter(|composite| composite.schema == *schema) {
            let fields = composite.attributes.iter().map(|attribute| Field {
                name: pascal(&attribute.name),
                raw: &attribute.name,
                swift_type: type_called(database, &attribute.format),
            });
            lines.extend(write_struct(&pascal(&composite.name), None, access, fields.collect()));
        }
        lines.push("}".to_owned());
    }
    lines.join("\n")
}

struct Field<'a> {
    name: String,
    raw: &'a str,
    swift_type: String,
}

fn write_relation(
    database: &Database<'_>,
    relation: &Relation,
    operation: &str,
    access: &str,
    is_optional: impl Fn(&Column) -> bool,
) -> Vec<String> {
    let identity = relation
        .columns
        .iter()
        .find(|column| column.is_identity())
        .map(|column| to_field(database, column, &is_optional));
    let name = pascal(&relation.name) + operation;
    let fields = relation.columns.iter().map(|column| to_field(database, column, &is_optional));
    write_struct(&name, identity, access, fields.collect())
}

fn to_field<'a>(
    database: &Database<'_>,
    column: &'a Column,
    is_optional: impl Fn(&Column) -> bool,
) -> Field<'a> {
    let mark = if is_optional(column) { "?" } else { "" };
    Field {
        name: safe(camel(&column.name)),
        raw: &column.name,
        swift_type: type_of(database, &column.type_name) + mark,
    }
}

fn write_struct(
    name: &str,
    identity: Option<Field<'_>>,
    access: &str,
    fields: Vec<Field<'_>>,
) -> Vec<String> {
    let identifiable = if identity.is_some() { ", Identifiable" } else { "" };
    let mut lines = vec![format!("  {access} struct {name}: Codable, Hashable, Sendable{identifiable} {{")];
    if let Some(Field { name, swift_type, .. }) = identity.filter(|identity| identity.name != "id") {
        lines.push(format!("    {access} var id: {swift_type} {{ {name} }}"));
    }
    for Field { name, swift_type, .. } in &fields {
        lines.push(format!("    {access} let {name}: {swift_type}"));
    }
    if !fields.is_empty() {
        lines.push(format!("    {access} enum CodingKeys: String, CodingKey {{"));
        for Field { name, raw, .. } in &fields {
            lines.push(format!("      case {name} = {}", quote(raw)));
        }
        lines.push("    }".to_owned());
    }
    lines.push("  }".to_owned());
    lines
}

/// Between backticks where it is one of the words that postgres-meta minds.
fn safe(name: String) -> String {
    if matches!(name.as_str(), "case" | "default" | "in") { format!("`{name}`") } else { name }
}

fn type_of(database: &Database<'_>, type_name: &TypeName) -> String {
    if let Some(element) = type_name.element() {
        return format!("[{}]", type_of(database, &element));
    }
    if let Some(plain) = plain(&type_name.name) {
        return plain.to_owned();
    }
    match database.type_named(type_name).map(Type::kind) {
        Some(Kind::Enumeration) => pascal(&type_name.name),
        Some(_) => pascal(&type_name.name) + "Select",
        None => "AnyJSON".to_owned(),
    }
}

/// The type of a part of a composite type, found by what SQL calls it.
fn type_called(database: &Database<'_>, format: &str) -> String {
    match (plain(format), database.type_called(format)) {
        (Some(plain), _) => plain.to_owned(),
        (None, Some(found)) if found.kind() == Kind::Enumeration => pascal(&found.name),
        (None, Some(found)) => pascal(&found.name) + "Select",
        (None, None) => "AnyJSON".to_owned(),
    }
}

fn plain(name: &str) -> Option<&'static str> {
    Some(match name {
        "bool" => "Bool",
        "int2" => "Int16",
        "int4" => "Int32",
        "int8" => "Int64",
        "float4" => "Float",
        "float8" => "Double",
        "numeric" => "Decimal",
        "uuid" => "UUID",
        "bpchar" | "bytea" | "citext" | "date" | "interval" | "text" | "time" | "timestamp"
        | "timestamptz" | "timetz" | "varchar" | "vector" => "String",
        "json" | "jsonb" => "AnyJSON",
        _ => return None,
    })
}
