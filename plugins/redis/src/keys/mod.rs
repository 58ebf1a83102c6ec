//! Operations on keys.

pub(crate) mod batch;
pub(crate) mod expiry;
pub(crate) mod list;
pub(crate) mod page;
pub(crate) mod read;
mod replace;
mod setting;
pub(crate) mod value;
pub(crate) mod write;

use crate::{Redis, errors, wire};
use redis::{Cmd, RedisWrite, Value, cmd};
use std::sync::atomic::Ordering;
use studio_plugin_api::{encoding::Encoding, prelude::*};

/// The most items on a page, for keys and for members of a collection.
pub(crate) const MAX_PAGE: u32 = 1000;
/// Bytes of the names in one question about many.
const ASKED_AT_ONCE: usize = 1 << 20;
/// What follows a value in the command that writes it: `XX` or `NX`, and `KEEPTTL` or `PX` with its number.
const BEHIND_VALUE: usize = 32;
/// The longest time to live, in seconds: in milliseconds it is still exact in the doubles that Lua counts with.
pub(crate) const MAX_TTL: i64 = 9_000_000_000_000;

/// The key in a path, as bytes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyPath {
    pub(crate) key: PathBytes,
}

/// The types of value that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyType {
    String,
    Hash,
    List,
    Set,
    Zset,
    Stream,
}

impl KeyType {
    const ALL: [Self; 6] = [Self::String, Self::Hash, Self::List, Self::Set, Self::Zset, Self::Stream];

    /// As `TYPE` answers it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Stream => "stream",
        }
    }

    /// `None` for a module's type.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// A command with a key as its first argument.
pub(crate) fn command(name: &str, key: &[u8]) -> Cmd {
    let mut command = cmd(name);
    command.arg(key);
    command
}

/// Adds arguments to a command, in room of their length: one that grows by itself is copied, into up to twice as much.
pub(crate) fn with_all(mut command: Cmd, arguments: &[Vec<u8>]) -> Cmd {
    command.reserve_space_for_args(arguments.iter().map(Vec::len).chain([BEHIND_VALUE]));
    for argument in arguments {
        command.arg(argument.as_slice());
    }
    command
}

/// Whole seconds from `PTTL`'s milliseconds, rounded up: what has half a second left has not expired. Negative ones
/// (no expiry, no key) stay as they are.
pub(crate) fn seconds(milliseconds: i64) -> i64 {
    if milliseconds < 0 { milliseconds } else { milliseconds.saturating_add(999) / 1000 }
}

/// Milliseconds left, from the answer to `PTTL`; nothing where the server does not tell.
pub(crate) fn read_expiry(answer: Value) -> Result<Option<i64>, DriverError> {
    let answer = wire::told(answer)?;
    answer
        .map(|answer| wire::integer(&answer).ok_or_else(|| DriverError::unexpected_answer("PTTL")))
        .transpose()
}

/// A time to live in a body: 1 second or more, or −1 for none. Answers milliseconds, `None` for none.
pub(crate) fn read_ttl(ttl: i64, field: &str) -> Result<Option<i64>, DriverError> {
    match ttl {
        -1 => Ok(None),
        1..=MAX_TTL => Ok(Some(ttl * 1000)),
        _ => Err(DriverError::field(
            field,
            format!("must be from 1 to {MAX_TTL} seconds, or -1 for no expiry"),
        )),
    }
}

/// The bytes of a key, channel or message given in a body.
pub(crate) fn read_name(text: &str, encoding: Option<Encoding>, field: &str) -> Result<Vec<u8>, DriverError> {
    encoding.unwrap_or_default().decode(text, field)
}

/// Names in as many parts as there are questions about them: a name is in a question more than once.
pub(crate) fn in_parts(names: Vec<Vec<u8>>) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let mut names = names.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = names.next()?;
        let (mut bytes, mut part) = (first.len(), Vec::with_capacity(names.len().min(MAX_PAGE as usize) + 1));
        part.push(first);
        while let Some(name) = names.next_if(|name| bytes + name.len() <= ASKED_AT_ONCE) {
            bytes += name.len();
            part.push(name);
        }
        Some(part)
    })
}

/// A page's size.
pub(crate) fn read_count(count: Option<u32>) -> Result<u32, DriverError> {
    match count.unwrap_or(100) {
        count @ 1..=MAX_PAGE => Ok(count),
        _ => Err(DriverError::field("count", format!("must be from 1 to {MAX_PAGE}"))),
    }
}

/// The answer where a key is missing.
pub(crate) fn no_such_key() -> DriverError {
    DriverError::not_found("there is no such key")
}

impl Redis {
    /// Whether to ask for `MEMORY USAGE`.
    pub(crate) fn has_memory_usage(&self) -> bool {
        self.memory_usage.load(Ordering::Relaxed)
    }

    /// Bytes from the answer to `MEMORY USAGE`; nothing, now and ever after, where the server does not know or does
    /// not allow it. One key of which it is not allowed says nothing about others.
    pub(crate) fn read_memory_usage(&self, answer: &Value) -> Option<i64> {
        if let Value::ServerError(error) = answer
            && errors::refuses_command(error)
        {
            self.memory_usage.store(false, Ordering::Relaxed);
        }
        wire::integer(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_about_in_parts_of_so_many_bytes() {
        let name = |length: usize| vec![b'n'; length];
        let names = vec![name(3), name(ASKED_AT_ONCE - 3), name(1), name(2 * ASKED_AT_ONCE), name(5)];
        let parts: Vec<_> = in_parts(names.clone()).collect();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!(parts.concat(), names);
        assert_eq!(in_parts(Vec::new()).count(), 0);
    }

    #[test]
    fn half_a_second_is_not_expired() {
        assert_eq!([-2, -1, 0, 1, 500, 1000, 1001].map(seconds), [-2, -1, 0, 1, 1, 1, 2]);
    }

    #[test]
    fn ttl_is_seconds_or_minus_one() {
        assert_eq!(read_ttl(-1, "ttl").unwrap(), None);
        assert_eq!(read_ttl(5, "ttl").unwrap(), Some(5000));
        for bad in [0, -2, i64::MIN, MAX_TTL + 1, i64::MAX] {
            assert_eq!(read_ttl(bad, "ttl").unwrap_err().details["field"], "ttl");
        }
    }
}
