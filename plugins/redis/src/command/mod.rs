//! `POST /command`: a raw command.

pub(crate) mod access;
mod reply;
mod secrets;
mod table;

pub(crate) use table::CommandTable;

use crate::{Redis, connection::Route, errors, wire};
use access::Rule;
use redis::{Cmd, cmd};
use reply::Reply;
use schemars::JsonSchema;
use serde_json::value::RawValue;
use std::borrow::Cow;
use studio_plugin_api::{encoding::Encoding, prelude::*};

/// What to run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandBody {
    /// The command and its arguments, one array item each, as redis-cli would split a line.
    #[schemars(length(min = 1))]
    command: Vec<Argument>,
}

/// A string, a number (sent as its text), or bytes as `{"base64": "…"}`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Argument(Box<RawValue>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binary<'a> {
    #[serde(borrow)]
    base64: Cow<'a, str>,
}

impl JsonSchema for Argument {
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

impl Argument {
    fn bytes(&self, place: usize) -> Result<Vec<u8>, DriverError> {
        let field = format!("command[{place}]");
        let text = self.0.get().trim();
        let refuse = || {
            let message = format!("`{field}`: must be a string, a number, or {{\"base64\": \"…\"}}");
            DriverError::validation(&field, message)
        };
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<String>(text).map(String::into_bytes).map_err(|_| refuse()),
            Some(b'{') => {
                let binary: Binary<'_> = serde_json::from_str(text).map_err(|_| refuse())?;
                Encoding::Base64.decode(&binary.base64, &format!("{field}.base64"))
            }
            Some(b'-' | b'0'..=b'9') => Ok(text.as_bytes().to_vec()),
            _ => Err(refuse()),
        }
    }
}

/// What the command answered.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CommandAnswer {
    /// The reply as JSON: nil is null, a map with text names an object, a set an array, a status or big number text;
    /// a double that JSON has no number for is text; bytes that are not UTF-8 are `{"base64": "…"}`; an error inside an
    /// array is `{"error": {"code", "message"}}`.
    #[schemars(with = "serde_json::Value")]
    result: Reply,
}

/// `POST /command`.
pub(crate) async fn run(
    redis: Context<Redis>,
    body: Body<CommandBody>,
) -> Result<Either<Json<CommandAnswer>, OnlyRead<Json<CommandAnswer>>>, DriverError> {
    let words = body.command.iter().enumerate().map(|(place, argument)| argument.bytes(place));
    let words = words.collect::<Result<Vec<_>, _>>()?;
    let needed = permit(&redis, &words).await?;
    let mut command = Cmd::with_capacity(words.len(), words.iter().map(Vec::len).sum());
    for word in &words {
        command.arg(word.as_slice());
    }
    let mut value = redis.connection.query(&command, Route::Itself).await?;
    if words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"config")) {
        secrets::hide(&mut value);
    }
    let reply = Reply(value);
    if reply.bytes() > redis.max_reply_bytes() {
        return Err(DriverError::result_too_large(redis.max_reply_bytes()));
    }
    let answer = Json(CommandAnswer { result: reply });
    Ok(if needed == Access::Read { Either::Second(OnlyRead(answer)) } else { Either::First(answer) })
}

/// Refuses what the caller may not run; tells what the command needs.
async fn permit(redis: &Context<Redis>, words: &[Vec<u8>]) -> Result<Access, DriverError> {
    let name = words
        .first()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| DriverError::validation("command", "`command`: must begin with a command's name"))?;
    let shown = String::from_utf8_lossy(name).to_uppercase();
    let known = match redis.commands.get() {
        Some(known) => known,
        None => {
            let loaded = load_table(redis).await?;
            redis.commands.get_or_init(|| loaded)
        }
    };
    let needed = match access::rule(known, words) {
        Rule::Never(reason) => {
            return Err(DriverError::forbidden(format!("{shown} is not allowed here: {reason}"))
                .with("command", shown));
        }
        Rule::Needs(needed) => needed,
    };
    if redis.granted() >= needed {
        return Ok(needed);
    }
    let role = if needed == Access::Admin { "admin" } else { "developer" };
    let message = format!("{shown} needs the role {role}: it is not a command that only reads data");
    Err(DriverError::forbidden(message).with("command", shown))
}

/// Asked when a session needs it first. Where the connection's user may not ask, only admins may run commands at all.
async fn load_table(redis: &Redis) -> Result<CommandTable, DriverError> {
    match redis.connection.query(&cmd("COMMAND"), Route::Slot(0)).await {
        Ok(answer) => {
            wire::items(answer).and_then(CommandTable::read).ok_or_else(|| errors::unexpected("COMMAND"))
        }
        Err(error) if matches!(error.code, ErrorCode::QueryError | ErrorCode::Forbidden) => {
            Ok(CommandTable::unavailable())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(json: &str) -> Result<Vec<u8>, DriverError> {
        serde_json::from_str::<Argument>(json).unwrap().bytes(2)
    }

    #[test]
    fn arguments_are_text_numbers_or_base64() {
        assert_eq!(bytes(r#""a\n""#).unwrap(), b"a\n");
        assert_eq!(bytes("-1.50").unwrap(), b"-1.50");
        assert_eq!(bytes(r#"{"base64":"/w=="}"#).unwrap(), [0xFF]);
        for bad in ["null", "true", "[]", "{}", r#"{"base64":"!"}"#, r#"{"base64":"/w==","x":1}"#] {
            assert!(
                bytes(bad).unwrap_err().details["field"].as_str().unwrap().starts_with("command[2]"),
                "{bad}"
            );
        }
    }
}
