//! What callers say of connections.

use crate::feedback;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::OnceLock;
use studio_gateway::{
    connections::sealed_string::ConnectionKey,
    fuzzing,
    management::input::ChangeConnection,
    secrets::{Keyring, Sealed, SealedFor},
};
use studio_plugin_api::{Driver, DriverError, ErrorCode, testing};

/// Any connection string, and after a zero byte any options, to each driver.
pub(crate) fn connection_strings(input: &[u8]) {
    let Some((choice, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (place, options) = text.split_once('\0').unwrap_or((text, "{}"));
    let Ok(options) = serde_json::from_str::<Value>(options) else { return };
    let endpoint = match choice & 4 == 0 {
        true => json!({ "connection_string": place }),
        false => {
            json!({ "parts": { "host": place, "port": 1, "username": place, "password": place, "database_name": place } })
        }
    };
    let settings = json!({ "endpoint": endpoint, "options": options });
    let checked = match choice & 3 {
        0 => check::<studio_driver_postgres::Postgres>(settings.clone()),
        1 => check::<studio_driver_mongodb::MongoDb>(settings.clone()),
        2 => check::<studio_driver_redis::Redis>(settings.clone()),
        _ => check::<studio_driver_memcached::Memcached>(settings.clone()),
    };
    match &checked {
        Ok(()) => feedback::note((choice & 3, "taken")),
        Err(error) => {
            assert_eq!(error.code, ErrorCode::ValidationError, "{error}");
            feedback::note((choice & 3, feedback::words(&error.message)));
        }
    }
    let place = fuzzing::read_guest_settings(settings.to_string(), Some(6379));
    feedback::note(place.is_some());
    if let Some((host, port)) = place {
        assert!(port != 0 && (choice & 4 != 0 || !host.is_empty()));
    }
    if let Err(error) = serde_json::from_str::<ChangeConnection>(text) {
        feedback::note(feedback::words(&error.to_string()));
    }
}

fn check<D: Driver>(settings: Value) -> Result<(), DriverError> {
    D::check(&testing::settings::<D>(settings)?)
}

/// Any text as one that was sealed, by a caller or by the gateway itself.
pub(crate) fn sealed_strings(input: &[u8]) {
    static KEYS: OnceLock<(ConnectionKey, Keyring)> = OnceLock::new();
    let (connection_key, keyring) = KEYS.get_or_init(|| {
        let key: SecretString = "00".repeat(32).into();
        (ConnectionKey::new("SAMPLE_KEY".into()), Keyring::parse(&key, &"".into()).unwrap())
    });
    assert!(keyring.check_tagged(input).is_none(), "nobody tagged it");
    let Ok(text) = std::str::from_utf8(input) else { return };
    feedback::note(connection_key.open(text).is_some());
    match text.parse::<Sealed>() {
        Ok(sealed) => {
            let sealed_for = SealedFor { record: "a", field: "password" };
            let error = keyring.open(&sealed_for, &sealed).expect_err("nobody sealed it for this place");
            feedback::note(feedback::words(&error.to_string()));
        }
        Err(error) => feedback::note(feedback::words(&error.to_string())),
    }
}
