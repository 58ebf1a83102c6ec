//! Extended JSON and BSON, both ways, and what MongoDB's guard looks at.

use crate::feedback;
use serde_json::Value;
use studio_driver_mongodb::fuzzing;
use studio_plugin_api::ErrorCode;

/// Any text as a caller's value or id: what is read is written so that it reads the same.
pub(crate) fn ejson(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let read = fuzzing::read_value(text);
    feedback::note_result(&read);
    if let Ok(document) = read {
        for is_canonical in [false, true] {
            let json = fuzzing::write_document(&document, is_canonical).unwrap().unwrap();
            let json = std::str::from_utf8(&json).unwrap();
            let whole: Value = serde_json::from_str(json).expect("what is written is JSON");
            assert!(whole.get("v").is_some());
            let value = json.strip_prefix(r#"{"v":"#).and_then(|json| json.strip_suffix('}')).unwrap();
            assert_eq!(fuzzing::read_value(value).unwrap(), document, "{json}");
        }
    }
    let id = fuzzing::read_id(text);
    feedback::note_result(&id);
    if let Ok(id) = id {
        let written = fuzzing::write_ids(&id).unwrap().unwrap();
        assert_eq!(fuzzing::read_id(&written[0]).unwrap(), id, "{}", written[0]);
    }
}

/// Any bytes as a server's document: what is written is JSON.
pub(crate) fn bson(input: &[u8]) {
    for is_canonical in [false, true] {
        let Some(written) = fuzzing::write_document(input, is_canonical) else { return };
        feedback::note_result(&written);
        if let Ok(json) = written {
            serde_json::from_slice::<serde::de::IgnoredAny>(&json).expect("what is written is JSON");
        }
    }
    if let Some(Ok(ids)) = fuzzing::write_ids(input) {
        feedback::note(ids.len());
    }
}

/// Any Extended JSON as a viewer's pipeline or filter: what passes has no word of the server's JavaScript as a key.
pub(crate) fn guard(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match fuzzing::check(text) {
        Ok(()) => {
            feedback::note("passes");
            let value: Value = serde_json::from_str(text).expect("what passes is JSON");
            assert!(!runs_code(&value), "it runs JavaScript");
        }
        Err(error) => {
            assert!(matches!(error.code, ErrorCode::ValidationError | ErrorCode::Forbidden), "{error}");
            feedback::note_result(&Err::<&[u8], _>(error));
        }
    }
}

/// Whether any object has one of these keys, but for those under `$literal`, which nobody runs.
fn runs_code(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(runs_code),
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            ["$where", "$function", "$accumulator"].contains(&name.as_str())
                || name != "$literal" && runs_code(value)
        }),
        _ => false,
    }
}
