//! Tells which kept replies still count, by numbers that writes move on.
//!
//! A key is a path of a connection. A reply belongs to the generation that its key was in when the read began, and
//! counts only while that is the current one. The end of a write starts a new generation before the write is
//! acknowledged: a later request finds no reply from before it. A reply that a write overlapped is not kept. No number
//! is given twice, so a key may be forgotten at any time: it comes back with another number.

use crate::{plugins::Payload, registry::ConnectionId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use studio_plugin_api::{DriverError, ErrorCode, sync::lock};

/// How long a write that was cut off may still reach the database: replies read meanwhile are not kept.
const AFTERMATH: Duration = Duration::from_secs(10);
/// The most keys remembered; beyond that, keys with no write under way or of unknown outcome are forgotten.
const MOST_KEYS: usize = 100_000;

/// The unit that writes make stale: an operation's path (as a template) on a connection, with any parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InvalidationKey {
    /// The connection.
    pub connection: ConnectionId,
    /// The path, such as `/databases/{db}/collections`.
    pub path: Arc<str>,
}

/// A period of a key in which no write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(u64);

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The call wrote nothing: it turned out to only read.
    OnlyRead,
    /// The write is over: it happened wholly, in part, or not at all.
    Over,
    /// The outcome is not known: the write may even happen later.
    Unknown,
}

impl Ending {
    /// Tells the ending by the driver's answer.
    pub fn of(result: &Result<Payload, DriverError>) -> Self {
        match result {
            Ok(payload) if payload.only_read => Self::OnlyRead,
            Ok(_) => Self::Over,
            Err(error) => match error.code {
                ErrorCode::ConnectionError | ErrorCode::Timeout | ErrorCode::DriverError => Self::Unknown,
                _ => Self::Over,
            },
        }
    }
}

/// The generations of all keys.
#[derive(Default)]
pub struct Generations {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last number given.
    last: u64,
    slots: HashMap<InvalidationKey, Slot>,
}

struct Slot {
    generation: u64,
    /// Writes under way.
    writing: u32,
    /// A write whose outcome is unknown may happen until then.
    unsettled_until: Option<Instant>,
}

impl Slot {
    fn is_settled(&self, at: Instant) -> bool {
        self.writing == 0 && self.unsettled_until.is_none_or(|until| until <= at)
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn slot(&mut self, key: &InvalidationKey, now: Instant) -> &mut Slot {
        if self.slots.len() >= MOST_KEYS && !self.slots.contains_key(key) {
            self.slots.retain(|_, slot| !slot.is_settled(now));
        }
        let generation = self.next();
        self.slots.entry(key.clone()).or_insert(Slot { generation, writing: 0, unsettled_until: None })
    }
}

impl Generations {
    /// Returns the generation of a read that begins now.
    pub fn current(&self, key: &InvalidationKey, now: Instant) -> Generation {
        let mut state = self.lock();
        match state.slots.get(key) {
            Some(slot) => Generation(slot.generation),
            None => Generation(state.slot(key, now).generation),
        }
    }

    /// Tells whether the reply to a read that began then, in that generation, may be kept: no write has overlapped it.
    pub fn may_keep(&self, key: &InvalidationKey, generation: Generation, began: Instant) -> bool {
        let state = self.lock();
        let slot = state.slots.get(key);
        slot.is_some_and(|slot| slot.generation == generation.0 && slot.is_settled(began))
    }

    /// Notes that a write begins, which may make these keys stale. Dropping the result ends it with an unknown
    /// outcome.
    pub fn begin_write(self: &Arc<Self>, keys: Vec<InvalidationKey>, now: Instant) -> Write {
        let mut state = self.lock();
        for key in &keys {
            state.slot(key, now).writing += 1;
        }
        drop(state);
        Write { generations: self.clone(), keys }
    }

    /// Forgets the keys of connections that are no more.
    pub fn forget(&self, is_gone: impl Fn(ConnectionId) -> bool) {
        // A key stays while a write to it is under way, to see the write's end.
        self.lock().slots.retain(|key, slot| slot.writing > 0 || !is_gone(key.connection));
    }

