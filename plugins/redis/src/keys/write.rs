//! `POST /keys/{key}` and `PUT /keys/{key}`.
//!
//! A string is set by `SET` in a transaction with `EXISTS`; everything else, where Redis has no single command, by a
//! script on the one key (`write.lua`), which works in a cluster too. Either way in one round trip and in one step: no
//! one sees a half-written value, and `nx` and `xx` hold against other writers.

use super::{
    KeyPath, KeyType, command, no_such_key, read_ttl, seconds,
    value::{JsonValue, NewValue},
};
use crate::{Redis, connection::Route, errors, wire};
use redis::{Cmd, Pipeline, Value, cmd};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

const SCRIPT: &str = include_str!("write.lua");

/// What to set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetBody {
    pub(crate) value: JsonValue,
    /// Needed only where the value's form leaves a choice: an array is a list unless this says `set`.
    pub(crate) r#type: Option<KeyType>,
    /// Seconds to live; absent or −1: no expiry.
    pub(crate) ttl: Option<i64>,
    /// Only if the key does not exist.
    #[serde(default)]
    pub(crate) nx: bool,
    /// Only if the key exists.
    #[serde(default)]
    pub(crate) xx: bool,
    /// `base64`: every string in `value` is base64.
    pub(crate) value_encoding: Option<Encoding>,
}

/// What to change.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeBody {
    /// The new value; it must fit the type that the key has, unless `type` says otherwise.
    value: Option<JsonValue>,
    /// Replace the value by one of this type, whatever the key holds.
    r#type: Option<KeyType>,
    /// Seconds to live; −1 removes the expiry; absent keeps it.
    ttl: Option<i64>,
    /// `base64`: every string in `value` is base64.
    value_encoding: Option<Encoding>,
}

/// A key after it was written.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WrittenKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    r#type: String,
    /// Seconds left; −1: no expiry.
    ttl: i64,
    /// Whether the key is new.
    created: bool,
}

/// A checked request to set a key: the commands that do it, and what their answers mean.
pub(crate) struct Setting {
    value: NewValue,
    /// Milliseconds; `None`: no expiry.
    ttl: Option<i64>,
    nx: bool,
    xx: bool,
}

impl Setting {
    /// Checks a body; `prefix` is where it stands, such as `operations[3].`.
    pub(crate) fn new(body: &SetBody, prefix: &str) -> Result<Self, DriverError> {
        if body.nx && body.xx {
            let field = format!("{prefix}nx");
            let message =
                format!("`{field}`: does not go together with `xx`: one asks for what the other excludes");
            return Err(DriverError::validation(&field, message));
        }
        let ttl = body.ttl.map_or(Ok(None), |ttl| read_ttl(ttl, &format!("{prefix}ttl")))?;
        let value = NewValue::read(&body.value, body.r#type, body.value_encoding, &format!("{prefix}value"))?;
        Ok(Self { value, ttl, nx: body.nx, xx: body.xx })
    }

    /// One command that does it. Its answer is read by [`outcome`](Self::outcome).
    pub(crate) fn command(&self, key: &[u8]) -> Cmd {
        if self.value.key_type() != KeyType::String {
            let condition = match (self.nx, self.xx) {
                (true, _) => "nx",
                (_, true) => "xx",
                _ => "set",
            };
            let ttl = self.ttl.map_or_else(|| "none".to_owned(), |ttl| ttl.to_string());
            return script(key, condition, &ttl, &self.value, &[self.value.key_type()]);
        }
        let mut set = command("SET", key);
        set.arg(self.value.arguments.first().map(Vec::as_slice));
        if let Some(ttl) = self.ttl {
            set.arg("PX").arg(ttl);
        }
        if self.nx {
            set.arg("NX");
        }
        if self.xx {
            set.arg("XX");
        }
        set
    }

    /// Whether the command did it. The answer is the script's, or `SET`'s: OK, or nil where `nx` or `xx` held it back.
    pub(crate) fn outcome(&self, answer: Value) -> Result<Option<Written>, DriverError> {
        match wire::check(answer)? {
            Value::Nil if self.nx => Err(exists()),
            Value::Nil => Err(no_such_key()),
            answer @ Value::Array(_) => read_script(answer).map(Some),
            _ => Ok(None),
        }
    }
}

/// What the script did.
pub(crate) struct Written {
    before: String,
    now: String,
    milliseconds: i64,
}

/// `POST /keys/{key}`.
pub(crate) async fn set(
    redis: Context<Redis>,
    path: Path<KeyPath>,
    body: Body<SetBody>,
) -> Result<Created<WrittenKey>, DriverError> {
    let key = path.0.key.0;
    let setting = Setting::new(&body, "")?;
    let command_to_set = setting.command(&key);
    let written = if setting.value.key_type() == KeyType::String {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command("EXISTS", &key)).add_command(command_to_set);
        let mut answers = redis.connection.transaction(pipeline, Route::Key(&key)).await?.into_iter();
        let existed = wire::check(answers.next().unwrap_or_default())?;
        setting.outcome(answers.next().unwrap_or_default())?;
        let before = if wire::integer(&existed) == Some(0) { "none" } else { "string" };
        let milliseconds = setting.ttl.unwrap_or(-1);
        Written { before: before.to_owned(), now: "string".to_owned(), milliseconds }
    } else {
        let answer = redis.connection.query(&command_to_set, Route::Key(&key)).await?;
        setting.outcome(answer)?.ok_or_else(|| errors::unexpected("EVAL"))?
    };
    let value = show(key, written);
    Ok(Created { created: value.created, value })
}

