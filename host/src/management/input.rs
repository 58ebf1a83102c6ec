//! The fields that a client may give of a connection, and the errors for fields that do not fit.

use crate::{
    registry::{EndpointParts, StoredEndpoint},
    secrets::Sealed,
};
use secrecy::{ExposeSecret, SecretString};
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
    /// The form that would be right.
    pub expected: String,
}

impl InvalidField {
    /// Makes the error that `field` should be as `expected` says: `must be …`.
    pub fn new(field: impl Into<Cow<'static, str>>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), expected: expected.into() }
    }
}

/// Holds a field of a change: `None` leaves the field as it is, the inner `None` empties it.
type Given<T> = Option<Option<T>>;

/// Reads the body of a create.
pub type CreateConnection = ConnectionBody<String>;
/// Reads the body of a change.
pub type ChangeConnection = ConnectionBody<Option<String>>;

/// Describes a connection as it should be: absent fields stay as they are, `null` empties a field. The type has no
/// `Debug`, since secrets may be among the options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionBody<Identifier> {
    /// The connection's name in its project.
    pub identifier: Identifier,
    #[serde(default, deserialize_with = "given")]
    host: Given<String>,
    #[serde(default, deserialize_with = "given")]
    port: Given<u64>,
    #[serde(default, deserialize_with = "given")]
    database_name: Given<String>,
    #[serde(default, deserialize_with = "given")]
    username: Given<String>,
    #[serde(default, deserialize_with = "given_secret")]
    password: Given<SecretString>,
    #[serde(default, deserialize_with = "given_secret")]
    connection_string: Given<SecretString>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
    /// Whether it should become the primary one.
    #[serde(default)]
    pub is_primary: Option<bool>,
    /// `ACTIVE` or `INACTIVE`.
    #[serde(default)]
    pub status: Option<SettableStatus>,
}

/// The statuses that a client may set; the gateway sets the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SettableStatus {
    /// In use.
    Active,
    /// Switched off.
    Inactive,
}

/// Holds a body whose settings were checked.
#[derive(Clone)]
pub(super) struct GivenConnection<Identifier> {
    pub(super) identifier: Identifier,
    pub(super) is_primary: Option<bool>,
    pub(super) status: Option<SettableStatus>,
    pub(super) settings: GivenSettings,
}

/// Holds settings as given, each checked by itself.
#[derive(Clone)]
pub(super) struct GivenSettings {
    pub(super) endpoint: GivenEndpoint,
    pub(super) options: Option<Map<String, Value>>,
}

/// Holds the fields of an endpoint as given: together with the endpoint from before they make a whole one.
#[derive(Clone)]
pub(super) struct GivenEndpoint {
    host: Given<String>,
    port: Given<u16>,
    database_name: Given<String>,
    username: Given<String>,
    password: Given<SecretString>,
    connection_string: Given<SecretString>,
}

impl<Identifier> ConnectionBody<Identifier> {
    pub(super) fn check(self) -> Result<GivenConnection<Identifier>, InvalidField> {
        let endpoint = GivenEndpoint {
            host: check_name("host", self.host)?,
            port: self.port.map(|port| port.map(check_port).transpose()).transpose()?,
            database_name: check_name("database_name", self.database_name)?,
            username: check_name("username", self.username)?,
            password: check_secret("password", self.password)?,
            connection_string: check_connection_string(self.connection_string)?,
        };
        let settings = GivenSettings { endpoint, options: check_options(self.options)? };
        let Self { identifier, is_primary, status, .. } = self;
        Ok(GivenConnection { identifier, is_primary, status, settings })
    }
}

