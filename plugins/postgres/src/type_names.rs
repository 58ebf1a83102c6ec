//! The names of types that are not PostgreSQL's own, as far as a session was asked for them.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};
use studio_plugin_api::sync::lock;

/// How many are remembered, and how long they may be, in bytes.
const MOST_NAMES: usize = 10_000;
const LONGEST_NAME: usize = 256;
/// How long one counts: somebody beside the gateway may rename a type.
const FRESH: Duration = Duration::from_secs(5);

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct TypeNames(Mutex<HashMap<u32, (String, Instant)>>);

impl TypeNames {
    /// The name of the type with this number, while it counts.
    pub(crate) fn get(&self, oid: u32) -> Option<String> {
        let names = lock(&self.0);
        names.get(&oid).filter(|(_, since)| since.elapsed() < FRESH).map(|(name, _)| name.clone())
    }

    /// Remembers a name.
    pub(crate) fn learn(&self, oid: u32, name: &str) {
        let mut names = lock(&self.0);
        if names.len() >= MOST_NAMES {
            names.clear();
        }
        if name.len() <= LONGEST_NAME {
            names.insert(oid, (name.to_owned(), Instant::now()));
        }
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        lock(&self.0).clear();
    }
}
