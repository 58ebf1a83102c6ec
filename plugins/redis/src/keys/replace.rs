//! Writes that take more than one script, or whose connection may not run one: what the key holds is looked at, and
//! then changed by a transaction, all of it or nothing. Another's write between the two is overwritten.

use super::{
    KeyType, command, no_such_key,
    setting::{Condition, Expiry, Progress, Setting, Written, exists, has_groups, mismatch},
    value::entry_id,
    with_all,
};
use crate::{Redis, errors, route::Route, wire};
use redis::{Cmd, Pipeline, Value, cmd};
use std::{collections::HashMap, time::Duration};
use studio_plugin_api::prelude::*;

/// Commands that make a key be gone, of which a user may have the right to one only.
const REMOVERS: [&str; 3] = ["DEL", "UNLINK", "PEXPIRE"];

/// How long a cluster that moves a key's slot is left alone.
const MOVING_PAUSE: Duration = Duration::from_secs(1);

/// A key, as far as it may be looked at.
struct Held {
    /// `None`: there is no key.
    key_type: Result<Option<String>, DriverError>,
    /// Milliseconds left, or −1.
    left: Result<i64, DriverError>,
    /// Sets the expiry that the key has, if it has one.
    expiry: Option<Cmd>,
    /// Whether the connection's user may use transactions. Otherwise the server takes the commands of one for commands
    /// by themselves, and the old value is gone when a later one is refused.
    transactions: Result<(), DriverError>,
}

impl Setting {
    /// Does it, in one round trip where one command can.
    pub(crate) async fn write(&self, redis: &Context<Redis>, key: &[u8]) -> Result<Written, DriverError> {
        let answer = redis.connection.query(&self.command(key), Route::Key(key)).await;
        match self.read(answer)? {
            Progress::Done(written) => Ok(written),
            Progress::NeedsTransaction(refusal) => replace(redis, key, self, refusal).await,
        }
    }
}

/// Writes a key; `refusal` is why a script could not.
pub(super) async fn replace(
    redis: &Context<Redis>,
    key: &[u8],
    setting: &Setting,
    refusal: Option<DriverError>,
) -> Result<Written, DriverError> {
    let held = look(redis, key).await?;
    if setting.condition == Condition::Absent {
        // A transaction can't make its commands depend on what it finds.
        return Err(match (held.key_type, refusal) {
            (Ok(Some(_)), _) => exists(),
            (_, Some(refusal)) if errors::is_refused(&refusal) => DriverError::forbidden(
                "the connection's Redis user may not use EVAL, which `nx` needs for a value that is no string",
            ),
            (_, Some(refusal)) => refusal,
            (_, None) => DriverError::field(
                "value",
                "an entry of a stream has too many fields to be written with `nx`",
            ),
        });
    }
    let before = match (&held.key_type, setting.condition) {
        (Err(error), Condition::Present | Condition::Fitting) => return Err(error.clone()),
        (Ok(None), Condition::Present | Condition::Fitting) => return Err(no_such_key()),
        (Ok(before), _) => before.clone(),
        (Err(_), _) => None,
    };
    let fitting = setting.value.fits.iter().find(|fit| before.as_deref() == Some(fit.name())).copied();
    if let (None, Some(before), Condition::Fitting) = (fitting, &before, setting.condition) {
        return Err(mismatch(before));
    }
    let now = fitting.unwrap_or_else(|| setting.value.key_type());
    if now == KeyType::String {
        let condition = (setting.condition != Condition::Always).then_some("XX");
        match redis.connection.query(&setting.set(key, condition), Route::Key(key)).await {
            Ok(Value::Nil) => return Err(no_such_key()),
            // Servers before 6.0 can't keep an expiry by themselves.
            Err(error) if errors::is_syntax(&error) => {}
            answer => {
                answer?;
                return Ok(setting.written(before, now.name(), held.left.ok()));
            }
        }
    }
    let stays = setting.carries && fitting.is_some();
    if stays && now == KeyType::Hash {
        let changes = change_hash(redis, key, setting).await?;
        send(redis, key, &held, &changes).await?;
        return Ok(setting.written(before, now.name(), held.left.ok()));
    }
    let left = if setting.expiry == Expiry::Keep { held.left.clone()? } else { -1 };
    let mut commands = write(key, now, setting);
    match setting.expiry {
        Expiry::Keep => commands.extend(held.expiry.clone()),
        Expiry::Never => {}
        Expiry::After(milliseconds) => commands.push(expire(key, milliseconds)),
    }
    if stays && now == KeyType::Stream {
        commands.extend(keep_last_id(redis, key, setting).await?);
    }
    let existed = send_after_removal(redis, key, &held, commands).await?;
    let before = before.or_else(|| (existed && held.key_type.is_err()).then(|| "unknown".to_owned()));
    Ok(setting.written(before, now.name(), Some(left)))
}

