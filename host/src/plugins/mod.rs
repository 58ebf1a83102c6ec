//! Drivers: from `plugins.toml` to something that opens sessions.
//!
//! [`catalog`] is the way in: a map from database type, and from [`Prefix`], to a loaded [`Driver`] with its
//! [`Operation`]s. Two traits, [`DriverInstance`] and [`DriverSession`], hide how a driver is shipped; `dylib.rs`
//! implements them over the native border, `wasm/` in a sandbox. Nothing outside this module knows a driver's kind.

mod caching;
pub mod catalog;
mod child;
pub mod containment;
mod driver;
mod driver_log;
mod dylib;
mod error;
pub mod file;
pub(crate) mod fuzzing;
mod kind;
mod load;
mod manifest;
mod operation;
mod options;
mod prefixes;
mod reply_format;
mod routes;
mod schema;
pub mod settings;
mod status;
mod timers;
mod wasm;
mod watch;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use settings::DriverSettings;
use std::net::SocketAddr;
use studio_plugin_api::{
    Call, DriverError,
    manifest::{Concurrency, Manifest},
};

pub use caching::Caching;
pub use child::REFUSED;
pub use driver::Driver;
pub use error::PluginError;
pub use load::{Inspection, Loader, Look, inspect_in_this_process};
pub use manifest::RESERVED_TYPES;
pub use operation::Operation;
pub use options::{OptionPlace, OptionRules};
pub use prefixes::Prefix;
pub use reply_format::{JSON, ReplyFormat};
pub use routes::Route;
pub use wasm::{CompiledCache, SandboxSettings, compile_in_this_process};

/// A driver's payload. Its bytes are where the driver made them.
pub type Payload = studio_plugin_api::reply::Payload<Bytes>;

/// How a driver's host names are resolved, by the gateway's address rules.
type Resolve = dyn Fn(String, u16) -> BoxFuture<'static, Result<Vec<SocketAddr>, DriverError>> + Send + Sync;

/// A loaded driver of either kind.
pub trait DriverInstance: Send + Sync {
    /// Gives its manifest, checked.
    fn manifest(&self) -> &Manifest;

    /// Tells how many calls one of its sessions takes at once.
    fn concurrency(&self) -> Concurrency {
        self.manifest().concurrency
    }

    /// Tells whether its code is stopped from outside before it keeps a thread for long, and goes on in a later poll.
    fn is_preempted(&self) -> bool {
        false
    }

    /// Checks settings without connecting. A driver that blocks here blocks nobody else.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field; `DRIVER_ERROR` when the driver can't tell.
    fn check(&self, settings: DriverSettings) -> BoxFuture<'static, Result<(), DriverError>>;

    /// Opens a session. Dropping the future gives up.
    ///
    /// # Errors
    /// The driver's error, mostly `CONNECTION_ERROR`.
    fn connect(
        &self,
        settings: DriverSettings,
    ) -> BoxFuture<'static, Result<Box<dyn DriverSession>, DriverError>>;
}

/// An open session. Dropping it closes it.
pub trait DriverSession: Send + Sync {
    /// Runs an operation. Dropping the future cancels it, on the database too.
    ///
    /// # Errors
    /// The driver's error; `DRIVER_ERROR` when it panicked or broke the contract.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Payload, DriverError>>;

    /// Asks for the server's facts, a JSON object.
    ///
    /// # Errors
    /// The driver's error, mostly `CONNECTION_ERROR`.
    fn ping(&self) -> BoxFuture<'static, Result<serde_json::Map<String, serde_json::Value>, DriverError>>;

    /// Tells whether the driver still holds the session to be usable.
    fn is_open(&self) -> bool;
}
