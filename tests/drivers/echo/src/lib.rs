//! A driver for the gateway's tests of the sandbox: it says what crossed the border, waits, panics, and repeats what a
//! server greets with. It speaks no protocol.

#[cfg(target_family = "wasm")]
use studio_plugin_api::time::sleep;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use studio_plugin_api::{prelude::*, time::Instant};

/// The most of a greeting that is taken at once.
const MOST_OF_A_GREETING: u32 = 4096;

/// A session, and the stream to its server if it was told to open one.
pub struct Echo {
    options: EchoOptions,
    stream: Mutex<Option<Stream>>,
}

/// What opening a session should do.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EchoOptions {
    /// How `connect` behaves.
    #[serde(default)]
    connect: Connect,
    /// Whether to open a stream to the server, for `/greeting`.
    #[serde(default)]
    network: bool,
    /// A secret that the driver can show it was given, by its length alone.
    token: Option<Secret>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Connect {
    #[default]
    Succeed,
    Refuse,
    Panic,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Name {
    name: PathBytes,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Message {
    text: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Milliseconds.
    milliseconds: u64,
}

#[derive(Serialize, JsonSchema)]
struct Facts {
    granted: Access,
    request_id: String,
    name_length: usize,
    token_length: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct Echoed {
    bytes: usize,
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Elapsed {
    nanoseconds: u64,
}

impl Elapsed {
    fn since(moment: Instant) -> Self {
        Self { nanoseconds: u64::try_from(moment.elapsed().as_nanos()).unwrap_or(u64::MAX) }
    }
}

impl Driver for Echo {
    type Options = EchoOptions;

    fn describe() -> Description {
        Description::new("echo", "Echo", env!("CARGO_PKG_VERSION")).default_port(7)
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get("/nothing", nothing)
            .read()
            .summary("Answer at once, without a body")
            .post("/echo", echo)
            .write()
            .summary("Say a text again")
            .get("/facts/{name}", facts)
            .per_call()
            .summary("Say what the call carried")
            .get("/time", time)
            .read()
            .summary("Read the clock twice, and tell the difference")
            .get("/wait", wait)
            .read()
            .summary("Sleep, and tell how long it took")
            .get("/panic", panic)
            .read()
            .summary("Panic")
            .get("/greeting", greeting)
            .read()
            .summary("Say what the server said since it was last asked")
    }

    async fn connect(
        settings: ConnectionSettings<EchoOptions>,
        network: Network,
    ) -> Result<Self, DriverError> {
        let options = settings.options;
        match options.connect {
            Connect::Succeed => {}
            Connect::Refuse => return Err(DriverError::connection("refused", "the echo refuses")),
            #[allow(clippy::panic)]
            Connect::Panic => panic!("the echo panics in connect"),
        }
        let stream = if options.network { Some(network.open(false).await?) } else { None };
        Ok(Self { options, stream: Mutex::new(stream) })
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        Ok(ServerFacts::new("1.2.3").with("mood", "calm"))
    }
}

impl Echo {
    fn put_stream(&self, stream: Option<Stream>) -> Option<Stream> {
        std::mem::replace(&mut *self.stream.lock().unwrap_or_else(PoisonError::into_inner), stream)
    }
}

async fn nothing(_: Context<Echo>) -> Result<NoContent, DriverError> {
    Ok(NoContent)
}

async fn echo(_: Context<Echo>, body: Body<Message>) -> Result<Json<Echoed>, DriverError> {
    let text = body.0.text;
    tracing::info!(bytes = text.len(), "echoed");
    Ok(Json(Echoed { bytes: text.len(), text }))
}

async fn facts(echo: Context<Echo>, path: Path<Name>) -> Result<Json<Facts>, DriverError> {
    Ok(Json(Facts {
        granted: echo.granted(),
        request_id: echo.request_id().to_owned(),
        name_length: path.name.0.len(),
        token_length: echo.options.token.as_ref().map(|token| token.expose().len()),
    }))
}

async fn time(_: Context<Echo>) -> Result<Json<Elapsed>, DriverError> {
    Ok(Json(Elapsed::since(Instant::now())))
}

async fn wait(_: Context<Echo>, query: Query<Wait>) -> Result<Json<Elapsed>, DriverError> {
    let start = Instant::now();
    sleep(Duration::from_millis(query.milliseconds)).await;
    Ok(Json(Elapsed::since(start)))
}

/// No host runs this driver natively; it is built that way along with its workspace.
#[cfg(not(target_family = "wasm"))]
#[allow(clippy::unused_async)]
async fn sleep(time: Duration) {
    std::thread::sleep(time);
}

#[allow(clippy::panic)]
async fn panic(_: Context<Echo>) -> Result<NoContent, DriverError> {
    panic!("the echo panics")
}

async fn greeting(echo: Context<Echo>) -> Result<Json<String>, DriverError> {
    // Taken out meanwhile, since no lock may be held while it is read.
    let Some(mut stream) = echo.put_stream(None) else {
        return Err(DriverError::connection("unsupported", "the option `network` is not set"));
    };
    let said = stream.read(MOST_OF_A_GREETING).await;
    echo.put_stream(Some(stream));
    Ok(Json(String::from_utf8_lossy(&said?).into_owned()))
}

studio_plugin_api::export_driver!(Echo);
