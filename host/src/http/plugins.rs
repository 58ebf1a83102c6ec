//! `/api/platform/plugins`: the drivers.

use super::{
    caller::{Caller, Facts, outcome, record_of},
    error::ApiError,
};
use crate::{gateway::Gateway, identity::GateError};
use axum::{extract::State, response::Response};
use http::StatusCode;
use std::sync::Arc;

/// Handles `GET`: lists the drivers in service and those that are not. For any user.
pub(super) async fn list(State(gateway): State<Arc<Gateway>>, _: Caller) -> Response {
    super::body::data(StatusCode::OK, gateway.catalog.status())
}

/// Handles `POST …/reload`: reads plugins.toml again and applies it. For platform admins.
pub(super) async fn reload(
    State(gateway): State<Arc<Gateway>>,
    Caller(principal): Caller,
    Facts(facts): Facts,
) -> Result<Response, ApiError> {
    if !principal.is_platform_admin() {
        return Err(GateError::NotForYou("a platform admin").into());
    }
    let record = record_of(&facts, &principal, "plugins.reload", (None, None));
    let begun = gateway.audit.begin(record);
    let result = gateway.catalog.reload().await.map_err(ApiError::from);
    begun.end(|record| outcome(&result).clone_into(&mut record.result));
    result.map(|()| super::body::data(StatusCode::OK, gateway.catalog.status()))
}
