//! Bytes in JSON: text where they are UTF-8, base64 where they are not.
//!
//! Redis keys and values are bytes; JSON strings are text. The rule, the same everywhere: a part of an answer (the key,
//! the value) that is not UTF-8 comes as base64, and a field beside it (`key_encoding`, `value_encoding`) says
//! `"base64"`. For a collection the rule holds for the answer as a whole: when any field name, member or value in the
//! page is not UTF-8, every one of them in that page is base64. Bodies say the same with the same fields: one
//! `"value_encoding": "base64"` means that every string in `value` is base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use studio_plugin_api::DriverError;

/// How bytes are written in JSON strings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// As they are: they are UTF-8.
    #[default]
    Utf8,
    /// Base64, standard alphabet, padded.
    Base64,
}

impl Encoding {
    /// The encoding that can carry all of these.
    pub(crate) fn for_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        if parts.into_iter().all(|part| std::str::from_utf8(part).is_ok()) {
            Self::Utf8
        } else {
            Self::Base64
        }
    }

    /// What an answer's `…_encoding` field holds: present only for base64.
    pub(crate) fn shown(self) -> Option<Self> {
        (self == Self::Base64).then_some(self)
    }

    /// The bytes that a JSON string stands for; `field` names it in the error.
    pub(crate) fn decode(self, text: &str, field: &str) -> Result<Vec<u8>, DriverError> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Base64 => STANDARD
                .decode(text)
                .map_err(|_| DriverError::validation(field, format!("`{field}`: is not base64"))),
        }
    }

    /// The JSON string that stands for bytes. Bytes that this encoding can't carry are a mistake of the caller,
    /// shown with replacement characters.
    pub(crate) fn encode(self, bytes: Vec<u8>) -> String {
        match self {
            Self::Utf8 => String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

/// A key, channel or other name in an answer, with the encoding to show beside it.
pub(crate) fn name(bytes: Vec<u8>) -> (String, Option<Encoding>) {
    let encoding = Encoding::for_all([bytes.as_slice()]);
    (encoding.encode(bytes), encoding.shown())
}

/// Bytes that stand alone, with no field beside them: a string, or `{"base64": "…"}`.
pub(crate) struct Lone<'a>(pub(crate) &'a [u8]);

impl Serialize for Lone<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_map([("base64", STANDARD.encode(self.0))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_come_back_from_their_json(bytes: Vec<u8>) {
            let encoding = Encoding::for_all([bytes.as_slice()]);
            let json = encoding.encode(bytes.clone());
            prop_assert_eq!(encoding.decode(&json, "value").unwrap(), bytes);
        }

        #[test]
        fn text_stays_readable(text: String) {
            prop_assert_eq!(name(text.clone().into_bytes()), (text, None));
        }
    }

    #[test]
    fn one_binary_part_makes_all_of_them_base64() {
        assert_eq!(Encoding::for_all([b"a".as_slice(), b"\xFF"]), Encoding::Base64);
        assert_eq!(serde_json::to_string(&Lone(b"\xFF")).unwrap(), r#"{"base64":"/w=="}"#);
        assert_eq!(serde_json::to_string(&Lone(b"a")).unwrap(), r#""a""#);
    }

    #[test]
    fn bad_base64_is_refused_by_its_field() {
        let error = Encoding::Base64.decode("!", "value[1]").unwrap_err();
        assert_eq!(error.details["field"], "value[1]");
    }
}
