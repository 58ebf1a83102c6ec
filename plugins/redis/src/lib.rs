//! The Redis driver of studio-gateway.
//!
//! `options.rs` reads a connection's settings, `connection.rs` opens and uses the connection; `keys/`, `command/`,
//! `pubsub.rs` and `info/` are the operations. How bytes appear in JSON is told in `json_bytes.rs`.
//!
//! It is built in two ways that share all of this but the transport: a native driver makes its connections itself, to
//! single servers, clusters and what Sentinels name (`native/`); a component has one stream to one server, from the
//! host (`sandboxed/`), and refuses the settings that would need more.

mod authorities;
mod command;
mod connection;
mod errors;
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod json_bytes;
mod keys;
mod login;
#[cfg(not(target_family = "wasm"))]
mod native;
mod options;
mod packed;
mod pubsub;
mod resp;
mod route;
#[cfg(any(target_family = "wasm", test))]
mod sandboxed;
mod standing;
mod wire;

use command::CommandTable;
use connection::Connection;
use options::Target;
pub use options::{ClusterAddress, RedisOptions, SentinelAddress, SentinelOptions};
use std::{
    sync::{OnceLock, atomic::AtomicBool},
    time::Duration,
};
use studio_plugin_api::prelude::*;

/// The paths whose cached answers a write makes stale: the count of keys is in there.
const AFTER_WRITE: [&str; 1] = ["/info"];

/// An open session with a Redis server or cluster.
pub struct Redis {
    connection: Connection,
    /// Whether `MEMORY USAGE` works here: servers before 4.0, renamed commands and ACL rules can make it fail, and
    /// then it is not asked again.
    memory_usage: AtomicBool,
    /// The server's commands, asked when the first raw command comes.
    commands: OnceLock<CommandTable>,
}

impl Redis {
    fn new(connection: Connection) -> Self {
        Self { connection, memory_usage: AtomicBool::new(true), commands: OnceLock::new() }
    }
}

impl Driver for Redis {
    type Options = RedisOptions;

    fn describe() -> Description {
        Description::new("redis", "Redis", env!("CARGO_PKG_VERSION"))
            .default_port(6379)
            .connection_string_schemes(&["redis", "rediss", "valkey", "valkeys"])
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get("/keys", keys::list::list)
            .read()
            .summary("List keys, one page of SCAN at a time")
            .get("/keys/{key}", keys::read::read)
            .read()
            .summary("Read a key; a collection one page at a time")
            .post("/keys/batch", keys::batch::batch)
            .write()
            .summary("Set, delete and expire up to 100 keys in one pipeline")
            .invalidates(AFTER_WRITE)
            .post("/keys/{key}", keys::write::set)
            .write()
            .summary("Set a key, replacing what it held")
            .invalidates(AFTER_WRITE)
            .put("/keys/{key}", keys::write::change)
            .write()
            .summary("Change the value or the expiry of an existing key")
            .invalidates(AFTER_WRITE)
            .delete("/keys/{key}", keys::expiry::delete)
            .write()
            .summary("Delete a key")
            .invalidates(AFTER_WRITE)
            .post("/keys/{key}/expire", keys::expiry::expire)
            .write()
            .summary("Set or remove a key's expiry")
            .invalidates(AFTER_WRITE)
            .post("/command", command::run)
            .per_call()
            .summary("Run a command; which ones depends on the caller's role")
            .invalidates(AFTER_WRITE)
            .get("/pubsub/channels", pubsub::channels)
            .read()
            .summary("List active channels and their subscribers")
            .post("/pubsub/publish", pubsub::publish)
            .write()
            .summary("Publish a message")
            .get("/info", info::info)
            .read()
            .cache(Duration::from_secs(30))
            .summary("Describe the server")
            .get("/stats", info::stats::stats)
            .read()
            .summary("Measure the server, now")
    }

    fn check(settings: &ConnectionSettings<RedisOptions>) -> Result<(), DriverError> {
        Target::new(settings).map(drop)
    }

    async fn connect(
        settings: ConnectionSettings<RedisOptions>,
        network: Network,
    ) -> Result<Self, DriverError> {
        let target = Target::new(&settings)?;
        Ok(Self::new(Connection::open(&target, network).await?))
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        match info::server_facts(self).await {
            // The user may not ask for INFO, or the server has no such command; that it answers is fact enough.
            Err(error) if matches!(error.code, ErrorCode::Forbidden | ErrorCode::QueryError) => {
                Ok(ServerFacts::new("unknown"))
            }
            other => other,
        }
    }

    fn is_open(&self) -> bool {
        self.connection.is_open()
    }
}

studio_plugin_api::export_driver!(Redis);
