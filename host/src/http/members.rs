//! `/api/platform/projects/{ref}/members`.

use super::{
    body::{Json, PageQuery, data, page_of},
    caller::{Facts, change, record_of},
    error::ApiError,
};
use crate::{
    gateway::Gateway,
    identity::Access,
    management::input::InvalidField,
    registry::{Member, MemberVia, Registry, RegistryError},
    role::Role,
};
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::sync::Arc;
use studio_plugin_api::ErrorCode;

/// The longest user id, in bytes.
const LONGEST_USER: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutMember {
    role: Role,
}

/// Handles `GET`: lists the project's members.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    wanted: PageQuery,
) -> Result<Response, ApiError> {
    gateway.gate.authorize(&headers, &reference, Access::Read).await?;
    let members = gateway.directory.registry().list_members(&reference).await?;
    Ok(page_of(&members, wanted))
}

/// Handles `PUT …/{user_id}`: makes a user a member of the project, or changes the member's role. For owners.
pub(super) async fn put(
    State(gateway): State<Arc<Gateway>>,
    Path((reference, user)): Path<(String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
    Json(body): Json<PutMember>,
) -> Result<Response, ApiError> {
    let authorization = gateway.gate.authorize_owner(&headers, &reference).await?;
    if user.len() > LONGEST_USER || user.contains(char::is_control) {
        let expected = format!("must be 1 to {LONGEST_USER} bytes of text without control characters");
        return Err(InvalidField::new("user_id", expected).into());
    }
    let place = (Some(reference.as_str()), Some(user.clone()));
    let record = record_of(&facts, authorization.principal(), "member.put", place);
    let member = Member { user_id: user, role: body.role, via: MemberVia::Project };
    let put = |registry: Arc<dyn Registry>, record| async move {
        registry.put_member(&reference, &member.user_id, member.role, &record).await.map(|()| member)
    };
    let put = change(&gateway, record, put, |_| (), ApiError::from).await;
    put.map(|member| data(StatusCode::OK, member))
}

/// Handles `DELETE …/{user_id}`: ends a membership in the project itself, not one in its organization. For owners.
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Path((reference, user)): Path<(String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let authorization = gateway.gate.authorize_owner(&headers, &reference).await?;
    let place = (Some(reference.as_str()), Some(user.clone()));
    let record = record_of(&facts, authorization.principal(), "member.remove", place);
    let gone = user.clone();
    let remove = |registry: Arc<dyn Registry>, record| async move {
        registry.remove_member(&reference, &gone, &record).await
    };
    let refusal = |error| match error {
        RegistryError::NotFound { what: "member" } => {
            ApiError::new(ErrorCode::NotFound, format!("`{user}` is no member of the project itself"))
        }
        error => error.into(),
    };
    let removed = change(&gateway, record, remove, |()| (), refusal).await;
    removed.map(|()| StatusCode::NO_CONTENT.into_response())
}
