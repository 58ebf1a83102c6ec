//! `GET /info`, and what a connection test tells: what `INFO` says, in the contract's words.

pub(crate) mod stats;

use crate::{Redis, route::Route, wire};
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::cmd;
use std::collections::{BTreeMap, HashMap};
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
    Stats,
    Clients,
    Persistence,
    Replication,
    Keyspace,
}

/// What the server says of itself. In a cluster: of its primaries together, with counts and bytes added up.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InfoAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<StatsInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<ClientsInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    persistence: Option<PersistenceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<ReplicationInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keyspace: Option<BTreeMap<String, Keyspace>>,
}

#[derive(Serialize, JsonSchema)]
struct ServerInfo {
    version: String,
    /// `standalone`, `cluster` or `sentinel`.
    mode: String,
    uptime_seconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct MemoryInfo {
    used_memory: u64,
    used_memory_human: String,
    /// 0: no limit.
    max_memory: u64,
    eviction_policy: String,
}

#[derive(Serialize, JsonSchema)]
struct StatsInfo {
    total_commands_processed: u64,
    ops_per_sec: u64,
    keyspace_hits: u64,
    keyspace_misses: u64,
    /// From 0 to 1; 0 where nothing was looked up yet.
    hit_rate: f64,
}

#[derive(Serialize, JsonSchema)]
struct ClientsInfo {
    connected_clients: u64,
    blocked_clients: u64,
}

#[derive(Serialize, JsonSchema)]
struct PersistenceInfo {
    /// Unix time in seconds.
    rdb_last_save_time: u64,
    aof_enabled: bool,
}

#[derive(Serialize, JsonSchema)]
struct ReplicationInfo {
    /// `master` or `slave`, in Redis's own words.
    role: String,
    connected_slaves: u64,
}

/// One database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Keyspace {
    keys: u64,
    expires: u64,
    /// Milliseconds.
    avg_ttl: u64,
}

/// Bytes of `INFO`: some kilobytes, and a line for every kind of error that was ever answered.
const MAX_INFO: u64 = 1 << 20;
/// So many primaries are asked at once.
const AT_ONCE: usize = 16;

/// The lines of `INFO`, by name.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    lines: HashMap<String, String>,
    keyspace: BTreeMap<String, Keyspace>,
}

impl Facts {
    /// Reads the text of `INFO`. Lines that are not understood are no one's loss.
    pub(crate) fn parse(text: &str) -> Self {
        let mut facts = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let is_database = name.strip_prefix("db").is_some_and(|number| number.parse::<u32>().is_ok());
            match is_database.then(|| Keyspace::parse(value)).flatten() {
                Some(keyspace) => facts.keyspace.insert(name.to_owned(), keyspace).map(drop),
                None => facts.lines.insert(name.to_owned(), value.to_owned()).map(drop),
            };
        }
        facts
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.lines.get(name).cloned().unwrap_or_default()
    }

    /// The server's own version. Servers that came from Redis also say which release of Redis they are like.
    fn version(&self) -> String {
        self.own("version").unwrap_or_else(|| self.text("redis_version"))
    }

    fn mode(&self) -> String {
        self.lines.get("redis_mode").or_else(|| self.lines.get("server_mode")).cloned().unwrap_or_default()
    }

    fn own(&self, name: &str) -> Option<String> {
        let server = self.lines.get("server_name")?;
        self.lines.get(&format!("{server}_{name}")).cloned()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.float(name) as u64
    }

    pub(crate) fn float(&self, name: &str) -> f64 {
        self.lines.get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// All keys of all databases.
    pub(crate) fn keys(&self) -> u64 {
        self.keyspace.values().map(|database| database.keys).sum()
    }

    /// Hits among all look-ups.
    pub(crate) fn hit_rate(&self) -> f64 {
        let (hits, misses) = (self.float("keyspace_hits"), self.float("keyspace_misses"));
        if hits + misses > 0.0 { hits / (hits + misses) } else { 0.0 }
    }

    /// Adds another primary's counts to these. What is no count stays the first one's.
    fn add(mut self, other: &Self) -> Self {
        for name in stats::COUNTS {
            let sum = self.float(name) + other.float(name);
            self.lines.insert((*name).to_owned(), sum.to_string());
        }
        self.lines.insert("used_memory_human".to_owned(), human(self.float("used_memory")));
        for (name, more) in &other.keyspace {
            let sum = self.keyspace.entry(name.clone()).or_default();
            let expires = sum.expires + more.expires;
            let time = sum.avg_ttl * sum.expires + more.avg_ttl * more.expires;
            *sum = Keyspace {
                keys: sum.keys + more.keys,
                expires,
                avg_ttl: time.checked_div(expires).unwrap_or(0),
            };
        }
        self
    }

    fn into_answer(self, section: Option<Section>) -> InfoAnswer {
        let wants = |wanted| section.is_none_or(|section| section == wanted);
        InfoAnswer {
            server: wants(Section::Server).then(|| ServerInfo {
                version: self.version(),
                mode: self.mode(),
                uptime_seconds: self.number("uptime_in_seconds"),
            }),
            memory: wants(Section::Memory).then(|| MemoryInfo {
                used_memory: self.number("used_memory"),
                used_memory_human: self.text("used_memory_human"),
                max_memory: self.number("maxmemory"),
                eviction_policy: self.text("maxmemory_policy"),
            }),
            stats: wants(Section::Stats).then(|| StatsInfo {
                total_commands_processed: self.number("total_commands_processed"),
                ops_per_sec: self.number("instantaneous_ops_per_sec"),
                keyspace_hits: self.number("keyspace_hits"),
                keyspace_misses: self.number("keyspace_misses"),
                hit_rate: self.hit_rate(),
            }),
            clients: wants(Section::Clients).then(|| ClientsInfo {
                connected_clients: self.number("connected_clients"),
                blocked_clients: self.number("blocked_clients"),
            }),
            persistence: wants(Section::Persistence).then(|| PersistenceInfo {
                rdb_last_save_time: self.number("rdb_last_save_time"),
                aof_enabled: self.number("aof_enabled") == 1,
            }),
            replication: wants(Section::Replication).then(|| ReplicationInfo {
                role: self.text("role"),
                connected_slaves: self.number("connected_slaves"),
            }),
            keyspace: wants(Section::Keyspace).then_some(self.keyspace),
        }
    }
}

