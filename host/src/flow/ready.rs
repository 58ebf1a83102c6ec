//! The third step: the body read, the connection found, a session leased; and then the call itself.

use super::{Flow, FlowError, authorized::Authorized, call::OperationLabel, reply::Reply};
use crate::{
    registry::{ConnectionId, ConnectionSelector, ConnectionStatus},
    sessions::{Lease, Target},
    telemetry::Metrics,
};
use axum::body::{Body, HttpBody};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::time::Instant;
use studio_plugin_api::{Call, DriverError};

/// A call with everything it needs.
pub(super) struct Ready {
    label: OperationLabel,
    lease: Lease,
    call: Call,
    connection: ConnectionId,
}

/// Gets what the call needs.
pub(super) async fn prepare(flow: &Flow, authorized: Authorized) -> Result<Ready, FlowError> {
    let (call, granted) = authorized.into_parts();
    let label = call.label();
    let body = read_body(call.body, flow.limits.max_body_bytes.get()).await?;
    let database_type = &call.driver.manifest().database_type;
    let found = flow.directory.connection(&call.reference, database_type, &call.selector).await?;
    let connection =
        found.ok_or_else(|| FlowError::NoConnection(no_connection(database_type, &call.selector)))?;
    if connection.status == ConnectionStatus::Inactive {
        return Err(FlowError::Inactive(connection.identifier.clone()));
    }
    let id = connection.id;
    let target = Target { connection, driver: call.driver };
    let lease = flow.sessions.lease(&target, call.deadline).await?;
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
    Ok(Ready { label, lease, call, connection: id })
}

impl Ready {
    /// Makes the call.
    pub(super) async fn run(self, metrics: &Metrics) -> Result<Reply, FlowError> {
        let limit = self.call.max_reply_bytes;
        let start = Instant::now();
        let result = self.lease.call(self.call).await;
        metrics.driver_answered(&self.label, start.elapsed(), result.as_ref().err());
        let payload = result?;
        if payload.json.len() as u64 > limit {
            return Err(DriverError::result_too_large(limit).into());
        }
        Ok(Reply::new(payload, self.connection))
    }
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
