//! Bytes in JSON where no field beside them could tell their encoding.
//!
//! Elsewhere [`studio_plugin_api::encoding`] holds: a part of an answer that is not UTF-8 comes as base64, and a field
//! beside it says so. For a collection it holds for the answer as a whole: when any field name, member or value in the
//! page is not UTF-8, every one of them in that page is base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// A string of a body, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A string, or `{"base64": "…"}`.
pub(crate) struct JsonBytes<'a>(pub(crate) &'a [u8]);

impl Serialize for JsonBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", STANDARD.encode(self.0))]),
        }
    }
}

/// How many bytes these are as a JSON string, its quotes included.
pub(crate) fn json_length(bytes: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return (bytes.len() as u64).div_ceil(3) * 4 + 2;
    };
    let is_plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    // Nearly every text: without a way out of the loop, it goes many bytes at a time.
    if bytes.iter().filter(|byte| !is_plain(byte)).count() == 0 {
        return bytes.len() as u64 + 2;
    }
    let escapes = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 1,
        0..0x20 => 5,
        _ => 0,
    });
    text.len() as u64 + escapes.sum::<u64>() + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_as_long_in_json_as_was_said(text: String, control in "[\x00-\x1F\"\\\\]{0,40}") {
            for text in [text, control] {
                let json = serde_json::to_string(&text).unwrap();
                prop_assert_eq!(json.len() as u64, json_length(text.as_bytes()));
            }
        }
    }

    #[test]
    fn text_stands_as_it_is_and_other_bytes_say_what_they_are() {
        assert_eq!(serde_json::to_string(&JsonBytes(b"\xFF")).unwrap(), r#"{"base64":"/w=="}"#);
        assert_eq!(serde_json::to_string(&JsonBytes(b"a")).unwrap(), r#""a""#);
    }
}
