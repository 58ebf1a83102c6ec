//! Reads a guest's values as the host does, for fuzz targets.

use super::{
    bindings::studio::driver::types::{Error, ErrorCode},
    convert,
    journal::Journal,
    session,
    settings::OpenSettings,
};
use crate::plugins::settings::{DriverSettings, OpenOptions};
use serde_json::{Map, Value};
use studio_plugin_api::{ConnectionSettings, DriverError};

/// Reads an error as a guest answers with it.
pub fn read_guest_error(message: String, details: String, retry_after: Option<u32>) -> DriverError {
    let code = ErrorCode::QueryError;
    let error = Error { code, message, details, retry_after, session_lost: false };
    convert::read_error(error, &Journal::new("fuzzed")).0
}

/// Reads the facts of a guest's server; `None` where they are refused.
pub fn read_guest_facts(text: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    session::read_facts(text).ok()
}

/// Finds the host and port that a connection's settings, in JSON, let a guest connect to.
pub fn read_guest_settings(json: String, default_port: Option<u16>) -> Option<(String, u16)> {
    let read: ConnectionSettings<Map<String, Value>> = serde_json::from_str(&json).ok()?;
    let settings =
        DriverSettings { endpoint: read.endpoint, options: OpenOptions::new(Value::Object(read.options)) };
    OpenSettings::new(settings).place(default_port).ok()
}
