//! The words of a command, out of a request's JSON.
//!
//! A body of some megabytes can have millions of them: whether the caller may run the command is told from the first
//! two, and only then are all of them copied, once, into the command that is sent.

use crate::json_bytes::Text;
use redis::{Cmd, ToRedisArgs};
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
/// So many words tell what a command is.
const HEAD: usize = 2;

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
    fn add_to(&self, command: &mut Cmd, place: usize) -> Result<(), DriverError> {
        let text = self.0.get().trim();
        let field = || format!("command[{place}]");
        let refuse = || {
            let field = field();
            let message = format!("`{field}`: must be a string, a number, or {{\"base64\": \"…\"}}");
            DriverError::validation(&field, message)
        };
        match text.as_bytes().first() {
            Some(b'"') => {
                let text: Text<'_> = serde_json::from_str(text).map_err(|_| refuse())?;
                add(command, text.0.as_bytes());
            }
            Some(b'{') => {
                let binary: Binary<'_> = serde_json::from_str(text).map_err(|_| refuse())?;
                add(command, &Encoding::Base64.decode(&binary.base64, &format!("{}.base64", field()))?);
            }
            Some(b'-' | b'0'..=b'9') => add(command, text.as_bytes()),
            _ => return Err(refuse()),
        }
        Ok(())
    }
}

fn add(command: &mut Cmd, word: &[u8]) {
    word.write_redis_args(command);
}

/// The command's name and its first argument, which may be the name of a subcommand.
pub(super) fn head(json: &RawValue) -> Result<Cmd, DriverError> {
    walk(json, HEAD)
}

/// The whole command.
pub(super) fn read(json: &RawValue) -> Result<Cmd, DriverError> {
    walk(json, MAX_WORDS)
}

/// The command out of at most so many words; that there are not too many is looked at first.
fn walk(json: &RawValue, most: usize) -> Result<Cmd, DriverError> {
    let mut walk = Walk { command: Cmd::new(), most, outcome: Ok(()) };
    let not_words = |_| DriverError::field("command", "must be an array of words");
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let outcome = walk.deserialize(&mut deserializer);
    walk.outcome?;
    outcome.map_err(not_words)?;
    Ok(walk.command)
}

struct Walk {
    command: Cmd,
    most: usize,
    outcome: Result<(), DriverError>,
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
        let mut count = 0;
        while count < self.most {
            let Some(word) = words.next_element::<&RawValue>()? else { return Ok(()) };
            self.outcome = Argument(word).add_to(&mut self.command, count);
            if self.outcome.is_err() {
                return Err(A::Error::custom("refused"));
            }
            count += 1;
        }
        while words.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
            if count > MAX_WORDS {
                let message = format!("`command`: may have {MAX_WORDS} words");
                self.outcome = Err(DriverError::validation("command", message));
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Arg;

    fn words(json: &str) -> Result<Vec<Vec<u8>>, DriverError> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let command = read(&raw)?;
        let words = command.args_iter().map(|word| match word {
            Arg::Simple(word) => word.to_vec(),
            _ => panic!("no word"),
        });
        Ok(words.collect())
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
        for refused in [head(&more), read(&more)] {
            assert_eq!(refused.err().unwrap().details["field"], "command");
        }
    }

    #[test]
    fn the_head_is_looked_at_without_the_rest() {
        let raw: Box<RawValue> = serde_json::from_str(r#"["SET", "k", null]"#).unwrap();
        assert_eq!(head(&raw).unwrap().args_iter().len(), 2);
        assert!(read(&raw).is_err());
    }
}
