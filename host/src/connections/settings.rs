//! A stored connection's settings, unsealed, in the form that a driver takes.

use crate::{
    plugins::{
        Driver,
        settings::{DriverSettings, OpenOptions},
    },
    registry::{ConnectionId, StoredEndpoint, StoredSettings, rewrite_option_strings},
    secrets::{Keyring, OpenError, Sealed, SealedFor},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use studio_plugin_api::{DriverError, Endpoint, Secret};

/// Says that a sealed value of a connection does not open.
#[derive(Debug, thiserror::Error)]
#[error("connection {connection}: {source}")]
pub struct SettingsError {
    connection: ConnectionId,
    source: OpenError,
}

/// Unseals a connection's settings for its driver.
///
/// # Errors
/// A value that was tampered with, moved, or sealed under a key that is gone.
pub fn open_settings(
    keyring: &Keyring,
    id: ConnectionId,
    stored: &StoredSettings,
    driver: &Driver,
) -> Result<DriverSettings, SettingsError> {
    let record = id.to_string();
    let open = |field, sealed: &Sealed| keyring.open(&SealedFor { record: &record, field }, sealed);
    let opened = || {
        let endpoint = match &stored.endpoint {
            StoredEndpoint::ConnectionString(sealed) => {
                let text = open("connection_string", sealed)?;
                Endpoint::ConnectionString(Secret::from(text.expose_secret().trim().to_owned()))
            }
            StoredEndpoint::Parts(parts) => Endpoint::Parts {
                host: parts.host.clone(),
                port: parts.port.or(driver.manifest().default_port).unwrap_or_default(),
                database_name: parts.database_name.clone(),
                username: parts.username.clone(),
                password: parts
                    .password
                    .as_ref()
                    .map(|sealed| open("password", sealed))
                    .transpose()?
                    .map(Secret::from),
            },
        };
        let mut options = stored.options.clone();
        open_options(keyring, &record, &mut options)?;
        let options = OpenOptions::new(Value::Object(driver.effective_options(options)));
        Ok(DriverSettings { endpoint, options })
    };
    opened().map_err(|source| SettingsError { connection: id, source })
}

/// Checks settings, as [`open_settings`] makes them, against the driver's manifest.
///
/// # Errors
/// `VALIDATION_ERROR` that names the field and does not repeat its value.
pub fn check_declared(settings: &DriverSettings, driver: &Driver) -> Result<(), DriverError> {
    if let Endpoint::ConnectionString(text) = &settings.endpoint {
        check_scheme(text.expose(), &driver.manifest().connection_string_schemes)?;
    }
    driver.check_options(settings.options.expose())
}

/// Checks that a connection string begins with one of the driver's schemes.
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

/// Opens every sealed text, even if the driver's schema no longer marks it as secret: only the gateway seals.
fn open_options(keyring: &Keyring, id: &str, options: &mut Map<String, Value>) -> Result<(), OpenError> {
    rewrite_option_strings(options, &mut |field, text| match text.parse::<Sealed>() {
        Ok(sealed) => {
            let secret = keyring.open(&SealedFor { record: id, field }, &sealed)?;
            Ok(Some(secret.expose_secret().to_owned()))
        }
        Err(_) => Ok(None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_scheme_is_refused_without_repeating_the_string() {
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
