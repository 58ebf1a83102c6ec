//! `POST /command`: a raw command.

mod access;
mod names;
mod places;
mod reply;
mod secrets;
mod table;
mod words;

pub(crate) use table::CommandTable;

use crate::{
    Redis,
    packed::Packed,
    resp::OWN_ANSWERS,
    route::{Primary, Route, Spread},
    wire,
};
use access::Rule;
use places::Place;
use redis::cmd;
use reply::Reply;
use schemars::JsonSchema;
use serde_json::value::RawValue;
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
    let head = words::head(&body.command)?;
    let needed = permit(&redis, &head.words).await?;
    let command = words::read(&body.command, &head)?;
    // Once more: some commands take an option that changes what they need.
    let needed = needed.max(permit(&redis, &command).await?);
    let place = find_place(&redis, &command, body.node.as_deref()).await?;
    let only_read = match needed {
        Access::Read => true,
        _ => redis.commands.get().is_some_and(|table| access::only_reads(table, &command)),
    };
    let answers = redis.connection.ask(command, place.route(), redis.max_reply_bytes()).await?;
    let mut value = wire::only(answers)?;
    if head.words.word(0).eq_ignore_ascii_case(b"config") {
        secrets::hide(&mut value);
    }
    let reply = Reply(value);
    if reply.bytes() > redis.max_reply_bytes() {
        return Err(DriverError::result_too_large(redis.max_reply_bytes()));
    }
    let answer = Json(CommandAnswer { result: reply });
    Ok(if only_read { Either::Second(OnlyRead(answer)) } else { Either::First(answer) })
}

/// Where a command goes.
enum Found {
    Any,
    Key(Vec<u8>),
    Node(Primary),
    Many(Spread),
}

impl Found {
    fn route(&self) -> Route<'_> {
        match self {
            Self::Any => Route::Any,
            Self::Key(key) => Route::Key(key),
            Self::Node(primary) => Route::Node(primary),
            Self::Many(spread) => Route::Many(*spread),
        }
    }
}

async fn find_place(redis: &Redis, command: &Packed, node: Option<&str>) -> Result<Found, DriverError> {
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
        Place::Key(place) => Ok(Found::Key(command.word(place).to_vec())),
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
async fn find_key(redis: &Redis, command: &Packed) -> Result<Found, DriverError> {
    let mut question = Packed::with_room(1, 2, command.as_bytes().len());
    question.begin(2 + command.words().len());
    let ask: [&[u8]; 2] = [b"COMMAND", b"GETKEYS"];
    ask.into_iter().chain(command.words()).for_each(|word| question.add_word(word));
    match redis.connection.ask(question, Route::Any, OWN_ANSWERS).await.and_then(wire::only) {
        Ok(keys) => {
            let key = wire::items(keys).and_then(|keys| keys.into_iter().next()).and_then(wire::bytes);
            key.map(Found::Key).ok_or_else(|| node_needed(command))
        }
        Err(error) if error.message.contains("no key arguments") => Err(node_needed(command)),
        // The command has too few words or the like, and the server says so once more.
        Err(error) if error.code == ErrorCode::QueryError => Ok(Found::Any),
        Err(error) => Err(error),
    }
}

fn node_needed(command: &Packed) -> DriverError {
    let name = shown(command);
    let message = format!(
        "`node`: is missing: without keys {name} is about one node of the cluster; name a primary by its id or \
         host:port, as CLUSTER NODES tells them"
    );
    DriverError::validation("node", message).with("command", name)
}

/// Refuses what the caller may not run; tells what the command needs.
async fn permit(redis: &Context<Redis>, words: &Packed) -> Result<Access, DriverError> {
    if words.word(0).is_empty() {
        let message = "`command`: must begin with a command's name";
        return Err(DriverError::validation("command", message));
    }
    let unknown;
    let known = match redis.commands.get() {
        Some(known) => known,
        None => match load_table(redis).await {
            Ok(loaded) => redis.commands.get_or_init(|| loaded),
            // It is what SCRIPT KILL is for, and tells nothing of its commands now.
            Err(error) if error.details.get("code").is_some_and(|code| code == "BUSY") => {
                unknown = CommandTable::unavailable();
                &unknown
            }
            Err(error) => return Err(error),
        },
    };
    let needed = match access::rule(known, words) {
        Rule::Never(reason) => {
            let name = shown(words);
            return Err(
                DriverError::forbidden(format!("{name} is not allowed here: {reason}")).with("command", name)
            );
        }
        Rule::Needs(needed) => needed,
    };
    if redis.granted() >= needed {
        return Ok(needed);
    }
    let role = if needed == Access::Admin { "admin" } else { "developer" };
    let name = shown(words);
    let message = format!("{name} needs the role {role}: it is not a command that only reads data");
    Err(DriverError::forbidden(message).with("command", name))
}

/// A command's name in an error's words.
fn shown(words: &Packed) -> String {
    String::from_utf8_lossy(words.word(0)).to_uppercase()
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
