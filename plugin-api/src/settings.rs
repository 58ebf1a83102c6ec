//! The settings that a driver gets to open a session with.

use crate::DriverError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeStructVariant};
use std::{borrow::Cow, future::Future, pin::Pin};

/// The keyword that an option's schema has, with `true`, when the option decides to whom secrets are sent, or how
/// strictly the other side is checked: a host to go through, for example.
/// `#[schemars(extend("x-secrets-anew" = true))]` adds it. A change of such an option, like one of a connection's host
/// or port, needs all secrets anew. Options whose names begin with `tls` or `ssl` count as such without it.
pub const SECRETS_ANEW: &str = "x-secrets-anew";

/// A secret text: wiped when dropped, never shown by `Debug`. An option of this type is sealed in the registry and
/// never shown to anyone.
#[derive(Debug, Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Returns the text itself. Give it to the database's client and to nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SecretString> for Secret {
    fn from(text: SecretString) -> Self {
        Self(text)
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
        // `writeOnly` is JSON Schema's own word for values that may be sent but are never returned; the host seals by
        // it.
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
    /// Where the database is, and how to log in.
    pub endpoint: Endpoint,
    /// The driver's own options: the connection's, over the plugin's `settings` in `plugins.toml`.
    pub options: O,
}

impl<O: Serialize> ConnectionSettings<O> {
    /// Writes the settings as the JSON that crosses into a driver, with every secret in the clear. Neither the settings
    /// nor their endpoint are `Serialize`, so that no other JSON contains the secrets by mistake.
    pub fn to_json(&self) -> SecretString {
        #[derive(Serialize)]
        struct Exposed<'a, O> {
            endpoint: ExposedEndpoint<'a>,
            options: &'a O,
        }
        let exposed = Exposed { endpoint: ExposedEndpoint(&self.endpoint), options: &self.options };
        // Serializing texts and numbers into memory does not fail.
        serde_json::to_string(&exposed).unwrap_or_default().into()
    }
}

struct ExposedEndpoint<'a>(&'a Endpoint);

impl Serialize for ExposedEndpoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Endpoint::Parts { host, port, database_name, username, password } => {
                let mut parts = serializer.serialize_struct_variant("Endpoint", 0, "parts", 5)?;
                parts.serialize_field("host", host)?;
                parts.serialize_field("port", port)?;
                parts.serialize_field("database_name", database_name)?;
                parts.serialize_field("username", username)?;
                parts.serialize_field("password", &password.as_ref().map(Secret::expose))?;
                parts.end()
            }
            Endpoint::ConnectionString(text) => {
                serializer.serialize_newtype_variant("Endpoint", 1, "connection_string", text.expose())
            }
        }
    }
}

/// Decides whether a connection speaks TLS: by its option `tls`, or else by its connection string, whose words that ask
/// for TLS are `by_string`. `only_with_tls` names the options that mean nothing without TLS, each with whether it is
/// given.
///
/// # Errors
/// `VALIDATION_ERROR` where option and string differ, and for an option that is given but means nothing.
pub fn choose_tls(
    option: Option<bool>,
    by_string: Option<&str>,
    only_with_tls: &[(&str, bool)],
) -> Result<bool, DriverError> {
    if let (Some(false), Some(by_string)) = (option, by_string) {
        let wrong = format!("is false, but the connection string says {by_string}");
        return Err(DriverError::field("options.tls", wrong));
    }
    let wanted = option.unwrap_or(by_string.is_some());
    match only_with_tls.iter().find(|(_, given)| *given) {
        Some((field, _)) if !wanted => Err(DriverError::field(field, "means nothing without `tls`")),
        _ => Ok(wanted),
    }
}

/// A boxed future, `Send` where there are threads.
#[cfg(not(target_family = "wasm"))]
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future, `Send` where there are threads.
#[cfg(target_family = "wasm")]
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn settings_reach_a_driver_as_they_are_and_debug_hides_them() {
        let parts =
            json!({"host": "h", "port": 7, "database_name": "d", "username": "u", "password": "s3cret"});
        let bare = json!({"host": "h", "port": 7, "database_name": null, "username": null, "password": null});
        for endpoint in [
            json!({ "parts": parts }),
            json!({ "parts": bare }),
            json!({"connection_string": "thing://u:s3cret@h"}),
        ] {
            let json = json!({"endpoint": endpoint, "options": {"depth": 3}});
            let settings: ConnectionSettings<Value> = serde_json::from_value(json.clone()).unwrap();
            let written: Value = serde_json::from_str(settings.to_json().expose_secret()).unwrap();
            assert_eq!(written, json);
            let shown = format!("{settings:?} {:?}", settings.to_json());
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}
