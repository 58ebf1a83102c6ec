//! `/api/platform/projects`.

use super::{
    body::{Json, PageQuery, data, page},
    caller::{Caller, Facts, change, record_of},
    connections::show,
    error::ApiError,
    organizations::check_display_name,
};
use crate::{
    connections::project_database::connection_id,
    gateway::Gateway,
    identity::{Access, GateError},
    management::input::{InvalidField, check_identifier},
    registry::{
        DeletedProject, NewProject, ProjectDatabase, Registry, RegistryError, database_password_place,
    },
    role::Role,
};
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::sync::Arc;
use studio_plugin_api::{ErrorCode, Secret};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateProject {
    /// Slug or id.
    organization: String,
    name: String,
    #[serde(rename = "ref", default)]
    reference: Option<String>,
    #[serde(default)]
    database: Option<CreateDatabase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateDatabase {
    host: String,
    #[serde(default = "postgres_port")]
    port: u16,
    name: String,
    user: String,
    #[serde(default)]
    password: Option<Secret>,
}

/// Pairs of a registry column and its name in this API.
const FIELDS: [(&str, &str); 7] = [
    ("slug", "ref"),
    ("organization_id", "organization"),
    ("database_host", "database.host"),
    ("database_port", "database.port"),
    ("database_name", "database.name"),
    ("database_user", "database.user"),
    ("database_password", "database.password"),
];

fn postgres_port() -> u16 {
    5432
}

/// Handles `GET`: lists the caller's projects.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Caller(principal): Caller,
    wanted: PageQuery,
) -> Result<Response, ApiError> {
    let registry = gateway.directory.registry();
    let found = registry.list_projects(&principal.visibility(), wanted.limit, wanted.offset).await?;
    Ok(page(&found.items, found.total))
}

/// Handles `POST`: creates a project in an organization of which the caller is admin or owner.
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Caller(principal): Caller,
    Facts(facts): Facts,
    Json(body): Json<CreateProject>,
) -> Result<Response, ApiError> {
    let registry = gateway.directory.registry();
    check_display_name("name", &body.name)?;
    let reference = body.reference.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    check_identifier("ref", &reference)?;
    if body.organization.contains(char::is_control) {
        return Err(InvalidField::new("organization", "must be a slug or an id").into());
    }
    let no_organization =
        || ApiError::new(ErrorCode::NotFound, "there is no such organization, or you are no member of it");
    let organization = registry.find_organization(&body.organization).await?.ok_or_else(no_organization)?;
    if !principal.is_platform_admin() {
        let user = principal.user().unwrap_or_default();
        match registry.organization_role(&organization.id, user).await? {
            Some(role) if role >= Role::Admin => {}
            Some(role) => return Err(GateError::RoleTooLow { needed: Role::Admin.as_str(), role }.into()),
            None => return Err(no_organization()),
        }
    }
    let (database, password) = match body.database {
        Some(database) => {
            check_database(&database)?;
            gateway.addresses.check_literal(&database.host)?;
            let place = ProjectDatabase {
                host: database.host,
                port: database.port,
                name: database.name,
                user: database.user,
            };
            (Some(place), database.password)
        }
        None => (None, None),
    };
    let sealed =
        |password: Secret| gateway.keyring.seal(&database_password_place(&reference), password.expose());
    let new = NewProject {
        organization_id: organization.id,
        name: body.name,
        database_password: password.map(sealed),
        reference: reference.clone(),
        database,
    };
    let record = record_of(&facts, &principal, "project.create", (Some(&reference), None));
    let create =
        |registry: Arc<dyn Registry>, record| async move { registry.create_project(new, &record).await };
    let attempt = gateway.taken_names.begin(&principal).await?;
    let created = change(&gateway, record, create, |_| (), |error| error.renamed(&FIELDS).into()).await;
    attempt.end(created.as_ref().is_err_and(ApiError::is_taken));
    created.map(|project| data(StatusCode::CREATED, project))
}

fn check_database(database: &CreateDatabase) -> Result<(), InvalidField> {
    let parts = [
        ("database.host", &database.host),
        ("database.name", &database.name),
        ("database.user", &database.user),
    ];
    parts.into_iter().try_for_each(|(field, text)| check_display_name(field, text))?;
    if database.port == 0 {
        return Err(InvalidField::new("database.port", "must be a whole number from 1 to 65535"));
    }
    Ok(())
}

/// Handles `GET …/{ref}`: shows a project.
pub(super) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    gateway.gate.authorize(&headers, &reference, Access::Read).await?;
    let project = gateway.directory.registry().find_project(&reference).await?;
    project.map(|project| data(StatusCode::OK, project)).ok_or_else(|| GateError::NoProject(reference).into())
}

/// Handles `DELETE …/{ref}`: deletes the project and its connections, and closes their sessions. For owners.
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    Facts(facts): Facts,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let authorization = gateway.gate.authorize_owner(&headers, &reference).await?;
    let record = record_of(&facts, authorization.principal(), "project.delete", (Some(&reference), None));
    let doomed = reference.clone();
    let delete =
        |registry: Arc<dyn Registry>, record| async move { registry.delete_project(&doomed, &record).await };
    let parts = gateway.clone();
    let then = move |deleted: &DeletedProject| {
        let mut gone = deleted.connections.clone();
        let types = parts.catalog.project_database_types();
        gone.extend(types.iter().map(|database_type| connection_id(&deleted.id, database_type)));
        gone.iter().for_each(|connection| parts.sessions.close(*connection));
        parts.cache.forget(gone);
    };
    let refusal = |error| match error {
        RegistryError::NotFound { .. } => GateError::NoProject(reference).into(),
        error => ApiError::from(error),
    };
    let deleted = change(&gateway, record, delete, then, refusal).await;
    deleted.map(|_| StatusCode::NO_CONTENT.into_response())
}

/// Handles `GET …/{ref}/databases`: lists the project's connections of every type and, after them, the project's own
/// database as a connection of each type that can use it.
pub(super) async fn databases(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    wanted: PageQuery,
) -> Result<Response, ApiError> {
    gateway.gate.authorize(&headers, &reference, Access::Read).await?;
    let registry = gateway.directory.registry();
    let found = registry.list_connections(&reference, None, wanted.limit, wanted.offset).await?;
    let mut own = Vec::new();
    for database_type in gateway.catalog.project_database_types() {
        own.extend(gateway.directory.project_database(&reference, &database_type).await?);
    }
    let skipped = u64::from(wanted.offset).saturating_sub(found.total);
    let own_here = own.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
    let all = found.items.iter().chain(own_here).take(wanted.limit as usize);
    let items: Vec<_> = all.map(|connection| show(&gateway.catalog, connection)).collect();
    Ok(page(&items, found.total + own.len() as u64))
}
