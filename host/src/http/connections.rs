//! `/api/platform/{type}/{ref}/connections`: the same for every driver.

use super::{
    body::{Json, PageQuery, data, page},
    caller::{Facts, note_failure, outcome, record_of},
    error::ApiError,
};
use crate::{
    flow::FlowError,
    gateway::Gateway,
    identity::Access,
    management::{
        input::{ChangeConnection, CreateConnection},
        manager::ManagementError,
        visible_options,
    },
    plugins::{Driver, catalog::Catalog},
    registry::{Connection, ConnectionId, ConnectionStatus},
};
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A connection as clients see it. It has no field for any secret.
#[derive(Serialize)]
pub(super) struct ConnectionView<'a> {
    id: ConnectionId,
    project_id: &'a str,
    database_type: &'a str,
    identifier: &'a str,
    host: Option<&'a str>,
    port: Option<u16>,
    database_name: Option<&'a str>,
    username: Option<&'a str>,
    has_password: bool,
    has_connection_string: bool,
    options: Map<String, Value>,
    is_primary: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    implicit: bool,
    status: ConnectionStatus,
    created_at: Option<&'a str>,
    updated_at: Option<&'a str>,
}

pub(super) fn show<'a>(catalog: &Catalog, connection: &'a Connection) -> ConnectionView<'a> {
    let driver = catalog.driver(&connection.database_type);
    let endpoint = &connection.settings.endpoint;
    let parts = endpoint.parts();
    ConnectionView {
        id: connection.id,
        project_id: &connection.project_id,
        database_type: &connection.database_type,
        identifier: &connection.identifier,
        host: parts.map(|parts| parts.host.as_str()),
        port: parts.and_then(|parts| parts.port),
        database_name: parts.and_then(|parts| parts.database_name.as_deref()),
        username: parts.and_then(|parts| parts.username.as_deref()),
        has_password: parts.is_some_and(|parts| parts.password.is_some()),
        has_connection_string: endpoint.connection_string().is_some(),
        options: visible_options(driver.as_deref(), connection),
        is_primary: connection.is_primary,
        implicit: connection.is_implicit,
        status: connection.status,
        created_at: Some(connection.created_at.as_str()).filter(|time| !time.is_empty()),
        updated_at: Some(connection.updated_at.as_str()).filter(|time| !time.is_empty()),
    }
}

fn driver(gateway: &Gateway, database_type: &str) -> Result<Arc<Driver>, ApiError> {
    match gateway.catalog.prefix(database_type) {
        Some(prefix) if prefix.alias().is_none() => Ok(prefix.driver().clone()),
        // Connections are managed under the driver's own type.
        Some(_) => Err(FlowError::UnknownPath.into()),
        None => Err(FlowError::UnknownType(database_type.chars().take(64).collect()).into()),
    }
}

/// Reads an id from a path; text that is no UUID is the id of no connection.
fn connection_id(text: &str) -> Result<ConnectionId, ApiError> {
    text.parse().map_err(|_| ManagementError::NoConnection(text.chars().take(64).collect()).into())
}

/// Handles `GET`: lists the project's connections of this type.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Path((database_type, reference)): Path<(String, String)>,
    headers: HeaderMap,
    wanted: PageQuery,
) -> Result<Response, ApiError> {
    driver(&gateway, &database_type)?;
    gateway.gate.authorize(&headers, &reference, Access::Read).await?;
    let registry = gateway.directory.registry();
    let found =
        registry.list_connections(&reference, Some(&database_type), wanted.limit, wanted.offset).await?;
    let items: Vec<_> = found.items.iter().map(|connection| show(&gateway.catalog, connection)).collect();
    Ok(page(&items, found.total))
}

