//! Counters, read and moved on as slowly as asked: for tests of what the gateway keeps of replies. They belong to the
//! library, so that they outlive sessions, as a database's data does.

use crate::Probe;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use studio_plugin_api::{Either, OnlyRead, prelude::*};

/// By store and name.
static COUNTERS: Mutex<BTreeMap<(String, String), Counter>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
struct Counter {
    value: u64,
    /// How often it was read.
    reads: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    name: String,
}

/// Waits around the moment at which the call does what it does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pace {
    /// Milliseconds.
    #[serde(default)]
    before: u64,
    /// Milliseconds.
    #[serde(default)]
    after: u64,
    /// How a call that adds ends.
    #[serde(default)]
    end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum End {
    #[default]
    Well,
    Refuse,
    Panic,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// Milliseconds before the moment of reading.
    #[serde(default)]
    before: u64,
    /// Milliseconds after it.
    #[serde(default)]
    after: u64,
    /// Bytes that make the reply longer.
    #[serde(default)]
    padding: usize,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Doubt {
    #[serde(default)]
    add: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Seen {
    value: u64,
    padding: String,
}

/// The value, which must have been moved on once.
pub(super) async fn read(
    probe: Context<Probe>,
    path: Path<Name>,
    query: Query<Look>,
) -> Result<Json<Seen>, DriverError> {
    pass(query.before).await;
    let value = {
        let mut counters = counters();
        let counter = counters.entry(place(&probe, &path)).or_default();
        counter.reads += 1;
        counter.value
    };
    pass(query.after).await;
    match value {
        0 => Err(DriverError::new(ErrorCode::NotFound, "the counter was never moved on")),
        value => Ok(Json(Seen { value, padding: "x".repeat(query.padding) })),
    }
}

/// How often [`read`] ran.
pub(super) async fn count_reads(probe: Context<Probe>, path: Path<Name>) -> Result<Json<u64>, DriverError> {
    Ok(Json(counters().get(&place(&probe, &path)).map_or(0, |counter| counter.reads)))
}

#[allow(clippy::panic)]
pub(super) async fn add(
    probe: Context<Probe>,
    path: Path<Name>,
    query: Query<Pace>,
) -> Result<NoContent, DriverError> {
    pass(query.before).await;
    counters().entry(place(&probe, &path)).or_default().value += 1;
    pass(query.after).await;
    match query.end {
        End::Well => Ok(NoContent),
        End::Refuse => Err(DriverError::new(ErrorCode::QueryError, "the probe did it and says no")),
        End::Panic => panic!("the probe did it and panics"),
    }
}

/// Adds or only looks, as the call says.
pub(super) async fn maybe_add(
    probe: Context<Probe>,
    path: Path<Name>,
    query: Query<Doubt>,
) -> Result<Either<NoContent, OnlyRead<NoContent>>, DriverError> {
    if !query.add {
        return Ok(Either::Second(OnlyRead(NoContent)));
    }
    counters().entry(place(&probe, &path)).or_default().value += 1;
    Ok(Either::First(NoContent))
}

fn place(probe: &Probe, path: &Name) -> (String, String) {
    (probe.options.store.clone(), path.name.clone())
}

fn counters() -> MutexGuard<'static, BTreeMap<(String, String), Counter>> {
    COUNTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}
