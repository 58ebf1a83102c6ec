//! The fourth step: whether a reply that was kept will do; and if not, what becomes of the one that is made.

use super::{Flow, FlowError, located::Located, ready, ready::Made, reply::Reply};
use crate::{
    cache::{Answer, CacheStatus, Forward, Kept, Key, Origin, Reading, Wish},
    plugins::Keeping,
    telemetry::CacheUse,
};
use std::{future::Future, sync::Arc, time::Instant};
use studio_plugin_api::{DriverError, ErrorCode};
use tracing::{Instrument, debug_span};

/// What the cache says to a call. Only [`look_up`] says it, of calls that were authorized.
pub(super) enum Looked {
    /// It has the reply.
    Hit(Reply),
    /// It has none; the ticket makes the call.
    Miss(Box<Located>, Ticket),
}

/// What becomes of a call's reply.
pub(super) struct Ticket(Plan);

enum Plan {
    /// It is the caller's alone: the operation is not cacheable.
    Alone,
    /// It is the caller's alone, although the operation is cacheable.
    Bypass,
    /// It must be of a call that begins now.
    Fresh { reading: Reading, keep: bool },
    /// It may be that of another caller's call, and is kept for others.
    Shared(Reading),
}

/// Asks the cache.
pub(super) async fn look_up(flow: &Flow, located: Located) -> Looked {
    let miss = |located, plan| Looked::Miss(Box::new(located), Ticket(plan));
    let bypass = |located: Located, plan| {
        flow.metrics.cache_asked(&located.label, CacheUse::Bypass);
        miss(located, plan)
    };
    let Some(caching) = located.caching() else { return miss(located, Plan::Alone) };
    let time_to_live = match caching.keeping {
        Keeping::Never => return miss(located, Plan::Alone),
        // A body says nothing with GET (RFC 9110 §9.3.1), but a driver might read it.
        Keeping::For(time) if flow.cache.is_enabled() && located.call.body.is_empty() => time,
        Keeping::For(_) | Keeping::SwitchedOff => return bypass(located, Plan::Bypass),
    };
    let now = Instant::now();
    let key = Key::new(&located.target.connection, &located.target.driver, &located.call);
    let reading = flow.cache.begin_read(key, &caching.path, time_to_live, now);
    let wish = Wish::of(&located.headers);
    if wish != Wish::Any {
        return bypass(located, Plan::Fresh { reading, keep: wish == Wish::Fresh });
    }
    match flow.cache.find(&reading, now).await {
        Some(reply) => {
            flow.metrics.cache_asked(&located.label, CacheUse::Hit);
            let answer = Answer { reply, origin: Origin::Cache };
            Looked::Hit(reply_with(&answer, Forward::Miss, false, &located))
        }
        None => miss(located, Plan::Shared(reading)),
    }
}

impl Ticket {
    /// Makes the call, or waits for that of another caller.
    pub(super) async fn redeem(self, flow: &Flow, located: Box<Located>) -> Result<Reply, FlowError> {
        let connection = located.target.connection.id;
        match self.0 {
            Plan::Alone => Ok(Reply::new(call(flow, located).await?, connection)),
            Plan::Bypass => {
                let status = CacheStatus::Forwarded { reason: Forward::Bypass, kept: None, collapsed: false };
                Ok(Reply::new(call(flow, located).await?, connection).with_status(status))
            }
            Plan::Fresh { reading, keep } => {
                let Made { payload, share } = call(flow, located.clone()).await?;
                let answer = match keep {
                    true => flow.cache.keep(&reading, payload).await,
                    false => Answer { reply: Arc::new(Kept::new(&reading, payload)), origin: Origin::Driver },
                };
                Ok(reply_with(&answer, Forward::Request, false, &located).with_share(share))
            }
            Plan::Shared(reading) => share(flow, located, reading).await,
        }
    }
}

/// The reply of a call that all share who miss it at once.
async fn share(flow: &Flow, located: Box<Located>, mut reading: Reading) -> Result<Reply, FlowError> {
    let deadline = located.call.deadline;
    loop {
        let flight = flow.cache.join(&reading, deadline, || {
            let call = call(flow, located.clone());
            async move { Ok(call.await?.payload) }
        });
        let (joined, flight_deadline) = (flight.joined, flight.deadline);
        let result = tokio::time::timeout_at(deadline.into(), flight.work).await;
        let now = Instant::now();
        if let Ok(Err(DriverError { code: ErrorCode::Timeout, .. })) = result
            && joined
            && flight_deadline <= now
            && now < deadline
        {
            // The one who began it had less time than this caller has.
            reading = flow.cache.begin_again(reading, now);
            continue;
        }
        let use_made = match &result {
            Ok(Ok(Answer { origin: Origin::Cache, .. })) => CacheUse::Hit,
            _ if joined => CacheUse::Collapsed,
            _ => CacheUse::Miss,
        };
        flow.metrics.cache_asked(&located.label, use_made);
        let answer = result.map_err(|_| FlowError::Deadline)??;
        return Ok(reply_with(&answer, Forward::Miss, joined, &located));
    }
}

/// A call that holds on to all it needs, so that it may outlive the request that began it.
fn call(
    flow: &Flow,
    located: Box<Located>,
) -> impl Future<Output = Result<Made, DriverError>> + Send + use<> {
    let (sessions, cache, metrics) = (flow.sessions.clone(), flow.cache.clone(), flow.metrics.clone());
    async move {
        let prepare = ready::prepare(&sessions, *located, &metrics);
        let ready = prepare.instrument(debug_span!("prepare")).await?;
        ready.run(&cache, &metrics).instrument(debug_span!("call")).await
    }
}

/// A reply with what HTTP says of caches, or the word that the caller has it already.
fn reply_with(answer: &Answer, reason: Forward, collapsed: bool, located: &Located) -> Reply {
    let time_left = answer.reply.expires.saturating_duration_since(Instant::now());
    let status = match answer.origin {
        Origin::Cache => CacheStatus::Hit { time_left },
        Origin::DriverKept => CacheStatus::Forwarded { reason, kept: Some(time_left), collapsed },
        Origin::Driver => CacheStatus::Forwarded { reason, kept: None, collapsed },
    };
    Reply::cacheable(&answer.reply, &located.headers, located.target.connection.id).with_status(status)
}
