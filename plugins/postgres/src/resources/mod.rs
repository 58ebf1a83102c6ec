//! What a database consists of, a resource a module: the catalog queries that show it, and the SQL that changes it.
//!
//! A resource says only how it is asked for and what SQL a change of it is; both are pure, and apart from what runs
//! them, which is here and the same for all.

mod body;
mod column_privileges;
mod columns;
mod config;
mod extensions;
mod functions;
mod grants;
mod indexes;
pub(crate) mod info;
mod policies;
mod publications;
mod relations;
mod roles;
mod schemas;
mod selection;
mod table_privileges;
mod tables;
mod triggers;
mod types;
mod views;

use crate::{
    Postgres,
    lenient::{Chosen, Given, Part, Reading},
    prefix::Prefix,
    statement::Statement,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::marker::PhantomData;
use studio_plugin_api::{Body, Context, DriverError, ErrorCode, Operations, Path, Query, RawJson};

/// The operations of every resource, for one prefix.
pub(crate) fn operations<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    let operations = schemas::operations::<F>(operations);
    let operations = tables::operations::<F>(operations);
    let operations = views::operations::<F>(operations);
    let operations = columns::operations::<F>(operations);
    let operations = indexes::operations::<F>(operations);
    let operations = config::operations::<F>(operations);
    let operations = roles::operations::<F>(operations);
    let operations = extensions::operations::<F>(operations);
    let operations = functions::operations::<F>(operations);
    let operations = policies::operations::<F>(operations);
    let operations = publications::operations::<F>(operations);
    let operations = triggers::operations::<F>(operations);
    let operations = types::operations::<F>(operations);
    let operations = column_privileges::operations::<F>(operations);
    table_privileges::operations::<F>(operations)
}

/// Something in the catalogs that has a list, and where each one can be asked for alone.
///
/// Rows become JSON objects: a column's name is the field's, in the columns' order. Its type says how it is written
/// (see `json/`): `int8` beyond 2^53 and `numeric` become strings, `json` is put in as it is, arrays of PostgreSQL's
/// own types become JSON arrays.
pub(crate) trait Resource: 'static {
    /// As error messages name one: `table`.
    const NAME: &'static str;
    /// The query parameters of its list.
    type Filters: DeserializeOwned + JsonSchema + Send + 'static;
    /// What names one of them, read from its path: `{id}`.
    type Key: Key;
    /// How postgres-meta reads the parameters of its list.
    const LISTS: Reading = Reading::Plain;
    /// How it reads bodies.
    const BODIES: Reading = Reading::Plain;
    /// How it reads the parameters of a removal.
    const REMOVALS: Reading = Reading::Plain;

    /// The query for the list.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for filters that make no sense.
    fn list(filters: &Self::Filters) -> Result<Statement, DriverError>;

    /// The query for one of them: one row, or none.
    fn one(key: &Self::Key) -> Statement;

    /// What is said when there is no such one.
    fn missing(segment: &str) -> String {
        format!("Cannot find a {} with ID {segment}", Self::NAME)
    }
}

/// What names one of a resource.
pub(crate) trait Key: Sized + Send + 'static {
    /// Reads it from its path segment; nothing when no resource can have this one (the answer is then 404).
    fn read(segment: &str) -> Option<Self>;
}

/// An object's number in the catalogs (`oid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Oid(pub(crate) u32);

impl Key for Oid {
    fn read(segment: &str) -> Option<Self> {
        segment.parse().ok().map(Self)
    }
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Key for Name {
    fn read(segment: &str) -> Option<Self> {
        Some(Self(segment.to_owned()))
    }
}

/// SQL that changes something, and how to ask for what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// One or several statements, run in one transaction.
    pub(crate) sql: String,
    /// Asks for the thing as it is after that: one row.
    pub(crate) then: Statement,
}

/// A resource that can be created.
pub(crate) trait Creatable: Resource {
    /// The request's body.
    type New: DeserializeOwned + JsonSchema + Send + 'static;

    /// The SQL for it.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    fn create(new: &Self::New) -> Result<Change, DriverError>;
}

/// A resource that can be created, for which something else must be known first: what it is to be in.
pub(crate) trait CreatableWithin: Resource {
    /// The request's body.
    type New: DeserializeOwned + JsonSchema + Send + 'static;

    /// The query for that: one row, or none.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    fn parent(new: &Self::New) -> Result<Statement, DriverError>;

    /// The SQL for it, given that row.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field, `NOT_FOUND` where there must be a row.
    fn create(parent: Option<&Value>, new: &Self::New) -> Result<Change, DriverError>;
}

/// A resource that can be changed.
pub(crate) trait Changeable: Resource {
    /// The request's body.
    type Patch: DeserializeOwned + JsonSchema + Send + 'static;

    /// The SQL for it, given how it is now (as [`Resource::one`] shows it).
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    fn change(current: &Value, patch: &Self::Patch) -> Result<Change, DriverError>;
}

/// A resource that can be removed.
pub(crate) trait Removable: Resource {
    /// The query parameters of a removal.
    type Options: DeserializeOwned + JsonSchema + Send + 'static;

