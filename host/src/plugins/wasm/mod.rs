//! Sandboxed drivers: WebAssembly components of the world in `plugin-api/wit`, run by `wasmtime`.
//!
//! Each session is an instance with its own memory, and serves one call at a time. A host call that waits puts the
//! instance's fiber to sleep, but no thread. Memory and tables of an instance are capped (`limits.rs`); a call that
//! goes on computing shares the processor (`scheduler.rs`) and ends at its deadline. An instance that traps, or whose
//! call is cut, is thrown away, and the next call gets another.
//!
//! An instance reaches the database of its own connection (`network.rs`) and nothing else: other imports of standard
//! toolchains are linked to implementations that give nothing away (`state.rs`).

mod code;
mod compiled_cache;
mod convert;
mod engine;
pub(super) mod fuzzing;
mod imports;
mod journal;
mod limits;
mod network;
mod sandbox;
mod scheduler;
mod session;
mod settings;
mod state;
mod stream;

pub use code::compile_in_this_process;
pub use compiled_cache::CompiledCache;
pub(super) use limits::{MOST_MEMORY, MOST_TABLE_ELEMENTS, SandboxLimits};
pub(super) use sandbox::Sandbox;
pub use sandbox::SandboxSettings;

use super::{
    DriverInstance, DriverSession,
    error::{PluginError, one_line},
    manifest::check_version,
    settings::DriverSettings,
};
use convert::read_error;
use engine::LONGEST_REASON;
use futures_util::{FutureExt, future::BoxFuture};
use journal::Journal;
use network::Egress;
use sandbox::Compiled;
use session::{Instance, WasmSession};
use settings::OpenSettings;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use studio_plugin_api::{
    DriverError, ErrorCode,
    manifest::{Concurrency, Manifest},
};

/// The world's values and functions, as the host sees them.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used, clippy::indexing_slicing)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../plugin-api/wit/0.1.0",
        world: "driver",
        imports: {
            "studio:driver/net.open": async | trappable,
            "studio:driver/net.[method]byte-stream.read": async | trappable,
            "studio:driver/net.[method]byte-stream.write": async | trappable,
            "studio:driver/net.[method]byte-stream.shutdown": async | trappable,
            "studio:driver/clocks.sleep": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "studio:driver/net.byte-stream": super::stream::ByteStream },
    });
}

/// How long an instance may take to tell its manifest or to check settings.
const SHORT_CALL: Duration = Duration::from_secs(5);
/// The longest manifest that is read, in bytes.
const LONGEST_MANIFEST: usize = 4 << 20;

/// A driver in a component.
pub(super) struct WasmDriver {
    shared: Arc<Shared>,
    manifest: Manifest,
}

struct Shared {
    compiled: Compiled,
    limits: SandboxLimits,
    journal: Journal,
}

impl WasmDriver {
    /// Compiles the component, or takes it from the cache, and asks it for its manifest, whose text it returns too. The
    /// log calls it `name`.
    pub(super) async fn load(
        sandbox: Arc<Sandbox>,
        name: &str,
        bytes: Vec<u8>,
        sha256: &str,
        limits: SandboxLimits,
    ) -> Result<(Self, String), PluginError> {
        let compiled = sandbox.compile(bytes, sha256).await?;
        let shared = Shared { compiled, limits, journal: Journal::new(name) };
        let asking = async {
            let mut instance = Instance::start(&shared, Egress::Nowhere).await?;
            instance.manifest().await
        };
        let text = tokio::time::timeout(SHORT_CALL, asking)
            .await
            .map_err(|_| PluginError::Manifest(format!("it takes more than {} s", SHORT_CALL.as_secs())))?
            .map_err(|error| PluginError::Manifest(error.message))?;
        if text.len() > LONGEST_MANIFEST {
            return Err(PluginError::Manifest(format!(
                "it has {} bytes, and {LONGEST_MANIFEST} are the most",
                text.len()
            )));
        }
        let manifest: Manifest = serde_json::from_str(&text).map_err(|error| {
            PluginError::Manifest(format!(
                "it does not read: {}",
                one_line(&error.to_string(), LONGEST_REASON)
            ))
        })?;
        check_version(&manifest.api_version)?;
        Ok((Self { shared: Arc::new(shared), manifest }, text))
    }

    /// Lists the interfaces that it imports from the sandbox, each with its package and version.
    pub(super) fn imports(&self) -> &BTreeSet<String> {
        &self.shared.compiled.imports
    }

    /// Tells how long compiling it took; `None` where its code was kept from an earlier time.
    pub(super) fn compile_time(&self) -> Option<Duration> {
        self.shared.compiled.compile_time
    }
}

impl DriverInstance for WasmDriver {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Exclusive
    }

    fn is_preempted(&self) -> bool {
        true
    }

    fn check(&self, settings: DriverSettings) -> BoxFuture<'static, Result<(), DriverError>> {
        let shared = self.shared.clone();
        let checking = async move {
            let settings = OpenSettings::new(settings);
            let mut instance = Instance::start(&shared, Egress::Nowhere).await?;
            instance.check(settings).await?.map_err(|error| read_error(error, &shared.journal).0)
        };
        async {
            tokio::time::timeout(SHORT_CALL, checking).await.unwrap_or_else(|_| {
                Err(DriverError::new(ErrorCode::DriverError, "the driver takes too long to check settings"))
            })
        }
        .boxed()
    }

    fn connect(
        &self,
        settings: DriverSettings,
    ) -> BoxFuture<'static, Result<Box<dyn DriverSession>, DriverError>> {
        let shared = self.shared.clone();
        let default_port = self.manifest.default_port;
        async move {
            let settings = OpenSettings::new(settings);
            let egress = settings.egress(default_port, shared.compiled.resolve.clone());
            let mut instance = Instance::start(&shared, egress).await?;
            instance.open(settings).await?.map_err(|error| read_error(error, &shared.journal).0)?;
            Ok(Box::new(WasmSession::new(instance)) as Box<dyn DriverSession>)
        }
        .boxed()
    }
}

/// Makes the error for a driver that failed or broke the contract.
fn broken(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorCode::DriverError, message)
}
