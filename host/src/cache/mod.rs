//! Replies that may be served again.
//!
//! [`ReplyCache`] keeps them; `key.rs` makes the key of a reply, `generations.rs` tells which replies still count,
//! `flights.rs` joins callers that want the same one at once, `conditional.rs` and `status.rs` read and write HTTP
//! headers. How long a reply counts is its [`CachedReply::expires`], which is compared with the time that the caller
//! passes in; `moka`'s clock only clears expired replies away.

mod conditional;
mod flights;
mod generations;
mod key;
mod status;
#[cfg(test)]
mod tests;

use crate::{budgets::SharedRoom, config::CacheSettings, plugins::Payload, registry::ConnectionId};
use bytes::Bytes;
use conditional::entity_tag;
use flights::Flights;
use generations::{Generation, Generations, InvalidationKey};
use http::HeaderValue;
use moka::{Expiry, future::Cache, policy::EvictionPolicy};
use std::{
    collections::HashSet,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, Outcome};

pub use conditional::{Wish, has_already};
pub use flights::Flight;
pub use generations::{Ending, Write};
pub use key::Key;
pub use status::{CacheStatus, Forward};

/// One reply may take this part of the whole; a larger one would drive out too many others.
const LARGEST_PART: usize = 8;

/// A reply that is kept, or could be.
#[derive(Debug)]
pub struct CachedReply {
    /// The kind of success.
    pub outcome: Outcome,
    /// The driver's payload.
    pub json: Bytes,
    /// Its entity tag.
    pub entity_tag: HeaderValue,
    /// Until when it counts.
    pub expires: Instant,
    /// Room for the bytes while they are being sent to clients.
    pub room: SharedRoom,
    generation: Generation,
}

impl CachedReply {
    /// Makes the reply of a read. Its age counts from the beginning of the read.
    pub fn new(reading: &Reading, payload: Payload) -> Self {
        Self {
            outcome: payload.outcome,
            entity_tag: entity_tag(&payload.json),
            json: payload.json,
            expires: reading.began + reading.time_to_live,
            room: SharedRoom::default(),
            generation: reading.generation,
        }
    }
}

/// A reply that callers share.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The reply.
    pub reply: Arc<CachedReply>,
    /// Where it is from.
    pub source: ReplySource,
}

/// Where a reply is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplySource {
    /// It was kept before.
    Cache,
    /// The driver, and it is kept now.
    DriverKept,
    /// The driver, and it is not kept.
    Driver,
}

/// A read of something that may be kept.
#[derive(Debug, Clone)]
pub struct Reading {
    key: Arc<Key>,
    invalidated_by: InvalidationKey,
    generation: Generation,
    began: Instant,
    time_to_live: Duration,
}

/// The kept replies.
pub struct ReplyCache {
    settings: CacheSettings,
    entries: Cache<Arc<Key>, Arc<CachedReply>>,
    generations: Arc<Generations>,
    flights: Flights<Result<Answer, DriverError>>,
}

impl ReplyCache {
    /// Makes an empty cache.
    pub fn new(settings: CacheSettings) -> Self {
        let weigh = |key: &Arc<Key>, kept: &Arc<CachedReply>| {
            u32::try_from(key.size() + size_of::<CachedReply>() + kept.json.len()).unwrap_or(u32::MAX)
        };
        let entries = Cache::builder()
            .max_capacity(settings.max_bytes.get() as u64)
            .weigher(weigh)
            // A reply that writes made stale is not found again, so it is the first to be evicted.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(ClearAway)
            .support_invalidation_closures()
            .build();
        Self { settings, entries, generations: Arc::default(), flights: Flights::default() }
    }

    /// Tells whether the settings let any reply be kept.
    pub fn is_enabled(&self) -> bool {
        self.settings.enabled
    }

