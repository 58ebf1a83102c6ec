//! `/generators/…`: the database's tables, views, functions and types, as types of a programming language.
//!
//! `catalog.rs` asks what there is, in the rows of `rows.rs`; `database.rs` puts them together within the bounds of
//! `budget.rs`; `relationships.rs` finds what refers to what. Then each language has a module, which writes what postgres-meta writes, to the letter.

mod budget;
mod catalog;
mod database;
mod go;
mod names;
mod python;
mod relationships;
mod rows;
mod swift;
mod typescript;

use crate::{
    Postgres,
    lenient::{Chosen, FALSE_IS_ABSENT, Unchecked},
    prefix::Prefix,
    room::{self, Room, Wanted},
};
use budget::Budget;
use catalog::References;
use database::Database;
use schemars::JsonSchema;
use serde::Deserialize;
use studio_plugin_api::{Context, DriverError, Operations, Query};

/// The rows of the operations, for one prefix.
pub(crate) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/generators/typescript", generate_typescript::<F>)
        .read()
        .summary("Write the database's types in TypeScript")
        .get("/generators/go", generate_go::<F>)
        .read()
        .summary("Write the database's types in Go")
        .get("/generators/swift", generate_swift::<F>)
        .read()
        .summary("Write the database's types in Swift")
        .get("/generators/python", generate_python::<F>)
        .read()
        .summary("Write the database's types in Python")
}

/// Which schemas.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct Schemas {
    /// Only these, separated by commas.
    included_schemas: Option<String>,
    /// Not these, separated by commas.
    excluded_schemas: Option<String>,
}

/// How TypeScript is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct TypescriptOptions {
    /// Only these, separated by commas.
    included_schemas: Option<String>,
    /// Not these, separated by commas.
    excluded_schemas: Option<String>,
    /// Says of each relationship whether it is one to one: `true`.
    detect_one_to_one_relationships: Option<String>,
    /// The version of PostgREST that the types are for.
    #[schemars(extend("x-reads" = FALSE_IS_ABSENT))]
    postgrest_version: Option<String>,
}

/// How Swift is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct SwiftOptions {
    /// Only these, separated by commas.
    included_schemas: Option<String>,
    /// Not these, separated by commas.
    excluded_schemas: Option<String>,
    /// Who sees the types: `internal` (as given when absent), `public`, `private` or `package`.
    access_control: Option<String>,
}

/// The names in a list.
fn names(list: Option<&str>) -> Option<Vec<String>> {
    list.map(|list| list.split(',').map(|name| name.trim().to_owned()).collect())
}

/// Reads what there is, and has it written down on a thread of its own, as it takes long of a large database.
async fn generate(
    context: &Context<Postgres>,
    (included, excluded): (Option<&str>, Option<&str>),
    references: References,
    write: impl FnOnce(&Database<'_>) -> String + Send + 'static,
) -> Result<String, DriverError> {
    let read = catalog::read(context, names(included), names(excluded), references).await?;
    let limit = context.max_reply_bytes();
    let write = move |wanted: &Wanted| {
        let database = Database::new(read.understand()?, Budget::new(limit, wanted))?;
        let text = write(&database);
        database.budget.check().map(|()| text)
    };
    room::run(Room::one_by_one(), write).await
}

async fn generate_typescript<F: Prefix>(
    context: Context<Postgres>,
    options: Query<Chosen<F, Unchecked, TypescriptOptions>>,
) -> Result<F::Text, DriverError> {
    let TypescriptOptions { included_schemas, excluded_schemas, .. } = &**options;
    let settings = typescript::Settings {
        one_to_one: options.detect_one_to_one_relationships.as_deref() == Some("true"),
        postgrest_version: options.postgrest_version.clone(),
    };
    let schemas = (included_schemas.as_deref(), excluded_schemas.as_deref());
    let write = move |database: &Database<'_>| typescript::write(database, &settings);
    generate(&context, schemas, References::Wanted, write).await.map(F::text).map_err(F::error)
}

async fn generate_go<F: Prefix>(
    context: Context<Postgres>,
    schemas: Query<Chosen<F, Unchecked, Schemas>>,
) -> Result<F::Text, DriverError> {
    let schemas = (schemas.included_schemas.as_deref(), schemas.excluded_schemas.as_deref());
    generate(&context, schemas, References::Unwanted, go::write).await.map(F::text).map_err(F::error)
}

async fn generate_swift<F: Prefix>(
    context: Context<Postgres>,
    options: Query<Chosen<F, Unchecked, SwiftOptions>>,
) -> Result<F::Text, DriverError> {
    let schemas = (options.included_schemas.as_deref(), options.excluded_schemas.as_deref());
    let access = options.access_control.clone().unwrap_or_else(|| "internal".to_owned());
    let write = move |database: &Database<'_>| swift::write(database, &access);
    generate(&context, schemas, References::Unwanted, write).await.map(F::text).map_err(F::error)
}

async fn generate_python<F: Prefix>(
    context: Context<Postgres>,
    schemas: Query<Chosen<F, Unchecked, Schemas>>,
) -> Result<F::Text, DriverError> {
    let schemas = (schemas.included_schemas.as_deref(), schemas.excluded_schemas.as_deref());
    generate(&context, schemas, References::Unwanted, python::write).await.map(F::text).map_err(F::error)
}

#[cfg(test)]
mod tests;
