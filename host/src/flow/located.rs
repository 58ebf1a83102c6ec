//! The fourth step: the body read, the connection found. What the call still lacks is a session, or a reply that was
//! kept.

use super::{Flow, FlowError, admitted::Admitted, call::OperationLabel, nesting::is_deeper_than};
use crate::{
    plugins::OperationCaching,
    registry::{ConnectionSelector, ConnectionStatus},
    sessions::Target,
};
use axum::body::{Body, HttpBody};
use http::HeaderMap;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use studio_plugin_api::Call;

/// A call that may be made, and where. Only [`locate`] makes one.
#[derive(Clone)]
pub(super) struct Located {
    pub(super) label: OperationLabel,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) call: Call,
    pub(super) target: Target,
}

impl Located {
    /// Its operation, as the cache sees it.
    pub(super) fn caching(&self) -> Option<&OperationCaching> {
        self.target.driver.caching(self.call.operation)
    }
}

/// Finds the connection, which must not be switched off.
pub(super) async fn locate(flow: &Flow, admitted: Admitted) -> Result<Located, FlowError> {
    let (call, granted) = admitted.into_parts();
    let label = call.label();
    let body = read_body(call.body, flow.limits.max_body_bytes.get()).await?;
    let limit = flow.limits.max_nesting.get();
    if is_deeper_than(limit, &body) {
        return Err(FlowError::BodyTooDeep { limit });
    }
    let database_type = &call.driver.manifest().database_type;
    let found = flow.directory.connection(&call.reference, call.driver.manifest(), &call.selector).await?;
    let connection =
        found.ok_or_else(|| FlowError::NoConnection(no_connection(database_type, &call.selector)))?;
    if connection.status == ConnectionStatus::Inactive {
        return Err(FlowError::Inactive(connection.identifier.clone()));
    }
    let target = Target { connection, driver: call.driver };
    let headers = Arc::new(call.headers);
    let call = Call {
        operation: call.operation,
        granted,
        path: call.path,
        query: call.query,
        body,
        deadline: call.deadline,
        max_reply_bytes: flow.limits.max_reply_bytes.get() as u64,
        request_id: call.facts.request_id,
    };
    Ok(Located { label, headers, call, target })
}

/// Reads a request's body whole, if it is within the limit in bytes.
pub(crate) async fn read_body(body: Body, limit: usize) -> Result<Vec<u8>, FlowError> {
    // What is announced too large is not waited for.
    if body.size_hint().lower() > limit as u64 {
        return Err(FlowError::BodyTooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => Err(FlowError::BodyTooLarge { limit }),
        Err(_) => Err(FlowError::BodyCutShort),
    }
}

fn no_connection(database_type: &str, selector: &ConnectionSelector) -> String {
    match selector {
        ConnectionSelector::Primary => format!("the project has no `{database_type}` connection yet"),
        ConnectionSelector::Id(id) => {
            format!("the project has no `{database_type}` connection with the id {id}")
        }
        ConnectionSelector::Identifier(name) => {
            format!("the project has no `{database_type}` connection named `{name}`")
        }
    }
}
