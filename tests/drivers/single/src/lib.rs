//! A driver whose sessions take one call at a time, and that knows how they were used. It talks to no database.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use studio_plugin_api::prelude::*;
use tokio::sync::Notify;

/// Attempts to open a session, sessions ever opened, open now, and at most at once; since the library was loaded.
static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
static OPENED: AtomicUsize = AtomicUsize::new(0);
static OPEN: AtomicUsize = AtomicUsize::new(0);
static MOST_OPEN: AtomicUsize = AtomicUsize::new(0);
/// The most calls that were ever running at once in one session.
static MOST_CALLS: AtomicUsize = AtomicUsize::new(0);
/// Calls of `/number` so far.
static NUMBERS: AtomicUsize = AtomicUsize::new(0);
/// Calls of `/hold` that are running, and their end.
static HOLDING: AtomicUsize = AtomicUsize::new(0);
static RELEASE: Notify = Notify::const_new();

/// A session with nothing behind it.
pub struct Single {
    /// 0 for a watcher's.
    number: usize,
    calls: AtomicUsize,
    broken: AtomicBool,
}

impl Single {
    fn open(watches: bool) -> Self {
        let session = |number| Self { number, calls: AtomicUsize::new(0), broken: AtomicBool::new(false) };
        if watches {
            return session(0);
        }
        MOST_OPEN.fetch_max(OPEN.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        session(OPENED.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn begin_call(&self) -> Counted<'_> {
        let counted = Counted::enter(&self.calls);
        MOST_CALLS.fetch_max(counted.total, Ordering::SeqCst);
        counted
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if self.number > 0 {
            OPEN.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Counts something while it lasts, to whatever end.
struct Counted<'a> {
    counter: &'a AtomicUsize,
    total: usize,
}

impl<'a> Counted<'a> {
    fn enter(counter: &'a AtomicUsize) -> Self {
        Self { counter, total: counter.fetch_add(1, Ordering::SeqCst) + 1 }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What opening a session should do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SingleOptions {
    /// Milliseconds that it takes.
    #[serde(default)]
    milliseconds: u64,
    /// Sessions that the database takes at once; more are refused.
    #[schemars(range(max = 1000))]
    accepts: Option<usize>,
    /// Its sessions are not counted: it is there to look at the others.
    #[serde(default)]
    watches: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MaybeWait {
    /// Milliseconds.
    #[serde(default)]
    #[schemars(range(max = 600_000))]
    milliseconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct Facts {
    /// The session's own.
    number: usize,
    attempts: usize,
    opened: usize,
    open: usize,
    most_open: usize,
    most_calls: usize,
    holding: usize,
}

impl Driver for Single {
    type Options = SingleOptions;

    fn describe() -> Description {
        Description::new("single", "Single", env!("CARGO_PKG_VERSION"))
            .default_port(7)
            .exclusive()
            .checked_by_host()
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get("/nothing", nothing)
            .read()
            .summary("Answer at once")
            .get("/facts", facts)
            .read()
            .summary("Say how sessions were used")
            .get("/number", number)
            .read()
            .summary("Say how many such calls there were before, after some time")
            .get("/hold", hold)
            .read()
            .summary("Keep the session until a release")
            .get("/release", release)
            .read()
            .summary("End all calls that hold their sessions")
            .get("/refused", refused)
            .read()
            .summary("Fail, and go on")
            .get("/broken", broken)
            .read()
            .summary("Lose the database, as the driver sees it")
    }

    async fn connect(settings: ConnectionSettings<SingleOptions>, _: Network) -> Result<Self, DriverError> {
        let options = settings.options;
        ATTEMPTS.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(options.milliseconds)).await;
        match options.accepts {
            Some(most) if OPEN.load(Ordering::SeqCst) >= most => {
                Err(DriverError::connection("refused", "the database takes no more sessions"))
            }
            _ => Ok(Single::open(options.watches)),
        }
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        Ok(ServerFacts::new("1.2.3"))
    }

    fn is_open(&self) -> bool {
        !self.broken.load(Ordering::SeqCst)
    }
}

async fn nothing(single: Context<Single>) -> Result<NoContent, DriverError> {
    let _call = single.begin_call();
    Ok(NoContent)
}

async fn facts(single: Context<Single>) -> Result<Json<Facts>, DriverError> {
    let _call = single.begin_call();
    let read = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    Ok(Json(Facts {
        number: single.number,
        attempts: read(&ATTEMPTS),
        opened: read(&OPENED),
        open: read(&OPEN),
        most_open: read(&MOST_OPEN),
        most_calls: read(&MOST_CALLS),
        holding: read(&HOLDING),
    }))
}

async fn number(single: Context<Single>, query: Query<MaybeWait>) -> Result<Json<usize>, DriverError> {
    let _call = single.begin_call();
    let number = NUMBERS.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(query.milliseconds)).await;
    Ok(Json(number))
}

async fn hold(single: Context<Single>) -> Result<NoContent, DriverError> {
    let _call = single.begin_call();
    let released = RELEASE.notified();
    let _holding = Counted::enter(&HOLDING);
    released.await;
    Ok(NoContent)
}

async fn release(single: Context<Single>) -> Result<NoContent, DriverError> {
    let _call = single.begin_call();
    RELEASE.notify_waiters();
    Ok(NoContent)
}

async fn refused(single: Context<Single>) -> Result<NoContent, DriverError> {
    let _call = single.begin_call();
    Err(DriverError::new(ErrorCode::QueryError, "it is not to be had"))
}

async fn broken(single: Context<Single>) -> Result<NoContent, DriverError> {
    let _call = single.begin_call();
    single.broken.store(true, Ordering::SeqCst);
    Ok(NoContent)
}

studio_plugin_api::export_driver!(Single);
