//! Statements that stay prepared on the server, in one connection; and those after which nothing has to be cleaned.

use super::{Wire, refuse_text};
use crate::{errors::Failure, proof::Proof, statement::Statement};
use postgres_protocol::message::frontend;
use std::{
    collections::HashMap,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Statements that a connection keeps prepared.
const MOST: usize = 100;
/// How long a connection does without cleaning, and for how many statements.
const CLEAN_FOR: Duration = Duration::from_secs(60);
const MOST_UNCLEANED: u32 = 1_000;

/// The statements, by their texts.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    kept: HashMap<Box<str>, Kept>,
    /// Grows with each use.
    uses: u64,
    /// There are some of callers, whose texts others must not see.
    has_callers: bool,
}

#[derive(Debug)]
struct Kept {
    name: String,
    /// What the statement's tables looked like when it was prepared.
    shape: u64,
    /// The server is known to have it, and not only to have been asked for it.
    is_there: bool,
    last_use: u64,
}

/// The statement to bind.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    /// It has to be prepared first.
    pub(super) is_new: bool,
    /// The names of what has to be closed before it.
    pub(super) closes: Vec<String>,
}

impl Prepared {
    /// Finds a statement, or makes room for it.
    pub(super) fn find(&mut self, text: &str, shape: u64, name: impl FnOnce() -> String) -> Found {
        self.uses += 1;
        let mut closes = Vec::new();
        let is_full = self.kept.len() >= MOST;
        match self.kept.get_mut(text) {
            Some(kept) if kept.is_there && kept.shape == shape => {
                kept.last_use = self.uses;
                return Found { name: kept.name.clone(), is_new: false, closes };
            }
            Some(_) => closes.extend(self.close(text)),
            None if is_full => closes.extend(self.close_oldest()),
            None => {}
        }
        let name = name();
        let kept = Kept { name: name.clone(), shape, is_there: false, last_use: self.uses };
        self.kept.insert(text.into(), kept);
        Found { name, is_new: true, closes }
    }

    /// Notes that the server has the statement.
    pub(super) fn note_there(&mut self, text: &str) {
        if let Some(kept) = self.kept.get_mut(text) {
            kept.is_there = true;
        }
    }

    /// Takes a statement out. The result is its name, which has to be closed.
    pub(super) fn close(&mut self, text: &str) -> Option<String> {
        self.kept.remove(text).map(|kept| kept.name)
    }

    fn close_oldest(&mut self) -> Option<String> {
        let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.last_use);
        let text = oldest.map(|(text, _)| text.clone())?;
        self.close(&text)
    }

    /// Notes that there are statements of callers.
    pub(super) fn note_callers(&mut self) {
        self.has_callers = true;
    }

    /// Whether there are statements of callers.
    pub(super) fn has_callers(&self) -> bool {
        self.has_callers
    }

    /// Forgets all, which the server is told to do too.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
        self.has_callers = false;
    }
}

impl Wire {
    /// Puts a statement of the driver's own in line that is read and planned, and is done when [`Self::put_execution`]
    /// says so. It stays prepared on the server where it may.
    pub(crate) fn put_planned(
        &mut self,
        portal: &str,
        statement: &Statement,
        prepares: bool,
    ) -> Result<(), Failure> {
        self.leaves_nothing = false;
        if !prepares {
            return self.put_parsed(portal, "", statement);
        }
        let found = self.prepared.find(&statement.text, 0, || name_of(&statement.text));
        // Where it fails, the connection is cleaned.
        self.prepared.note_there(&statement.text);
        self.put_found(portal, found, statement)
    }

    /// Puts a caller's statement in line that leaves nothing behind, with its execution and what ends the line. It stays
    /// prepared on the server where that is worth while: whether it is.
    pub(crate) fn put_proved(
        &mut self,
        statement: &Statement,
        proof: Proof,
        prepares: bool,
    ) -> Result<bool, Failure> {
        (self.is_bound, self.is_set, self.leaves_nothing) = (false, false, true);
        self.uncleaned += 1;
        let stays = prepares && proof.recurs;
        if stays {
            self.prepared.note_callers();
            let found = self.prepared.find(&statement.text, proof.shape, unique_name);
            self.put_found("", found, statement)?;
        } else if statement.parameters.is_empty() {
            // To read a text only once is less work for the server in this way.
            self.put_simple(&statement.text)?;
            return Ok(false);
        } else {
            self.put_parsed("", "", statement)?;
        }
        self.put_execution("")?;
        self.put_sync();
        Ok(stays)
    }

