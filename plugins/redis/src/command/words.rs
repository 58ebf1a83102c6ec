//! The words of a command, out of a request's JSON.
//!
//! A body of some megabytes can have millions of them: whether the caller may run the command is told from the first
//! two, and only then are all of them copied, once, into the command that is sent.

use crate::{json_bytes::Text, packed::Packed};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};
use studio_plugin_api::{DriverError, encoding::Encoding};

/// The most words of a command. Redis takes as many, and hangs up on more.
pub(super) const MAX_WORDS: usize = 1 << 20;
/// Bytes of words that a command has room for from the start.
const ROOM: usize = 1 << 10;

/// A string, a number (sent as its text), or bytes as `{"base64": "…"}`.
pub(super) struct Argument<'a>(&'a RawValue);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binary<'a> {
    #[serde(borrow)]
    base64: Cow<'a, str>,
}

impl JsonSchema for Argument<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Argument".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "number", "object"],
            "properties": { "base64": { "type": "string" } },
            "required": ["base64"],
            "additionalProperties": false,
        })
    }
}

impl Argument<'_> {
    fn add_to(&self, command: &mut Packed, place: usize) -> Result<(), DriverError> {
        let text = self.0.get().trim();
        let field = || format!("command[{place}]");
        let refuse = || {
            let field = field();
            let message = format!("`{field}`: must be a string, a number, or {{\"base64\": \"…\"}}");
            DriverError::validation(&field, message)
        };
        match text.as_bytes().first() {
            Some(b'"') => {
                let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                if let Some(plain) = inside.filter(|inside| !inside.contains('\\')) {
                    command.add_word(plain.as_bytes());
                    return Ok(());
                }
                let text: Text<'_> = serde_json::from_str(text).map_err(|_| refuse())?;
                command.add_word(text.0.as_bytes());
            }
            Some(b'{') => {
                let binary: Binary<'_> = serde_json::from_str(text).map_err(|_| refuse())?;
                let field = format!("{}.base64", field());
                command.add_word(&Encoding::Base64.decode(&binary.base64, &field)?);
            }
            Some(b'-' | b'0'..=b'9') => command.add_word(text.as_bytes()),
            _ => return Err(refuse()),
        }
        Ok(())
    }
}

/// What tells of a command what it is.
pub(super) struct Head {
    /// The command's name and its first argument, which may be the name of a subcommand.
    pub(super) words: Packed,
    /// How many words there are.
    count: usize,
}

/// Reads the first two words. That there are not too many is looked at as well.
pub(super) fn head(json: &RawValue) -> Result<Head, DriverError> {
    let (words, count) = walk(json, None)?;
    Ok(Head { words, count })
}

/// Reads the whole command.
pub(super) fn read(json: &RawValue, head: &Head) -> Result<Packed, DriverError> {
    walk(json, Some(head.count)).map(|(command, _)| command)
}

/// Reads all words, where it is known how many they are, else the head; answers how many there are.
fn walk(json: &RawValue, known: Option<usize>) -> Result<(Packed, usize), DriverError> {
    let command = Packed::with_room(1, 2, json.get().len().min(ROOM));
    let mut walk = Walk { command, known, count: 0, outcome: Ok(()) };
    let not_words = |_| DriverError::field("command", "must be an array of words");
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let outcome = walk.deserialize(&mut deserializer);
    walk.outcome?;
    outcome.map_err(not_words)?;
    Ok((walk.command, walk.count))
}

struct Walk {
    command: Packed,
    known: Option<usize>,
    /// The words so far.
    count: usize,
    outcome: Result<(), DriverError>,
}

impl Walk {
    fn add<E: Error>(&mut self, word: &RawValue) -> Result<(), E> {
        let outcome = Argument(word).add_to(&mut self.command, self.count);
        self.count += 1;
        outcome.map_err(|error| self.refuse(error))
    }

    fn refuse<E: Error>(&mut self, error: DriverError) -> E {
        self.outcome = Err(error);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for &mut Walk {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Walk {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("words")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<(), A::Error> {
        let head: [Option<&RawValue>; 2] = [words.next_element()?, words.next_element()?];
        let head = head.into_iter().flatten();
        self.command.begin(self.known.unwrap_or(head.clone().count()));
        for word in head {
            self.add(word)?;
        }
        if self.known.is_some() {
            while let Some(word) = words.next_element()? {
                self.add(word)?;
            }
        }
        while words.next_element::<IgnoredAny>()?.is_some() {
            self.count += 1;
            if self.count > MAX_WORDS {
                let message = format!("`command`: may have {MAX_WORDS} words");
                return Err(self.refuse(DriverError::validation("command", message)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> Result<Vec<Vec<u8>>, DriverError> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let command = read(&raw, &head(&raw)?)?;
        assert_eq!(command.words().len(), command.words().count());
        Ok(command.words().map(<[u8]>::to_vec).collect())
    }

    fn field(json: &str) -> String {
        words(json).unwrap_err().details["field"].as_str().unwrap().to_owned()
    }

    #[test]
    fn words_are_text_numbers_or_base64() {
        let json = r#" [ "SET", "a\n", -1.50, {"base64":"/w=="}, "" ]"#;
        assert_eq!(words(json).unwrap(), [&b"SET"[..], b"a\n", b"-1.50", b"\xFF", b""]);
        assert!(words("[]").unwrap().is_empty());
        for bad in ["null", "true", "[]", "{}", r#"{"base64":"!"}"#, r#"{"base64":"/w==","x":1}"#] {
            assert!(field(&format!(r#"["a", 1, {bad}]"#)).starts_with("command[2]"), "{bad}");
        }
        for bad in ["null", "{}", "\"GET k\"", "1"] {
            assert_eq!(field(bad), "command");
        }
    }

    #[test]
    fn more_words_than_redis_takes_are_refused_before_copying() {
        let most = format!("[1{}]", ",1".repeat(MAX_WORDS - 1));
        assert_eq!(words(&most).unwrap().len(), MAX_WORDS);
        let more: Box<RawValue> = serde_json::from_str(&format!("[1{}]", ",1".repeat(MAX_WORDS))).unwrap();
        assert_eq!(head(&more).err().unwrap().details["field"], "command");
    }

    #[test]
    fn the_head_is_looked_at_without_the_rest() {
        let raw: Box<RawValue> = serde_json::from_str(r#"["SET", "k", null]"#).unwrap();
        let head = head(&raw).unwrap();
        assert_eq!(head.words.words().collect::<Vec<_>>(), [b"SET", &b"k"[..]]);
        assert!(read(&raw, &head).is_err());
    }
}
