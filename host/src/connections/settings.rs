//! A stored connection's settings, unsealed, in the form that a driver takes.

use super::target::Target;
use crate::{
    plugins::Driver,
    registry::rewrite_option_strings,
    secrets::{Keyring, OpenError, Place, Sealed},
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};
use serde::Serialize;
use serde_json::{Map, Value};
use studio_plugin_api::DriverError;

/// Why stored settings can't be handed to a driver.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A sealed value does not open.
    #[error("connection {connection}: {source}")]
    Unopened {
        /// Its id.
        connection: String,
        /// Why.
        source: OpenError,
    },
    /// The row has neither a host nor a connection string.
    #[error("connection {connection} has neither a host nor a connection string")]
    Incomplete {
        /// Its id.
        connection: String,
    },
}

/// The JSON of the contract's `ConnectionSettings`.
#[derive(Serialize)]
struct DriverSettings<'a> {
    endpoint: Endpoint<'a>,
    options: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Endpoint<'a> {
    Parts {
        host: &'a str,
        port: u16,
        database_name: Option<&'a str>,
        username: Option<&'a str>,
        password: Option<&'a str>,
    },
    ConnectionString(&'a str),
}

/// Unseals a connection's settings for its driver.
///
/// # Errors
/// A value that was tampered with, moved, or sealed under a key that is gone.
pub fn open_settings(keyring: &Keyring, target: &Target) -> Result<SecretString, SettingsError> {
    let connection = &*target.connection;
    let id = connection.id.to_string();
    let unopened = |source| SettingsError::Unopened { connection: id.clone(), source };
    let open = |field, sealed: &Option<Sealed>| {
        sealed.as_ref().map(|sealed| keyring.open(&Place { record: &id, field }, sealed)).transpose()
    };
    let password = open("password", &connection.password).map_err(unopened)?;
    let connection_string = open("connection_string", &connection.connection_string).map_err(unopened)?;
    let endpoint = match (&connection_string, &connection.host) {
        (Some(text), _) => Endpoint::ConnectionString(text.expose_secret().trim()),
        (None, Some(host)) => Endpoint::Parts {
            host,
            port: connection.port.or(target.driver.manifest().default_port).unwrap_or_default(),
            database_name: connection.database_name.as_deref(),
            username: connection.username.as_deref(),
            password: password.as_ref().map(ExposeSecret::expose_secret),
        },
        (None, None) => return Err(SettingsError::Incomplete { connection: id }),
    };
    let mut options = connection.options.clone();
    open_options(keyring, &id, &mut options).map_err(unopened)?;
    let options = target.driver.effective_options(options);
    let mut settings = DriverSettings { endpoint, options };
    // Serializing strings and numbers into memory does not fail.
    let json = serde_json::to_string(&settings).unwrap_or_default();
    settings.options.values_mut().for_each(wipe);
    Ok(json.into())
}

/// Holds settings, as [`open_settings`] makes them, to what the driver's manifest declares.
///
/// # Errors
/// `VALIDATION_ERROR` that names the field and repeats nothing of it.
pub fn check_declared(settings: &SecretString, driver: &Driver) -> Result<(), DriverError> {
    let mut settings: Value = serde_json::from_str(settings.expose_secret()).unwrap_or_default();
    let string = settings.pointer("/endpoint/connection_string").and_then(Value::as_str);
    let schemes = &driver.manifest().connection_string_schemes;
    let checked = string.map_or(Ok(()), |string| check_scheme(string, schemes));
    let checked = checked.and_then(|()| match settings.get("options") {
        Some(options) => driver.check_options(options),
        None => Ok(()),
    });
    wipe(&mut settings);
    checked
}

/// Whether a connection string begins with one of the driver's schemes.
fn check_scheme(string: &str, schemes: &[String]) -> Result<(), DriverError> {
    let scheme = string.trim_start().split_once("://").map(|(scheme, _)| scheme);
    if scheme.is_some_and(|scheme| schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme))) {
        return Ok(());
    }
    let field = "connection_string";
    let known: Vec<String> = schemes.iter().map(|known| format!("`{known}://`")).collect();
    Err(match known.is_empty() {
        true => DriverError::validation(
            field,
            "`connection_string`: this database takes none: give `host` and `port`",
        ),
        false => DriverError::validation(
            field,
            format!("`connection_string`: must begin with {}", known.join(" or ")),
        ),
    })
}

/// Opens every text that is sealed, whatever the driver's schema says of it now: only the gateway seals.
fn open_options(keyring: &Keyring, id: &str, options: &mut Map<String, Value>) -> Result<(), OpenError> {
    rewrite_option_strings(options, &mut |field, text| match text.parse::<Sealed>() {
        Ok(sealed) => {
            let secret = keyring.open(&Place { record: id, field }, &sealed)?;
            Ok(Some(secret.expose_secret().to_owned()))
        }
        Err(_) => Ok(None),
    })
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Object(inner) => inner.values_mut().for_each(wipe),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_begin_with_a_scheme_of_the_driver_and_errors_repeat_nothing_of_them() {
        let schemes = ["thing".to_owned(), "thing+srv".to_owned()];
        for fine in ["thing://h", "THING://h", " thing+srv://h/x://y", "thing://"] {
            check_scheme(fine, &schemes).unwrap();
        }
        for wrong in ["thin://s3cret", "s3cret", "s3cret:thing://h", "thing:s3cret", "//s3cret", ""] {
            let error = check_scheme(wrong, &schemes).unwrap_err();
            assert_eq!(error.details["field"], "connection_string");
            assert!(error.message.contains("`thing://` or `thing+srv://`"), "{error}");
            assert!(!error.message.contains("s3cret"), "{error}");
        }
        assert!(check_scheme("thing://h", &[]).unwrap_err().message.contains("takes none"));
    }
}
