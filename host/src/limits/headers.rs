//! The header fields that tell callers their limits: `RateLimit-Policy` and `RateLimit`, as structured fields
//! (draft-ietf-httpapi-ratelimit-headers-11, RFC 9651).

use super::rule::{Rule, whole_seconds};
use governor::clock::Clock;
use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{KeyRef, ListSerializer, key_ref};

/// The limits that apply to a request.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The rest of them.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const QUOTA: &KeyRef = key_ref("q");
const WINDOW: &KeyRef = key_ref("w");
const REMAINING: &KeyRef = key_ref("r");
const TIME: &KeyRef = key_ref("t");
const PARTITION: &KeyRef = key_ref("pk");

/// The limits that applied to a request, and how much is left of each.
#[derive(Debug, Clone)]
pub struct RateLimitHeaders {
    policy: HeaderValue,
    limit: HeaderValue,
}

/// The rest of a limit.
pub(super) struct Left {
    /// Requests that may come at once.
    requests: u32,
    /// For how many seconds no more than these may come.
    seconds: u32,
}

impl Left {
    /// Makes the rest of a limit after a request that was let through. Its requests, spread over its seconds, stay
    /// within the rate; if none is left, the seconds are the wait for the next one.
    pub(super) fn after<C: Clock>(rule: &Rule<C>, requests: u32) -> Self {
        Self { requests, seconds: whole_seconds(rule.time_for(requests.max(1))) }
    }

    /// Makes the rest of a limit that refused a request.
    pub(super) fn nothing_for(seconds: u32) -> Self {
        Self { requests: 0, seconds }
    }
}

impl RateLimitHeaders {
    /// Makes both fields; `None` if no limit applied.
    pub(super) fn new<C: Clock>(rules: &[&Rule<C>], left: &[Left]) -> Option<Self> {
        let (mut policy, mut limit) = (ListSerializer::new(), ListSerializer::new());
        for rule in rules {
            // A policy is the burst over the time in which it comes back: the limiter enforces both, in the short and
            // the long term.
            let burst = rule.rate.burst().get();
            let window = whole_seconds(rule.time_for(burst)).max(1);
            add(&mut policy, rule, [(QUOTA, burst), (WINDOW, window)]);
        }
        for (rule, left) in rules.iter().zip(left) {
            add(&mut limit, rule, [(REMAINING, left.requests), (TIME, left.seconds)]);
        }
        let value = |list: ListSerializer<String>| HeaderValue::try_from(list.finish()?).ok();
        Some(Self { policy: value(policy)?, limit: value(limit)? })
    }

    /// Writes both fields.
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert(POLICY, self.policy);
        headers.insert(LIMIT, self.limit);
    }
}

/// Adds an item about a rule.
fn add<C: Clock>(list: &mut ListSerializer<String>, rule: &Rule<C>, numbers: [(&KeyRef, u32); 2]) {
    let item = list.bare_item(rule.name).parameters(numbers);
    if let Some(partition) = &rule.partition {
        let _ = item.parameter(PARTITION, partition.as_slice());
    }
}
