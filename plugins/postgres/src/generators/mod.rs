//! `/generators/…`: the database's tables, views, functions and types, as types of a programming language.
//!
//! `catalog.rs` asks what there is, `database.rs` puts it together, `relationships.rs` finds what refers to what; then
//! each language has a module, which writes what postgres-meta writes, to the letter.

mod catalog;
mod database;
mod go;
mod names;
mod python;
mod relationships;
mod swift;
mod typescript;

use crate::{
    Postgres,
    face::Face,
    lenient::{Chosen, FALSE_IS_ABSENT, Unchecked},
};
use database::Database;
use schemars::JsonSchema;
use serde::Deserialize;
use studio_plugin_api::{Context, DriverError, Operations, Query};

/// The rows of the operations, for one face.
pub(crate) fn operations<F: Face>(operations: Operations<Postgres>) -> Operations<Postgres> {
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

async fn read(
    context: &Context<Postgres>,
    included: Option<&str>,
    excluded: Option<&str>,
) -> Result<Database, DriverError> {
    catalog::read(context, names(included), names(excluded)).await
}

async fn generate_typescript<F: Face>(
    context: Context<Postgres>,
    options: Query<Chosen<F, Unchecked, TypescriptOptions>>,
) -> Result<F::Text, DriverError> {
    let TypescriptOptions { included_schemas, excluded_schemas, .. } = &**options;
    let database = read(&context, included_schemas.as_deref(), excluded_schemas.as_deref()).await;
    let settings = typescript::Settings {
        one_to_one: options.detect_one_to_one_relationships.as_deref() == Some("true"),
        postgrest_version: options.postgrest_version.clone(),
    };
    database.map(|database| F::text(typescript::write(&database, &settings))).map_err(F::error)
}

async fn generate_go<F: Face>(
    context: Context<Postgres>,
    schemas: Query<Chosen<F, Unchecked, Schemas>>,
) -> Result<F::Text, DriverError> {
    let database =
        read(&context, schemas.included_schemas.as_deref(), schemas.excluded_schemas.as_deref()).await;
    database.map(|database| F::text(go::write(&database))).map_err(F::error)
}

async fn generate_swift<F: Face>(
    context: Context<Postgres>,
    options: Query<Chosen<F, Unchecked, SwiftOptions>>,
) -> Result<F::Text, DriverError> {
    let database =
        read(&context, options.included_schemas.as_deref(), options.excluded_schemas.as_deref()).await;
    let access = options.access_control.as_deref().unwrap_or("internal");
    database.map(|database| F::text(swift::write(&database, access))).map_err(F::error)
}

async fn generate_python<F: Face>(
    context: Context<Postgres>,
    schemas: Query<Chosen<F, Unchecked, Schemas>>,
) -> Result<F::Text, DriverError> {
    let database =
        read(&context, schemas.included_schemas.as_deref(), schemas.excluded_schemas.as_deref()).await;
    database.map(|database| F::text(python::write(&database))).map_err(F::error)
}

#[cfg(test)]
mod tests;
