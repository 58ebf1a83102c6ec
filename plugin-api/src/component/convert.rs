//! Conversions between the world's values and the contract's.

use super::bindings::studio::driver::types::{
    Access as HostAccess, CallRequest, Endpoint as HostEndpoint, Error, ErrorCode as HostCode,
    Outcome as HostOutcome, Payload as HostPayload, Settings,
};
use crate::{
    Access, Call, ConnectionSettings, Driver, DriverError, Endpoint, ErrorCode, Outcome, parameters,
    reply::Payload, time::Instant,
};
use std::time::Duration;

impl From<CallRequest> for Call {
    fn from(request: CallRequest) -> Self {
        let now = Instant::now();
        Self {
            operation: request.operation,
            granted: match request.granted {
                HostAccess::Read => Access::Read,
                HostAccess::Write => Access::Write,
                HostAccess::Admin => Access::Admin,
            },
            path: request.path,
            query: request.query.into_iter().map(|parameter| (parameter.name, parameter.value)).collect(),
            body: request.body,
            deadline: now.checked_add(Duration::from_nanos(request.deadline_in)).unwrap_or(now),
            max_reply_bytes: request.max_reply_bytes,
            request_id: request.request_id.into(),
        }
    }
}

impl From<Payload> for HostPayload {
    fn from(payload: Payload) -> Self {
        Self {
            outcome: match payload.outcome {
                Outcome::Ok => HostOutcome::Ok,
                Outcome::Created => HostOutcome::Created,
                Outcome::NoContent => HostOutcome::NoContent,
            },
            json: payload.json,
            only_read: payload.only_read,
        }
    }
}

pub(super) fn error(error: DriverError, session_lost: bool) -> Error {
    let code = match error.code {
        ErrorCode::ValidationError => HostCode::ValidationError,
        ErrorCode::QueryError => HostCode::QueryError,
        ErrorCode::Forbidden => HostCode::Forbidden,
        ErrorCode::NotFound => HostCode::NotFound,
        ErrorCode::Conflict => HostCode::Conflict,
        ErrorCode::PayloadTooLarge => HostCode::PayloadTooLarge,
        ErrorCode::ResultTooLarge => HostCode::ResultTooLarge,
        ErrorCode::ConnectionError => HostCode::ConnectionError,
        ErrorCode::Timeout => HostCode::Timeout,
        ErrorCode::DriverError => HostCode::DriverError,
    };
    Error {
        code,
        message: error.message,
        details: if error.details.is_empty() {
            String::new()
        } else {
            serde_json::Value::Object(error.details).to_string()
        },
        retry_after: error.retry_after.map(|time| time.as_secs().max(1).try_into().unwrap_or(u32::MAX)),
        session_lost,
    }
}

pub(super) fn settings<D: Driver>(settings: Settings) -> Result<ConnectionSettings<D::Options>, DriverError> {
    let endpoint = match settings.endpoint {
        HostEndpoint::Parts(parts) => Endpoint::Parts {
            host: parts.host,
            port: parts.port,
            database_name: parts.database_name,
            username: parts.username,
            password: parts.password.map(Into::into),
        },
        HostEndpoint::ConnectionString(text) => Endpoint::ConnectionString(text.into()),
    };
    let options = serde_json::from_str(&settings.options)
        .map_err(|_| DriverError::validation("options", "`options`: is not JSON"))?;
    Ok(ConnectionSettings { endpoint, options: parameters::options_from_json(options)? })
}
