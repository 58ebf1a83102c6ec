//! Converts between the world's values and the contract's. Values that come from a guest are read with suspicion.

use super::{
    bindings::studio::driver::types::{
        Access as GuestAccess, CallRequest, Error, ErrorCode as GuestCode, Outcome as GuestOutcome,
        Parameter, Payload as GuestPayload,
    },
    broken,
    journal::Journal,
};
use crate::plugins::{Payload, error::beginning};
use std::time::Duration;
use studio_plugin_api::{Access, Call, DriverError, ErrorCode, Outcome};

/// The most bytes of a guest's error, message and details together, that are passed on.
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
        request_id: (*call.request_id).to_owned(),
    }
}

pub(super) fn read_payload(payload: GuestPayload) -> Payload {
    let outcome = match payload.outcome {
        GuestOutcome::Ok => Outcome::Ok,
        GuestOutcome::Created => Outcome::Created,
        GuestOutcome::NoContent => Outcome::NoContent,
    };
    Payload { outcome, json: payload.json.into(), only_read: payload.only_read }
}

/// Reads the guest's error, and tells whether its session is lost. An error that can't be passed on goes to the log.
pub(super) fn read_error(error: Error, journal: &Journal) -> (DriverError, bool) {
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
    let garbled = |message: &str| {
        let broken = broken(message);
        // The texts may be as large as a guest's memory. The journal cuts them to less than this.
        let (message_head, details_head) =
            (beginning(&error.message, LONGEST_ERROR), beginning(&error.details, LONGEST_ERROR));
        let said = format!("code={} message={message_head:?} details={details_head:?}", code.as_str());
        journal.report(message, &said);
        (broken, error.session_lost)
    };
    if error.message.len() + error.details.len() > LONGEST_ERROR {
        return garbled("the driver answered with an error that is too long to pass on");
    }
    let details = if error.details.is_empty() {
        serde_json::Map::new()
    } else {
        match serde_json::from_str(&error.details) {
            Ok(details) => details,
            Err(_) => return garbled("the driver answered with details that are not a JSON object"),
        }
    };
    let retry_after = error.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
    (DriverError { code, message: error.message, details, retry_after }, error.session_lost)
}
