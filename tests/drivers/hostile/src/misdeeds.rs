//! What it does to its sandbox.

use crate::{Hostile, world};
use std::{hint::black_box, sync::PoisonError, sync::atomic::Ordering};
use studio_plugin_api::{Outcome, Reply, prelude::*, reply::Payload};

/// Bytes of one piece, where not told otherwise.
const PIECE: usize = 64 << 10;

/// What can be done outside of calls too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Misdeed {
    /// Run for ever.
    Loop,
    /// Call itself for ever.
    Recurse,
    /// Take memory for ever.
    Allocate,
    /// Panic.
    Panic,
    /// Sleep for an hour.
    Sleep,
    /// Connect.
    Connect,
}

impl Misdeed {
    #[allow(clippy::panic)]
    pub(crate) fn commit(self) -> Result<(), DriverError> {
        match self {
            Self::Loop => run_for_ever(),
            Self::Recurse => {
                descend(u64::MAX, &mut || ());
                Ok(())
            }
            Self::Allocate => allocate_for_ever(PIECE),
            Self::Panic => panic!("the hostile driver panics"),
            Self::Sleep => {
                world::sleep(3_600_000_000_000);
                Ok(())
            }
            Self::Connect => world::open(false).map_err(|reason| DriverError::connection("hostile", reason)),
        }
    }
}

