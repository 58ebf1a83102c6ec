//! The header fields that tell callers their limits: `RateLimit-Policy` and `RateLimit`, as structured fields
//! (draft-ietf-httpapi-ratelimit-headers-11, RFC 9651).

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{ItemSerializer, KeyRef, StringRef, key_ref};
use std::fmt::Write;

/// The limits that apply to a request.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The rest of them.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const QUOTA: &KeyRef = key_ref("q");
const WINDOW: &KeyRef = key_ref("w");
const PARTITION: &KeyRef = key_ref("pk");

/// The most bytes that two other numbers make an item longer.
const NUMBERS: usize = 20;

/// The limits that applied to a request, and how much is left of each.
#[derive(Debug, Clone)]
pub struct RateLimitHeaders {
    policy: HeaderValue,
    limit: HeaderValue,
}

/// The texts about a limit that are the same in every answer.
pub(super) struct Texts {
    /// Its item in the first field.
    policy: String,
    /// The beginning and the end of its item in the second field, around the numbers.
    name: String,
    partition: String,
}

impl Texts {
    /// Makes the texts of a limit whose burst comes back within so many seconds. `partition` names the table that it
    /// belongs to; limits that apply to everyone have none.
    pub(super) fn new(name: &StringRef, partition: Option<&str>, burst: u32, window: u32) -> Self {
        let item = || ItemSerializer::new().bare_item(name);
        let policy = item().parameters([(QUOTA, burst), (WINDOW, window)]);
        let name = item().finish();
        let Some(partition) = partition.map(str::as_bytes) else {
            return Self { policy: policy.finish(), name, partition: String::new() };
        };
        let partitioned = item().parameter(PARTITION, partition).finish();
        Self {
            policy: policy.parameter(PARTITION, partition).finish(),
            partition: partitioned.strip_prefix(&name).unwrap_or_default().to_owned(),
            name,
        }
    }
}

/// The rest of a limit.
pub(super) struct Left {
    /// Requests that may come at once.
    pub(super) requests: u32,
    /// For how many seconds no more than these may come.
    pub(super) seconds: u32,
}

impl RateLimitHeaders {
    /// Makes both fields.
    pub(super) fn new<const LIMITS: usize>(limits: [(&Texts, Left); LIMITS]) -> Option<Self> {
        let most = limits.iter().map(|(texts, _)| texts.policy.len() + NUMBERS).sum();
        let (mut policy, mut limit) = (String::with_capacity(most), String::with_capacity(most));
        for (number, (texts, Left { requests, seconds })) in limits.iter().enumerate() {
            let Texts { policy: item, name, partition } = texts;
            let comma = if number == 0 { "" } else { ", " };
            // A text takes whatever is written into it.
            let _ = write!(policy, "{comma}{item}");
            let _ = write!(limit, "{comma}{name};r={requests};t={seconds}{partition}");
        }
        Some(Self { policy: policy.try_into().ok()?, limit: limit.try_into().ok()? })
    }

    /// Writes both fields.
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert(POLICY, self.policy);
        headers.insert(LIMIT, self.limit);
    }
}
