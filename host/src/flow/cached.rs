//! The step for requests of cacheable operations alone: it finds a kept reply, or makes a call whose reply others
//! share.

use super::{
    Flow, FlowError,
    located::Located,
    ready::{self, Made},
    reply::Reply,
};
use crate::{
    cache::{Answer, CacheStatus, CachedReply, Forward, Key, Reading, ReplySource, Wish},
    plugins::Caching,
    telemetry::CacheUse,
};
use http::HeaderMap;
use std::{future::Future, sync::Arc, time::Instant};
use studio_plugin_api::{DriverError, ErrorCode};
use tracing::{Instrument, debug_span};

/// Finds the kept reply of a cacheable operation, or makes the call.
pub(super) async fn answer(
    flow: &Flow,
    located: Located,
    headers: &HeaderMap,
    caching: Caching,
) -> Result<Reply, FlowError> {
    let time_to_live = match caching {
        // A body has no meaning with GET (RFC 9110 §9.3.1), but a driver might read it.
        Caching::For(time) if flow.cache.is_enabled() && located.call.body.is_empty() => time,
        Caching::For(_) | Caching::SwitchedOff => return bypass(flow, located).await,
    };
    let now = Instant::now();
    let key = Key::new(&located.target.connection, &located.target.driver, &located.call);
    let reading = flow.cache.begin_read(key, &located.operation.path, time_to_live, now);
    let wish = Wish::of(headers);
    if wish != Wish::Any {
        return Box::pin(refresh(flow, located, headers, reading, wish == Wish::Fresh)).await;
    }
    match flow.cache.find(&reading, now).instrument(debug_span!("look_up")).await {
        Some(reply) => {
            flow.metrics.cache_asked(&located.operation, CacheUse::Hit);
            let answer = Answer { reply, source: ReplySource::Cache };
            Ok(reply_with(&answer, Forward::Miss, false, &located, headers))
        }
        None => Box::pin(share(flow, Box::new(located), headers, reading)).await,
    }
}

/// Makes a call past the cache, for this caller alone.
async fn bypass(flow: &Flow, located: Located) -> Result<Reply, FlowError> {
    flow.metrics.cache_asked(&located.operation, CacheUse::Bypass);
    let status = CacheStatus::Forwarded { reason: Forward::Bypass, kept: None, collapsed: false };
    Ok(flow.call(located).await?.with_status(status))
}

/// Makes a call that begins now, for this caller alone, and keeps its reply for others if `keep` is true.
async fn refresh(
    flow: &Flow,
    located: Located,
    headers: &HeaderMap,
    reading: Reading,
    keep: bool,
) -> Result<Reply, FlowError> {
    flow.metrics.cache_asked(&located.operation, CacheUse::Bypass);
    let Made { payload, share } = call(flow, Box::new(located.clone())).await?;
    let answer = match keep {
        true => flow.cache.keep(&reading, payload).await,
        false => Answer { reply: Arc::new(CachedReply::new(&reading, payload)), source: ReplySource::Driver },
    };
    Ok(reply_with(&answer, Forward::Request, false, &located, headers).with_share(share))
}

/// Makes a call that is shared by all callers that miss its reply at once, or waits for another caller's.
async fn share(
    flow: &Flow,
    located: Box<Located>,
    headers: &HeaderMap,
    mut reading: Reading,
) -> Result<Reply, FlowError> {
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
            // The caller that began it had less time than this one.
            reading = flow.cache.begin_again(reading, now);
            continue;
        }
        let use_made = match &result {
            Ok(Ok(Answer { source: ReplySource::Cache, .. })) => CacheUse::Hit,
            _ if joined => CacheUse::Collapsed,
            _ => CacheUse::Miss,
        };
        flow.metrics.cache_asked(&located.operation, use_made);
        let answer = result.map_err(|_| FlowError::Deadline)??;
        return Ok(reply_with(&answer, Forward::Miss, joined, &located, headers));
    }
}

/// Makes a call that holds on to all it needs, so that it may outlive the request that began it.
fn call(
    flow: &Flow,
    located: Box<Located>,
) -> impl Future<Output = Result<Made, DriverError>> + Send + use<> {
    let (sessions, cache, metrics) = (flow.sessions.clone(), flow.cache.clone(), flow.metrics.clone());
    async move { ready::make(&sessions, &cache, &metrics, *located).await }
}

/// Makes a reply with the HTTP headers of caches, or the answer that the caller has it already.
fn reply_with(
    answer: &Answer,
    reason: Forward,
    collapsed: bool,
    located: &Located,
    headers: &HeaderMap,
) -> Reply {
    let time_left = answer.reply.expires.saturating_duration_since(Instant::now());
    let status = match answer.source {
        ReplySource::Cache => CacheStatus::Hit { time_left },
        ReplySource::DriverKept => CacheStatus::Forwarded { reason, kept: Some(time_left), collapsed },
        ReplySource::Driver => CacheStatus::Forwarded { reason, kept: None, collapsed },
    };
    Reply::cacheable(&answer.reply, headers, located.target.connection.id).with_status(status)
}
