//! How a value gets into a key: whole or not at all.
//!
//! A string is one `SET`, wherever the key's type need not be looked at. Everything else is a script on the one key
//! (`write.lua`), which looks, compares and writes in one step: nobody sees a half-written value, and conditions hold
//! against other writers. What a script can't do, or may not, is done by a transaction (`replace.rs`, which also has the
//! whole of a write).

use super::{KeyType, command, no_such_key, value::NewValue, with_all};
use crate::{errors, wire};
use redis::{Cmd, Value, cmd};
use studio_plugin_api::prelude::*;

const SCRIPT: &str = include_str!("write.lua");

/// Numbers of Lua are exact up to here.
const EXACT: i64 = 1 << 53;

/// Names that an error shows, and bytes of each.
const SHOWN_GROUPS: usize = 20;
const SHOWN_BYTES: usize = 128;

/// When a key may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    /// There is none yet.
    Absent,
    /// There is one, of whatever type.
    Present,
    /// There is one, of a type that the value fits.
    Fitting,
}

/// How long the key lives from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// As long as without the write.
    Keep,
    Never,
    /// Milliseconds from now.
    After(i64),
}

/// A checked request to write a key.
pub(crate) struct Setting {
    pub(crate) value: NewValue,
    pub(crate) condition: Condition,
    /// Whether fields and entries that stay keep what belongs to them: a time to live, consumer groups.
    pub(crate) carries: bool,
    pub(crate) expiry: Expiry,
}

/// What was done.
pub(crate) struct Written {
    /// The key's type before; `None`: there was no key.
    pub(crate) before: Option<String>,
    pub(crate) now: String,
    /// Milliseconds left, or −1, where known.
    pub(crate) milliseconds: Option<i64>,
}

/// What one command came to.
pub(crate) enum Progress {
    Done(Written),
    /// Nothing has changed, and it takes a transaction; this is why, where that is a refusal.
    NeedsTransaction(Option<DriverError>),
}

impl Setting {
    /// One command that does it, or says what is in the way. Its answer is read by [`read`](Self::read).
    pub(crate) fn command(&self, key: &[u8]) -> Cmd {
        match self.condition {
            Condition::Fitting => self.script(key),
            _ if self.value.key_type() != KeyType::String => self.script(key),
            Condition::Always => self.set(key, None),
            Condition::Absent => self.set(key, Some("NX")),
            Condition::Present => self.set(key, Some("XX")),
        }
    }

    /// `SET`, with `NX` or `XX`.
    pub(crate) fn set(&self, key: &[u8], condition: Option<&str>) -> Cmd {
        let mut set = with_all(command("SET", key), &self.value.arguments);
        set.arg(condition);
        match self.expiry {
            Expiry::Keep => set.arg("KEEPTTL"),
            Expiry::Never => &mut set,
            Expiry::After(milliseconds) => set.arg("PX").arg(milliseconds),
        };
        set
    }

    fn script(&self, key: &[u8]) -> Cmd {
        let condition = match self.condition {
            Condition::Always => "set",
            Condition::Absent => "nx",
            Condition::Present => "xx",
            Condition::Fitting => "same",
        };
        let fits: Vec<_> = self.value.fits.iter().map(|fit| fit.name()).collect();
        let mut eval = cmd("EVAL");
        eval.arg(SCRIPT).arg(1).arg(key).arg(condition).arg(if self.carries { "carry" } else { "fresh" });
        match self.expiry {
            Expiry::Keep => eval.arg("keep"),
            Expiry::Never => eval.arg("none"),
            Expiry::After(milliseconds) => eval.arg(milliseconds),
        };
        eval.arg(fits.join(" "));
        with_all(eval, &self.value.arguments)
    }

    /// Reads the answer to [`command`](Self::command).
    pub(crate) fn read(&self, answer: Result<Value, DriverError>) -> Result<Progress, DriverError> {
        let answer = match answer {
            Err(error) if errors::is_refused(&error) || errors::is_syntax(&error) => {
                return Ok(Progress::NeedsTransaction(Some(error)));
            }
            answer => answer?,
        };
        match answer {
            Value::Nil if self.condition == Condition::Absent => Err(exists()),
            Value::Nil => Err(no_such_key()),
            Value::Array(answer) => self.read_script(answer),
            _ => {
                let before = (self.condition != Condition::Absent).then(|| KeyType::String.name().to_owned());
                Ok(Progress::Done(self.written(before, KeyType::String.name(), None)))
            }
        }
    }

    fn read_script(&self, answer: Vec<Value>) -> Result<Progress, DriverError> {
        let unexpected = || DriverError::unexpected_answer("EVAL");
        let mut parts = answer.into_iter();
        let mut next_text = || parts.next().and_then(wire::text).ok_or_else(unexpected);
        let (outcome, before) = (next_text()?, next_text()?);
        match outcome.as_str() {
            "done" => {
                let now = next_text()?;
                let left = parts.next().as_ref().and_then(wire::integer).filter(|left| *left < EXACT);
                let before = (before != "none").then_some(before);
                Ok(Progress::Done(self.written(before, &now, left)))
            }
            "replace" => Ok(Progress::NeedsTransaction(None)),
            "unable" => Ok(Progress::NeedsTransaction(Some(errors::from_text(&next_text()?)))),
            "broken" => Err(errors::from_text(&next_text()?).with("outcome", "unknown")),
            "exists" => Err(exists()),
            "absent" => Err(no_such_key()),
            "mismatch" => Err(mismatch(&before)),
            "groups" => Err(has_groups(parts.filter_map(wire::bytes).collect())),
            _ => Err(unexpected()),
        }
    }

    /// The outcome; `left` is what the server said of a key that lives as long as before.
    pub(crate) fn written(&self, before: Option<String>, now: &str, left: Option<i64>) -> Written {
        let milliseconds = match self.expiry {
            Expiry::Keep => left,
            Expiry::Never => Some(-1),
            Expiry::After(milliseconds) => Some(milliseconds),
        };
        Written { before, now: now.to_owned(), milliseconds }
    }
}

/// The refusal where `nx` holds a write back.
pub(super) fn exists() -> DriverError {
    DriverError::conflict("the key exists already")
}

/// The refusal where a value does not have the form of what the key holds.
pub(super) fn mismatch(before: &str) -> DriverError {
    let message = format!(
        "`value`: does not have the form of a {before}, which the key holds; name a `type` to replace it"
    );
    DriverError::validation("value", message).with("type", before)
}

/// The refusal where consumer groups would go.
pub(super) fn has_groups(names: Vec<Vec<u8>>) -> DriverError {
    let names: Vec<_> = names
        .iter()
        .take(SHOWN_GROUPS)
        .map(|name| errors::start(&String::from_utf8_lossy(name), SHOWN_BYTES).to_owned())
        .collect();
    let message = format!(
        "the stream has consumer groups ({}), which would go: their entries stay only where nothing is written \
         before the stream's last id; delete the groups or the key first, or add entries with later ids",
        names.join(", ")
    );
    DriverError::conflict(message).with("groups", names)
}
