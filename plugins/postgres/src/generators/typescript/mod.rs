//! TypeScript, for Supabase's client library.

mod functions;
mod layout;
mod types;

use super::{
    database::Database,
    rows::{Column, Kind, Relation},
};
use layout::{Layout, key, text};

/// How it is written.
pub(super) struct Settings {
    pub(super) one_to_one: bool,
    pub(super) postgrest_version: Option<String>,
}

const JSON: &str = "\
export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]";

/// The types with which the client library finds its way; they are the same for every database.
const HELPERS: &str = include_str!("helpers.txt");

/// Writes the database's types in TypeScript.
pub(super) fn write(database: &Database<'_>, settings: &Settings) -> String {
    let schemas =
        database.schemas.iter().map(|schema| (key(schema), write_schema(database, schema, settings)));
    let mut types = layout::write_object(schemas.collect());
    if let Some(version) = &settings.postgrest_version {
        let internals = format!(
            "{{\n  // Allows to automatically instantiate createClient with right options\n  // instead of \
             createClient<Database, {{ PostgrestVersion: 'XX' }}>(URL, KEY)\n  __InternalSupabase: {{\n    \
             PostgrestVersion: {}\n  }}\n",
            text(version)
        );
        types = internals + types.strip_prefix("{\n").unwrap_or("}");
    }
    format!(
        "{JSON}\n\nexport type Database = {types}\n\n{}\n\n{}\n",
        HELPERS.trim_end(),
        write_constants(database)
    )
}

/// The labels of enumerations, as values.
fn write_constants(database: &Database<'_>) -> String {
    let mut lines = Vec::new();
    for schema in &database.schemas {
        lines.push(format!("  {}: {{", key(schema)));
        let of_schema = database.enumerations().filter(|enumeration| enumeration.schema == *schema);
        let lists: Vec<_> = of_schema
            .map(|enumeration| {
                let labels: Vec<_> = enumeration.labels.iter().map(|label| text(label)).collect();
                layout::write_list(&key(&enumeration.name), &labels, 6)
            })
            .collect();
        if lists.is_empty() {
            lines.push("    Enums: {},".to_owned());
        } else {
            lines.push("    Enums: {".to_owned());
            lines.extend(lists);
            lines.push("    },".to_owned());
        }
        lines.push("  },".to_owned());
    }
    if lines.is_empty() {
        return "export const Constants = {} as const".to_owned();
    }
    format!("export const Constants = {{\n{}\n}} as const", lines.join("\n"))
}

fn write_schema(database: &Database<'_>, schema: &str, settings: &Settings) -> Layout {
    let of_schema = || database.relations.iter().filter(|relation| relation.schema == schema);
    let tables = of_schema().filter(|relation| relation.is_table());
    let views = of_schema().filter(|relation| !relation.is_table());
    let write_relation =
        |relation: &Relation| (key(&relation.name), write_relation(database, relation, settings));
    let enumerations = database.enumerations().filter(|enumeration| enumeration.schema == schema);
    let composites = database.composites().filter(|composite| composite.schema == schema);
    let members = |members: Vec<(String, Layout)>| match members.is_empty() {
        // What prettier makes of a mapped type over nothing.
        true => Layout::Object(vec![("[_ in never]".to_owned(), Layout::word("never"))]),
        false => Layout::Object(members),
    };
    Layout::Object(vec![
        ("Tables".to_owned(), members(tables.map(write_relation).collect())),
        ("Views".to_owned(), members(views.map(write_relation).collect())),
        ("Functions".to_owned(), members(functions::write_functions(database, schema))),
        (
            "Enums".to_owned(),
            members(
                enumerations
                    .map(|enumeration| (key(&enumeration.name), types::literals(&enumeration.labels)))
                    .collect(),
            ),
        ),
        (
            "CompositeTypes".to_owned(),
            members(
                composites
                    .map(|composite| {
                        let attributes = composite.attributes.iter().map(|attribute| {
                            let type_of = types::type_of(database, &attribute.type_name);
                            (key(&attribute.name), types::or_null(type_of))
                        });
                        (key(&composite.name), Layout::Object(attributes.collect()))
                    })
                    .collect(),
            ),
        ),
    ])
}

fn write_relation(database: &Database<'_>, relation: &Relation, settings: &Settings) -> Layout {
    let is_table = relation.is_table();
    let mut row = types::row(database, relation);
    row.extend(functions::computed_fields(database, relation));
    let mut members = vec![("Row".to_owned(), Layout::Object(row))];
    let change = |is_optional: &dyn Fn(&Column) -> bool| {
        let columns = relation.columns.iter().map(|column| {
            let is_fixed = column.is_fixed() || !column.writable;
            let mark = if !is_table || is_fixed || is_optional(column) { "?" } else { "" };
            let value = match is_fixed {
                true => Layout::word("never"),
                false if is_table => types::column(database, column),
                // A view does not say what has to be given.
                false => types::or_null(types::type_of(database, &column.type_name)),
            };
            (key(&column.name) + mark, value)
        });
        Layout::Object(columns.collect())
    };
    if is_table || relation.insertable {
        members.push(("Insert".to_owned(), change(&Column::is_optional)));
    }
    if is_table || relation.updatable {
        members.push(("Update".to_owned(), change(&|_| true)));
    }
    members.push(("Relationships".to_owned(), write_relationships(database, relation, settings)));
    Layout::Object(members)
}

/// A tuple of objects, which prettier lays out as it does values.
fn write_relationships(database: &Database<'_>, relation: &Relation, settings: &Settings) -> Layout {
    let of_relation = database.relationships_of(relation).iter();
    let margin = " ".repeat(10);
    let written: String = of_relation
        .map(|relationship| {
            let list = |name: &str, columns: &[String]| {
                let columns: Vec<_> = columns.iter().map(|column| text(column)).collect();
                let list = layout::write_list(name, &columns, 12);
                list.strip_suffix(',').unwrap_or(&list).to_owned() + "\n"
            };
            let mut object = format!("{margin}{{\n{margin}  foreignKeyName: {}\n", text(&relationship.name));
            object += &list("columns", &relationship.columns);
            if settings.one_to_one {
                object += &format!("{margin}  isOneToOne: {}\n", relationship.one_to_one);
            }
            object += &format!("{margin}  referencedRelation: {}\n", text(&relationship.referenced_relation));
            object += &list("referencedColumns", &relationship.referenced_columns);
            object += &format!("{margin}}},\n");
            if database.budget.spend(object.len()) { object } else { String::new() }
        })
        .collect();
    match written.is_empty() {
        true => Layout::word("[]"),
        false => Layout::word(format!("[\n{written}        ]")),
    }
}