    fn end_write(&self, keys: &[InvalidationKey], ending: Ending, now: Instant) {
        let mut state = self.lock();
        for key in keys {
            let next = state.next();
            let Some(slot) = state.slots.get_mut(key) else { continue };
            slot.writing = slot.writing.saturating_sub(1);
            if ending != Ending::OnlyRead {
                slot.generation = next;
            }
            if ending == Ending::Unknown {
                slot.unsettled_until = Some(now + AFTERMATH);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock.
        lock(&self.state)
    }
}

/// A write under way.
pub struct Write {
    generations: Arc<Generations>,
    keys: Vec<InvalidationKey>,
}

impl Write {
    /// Ends the write. Must be called before the write is acknowledged.
    pub fn end(mut self, ending: Ending, now: Instant) {
        let keys = std::mem::take(&mut self.keys);
        self.generations.end_write(&keys, ending, now);
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.generations.end_write(&self.keys, Ending::Unknown, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> InvalidationKey {
        InvalidationKey { connection: ConnectionId(uuid::Uuid::from_u128(7)), path: path.into() }
    }

    struct Clocked {
        generations: Arc<Generations>,
        now: Instant,
    }

    impl Clocked {
        fn new() -> Self {
            Self { generations: Arc::default(), now: Instant::now() }
        }
        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
        fn read(&self, path: &str) -> (Generation, Instant) {
            (self.generations.current(&key(path), self.now), self.now)
        }
        fn may_keep(&self, path: &str, (generation, began): (Generation, Instant)) -> bool {
            self.generations.may_keep(&key(path), generation, began)
        }
        fn write(&self, path: &str) -> Write {
            self.generations.begin_write(vec![key(path)], self.now)
        }
    }

    #[test]
    fn reply_that_no_write_overlaps_is_kept_until_a_write_ends() {
        let clocked = Clocked::new();
        let read = clocked.read("/a");
        assert!(clocked.may_keep("/a", read));
        let write = clocked.write("/a");
        assert_eq!(clocked.read("/a").0, read.0, "nothing is acknowledged yet");
        write.end(Ending::Over, clocked.now);
        assert_ne!(clocked.read("/a").0, read.0);
        assert!(clocked.may_keep("/a", clocked.read("/a")));
    }

    #[test]
    fn reply_that_a_write_overlaps_in_any_way_is_not_kept() {
        let clocked = Clocked::new();
        let before = clocked.read("/a");
        let write = clocked.write("/a");
        let during = clocked.read("/a");
        assert!(!clocked.may_keep("/a", before) && !clocked.may_keep("/a", during), "while it is under way");
        let other = clocked.write("/a");
        write.end(Ending::Over, clocked.now);
        let after_one = clocked.read("/a");
        assert!(!clocked.may_keep("/a", after_one), "another one is still under way");
        other.end(Ending::Over, clocked.now);
        for read in [before, during, after_one] {
            assert!(!clocked.may_keep("/a", read), "after it");
        }
    }

    #[test]
    fn write_that_only_read_makes_nothing_stale() {
        let clocked = Clocked::new();
        let read = clocked.read("/a");
        clocked.write("/a").end(Ending::OnlyRead, clocked.now);
        assert!(clocked.may_keep("/a", read));
        assert_eq!(clocked.read("/a").0, read.0);
    }

    #[test]
    fn after_a_write_of_unknown_outcome_nothing_is_kept_for_a_while() {
        let mut clocked = Clocked::new();
        let before = clocked.read("/a");
        clocked.write("/a").end(Ending::Unknown, clocked.now);
        assert_ne!(clocked.read("/a").0, before.0);
        clocked.pass(9);
        let meanwhile = clocked.read("/a");
        clocked.pass(9);
        assert!(!clocked.may_keep("/a", meanwhile), "it may have been read before the write happened");
        assert!(clocked.may_keep("/a", clocked.read("/a")));
    }

    #[test]
    fn write_whose_caller_leaves_counts_as_unknown() {
        let mut clocked = Clocked::new();
        let before = clocked.read("/a");
        drop(clocked.write("/a"));
        assert_ne!(clocked.read("/a").0, before.0);
        assert!(!clocked.may_keep("/a", clocked.read("/a")));
        clocked.pass(20);
        assert!(clocked.may_keep("/a", clocked.read("/a")));
    }

    #[test]
    fn other_paths_and_other_connections_stay() {
        let clocked = Clocked::new();
        let elsewhere =
            InvalidationKey { connection: ConnectionId(uuid::Uuid::from_u128(8)), path: "/a".into() };
        let (other_path, other) = (clocked.read("/b"), clocked.generations.current(&elsewhere, clocked.now));
        clocked.write("/a").end(Ending::Over, clocked.now);
        assert!(clocked.may_keep("/b", other_path));
        assert_eq!(clocked.generations.current(&elsewhere, clocked.now), other);
    }

    #[test]
    fn forgotten_place_comes_back_in_another_generation() {
        let clocked = Clocked::new();
        let read = clocked.read("/a");
        clocked.generations.forget(|_| true);
        assert!(!clocked.may_keep("/a", read));
        assert_ne!(clocked.read("/a").0, read.0);
        let during = clocked.read("/a");
        let write = clocked.write("/a");
        clocked.generations.forget(|_| true);
        write.end(Ending::Over, clocked.now);
        assert_ne!(clocked.read("/a").0, during.0, "a write under way is not forgotten");
    }

    #[test]
    fn places_at_rest_are_forgotten_when_there_are_too_many() {
        let clocked = Clocked::new();
        let _write = clocked.write("/busy");
        for number in 0..MOST_KEYS + 10 {
            clocked.read(&number.to_string());
        }
        let state = clocked.generations.lock();
        assert!(state.slots.len() <= MOST_KEYS && state.slots.contains_key(&key("/busy")));
    }
}
