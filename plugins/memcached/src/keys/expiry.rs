//! Times to live, `DELETE /keys/{key}` and `POST /keys/{key}/touch`.
//!
//! memcached takes up to 30 days for a time to live, and more for a moment in Unix time. Here it is always a time to
//! live: a longer one becomes a moment by the server's own clock, since that is the clock it is held against.

use super::{KeyPath, no_such_key};
use crate::{Memcached, connection::Reply, errors, wire::Head};
use studio_plugin_api::{
    encoding::{self, Encoding},
    prelude::*,
};

/// What memcached still takes for a time to live.
const MAX_RELATIVE: i64 = 30 * 24 * 3600;
/// The last moment that memcached can count to.
const MAX_TIME: i64 = i32::MAX as i64;

/// A checked time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// No expiry.
    Never,
    Seconds(i64),
}

impl Ttl {
    /// A time to live in a body: 1 second or more, or −1 for none; absent means none.
    pub(crate) fn read(ttl: Option<i64>) -> Result<Self, DriverError> {
        match ttl {
            None | Some(-1) => Ok(Self::Never),
            Some(seconds @ 1..=MAX_TIME) => Ok(Self::Seconds(seconds)),
            Some(_) => Err(too_long(MAX_TIME)),
        }
    }

    /// As answers have it.
    pub(crate) fn shown(self) -> i64 {
        match self {
            Self::Never => -1,
            Self::Seconds(seconds) => seconds,
        }
    }

    /// The number that memcached understands; asks for its clock only where that is needed.
    pub(crate) async fn number(self, memcached: &Memcached) -> Result<i64, DriverError> {
        match self {
            Self::Never => Ok(0),
            Self::Seconds(seconds @ ..=MAX_RELATIVE) => Ok(seconds),
            Self::Seconds(seconds) => moment(seconds, memcached.server_time().await?),
        }
    }
}

fn moment(seconds: i64, now: i64) -> Result<i64, DriverError> {
    let most = MAX_TIME.saturating_sub(now);
    if seconds <= most { Ok(now.saturating_add(seconds)) } else { Err(too_long(most)) }
}

fn too_long(most: i64) -> DriverError {
    let message = format!("`ttl`: must be from 1 to {most} seconds, or -1 for no expiry");
    DriverError::validation("ttl", message)
}

/// When to expire.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TouchBody {
    /// Seconds to live; −1 removes the expiry.
    ttl: i64,
}

/// A key's expiry.
#[derive(Serialize, JsonSchema)]
pub(crate) struct TouchedKey {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_encoding: Option<Encoding>,
    /// Seconds left; −1: no expiry.
    ttl: i64,
}

/// `POST /keys/{key}/touch`.
pub(crate) async fn touch(
    memcached: Context<Memcached>,
    path: Path<KeyPath>,
    body: Body<TouchBody>,
) -> Result<Json<TouchedKey>, DriverError> {
    let key = path.0.read()?;
    let ttl = Ttl::read(Some(body.ttl))?;
    let number = ttl.number(&memcached).await?;
    let command = key.command("mg", &format!(" T{number} t"));
    match memcached.connection.ask(&command, 0).await? {
        Reply::Head(Head::Done(_)) => {
            let (key, key_encoding) = encoding::show(key.bytes);
            Ok(Json(TouchedKey { key, key_encoding, ttl: ttl.shown() }))
        }
        Reply::Head(Head::Absent) => Err(no_such_key()),
        Reply::Head(Head::Refused(refusal)) => Err(errors::from_server(&refusal)),
        _ => Err(DriverError::unexpected_answer("mg")),
    }
}

/// `DELETE /keys/{key}`.
pub(crate) async fn delete(
    memcached: Context<Memcached>,
    path: Path<KeyPath>,
) -> Result<NoContent, DriverError> {
    let key = path.0.read()?;
    match memcached.connection.ask(&key.command("md", ""), 0).await? {
        Reply::Head(Head::Done(_)) => Ok(NoContent),
        Reply::Head(Head::Absent) => Err(no_such_key()),
        Reply::Head(Head::Refused(refusal)) => Err(errors::from_server(&refusal)),
        _ => Err(DriverError::unexpected_answer("md")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_is_seconds_or_minus_one() {
        assert_eq!((Ttl::read(None).unwrap(), Ttl::read(Some(-1)).unwrap()), (Ttl::Never, Ttl::Never));
        assert_eq!(Ttl::read(Some(5)).unwrap(), Ttl::Seconds(5));
        for bad in [0, -2, i64::MIN, MAX_TIME + 1, i64::MAX] {
            assert_eq!(Ttl::read(Some(bad)).unwrap_err().details["field"], "ttl", "{bad}");
        }
    }

    #[test]
    fn moments_end_where_memcached_stops_counting() {
        assert_eq!(moment(5, 100).unwrap(), 105);
        assert_eq!(moment(5, MAX_TIME - 5).unwrap(), MAX_TIME);
        assert!(moment(6, MAX_TIME - 5).unwrap_err().message.contains("from 1 to 5 seconds"));
    }
}
