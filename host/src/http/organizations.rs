//! `/api/platform/organizations`.

use super::{
    body::{Json, PageQuery, data, page},
    caller::{Caller, Facts, change, record_of},
    error::ApiError,
};
use crate::{
    gateway::Gateway,
    identity::GateError,
    management::input::{InvalidField, check_identifier},
    registry::{NewOrganization, Registry, RegistryError},
};
use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use studio_plugin_api::ErrorCode;

/// The longest display name, in bytes.
pub(super) const LONGEST_NAME: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateOrganization {
    name: String,
    slug: String,
    #[serde(default)]
    billing_email: Option<String>,
}

/// Handles `GET`: lists the caller's organizations.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Caller(principal): Caller,
    wanted: PageQuery,
) -> Result<Response, ApiError> {
    let registry = gateway.directory.registry();
    let found = registry.list_organizations(&principal.visibility(), wanted.limit, wanted.offset).await?;
    Ok(page(&found.items, found.total))
}

/// Handles `POST`: creates an organization; the caller becomes its owner.
pub(super) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Caller(principal): Caller,
    Facts(facts): Facts,
    Json(body): Json<CreateOrganization>,
) -> Result<Response, ApiError> {
    let Some(user) = principal.user() else { return Err(GateError::NotForYou("a user's token").into()) };
    check_display_name("name", &body.name)?;
    check_identifier("slug", &body.slug)?;
    if let Some(email) = &body.billing_email
        && (!email.contains('@') || email.len() > 254 || email.contains(char::is_whitespace))
    {
        return Err(InvalidField::new("billing_email", "must be an e-mail address").into());
    }
    let new = NewOrganization {
        name: body.name,
        slug: body.slug.clone(),
        billing_email: body.billing_email,
        owner: user.to_owned(),
    };
    let record = record_of(&facts, &principal, "organization.create", (None, Some(body.slug)));
    let create =
        |registry: Arc<dyn Registry>, record| async move { registry.create_organization(new, &record).await };
    let attempt = gateway.taken_names.begin(&principal).await?;
    let created = change(&gateway, record, create, |_| (), not_created).await;
    attempt.end(created.as_ref().is_err_and(ApiError::is_taken));
    created.map(|organization| data(StatusCode::CREATED, organization))
}

/// Maps the error of a creation. The owner is the token's user: an unacceptable user id is no mistake of the request.
fn not_created(error: RegistryError) -> ApiError {
    match error {
        RegistryError::Unacceptable { field, reason } if field == "user_id" => {
            ApiError::new(ErrorCode::Forbidden, format!("the token's `sub` {reason}")).with("claim", "sub")
        }
        error => error.into(),
    }
}

/// Checks a display name: some text, no control characters.
pub(super) fn check_display_name(field: &'static str, name: &str) -> Result<(), InvalidField> {
    if name.trim().is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
        return Err(InvalidField::new(
            field,
            format!("must be 1 to {LONGEST_NAME} bytes of text without control characters"),
        ));
    }
    Ok(())
}
