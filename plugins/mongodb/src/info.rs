//! `GET /info`, and what a connection test tells.

use crate::{MongoDb, errors, lists::unless_refused, number, session::Kind};
use bson::{Document, doc};
use serde_json::json;
use studio_plugin_api::prelude::*;

/// The most names of databases in the answer of a connection test.
const MOST_NAMES: usize = 100;

/// How many servers there are and what they are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topology {
    /// One server alone.
    Standalone,
    /// A member of a replica set.
    ReplicaSet,
    /// A router of a sharded cluster.
    Sharded,
}

impl Topology {
    /// Reads the reply to `hello`.
    fn of(hello: &Document) -> Self {
        if hello.get_str("msg").is_ok_and(|message| message == "isdbgrid") {
            Self::Sharded
        // A member that is not configured yet has no name of its set.
        } else if hello.contains_key("setName") || hello.get_bool("isreplicaset").unwrap_or_default() {
            Self::ReplicaSet
        } else {
            Self::Standalone
        }
    }
}

/// What the server says of itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct InfoAnswer {
    version: String,
    topology: Topology,
    /// This and what follows is null where the user may not ask for it (`serverStatus`).
    uptime_seconds: Option<u64>,
    connections: Option<Connections>,
    memory: Option<Memory>,
    opcounters: Option<OperationCounts>,
}

/// Connections to the server, from everywhere.
#[derive(Serialize, JsonSchema)]
struct Connections {
    current: Option<u64>,
    /// How many more there can be.
    available: Option<u64>,
    /// Since the server started.
    total_created: Option<u64>,
}

/// Memory of the server's process, in MiB as MongoDB tells it.
#[derive(Serialize, JsonSchema)]
struct Memory {
    resident: Option<u64>,
    #[serde(rename = "virtual")]
    virtual_: Option<u64>,
}

/// How often something was done since the server started.
#[derive(Serialize, JsonSchema)]
struct OperationCounts {
    insert: Option<u64>,
    query: Option<u64>,
    update: Option<u64>,
    delete: Option<u64>,
    getmore: Option<u64>,
    command: Option<u64>,
}

impl InfoAnswer {
    /// Puts three replies together; the last one is empty where there is none.
    fn new(hello: &Document, build: &Document, status: &Document) -> Self {
        let connections = status.get_document("connections").ok();
        let memory = status.get_document("mem").ok();
        let operations = status.get_document("opcounters").ok();
        Self {
            version: version(build),
            topology: Topology::of(hello),
            uptime_seconds: number::read(status, "uptime"),
            connections: connections.map(|told| Connections {
                current: number::read(told, "current"),
                available: number::read(told, "available"),
                total_created: number::read(told, "totalCreated"),
            }),
            memory: memory.map(|told| Memory {
                resident: number::read(told, "resident"),
                virtual_: number::read(told, "virtual"),
            }),
            opcounters: operations.map(|told| OperationCounts {
                insert: number::read(told, "insert"),
                query: number::read(told, "query"),
                update: number::read(told, "update"),
                delete: number::read(told, "delete"),
                getmore: number::read(told, "getmore"),
                command: number::read(told, "command"),
            }),
        }
    }
}

fn version(build: &Document) -> String {
    build.get_str("version").map_or_else(|_| "unknown".to_owned(), errors::shorten)
}

/// `GET /info`
pub(crate) async fn info(context: Context<MongoDb>) -> Result<Json<InfoAnswer>, DriverError> {
    let ask = async |command: Document| {
        let admin = context.client.database("admin");
        context.run(&context, Kind::Reads, async |running| running.command(&admin, command).await).await
    };
    let hello = ask(doc! { "hello": 1 }).await?;
    let build = unless_refused(ask(doc! { "buildInfo": 1 }).await)?.unwrap_or_default();
    // Most of the reply, and of the work for it, is about what nobody here asks.
    let status = doc! {
        "serverStatus": 1, "locks": 0, "metrics": 0, "repl": 0, "sharding": 0, "tcmalloc": 0, "wiredTiger": 0,
    };
    let status = unless_refused(ask(status).await)?.unwrap_or_default();
    Ok(Json(InfoAnswer::new(&hello, &build, &status)))
}

/// For a connection test.
///
/// # Errors
/// The connection's.
pub(crate) async fn server_facts(mongo: &MongoDb) -> Result<ServerFacts, DriverError> {
    let hello = mongo.command("admin", doc! { "hello": 1 }).await?;
    let build = unless_refused(mongo.command("admin", doc! { "buildInfo": 1 }).await)?.unwrap_or_default();
    let facts = ServerFacts::new(version(&build)).with("topology", json!(Topology::of(&hello)));
    let names = mongo.client.list_database_names().await;
    let names = names.map_err(|error| mongo.servers.tell(&error));
    let Some(mut names) = unless_refused(names)? else { return Ok(facts) };
    names.sort_unstable();
    let count = names.len();
    names.truncate(MOST_NAMES);
    let names: Vec<_> = names.iter().map(|name| errors::shorten(name)).collect();
    Ok(facts.with("databases", names).with("database_count", count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::to_value;

    #[test]
    fn the_topology_is_what_hello_says() {
        for (hello, name) in [
            (doc! { "isWritablePrimary": true }, "standalone"),
            (doc! { "isWritablePrimary": false, "isreplicaset": true }, "replica_set"),
            (doc! { "isWritablePrimary": true, "setName": "rs0" }, "replica_set"),
            (doc! { "isWritablePrimary": true, "msg": "isdbgrid" }, "sharded"),
        ] {
            assert_eq!(to_value(Topology::of(&hello)).unwrap(), name, "{hello}");
        }
    }

    #[test]
    fn info_tells_null_of_what_the_server_keeps_back() {
        let status = doc! {
            "uptime": 12.9,
            "connections": { "current": 3, "available": 800_i64 },
            "mem": { "bits": 64, "resident": 100, "virtual": 2000 },
            "opcounters": { "insert": 5_i64, "query": 1, "update": 2, "delete": 3, "getmore": 4, "command": 6.0 },
        };
        let answer = InfoAnswer::new(&doc! {}, &doc! { "version": "8.0.4" }, &status);
        assert_eq!(
            to_value(answer).unwrap(),
            json!({
                "version": "8.0.4", "topology": "standalone", "uptime_seconds": 12,
                "connections": { "current": 3, "available": 800, "total_created": null },
                "memory": { "resident": 100, "virtual": 2000 },
                "opcounters": { "insert": 5, "query": 1, "update": 2, "delete": 3, "getmore": 4, "command": 6 },
            })
        );
        let answer = to_value(InfoAnswer::new(&doc! {}, &doc! {}, &doc! {})).unwrap();
        assert_eq!((&answer["version"], &answer["opcounters"]), (&json!("unknown"), &json!(null)));
    }
}