    /// Begins a read, whose reply counts for `time_to_live`.
    pub fn begin_read(&self, key: Key, path: &Arc<str>, time_to_live: Duration, now: Instant) -> Reading {
        let invalidated_by = InvalidationKey { connection: key.connection, path: path.clone() };
        let generation = self.generations.current(&invalidated_by, now);
        Reading { key: Arc::new(key), invalidated_by, generation, began: now, time_to_live }
    }

    /// Begins the same read anew.
    pub fn begin_again(&self, reading: Reading, now: Instant) -> Reading {
        Reading { generation: self.generations.current(&reading.invalidated_by, now), began: now, ..reading }
    }

    /// Finds the kept reply to a read, if it still counts.
    pub async fn find(&self, reading: &Reading, now: Instant) -> Option<Arc<CachedReply>> {
        let kept = self.entries.get(&reading.key).await?;
        (kept.generation == reading.generation && kept.expires > now).then_some(kept)
    }

    /// Keeps the reply of a read, unless a write overlapped it or it is too large.
    pub async fn keep(&self, reading: &Reading, payload: Payload) -> Answer {
        let reply = Arc::new(CachedReply::new(reading, payload));
        let is_keepable = reply.outcome == Outcome::Ok
            && reply.json.len() <= self.settings.max_bytes.get() / LARGEST_PART
            && self.generations.may_keep(&reading.invalidated_by, reading.generation, reading.began);
        if is_keepable {
            self.entries.insert(reading.key.clone(), reply.clone()).await;
        }
        Answer { reply, source: if is_keepable { ReplySource::DriverKept } else { ReplySource::Driver } }
    }

    /// Joins the call of another caller who wants the same reply, or begins one that ends by `deadline`. The call is
    /// made only if no reply was kept meanwhile; its reply is kept.
    pub fn join<F>(
        self: &Arc<Self>,
        reading: &Reading,
        deadline: Instant,
        call: impl FnOnce() -> F,
    ) -> Flight<Result<Answer, DriverError>>
    where
        F: Future<Output = Result<Payload, DriverError>> + Send + 'static,
    {
        self.flights.join(&reading.key, reading.generation, deadline, || {
            let (cache, reading, call) = (self.clone(), reading.clone(), call());
            async move {
                // Another call may have ended since this caller looked.
                if let Some(reply) = cache.find(&reading, Instant::now()).await {
                    return Ok(Answer { reply, source: ReplySource::Cache });
                }
                let payload = call.await?;
                Ok(cache.keep(&reading, payload).await)
            }
        })
    }

    /// Notes that a write begins which may make replies at these paths stale; `None` when there are none.
    pub fn begin_write(&self, connection: ConnectionId, paths: &[Arc<str>], now: Instant) -> Option<Write> {
        if paths.is_empty() || !self.is_enabled() {
            return None;
        }
        let keys = paths.iter().map(|path| InvalidationKey { connection, path: path.clone() }).collect();
        Some(self.generations.begin_write(keys, now))
    }

    /// Drops the kept replies of these connections, which were deleted or changed.
    pub fn forget(&self, connections: impl IntoIterator<Item = ConnectionId>) {
        let gone: HashSet<ConnectionId> = connections.into_iter().collect();
        self.generations.forget(|connection| gone.contains(&connection));
        let dropped = self.entries.invalidate_entries_if(move |key, _| gone.contains(&key.connection));
        if let Err(error) = dropped {
            tracing::error!(%error, "replies of a connection that is gone stay until they expire");
        }
    }

    /// Estimates the bytes that all kept replies take.
    pub fn bytes(&self) -> u64 {
        self.entries.weighted_size()
    }
}

/// Lets `moka` drop replies that have expired.
struct ClearAway;

impl Expiry<Arc<Key>, Arc<CachedReply>> for ClearAway {
    fn expire_after_create(&self, _: &Arc<Key>, kept: &Arc<CachedReply>, now: Instant) -> Option<Duration> {
        Some(kept.expires.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &Arc<Key>,
        kept: &Arc<CachedReply>,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.expires.saturating_duration_since(now))
    }
}
