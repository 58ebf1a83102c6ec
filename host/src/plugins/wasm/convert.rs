//! Between the world's values and the contract's. What comes from a guest is read with suspicion.

use super::{
    bindings::studio::driver::types::{
        Access as GuestAccess, CallRequest, Error, ErrorCode as GuestCode, Outcome as GuestOutcome,
        Parameter, Payload as GuestPayload,
    },
    broken,
};
use std::time::Duration;
use studio_plugin_api::{Access, Call, DriverError, ErrorCode, Outcome, reply::Payload};

/// Bytes of a guest's error, message and details together, that are passed on.
const LONGEST_ERROR: usize = 64 << 10;

pub(super) fn request(call: Call) -> CallRequest {
    CallRequest {
        operation: call.operation,
        granted: match call.granted {
            Access::Read => GuestAccess::Read,
            Access::Write => GuestAccess::Write,
            Access::Admin => GuestAccess::Admin,
        },
        deadline_in: call.time_left().as_nanos().try_into().unwrap_or(u64::MAX),
        path: call.path,
        query: call.query.into_iter().map(|(name, value)| Parameter { name, value }).collect(),
        body: call.body,
        max_reply_bytes: call.max_reply_bytes,
        request_id: call.request_id,
    }
}

pub(super) fn read_payload(payload: GuestPayload) -> Payload {
    let outcome = match payload.outcome {
        GuestOutcome::Ok => Outcome::Ok,
        GuestOutcome::Created => Outcome::Created,
        GuestOutcome::NoContent => Outcome::NoContent,
    };
    Payload { outcome, json: payload.json, only_read: payload.only_read }
}

/// The guest's error, and whether its session is lost.
pub(super) fn read_error(error: Error) -> (DriverError, bool) {
    let code = match error.code {
        GuestCode::ValidationError => ErrorCode::ValidationError,
        GuestCode::QueryError => ErrorCode::QueryError,
        GuestCode::Forbidden => ErrorCode::Forbidden,
        GuestCode::NotFound => ErrorCode::NotFound,
        GuestCode::Conflict => ErrorCode::Conflict,
        GuestCode::PayloadTooLarge => ErrorCode::PayloadTooLarge,
        GuestCode::ResultTooLarge => ErrorCode::ResultTooLarge,
        GuestCode::ConnectionError => ErrorCode::ConnectionError,
        GuestCode::Timeout => ErrorCode::Timeout,
        GuestCode::DriverError => ErrorCode::DriverError,
    };
    if error.message.len() + error.details.len() > LONGEST_ERROR {
        return (broken("the driver answered with an error that is too long to pass on"), error.session_lost);
    }
    let details = if error.details.is_empty() {
        Ok(serde_json::Map::new())
    } else {
        serde_json::from_str(&error.details)
    };
    let driver_error = match details {
        Ok(details) => DriverError {
            code,
            message: error.message,
            details,
            retry_after: error.retry_after.map(|seconds| Duration::from_secs(seconds.into())),
        },
        Err(_) => broken("the driver answered with details that are not a JSON object"),
    };
    (driver_error, error.session_lost)
}
