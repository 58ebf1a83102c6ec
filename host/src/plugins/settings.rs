//! Holds a connection's settings, opened, on their way into a driver of any kind.

use secrecy::zeroize::Zeroize;
use serde::Serialize;
use serde_json::Value;
use studio_plugin_api::ConnectionSettings;

/// Holds a connection's settings as a driver is given them.
pub type DriverSettings = ConnectionSettings<OpenOptions>;

/// Holds options with their secrets in the clear, and wipes them when dropped. The type has no `Debug`, and so neither
/// have the settings that hold it.
#[derive(Serialize)]
#[serde(transparent)]
pub struct OpenOptions(Value);

impl OpenOptions {
    /// Takes over options, which are a JSON object.
    pub fn new(options: Value) -> Self {
        Self(options)
    }

    /// Shows the JSON object. Hand it to the driver and to the checks of its schema, and to nothing else.
    pub fn expose(&self) -> &Value {
        &self.0
    }
}

impl Drop for OpenOptions {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Object(inner) => inner.values_mut().for_each(wipe),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
