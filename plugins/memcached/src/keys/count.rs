//! `POST /keys/{key}/increment` and `POST /keys/{key}/decrement`.

use super::{KeyPath, expiry::Ttl, no_such_key};
use crate::{Memcached, connection::Reply, errors, number::Whole, wire::Head};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// By how much.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountBody {
    /// By default 1.
    delta: Option<Whole>,
    /// What a missing key is created with; without it, a missing key is not found.
    initial: Option<Whole>,
    /// Seconds to live of a key that is created; absent or −1: no expiry. One that is there keeps its own.
    ttl: Option<i64>,
}

/// A counter after it was changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Counter {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// Goes round from 2⁶⁴−1 to 0; never goes below 0.
    value: Whole,
    /// Seconds left; −1: no expiry.
    ttl: i64,
    /// Changes with the value; null where the server keeps none.
    cas: Option<Whole>,
}

/// `POST /keys/{key}/increment`.
pub(crate) async fn increment(
    memcached: Context<Memcached>,
    path: Path<KeyPath>,
    body: Body<Option<CountBody>>,
) -> Result<Json<Counter>, DriverError> {
    count(&memcached, path.0, body.0.unwrap_or_default(), "MI").await
}

/// `POST /keys/{key}/decrement`.
pub(crate) async fn decrement(
    memcached: Context<Memcached>,
    path: Path<KeyPath>,
    body: Body<Option<CountBody>>,
) -> Result<Json<Counter>, DriverError> {
    count(&memcached, path.0, body.0.unwrap_or_default(), "MD").await
}

async fn count(
    memcached: &Memcached,
    path: KeyPath,
    body: CountBody,
    mode: &str,
) -> Result<Json<Counter>, DriverError> {
    let key = path.read()?;
    let ttl = Ttl::read(body.ttl)?;
    let mut flags = String::new();
    match body.initial {
        // First, because some servers answer flags that come before with what was before.
        Some(initial) => flags = format!(" N{} J{}", ttl.number(memcached).await?, initial.0),
        None if body.ttl.is_some() => {
            let message = "`ttl`: means nothing without `initial`; to change a key's expiry there is `touch`";
            return Err(DriverError::validation("ttl", message));
        }
        None => {}
    }
    flags += &format!(" {mode} D{} v t c", body.delta.unwrap_or(Whole(1)).0);
    // A number has 20 digits at most, and may have spaces behind it.
    match memcached.connection.ask(&key.command("ma", &flags), 64).await? {
        Reply::Value(value, facts) => {
            let unexpected = || DriverError::unexpected_answer("ma");
            let value = String::from_utf8(value).ok().and_then(|text| text.trim_end().parse().ok());
            let (key, key_encoding) = encoding::show(key.bytes);
            Ok(Json(Counter {
                key,
                key_encoding,
                value: value.map(Whole).ok_or_else(unexpected)?,
                ttl: facts.number('t').ok_or_else(unexpected)?,
                cas: facts.number('c').filter(|cas| *cas > 0).map(Whole),
            }))
        }
        Reply::Head(Head::Absent) => Err(no_such_key()),
        Reply::Head(Head::Refused(refusal)) if refusal.text.contains("non-numeric") => {
            Err(DriverError::query(
                refusal.kind,
                "the value is not a whole number from 0 to 18446744073709551615",
            ))
        }
        Reply::Head(Head::Refused(refusal)) => Err(errors::from_server(&refusal)),
        _ => Err(DriverError::unexpected_answer("ma")),
    }
}
