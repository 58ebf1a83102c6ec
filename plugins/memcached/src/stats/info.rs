//! `GET /info`, and what a connection test tells.

use super::Stats;
use crate::Memcached;
use studio_plugin_api::prelude::*;

/// Which part.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InfoQuery {
    /// Only this section.
    section: Option<Section>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Section {
    Server,
    Memory,
    Items,
    Stats,
    Clients,
}

/// What the server says of itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InfoAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<ItemsInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<ClientsInfo>,
}

#[derive(Serialize, JsonSchema)]
struct ServerInfo {
    version: String,
    uptime_seconds: u64,
    threads: u64,
}

#[derive(Serialize, JsonSchema)]
struct MemoryInfo {
    /// Bytes of items.
    used_memory: u64,
    /// Bytes.
    max_memory: u64,
    /// Bytes that one item may have, its key and header included.
    max_item_size: u64,
    /// Whether a full cache makes room; if not, it refuses to store.
    evicts: bool,
}

#[derive(Serialize, JsonSchema)]
struct ItemsInfo {
    current: u64,
    /// Stored since the start.
    total: u64,
    /// That went to make room.
    evictions: u64,
    /// That expired and that nobody had ever read.
    expired_unfetched: u64,
}

#[derive(Serialize, JsonSchema)]
struct StatsInfo {
    cmd_get: u64,
    cmd_set: u64,
    get_hits: u64,
    get_misses: u64,
    /// From 0 to 1; 0 where nothing was looked up yet.
    hit_rate: f64,
    bytes_read: u64,
    bytes_written: u64,
}

#[derive(Serialize, JsonSchema)]
struct ClientsInfo {
    connected_clients: u64,
    max_clients: u64,
    total_connections_received: u64,
    rejected_connections: u64,
}

/// `GET /info`.
pub(crate) async fn info(
    memcached: Context<Memcached>,
    query: Query<InfoQuery>,
) -> Result<Json<InfoAnswer>, DriverError> {
    let limit = memcached.max_reply_bytes();
    let stats = memcached.connection.stats("", limit).await?;
    let settings = memcached.connection.stats("settings", limit).await?;
    Ok(Json(answer(&stats, &settings, query.section)))
}

fn answer(stats: &Stats, settings: &Stats, section: Option<Section>) -> InfoAnswer {
    let wants = |wanted| section.is_none_or(|section| section == wanted);
    InfoAnswer {
        server: wants(Section::Server).then(|| ServerInfo {
            version: stats.text("version"),
            uptime_seconds: stats.number("uptime"),
            threads: stats.number("threads"),
        }),
        memory: wants(Section::Memory).then(|| MemoryInfo {
            used_memory: stats.number("bytes"),
            max_memory: stats.number("limit_maxbytes"),
            max_item_size: settings.number("item_size_max"),
            evicts: settings.text("evictions") == "on",
        }),
        items: wants(Section::Items).then(|| ItemsInfo {
            current: stats.number("curr_items"),
            total: stats.number("total_items"),
            evictions: stats.number("evictions"),
            expired_unfetched: stats.number("expired_unfetched"),
        }),
        stats: wants(Section::Stats).then(|| StatsInfo {
            cmd_get: stats.number("cmd_get"),
            cmd_set: stats.number("cmd_set"),
            get_hits: stats.number("get_hits"),
            get_misses: stats.number("get_misses"),
            hit_rate: stats.hit_rate(),
            bytes_read: stats.number("bytes_read"),
            bytes_written: stats.number("bytes_written"),
        }),
        clients: wants(Section::Clients).then(|| ClientsInfo {
            connected_clients: stats.number("curr_connections"),
            max_clients: stats.number("max_connections"),
            total_connections_received: stats.number("total_connections"),
            rejected_connections: stats.number("rejected_connections"),
        }),
    }
}

/// For a connection test.
pub(crate) async fn server_facts(memcached: &Memcached) -> Result<ServerFacts, DriverError> {
    let stats = memcached.connection.stats("", crate::MAX_STATS).await?;
    Ok(ServerFacts::new(stats.text("version"))
        .with("authenticated", memcached.connection.authenticated)
        .with("items", stats.number("curr_items"))
        .with("uptime_seconds", stats.number("uptime")))
}
