//! The target of a call.

use crate::{plugins::Driver, registry::Connection};
use std::sync::Arc;

/// Names the parts that a session is opened with: a connection as stored, and the driver in service for its type.
#[derive(Clone)]
pub struct Target {
    /// The connection.
    pub connection: Arc<Connection>,
    /// Its driver.
    pub driver: Arc<Driver>,
}

impl Target {
    /// Returns its version: sessions of another version have other settings or another driver.
    pub fn version(&self) -> (i64, u64) {
        (self.connection.settings_version, self.driver.load_number())
    }
}