/// `PUT /keys/{key}`.
pub(crate) async fn change(
    redis: Context<Redis>,
    path: Path<KeyPath>,
    body: Body<ChangeBody>,
) -> Result<Json<WrittenKey>, DriverError> {
    let key = path.0.key.0;
    let ttl = body.ttl.map(|ttl| read_ttl(ttl, "ttl")).transpose()?;
    let Some(json) = &body.value else {
        if body.r#type.is_some() || body.value_encoding.is_some() {
            let message = "`value`: is missing, though `type` or `value_encoding` speaks of it";
            return Err(DriverError::validation("value", message));
        }
        let ttl = ttl.ok_or_else(|| {
            DriverError::validation("body", "nothing to change: give `value`, `ttl` or both")
        })?;
        return change_expiry(&redis, key, ttl).await.map(Json);
    };
    let value = NewValue::read(json, body.r#type, body.value_encoding, "value")?;
    let condition = if body.r#type.is_some() { "xx" } else { "same" };
    let expiry = match ttl {
        None => "keep".to_owned(),
        Some(None) => "none".to_owned(),
        Some(Some(milliseconds)) => milliseconds.to_string(),
    };
    let write = script(&key, condition, &expiry, &value, value.fits);
    let written = read_script(redis.connection.query(&write, Route::Key(&key)).await?)?;
    Ok(Json(show(key, written)))
}

async fn change_expiry(redis: &Redis, key: Vec<u8>, ttl: Option<i64>) -> Result<WrittenKey, DriverError> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.add_command(command("TYPE", &key)).add_command(super::expiry::command_to_expire(&key, ttl));
    let mut answers = redis.connection.transaction(pipeline, Route::Key(&key)).await?.into_iter();
    let before = wire::check(answers.next().unwrap_or_default())?;
    let before = wire::text(before).ok_or_else(|| errors::unexpected("TYPE"))?;
    wire::check(answers.next().unwrap_or_default())?;
    if before == "none" {
        return Err(no_such_key());
    }
    Ok(show(key, Written { now: before.clone(), before, milliseconds: ttl.unwrap_or(-1) }))
}

fn show(key: Vec<u8>, written: Written) -> WrittenKey {
    let (key, key_encoding) = encoding::show(key);
    WrittenKey {
        key,
        key_encoding,
        r#type: written.now,
        ttl: seconds(written.milliseconds),
        created: written.before == "none",
    }
}

fn script(key: &[u8], condition: &str, expiry: &str, value: &NewValue, fits: &[KeyType]) -> Cmd {
    let fits: Vec<_> = fits.iter().map(|fit| fit.name()).collect();
    let mut eval = cmd("EVAL");
    eval.arg(SCRIPT).arg(1).arg(key).arg(condition).arg(expiry).arg(fits.join(" "));
    for argument in &value.arguments {
        eval.arg(argument.as_slice());
    }
    eval
}

fn read_script(answer: Value) -> Result<Written, DriverError> {
    let unexpected = || errors::unexpected("EVAL");
    let mut parts = wire::items(answer).ok_or_else(unexpected)?.into_iter();
    let mut next_text = || parts.next().and_then(wire::text).ok_or_else(unexpected);
    let (outcome, before) = (next_text()?, next_text()?);
    match outcome.as_str() {
        "exists" => Err(exists()),
        "absent" => Err(no_such_key()),
        "mismatch" => {
            let message = format!(
                "`value`: does not have the form of a {before}, which the key holds; name a `type` to replace it"
            );
            Err(DriverError::validation("value", message).with("type", before))
        }
        _ => {
            let now = next_text()?;
            let milliseconds = parts.next().as_ref().and_then(wire::integer).ok_or_else(unexpected)?;
            Ok(Written { before, now, milliseconds })
        }
    }
}

fn exists() -> DriverError {
    DriverError::conflict("the key exists already")
}
