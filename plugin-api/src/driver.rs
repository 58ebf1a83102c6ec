//! The trait that a driver implements.

use crate::{
    Alias, ConnectionSettings, DriverError, Network, Operations,
    manifest::{CheckedBy, Concurrency},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::future::Future;

/// `Send` where there are threads; nothing on WebAssembly, where a guest has one thread.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_family = "wasm"))]
impl<T: Send> MaybeSend for T {}
/// `Send` where there are threads; nothing on WebAssembly, where a guest has one thread.
#[cfg(target_family = "wasm")]
pub trait MaybeSend {}
#[cfg(target_family = "wasm")]
impl<T> MaybeSend for T {}

/// `Sync` where there are threads; nothing on WebAssembly.
#[cfg(not(target_family = "wasm"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_family = "wasm"))]
impl<T: Sync> MaybeSync for T {}
/// `Sync` where there are threads; nothing on WebAssembly.
#[cfg(target_family = "wasm")]
pub trait MaybeSync {}
#[cfg(target_family = "wasm")]
impl<T> MaybeSync for T {}

/// One open session with one database. Dropping it closes the session.
///
/// A session serves many calls at once, and multiplexes or pools inside, with at most ten database connections. Or it
/// serves one call at a time, when the description says so ([`Description::exclusive`]) or the driver is a component:
/// then the host keeps several sessions for a connection.
pub trait Driver: MaybeSend + MaybeSync + Sized + 'static {
    /// The form of a connection's `options` object. Derive its schema; give it `#[serde(deny_unknown_fields)]` so that
    /// a misspelt option is refused; make every field optional or defaulted. Secret options are of type
    /// [`Secret`](crate::Secret).
    type Options: DeserializeOwned + JsonSchema + MaybeSend;

    /// Describes the driver: its type, names and version.
    fn describe() -> Description;

    /// Builds the route table.
    fn operations() -> Operations<Self>;

    /// Checks settings without connecting, when a connection is created or changed: for combinations that make no
    /// sense, or a connection string that does not parse.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    fn check(_settings: &ConnectionSettings<Self::Options>) -> Result<(), DriverError> {
        Ok(())
    }

    /// Opens a session and proves that it works (authenticates, selects the database).
    ///
    /// A native driver must get every network address from [`Network::resolve`], at every connect and reconnect, so
    /// that the gateway's address rules hold; a component gets a stream from [`Network::open`].
    ///
    /// # Errors
    /// `CONNECTION_ERROR` with a `reason` (see [`DriverError::connection`]); `FORBIDDEN` from `resolve` or `open`.
    fn connect(
        settings: ConnectionSettings<Self::Options>,
        network: Network,
    ) -> impl Future<Output = Result<Self, DriverError>> + MaybeSend;

    /// Asks the server for its version and other facts; used by the connection test, and to check sessions that are
    /// idle or doubtful.
    ///
    /// # Errors
    /// `CONNECTION_ERROR` when the server does not answer.
    fn ping(&self) -> impl Future<Output = Result<ServerFacts, DriverError>> + MaybeSend;

    /// Tells whether the session can still be used, by what the driver knows without asking the server. When false, the
    /// host opens a new session before its next call, so a driver need not reconnect by itself.
    fn is_open(&self) -> bool {
        true
    }
}

/// A driver's type, names, version and properties.
#[derive(Debug, Clone)]
pub struct Description {
    pub(crate) database_type: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) default_port: Option<u16>,
    pub(crate) connection_string_schemes: Vec<&'static str>,
    pub(crate) concurrency: Concurrency,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) project_database: bool,
    pub(crate) threads: usize,
    pub(crate) calls_on_own_threads: bool,
    pub(crate) checked_by: CheckedBy,
}

impl Description {
    /// Makes a description. `database_type` is the path segment in `/api/platform/<type>/`, matching
    /// `^[a-z][a-z0-9-]{0,31}$`; `name` is for people; `version` is the driver's own.
    pub fn new(database_type: &'static str, name: &'static str, version: &'static str) -> Self {
        Self {
            database_type,
            name,
            version,
            default_port: None,
            connection_string_schemes: Vec::new(),
            concurrency: Concurrency::Shared,
            aliases: Vec::new(),
            project_database: false,
            threads: 1,
            calls_on_own_threads: false,
            checked_by: CheckedBy::Driver,
        }
    }

    /// Sets the TCP port used when a connection names none.
    pub fn default_port(mut self, port: u16) -> Self {
        self.default_port = Some(port);
        self
    }

    /// Sets the URL schemes of the connection strings that the driver understands, without `://`: the host refuses
    /// strings with another scheme. Without any scheme, the driver takes settings in parts only.
    pub fn connection_string_schemes(mut self, schemes: &[&'static str]) -> Self {
        self.connection_string_schemes = schemes.to_vec();
        self
    }

    /// Makes a session take one call at a time: the host opens several for a connection, and callers wait for a free
    /// one.
    pub fn exclusive(mut self) -> Self {
        self.concurrency = Concurrency::Exclusive;
        self
    }

    /// Sets how many threads of its own a native driver has, for I/O and for the work of its client library. The
    /// default is one, which is the fastest. More are for a library that computes on these threads.
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count.max(1);
        self
    }

    /// Runs whole calls of a native driver on this many threads of its own, where the host would poll them on its threads.
    /// Use it for a client library that hands each call to tasks and waits for them: a call then changes the thread twice
    /// in all, not for each of them. A handler that blocks or computes holds up the driver's other calls, and nobody
    /// else's.
    pub fn on_own_threads(self, count: usize) -> Self {
        Self { calls_on_own_threads: true, ..self.threads(count) }
    }

    /// Adds another prefix, for the operations that the route table puts [under it](crate::Operations::alias).
    pub fn alias(mut self, alias: Alias) -> Self {
        self.aliases.push(alias);
        self
    }

    /// Makes the host check options, paths, queries and bodies against their schemas, before the driver is asked.
    /// Without it only the driver does, by reading them into its types, which is enough for most drivers. Use it for
    /// rules that only a schema states (`#[schemars(range(max = 100))]`).
    pub fn checked_by_host(mut self) -> Self {
        self.checked_by = CheckedBy::Host;
        self
    }

    /// Declares that a project's own database, which its row in the platform database names, is of this type: it is the
    /// primary connection of a project that has none of the type.
    pub fn serves_project_database(mut self) -> Self {
        self.project_database = true;
        self
    }
}

/// Facts that a server tells about itself.
#[derive(Debug, Clone, Serialize)]
pub struct ServerFacts {
    /// The server's version, as it writes it.
    pub version: String,
    /// More facts, shown as they are in the answer to a connection test.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl ServerFacts {
    /// Makes facts with only a version.
    pub fn new(version: impl Into<String>) -> Self {
        Self { version: version.into(), facts: Map::new() }
    }

    /// Adds one fact.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}
