//! The last step but one, when no kept reply would do: a session leased; and then the call itself.

use super::located::Located;
use crate::{
    cache::{Ending, ReplyCache},
    plugins::check_payload,
    sessions::{Lease, Sessions},
    telemetry::Metrics,
};
use std::time::Instant;
use studio_plugin_api::{Access, DriverError, reply::Payload};

/// A call with everything it needs.
pub(super) struct Ready {
    located: Located,
    lease: Lease,
}

/// Leases the session.
pub(super) async fn prepare(sessions: &Sessions, located: Located) -> Result<Ready, DriverError> {
    let lease = sessions.lease(&located.target, located.call.deadline).await?;
    Ok(Ready { located, lease })
}

impl Ready {
    /// Makes the call. Kept replies that it may make stale are out of use before its result is known to anyone.
    pub(super) async fn run(self, cache: &ReplyCache, metrics: &Metrics) -> Result<Payload, DriverError> {
        let Located { label, call, target, .. } = self.located;
        let (limit, operation) = (call.max_reply_bytes, call.operation);
        let start = Instant::now();
        let write = match target.driver.caching(call.operation) {
            Some(caching) if call.granted > Access::Read => {
                cache.begin_write(target.connection.id, &caching.invalidates, start)
            }
            _ => None,
        };
        let result = self.lease.call(call).await;
        let result = result.and_then(|payload| check_payload(payload, target.driver.wrapping(operation)));
        if let Some(write) = write {
            write.end(Ending::of(&result), Instant::now());
        }
        metrics.driver_answered(&label, start.elapsed(), result.as_ref().err());
        let payload = result?;
        if payload.json.len() as u64 > limit {
            return Err(DriverError::result_too_large(limit));
        }
        Ok(payload)
    }
}
