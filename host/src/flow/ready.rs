//! The last step but one, if no kept reply will do: it leases a session and makes the call.

use super::{BUSY, located::Located};
use crate::{
    budgets::CallShare,
    cache::{Ending, ReplyCache},
    plugins::Payload,
    sessions::{Lease, Sessions},
    telemetry::Metrics,
};
use std::time::Instant;
use studio_plugin_api::{Access, DriverError, ErrorCode};
use tracing::{Instrument, debug_span};

/// A call with everything it needs.
pub(super) struct Ready {
    located: Located,
    lease: Lease,
    leased: Instant,
}

/// Leases a session and makes the call on it.
pub(super) async fn make(
    sessions: &Sessions,
    cache: &ReplyCache,
    metrics: &Metrics,
    located: Located,
) -> Result<Made, DriverError> {
    let ready = prepare(sessions, located, metrics).instrument(debug_span!("prepare")).await?;
    ready.run(cache, metrics).instrument(debug_span!("call")).await
}

/// Leases the session.
async fn prepare(sessions: &Sessions, located: Located, metrics: &Metrics) -> Result<Ready, DriverError> {
    let start = Instant::now();
    let lease = sessions.lease(&located.target, located.call.deadline).await;
    let leased = Instant::now();
    metrics.lease_waited(&located.operation, leased - start);
    Ok(Ready { located, lease: lease?, leased })
}

/// Makes the error for a reply that would be within the limit if fewer calls of its project ran.
fn too_large_for_now(error: DriverError) -> DriverError {
    let message =
        "the result is larger than its share while so many calls of the project run; try again in a moment";
    DriverError { message: message.to_owned(), ..error }.with("reason", BUSY)
}

/// A call's result, and its share of its project's budget: other calls have less until this reply has its room.
pub(super) struct Made {
    pub(super) payload: Payload,
    pub(super) share: CallShare,
}

impl Ready {
    /// Makes the call. Kept replies that it may make stale are out of use before its result is given to its caller.
    async fn run(self, cache: &ReplyCache, metrics: &Metrics) -> Result<Made, DriverError> {
        let Located { operation, mut call, target, account, .. } = self.located;
        let most = call.max_reply_bytes;
        let request_id = call.request_id.clone();
        let share = account.begin_call(most);
        let limit = share.bytes();
        call.max_reply_bytes = limit;
        let start = self.leased;
        let write = match call.granted > Access::Read {
            true => cache.begin_write(target.connection.id, &operation.invalidates, start),
            false => None,
        };
        let result = self.lease.call(&operation, call).await;
        let result = result.and_then(|payload| operation.format.check(payload));
        if let Err(error) = &result
            && error.code == ErrorCode::DriverError
        {
            let driver = &operation.database_type;
            tracing::warn!(target: "driver", %driver, %request_id, "{}: {error}", operation.name);
        }
        if let Some(write) = write {
            write.end(Ending::of(&result), Instant::now());
        }
        metrics.driver_answered(&operation, start.elapsed(), result.as_ref().err());
        let result = result.and_then(|payload| match payload.json.len() as u64 > limit {
            true => Err(DriverError::result_too_large(limit)),
            false => Ok(Made { payload, share }),
        });
        result.map_err(|error| match error.code {
            ErrorCode::ResultTooLarge if limit < most => too_large_for_now(error),
            _ => error,
        })
    }
}
