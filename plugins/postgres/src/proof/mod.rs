//! Proof that a statement leaves its connection as it was, and whether it changes anything in the database.
//!
//! What is proved need not be cleaned up after, may stay prepared, and leaves no record when it only reads. `needs.rs`
//! reads the statement's tree, which must be made of known parts, and finds all names in it; `question.rs` asks the
//! catalogs what these stand for. Only what is known to be harmless is proved; the rest goes the way of all statements.
//!
//! A proof counts for a second, and ends at once when this session runs what may define something. In that second
//! somebody else may define a function by a name that was proved: so connections are cleaned now and then all the same
//! (`Wire::is_due_for_cleaning`).

mod needs;
mod question;

use crate::{Postgres, errors::code};
use needs::Needs;
use serde::Deserialize;
use std::{
    collections::HashMap,
    hash::Hash,
    sync::Mutex,
    time::{Duration, Instant},
};
use studio_plugin_api::{Context, DriverError, sync::lock};

/// How long a proof counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long the catalogs are not asked again, after they could not be: those of a server before PostgreSQL 14 are others.
const REST: Duration = Duration::from_secs(60);
/// How often the catalogs are asked anyhow, and for how many statements once more after that: a question costs the server
/// as much as the cleaning that so many need.
const FIRST_QUESTIONS: u64 = 1_000;
const STATEMENTS_A_QUESTION: u64 = 100;
/// How many verdicts a session remembers of each kind, and the bytes of the statements that they are about.
const MOST: usize = 500;
const MOST_BYTES: usize = 256 << 10;
/// How long a statement may be, in bytes.
const LONGEST: usize = 4 << 10;

/// What is proved of a statement: it leaves its connection as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Proof {
    /// It leaves all else as it was, too.
    pub(crate) only_reads: bool,
    /// What its tables look like. Plans of a statement are those of another where this differs.
    pub(crate) shape: u64,
    /// The statement was proved before: it may come again.
    pub(crate) recurs: bool,
}

/// The proofs of a session.
#[derive(Debug, Default)]
pub(crate) struct Proofs(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    statements: Verdicts<Box<str>>,
    needs: Verdicts<Needs>,
    /// Grows with all that ends proofs.
    generation: u64,
    /// How many statements were looked at, and how often the catalogs were asked about one.
    looked_at: u64,
    asked: u64,
    /// Until then the catalogs are not asked.
    rests_until: Option<Instant>,
}

/// What is known; no proof is a verdict too.
#[derive(Debug, Clone, Copy)]
struct Verdict {
    proof: Option<Proof>,
    since: Instant,
}

impl Verdict {
    fn of(proof: Option<Proof>) -> Self {
        Self { proof, since: Instant::now() }
    }

    fn is_fresh(&self) -> bool {
        self.since.elapsed() < FRESH
    }
}

/// Verdicts by what they are about.
#[derive(Debug)]
struct Verdicts<K> {
    known: HashMap<K, Verdict>,
    bytes: usize,
}

impl<K> Default for Verdicts<K> {
    fn default() -> Self {
        Self { known: HashMap::new(), bytes: 0 }
    }
}

impl<K: Hash + Eq> Verdicts<K> {
    /// Remembers a verdict about so many bytes. All others are forgotten where there is no room for it.
    fn learn(&mut self, key: K, bytes: usize, proof: Option<Proof>) {
        if self.known.len() >= MOST || self.bytes + bytes > MOST_BYTES {
            *self = Self::default();
        }
        if self.known.insert(key, Verdict::of(proof)).is_none() {
            self.bytes += bytes;
        }
    }
}

impl Proofs {
    /// Ends all proofs.
    pub(crate) fn end(&self) {
        let mut known = lock(&self.0);
        known.generation += 1;
        known.statements = Verdicts::default();
        known.needs = Verdicts::default();
    }
}

/// Finds the proof of a statement, where there is one. This never fails: what can't be looked at is not proved.
pub(crate) async fn of(context: &Context<Postgres>, sql: &str, has_parameters: bool) -> Option<Proof> {
    if sql.len() > LONGEST || !begins_as_provable(sql) {
        return None;
    }
    // Without values the server has another word for a place that wants one.
    if !has_parameters && sql.contains('$') {
        return None;
    }
    let (was_known, generation) = {
        let mut known = lock(&context.proofs.0);
        known.looked_at += 1;
        let verdict = known.statements.known.get(sql);
        if let Some(verdict) = verdict.filter(|verdict| verdict.is_fresh()) {
            return verdict.proof.map(|proof| Proof { recurs: true, ..proof });
        }
        (verdict.is_some(), known.generation)
    };
    let proof = match Needs::of(sql) {
        Some(needs) if needs.are_none() => Some(Proof { only_reads: true, shape: 0, recurs: false }),
        Some(needs) => prove(context, needs, sql.len(), generation).await,
        None => None,
    };
    let mut known = lock(&context.proofs.0);
    if known.generation == generation {
        known.statements.learn(sql.into(), sql.len(), proof);
    }
    proof.map(|proof| Proof { recurs: was_known, ..proof })
}

/// Asks the catalogs about a statement of so many bytes.
async fn prove(context: &Context<Postgres>, needs: Needs, bytes: usize, generation: u64) -> Option<Proof> {
    {
        let mut known = lock(&context.proofs.0);
        if let Some(verdict) = known.needs.known.get(&needs).filter(|verdict| verdict.is_fresh()) {
            return verdict.proof;
        }
        let is_resting = known.rests_until.is_some_and(|until| Instant::now() < until);
        if is_resting || known.asked > FIRST_QUESTIONS + known.looked_at / STATEMENTS_A_QUESTION {
            return None;
        }
        known.asked += 1;
    }
    let answer = context.row(context, &question::question(&needs)).await;
    let proof = read(answer.as_ref(), !needs.writes);
    let mut known = lock(&context.proofs.0);
    if let Err(error) = &answer
        && cannot_be_asked(error)
    {
        known.rests_until = Some(Instant::now() + REST);
    }
    if known.generation == generation {
        known.needs.learn(needs, bytes, proof);
    }
    proof
}

/// Whether the server has other catalogs than the question is about.
fn cannot_be_asked(error: &DriverError) -> bool {
    let code = error.details.get("code").and_then(|code| code.as_str());
    code.is_some_and(|code| code.starts_with("42") || code == code::INTERNAL_ERROR)
}

fn read(answer: Result<&Option<Vec<u8>>, &DriverError>, only_reads: bool) -> Option<Proof> {
    #[derive(Deserialize)]
    struct Row {
        doubt: Option<String>,
        shape: Option<String>,
    }
    let row: Row = serde_json::from_slice(answer.ok()?.as_deref()?).ok()?;
    if let Some(doubt) = row.doubt {
        tracing::trace!(doubt, "a statement is not proved to leave nothing behind");
        return None;
    }
    let shape = row.shape.as_deref().and_then(|shape| u64::from_str_radix(shape.get(..16)?, 16).ok());
    Some(Proof { only_reads, shape: shape.unwrap_or_default(), recurs: false })
}

/// Whether a text's first word is one of what may be proved. Most of what may not costs no more than this.
fn begins_as_provable(sql: &str) -> bool {
    let start = sql.trim_ascii_start();
    if start.starts_with(['(', '-', '/']) {
        return true;
    }
    let word = start.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    ["select", "insert", "update", "delete", "with", "table", "values"]
        .iter()
        .any(|begins| word.eq_ignore_ascii_case(begins))
}

#[cfg(test)]
mod tests;