async fn look(redis: &Redis, key: &[u8]) -> Result<Held, DriverError> {
    // By itself EXEC has nothing to do. A user who may begin a transaction and not end it must not begin one.
    let questions = [cmd("EXEC"), command("TYPE", key), command("PEXPIRETIME", key), command("PTTL", key)];
    let mut answers = ask(redis, key, questions).await?.into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(DriverError::unexpected_answer("TYPE")));
    let transactions = match next() {
        Err(error) if errors::is_refused(&error) => Err(error),
        _ => {
            let empty = ask(redis, key, [cmd("MULTI"), cmd("EXEC"), cmd("DISCARD")]).await?;
            empty.into_iter().take(2).collect::<Result<Vec<_>, _>>().map(drop)
        }
    };
    let key_type = next().and_then(|answer| {
        let name = wire::text(answer).ok_or_else(|| DriverError::unexpected_answer("TYPE"))?;
        Ok((name != "none").then_some(name))
    });
    let time = next().ok().as_ref().and_then(wire::integer);
    let left = next()
        .and_then(|answer| wire::integer(&answer).ok_or_else(|| DriverError::unexpected_answer("PTTL")));
    let expiry = match (time, &left) {
        // To the millisecond, where the server has a word for it.
        (Some(time), _) => (time >= 0).then(|| command("PEXPIREAT", key).arg(time).to_owned()),
        (None, Ok(left)) => (*left >= 0).then(|| expire(key, (*left).max(1))),
        (None, Err(_)) => None,
    };
    let left = match (time, left) {
        (Some(time), Err(_)) if time < 0 => Ok(-1),
        (_, left) => left.map(|left| left.max(-1)),
    };
    Ok(Held { key_type, left, expiry, transactions })
}

async fn ask(
    redis: &Redis,
    key: &[u8],
    questions: impl IntoIterator<Item = Cmd>,
) -> Result<Vec<Result<Value, DriverError>>, DriverError> {
    let mut pipeline = Pipeline::new();
    for question in questions {
        pipeline.add_command(question);
    }
    let answers = redis.connection.pipeline(pipeline, Route::Key(key)).await.map_err(moving)?;
    Ok(answers.into_iter().map(|answer| wire::check(answer).map_err(moving)).collect())
}

/// The commands that write a value where there is none.
fn write(key: &[u8], now: KeyType, setting: &Setting) -> Vec<Cmd> {
    let arguments = &setting.value.arguments;
    let name = match now {
        KeyType::String => "SET",
        KeyType::Hash => "HSET",
        KeyType::List => "RPUSH",
        KeyType::Set => "SADD",
        KeyType::Zset => "ZADD",
        KeyType::Stream => return entries(arguments).map(|(id, pairs)| append(key, id, pairs)).collect(),
    };
    vec![with_all(command(name, key), arguments)]
}

/// Ids and fields of a stream's entries.
fn entries(mut arguments: &[Vec<u8>]) -> impl Iterator<Item = (&[u8], &[Vec<u8>])> {
    std::iter::from_fn(move || {
        let [id, count, rest @ ..] = arguments else { return None };
        let count = std::str::from_utf8(count).ok()?.parse().ok()?;
        let (pairs, others) = rest.split_at_checked(count)?;
        arguments = others;
        Some((id.as_slice(), pairs))
    })
}

fn append(key: &[u8], id: &[u8], pairs: &[Vec<u8>]) -> Cmd {
    let mut append = command("XADD", key);
    append.arg(id);
    with_all(append, pairs)
}

fn expire(key: &[u8], milliseconds: i64) -> Cmd {
    command("PEXPIRE", key).arg(milliseconds).to_owned()
}

/// Changes the fields that differ and no others, whose times to live stay.
async fn change_hash(redis: &Context<Redis>, key: &[u8], setting: &Setting) -> Result<Vec<Cmd>, DriverError> {
    let limit = redis.max_reply_bytes();
    let answer = redis.connection.query_within(&command("HGETALL", key), Route::Key(key), limit).await?;
    let pairs = wire::pairs(answer).ok_or_else(|| DriverError::unexpected_answer("HGETALL"))?;
    let held = pairs.into_iter().map(|(name, value)| Some((wire::bytes(name)?, wire::bytes(value)?)));
    let held: Option<HashMap<_, _>> = held.collect();
    let mut gone = held.ok_or_else(|| DriverError::unexpected_answer("HGETALL"))?;
    let (mut given, mut set) = (HashMap::new(), command("HSET", key));
    for pair in setting.value.arguments.chunks_exact(2) {
        if let [name, value] = pair {
            given.insert(name, value);
        }
    }
    let (mut differs, mut changed) = (false, Vec::new());
    for (name, value) in given {
        let held = gone.remove(name);
        if held.as_ref() != Some(value) {
            set.arg(name.as_slice()).arg(value.as_slice());
            differs = true;
            changed.extend(held.is_some().then(|| name.clone()));
        }
    }
    let mut commands = Vec::new();
    if differs {
        commands.push(set);
        commands.extend(keep_times(redis, key, &changed).await);
    }
    if !gone.is_empty() {
        commands.push(with_all(command("HDEL", key), &gone.into_keys().collect::<Vec<_>>()));
    }
    match setting.expiry {
        Expiry::Keep => {}
        Expiry::Never => commands.push(command("PERSIST", key)),
        Expiry::After(milliseconds) => commands.push(expire(key, milliseconds)),
    }
    Ok(commands)
}

