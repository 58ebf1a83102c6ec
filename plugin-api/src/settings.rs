//! What a driver is given to open a session with.

use crate::DriverError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

/// A secret text: wiped when dropped, never shown by `Debug`. An option of this type is sealed in the registry and
/// never shown to anyone.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself. Hand it to the database's client and to nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `writeOnly` is JSON Schema's own word for what may be sent but is never returned; the host seals by it.
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Where the database is and how to log in to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Given in parts.
    Parts {
        /// Host name or IP address.
        host: String,
        /// TCP port.
        port: u16,
        /// The database to use, where the server has several.
        database_name: Option<String>,
        /// Login name.
        username: Option<String>,
        /// Login password.
        password: Option<Secret>,
    },
    /// Given as one URL, which may hold a password.
    ConnectionString(Secret),
}

/// A connection's settings, opened and checked.
#[derive(Debug, Clone, Deserialize)]
pub struct ConnectionSettings<O> {
    /// Where and as whom.
    pub endpoint: Endpoint,
    /// The driver's own options: the connection's, over the plugin's `settings` in `plugins.toml`.
    pub options: O,
}

/// A boxed future, `Send` where there are threads.
#[cfg(not(target_family = "wasm"))]
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future, `Send` where there are threads.
#[cfg(target_family = "wasm")]
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

#[cfg(not(target_family = "wasm"))]
type Resolver = dyn Fn(String, u16) -> BoxFuture<'static, Result<Vec<SocketAddr>, DriverError>> + Send + Sync;
#[cfg(target_family = "wasm")]
type Resolver = dyn Fn(String, u16) -> BoxFuture<'static, Result<Vec<SocketAddr>, DriverError>>;

/// The way to the network that the host grants.
#[derive(Clone)]
pub struct Network {
    resolver: Arc<Resolver>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Network")
    }
}

impl Network {
    /// A network whose names are resolved, and whose addresses are allowed, by `resolver`.
    #[cfg(not(target_family = "wasm"))]
    pub fn new<F, R>(resolver: R) -> Self
    where
        F: Future<Output = Result<Vec<SocketAddr>, DriverError>> + Send + 'static,
        R: Fn(String, u16) -> F + Send + Sync + 'static,
    {
        Self { resolver: Arc::new(move |host, port| Box::pin(resolver(host, port))) }
    }

    /// The addresses of a host that the gateway's rules allow; never an empty list. Ask at every connect, connect
    /// only to what it answered, and do not keep the answer.
    ///
    /// # Errors
    /// `FORBIDDEN` for an address that the rules exclude, `CONNECTION_ERROR` (`not_resolved`) for an unknown name.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DriverError> {
        (self.resolver)(host.to_owned(), port).await
    }
}
