//! Calls a driver's operations without a host, for its author's own tests and benchmarks.

use crate::{
    Access, Call, Driver, DriverError, ErrorCode, Outcome,
    operations::{Method, Operation},
    reply::Payload,
};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// An open session with its route table.
pub struct TestSession<D> {
    session: Arc<D>,
    operations: Vec<Operation<D>>,
}

impl<D: Driver> TestSession<D> {
    /// Around a session that the driver opened.
    pub fn new(session: D) -> Self {
        Self { session: Arc::new(session), operations: D::operations().into_rows() }
    }

    /// The session itself.
    pub fn session(&self) -> &D {
        &self.session
    }

    /// A call of the operation at this method and path template, with 30 seconds and an admin's access; change what
    /// the test is about.
    ///
    /// # Errors
    /// `NOT_FOUND` when the route table has no such row.
    pub fn call_to(&self, method: Method, template: &str) -> Result<Call, DriverError> {
        let row = self.operations.iter().position(|row| row.method == method && row.path == template);
        let number = row.and_then(|row| u32::try_from(row).ok());
        Ok(Call {
            operation: number.ok_or_else(|| DriverError::not_found(format!("no operation at {template}")))?,
            granted: Access::Admin,
            path: Vec::new(),
            query: Vec::new(),
            body: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(30),
            max_reply_bytes: 64 << 20,
            request_id: "test".to_owned(),
        })
    }

    /// Runs a call, as the border would.
    ///
    /// # Errors
    /// The driver's.
    pub async fn run(&self, call: Call) -> Result<Payload, DriverError> {
        let row = usize::try_from(call.operation).ok().and_then(|row| self.operations.get(row));
        let row = row.ok_or_else(|| DriverError::not_found("no such operation"))?;
        (row.handler)(self.session.clone(), call).await
    }

    /// Runs a call and reads its payload; `null` where there is none.
    ///
    /// # Errors
    /// The driver's; `DRIVER_ERROR` when the payload is not JSON.
    pub async fn run_for_json(&self, call: Call) -> Result<(Outcome, Value), DriverError> {
        let payload = self.run(call).await?;
        if payload.json.is_empty() {
            return Ok((payload.outcome, Value::Null));
        }
        let value = serde_json::from_slice(&payload.json).map_err(|error| {
            DriverError::new(ErrorCode::DriverError, format!("the payload is not JSON: {error}"))
        })?;
        Ok((payload.outcome, value))
    }
}