impl Keyspace {
    /// `keys=1,expires=0,avg_ttl=0`
    fn parse(text: &str) -> Option<Self> {
        let mut keyspace = Self::default();
        for part in text.split(',') {
            let (name, number) = part.split_once('=')?;
            match name {
                "keys" => keyspace.keys = number.parse().ok()?,
                "expires" => keyspace.expires = number.parse().ok()?,
                "avg_ttl" => keyspace.avg_ttl = number.parse().ok()?,
                _ => {}
            }
        }
        Some(keyspace)
    }
}

/// As Redis writes bytes for people.
fn human(bytes: f64) -> String {
    let units = ["K", "M", "G", "T"];
    let mut amount = bytes;
    let mut unit = "B";
    for next in units {
        if amount < 1024.0 {
            break;
        }
        amount /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{amount}B") } else { format!("{amount:.2}{unit}") }
}

/// Asks for everything; in a cluster each primary, at once.
pub(crate) async fn gather(redis: &Redis) -> Result<Facts, DriverError> {
    let primaries = redis.connection.primaries().await?;
    if primaries.is_empty() {
        return ask(redis, Route::Any).await;
    }
    let mut answers = Vec::new();
    for primary in &primaries {
        answers.push(ask(redis, Route::Node(primary)));
    }
    let sum = stream::iter(answers).buffered(AT_ONCE).try_fold(None, async |sum: Option<Facts>, more| {
        Ok(Some(match sum {
            Some(sum) => sum.add(&more),
            None => more,
        }))
    });
    Ok(sum.await?.unwrap_or_default())
}

async fn ask(redis: &Redis, route: Route<'_>) -> Result<Facts, DriverError> {
    let answer = redis.connection.query_within(&cmd("INFO"), route, MAX_INFO).await?;
    let text = wire::bytes(answer).ok_or_else(|| DriverError::unexpected_answer("INFO"))?;
    Ok(Facts::parse(&String::from_utf8_lossy(&text)))
}

/// `GET /info`.
pub(crate) async fn info(
    redis: Context<Redis>,
    query: Query<InfoQuery>,
) -> Result<Json<InfoAnswer>, DriverError> {
    Ok(Json(gather(&redis).await?.into_answer(query.section)))
}

/// For a connection test.
pub(crate) async fn server_facts(redis: &Redis) -> Result<ServerFacts, DriverError> {
    let facts = ask(redis, Route::Any).await?;
    Ok(ServerFacts::new(facts.version())
        .with("mode", facts.mode())
        .with("role", facts.text("role"))
        .with("uptime_seconds", facts.number("uptime_in_seconds")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nuptime_in_seconds:12\r\n\r\n\
        # Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\
        # Stats\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\ninstantaneous_ops_per_sec:7\r\n\
        # Keyspace\r\ndb0:keys=10,expires=2,avg_ttl=1000,subexpiry=0\r\ndb11:keys=1,expires=0,avg_ttl=0\r\n";

    #[test]
    fn info_becomes_the_contract_s_object() {
        let answer = serde_json::to_value(Facts::parse(TEXT).into_answer(None)).unwrap();
        assert_eq!(answer["server"]["version"], "7.0.15");
        assert_eq!(answer["stats"]["hit_rate"], 0.75);
        assert_eq!(
            answer["keyspace"]["db0"],
            serde_json::json!({ "keys": 10, "expires": 2, "avg_ttl": 1000 })
        );
        assert_eq!(answer["keyspace"]["db11"]["keys"], 1);
        assert_eq!(answer["persistence"]["aof_enabled"], false);
    }

    #[test]
    fn a_section_comes_alone() {
        let answer = serde_json::to_value(Facts::parse(TEXT).into_answer(Some(Section::Memory))).unwrap();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["memory"]);
    }

    #[test]
    fn primaries_add_up() {
        let sum = Facts::parse(TEXT).add(&Facts::parse(TEXT));
        assert_eq!((sum.number("used_memory"), sum.text("used_memory_human")), (2 << 20, "2.00M".to_owned()));
        assert_eq!(sum.keyspace["db0"], Keyspace { keys: 20, expires: 4, avg_ttl: 1000 });
        assert_eq!(sum.hit_rate(), 0.75);
        assert_eq!(sum.keys(), 22);
    }
}