/// Sets the times to live that `HSET` drops from these fields. A server that does not know such times has none; whoever
/// may not ask for them keeps to what `HSET` does.
async fn keep_times(redis: &Redis, key: &[u8], fields: &[Vec<u8>]) -> Vec<Cmd> {
    if fields.is_empty() {
        return Vec::new();
    }
    let mut question = command("HPEXPIRETIME", key);
    question.arg("FIELDS").arg(fields.len());
    let answer = redis.connection.query(&with_all(question, fields), Route::Key(key)).await;
    let times = answer.ok().and_then(wire::items).unwrap_or_default();
    let times = fields.iter().zip(times.iter().filter_map(wire::integer));
    let times = times.filter(|(_, time)| *time >= 0);
    times
        .map(|(field, time)| {
            command("HPEXPIREAT", key).arg(time).arg("FIELDS").arg(1).arg(field.as_slice()).to_owned()
        })
        .collect()
}

/// Refuses where groups would go with the stream that is written anew. Its last id stays: the next entry's own is not
/// one that a reader has seen before.
async fn keep_last_id(
    redis: &Context<Redis>,
    key: &[u8],
    setting: &Setting,
) -> Result<Option<Cmd>, DriverError> {
    let about = |what: &str| cmd("XINFO").arg(what).arg(key).to_owned();
    let limit = redis.max_reply_bytes();
    let unexpected = || DriverError::unexpected_answer("XINFO");
    let answer = redis.connection.query_within(&about("STREAM"), Route::Key(key), limit).await?;
    let (mut groups, mut last) = (None, None);
    for (name, value) in wire::pairs(answer).ok_or_else(unexpected)? {
        match wire::text(name).as_deref() {
            Some("groups") => groups = wire::integer(&value),
            Some("last-generated-id") => last = wire::text(value),
            _ => {}
        }
    }
    if groups.ok_or_else(unexpected)? > 0 {
        let answer = redis.connection.query_within(&about("GROUPS"), Route::Key(key), limit).await?;
        let groups = wire::items(answer).ok_or_else(unexpected)?.into_iter();
        let name = |group| wire::pairs(group)?.into_iter().next().and_then(|(_, name)| wire::bytes(name));
        return Err(has_groups(groups.filter_map(name).collect()));
    }
    let last = last.ok_or_else(unexpected)?;
    let written =
        entries(&setting.value.arguments).last().map(|(id, _)| String::from_utf8_lossy(id).into_owned());
    let is_later = match (entry_id(&last, "value"), written.map(|id| entry_id(&id, "value"))) {
        (Ok(last), Some(Ok(written))) => last > written,
        // Ids that the server makes are of now.
        _ => false,
    };
    Ok(is_later.then(|| command("XSETID", key).arg(last).to_owned()))
}

/// Answers whether there was a key.
async fn send_after_removal(
    redis: &Redis,
    key: &[u8],
    held: &Held,
    mut commands: Vec<Cmd>,
) -> Result<bool, DriverError> {
    let mut first_refusal = None;
    for remover in REMOVERS {
        let mut remove = command(remover, key);
        if remover == "PEXPIRE" {
            remove.arg(-1);
        }
        commands.insert(0, remove);
        match send(redis, key, held, &commands).await {
            Ok(answers) => return Ok(answers.first().and_then(wire::integer) == Some(1)),
            Err(error) if errors::is_refused(&error) => first_refusal.get_or_insert(error),
            Err(error) => return Err(error),
        };
        commands.remove(0);
    }
    match (&held.key_type, first_refusal) {
        (Ok(None), _) => send(redis, key, held, &commands).await.map(|_| false),
        (_, Some(refusal)) => Err(refusal),
        (_, None) => Err(DriverError::unexpected_answer("DEL")),
    }
}

/// All or none of them.
async fn send(redis: &Redis, key: &[u8], held: &Held, commands: &[Cmd]) -> Result<Vec<Value>, DriverError> {
    match commands {
        [] => Ok(Vec::new()),
        [command] => Ok(vec![redis.connection.query(command, Route::Key(key)).await?]),
        _ => {
            held.transactions.clone()?;
            let answers = redis.connection.transaction(commands, Route::Key(key)).await.map_err(moving)?;
            let checked = answers.into_iter().map(wire::check).collect::<Result<Vec<_>, _>>();
            checked.map_err(|error| error.with("outcome", "unknown"))
        }
    }
}

/// Says of a command that a cluster leads elsewhere however often it was followed that the key's slot moves.
fn moving(error: DriverError) -> DriverError {
    let code = error.details.get("code").and_then(|code| code.as_str());
    if !matches!(code, Some("ASK" | "MOVED" | "TRYAGAIN")) {
        return error;
    }
    let message = "the key's slot moves to another node of the cluster; nothing was changed";
    let mut error = DriverError::connection("unavailable", message);
    error.retry_after = Some(MOVING_PAUSE);
    error
}
