//! `GET /stats`: the numbers that a dashboard draws.

use super::{Facts, gather};
use crate::Redis;
use studio_plugin_api::{prelude::*, time};

/// What adds up over the primaries of a cluster, by its name in `INFO`.
pub(super) const COUNTS: &[&str] = &[
    "used_memory",
    "used_memory_rss",
    "used_memory_peak",
    "maxmemory",
    "total_commands_processed",
    "instantaneous_ops_per_sec",
    "keyspace_hits",
    "keyspace_misses",
    "connected_clients",
    "blocked_clients",
    "connected_slaves",
    "total_connections_received",
    "rejected_connections",
    "instantaneous_input_kbps",
    "instantaneous_output_kbps",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "expired_keys",
    "evicted_keys",
    "used_cpu_sys",
    "used_cpu_user",
];

/// How often.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsQuery {
    /// Seconds between events of the event stream, 1 to 60; a single snapshot has no use for it.
    #[schemars(range(min = 1, max = 60))]
    interval: Option<u32>,
}

/// The server at one moment. In a cluster: its primaries together.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Snapshot {
    /// Unix time in milliseconds, by the gateway's clock.
    timestamp: u64,
    uptime_seconds: u64,
    ops_per_sec: u64,
    total_commands_processed: u64,
    keyspace_hits: u64,
    keyspace_misses: u64,
    /// From 0 to 1; 0 where nothing was looked up yet.
    hit_rate: f64,
    /// In all databases.
    keys: u64,
    expired_keys: u64,
    evicted_keys: u64,
    used_memory: u64,
    used_memory_rss: u64,
    used_memory_peak: u64,
    /// 0: no limit.
    max_memory: u64,
    /// Resident memory over used memory.
    memory_fragmentation_ratio: f64,
    connected_clients: u64,
    blocked_clients: u64,
    total_connections_received: u64,
    rejected_connections: u64,
    input_kbps: f64,
    output_kbps: f64,
    total_input_bytes: u64,
    total_output_bytes: u64,
    /// Seconds of processor time since the start.
    cpu_system_seconds: f64,
    /// Seconds of processor time since the start.
    cpu_user_seconds: f64,
}

impl Snapshot {
    fn new(facts: &Facts, timestamp: u64) -> Self {
        let (used, resident) = (facts.float("used_memory"), facts.float("used_memory_rss"));
        Self {
            timestamp,
            uptime_seconds: facts.number("uptime_in_seconds"),
            ops_per_sec: facts.number("instantaneous_ops_per_sec"),
            total_commands_processed: facts.number("total_commands_processed"),
            keyspace_hits: facts.number("keyspace_hits"),
            keyspace_misses: facts.number("keyspace_misses"),
            hit_rate: facts.hit_rate(),
            keys: facts.keys(),
            expired_keys: facts.number("expired_keys"),
            evicted_keys: facts.number("evicted_keys"),
            used_memory: facts.number("used_memory"),
            used_memory_rss: facts.number("used_memory_rss"),
            used_memory_peak: facts.number("used_memory_peak"),
            max_memory: facts.number("maxmemory"),
            memory_fragmentation_ratio: if used > 0.0 { resident / used } else { 0.0 },
            connected_clients: facts.number("connected_clients"),
            blocked_clients: facts.number("blocked_clients"),
            total_connections_received: facts.number("total_connections_received"),
            rejected_connections: facts.number("rejected_connections"),
            input_kbps: facts.float("instantaneous_input_kbps"),
            output_kbps: facts.float("instantaneous_output_kbps"),
            total_input_bytes: facts.number("total_net_input_bytes"),
            total_output_bytes: facts.number("total_net_output_bytes"),
            cpu_system_seconds: facts.float("used_cpu_sys"),
            cpu_user_seconds: facts.float("used_cpu_user"),
        }
    }
}

/// `GET /stats`.
pub(crate) async fn stats(
    redis: Context<Redis>,
    query: Query<StatsQuery>,
) -> Result<Json<Snapshot>, DriverError> {
    if query.interval.is_some_and(|interval| !(1..=60).contains(&interval)) {
        return Err(DriverError::field("interval", "must be from 1 to 60 seconds"));
    }
    let facts = gather(&redis).await?;
    let milliseconds = u64::try_from(time::since_unix_epoch().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Snapshot::new(&facts, milliseconds)))
}
