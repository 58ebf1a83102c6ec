//! A stored connection's settings, unsealed, in the form that a driver takes.

use crate::{
    plugins::catalog::Driver,
    registry::{Connection, option_field, rewrite_option_strings},
    secrets::{Keyring, OpenError, Place, Sealed},
    sessions::Target,
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;

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
        (Some(text), _) => Endpoint::ConnectionString(text.expose_secret()),
        (None, Some(host)) => Endpoint::Parts {
            host,
            port: connection.port.or(target.driver.manifest().default_port).unwrap_or_default(),
            database_name: connection.database_name.as_deref(),
            username: connection.username.as_deref(),
            password: password.as_ref().map(ExposeSecret::expose_secret),
        },
        (None, None) => return Err(SettingsError::Incomplete { connection: id }),
    };
    let mut options = target.driver.effective_options(connection.options.clone());
    rewrite_secret_options(&target.driver, &mut options, |field, text| match text.parse::<Sealed>() {
        Ok(sealed) => keyring
            .open(&Place { record: &id, field }, &sealed)
            .map(|secret| Some(secret.expose_secret().to_owned())),
        // From the plugin's own settings, which are not sealed.
        Err(_) => Ok(None),
    })
    .map_err(unopened)?;
    let mut settings = DriverSettings { endpoint, options };
    // Serializing strings and numbers into memory does not fail.
    let json = serde_json::to_string(&settings).unwrap_or_default();
    settings.options.values_mut().for_each(wipe);
    Ok(json.into())
}

/// Shows the options that the driver's schema marks secret to `rewrite`, each with its field's name.
pub(super) fn rewrite_secret_options<E>(
    driver: &Driver,
    options: &mut Map<String, Value>,
    mut rewrite: impl FnMut(&str, &str) -> Result<Option<String>, E>,
) -> Result<(), E> {
    let secret: HashSet<String> =
        driver.secret_options().iter().map(|path| option_field(path.iter().map(String::as_str))).collect();
    if secret.is_empty() {
        return Ok(());
    }
    rewrite_option_strings(options, &mut |field, text| {
        if secret.contains(field) { rewrite(field, text) } else { Ok(None) }
    })
}

/// The options of a connection as they may be shown: without the secret ones.
pub fn visible_options(driver: Option<&Driver>, connection: &Connection) -> Map<String, Value> {
    let mut options = connection.options.clone();
    for path in driver.map(Driver::secret_options).unwrap_or_default() {
        remove(&mut options, path);
    }
    // What is sealed stays hidden even when its driver, which knew it for a secret, is not loaded.
    remove_sealed(&mut options);
    options
}

fn remove(options: &mut Map<String, Value>, path: &[String]) {
    match path {
        [] => {}
        [name] => {
            options.remove(name);
        }
        [name, rest @ ..] => {
            if let Some(Value::Object(inner)) = options.get_mut(name) {
                remove(inner, rest);
            }
        }
    }
}

fn remove_sealed(options: &mut Map<String, Value>) {
    options.retain(|_, value| !matches!(value, Value::String(text) if Sealed::is_sealed(text)));
    for value in options.values_mut() {
        if let Value::Object(inner) = value {
            remove_sealed(inner);
        }
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
