//! How often callers may ask.
//!
//! Two limits count for a user's request: that of its class, and that of all classes together (`total`). Each comes
//! from the first table of `[rate_limit]` that sets it: the project's, the driver's, the role's, everyone's. If no
//! table sets either, the class gets [`CLASS_RATE`](crate::config::CLASS_RATE). Both must let the request through. A
//! limit counts each user's requests by themselves: `drivers.redis.read` counts all reads of any Redis,
//! `projects.shop.read` the reads on project `shop`.
//!
//! Before that, and before any token is looked at, requests are counted by the address that they come from.

mod headers;
mod rule;
mod tables;
mod taken_names;
#[cfg(test)]
mod tests;
mod usage;

pub use self::{
    headers::RateLimitHeaders,
    taken_names::{TakenNames, TooManyTaken},
};

use self::{
    headers::Left,
    rule::{Rule, whole_seconds},
    tables::Tables,
};
use crate::{
    config::{ADDRESS_RATE, Rate, RateLimitSettings, RequestLimit, RequestLimits},
    identity::Principal,
    role::Role,
    telemetry::Metrics,
};
use governor::clock::{Clock, MonotonicClock};
use http::Method;
use sfv::string_ref;
use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use studio_plugin_api::manifest::AccessManifest;

/// How many users at their limit may share an address, at the least.
const USERS_OF_AN_ADDRESS: u32 = 10;
/// How often callers whose allowance is whole again are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The kind of a request, as limits tell requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Needs an admin, or changes the gateway's own data.
    Admin,
    /// Reads or writes, depending on its body.
    Query,
}

impl Class {
    /// Returns the class of a driver's operation.
    pub fn of_operation(access: AccessManifest) -> Self {
        match access {
            AccessManifest::Read => Self::Read,
            AccessManifest::Write => Self::Write,
            AccessManifest::Admin => Self::Admin,
            AccessManifest::PerCall => Self::Query,
        }
    }

    /// Returns the class of one of the gateway's own routes: writes there change connections, members and the like.
    pub fn of_method(method: &Method) -> Self {
        match method.is_safe() {
            true => Self::Read,
            false => Self::Admin,
        }
    }
}

/// A request as limits see it.
#[derive(Debug, Clone, Copy)]
pub struct RateLimitRequest<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// Their role on the project, if the request is about one.
    pub role: Option<Role>,
    /// The database type that it is about, if any.
    pub database_type: Option<&'a str>,
    /// The reference of the project that it is about, if any.
    pub project: Option<&'a str>,
    /// Its kind.
    pub class: Class,
}

/// A request that was one too many.
#[derive(Debug, thiserror::Error)]
#[error("too many requests: `{limit}` lets through {rate} a minute; try again in {seconds} s")]
pub struct Refusal {
    /// The limit's dotted key in the settings, below `rate_limit`.
    pub limit: String,
    /// Whole seconds until there is room for the next request; at least 1.
    pub seconds: u32,
    /// The limits' state, to be told to the caller.
    pub headers: Option<RateLimitHeaders>,
    rate: NonZeroU32,
}

/// All limits, and each caller's use of them.
pub struct RateLimits<C: Clock = MonotonicClock> {
    /// `None` when limiting is switched off.
    tables: Option<Tables<C>>,
    address: Option<Rule<C>>,
    /// Callers are identified by a 64-bit hash with random keys: collisions are negligible and can't be forced.
    hasher: RandomState,
    metrics: Arc<Metrics>,
}

impl RateLimits {
    /// Starts limits by the system's clock. A task forgets idle callers; it ends with the last clone.
    pub fn start(settings: &RateLimitSettings, metrics: Arc<Metrics>) -> Arc<Self> {
        let limits = Arc::new(Self::with_clock(settings, metrics, &MonotonicClock));
        let weak = Arc::downgrade(&limits);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
            loop {
                ticks.tick().await;
                match weak.upgrade() {
                    Some(limits) => limits.sweep(),
                    None => break,
                }
            }
        });
        limits
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    /// Makes limits by any clock.
    pub fn with_clock(settings: &RateLimitSettings, metrics: Arc<Metrics>, clock: &C) -> Self {
        let hasher = RandomState::new();
        if settings.everyone.total == Some(RequestLimit::Unlimited) {
            return Self { tables: None, address: None, hasher, metrics };
        }
        let tables = Tables::new(settings, clock);
        let address = match settings.address.unwrap_or_else(|| usual_address_limit(&settings.everyone)) {
            RequestLimit::Unlimited => None,
            RequestLimit::Rate(rate) => {
                Some(Rule::new("address".to_owned(), string_ref("address"), None, rate, clock.clone()))
            }
        };
        Self { tables: Some(tables), address, hasher, metrics }
    }
}

