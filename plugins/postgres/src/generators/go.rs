//! Go.

use super::{
    database::Database,
    names::{pascal, quote},
    rows::{Column, Kind, Relation, Type, TypeName},
};

/// Writes the database's types in Go.
pub(super) fn write(database: &Database<'_>) -> String {
    let tables = database.relations.iter().filter(|relation| relation.is_table() && !relation.is_foreign());
    let views = database.relations.iter().filter(|relation| !relation.is_table());
    let (materialized, views): (Vec<_>, Vec<_>) = views.partition(|view| view.is_materialized());
    let tables = tables.map(|table| {
        [
            write_relation(database, table, "Select", |column| column.nullable),
            write_relation(database, table, "Insert", Column::is_optional),
            write_relation(database, table, "Update", |_| true),
        ]
        .join("\n\n")
    });
    let write_views = |views: Vec<&Relation>| {
        let views =
            views.into_iter().map(|view| write_relation(database, view, "Select", |column| column.nullable));
        views.collect::<Vec<_>>().join("\n\n")
    };
    let composites = database.composites().map(|composite| {
        let fields = composite.attributes.iter().map(|attribute| Field {
            name: pascal(&attribute.name),
            column: &attribute.name,
            // Only types that SQL calls what the catalogs do.
            go_type: plain(&attribute.format).map_or("interface{}", |(required, _)| required).to_owned(),
            list: false,
        });
        write_struct(database, &(pascal(&composite.schema) + &pascal(&composite.name)), fields.collect())
    });
    let sections = [
        "package database".to_owned(),
        tables.collect::<Vec<_>>().join("\n\n"),
        write_views(views),
        write_views(materialized),
        composites.collect::<Vec<_>>().join("\n\n"),
    ];
    sections.join("\n\n").trim_end().to_owned()
}

struct Field<'a> {
    name: String,
    column: &'a str,
    go_type: String,
    list: bool,
}

fn write_relation(
    database: &Database<'_>,
    relation: &Relation,
    operation: &str,
    is_optional: impl Fn(&Column) -> bool,
) -> String {
    let fields = relation.columns.iter().map(|column| Field {
        name: pascal(&column.name),
        column: &column.name,
        go_type: type_of(database, &column.type_name, is_optional(column)),
        list: column.type_name.element().is_some(),
    });
    write_struct(
        database,
        &format!("{}{}{operation}", pascal(&relation.schema), pascal(&relation.name)),
        fields.collect(),
    )
}

/// Names, types and tags in columns.
fn write_struct(database: &Database<'_>, name: &str, fields: Vec<Field<'_>>) -> String {
    let names = fields.iter().map(|field| field.name.len()).max().unwrap_or_default();
    let types =
        fields.iter().map(|field| field.go_type.len() + usize::from(field.list)).max().unwrap_or_default();
    // The widest name makes each line as wide.
    if !database.budget.spend(fields.len() * (names + types)) {
        return String::new();
    }
    let lines: Vec<_> = fields
        .iter()
        .map(|Field { name, column, go_type, .. }| {
            format!("  {name:names$} {go_type:types$} `json:{}`", quote(column))
        })
        .collect();
    format!("type {name} struct {{\n{}\n}}", lines.join("\n"))
}

fn type_of(database: &Database<'_>, type_name: &TypeName, optional: bool) -> String {
    if let Some(element) = type_name.element() {
        return format!("[]{}", type_of(database, &element, optional));
    }
    let choose =
        |(required, may_be_null): (&str, &str)| if optional { may_be_null } else { required }.to_owned();
    if let Some(plain) = plain(&type_name.name) {
        return choose(plain);
    }
    match database.type_named(type_name).map(Type::kind) {
        Some(Kind::Enumeration | Kind::Range) => choose(("string", "*string")),
        Some(Kind::Composite) => "map[string]interface{}".to_owned(),
        _ => "interface{}".to_owned(),
    }
}

/// The form of a plain type, and that where it may be null.
fn plain(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "bool" => ("bool", "*bool"),
        "int2" => ("int16", "*int16"),
        "int4" => ("int32", "*int32"),
        "int8" => ("int64", "*int64"),
        "float4" => ("float32", "*float32"),
        "float8" | "numeric" => ("float64", "*float64"),
        "bytea" => ("[]byte", "[]byte"),
        "bpchar" | "citext" | "date" | "interval" | "text" | "time" | "timestamp" | "timestamptz"
        | "timetz" | "uuid" | "varchar" | "vector" => ("string", "*string"),
        "json" | "jsonb" => ("interface{}", "interface{}"),
        _ => return None,
    })
}
