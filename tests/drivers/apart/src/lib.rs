//! A driver whose own threads run its calls, two at a time, and that behaves and misbehaves on request. It talks to no
//! database.

use std::{thread, time::Duration};
use studio_plugin_api::prelude::*;

/// A session with nothing behind it.
pub struct Apart;

/// No options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApartOptions {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Milliseconds.
    milliseconds: u64,
}

impl Driver for Apart {
    type Options = ApartOptions;

    fn describe() -> Description {
        Description::new("apart", "Apart", env!("CARGO_PKG_VERSION")).default_port(7).on_own_threads(2)
    }

    fn operations() -> Operations<Self> {
        Operations::new()
            .get("/threads", threads)
            .read()
            .summary("Name the threads that the call was on")
            .get("/wait", wait)
            .read()
            .summary("Wait without blocking, and log when dropped before the end")
            .post("/write", wait)
            .write()
            .summary("Wait as if to write")
            .get("/block", block)
            .read()
            .summary("Block the thread that polls, as no driver may")
            .get("/panic", panic)
            .read()
            .summary("Panic")
    }

    async fn connect(_: ConnectionSettings<ApartOptions>, _: Network) -> Result<Self, DriverError> {
        Ok(Self)
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        Ok(ServerFacts::new("1.2.3"))
    }
}

async fn threads(_: Context<Apart>) -> Result<Json<Vec<String>>, DriverError> {
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(thread::current().name().unwrap_or_default().to_owned());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tracing::info!("the call names its threads");
    Ok(Json(names))
}

async fn wait(_: Context<Apart>, query: Query<Wait>) -> Result<NoContent, DriverError> {
    struct Waiting {
        to_the_end: bool,
    }
    impl Drop for Waiting {
        fn drop(&mut self) {
            if !self.to_the_end {
                // As one would that tells the database to stop.
                tokio::spawn(async {});
                tracing::info!("the wait was cancelled");
            }
        }
    }
    let mut waiting = Waiting { to_the_end: false };
    tokio::time::sleep(Duration::from_millis(query.milliseconds)).await;
    waiting.to_the_end = true;
    Ok(NoContent)
}

async fn block(_: Context<Apart>, query: Query<Wait>) -> Result<NoContent, DriverError> {
    thread::sleep(Duration::from_millis(query.milliseconds));
    Ok(NoContent)
}

#[allow(clippy::panic)]
async fn panic(_: Context<Apart>) -> Result<NoContent, DriverError> {
    panic!("the driver apart panics")
}

studio_plugin_api::export_driver!(Apart);
