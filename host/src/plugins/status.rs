//! The status of each plugin, as the API shows it.

use super::kind::PluginKind;
use serde::Serialize;
use serde_json::Value;
use studio_plugin_api::{Alias, manifest::OperationManifest};

/// One line of `GET /api/platform/plugins`.
#[derive(Debug, Serialize)]
pub struct PluginStatus {
    /// The database type.
    #[serde(rename = "type")]
    pub database_type: String,
    /// How it is shipped.
    pub kind: PluginKind,
    /// Whether plugins.toml enables it.
    pub enabled: bool,
    /// Whether it is in service.
    pub loaded: bool,
    /// The database's name for people.
    pub name: Option<String>,
    /// The driver's version.
    pub version: Option<String>,
    /// The contract's version it was built against.
    pub api_version: Option<String>,
    /// SHA-256 of the bytes in service.
    pub sha256: Option<String>,
    /// The port used when a connection names none.
    pub default_port: Option<u16>,
    /// Its other prefixes.
    pub aliases: Vec<Alias>,
    /// Whether it serves projects' own databases.
    pub project_database: bool,
    /// JSON Schema of a connection's `options`.
    pub options: Option<Value>,
    /// Its operations.
    pub operations: Vec<OperationManifest>,
    /// The reason why it is not in service although enabled.
    pub error: Option<String>,
}
