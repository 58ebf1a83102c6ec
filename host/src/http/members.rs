//! `/api/platform/projects/{ref}/members`.

use super::{
    body::{Json, PageQuery, data, page_of},
    caller::{Facts, audit},
    error::ApiError,
};
use crate::{
    app::Gateway,
    connections::input::InvalidField,
    identity::Access,
    registry::{Member, MemberVia, Role},
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

/// `GET`.
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

/// `PUT …/{user_id}`: makes a user a member of the project, or changes the role. For owners.
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
    let put =
        gateway.directory.registry().put_member(&reference, &user, body.role).await.map_err(ApiError::from);
    gateway.directory.changed();
    let target = (Some(reference.as_str()), Some(user.clone()));
    audit(&gateway, &facts, authorization.principal(), "member.put", target, &put).await;
    put?;
    Ok(data(StatusCode::OK, Member { user_id: user, role: body.role, via: MemberVia::Project }))
}

/// `DELETE …/{user_id}`: ends a membership in the project; one in its organization is the organization's. For owners.
pub(super) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Path((reference, user)): Path<(String, String)>,
    Facts(facts): Facts,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let authorization = gateway.gate.authorize_owner(&headers, &reference).await?;
    let removed = gateway.directory.registry().remove_member(&reference, &user).await.map_err(ApiError::from);
    gateway.directory.changed();
    let target = (Some(reference.as_str()), Some(user.clone()));
    audit(&gateway, &facts, authorization.principal(), "member.remove", target, &removed).await;
    if removed? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(ApiError::new(ErrorCode::NotFound, format!("`{user}` is no member of the project itself")))
    }
}
