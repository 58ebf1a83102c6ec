//! What a client may say of a connection, and what it is told when that does not fit.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use studio_plugin_api::connection_string;

/// The longest host name, database name or user name taken, in bytes. DNS ends at 253; PostgreSQL at 63.
const LONGEST_NAME: usize = 255;
/// The longest password or connection string taken, in bytes.
const LONGEST_SECRET: usize = 16 * 1024;

/// A request field that does not fit.
#[derive(Debug, thiserror::Error)]
#[error("`{field}` {expected}")]
pub struct InvalidField {
    /// The field's name.
    pub field: Cow<'static, str>,
    /// What would be right.
    pub expected: String,
}

impl InvalidField {
    /// `field`'s value should be as `expected` says: `must be …`.
    pub fn new(field: impl Into<Cow<'static, str>>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), expected: expected.into() }
    }
}

/// The body of a create.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateConnection {
    /// The connection's name in its project.
    pub identifier: String,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    port: Option<u64>,
    #[serde(default)]
    database_name: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretText>,
    #[serde(default)]
    connection_string: Option<SecretText>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
    /// Whether it should become the primary one.
    #[serde(default)]
    pub is_primary: Option<bool>,
    /// `ACTIVE` or `INACTIVE`.
    #[serde(default)]
    pub status: Option<SettableStatus>,
}

/// The body of a change: absent fields stay, `null` empties.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeConnection {
    #[serde(default)]
    pub(super) identifier: Option<String>,
    #[serde(default, deserialize_with = "given")]
    host: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    port: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    database_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    username: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    password: Option<Option<SecretText>>,
    #[serde(default, deserialize_with = "given")]
    connection_string: Option<Option<SecretText>>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
    #[serde(default)]
    is_primary: Option<bool>,
    #[serde(default)]
    status: Option<SettableStatus>,
}

/// The statuses that a client may set; the others follow what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SettableStatus {
    /// In use.
    Active,
    /// Switched off.
    Inactive,
}

/// A change as given, its settings checked.
#[derive(Debug, Clone)]
pub(super) struct GivenChange {
    pub(super) identifier: Option<String>,
    pub(super) is_primary: Option<bool>,
    pub(super) status: Option<SettableStatus>,
    pub(super) settings: GivenSettings,
}

/// Settings as given, checked: the same for a create and a change. The outer `None` leaves a field as it is, the
/// inner one empties it.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenSettings {
    pub(super) host: Option<Option<String>>,
    pub(super) port: Option<Option<u16>>,
    pub(super) database_name: Option<Option<String>>,
    pub(super) username: Option<Option<String>>,
    pub(super) password: Option<Option<SecretString>>,
    pub(super) connection_string: Option<Option<SecretString>>,
    pub(super) options: Option<Map<String, Value>>,
}

impl CreateConnection {
    pub(super) fn into_settings(self) -> Result<GivenSettings, InvalidField> {
        ChangeConnection {
            host: Some(self.host),
            port: Some(self.port),
            database_name: Some(self.database_name),
            username: Some(self.username),
            password: Some(self.password),
            connection_string: Some(self.connection_string),
            options: Some(self.options.unwrap_or_default()),
            ..ChangeConnection::default()
        }
        .into_change()
        .map(|change| change.settings)
    }
}

impl ChangeConnection {
    pub(super) fn into_change(self) -> Result<GivenChange, InvalidField> {
        let settings = GivenSettings {
            host: check_name("host", self.host)?,
            port: match self.port {
                Some(Some(port)) => Some(Some(check_port(port)?)),
                Some(None) => Some(None),
                None => None,
            },
            database_name: check_name("database_name", self.database_name)?,
            username: check_name("username", self.username)?,
            password: check_secret("password", self.password)?,
            connection_string: check_connection_string(self.connection_string)?,
            options: check_options(self.options)?,
        };
        let Self { identifier, is_primary, status, .. } = self;
        Ok(GivenChange { identifier, is_primary, status, settings })
    }
}

/// Checks a connection's name: `^[a-z0-9][a-z0-9_-]{0,62}$`.
///
/// # Errors
/// When it is another.
pub fn check_identifier(field: &'static str, text: &str) -> Result<(), InvalidField> {
    let first = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let fits = text.len() <= 63
        && text.starts_with(first)
        && text.chars().all(|letter| first(letter) || letter == '_' || letter == '-');
    if fits {
        Ok(())
    } else {
        Err(InvalidField::new(
            field,
            "must be 1 to 63 of a-z, 0-9, `_` and `-`, and begin with a letter or digit",
        ))
    }
}

