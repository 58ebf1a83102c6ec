//! Connections as the registry's rows.

use serde_json::Value;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};

use super::options::stored_options;
use super::store::{optional_text, text, time};
use super::{Connection, ConnectionStatus, EndpointParts, RegistryError, StoredEndpoint, StoredSettings};
use crate::secrets::Sealed;

/// A statement that takes parameters.
pub(super) type Statement = Query<'static, Any, AnyArguments>;

/// Binds the columns `host`, `port`, `database_name`, `username`, `password`, `connection_string` and `options`.
pub(super) fn bind_settings(query: Statement, settings: StoredSettings) -> Statement {
    let StoredSettings { endpoint, options } = settings;
    let parts = endpoint.parts();
    query
        .bind(parts.map(|parts| parts.host.as_str()))
        .bind(parts.and_then(|parts| parts.port).map(i64::from))
        .bind(parts.and_then(|parts| parts.database_name.as_deref()))
        .bind(parts.and_then(|parts| parts.username.as_deref()))
        .bind(parts.and_then(|parts| parts.password.as_ref()).map(Sealed::as_str))
        .bind(endpoint.connection_string().map(Sealed::as_str))
        .bind(Value::Object(options).to_string())
}

/// Reads a row of connections.
pub(super) fn connection(row: &AnyRow) -> Result<Connection, RegistryError> {
    Ok(Connection {
        id: parsed(&text(row, "id")?, "id")?,
        project_id: text(row, "project_id")?,
        database_type: text(row, "database_type")?,
        identifier: text(row, "identifier")?,
        settings: StoredSettings {
            endpoint: endpoint(row)?,
            options: stored_options(&text(row, "options")?)?,
        },
        is_primary: row.try_get::<i64, _>("is_primary")? != 0,
        is_implicit: false,
        status: ConnectionStatus::parse(&text(row, "status")?)
            .ok_or_else(|| RegistryError::corrupt("status"))?,
        settings_version: row.try_get("settings_version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

fn endpoint(row: &AnyRow) -> Result<StoredEndpoint, RegistryError> {
    if let Some(text) = sealed(row, "connection_string")? {
        return Ok(StoredEndpoint::ConnectionString(text));
    }
    let port: Option<i64> = row.try_get("port")?;
    Ok(StoredEndpoint::Parts(EndpointParts {
        host: optional_text(row, "host")?.ok_or_else(|| RegistryError::corrupt("host"))?,
        port: port.map(u16::try_from).transpose().map_err(|_| RegistryError::corrupt("port"))?,
        database_name: optional_text(row, "database_name")?,
        username: optional_text(row, "username")?,
        password: sealed(row, "password")?,
    }))
}

fn sealed(row: &AnyRow, column: &str) -> Result<Option<Sealed>, RegistryError> {
    optional_text(row, column)?.map(|text| parsed(&text, column)).transpose()
}

fn parsed<T: std::str::FromStr>(text: &str, column: &str) -> Result<T, RegistryError> {
    text.parse().map_err(|_| RegistryError::corrupt(column))
}