    /// The SQL for it, given how it is now (as [`Resource::one`] shows it).
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the parameter.
    fn remove(current: &Value, options: &Self::Options) -> Result<String, DriverError>;
}

/// The parameter of a resource's own path.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
pub(crate) struct KeyPath {
    /// Which one.
    id: String,
}

/// The parameters of a resource's list.
pub(crate) struct ListOf<R>(PhantomData<R>);
/// The bodies of a resource.
pub(crate) struct BodyOf<R>(PhantomData<R>);
/// The parameters of a resource's removal.
pub(crate) struct RemovalOf<R>(PhantomData<R>);

impl<R: Resource> Part for ListOf<R> {
    const READING: Reading = R::LISTS;
}
impl<R: Resource> Part for BodyOf<R> {
    const READING: Reading = R::BODIES;
}
impl<R: Resource> Part for RemovalOf<R> {
    const READING: Reading = R::REMOVALS;
}

/// `GET` of the list.
pub(crate) async fn list<F: Prefix, R: Resource>(
    context: Context<Postgres>,
    filters: Query<Chosen<F, ListOf<R>, R::Filters>>,
) -> Result<RawJson, DriverError> {
    let result = async { context.rows(&context, &R::list(&filters)?).await };
    result.await.map(RawJson::new).map_err(F::error)
}

/// `GET` of one.
pub(crate) async fn read<F: Prefix, R: Resource>(
    context: Context<Postgres>,
    path: Path<KeyPath>,
) -> Result<RawJson, DriverError> {
    find::<R>(&context, &path.id).await.map(RawJson::new).map_err(F::error)
}

/// `POST` of a new one.
pub(crate) async fn create<F: Prefix, R: Creatable>(
    context: Context<Postgres>,
    new: Body<Given<F, BodyOf<R>, R::New>>,
) -> Result<F::Created, DriverError> {
    let result = async { apply(&context, R::create(&new)?).await };
    result.await.map(F::created).map_err(F::error)
}

/// `POST` of a new one within something else.
pub(crate) async fn create_within<F: Prefix, R: CreatableWithin>(
    context: Context<Postgres>,
    new: Body<Given<F, BodyOf<R>, R::New>>,
) -> Result<F::Created, DriverError> {
    let result = async {
        let parent = context.row(&context, &R::parent(&new)?).await?;
        let parent = parent.as_deref().map(parse).transpose()?;
        apply(&context, R::create(parent.as_ref(), &new)?).await
    };
    result.await.map(F::created).map_err(F::error)
}

/// `PATCH` of one.
pub(crate) async fn change<F: Prefix, R: Changeable>(
    context: Context<Postgres>,
    path: Path<KeyPath>,
    patch: Body<Given<F, BodyOf<R>, R::Patch>>,
) -> Result<RawJson, DriverError> {
    let result = async {
        let current = find::<R>(&context, &path.id).await?;
        apply(&context, R::change(&parse(&current)?, &patch)?).await
    };
    result.await.map(RawJson::new).map_err(F::error)
}

/// `DELETE` of one. What was removed is the answer, where the prefix has one.
pub(crate) async fn remove<F: Prefix, R: Removable>(
    context: Context<Postgres>,
    path: Path<KeyPath>,
    options: Query<Chosen<F, RemovalOf<R>, R::Options>>,
) -> Result<F::Removed, DriverError> {
    let result = async {
        let current = find::<R>(&context, &path.id).await?;
        context.change(&context, &R::remove(&parse(&current)?, &options)?).await?;
        Ok(current)
    };
    result.await.map(F::removed).map_err(F::error)
}

/// `GET` of what the server is asked for in one row.
async fn show<F: Prefix>(context: &Context<Postgres>, query: &'static str) -> Result<RawJson, DriverError> {
    let row = context.row(context, &Statement::new(query)).await.map_err(F::error)?;
    row.map(RawJson::new).ok_or_else(|| DriverError::new(ErrorCode::DriverError, "the server tells nothing"))
}

async fn find<R: Resource>(context: &Context<Postgres>, segment: &str) -> Result<Vec<u8>, DriverError> {
    // To postgres-meta, a path that no key fits is no path of its own.
    let key = R::Key::read(segment).ok_or_else(|| DriverError::not_found("Not found"))?;
    context.row(context, &R::one(&key)).await?.ok_or_else(|| DriverError::not_found(R::missing(segment)))
}

/// Makes a change, and reads what became of it.
async fn apply(context: &Context<Postgres>, change: Change) -> Result<Vec<u8>, DriverError> {
    let row = match change.sql.is_empty() {
        true => context.row(context, &change.then).await?,
        false => context.change_and_ask(context, &change.sql, &change.then).await?.into_only(),
    };
    row.ok_or_else(|| {
        DriverError::new(ErrorCode::Conflict, "the change was made, and then undone by someone else")
    })
}

fn parse(row: &[u8]) -> Result<Value, DriverError> {
    serde_json::from_slice(row).map_err(|error| {
        DriverError::new(ErrorCode::DriverError, format!("a row of the catalogs is no JSON: {error}"))
    })
}
