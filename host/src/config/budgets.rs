//! `[budgets]`: how much all callers together may hold of the gateway, and for how long.

use super::{Period, at_least_one, mebibytes};
use serde::{Deserialize, Serialize};
use std::num::{NonZeroU32, NonZeroUsize};

/// The least bytes that a head may be bounded to: the HTTP implementation needs that many.
const SMALLEST_HEAD: usize = 8192;
/// The most bytes that a head may be bounded to.
const LARGEST_HEAD: usize = 1 << 20;

/// `[budgets]`: how much all callers together may hold of the gateway, and for how long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSettings {
    /// Bytes of request bodies held at once. Default 64 MiB.
    pub body_bytes: NonZeroUsize,
    /// The same for one project; a single body may have more. Default 32 MiB.
    pub project_body_bytes: NonZeroUsize,
    /// Bytes of replies that clients have not taken yet. Default 192 MiB.
    pub reply_bytes: NonZeroUsize,
    /// The same for one project; a single reply may have more. Default 96 MiB.
    pub project_reply_bytes: NonZeroUsize,
    /// Replies that are compressed at once, for which a compressor takes up to ten mebibytes each; those beyond go as they
    /// are. Default 12.
    pub compressions: NonZeroUsize,
    /// Connections of clients, in all; never more than half of the files that may be open. Default 4096.
    pub connections: NonZeroUsize,
    /// The same for one address, or half of all if that is less; trusted proxies have as many as there are. Default 1024.
    pub connections_per_address: NonZeroUsize,
    /// How long a new connection may be silent. Default 10 s.
    pub first_byte: Period,
    /// How long the head of a request may take from its first byte on. Default 10 s.
    pub head: Period,
    /// How long the body of a request may take. Default 30 s.
    pub body: Period,
    /// How long a connection is kept without a request. Default 75 s: longer than the minute that proxies keep theirs, for
    /// whoever closes first must be the one who asks, or a request meets a closed door.
    pub idle: Period,
    /// How long a client may take nothing of what is written to it. Default 20 s.
    pub no_progress: Period,
    /// Bytes a second that a client must take after that, over the whole of a reply. Default 16384.
    pub least_rate: NonZeroU32,
    /// The most bytes of a request's head. Default 128 KiB; over HTTP/2 a quarter of it for each request.
    pub head_bytes: NonZeroUsize,
    /// Requests at once on one connection of HTTP/2. Default 100.
    pub http2_streams: NonZeroU32,
    /// Requests that a client of HTTP/2 may have given up before the gateway looked at them, until the connection is
    /// closed. Default 20.
    pub http2_resets: NonZeroU32,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        let number = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            body_bytes: mebibytes(64),
            project_body_bytes: mebibytes(32),
            reply_bytes: mebibytes(192),
            project_reply_bytes: mebibytes(96),
            compressions: at_least_one(12),
            connections: at_least_one(4096),
            connections_per_address: at_least_one(1024),
            first_byte: Period::from_seconds(10),
            head: Period::from_seconds(10),
            body: Period::from_seconds(30),
            idle: Period::from_seconds(75),
            no_progress: Period::from_seconds(20),
            least_rate: number(16384),
            head_bytes: at_least_one(128 * 1024),
            http2_streams: number(100),
            http2_resets: number(20),
        }
    }
}

impl BudgetSettings {
    /// Lists one sentence for each value that would refuse everything or is out of its range.
    pub(super) fn problems(&self, largest_body: NonZeroUsize, largest_reply: NonZeroUsize) -> Vec<String> {
        let mut problems = Vec::new();
        for (setting, bytes, limit, least) in [
            ("body_bytes", self.body_bytes, "limits.max_body_bytes", largest_body),
            ("reply_bytes", self.reply_bytes, "limits.max_reply_bytes", largest_reply),
        ] {
            if bytes < least {
                problems.push(format!("budgets.{setting} is {bytes}: it must be {limit} at least, {least}"));
            }
        }
        for (setting, period) in [
            ("first_byte", self.first_byte),
            ("head", self.head),
            ("body", self.body),
            ("idle", self.idle),
            ("no_progress", self.no_progress),
        ] {
            if period.is_zero() {
                problems.push(format!("budgets.{setting} is zero: it must be longer"));
            }
        }
        if !(SMALLEST_HEAD..=LARGEST_HEAD).contains(&self.head_bytes.get()) {
            problems.push(format!("budgets.head_bytes must be from {SMALLEST_HEAD} to {LARGEST_HEAD}"));
        }
        problems
    }
}
