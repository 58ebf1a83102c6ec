//! The caller of the host's own routes, and the record of a caller's actions.

use super::error::ApiError;
use crate::{
    flow::RequestFacts,
    gateway::Gateway,
    identity::Principal,
    registry::{AuditRecord, Registry, RegistryError},
};
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::{convert::Infallible, sync::Arc};

/// A user or a project's service key. Its token was verified; nothing was authorized yet.
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
        let unknown = || RequestFacts { request_id: String::new(), remote: None, prefix: None };
        Ok(Self(parts.extensions.get().cloned().unwrap_or_else(unknown)))
    }
}

/// Makes the audit record of an action that succeeds.
pub(super) fn record_of(
    facts: &RequestFacts,
    principal: &Principal,
    action: &str,
    (project, target): (Option<&str>, Option<String>),
) -> AuditRecord {
    AuditRecord {
        at: jiff::Timestamp::now(),
        user_id: Some(principal.to_string()),
        action: action.to_owned(),
        project_ref: project.map(str::to_owned),
        target,
        result: "ok".to_owned(),
        remote_address: facts.remote.map(|address| address.to_string()),
        request_id: Some(facts.request_id.clone()),
    }
}

/// Gives the result as the audit trail writes it: `ok` or the error's code.
pub(super) fn outcome<T>(result: &Result<T, ApiError>) -> &'static str {
    result.as_ref().err().map_or("ok", ApiError::code)
}

/// Changes the registry and writes the audit record with the change; notes the attempt if the change is refused.
pub(super) async fn change<T: Send + 'static, Change>(
    gateway: &Gateway,
    record: AuditRecord,
    change: impl FnOnce(Arc<dyn Registry>, AuditRecord) -> Change,
    then: impl FnOnce(&T) + Send + 'static,
    refusal: impl FnOnce(RegistryError) -> ApiError,
) -> Result<T, ApiError>
where
    Change: Future<Output = Result<T, RegistryError>> + Send + 'static,
{
    let of_change = record.clone();
    let changed = gateway.directory.change(|registry| change(registry, of_change), then).await;
    let result = changed.map_err(refusal);
    note_failure(gateway, record, &result);
    result
}

/// Notes in the audit trail that an action failed, and why. A successful action writes its own record.
pub(super) fn note_failure<T>(gateway: &Gateway, record: AuditRecord, result: &Result<T, ApiError>) {
    if result.is_err() {
        gateway.audit.record(AuditRecord { result: outcome(result).to_owned(), ..record });
    }
}
