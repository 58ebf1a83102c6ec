//! The memcached driver of studio-gateway, shipped as a WebAssembly component.
//!
//! It speaks the text protocol of memcached 1.6.10 and later: the meta commands, because only they tell of times to live,
//! take keys with any bytes, and say what became of a write in one word; and the classic `stats`, `flush_all` and
//! `lru_crawler metadump` for what those do not have.
//!
//! | route | access | request → payload |
//! | --- | --- | --- |
//! | `GET /keys?pattern=*&cursor=0&limit=100` | read | `{keys:[{key,ttl,idle_seconds,fetched,cas,item_size,slab_class}], cursor, total, total_scanned}`, in the order of the keys' bytes; `cursor` is `"0"` at the end. Each page is a walk through the whole cache |
//! | `GET /keys/{key}` | read | `{key,value,flags,cas,ttl,size,idle_seconds,fetched}`; `ttl` −1 no expiry |
//! | `POST /keys/get` | read | `{keys:[…], key_encoding?}`, up to 100 → `{items:[as above], missing:[{key}]}` |
//! | `POST /keys/{key}` | write | `{value, value_encoding?, flags?, ttl?, mode?, cas?}`; `mode` is `set`, `add`, `replace`, `append` or `prepend` → `201` `200` `{key,ttl,cas,created}`; `409` where `add` finds a key or `cas` another item, `404` where the others find none |
//! | `DELETE /keys/{key}` | write | `204`, `404` if absent |
//! | `POST /keys/{key}/increment`, `…/decrement` | write | `{delta?, initial?, ttl?}` → `{key,value,ttl,cas}`; `404` if absent and there is no `initial` |
//! | `POST /keys/{key}/touch` | write | `{ttl}` → `{key,ttl}` |
//! | `POST /flush` | admin | `{delay?}` → `{delay}` |
//! | `GET /info?section=` | read | `{server,memory,items,stats,clients}` |
//! | `GET /stats?section=` | read | the server's own names: `general`, `settings`, `items`, `slabs`, `sizes` or `conns` |
//! | `GET /slabs` | read | `{slabs:[{class,chunk_size,…,items,evicted,…}], total_malloced}` |
//!
//! Keys in a path are percent-decoded to bytes; what is not UTF-8 comes and goes as base64, with `key_encoding` or
//! `value_encoding` beside it (`studio_plugin_api::encoding`). A key has up to 250 bytes, or 186 when there are spaces or
//! control characters in it. `cas` and counters beyond 2⁵³ are strings (`number.rs`).
//!
//! A user and a password are those of the server's authentication file (`memcached -Y`). They are told only to a server
//! that asks for them; whether it did is in the answer to a connection test.

mod connection;
mod errors;
mod flush;
mod keys;
mod number;
mod options;
mod stats;
mod wire;

use connection::Connection;
pub use options::MemcachedOptions;
use options::Target;
use std::{sync::OnceLock, time::Duration};
use studio_plugin_api::prelude::*;

/// The paths whose cached answers a write makes stale: the count of items is in there.
const AFTER_WRITE: [&str; 1] = ["/info"];
/// More text than any server tells of itself when the driver asks on its own behalf.
const MAX_STATS: u64 = 1 << 20;

/// An open session with a memcached server.
pub struct Memcached {
    connection: Connection,
    /// The largest item in bytes; asked once, when the first value is stored. Nothing where the server does not tell.
    item_limit: OnceLock<Option<u64>>,
}

impl Driver for Memcached {
    type Options = MemcachedOptions;

    fn describe() -> Description {
        Description::new("memcached", "memcached", env!("CARGO_PKG_VERSION"))
            .default_port(11211)
            .connection_string_schemes(&["memcached", "memcacheds"])
            .exclusive()
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get("/keys", keys::list::list)
            .read()
            .summary("List keys in order, a page at a time; each page walks through the whole cache")
            .get("/keys/{key}", keys::read::read)
            .read()
            .summary("Read a key")
            .post("/keys/get", keys::read::get)
            .read()
            .summary("Read up to 100 keys")
            .post("/keys/{key}", keys::write::write)
            .write()
            .summary("Store a value: set, add, replace, append, prepend, or compare and set")
            .delete("/keys/{key}", keys::expiry::delete)
            .write()
            .summary("Delete a key")
            .post("/keys/{key}/increment", keys::count::increment)
            .write()
            .summary("Add to a counter")
            .post("/keys/{key}/decrement", keys::count::decrement)
            .write()
            .summary("Take from a counter, down to 0")
            .post("/keys/{key}/touch", keys::expiry::touch)
            .write()
            .summary("Set or remove a key's expiry")
            .post("/flush", flush::flush)
            .admin()
            .summary("Drop every item")
            .get("/info", stats::info::info)
            .read()
            .cache(Duration::from_secs(30))
            .summary("Describe the server")
            .get("/stats", stats::stats)
            .read()
            .summary("Measure the server, now")
            .get("/slabs", stats::slabs::slabs)
            .read()
            .summary("Tell how the memory is divided")
            .each_write_invalidates(&AFTER_WRITE)
    }

    fn check(settings: &ConnectionSettings<MemcachedOptions>) -> Result<(), DriverError> {
        Target::new(settings).map(drop)
    }

    async fn connect(
        settings: ConnectionSettings<MemcachedOptions>,
        network: Network,
    ) -> Result<Self, DriverError> {
        let target = Target::new(&settings)?;
        let connection = Connection::open(&target, &network).await?;
        Ok(Self { connection, item_limit: OnceLock::new() })
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        match stats::info::server_facts(self).await {
            // Something between may keep the statistics to itself; that the server answers is fact enough.
            Err(error) if matches!(error.code, ErrorCode::Forbidden | ErrorCode::QueryError) => {
                let greeting = self.connection.ask_line("version\r\n").await?;
                let version = greeting.strip_prefix("VERSION ").unwrap_or("unknown");
                Ok(ServerFacts::new(version).with("authenticated", self.connection.authenticated))
            }
            other => other,
        }
    }

    fn is_open(&self) -> bool {
        self.connection.is_open()
    }
}

impl Memcached {
    /// The server's clock, in Unix time.
    async fn server_time(&self) -> Result<i64, DriverError> {
        let stats = self.connection.stats("", MAX_STATS).await?;
        stats.find("time").ok_or_else(|| DriverError::unexpected_answer("stats"))
    }

    /// How many bytes an item may have.
    async fn item_limit(&self) -> Result<Option<u64>, DriverError> {
        if let Some(limit) = self.item_limit.get() {
            return Ok(*limit);
        }
        let settings = self.connection.stats("settings", MAX_STATS).await;
        // A server that does not tell refuses what is too large by itself; a connection that is gone is another matter.
        let limit = match settings {
            Ok(settings) => settings.find("item_size_max"),
            Err(_) if self.connection.is_open() => None,
            Err(error) => return Err(error),
        };
        Ok(*self.item_limit.get_or_init(|| limit))
    }
}

studio_plugin_api::export_driver!(Memcached);