    /// Notes what became of a caller's statement that was to stay prepared. Whether it ran, or at least began to.
    pub(crate) fn note_proved(&mut self, statement: &Statement) -> bool {
        if self.is_bound {
            self.prepared.note_there(&statement.text);
        }
        self.is_bound
    }

    /// Has a caller's statement prepared no more.
    pub(crate) fn put_close(&mut self, statement: &Statement) -> Result<(), Failure> {
        match self.prepared.close(&statement.text) {
            Some(name) => Ok(frontend::close(b'S', &name, &mut self.outgoing)?),
            None => Ok(()),
        }
    }

    /// Puts in line that no statements stay prepared, where there are some of callers: those who come next could read
    /// them.
    pub(crate) fn put_forgetting(&mut self) -> Result<(), Failure> {
        if !self.prepared.has_callers() {
            return Ok(());
        }
        self.prepared.forget();
        self.put_aside("DEALLOCATE ALL")
    }

    fn put_found(&mut self, portal: &str, found: Found, statement: &Statement) -> Result<(), Failure> {
        for name in found.closes {
            frontend::close(b'S', &name, &mut self.outgoing)?;
        }
        match found.is_new {
            true => self.put_parsed(portal, &found.name, statement),
            false => self.put_bound(portal, &found.name, statement),
        }
    }

    fn put_parsed(&mut self, portal: &str, name: &str, statement: &Statement) -> Result<(), Failure> {
        frontend::parse(name, &statement.text, [], &mut self.outgoing)
            .map_err(|error| refuse_text(&error))?;
        self.put_bound(portal, name, statement)
    }

    /// Whether the last that was put in line leaves nothing to be cleaned, whether it works or not.
    pub(crate) fn leaves_nothing(&self) -> bool {
        self.leaves_nothing
    }

    /// Whether it is time to clean the connection, whatever was proved of those who used it.
    pub(crate) fn is_due_for_cleaning(&self) -> bool {
        self.uncleaned >= MOST_UNCLEANED || self.cleaned.elapsed() >= CLEAN_FOR
    }

    /// Whether the server told of a setting since the last statement of a caller was put in line: it was not harmless.
    pub(crate) fn has_changed_settings(&self) -> bool {
        self.is_set
    }
}

/// What a statement is called on the server. The name goes with the text, so that behind a pooler, where others prepare
/// theirs in the same connection, it never stands for another one.
fn name_of(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("studio_{:016x}", hasher.finish())
}

/// A name that no other statement has on the server, also behind a pooler, where others prepare theirs in the same
/// connection.
pub(super) fn unique_name() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("studio_{:x}_{:x}", *PROCESS, LAST.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_leave_in_the_order_of_their_last_use() {
        let mut prepared = Prepared::default();
        for number in 0..MOST {
            let text = number.to_string();
            let found = prepared.find(&text, 0, || text.clone());
            assert!(found.is_new && found.closes.is_empty());
            prepared.note_there(&text);
        }
        assert!(!prepared.find("0", 0, || panic!("it is there")).is_new);
        let found = prepared.find("new", 0, || "new".to_owned());
        assert_eq!((found.is_new, found.closes), (true, vec!["1".to_owned()]));
        assert_eq!(prepared.kept.len(), MOST);
    }

    #[test]
    fn statement_is_prepared_anew_for_tables_of_other_shape() {
        let mut prepared = Prepared::default();
        assert!(prepared.find("a", 1, || "one".to_owned()).is_new);
        // The server never said that it has it.
        let again = prepared.find("a", 1, || "two".to_owned());
        assert_eq!((again.is_new, again.closes), (true, vec!["one".to_owned()]));
        prepared.note_there("a");
        assert!(!prepared.find("a", 1, || panic!("it is there")).is_new);
        let changed = prepared.find("a", 2, || "three".to_owned());
        assert_eq!((changed.is_new, changed.closes), (true, vec!["two".to_owned()]));
    }
}
