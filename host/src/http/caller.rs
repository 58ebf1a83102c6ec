//! Who is calling, for the host's own routes.

use super::error::ApiError;
use crate::{app::Gateway, flow::RequestFacts, identity::Principal, registry::AuditRecord};
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::{convert::Infallible, sync::Arc};

/// A user, or a project's service key, whose token verified; nothing more is known to be allowed.
pub(super) struct Caller(pub(super) Arc<Principal>);

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiError> {
        Ok(Self(gateway.gate.authenticate(&parts.headers, None).await?))
    }
}

/// The request's id and origin.
pub(super) struct Facts(pub(super) RequestFacts);

impl<S: Send + Sync> FromRequestParts<S> for Facts {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let unknown = || RequestFacts { request_id: String::new(), remote: None };
        Ok(Self(parts.extensions.get().cloned().unwrap_or_else(unknown)))
    }
}

/// Notes in the audit trail what a caller did, and how it ended.
pub(super) async fn audit<T>(
    gateway: &Gateway,
    facts: &RequestFacts,
    principal: &Principal,
    action: &str,
    (project, target): (Option<&str>, Option<String>),
    result: &Result<T, ApiError>,
) {
    let record = AuditRecord {
        at: jiff::Timestamp::now(),
        user_id: Some(principal.to_string()),
        action: action.to_owned(),
        project_ref: project.map(str::to_owned),
        target,
        result: result.as_ref().map_or_else(|error| error.code().to_owned(), |_| "ok".to_owned()),
        remote_address: facts.remote.map(|address| address.to_string()),
        request_id: Some(facts.request_id.clone()),
    };
    gateway.audit.record(record).await;
}