impl GivenEndpoint {
    /// Makes an endpoint of the given fields and, for the others, of the endpoint `before`.
    ///
    /// # Errors
    /// Names the field that is missing, or one too many.
    pub(super) fn over(
        self,
        before: Option<&StoredEndpoint>,
        usual_port: Option<u16>,
        seal: impl Fn(&'static str, SecretString) -> Sealed,
    ) -> Result<StoredEndpoint, InvalidField> {
        let gives_parts = matches!((&self.host, &self.connection_string), (Some(Some(_)), None));
        let gives_string = matches!((&self.host, &self.connection_string), (None, Some(Some(_))));
        // A connection string stands instead of the parts, so giving one form takes the other away.
        let parts = before.and_then(StoredEndpoint::parts).filter(|_| !gives_string);
        let string = before.and_then(StoredEndpoint::connection_string).filter(|_| !gives_parts);
        let host = self.host.unwrap_or_else(|| parts.map(|parts| parts.host.clone()));
        let port = self.port.unwrap_or_else(|| parts?.port);
        let database_name = self.database_name.unwrap_or_else(|| parts?.database_name.clone());
        let username = self.username.unwrap_or_else(|| parts?.username.clone());
        let password = match self.password {
            Some(given) => given.map(|text| seal("password", text)),
            None => parts.and_then(|parts| parts.password.clone()),
        };
        let connection_string = match self.connection_string {
            Some(given) => given.map(|text| seal("connection_string", text)),
            None => string.cloned(),
        };
        match (host, connection_string) {
            (Some(host), None) => {
                let missing = || InvalidField::new("port", "is required: this database has no usual one");
                let port = Some(port.or(usual_port).ok_or_else(missing)?);
                Ok(StoredEndpoint::Parts(EndpointParts { host, port, database_name, username, password }))
            }
            (None, Some(text)) => {
                let parts = [
                    ("port", port.is_some()),
                    ("database_name", database_name.is_some()),
                    ("username", username.is_some()),
                    ("password", password.is_some()),
                ];
                match parts.into_iter().find(|(_, is_there)| *is_there) {
                    Some((field, _)) => {
                        Err(InvalidField::new(field, "belongs into the `connection_string` here"))
                    }
                    None => Ok(StoredEndpoint::ConnectionString(text)),
                }
            }
            (Some(_), Some(_)) => Err(InvalidField::new(
                "connection_string",
                "stands instead of `host`: give one of them, not both",
            )),
            (None, None) => {
                Err(InvalidField::new("host", "is required, or a `connection_string` in its place"))
            }
        }
    }
}

/// Checks a connection's name: `^[a-z0-9][a-z0-9_-]{0,62}$`.
///
/// # Errors
/// The text is no such name.
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

fn check_name(field: &'static str, given: Given<String>) -> Result<Given<String>, InvalidField> {
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

/// Refuses options with a zero byte: PostgreSQL can't store one in JSON, and both kinds of registry take the same.
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
    given: Given<SecretString>,
) -> Result<Given<SecretString>, InvalidField> {
    match given {
        // An empty password is none.
        Some(Some(text)) if text.expose_secret().is_empty() => Ok(Some(None)),
        Some(Some(text)) if text.expose_secret().len() > LONGEST_SECRET => {
            Err(InvalidField::new(field, format!("must be at most {LONGEST_SECRET} bytes")))
        }
        given => Ok(given),
    }
}

fn check_connection_string(given: Given<SecretString>) -> Result<Given<SecretString>, InvalidField> {
    const FIELD: &str = "connection_string";
    let read = |text: SecretString| match connection_string::read(text.expose_secret()) {
        Ok(read) => Ok(SecretString::from(read)),
        Err(message) => Err(InvalidField::new(FIELD, message)),
    };
    let given = given.map(|given| given.map(read).transpose()).transpose()?;
    check_secret(FIELD, given)
}

/// Tells `null` (given, and empties) from absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Given<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Does as [`given`] for a secret, which no error quotes, unlike the error of `String` for a value of another type.
fn given_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given<SecretString>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(text.into()))),
        Some(_) => Err(serde::de::Error::custom("must be a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{Keyring, SealedFor};
    use serde_json::json;
    use studio_plugin_api::parameters;

    fn read(body: Value) -> Result<GivenConnection<Option<String>>, InvalidField> {
        serde_json::from_value::<ChangeConnection>(body).unwrap().check()
    }

    /// Makes an endpoint of a body and of the body before, its secrets in the clear.
    fn over(before: Option<&Value>, body: Value) -> Result<Value, InvalidField> {
        let keyring = Keyring::parse(&"00".repeat(32).into(), &"".into()).unwrap();
        let place = |field| SealedFor { record: "a", field };
        let seal = |field, text: SecretString| keyring.seal(&place(field), text.expose_secret());
        let make = |body, before: Option<&StoredEndpoint>| {
            read(body).and_then(|given| given.settings.endpoint.over(before, Some(7), seal))
        };
        let before = before.map(|body| make(body.clone(), None).unwrap());
        let endpoint = make(body, before.as_ref())?;
        let opened =
            |field, sealed: &Sealed| keyring.open(&place(field), sealed).unwrap().expose_secret().to_owned();
        Ok(match endpoint {
            StoredEndpoint::ConnectionString(text) => json!(opened("connection_string", &text)),
            StoredEndpoint::Parts(parts) => json!([
                parts.host,
                parts.port,
                parts.database_name,
                parts.username,
                parts.password.map(|text| opened("password", &text)),
            ]),
        })
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
        let given = read(json!({"host": null})).ok().unwrap().settings.endpoint;
        assert!(matches!((given.host, given.port), (Some(None), None)));
        let field = |body| read(body).err().unwrap().field;
        assert_eq!(field(json!({"port": 0})), "port");
        assert_eq!(field(json!({"port": 65536})), "port");
        assert_eq!(field(json!({"host": " "})), "host");
        let password = read(json!({"password": ""})).ok().unwrap().settings.endpoint.password;
        assert!(matches!(password, Some(None)));
    }

    #[test]
    fn only_a_create_must_have_an_identifier() {
        let field = |error: studio_plugin_api::DriverError| error.details["field"].clone();
        for body in [r#"{"host": "h"}"#, r#"{"identifier": null}"#] {
            let read = parameters::from_body::<CreateConnection>(body.as_bytes());
            assert_eq!(field(read.err().unwrap()), "identifier");
            assert!(parameters::from_body::<ChangeConnection>(body.as_bytes()).unwrap().identifier.is_none());
        }
        let read = parameters::from_body::<ChangeConnection>(br#"{"password": 918273}"#);
        assert_eq!(field(read.err().unwrap()), "password");
    }

    #[test]
    fn errors_do_not_quote_secrets() {
        let error = serde_json::from_value::<ChangeConnection>(json!({"password": 918273})).err().unwrap();
        assert!(!error.to_string().contains("918273"), "{error}");
    }

    #[test]
    fn fields_that_are_given_make_one_endpoint_with_those_before() {
        let parts = json!({"host": "h", "port": 1, "database_name": "d", "username": "u", "password": "p"});
        let string = json!({"connection_string": "x://h"});
        let both = json!({"host": "h", "connection_string": "x://h"});
        let all_null = json!({
            "host": null, "port": null, "database_name": null, "username": null, "password": null,
            "connection_string": "x://i",
        });
        let no_string = json!({"host": "h", "connection_string": null});
        for (before, body, after) in [
            (None, parts.clone(), json!(["h", 1, "d", "u", "p"])),
            (None, json!({"host": "h"}), json!(["h", 7, null, null, null])),
            (None, string.clone(), json!("x://h")),
            (Some(&parts), json!({}), json!(["h", 1, "d", "u", "p"])),
            (Some(&parts), json!({"port": null, "username": "v"}), json!(["h", 7, "d", "v", "p"])),
            (Some(&parts), json!({"host": "i", "password": null}), json!(["i", 1, "d", "u", null])),
            (Some(&parts), json!({"connection_string": null}), json!(["h", 1, "d", "u", "p"])),
            (Some(&parts), string.clone(), json!("x://h")),
            (Some(&parts), all_null, json!("x://i")),
            (Some(&string), json!({}), json!("x://h")),
            (Some(&string), json!({"host": null, "port": null}), json!("x://h")),
            (Some(&string), json!({"host": "h"}), json!(["h", 7, null, null, null])),
            (Some(&string), no_string, json!(["h", 7, null, null, null])),
        ] {
            assert_eq!(over(before, body.clone()).unwrap(), after, "{before:?} {body}");
        }
        let with = |name: &str, value: Value| json!({"connection_string": "x://h", name: value});
        for (before, body, field, expected) in [
            (None, json!({}), "host", "is required"),
            (None, both.clone(), "connection_string", "instead of `host`"),
            (None, with("username", json!("u")), "username", "belongs into"),
            (Some(&parts), json!({"host": null}), "host", "is required"),
            (Some(&parts), both.clone(), "connection_string", "instead of `host`"),
            (Some(&parts), with("password", json!("p")), "password", "belongs into"),
            (Some(&parts), with("host", json!(null)), "port", "belongs into"),
            (Some(&string), json!({"connection_string": null}), "host", "is required"),
            (Some(&string), json!({"port": 1}), "port", "belongs into"),
            (Some(&string), both, "connection_string", "instead of `host`"),
        ] {
            let error = over(before, body.clone()).unwrap_err();
            assert!(error.field == field && error.expected.contains(expected), "{before:?} {body}: {error}");
        }
    }
}
