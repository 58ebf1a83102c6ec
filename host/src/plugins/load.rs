//! From a file to a running driver: hash, trial, load, check.

use super::{
    DriverInstance,
    apart::{Task, run_apart},
    dylib::DylibDriver,
    file::{PluginEntry, PluginKind},
    manifest::{check_manifest, shorten},
    wasm::{CompiledCache, Sandbox, SandboxLimits, WasmDriver},
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use studio_plugin_api::{API_VERSION, DriverError, manifest::Manifest};
use tempfile::NamedTempFile;

/// How a driver's host names are resolved, by the gateway's address rules.
pub(in crate::plugins) type Resolve =
    dyn Fn(String, u16) -> BoxFuture<'static, Result<Vec<SocketAddr>, DriverError>> + Send + Sync;

/// How a library is loaded for the first time.
const TRIAL: Task = Task { word: "trial", doing: "loading", time: Duration::from_secs(10) };

/// Why a file is not a driver that this gateway can run. The message does not name the file; its holder does.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file can't be read.
    #[error("the file can't be read: {0}")]
    Unreadable(std::io::Error),
    /// The private copy could not be made, or the trial not be started.
    #[error("the driver could not be tried: {0}")]
    NoTrial(std::io::Error),
    /// The bytes are not those that were pinned.
    #[error("its SHA-256 is {actual}, and plugins.toml pins {pinned}")]
    WrongHash {
        /// What plugins.toml says.
        pinned: String,
        /// What the bytes give.
        actual: String,
    },
    /// The file is of the other kind.
    #[error("it is of kind \"{actual}\", and plugins.toml says otherwise")]
    WrongKind {
        /// What it is.
        actual: PluginKind,
    },
    /// The system's loader refused it.
    #[error("it is not a library that can be loaded: {0}")]
    NotLoadable(String),
    /// A library or a component, but without a driver's entry points.
    #[error("it is not a studio-gateway driver")]
    NotADriver,
    /// No WebAssembly component, or one that does not compile.
    #[error("it is not a WebAssembly component that can be run: {0}")]
    NotAComponent(String),
    /// It asks for what the sandbox does not have.
    #[error("it imports what the sandbox does not give: {0}")]
    Import(String),
    /// The sandbox can't be made on this machine.
    #[error("the sandbox for WebAssembly can't be made: {0}")]
    NoSandbox(String),
    /// Built against another version of the contract.
    #[error(
        "it was built against driver API {driver}, and this gateway speaks {host}: rebuild it for that version"
    )]
    WrongVersion {
        /// The driver's.
        driver: String,
        /// The gateway's.
        host: String,
    },
    /// Same version by name, but another layout.
    #[error("its binary interface differs from this gateway's: {0}")]
    Incompatible(String),
    /// Its manifest can't be had or breaks the rules.
    #[error("its manifest is refused: {0}")]
    Manifest(String),
    /// The trial said no, in these words.
    #[error("{0}")]
    TrialFailed(String),
    /// The process that tried or compiled it died.
    #[error("the process that was {doing} it crashed ({status})")]
    Crashed {
        /// At what.
        doing: &'static str,
        /// How the process ended.
        status: String,
    },
    /// It takes too long.
    #[error("it does not finish {doing} within {seconds} seconds")]
    Hung {
        /// What it does.
        doing: &'static str,
        /// The time that it has.
        seconds: u64,
    },
    /// Its own start function failed.
    #[error("it does not start: {0}")]
    NotStarted(String),
    /// Its `settings` in plugins.toml do not fit its options.
    #[error("its settings in plugins.toml are refused: {0}")]
    Settings(String),
}

/// What `plugin inspect` shows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// How it is shipped.
    pub kind: PluginKind,
    /// SHA-256 of the file, in hex: what `sha256` in plugins.toml takes.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// The contract's version that it was built against.
    pub api_version: String,
    /// What a component asks of the sandbox: interfaces, each with its package and version.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub imports: BTreeSet<String>,
    /// Milliseconds that it took to compile a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precompile_milliseconds: Option<u64>,
    /// The driver's manifest.
    pub manifest: Manifest,
}

