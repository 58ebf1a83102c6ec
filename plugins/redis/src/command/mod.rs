//! `POST /command`: a raw command.

pub(crate) mod access;
mod reply;
mod secrets;
mod table;
mod words;

pub(crate) use table::CommandTable;

use crate::{Redis, connection::Route, errors, wire};
use access::Rule;
use redis::{Cmd, cmd};
use reply::Reply;
use schemars::JsonSchema;
use serde_json::value::RawValue;
use studio_plugin_api::prelude::*;
use words::{Argument, MAX_WORDS};

/// What to run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandBody {
    /// The command and its arguments, one array item each, as redis-cli would split a line.
    #[schemars(with = "Vec<Argument>", length(min = 1, max = MAX_WORDS))]
    command: Box<RawValue>,
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
    let needed = permit(&redis, &words::head(&body.command)?).await?;
    let command = words::read(&body.command)?;
    // Once more: some commands take an option that changes what they need.
    let needed = needed.max(permit(&redis, &command).await?);
    let mut value = redis.connection.query_within(&command, Route::Itself, redis.max_reply_bytes()).await?;
    if access::word(&command, 0).eq_ignore_ascii_case(b"config") {
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
async fn permit(redis: &Context<Redis>, words: &Cmd) -> Result<Access, DriverError> {
    let name = access::word(words, 0);
    if name.is_empty() {
        let message = "`command`: must begin with a command's name";
        return Err(DriverError::validation("command", message));
    }
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
