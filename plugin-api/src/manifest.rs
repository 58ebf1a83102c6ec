//! The manifest: everything that a host must know about a driver, as JSON, derived from the route table.

use crate::{
    API_VERSION, Access, Alias, Driver,
    handler::schema_generator,
    operations::{Method, Operation, OperationAccess},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A driver as the host sees it. Fields added later are optional, so that older drivers still load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The contract's version that the driver was built against.
    pub api_version: String,
    /// The path segment in `/api/platform/<type>/`.
    #[serde(rename = "type")]
    pub database_type: String,
    /// The database's name for people.
    pub name: String,
    /// The driver's own version.
    pub version: String,
    /// The TCP port used when a connection names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_port: Option<u16>,
    /// URL schemes of the connection strings it understands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connection_string_schemes: Vec<String>,
    /// How many calls a session takes at once. A component's is always [`Concurrency::Exclusive`], whatever is here.
    #[serde(default)]
    pub concurrency: Concurrency,
    /// Other prefixes beside the type, for the operations that name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Whether a project's own database is the primary connection of a project that has none of the type.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub project_database: bool,
    /// The side that checks options, paths, queries and bodies against their schemas; absent: the host for a component,
    /// the driver otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_by: Option<CheckedBy>,
    /// JSON Schema (2020-12) of a connection's `options`. Secret ones are marked `writeOnly`.
    pub options: Value,
    /// The route table; an operation's index is its number in a call.
    pub operations: Vec<OperationManifest>,
}

/// The side that checks requests against a driver's schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckedBy {
    /// The driver alone.
    Driver,
    /// The host, before the driver is asked.
    Host,
}

/// How many calls one session takes at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// Any number: a connection has one session.
    #[default]
    Shared,
    /// One: a connection has several sessions, and callers wait for a free one.
    Exclusive,
}

/// One row of the route table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperationManifest {
    /// The HTTP method.
    pub method: Method,
    /// The path template below the project: `/keys/{key}`.
    pub path: String,
    /// The prefix of the alias that it is under; absent: the driver's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The access that a caller needs.
    pub access: AccessManifest,
    /// A summary of the operation, in one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// For how many seconds, 1 to 86,400, a reply may be served again; absent: not at all. Only for `GET` operations
    /// with access `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_seconds: Option<u64>,
    /// Paths of operations whose cached replies this one makes stale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalidates: Vec<String>,
    /// JSON Schema of the path parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_parameters: Option<Value>,
    /// JSON Schema of the query parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Value>,
    /// JSON Schema of the request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// JSON Schema of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Value>,
    /// The payload's type when it is not JSON, as `Content-Type` says it. Only for operations under a bare alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
}

/// An operation's access, in the manifest's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessManifest {
    /// Viewers and up.
    Read,
    /// Developers and up.
    Write,
    /// Admins and owners.
    Admin,
    /// Viewers and up; the driver enforces the rights that each caller was granted.
    PerCall,
}

impl AccessManifest {
    /// Returns the least access that a caller must be granted to get in.
    pub fn minimum(self) -> Access {
        match self {
            Self::Read | Self::PerCall => Access::Read,
            Self::Write => Access::Write,
            Self::Admin => Access::Admin,
        }
    }
}

/// Derives a driver's manifest.
pub fn derive<D: Driver>() -> Manifest {
    let description = D::describe();
    Manifest {
        api_version: API_VERSION.to_owned(),
        database_type: description.database_type.to_owned(),
        name: description.name.to_owned(),
        version: description.version.to_owned(),
        default_port: description.default_port,
        connection_string_schemes: description
            .connection_string_schemes
            .iter()
            .map(ToString::to_string)
            .collect(),
        concurrency: description.concurrency,
        aliases: description.aliases,
        project_database: description.project_database,
        checked_by: Some(description.checked_by),
        options: schema_generator().into_root_schema_for::<D::Options>().into(),
        operations: D::operations().into_rows().iter().map(describe_operation).collect(),
    }
}

fn describe_operation<D>(operation: &Operation<D>) -> OperationManifest {
    let schemas = (operation.schemas)();
    OperationManifest {
        method: operation.method,
        path: operation.path.to_owned(),
        alias: operation.alias.map(str::to_owned),
        access: match operation.access {
            OperationAccess::Needs(Access::Read) => AccessManifest::Read,
            OperationAccess::Needs(Access::Write) => AccessManifest::Write,
            OperationAccess::Needs(Access::Admin) => AccessManifest::Admin,
            OperationAccess::PerCall => AccessManifest::PerCall,
        },
        summary: operation.summary.to_owned(),
        cache_seconds: operation.cache.map(|time| time.as_secs()),
        invalidates: operation.invalidates.iter().map(ToString::to_string).collect(),
        path_parameters: schemas.path.map(Value::from),
        query: schemas.query.map(Value::from),
        body: schemas.body.map(Value::from),
        reply: schemas.reply.map(Value::from),
        media_type: schemas.media_type.map(str::to_owned),
    }
}
