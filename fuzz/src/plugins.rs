//! What operators write of drivers, and what drivers say of themselves.

use crate::feedback;
use serde_json::{Value, json};
use std::{fs, path::PathBuf, sync::OnceLock};
use studio_gateway::{config::Settings, fuzzing, plugins::file};
use studio_plugin_api::manifest::Manifest;
use tempfile::TempDir;

/// Any file as `plugins.toml`, and as `gateway.toml`.
pub(crate) fn settings(input: &[u8]) {
    static FILE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FILE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.toml");
        (folder, path)
    });
    fs::write(path, input).unwrap();
    match file::read(path) {
        Ok(entries) => feedback::note(entries.len()),
        Err(error) => feedback::note(feedback::words(&error.to_string())),
    }
    match Settings::load(Some(path), std::iter::empty()) {
        Ok(settings) => feedback::note(settings.check().is_ok()),
        Err(error) => feedback::note(feedback::words(&error.to_string())),
    }
}

/// Any JSON as a driver's manifest: what keeps the rules can be served.
pub(crate) fn manifest(input: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(input) else { return };
    match fuzzing::check_manifest(&manifest) {
        Ok(()) => {
            feedback::note(("kept", manifest.operations.len()));
            assert!(fuzzing::Paths::new(&manifest, None).is_ok());
        }
        Err(reason) => feedback::note(feedback::words(&reason)),
    }
}

/// Any JSON as a driver's schema, and behind a zero byte any JSON as a value: it fits the schema where it fits all of a list
/// with that alone in it, and does not fit what is not it.
pub(crate) fn schemas(input: &[u8]) {
    let Some(place) = input.iter().position(|byte| *byte == 0) else { return };
    let (schema, value) = (&input[..place], &input[place + 1..]);
    let Ok(schema) = serde_json::from_slice::<Value>(schema) else { return };
    let Ok(read) = serde_json::from_slice::<Value>(value) else { return };
    let check = |schema: &Value| fuzzing::check_value(schema, &read, value.len());
    let fits = check(&schema);
    feedback::note(fits.map_err(|faults| faults.min(8)));
    // References would lead elsewhere from one level deeper.
    let (Ok(Some(fits)), false) = (fits, schema.to_string().contains("$ref")) else { return };
    for (wrapped, expected) in [(json!({"allOf": [schema]}), fits), (json!({"not": schema}), !fits)] {
        if let Ok(Some(found)) = check(&wrapped) {
            assert_eq!(found, expected, "{wrapped}");
        }
    }
}

/// Any values of a guest's: its errors and facts, between zero bytes.
pub(crate) fn guest_values(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut parts = text.splitn(3, '\0');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let (message, details, facts) = (next(), next(), next());
    let error = fuzzing::read_guest_error(message.clone(), details, Some(1));
    feedback::note((error.code.as_str(), error.details.len()));
    assert!(error.message == message || error.message.starts_with("the driver answered"), "{error}");
    let read = fuzzing::read_guest_facts(&facts);
    feedback::note(read.as_ref().map(serde_json::Map::len));
    if let Some(read) = read {
        // A value alone takes the name that stands for raw JSON inside `serde_json` for just that.
        if let Ok(value) = serde_json::from_str::<Value>(&facts) {
            assert_eq!(value, Value::Object(read));
        }
    }
}
