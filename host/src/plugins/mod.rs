//! Drivers: from `plugins.toml` to something that opens sessions.
//!
//! [`catalog`] is the way in: a map from database type to a loaded [`Driver`](catalog::Driver). What a driver is
//! made of is behind two traits, [`DriverInstance`] and [`DriverSession`]; `dylib.rs` implements them over the native
//! border. Nothing outside this module knows of what kind a driver is.

pub mod catalog;
pub mod containment;
mod dylib;
pub mod file;
mod load;
mod routes;

use futures_util::future::BoxFuture;
use secrecy::SecretString;
use studio_plugin_api::{Call, DriverError, manifest::Manifest, reply::Payload};

pub use load::{Inspection, Loader, PluginError, RESERVED_TYPES, TRIAL_REFUSED, inspect_in_this_process};
pub use routes::Route;

/// A loaded driver, of whatever kind.
pub trait DriverInstance: Send + Sync {
    /// What it says of itself, checked.
    fn manifest(&self) -> &Manifest;

    /// Checks settings (JSON of the contract's `ConnectionSettings`) without connecting. May block; call it where
    /// blocking is allowed.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    fn check(&self, settings: SecretString) -> Result<(), DriverError>;

    /// Opens a session. Dropping the future gives up.
    ///
    /// # Errors
    /// What the driver says, mostly `CONNECTION_ERROR`.
    fn connect(
        &self,
        settings: SecretString,
    ) -> BoxFuture<'static, Result<Box<dyn DriverSession>, DriverError>>;
}

/// An open session. Dropping it closes it.
pub trait DriverSession: Send + Sync {
    /// Runs an operation. Dropping the future cancels it, on the database too.
    ///
    /// # Errors
    /// What the driver says; `DRIVER_ERROR` when it panicked or broke the contract.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Payload, DriverError>>;

    /// The server's facts, as a JSON object.
    ///
    /// # Errors
    /// What the driver says, mostly `CONNECTION_ERROR`.
    fn ping(&self) -> BoxFuture<'static, Result<serde_json::Map<String, serde_json::Value>, DriverError>>;

    /// Whether the driver still believes in the session.
    fn is_open(&self) -> bool;
}
