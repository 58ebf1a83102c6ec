//! A connection's settings, opened, on their way into a driver of any kind.

use secrecy::zeroize::Zeroize;
use serde::Serialize;
use serde_json::Value;
use studio_plugin_api::ConnectionSettings;

/// A connection's settings as a driver is given them.
pub type DriverSettings = ConnectionSettings<OpenOptions>;

/// Options with their secrets in the clear: wiped when dropped. They have no `Debug`, and so neither have settings that
/// hold them.
#[derive(Serialize)]
#[serde(transparent)]
pub struct OpenOptions(Value);

impl OpenOptions {
    /// Takes over options, which are a JSON object.
    pub fn new(options: Value) -> Self {
        Self(options)
    }

    /// The JSON object. Hand it to the driver and to what checks it for the driver.
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
