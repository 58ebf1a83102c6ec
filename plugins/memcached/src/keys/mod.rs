//! Operations on keys.

pub(crate) mod count;
pub(crate) mod dump;
pub(crate) mod expiry;
pub(crate) mod glob;
pub(crate) mod list;
pub(crate) mod read;
pub(crate) mod write;

use crate::connection::Command;
use base64::{Engine, engine::general_purpose::STANDARD};
use studio_plugin_api::{encoding::Encoding, prelude::*};

/// The longest key, and the longest word that stands for one in a command.
const MAX_KEY: usize = 250;
/// The longest key whose base64 has at most 250 characters.
const MAX_BINARY_KEY: usize = 186;

/// The key in a path, as bytes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyPath {
    key: PathBytes,
}

impl KeyPath {
    pub(crate) fn read(self) -> Result<Key, DriverError> {
        Key::new(self.key.0, "key")
    }
}

/// A key that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) bytes: Vec<u8>,
    /// Has bytes that would end the word in a command, and is sent in base64.
    binary: bool,
}

impl Key {
    /// Checks it; `field` names it in the error.
    pub(crate) fn new(bytes: Vec<u8>, field: &str) -> Result<Self, DriverError> {
        let binary = bytes.iter().any(|byte| byte.is_ascii_control() || *byte == b' ');
        let most = if binary { MAX_BINARY_KEY } else { MAX_KEY };
        if (1..=most).contains(&bytes.len()) {
            return Ok(Self { bytes, binary });
        }
        let message = format!(
            "`{field}`: must have 1 to {MAX_KEY} bytes, or {MAX_BINARY_KEY} with spaces or control characters, not {}",
            bytes.len()
        );
        Err(DriverError::validation(field, message))
    }

    /// A command on this key: its name, what stands behind the key, and its flags.
    pub(crate) fn command(&self, name: &str, flags: &str) -> Command {
        let mut bytes = format!("{name} ").into_bytes();
        if self.binary {
            bytes.extend_from_slice(STANDARD.encode(&self.bytes).as_bytes());
        } else {
            bytes.extend_from_slice(&self.bytes);
        }
        bytes.extend_from_slice(flags.as_bytes());
        bytes.extend_from_slice(if self.binary { b" b\r\n" } else { b"\r\n" });
        Command { bytes, has_value: false }
    }

    /// A command on this key that sends a value.
    pub(crate) fn command_with(&self, name: &str, flags: &str, value: &[u8]) -> Command {
        let mut command = self.command(name, &format!(" {}{flags}", value.len()));
        command.bytes.reserve(value.len() + 2);
        command.bytes.extend_from_slice(value);
        command.bytes.extend_from_slice(b"\r\n");
        command.has_value = true;
        command
    }
}

/// The bytes of a text in a body.
pub(crate) fn read_bytes(
    text: &str,
    encoding: Option<Encoding>,
    field: &str,
) -> Result<Vec<u8>, DriverError> {
    encoding.unwrap_or_default().decode(text, field)
}

/// The answer where a key is missing.
pub(crate) fn no_such_key() -> DriverError {
    DriverError::not_found("there is no such key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_key_and_no_value_becomes_a_command_of_its_own(key: Vec<u8>, value: Vec<u8>) {
            prop_assume!((1..=MAX_BINARY_KEY).contains(&key.len()));
            let command = Key::new(key.clone(), "key").unwrap().command_with("ms", " T0", &value);
            let end = command.bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let (line, rest) = command.bytes.split_at(end + 1);
            prop_assert_eq!(rest, [value.as_slice(), b"\r\n"].concat());
            let words: Vec<_> = line.strip_suffix(b"\r\n").unwrap().split(|byte| *byte == b' ').collect();
            prop_assert_eq!(words[2], &value.len().to_string().into_bytes());
            match words.as_slice() {
                [b"ms", word, _, b"T0"] => prop_assert_eq!(*word, key),
                [b"ms", word, _, b"T0", b"b"] => prop_assert_eq!(STANDARD.decode(word).unwrap(), key),
                _ => prop_assert!(false, "{:?}", words),
            }
            prop_assert!(words.iter().all(|word| !word.iter().any(u8::is_ascii_control)));
            prop_assert!(words[1].len() <= MAX_KEY);
        }
    }

    #[test]
    fn keys_have_their_length() {
        for (key, fits) in [
            (vec![b'k'; 250], true),
            (vec![0xFF; 250], true),
            (vec![b'k'; 251], false),
            (vec![b' '; 186], true),
            (vec![0; 187], false),
            (Vec::new(), false),
        ] {
            let length = key.len();
            let key = Key::new(key, "keys[2]").map_err(|error| error.details["field"].clone());
            assert_eq!(key.is_ok(), fits, "{length}");
            assert!(key.is_ok_and(|key| key.command("mg", "").bytes.len() <= 5 + 250 + 2) || !fits);
        }
        assert_eq!(Key::new(Vec::new(), "keys[2]").unwrap_err().details["field"], "keys[2]");
    }
}