/// Loads drivers.
pub struct Loader {
    /// The gateway's own program, in which a driver is tried before it is loaded here; `None` to load untried.
    program: Option<PathBuf>,
    resolve: Arc<Resolve>,
    sandbox_settings: SandboxSettings,
    /// Made when the first component is loaded.
    sandbox: Mutex<Option<Arc<Sandbox>>>,
}

/// Where components run.
#[derive(Clone)]
pub struct SandboxSettings {
    /// Sessions that there is room for.
    pub sessions: usize,
    /// How long compiling one component may take, in a process of its own.
    pub compile_time: Duration,
    /// Where compiled code is kept; `None`: it is compiled each time.
    pub cache: Option<CompiledCache>,
}

/// A driver that runs.
pub(super) struct Loaded {
    pub(super) instance: Arc<dyn DriverInstance>,
    pub(super) sha256: String,
}

impl Loader {
    /// `program` is the gateway's executable; without it, a driver that crashes when loaded takes this process along.
    /// `resolve` serves the drivers' name look-ups.
    pub fn new(program: Option<PathBuf>, resolve: Arc<Resolve>, sandbox_settings: SandboxSettings) -> Self {
        Self { program, resolve, sandbox_settings, sandbox: Mutex::default() }
    }

    /// Loads what a `[[plugin]]` names.
    pub(super) async fn load(&self, entry: &PluginEntry) -> Result<Loaded, PluginError> {
        let bytes = std::fs::read(&entry.path).map_err(PluginError::Unreadable)?;
        let sha256 = hex_digest(&bytes);
        if let Some(pinned) = &entry.sha256
            && !pinned.eq_ignore_ascii_case(&sha256)
        {
            return Err(PluginError::WrongHash { pinned: pinned.clone(), actual: sha256 });
        }
        if kind_of(&bytes) != entry.kind {
            return Err(PluginError::WrongKind { actual: kind_of(&bytes) });
        }
        let instance: Arc<dyn DriverInstance> = match entry.kind {
            PluginKind::Dylib => {
                let copy = private_copy(&bytes)?;
                self.try_out(copy.path()).await?;
                let driver = DylibDriver::load(copy.path())?;
                check_manifest(driver.manifest())?;
                driver.start(self.resolve.clone())?;
                Arc::new(driver)
            }
            PluginKind::Wasm => {
                let limits = entry.limits.sandbox();
                let name = &entry.database_type;
                let driver = WasmDriver::load(self.sandbox()?, name, bytes, &sha256, limits).await?;
                check_manifest(driver.manifest())?;
                Arc::new(driver)
            }
        };
        if instance.manifest().database_type != entry.database_type {
            return Err(PluginError::Manifest(format!(
                "it is a driver for `{}`, and plugins.toml lists it as `{}`",
                instance.manifest().database_type,
                entry.database_type
            )));
        }
        check_settings(&*instance, entry).await?;
        Ok(Loaded { instance, sha256 })
    }

    /// Looks into a driver's file: a library without loading it into this process, a component in the sandbox.
    ///
    /// # Errors
    /// As for loading.
    pub async fn inspect(&self, path: &Path) -> Result<Inspection, PluginError> {
        let bytes = std::fs::read(path).map_err(PluginError::Unreadable)?;
        match kind_of(&bytes) {
            PluginKind::Dylib => {
                let copy = private_copy(&bytes)?;
                match self.try_out(copy.path()).await? {
                    Some(inspection) => Ok(inspection),
                    None => inspect_in_this_process(copy.path()),
                }
            }
            PluginKind::Wasm => {
                let (sha256, size) = (hex_digest(&bytes), bytes.len() as u64);
                let limits = SandboxLimits::default();
                let driver = WasmDriver::load(self.sandbox()?, "inspected", bytes, &sha256, limits).await?;
                check_manifest(driver.manifest())?;
                let manifest = driver.manifest().clone();
                Ok(Inspection {
                    kind: PluginKind::Wasm,
                    sha256,
                    size,
                    api_version: manifest.api_version.clone(),
                    imports: driver.imports().clone(),
                    precompile_milliseconds: driver
                        .compile_time()
                        .and_then(|time| u64::try_from(time.as_millis()).ok()),
                    manifest,
                })
            }
        }
    }