/// Returns the default limit by address: far above a user's, so that people behind one address do not hinder each
/// other.
fn usual_address_limit(everyone: &RequestLimits) -> RequestLimit {
    let users = match everyone.total {
        Some(RequestLimit::Rate(rate)) => rate.requests().get().saturating_mul(USERS_OF_AN_ADDRESS),
        _ => 0,
    };
    RequestLimit::Rate(Rate::per_minute(users.max(ADDRESS_RATE.requests().get())))
}

impl<C: Clock> RateLimits<C> {
    /// Counts a user's request. Returns how much is left of the limits that apply to it, if any does.
    ///
    /// # Errors
    /// [`Refusal`], when it is one too many.
    pub fn admit(&self, request: &RateLimitRequest<'_>) -> Result<Option<RateLimitHeaders>, Box<Refusal>> {
        let Some(tables) = &self.tables else { return Ok(None) };
        let caller = match request.principal {
            Principal::User { subject, .. } => self.number(("user", subject)),
            Principal::ProjectService { reference } => self.number(("service_role", reference)),
        };
        match tables.applying(request) {
            (Some(class), Some(total)) => self.count([class, total], caller).map(headers),
            (Some(rule), None) | (None, Some(rule)) => self.count([rule], caller).map(headers),
            (None, None) => Ok(None),
        }
    }

    /// Counts a request by the address that it comes from.
    ///
    /// # Errors
    /// [`Refusal`], when it is one too many.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Box<Refusal>> {
        let Some(rule) = &self.address else { return Ok(()) };
        self.count([rule], self.number(network(address))).map(drop)
    }

    /// Forgets callers whose allowance is whole again.
    pub fn sweep(&self) {
        self.tables.iter().flat_map(Tables::rules).chain(&self.address).for_each(Rule::sweep);
    }

    fn number(&self, caller: impl Hash) -> u64 {
        self.hasher.hash_one(caller)
    }

    /// Counts a request by all of these rules, or by none. Returns how much is left of each.
    ///
    /// # Errors
    /// [`Refusal`], when it is one too many.
    fn count<'a, const RULES: usize>(
        &self,
        rules: [&'a Rule<C>; RULES],
        caller: u64,
    ) -> Result<[(&'a Rule<C>, Left); RULES], Box<Refusal>> {
        let counted = rules.map(|rule| (rule, rule.count(caller)));
        let refused = counted.iter().filter_map(|(rule, counted)| Some((*rule, counted.err()?)));
        let Some((rule, wait)) = refused.max_by_key(|(_, wait)| *wait) else {
            return Ok(counted.map(|(rule, left)| (rule, rule.left(left.unwrap_or_default()))));
        };
        let left = counted.map(|(rule, counted)| match counted {
            Ok(left) => {
                rule.give_back(caller);
                (rule, rule.left(left.saturating_add(1)))
            }
            Err(wait) => (rule, Left { requests: 0, seconds: whole_seconds(wait).max(1) }),
        });
        Err(self.refuse(rule, wait, headers(left)))
    }

    /// Makes the refusal by `rule`, which has no room before `wait` is over.
    fn refuse(&self, rule: &Rule<C>, wait: Duration, headers: Option<RateLimitHeaders>) -> Box<Refusal> {
        self.metrics.rate_limited(&rule.key);
        let seconds = whole_seconds(wait).max(1);
        Box::new(Refusal { limit: rule.key.clone(), seconds, headers, rate: rule.rate.requests() })
    }
}

/// Tells a caller the rest of these limits.
fn headers<C: Clock, const RULES: usize>(left: [(&Rule<C>, Left); RULES]) -> Option<RateLimitHeaders> {
    RateLimitHeaders::new(left.map(|(rule, left)| (&rule.texts, left)))
}

/// Returns the network that an address counts as. The owner of an IPv6 address has at least the 2⁶⁴ addresses of its
/// network (RFC 6177), so all of these count as one.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