fn check_port(port: u64) -> Result<u16, InvalidField> {
    u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| InvalidField::new("port", "must be a whole number from 1 to 65535"))
}

fn check_name(
    field: &'static str,
    given: Option<Option<String>>,
) -> Result<Option<Option<String>>, InvalidField> {
    if let Some(Some(text)) = &given
        && (text.trim().is_empty() || text.len() > LONGEST_NAME || text.contains(char::is_control))
    {
        return Err(InvalidField::new(
            field,
            format!("must be 1 to {LONGEST_NAME} bytes of text without control characters, or null"),
        ));
    }
    Ok(given)
}

/// PostgreSQL has no place for a zero byte in JSON, and what one registry takes the other does too.
fn check_options(given: Option<Map<String, Value>>) -> Result<Option<Map<String, Value>>, InvalidField> {
    fn is_storable(value: &Value) -> bool {
        match value {
            Value::String(text) => !text.contains('\0'),
            Value::Array(items) => items.iter().all(is_storable),
            Value::Object(fields) => are_storable(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
        }
    }
    fn are_storable(fields: &Map<String, Value>) -> bool {
        fields.iter().all(|(name, value)| !name.contains('\0') && is_storable(value))
    }
    match &given {
        Some(options) if !are_storable(options) => {
            Err(InvalidField::new("options", "must have no zero bytes in its texts"))
        }
        _ => Ok(given),
    }
}

fn check_secret(
    field: &'static str,
    given: Option<Option<SecretText>>,
) -> Result<Option<Option<SecretString>>, InvalidField> {
    match given {
        None => Ok(None),
        // An empty password is none.
        Some(None) => Ok(Some(None)),
        Some(Some(SecretText(text))) if text.is_empty() => Ok(Some(None)),
        Some(Some(SecretText(text))) if text.len() > LONGEST_SECRET => {
            Err(InvalidField::new(field, format!("must be at most {LONGEST_SECRET} bytes")))
        }
        Some(Some(SecretText(text))) => Ok(Some(Some(text.into()))),
    }
}

fn check_connection_string(
    given: Option<Option<SecretText>>,
) -> Result<Option<Option<SecretString>>, InvalidField> {
    const FIELD: &str = "connection_string";
    let read = |SecretText(text): SecretText| match connection_string::read(&text) {
        Ok(read) => Ok(SecretText(read.to_owned())),
        Err(message) => Err(InvalidField::new(FIELD, message)),
    };
    let given = given.map(|given| given.map(read).transpose()).transpose()?;
    check_secret(FIELD, given)
}

/// A secret on its way in; `Debug` hides it.
struct SecretText(String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `String::deserialize`: its error for a value of another type quotes that value.
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("must be a string")),
        }
    }
}

/// Tells `null` (given, and empties) from absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(body: Value) -> Result<GivenSettings, InvalidField> {
        serde_json::from_value::<ChangeConnection>(body).unwrap().into_change().map(|change| change.settings)
    }

    #[test]
    fn identifiers_follow_the_contract() {
        for fine in ["a", "0", "a-b_c", &"x".repeat(63)] {
            check_identifier("identifier", fine).unwrap();
        }
        for wrong in ["", "-a", "_a", "A", "a b", "ä", &"x".repeat(64)] {
            assert!(check_identifier("identifier", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn absent_leaves_null_empties_and_bad_ports_are_named() {
        let given = change(json!({"host": null})).unwrap();
        assert!(matches!((given.host, given.port), (Some(None), None)));
        assert_eq!(change(json!({"port": 0})).unwrap_err().field, "port");
        assert_eq!(change(json!({"port": 65536})).unwrap_err().field, "port");
        assert_eq!(change(json!({"host": " "})).unwrap_err().field, "host");
        assert!(matches!(change(json!({"password": ""})).unwrap().password, Some(None)));
    }

    #[test]
    fn errors_do_not_quote_secrets() {
        let error = serde_json::from_value::<ChangeConnection>(json!({"password": 918273})).unwrap_err();
        assert!(!error.to_string().contains("918273"), "{error}");
    }
}