/// Handles `POST`: creates a connection.
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Path((database_type, reference)): Path<(String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
    body: Result<Json<CreateConnection>, ApiError>,
) -> Result<Response, ApiError> {
    let driver = driver(&gateway, &database_type)?;
    let authorization = gateway.gate.authorize(&headers, &reference, Access::Admin).await?;
    let Json(body) = body?;
    let place = (Some(reference.as_str()), Some(body.identifier.clone()));
    let record = record_of(&facts, authorization.principal(), "connection.create", place);
    let created = gateway.connections.create(&reference, &driver, body, record.clone()).await;
    let created = created.map_err(ApiError::from);
    note_failure(&gateway, record, &created);
    created.map(|connection| data(StatusCode::CREATED, show(&gateway.catalog, &connection)))
}

/// Handles `GET …/{id}`: shows a connection.
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Path((database_type, reference, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    driver(&gateway, &database_type)?;
    gateway.gate.authorize(&headers, &reference, Access::Read).await?;
    let connection = gateway.connections.find(&reference, &database_type, connection_id(&id)?).await?;
    Ok(data(StatusCode::OK, show(&gateway.catalog, &connection)))
}

/// Handles `PUT …/{id}`: changes a connection.
pub(super) async fn change(
    State(gateway): State<Arc<Gateway>>,
    Path((database_type, reference, id)): Path<(String, String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
    body: Result<Json<ChangeConnection>, ApiError>,
) -> Result<Response, ApiError> {
    let driver = driver(&gateway, &database_type)?;
    let authorization = gateway.gate.authorize(&headers, &reference, Access::Admin).await?;
    let id = connection_id(&id)?;
    let Json(body) = body?;
    let place = (Some(reference.as_str()), Some(id.to_string()));
    let record = record_of(&facts, authorization.principal(), "connection.change", place);
    let changed = gateway.connections.change(&reference, &driver, id, body, record.clone()).await;
    let changed = changed.map_err(ApiError::from);
    note_failure(&gateway, record, &changed);
    changed.map(|connection| data(StatusCode::OK, show(&gateway.catalog, &connection)))
}

/// Handles `DELETE …/{id}`: deletes a connection.
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Path((database_type, reference, id)): Path<(String, String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    driver(&gateway, &database_type)?;
    let authorization = gateway.gate.authorize(&headers, &reference, Access::Admin).await?;
    let id = connection_id(&id)?;
    let place = (Some(reference.as_str()), Some(id.to_string()));
    let record = record_of(&facts, authorization.principal(), "connection.delete", place);
    let deleted = gateway.connections.delete(&reference, &database_type, id, record.clone()).await;
    let deleted = deleted.map_err(ApiError::from);
    note_failure(&gateway, record, &deleted);
    deleted.map(|()| StatusCode::NO_CONTENT.into_response())
}

/// Handles `POST …/{id}/test`. The status is 200 if the connection exists; the payload has the test's result.
pub(super) async fn test(
    State(gateway): State<Arc<Gateway>>,
    Path((database_type, reference, id)): Path<(String, String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let driver = driver(&gateway, &database_type)?;
    let authorization = gateway.gate.authorize(&headers, &reference, Access::Admin).await?;
    let id = connection_id(&id)?;
    let place = (Some(reference.as_str()), Some(id.to_string()));
    let begun = gateway.audit.begin(record_of(&facts, authorization.principal(), "connection.test", place));
    let tested = gateway.connections.test(&reference, &driver, id).await.map_err(ApiError::from);
    begun.end(|record| outcome(&tested).clone_into(&mut record.result));
    let tested = tested?;
    let mut answer = Map::new();
    answer.insert("success".to_owned(), tested.outcome.is_ok().into());
    answer.insert("latency_ms".to_owned(), json!(tested.latency.as_secs_f64() * 1000.0));
    match tested.outcome {
        Ok(facts) => {
            // The driver can't replace the host's own fields.
            facts.into_iter().for_each(|(name, fact)| {
                answer.entry(name).or_insert(fact);
            });
        }
        Err(error) => {
            let shown =
                json!({"code": error.code.as_str(), "message": error.message, "details": error.details});
            answer.insert("error".to_owned(), shown);
        }
    }
    Ok(data(StatusCode::OK, answer))
}
