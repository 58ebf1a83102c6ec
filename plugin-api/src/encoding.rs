//! Bytes in JSON: text where they are UTF-8, base64 where they are not.
//!
//! Keys and values of many databases are bytes; JSON strings are text. The rule is the same everywhere: a part of an
//! answer (the key, the value) that is not UTF-8 comes as base64, and a field beside it (`key_encoding`,
//! `value_encoding`) says `"base64"`. Request bodies use the same fields.

use crate::DriverError;
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bytes are written in JSON strings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As they are: they are UTF-8.
    #[default]
    Utf8,
    /// Base64, standard alphabet, padded.
    Base64,
}

impl Encoding {
    /// Chooses the encoding that can carry all of these parts.
    pub fn for_all<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        if parts.into_iter().all(|part| std::str::from_utf8(part).is_ok()) {
            Self::Utf8
        } else {
            Self::Base64
        }
    }

    /// Gives the value of an answer's `…_encoding` field: present only for base64.
    pub fn shown(self) -> Option<Self> {
        (self == Self::Base64).then_some(self)
    }

    /// Decodes the bytes that a JSON string stands for; `field` names it in the error.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for text that is not base64 and should be.
    pub fn decode(self, text: &str, field: &str) -> Result<Vec<u8>, DriverError> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Base64 => STANDARD.decode(text).map_err(|_| DriverError::field(field, "is not base64")),
        }
    }

    /// Encodes bytes as a JSON string. Bytes that this encoding can't carry are a mistake of the calling code, and are
    /// shown with replacement characters.
    pub fn encode(self, bytes: Vec<u8>) -> String {
        match self {
            Self::Utf8 => String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

/// Encodes bytes for an answer, and gives the encoding to show beside them.
pub fn show(bytes: Vec<u8>) -> (String, Option<Encoding>) {
    let encoding = Encoding::for_all([bytes.as_slice()]);
    (encoding.encode(bytes), encoding.shown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_come_back_from_their_json(bytes: Vec<u8>) {
            let (json, encoding) = show(bytes.clone());
            prop_assert_eq!(encoding.unwrap_or_default().decode(&json, "value").unwrap(), bytes);
        }

        #[test]
        fn text_stays_readable(text: String) {
            prop_assert_eq!(show(text.clone().into_bytes()), (text, None));
        }
    }

    #[test]
    fn one_binary_part_makes_all_of_them_base64() {
        assert_eq!(Encoding::for_all([b"a".as_slice(), b"\xFF"]), Encoding::Base64);
    }

    #[test]
    fn bad_base64_is_refused_by_its_field() {
        let error = Encoding::Base64.decode("!", "value[1]").unwrap_err();
        assert_eq!(error.details["field"], "value[1]");
    }
}
