//! `POST /keys/{key}`.

use super::{Key, KeyPath, expiry::Ttl, no_such_key, read_bytes};
use crate::{
    Memcached,
    connection::Reply,
    errors,
    number::Whole,
    wire::{Facts, Head, Refusal},
};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// What to store.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteBody {
    value: String,
    /// `base64`: `value` is base64.
    value_encoding: Option<Encoding>,
    /// What client libraries keep beside the value; by default 0. Not for `append` and `prepend`.
    flags: Option<u32>,
    /// Seconds to live; absent or −1: no expiry. Not for `append` and `prepend`, which keep the item's own.
    ttl: Option<i64>,
    #[serde(default)]
    mode: Mode,
    /// Only if the item is still the one that was read with this `cas`. Goes with mode `set` only.
    cas: Option<Whole>,
}

/// How to store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Whatever was there.
    #[default]
    Set,
    /// Only a new key.
    Add,
    /// Only a key that is there.
    Replace,
    /// Behind the value that is there.
    Append,
    /// Before the value that is there.
    Prepend,
}

/// A key after it was written.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WrittenKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// Seconds to live; −1: no expiry. Absent after `append` and `prepend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<i64>,
    /// Changes with the value; null where the server keeps none.
    cas: Option<Whole>,
    /// Whether the key is new.
    created: bool,
}

/// What to store where.
struct Writing {
    key: Key,
    value: Vec<u8>,
}

/// `POST /keys/{key}`: one round trip, or two where it replaces what was there without being told to, since only
/// adding tells that a key is new.
pub(crate) async fn write(
    memcached: Context<Memcached>,
    path: Path<KeyPath>,
    body: Body<WriteBody>,
) -> Result<Created<WrittenKey>, DriverError> {
    let key = path.0.read()?;
    let body = body.0;
    check(&body)?;
    let value = read_bytes(&body.value, body.value_encoding, "value")?;
    let ttl = Ttl::read(body.ttl)?;
    if let Some(limit) = memcached.item_limit().await?
        && value.len() as u64 > limit
    {
        return Err(errors::too_large(Some(limit)));
    }
    let number = ttl.number(&memcached).await?;
    let store = format!(" T{number} F{} c", body.flags.unwrap_or_default());
    let writing = Writing { key, value };

    let (facts, created) = match (body.mode, body.cas) {
        (Mode::Set, Some(Whole(cas))) => (writing.send(&memcached, &format!("{store} C{cas}")).await?, false),
        (Mode::Set, None) => match writing.send(&memcached, &format!("{store} ME")).await {
            Ok(facts) => (facts, true),
            Err(Held::There) => (writing.send(&memcached, &store).await?, false),
            Err(held) => return Err(held.into()),
        },
        (Mode::Add, _) => (writing.send(&memcached, &format!("{store} ME")).await?, true),
        (Mode::Replace, _) => (writing.send(&memcached, &format!("{store} MR")).await?, false),
        (Mode::Append, _) => (writing.send(&memcached, " c MA").await?, false),
        (Mode::Prepend, _) => (writing.send(&memcached, " c MP").await?, false),
    };
    let (key, key_encoding) = encoding::show(writing.key.bytes);
    let keeps_ttl = matches!(body.mode, Mode::Append | Mode::Prepend);
    let value = WrittenKey {
        key,
        key_encoding,
        ttl: (!keeps_ttl).then_some(ttl.shown()),
        cas: facts.number('c').filter(|cas| *cas > 0).map(Whole),
        created,
    };
    Ok(Created { value, created })
}

/// What does not go together.
fn check(body: &WriteBody) -> Result<(), DriverError> {
    if body.cas.is_some() && body.mode != Mode::Set {
        return Err(DriverError::field("cas", "goes with mode `set` only"));
    }
    if matches!(body.mode, Mode::Append | Mode::Prepend) {
        let message = "does not belong to this mode: the item keeps its own";
        if body.flags.is_some() {
            return Err(DriverError::field("flags", message));
        }
        if body.ttl.is_some() {
            return Err(DriverError::field("ttl", message));
        }
    }
    Ok(())
}

/// Why nothing was stored.
enum Held {
    /// The key is there.
    There,
    /// The key is not there.
    Absent,
    /// The item was changed.
    Changed,
    Failed(DriverError),
}

impl From<DriverError> for Held {
    fn from(error: DriverError) -> Self {
        Self::Failed(error)
    }
}

impl From<Held> for DriverError {
    fn from(held: Held) -> Self {
        match held {
            Held::There => Self::conflict("the key exists already"),
            Held::Absent => no_such_key(),
            Held::Changed => Self::conflict("the item was changed since its `cas` was read"),
            Held::Failed(error) => error,
        }
    }
}

impl Writing {
    async fn send(&self, memcached: &Memcached, flags: &str) -> Result<Facts, Held> {
        let command = self.key.command_with("ms", flags, &self.value);
        match memcached.connection.ask(&command, 0).await? {
            Reply::Head(Head::Done(facts)) => Ok(facts),
            Reply::Head(Head::NotStored) if flags.ends_with(" ME") => Err(Held::There),
            Reply::Head(Head::NotStored | Head::Absent) => Err(Held::Absent),
            Reply::Head(Head::Changed) => Err(Held::Changed),
            Reply::Head(Head::Refused(refusal)) => Err(Held::Failed(refused(memcached, &refusal).await?)),
            _ => Err(Held::Failed(DriverError::unexpected_answer("ms"))),
        }
    }
}

/// The item's header counts too, so a value just below the limit is refused by the server alone.
async fn refused(memcached: &Memcached, refusal: &Refusal) -> Result<DriverError, DriverError> {
    if refusal.text.starts_with("object too large") {
        return Ok(errors::too_large(memcached.item_limit().await?));
    }
    Ok(errors::from_server(refusal))
}
