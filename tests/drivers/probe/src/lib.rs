//! A driver that behaves and misbehaves on request, for the gateway's tests and benchmarks. It talks to no database.

mod counters;
mod deep;
mod garbage;
mod old;

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use studio_plugin_api::{Outcome, Reply, prelude::*, reply::Payload, request};

/// Sessions opened since the library was loaded, and those open now.
static OPENED: AtomicUsize = AtomicUsize::new(0);
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// Calls of `/wait` that are running.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A session with nothing behind it.
pub struct Probe {
    endpoint: Endpoint,
    options: ProbeOptions,
    broken: AtomicBool,
}

impl Probe {
    fn open(settings: ConnectionSettings<ProbeOptions>) -> Self {
        let ConnectionSettings { endpoint, options } = settings;
        OPENED.fetch_add(1, Ordering::Relaxed);
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self { endpoint, options, broken: AtomicBool::new(false) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What opening a session should do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeOptions {
    /// How `connect` behaves.
    #[serde(default)]
    connect: Connect,
    /// A secret that the driver can show it was given, by its length alone.
    token: Option<Secret>,
    /// Which counters it has.
    #[serde(default)]
    store: String,
    /// Secrets further in.
    #[serde(default)]
    deep: deep::Deep,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Connect {
    #[default]
    Succeed,
    /// After 300 milliseconds.
    Slowly,
    Refuse,
    Panic,
    Hang,
    /// The thread that polls, for two seconds.
    Block,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Milliseconds.
    milliseconds: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MaybeWait {
    /// Milliseconds.
    #[serde(default)]
    milliseconds: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    name: PathBytes,
}

#[derive(Serialize, JsonSchema)]
struct Facts {
    granted: Access,
    request_id: String,
    name_length: usize,
    token_length: Option<usize>,
}

impl Driver for Probe {
    type Options = ProbeOptions;

    fn describe() -> Description {
        Description::new("probe", "Probe", env!("CARGO_PKG_VERSION"))
            .default_port(7)
            .connection_string_schemes(&["probe"])
            .alias(old::alias())
            .serves_project_database()
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get("/nothing", nothing)
            .read()
            .summary("Answer at once")
            .get("/facts/{name}", facts)
            .per_call()
            .summary("Say what the call carried")
            .get("/endpoint", endpoint)
            .read()
            .summary("Say where the session leads, and how long its password is")
            .get("/lengths", deep::lengths)
            .read()
            .summary("Say how long the secrets further in are")
            .post("/write", write)
            .write()
            .post("/admin", write)
            .admin()
            .get("/panic", panic)
            .read()
            .summary("Panic")
            .get("/block", block)
            .read()
            .summary("Block the thread that polls, as no driver may")
            .get("/spin", spin)
            .read()
            .summary("Compute on the thread that polls, as no driver may")
            .get("/wait", wait)
            .read()
            .summary("Wait without blocking, and log when dropped before the end")
            .get("/garbage/payload", empty_payload)
            .read()
            .summary("Answer with no payload where one is due")
            .get("/garbage/code", nothing)
            .read()
            .summary("Fail with a code that is not a driver's to give")
            .get("/garbage/nothing", nothing)
            .read()
            .summary("Fail with nothing")
            .get("/garbage/details", nothing)
            .read()
            .summary("Fail with details that are no JSON")
            .get("/garbage/outcome", nothing)
            .read()
            .summary("Succeed in a way that nobody knows")
            .get("/lost", lost)
            .read()
            .summary("Find no database, with the session open still")
            .get("/large", large)
            .read()
            .summary("Answer with as many megabytes as asked")
            .get("/log", log)
            .read()
            .summary("Log a line at every level")
            .get("/log/elsewhere", log_elsewhere)
            .read()
            .summary("Log a line in a task and on a thread of its own")
            .get("/sessions", sessions)
            .read()
            .summary("Count the sessions of all connections, and the calls that wait")
            .post("/break", break_session)
            .write()
            .summary("Lose the database, as the driver sees it")
            .get("/counters/{name}", counters::read)
            .read()
            .cache(Duration::from_secs(60))
            .summary("Read a counter")
            .get("/counters/{name}/reads", counters::count_reads)
            .read()
            .summary("Count how often a counter was read")
            .post("/counters/{name}", counters::add)
            .write()
            .invalidates(["/counters/{name}"])
            .summary("Move a counter on")
            .post("/counters/{name}/maybe", counters::maybe_add)
            .per_call()
            .invalidates(["/counters/{name}"])
            .summary("Move a counter on, or not")
            .alias("old-probe", old::operations)
    }

    async fn connect(settings: ConnectionSettings<ProbeOptions>, _: Network) -> Result<Self, DriverError> {
        match settings.options.connect {
            Connect::Succeed => Ok(Probe::open(settings)),
            Connect::Slowly => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Ok(Probe::open(settings))
            }
            Connect::Refuse => Err(DriverError::connection("refused", "the probe refuses")),
            #[allow(clippy::panic)]
            Connect::Panic => panic!("the probe panics in connect"),
            Connect::Block => {
                std::thread::sleep(Duration::from_secs(2));
                Ok(Probe::open(settings))
            }
            Connect::Hang => std::future::pending().await,
        }
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        Ok(ServerFacts::new("1.2.3").with("mood", "calm"))
    }

    fn is_open(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }
}

async fn nothing(_: Context<Probe>) -> Result<RawJson, DriverError> {
    Ok(RawJson::new(b"null".to_vec()))
}

async fn facts(probe: Context<Probe>, path: Path<Name>) -> Result<Json<Facts>, DriverError> {
    Ok(Json(Facts {
        granted: probe.granted(),
        request_id: probe.request_id().to_owned(),
        name_length: path.name.0.len(),
        token_length: probe.options.token.as_ref().map(|token| token.expose().len()),
    }))
}

#[derive(Serialize, JsonSchema)]
struct Place {
    host: Option<String>,
    port: Option<u16>,
    database_name: Option<String>,
    username: Option<String>,
    password_length: Option<usize>,
}

async fn endpoint(probe: Context<Probe>) -> Result<Json<Place>, DriverError> {
    let nowhere =
        Place { host: None, port: None, database_name: None, username: None, password_length: None };
    let place = match probe.endpoint.clone() {
        Endpoint::Parts { host, port, database_name, username, password } => Place {
            host: Some(host),
            port: Some(port),
            database_name,
            username,
            password_length: password.map(|password| password.expose().len()),
        },
        Endpoint::ConnectionString(_) => nowhere,
    };
    Ok(Json(place))
}

async fn write(_: Context<Probe>, query: Query<MaybeWait>) -> Result<NoContent, DriverError> {
    tokio::time::sleep(Duration::from_millis(query.milliseconds)).await;
    Ok(NoContent)
}

#[allow(clippy::panic)]
async fn panic(_: Context<Probe>) -> Result<NoContent, DriverError> {
    panic!("the probe panics")
}

async fn block(_: Context<Probe>, query: Query<Wait>) -> Result<NoContent, DriverError> {
    std::thread::sleep(Duration::from_millis(query.milliseconds));
    Ok(NoContent)
}

async fn spin(_: Context<Probe>, query: Query<Wait>) -> Result<NoContent, DriverError> {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(query.milliseconds) {
        std::hint::spin_loop();
    }
    Ok(NoContent)
}

async fn wait(_: Context<Probe>, query: Query<Wait>) -> Result<NoContent, DriverError> {
    struct Waiting {
        to_the_end: bool,
    }
    impl Drop for Waiting {
        fn drop(&mut self) {
            WAITING.fetch_sub(1, Ordering::Relaxed);
            if !self.to_the_end {
                tracing::info!("the wait was cancelled");
            }
        }
    }
    WAITING.fetch_add(1, Ordering::Relaxed);
    let mut waiting = Waiting { to_the_end: false };
    tokio::time::sleep(Duration::from_millis(query.milliseconds)).await;
    waiting.to_the_end = true;
    Ok(NoContent)
}

struct Nothing;

impl Reply for Nothing {
    fn schema(_: &mut schemars::SchemaGenerator) -> Option<schemars::Schema> {
        None
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        Ok(Payload { outcome: Outcome::Ok, json: Vec::new(), only_read: false })
    }
}

async fn empty_payload(_: Context<Probe>) -> Result<Nothing, DriverError> {
    Ok(Nothing)
}

async fn lost(_: Context<Probe>) -> Result<NoContent, DriverError> {
    Err(DriverError::connection("closed", "the probe found no database"))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Size {
    megabytes: usize,
}

async fn large(_: Context<Probe>, query: Query<Size>) -> Result<Json<String>, DriverError> {
    Ok(Json("x".repeat(query.megabytes << 20)))
}

async fn log(_: Context<Probe>) -> Result<NoContent, DriverError> {
    tracing::error!(count = 1, "probe at error");
    tracing::warn!("probe at warn");
    tracing::info!("probe at info");
    tracing::debug!("probe at debug");
    tracing::trace!("probe at trace");
    Ok(NoContent)
}

async fn log_elsewhere(_: Context<Probe>) -> Result<NoContent, DriverError> {
    let task = tokio::spawn(request::carry(async {
        tokio::task::yield_now().await;
        tracing::info!("probe in a task");
    }));
    let thread = tokio::task::spawn_blocking(request::carry_into(|| tracing::info!("probe on a thread")));
    for ended in [task.await, thread.await] {
        ended.map_err(|error| DriverError::new(ErrorCode::DriverError, error.to_string()))?;
    }
    Ok(NoContent)
}

#[derive(Serialize, JsonSchema)]
struct Sessions {
    opened: usize,
    open: usize,
    waiting: usize,
}

async fn sessions(_: Context<Probe>) -> Result<Json<Sessions>, DriverError> {
    Ok(Json(Sessions {
        opened: OPENED.load(Ordering::Relaxed),
        open: OPEN.load(Ordering::Relaxed),
        waiting: WAITING.load(Ordering::Relaxed),
    }))
}

async fn break_session(probe: Context<Probe>) -> Result<NoContent, DriverError> {
    probe.broken.store(true, Ordering::Relaxed);
    Ok(NoContent)
}
