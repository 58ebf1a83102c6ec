//! `POST /command`: a raw command.

pub(crate) mod access;
mod places;
mod reply;
mod secrets;
mod table;
mod words;

pub(crate) use table::CommandTable;

use crate::{
    Redis,
    route::{Primary, Route, Spread},
    wire,
};
use access::Rule;
use places::Place;
use redis::{Arg, Cmd, cmd};
use reply::Reply;
use schemars::JsonSchema;
use serde_json::value::RawValue;
use std::borrow::Cow;
use studio_plugin_api::prelude::*;
use words::{Argument, MAX_WORDS};

/// Bytes of the server's list of its commands, which each session keeps: those of all known modules are half of it.
const MAX_TABLE: u64 = 8 << 20;

/// What to run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandBody {
    /// The command and its arguments, one array item each, as redis-cli would split a line.
    #[schemars(with = "Vec<Argument>", length(min = 1, max = MAX_WORDS))]
    command: Box<RawValue>,
    /// In a cluster: the primary to ask, by its id or `host:port`, as CLUSTER NODES and CLUSTER SLOTS name it. Needed for
    /// commands without keys that tell of one node, such as SCAN; others go by their keys, or to all nodes.
    node: Option<String>,
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
    let place = find_place(&redis, &command, body.node.as_deref()).await?;
    let mut value = redis.connection.query_within(&command, place.route(), redis.max_reply_bytes()).await?;
    if access::word(&command, 0).eq_ignore_ascii_case(b"config") {
        secrets::hide(&mut value);
    }
    let reply = Reply(value);
    if reply.bytes() > redis.max_reply_bytes() {
        return Err(DriverError::result_too_large(redis.max_reply_bytes()));
    }
    let answer = Json(CommandAnswer { result: reply });
    let only_read = match needed {
        Access::Read => true,
        _ => redis.commands.get().is_some_and(|table| access::only_reads(table, &command)),
    };
    Ok(if only_read { Either::Second(OnlyRead(answer)) } else { Either::First(answer) })
}

/// Where a command goes.
enum Found<'a> {
    Any,
    Key(Cow<'a, [u8]>),
    Node(Primary),
    Many(Spread),
}

impl Found<'_> {
    fn route(&self) -> Route<'_> {
        match self {
            Self::Any => Route::Any,
            Self::Key(key) => Route::Key(key),
            Self::Node(primary) => Route::Node(primary),
            Self::Many(spread) => Route::Many(*spread),
        }
    }
}

async fn find_place<'a>(
    redis: &Redis,
    command: &'a Cmd,
    node: Option<&str>,
) -> Result<Found<'a>, DriverError> {
    if !redis.connection.is_cluster() {
        return match node {
            Some(_) => Err(DriverError::field("node", "means nothing without a cluster")),
            None => Ok(Found::Any),
        };
    }
    if let Some(node) = node {
        return find_node(redis, node).await.map(Found::Node);
    }
    let unavailable = CommandTable::unavailable();
    match places::place(redis.commands.get().unwrap_or(&unavailable), command) {
        Place::Any => Ok(Found::Any),
        Place::Many(spread) => Ok(Found::Many(spread)),
        Place::Key(place) => Ok(Found::Key(Cow::Borrowed(access::word(command, place)))),
        Place::Keys => find_key(redis, command).await,
        Place::Node => Err(node_needed(command)),
    }
}

/// A caller's text never leads anywhere: the node is one that the cluster names.
async fn find_node(redis: &Redis, node: &str) -> Result<Primary, DriverError> {
    let mut primaries = redis.connection.primaries().await?.into_iter();
    primaries.find(|primary| *primary.id == *node || primary.address.to_string() == node).ok_or_else(|| {
        let message = "`node`: the cluster has no such primary; CLUSTER NODES tells their ids and addresses";
        DriverError::validation("node", message)
    })
}

/// Asks the server which of the command's words are keys.
async fn find_key<'a>(redis: &Redis, command: &'a Cmd) -> Result<Found<'a>, DriverError> {
    let mut question = cmd("COMMAND");
    question.arg("GETKEYS");
    for word in command.args_iter() {
        if let Arg::Simple(word) = word {
            question.arg(word);
        }
    }
    match redis.connection.query(&question, Route::Any).await {
        Ok(keys) => {
            let key = wire::items(keys).and_then(|keys| keys.into_iter().next()).and_then(wire::bytes);
            key.map(|key| Found::Key(Cow::Owned(key))).ok_or_else(|| node_needed(command))
        }
        Err(error) if error.message.contains("no key arguments") => Err(node_needed(command)),
        // The command has too few words or the like, and the server says so once more.
        Err(error) if error.code == ErrorCode::QueryError => Ok(Found::Any),
        Err(error) => Err(error),
    }
}

fn node_needed(command: &Cmd) -> DriverError {
    let name = String::from_utf8_lossy(access::word(command, 0)).to_uppercase();
    let message = format!(
        "`node`: is missing: without keys {name} is about one node of the cluster; name a primary by its id or \
         host:port, as CLUSTER NODES tells them"
    );
    DriverError::validation("node", message).with("command", name)
}

/// Refuses what the caller may not run; tells what the command needs.
async fn permit(redis: &Context<Redis>, words: &Cmd) -> Result<Access, DriverError> {
    let name = access::word(words, 0);
    if name.is_empty() {
        let message = "`command`: must begin with a command's name";
        return Err(DriverError::validation("command", message));
    }
    let shown = String::from_utf8_lossy(name).to_uppercase();
    let unknown = CommandTable::unavailable();
    let known = match redis.commands.get() {
        Some(known) => known,
        None => match load_table(redis).await {
            Ok(loaded) => redis.commands.get_or_init(|| loaded),
            // It is what SCRIPT KILL is for, and tells nothing of its commands now.
            Err(error) if error.details.get("code").is_some_and(|code| code == "BUSY") => &unknown,
            Err(error) => return Err(error),
        },
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
    match redis.connection.query_within(&cmd("COMMAND"), Route::Any, MAX_TABLE).await {
        Ok(answer) => wire::items(answer)
            .and_then(CommandTable::read)
            .ok_or_else(|| DriverError::unexpected_answer("COMMAND")),
        Err(error) if matches!(error.code, ErrorCode::QueryError | ErrorCode::Forbidden) => {
            Ok(CommandTable::unavailable())
        }
        Err(error) => Err(error),
    }
}