    /// Loads what a `[[plugin]]` names, and lets it go again.
    ///
    /// # Errors
    /// As for loading.
    pub async fn verify(&self, entry: &PluginEntry) -> Result<(), PluginError> {
        self.load(entry).await.map(drop)
    }

    fn sandbox(&self) -> Result<Arc<Sandbox>, PluginError> {
        let mut sandbox = self.sandbox.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sandbox) = &*sandbox {
            return Ok(sandbox.clone());
        }
        let (settings, program) = (self.sandbox_settings.clone(), self.program.clone());
        let made = Arc::new(Sandbox::new(settings, program, self.resolve.clone())?);
        *sandbox = Some(made.clone());
        Ok(made)
    }

    /// Loads the file in a process of its own first, so that one that crashes or hangs at load harms nobody.
    async fn try_out(&self, file: &Path) -> Result<Option<Inspection>, PluginError> {
        let Some(program) = &self.program else { return Ok(None) };
        let output = run_apart(program, TRIAL, file).await?;
        serde_json::from_slice(&output)
            .map(Some)
            .map_err(|error| PluginError::Manifest(format!("it does not read: {error}")))
    }
}

/// Versions of the contract agree when their `MAJOR.MINOR` do.
pub(super) fn check_version(driver: &str) -> Result<(), PluginError> {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    if minor(driver) == minor(API_VERSION) {
        Ok(())
    } else {
        Err(PluginError::WrongVersion { driver: shorten(driver), host: API_VERSION.to_owned() })
    }
}

/// Lets the driver look at the options that plugins.toml gives every connection. The endpoint is made up: only what
/// the driver says of options counts.
async fn check_settings(instance: &dyn DriverInstance, entry: &PluginEntry) -> Result<(), PluginError> {
    if entry.settings.is_empty() {
        return Ok(());
    }
    let parts = json!({"host": "localhost", "port": instance.manifest().default_port.unwrap_or(1)});
    let settings = json!({"endpoint": {"parts": parts}, "options": entry.settings});
    let checking = instance.check(settings.to_string().into());
    match tokio::time::timeout(TRIAL.time, checking)
        .await
        .map_err(|_| PluginError::Hung { doing: "checking its settings", seconds: TRIAL.time.as_secs() })?
    {
        Err(error)
            if error
                .details
                .get("field")
                .and_then(Value::as_str)
                .is_some_and(|field| field.starts_with("options")) =>
        {
            Err(PluginError::Settings(error.message))
        }
        _ => Ok(()),
    }
}

/// Loads a file here and now. For the trial process; a crash in the file is a crash of this process.
///
/// # Errors
/// As for loading.
pub fn inspect_in_this_process(path: &Path) -> Result<Inspection, PluginError> {
    let bytes = std::fs::read(path).map_err(PluginError::Unreadable)?;
    let driver = DylibDriver::load(path)?;
    check_manifest(driver.manifest())?;
    let manifest = driver.manifest().clone();
    Ok(Inspection {
        kind: PluginKind::Dylib,
        sha256: hex_digest(&bytes),
        size: bytes.len() as u64,
        api_version: manifest.api_version.clone(),
        imports: BTreeSet::new(),
        precompile_milliseconds: None,
        manifest,
    })
}

/// A file says what it is by how it begins; whatever is no WebAssembly is left to the system's loader to judge.
fn kind_of(bytes: &[u8]) -> PluginKind {
    if bytes.starts_with(b"\0asm") { PluginKind::Wasm } else { PluginKind::Dylib }
}

/// The bytes that were hashed, in a file that nobody else can change, and that is gone once it is loaded.
pub(super) fn private_copy(bytes: &[u8]) -> Result<NamedTempFile, PluginError> {
    let mut file = tempfile::Builder::new()
        .prefix("studio-driver-")
        .suffix(".so")
        .tempfile()
        .map_err(PluginError::NoTrial)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(PluginError::NoTrial)?;
    Ok(file)
}

/// The SHA-256 of a file's bytes, in hex.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| hex_digest(&bytes))
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
