//! `POST /keys/{key}` and `PUT /keys/{key}`.
//!
//! `POST` makes the key what the body says, whatever it was. `PUT` changes a value: what belongs to the key, and to the
//! fields and entries of it that stay, is kept.

use super::{
    KeyPath, KeyType, command,
    expiry::{commands_to_expire, read_expired},
    read_ttl, seconds,
    setting::{Condition, Expiry, Setting, Written},
    value::{JsonValue, NewValue},
};
use crate::{Redis, errors, route::Route, wire};
use redis::{Pipeline, Value};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// A string up to so many bytes is sent a second time, to spare a round trip.
const SENT_TWICE: usize = 64 << 10;

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
    /// The new value; it must fit the type that the key has, unless `type` says otherwise. Fields of a hash keep their
    /// own expiry, and a stream its last id and its consumer groups; where groups would go, the change is refused.
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
    /// `unknown` where the server does not tell.
    r#type: String,
    /// Seconds left; −1: no expiry; null where the server does not tell.
    ttl: Option<i64>,
    /// Whether the key is new.
    created: bool,
}

impl SetBody {
    /// Checks it; `prefix` is where it stands, such as `operations[3].`.
    pub(crate) fn check(&self, prefix: &str) -> Result<Setting, DriverError> {
        let condition = match (self.nx, self.xx) {
            (true, true) => {
                let field = format!("{prefix}nx");
                let message = format!(
                    "`{field}`: does not go together with `xx`: one asks for what the other excludes"
                );
                return Err(DriverError::validation(&field, message));
            }
            (true, false) => Condition::Absent,
            (false, true) => Condition::Present,
            (false, false) => Condition::Always,
        };
        let ttl = self.ttl.map_or(Ok(None), |ttl| read_ttl(ttl, &format!("{prefix}ttl")))?;
        let expiry = ttl.map_or(Expiry::Never, Expiry::After);
        let mut value =
            NewValue::read(&self.value, self.r#type, self.value_encoding, &format!("{prefix}value"))?;
        value.fits = value.fits.get(..1).unwrap_or_default();
        Ok(Setting { value, condition, carries: false, expiry })
    }
}

/// `POST /keys/{key}`.
pub(crate) async fn set(
    redis: Context<Redis>,
    path: Path<KeyPath>,
    body: Body<SetBody>,
) -> Result<Created<WrittenKey>, DriverError> {
    let key = path.0.key.0;
    let setting = body.check("")?;
    // The value's text goes before the value is copied into a command.
    drop(body);
    let written = if setting.condition == Condition::Always && setting.value.key_type() == KeyType::String {
        set_string(&redis, &key, &setting).await?
    } else {
        setting.write(&redis, &key).await?
    };
    let value = show(key, written);
    Ok(Created { created: value.created, value })
}

/// Sets a string and learns whether the key is new, by `SET` alone: no other command's right is needed.
async fn set_string(redis: &Redis, key: &[u8], setting: &Setting) -> Result<Written, DriverError> {
    let set = |condition| setting.set(key, Some(condition));
    let length = setting.value.arguments.first().map_or(0, Vec::len);
    let (over, anew) = if length <= SENT_TWICE && !redis.connection.is_cluster() {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(set("XX")).add_command(set("NX"));
        let mut answers = redis.connection.pipeline(pipeline, Route::Key(key)).await?.into_iter();
        (wire::check(answers.next().unwrap_or_default())?, answers.next().unwrap_or_default())
    } else {
        // Each command has a copy of the value, which goes before the next is made.
        let over = redis.connection.query(&set("XX"), Route::Key(key)).await?;
        if over == Value::Nil {
            (over, redis.connection.query(&set("NX"), Route::Key(key)).await?)
        } else {
            (over, Value::Nil)
        }
    };
    let is_new = over == Value::Nil && wire::check(anew)? != Value::Nil;
    if over == Value::Nil && !is_new {
        // Another has made the key between the two.
        redis.connection.query(&setting.set(key, None), Route::Key(key)).await?;
    }
    let before = (!is_new).then(|| KeyType::String.name().to_owned());
    Ok(setting.written(before, KeyType::String.name(), None))
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
    let condition = if body.r#type.is_some() { Condition::Present } else { Condition::Fitting };
    let expiry = match ttl {
        None => Expiry::Keep,
        Some(None) => Expiry::Never,
        Some(Some(milliseconds)) => Expiry::After(milliseconds),
    };
    let setting = Setting { value, condition, carries: true, expiry };
    drop(body);
    let mut written = setting.write(&redis, &key).await?;
    if written.milliseconds.is_none() {
        let left = redis.connection.query(&command("PTTL", &key), Route::Key(&key)).await;
        written.milliseconds = left.ok().as_ref().and_then(wire::integer);
    }
    Ok(Json(show(key, written)))
}

async fn change_expiry(redis: &Redis, key: Vec<u8>, ttl: Option<i64>) -> Result<WrittenKey, DriverError> {
    let commands = commands_to_expire(&key, ttl);
    let mut pipeline = Pipeline::with_capacity(commands.len() + 1);
    pipeline.add_command(command("TYPE", &key));
    for command in commands {
        pipeline.add_command(command);
    }
    let mut answers = redis.connection.pipeline(pipeline, Route::Key(&key)).await?.into_iter();
    let before = wire::check(answers.next().unwrap_or_default());
    let before = match before {
        Err(error) if errors::is_refused(&error) => "unknown".to_owned(),
        before => wire::text(before?).ok_or_else(|| DriverError::unexpected_answer("TYPE"))?,
    };
    read_expired(answers)?;
    Ok(show(
        key,
        Written { now: before.clone(), before: Some(before), milliseconds: Some(ttl.unwrap_or(-1)) },
    ))
}

fn show(key: Vec<u8>, written: Written) -> WrittenKey {
    let (key, key_encoding) = encoding::show(key);
    WrittenKey {
        key,
        key_encoding,
        r#type: written.now,
        ttl: written.milliseconds.map(seconds),
        created: written.before.is_none(),
    }
}