pub(crate) fn operations() -> Operations<Hostile> {
    Operations::new()
        .get("/nothing", nothing)
        .read()
        .get("/loop", endless_loop)
        .read()
        .get("/work", work)
        .read()
        .get("/waves", waves)
        .read()
        .get("/recurse", recurse)
        .read()
        .get("/allocate", allocate)
        .read()
        .get("/keep", keep)
        .read()
        .get("/reply", reply)
        .read()
        .get("/reply/empty", empty_reply)
        .read()
        .get("/reply/surplus", surplus_reply)
        .read()
        .get("/panic", panic)
        .read()
        .get("/error", error)
        .read()
        .get("/log", log)
        .read()
        .get("/sleep", sleep)
        .read()
        .get("/random", random)
        .read()
        .get("/clock", clock)
        .read()
        .get("/streams", streams)
        .read()
        .get("/write", write)
        .read()
        .get("/read", read)
        .read()
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Milliseconds {
    milliseconds: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bytes {
    bytes: usize,
}

async fn nothing(hostile: Context<Hostile>) -> Result<Json<usize>, DriverError> {
    Ok(Json(hostile.calls.fetch_add(1, Ordering::Relaxed)))
}

fn run_for_ever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

async fn endless_loop(_: Context<Hostile>) -> Result<NoContent, DriverError> {
    run_for_ever()
}

fn compute(milliseconds: u64) {
    let begin = world::monotonic();
    while world::monotonic().saturating_sub(begin) < milliseconds.saturating_mul(1_000_000) {
        black_box((0..1000).fold(0_u64, |sum, number| black_box(sum ^ number)));
    }
}

/// Computes for a time, and answers.
async fn work(_: Context<Hostile>, query: Query<Milliseconds>) -> Result<NoContent, DriverError> {
    compute(query.milliseconds);
    Ok(NoContent)
}

/// Computes and waits by turns, for ever.
async fn waves(_: Context<Hostile>) -> Result<NoContent, DriverError> {
    loop {
        compute(3);
        world::sleep(0);
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Depth {
    /// Without it, for ever.
    depth: Option<u64>,
    /// Connect by TLS when down there.
    #[serde(default)]
    connect: bool,
}

/// Calls itself, and something else at the bottom.
#[inline(never)]
fn descend(depth: u64, bottom: &mut dyn FnMut()) -> u64 {
    if depth == 0 {
        bottom();
        return 0;
    }
    let frame = black_box([depth; 8]);
    descend(depth - 1, bottom).wrapping_add(black_box(frame).iter().sum())
}

async fn recurse(_: Context<Hostile>, query: Query<Depth>) -> Result<Json<String>, DriverError> {
    let mut opened = String::new();
    descend(query.depth.unwrap_or(u64::MAX), &mut || {
        if query.connect {
            tracing::info!(depth = query.depth, "this is how deep it goes");
            opened = format!("{:?} {}", world::open(true), world::random(65_536).len());
        }
    });
    Ok(Json(opened))
}

/// What it takes stays taken.
fn allocate_for_ever(piece: usize) -> ! {
    loop {
        std::mem::forget(black_box(vec![1_u8; piece]));
    }
}

async fn allocate(_: Context<Hostile>, query: Query<Bytes>) -> Result<NoContent, DriverError> {
    allocate_for_ever(query.bytes)
}

async fn keep(hostile: Context<Hostile>, query: Query<Bytes>) -> Result<Json<usize>, DriverError> {
    let mut kept = hostile.kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.push(vec![1; query.bytes]);
    Ok(Json(kept.iter().map(Vec::len).sum()))
}

async fn reply(_: Context<Hostile>, query: Query<Bytes>) -> Result<RawJson, DriverError> {
    let mut json = vec![b'x'; query.bytes.max(2)];
    if let [first, .., last] = json.as_mut_slice() {
        (*first, *last) = (b'"', b'"');
    }
    Ok(RawJson::new(json))
}

struct Raw(Payload);

impl Reply for Raw {
    fn schema(_: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
        None
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        Ok(self.0)
    }
}

async fn empty_reply(_: Context<Hostile>) -> Result<Raw, DriverError> {
    Ok(Raw(Payload { outcome: Outcome::Created, json: Vec::new(), only_read: false }))
}

async fn surplus_reply(_: Context<Hostile>) -> Result<Raw, DriverError> {
    Ok(Raw(Payload { outcome: Outcome::NoContent, json: b"1".to_vec(), only_read: false }))
}

async fn panic(_: Context<Hostile>) -> Result<NoContent, DriverError> {
    Misdeed::Panic.commit()?;
    Ok(NoContent)
}

async fn error(_: Context<Hostile>, query: Query<Bytes>) -> Result<NoContent, DriverError> {
    Err(DriverError::query("too-long", "x".repeat(query.bytes)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Lines {
    lines: usize,
    bytes: usize,
}

async fn log(_: Context<Hostile>, query: Query<Lines>) -> Result<NoContent, DriverError> {
    let text = "flood\n".repeat(query.bytes / 6 + 1);
    for line in 0..query.lines {
        tracing::warn!(line, "{text}");
    }
    Ok(NoContent)
}

async fn sleep(_: Context<Hostile>, query: Query<Milliseconds>) -> Result<NoContent, DriverError> {
    world::sleep(query.milliseconds.saturating_mul(1_000_000));
    Ok(NoContent)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Length {
    length: u32,
}

async fn random(_: Context<Hostile>, query: Query<Length>) -> Result<Json<usize>, DriverError> {
    Ok(Json(world::random(query.length).len()))
}

/// Nanoseconds on its clock.
async fn clock(_: Context<Hostile>) -> Result<Json<u64>, DriverError> {
    Ok(Json(world::monotonic()))
}

#[derive(Serialize, JsonSchema)]
struct Streams {
    opened: usize,
    reason: Option<String>,
}

/// Opens streams until that is refused, and drops none.
async fn streams(hostile: Context<Hostile>) -> Result<Json<Streams>, DriverError> {
    for opened in 0.. {
        match hostile.network.open(false).await {
            Ok(stream) => std::mem::forget(stream),
            Err(error) => {
                let reason = error.details.get("reason").and_then(|reason| reason.as_str());
                return Ok(Json(Streams { opened, reason: reason.map(str::to_owned) }));
            }
        }
    }
    Ok(Json(Streams { opened: usize::MAX, reason: None }))
}

/// Writes for ever and never reads.
async fn write(hostile: Context<Hostile>) -> Result<NoContent, DriverError> {
    let mut stream = hostile.network.open(false).await?;
    loop {
        stream.write(&[b'x'; PIECE]).await?;
    }
}

/// Reads for ever.
async fn read(hostile: Context<Hostile>) -> Result<NoContent, DriverError> {
    let mut stream = hostile.network.open(false).await?;
    while !stream.read(1).await?.is_empty() {}
    Ok(NoContent)
}
