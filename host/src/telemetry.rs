//! Metrics.

use crate::{
    budgets::{Budgets, ClientConnections, Kind},
    cache::ReplyCache,
    logging::dropped_lines,
    meters::Latency,
    plugins::{Operation, catalog::Catalog},
    sessions::Sessions,
};
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use std::{sync::Arc, time::Duration};
use studio_plugin_api::{DriverError, ErrorCode};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    r#type: Arc<str>,
    operation: Arc<str>,
    status: u16,
}

impl RequestLabels {
    fn of(OperationLabels { r#type, operation }: OperationLabels, status: u16) -> Self {
        Self { r#type, operation, status }
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    r#type: Arc<str>,
    operation: Arc<str>,
}

impl OperationLabels {
    fn of(operation: &Operation) -> Self {
        Self { r#type: operation.database_type.clone(), operation: operation.name.clone() }
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CacheLabels {
    r#type: Arc<str>,
    operation: Arc<str>,
    result: &'static str,
}

impl CacheLabels {
    fn of(operation: &Operation, result: CacheUse) -> Self {
        let OperationLabels { r#type, operation } = OperationLabels::of(operation);
        Self { r#type, operation, result: result.as_str() }
    }
}

/// How the cache took part in a request of a cacheable operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheUse {
    /// It had the reply.
    Hit,
    /// It had none.
    Miss,
    /// It had none, but another request's call was under way that gave it.
    Collapsed,
    /// It was not asked, because the caller or the settings did not want it.
    Bypass,
}

impl CacheUse {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FailureLabels {
    r#type: Arc<str>,
    code: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SessionLabels {
    /// Empty where projects are not told apart; to Prometheus, an empty label is none.
    project: String,
    r#type: String,
}

/// The readers of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everyone who reaches the API: projects are not told apart.
    Everyone,
    /// Everyone who reaches the listener that is for metrics alone.
    Operator,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DriverLabels {
    r#type: Arc<str>,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LimitLabels {
    limit: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HeldLabels {
    of: &'static str,
}

/// Everything that is counted. Labels come from manifests, routes and settings, never from a caller's values.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<OperationLabels, Latency>,
    driver_seconds: Family<OperationLabels, Latency>,
    lease_seconds: Family<DriverLabels, Latency>,
    driver_failures: Family<FailureLabels, Counter>,
    refused_tokens: Counter,
    cache: Family<CacheLabels, Counter>,
    cache_size: Gauge,
    rate_limited: Family<LimitLabels, Counter>,
    held: Family<HeldLabels, Gauge>,
    clients: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("studio_gateway");
        let requests = Family::default();
        registry.register("requests", "Requests answered, by operation and status", requests.clone());
        let request_seconds = Family::default();
        let help = "Time from a request's arrival to its answer's head";
        registry.register_with_unit("request_duration", help, Unit::Seconds, request_seconds.clone());
        let driver_seconds = Family::default();
        let help = "Time that the driver and its database took of it";
        registry.register_with_unit("driver_call_duration", help, Unit::Seconds, driver_seconds.clone());
        let lease_seconds = Family::default();
        let help = "Time that calls waited for a driver session and a place among their project's calls";
        registry.register_with_unit("lease_wait", help, Unit::Seconds, lease_seconds.clone());
        let driver_failures = Family::default();
        registry.register(
            "driver_failures",
            "Calls that a driver did not answer well, by code",
            driver_failures.clone(),
        );
        let refused_tokens = Counter::default();
        registry.register("refused_tokens", "Requests without a token that verifies", refused_tokens.clone());
        let cache = Family::default();
        let help = "Requests of cacheable operations, by what the cache did for them";
        registry.register("cache_requests", help, cache.clone());
        let cache_size = Gauge::default();
        registry.register_with_unit("cache_size", "Kept replies, about", Unit::Bytes, cache_size.clone());
        let rate_limited = Family::default();
        let help = "Requests refused by a rate limit, by the limit's key in the settings";
        registry.register("rate_limited", help, rate_limited.clone());
        let held = Family::default();
        let help = "Bytes held for callers now: request bodies, and replies that were not taken yet";
        registry.register_with_unit("held", help, Unit::Bytes, held.clone());
        let clients = Gauge::default();
        registry.register("client_connections", "Connections of clients open now", clients.clone());
        let help = "Log lines dropped because the log's reader was too slow";
        registry.register("dropped_log_lines", help, dropped_lines());
        Self {
            registry,
            requests,
            request_seconds,
            driver_seconds,
            lease_seconds,
            driver_failures,
            refused_tokens,
            cache,
            cache_size,
            rate_limited,
            held,
            clients,
        }
    }
}

impl Metrics {
    /// Counts an answered request. Without an operation it is one of the host's own.
    pub fn request_answered(&self, operation: Option<&Operation>, route: &str, status: u16, time: Duration) {
        if status == 401 {
            self.refused_tokens.inc();
        }
        let Some(operation) = operation else {
            let labels = OperationLabels { r#type: "gateway".into(), operation: route.into() };
            self.request_seconds.get_or_create(&labels).observe(time);
            self.requests.get_or_create(&RequestLabels::of(labels, status)).inc();
            return;
        };
        let (meters, labels) = (&operation.meters, || OperationLabels::of(operation));
        meters
            .request_seconds
            .get_or_init(|| self.request_seconds.get_or_create_owned(&labels()))
            .observe(time);
        let counter = || self.requests.get_or_create_owned(&RequestLabels::of(labels(), status));
        match meters.requests.get(status) {
            Some(frequent) => frequent.get_or_init(counter).inc(),
            None => counter().inc(),
        };
    }

    /// Counts a driver's answer.
    pub fn driver_answered(&self, operation: &Operation, time: Duration, error: Option<&DriverError>) {
        let find = || self.driver_seconds.get_or_create_owned(&OperationLabels::of(operation));
        operation.meters.driver_seconds.get_or_init(find).observe(time);
        if let Some(DriverError {
            code: code @ (ErrorCode::DriverError | ErrorCode::ConnectionError | ErrorCode::Timeout),
            ..
        }) = error
        {
            let r#type = operation.database_type.clone();
            self.driver_failures.get_or_create(&FailureLabels { r#type, code: code.as_str() }).inc();
        }
    }

    /// Counts the time that a call waited for its session, whether it got one or not.
    pub fn lease_waited(&self, operation: &Operation, time: Duration) {
        let labels = || DriverLabels { r#type: operation.database_type.clone() };
        let find = || self.lease_seconds.get_or_create_owned(&labels());
        operation.meters.lease_seconds.get_or_init(find).observe(time);
    }

    /// Counts what the cache did for a request of a cacheable operation.
    pub fn cache_asked(&self, operation: &Operation, result: CacheUse) {
        let find = || self.cache.get_or_create_owned(&CacheLabels::of(operation, result));
        if let Some(counter) = operation.meters.cache.get(result as usize) {
            counter.get_or_init(find).inc();
        }
    }

    /// Counts a request that a rate limit refused.
    pub fn rate_limited(&self, limit: &str) {
        self.rate_limited.get_or_create(&LimitLabels { limit: limit.to_owned() }).inc();
    }

    /// Tells how many requests a rate limit refused so far.
    #[cfg(test)]
    pub(crate) fn rate_limited_count(&self, limit: &str) -> u64 {
        self.rate_limited.get_or_create(&LimitLabels { limit: limit.to_owned() }).get()
    }

    /// Notes what the budgets hold.
    pub fn held(&self, budgets: &Budgets, clients: &ClientConnections) {
        for (of, kind) in [("bodies", Kind::Bodies), ("replies", Kind::Replies)] {
            let bytes = i64::try_from(budgets.held(kind)).unwrap_or(i64::MAX);
            self.held.get_or_create(&HeldLabels { of }).set(bytes);
        }
        self.clients.set(i64::try_from(clients.count()).unwrap_or(i64::MAX));
    }

    /// Writes all metrics in the OpenMetrics text format, which Prometheus reads.
    pub fn render(
        &self,
        catalog: &Catalog,
        sessions: &Sessions,
        cache: &ReplyCache,
        audience: Audience,
    ) -> String {
        self.cache_size.set(i64::try_from(cache.bytes()).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        let _ = encode_registry(&mut text, &sessions_now(sessions, audience));
        let _ = encode_registry(&mut text, &blocking_now(catalog));
        let _ = encode_eof(&mut text);
        text
    }
}

/// Gauges of open sessions and of calls under way. Each reader gets its own, since two of them may read at once.
struct SessionGauges {
    registry: Registry,
    open: Family<SessionLabels, Gauge>,
    running: Family<SessionLabels, Gauge>,
    waiting: Family<SessionLabels, Gauge>,
    circuits: Family<SessionLabels, Gauge>,
}

impl SessionGauges {
    fn new(audience: Audience) -> Self {
        let by = match audience {
            Audience::Everyone => "by type",
            Audience::Operator => "by project id and type",
        };
        let mut registry = Registry::with_prefix("studio_gateway");
        let mut gauge = |name, help: &str| {
            let family = Family::<SessionLabels, Gauge>::default();
            registry.register(name, format!("{help}, {by}"), family.clone());
            family
        };
        let open = gauge("open_sessions", "Driver sessions open now");
        let running = gauge("running_calls", "Calls under way in driver sessions now");
        let waiting =
            gauge("waiting_callers", "Callers that wait for a driver session or a place among calls now");
        let circuits =
            gauge("open_circuits", "Connections left alone for a while because their database fails");
        Self { registry, open, running, waiting, circuits }
    }
}

fn sessions_now(sessions: &Sessions, audience: Audience) -> Registry {
    let gauges = SessionGauges::new(audience);
    for ((project, database_type), count) in sessions.count() {
        let project = match audience {
            Audience::Everyone => String::new(),
            Audience::Operator => project,
        };
        let labels = SessionLabels { project, r#type: database_type };
        let add = |family: &Family<SessionLabels, Gauge>, count| {
            family.get_or_create(&labels).inc_by(i64::try_from(count).unwrap_or(i64::MAX));
        };
        add(&gauges.open, count.open);
        add(&gauges.running, count.running);
        add(&gauges.waiting, count.waiting);
        add(&gauges.circuits, count.open_circuits);
    }
    gauges.registry
}

fn blocking_gauge() -> (Registry, Family<DriverLabels, Gauge>) {
    let mut registry = Registry::with_prefix("studio_gateway");
    let family = Family::<DriverLabels, Gauge>::default();
    let help = "Calls of a driver that have kept a thread of the gateway for more than a second, now";
    registry.register("blocking_driver_calls", help, family.clone());
    (registry, family)
}

/// Makes gauges of the calls that block now. Every driver of the catalog has one, so that zero is never a missing
/// metric.
fn blocking_now(catalog: &Catalog) -> Registry {
    let (registry, family) = blocking_gauge();
    let blocking = catalog.blocking();
    for r#type in catalog.types().into_iter().chain(blocking.keys().cloned()) {
        let count = blocking.get(&r#type).copied().unwrap_or_default();
        family
            .get_or_create(&DriverLabels { r#type: r#type.into() })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    registry
}

/// Gives every registry that [`Metrics::render`] writes, with nothing counted.
#[cfg(test)]
pub(crate) fn empty_registries() -> [Registry; 3] {
    [Metrics::default().registry, SessionGauges::new(Audience::Operator).registry, blocking_gauge().0]
}
