//! A driver that attacks its sandbox on request, for the gateway's tests. With a server that speaks Redis' inline
//! commands it talks, the rest needs none.

mod misdeeds;
mod world;

use misdeeds::Misdeed;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use studio_plugin_api::prelude::*;

/// A session.
pub struct Hostile {
    options: HostileOptions,
    network: Network,
    /// What it holds on to.
    kept: Mutex<Vec<Vec<u8>>>,
    calls: AtomicUsize,
}

/// What to do when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct HostileOptions {
    /// When settings are checked.
    check: Option<Misdeed>,
    /// When a session is opened.
    open: Option<Misdeed>,
    /// When it is asked who the server is.
    ping: Option<Misdeed>,
    /// When the session is closed.
    close: Option<Misdeed>,
    /// Greet the server when a session is opened, and when it is asked who the server is.
    network: bool,
    /// Speak TLS with it.
    tls: bool,
    /// For the host.
    tls_ca: Option<String>,
    /// For the host.
    tls_insecure: bool,
}

impl Driver for Hostile {
    type Options = HostileOptions;

    fn describe() -> Description {
        Description::new("hostile", "Hostile", env!("CARGO_PKG_VERSION"))
            .default_port(7)
            .connection_string_schemes(&["hostile"])
    }

    fn operations() -> Operations<Self> {
        misdeeds::operations()
    }

    fn check(settings: &ConnectionSettings<HostileOptions>) -> Result<(), DriverError> {
        if settings.options.check == Some(Misdeed::Connect) {
            // A success is what must not be, so it is the one that lets the settings pass.
            return world::open(false).map_err(|reason| DriverError::validation("options.check", reason));
        }
        settings.options.check.map_or(Ok(()), Misdeed::commit)
    }

    async fn connect(
        settings: ConnectionSettings<HostileOptions>,
        network: Network,
    ) -> Result<Self, DriverError> {
        let options = settings.options;
        options.open.map_or(Ok(()), Misdeed::commit)?;
        if options.network {
            greet(&network, options.tls).await?;
        }
        Ok(Self { options, network, kept: Mutex::default(), calls: AtomicUsize::new(0) })
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        self.options.ping.map_or(Ok(()), Misdeed::commit)?;
        if self.options.network {
            greet(&self.network, self.options.tls).await?;
        }
        Ok(ServerFacts::new("1.0"))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        tracing::info!(calls = self.calls.load(Ordering::Relaxed), "the hostile driver says goodbye");
        // Nobody asks how it went.
        let _ = self.options.close.map_or(Ok(()), Misdeed::commit);
    }
}

/// Has the server answer once.
async fn greet(network: &Network, tls: bool) -> Result<(), DriverError> {
    let mut stream = network.open(tls).await?;
    stream.write(b"PING\r\n").await?;
    let answer = stream.read(100).await?;
    if answer.starts_with(b"+PONG") {
        Ok(())
    } else {
        Err(DriverError::connection("protocol", "the server does not answer a greeting"))
    }
}

studio_plugin_api::export_driver!(Hostile);
