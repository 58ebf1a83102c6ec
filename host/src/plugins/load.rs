//! From a file to a running driver: hash, trial, load, check.

use super::{
    DriverInstance, Resolve,
    child::{ChildTask, private_copy, run_in_child},
    dylib::DylibDriver,
    error::PluginError,
    file::PluginEntry,
    kind::PluginKind,
    manifest::check_manifest,
    schema::find_faults,
    settings::{DriverSettings, OpenOptions},
    wasm::{Sandbox, SandboxLimits, SandboxSettings, WasmDriver},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use studio_plugin_api::{Endpoint, manifest::Manifest, sync::lock};

/// The task of loading a library for the first time.
const TRIAL: ChildTask = ChildTask { word: "trial", doing: "loading", time: Duration::from_secs(10) };
/// The task of loading a library that its author or an operator asks about.
const EXAMINATION: ChildTask = ChildTask { word: "examine", ..TRIAL };

/// How closely a manifest is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Checks whether it can be served.
    Glance,
    /// Also finds its faults.
    Close,
}

/// The facts that `plugin inspect` shows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Inspection {
    /// How it is shipped.
    pub kind: PluginKind,
    /// SHA-256 of the file in hex, as `sha256` in plugins.toml takes it.
    pub sha256: String,
    /// The file's size in bytes.
    pub size: u64,
    /// The contract's version that it was built against.
    pub api_version: String,
    /// The interfaces that a component imports from the sandbox, each with its package and version.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub imports: BTreeSet<String>,
    /// Milliseconds that it took to compile a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precompile_milliseconds: Option<u64>,
    /// Faults in its manifest, which loads in spite of them: `<JSON pointer>: <reason>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
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

/// A driver that runs.
pub(super) struct Loaded {
    pub(super) instance: Arc<dyn DriverInstance>,
    pub(super) sha256: String,
}

impl Loader {
    /// Makes a loader. `program` is the gateway's executable; without it, a driver that crashes when loaded crashes
    /// this process too. `resolve` serves the drivers' name look-ups.
    pub fn new(program: Option<PathBuf>, resolve: Arc<Resolve>, sandbox_settings: SandboxSettings) -> Self {
        Self { program, resolve, sandbox_settings, sandbox: Mutex::default() }
    }

    /// Loads the driver that a `[[plugin]]` names.
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
                self.try_out(copy.path(), TRIAL).await?;
                let (driver, _) = DylibDriver::load(copy.path())?;
                check_manifest(driver.manifest())?;
                driver.start(self.resolve.clone())?;
                Arc::new(driver)
            }
            PluginKind::Wasm => {
                let limits = entry.limits.sandbox();
                let name = &entry.database_type;
                let (driver, _) = WasmDriver::load(self.sandbox()?, name, bytes, &sha256, limits).await?;
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
                match self.try_out(copy.path(), EXAMINATION).await? {
                    Some(inspection) => Ok(inspection),
                    None => inspect_in_this_process(copy.path(), Look::Close),
                }
            }
            PluginKind::Wasm => {
                let (sha256, size) = (hex_digest(&bytes), bytes.len() as u64);
                let limits = SandboxLimits::default();
                let (driver, text) =
                    WasmDriver::load(self.sandbox()?, "inspected", bytes, &sha256, limits).await?;
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
                    faults: faults(&text),
                    manifest,
                })
            }
        }
    }

    /// Loads the driver that a `[[plugin]]` names, and lets it go again.
    ///
    /// # Errors
    /// As for loading.
    pub async fn verify(&self, entry: &PluginEntry) -> Result<(), PluginError> {
        self.load(entry).await.map(drop)
    }

    fn sandbox(&self) -> Result<Arc<Sandbox>, PluginError> {
        let mut sandbox = lock(&self.sandbox);
        if let Some(sandbox) = &*sandbox {
            return Ok(sandbox.clone());
        }
        let (settings, program) = (self.sandbox_settings.clone(), self.program.clone());
        let made = Arc::new(Sandbox::new(settings, program, self.resolve.clone())?);
        *sandbox = Some(made.clone());
        Ok(made)
    }

    /// Loads the file in a child process first, so that a file that crashes or hangs at load harms nobody.
    async fn try_out(&self, file: &Path, task: ChildTask) -> Result<Option<Inspection>, PluginError> {
        let Some(program) = &self.program else { return Ok(None) };
        let output = run_in_child(program, task, file).await?;
        serde_json::from_slice(&output)
            .map(Some)
            .map_err(|error| PluginError::Manifest(format!("it does not read: {error}")))
    }
}

/// Lets the driver check the options that plugins.toml gives every connection. The endpoint is made up, so only an
/// error about an option counts.
async fn check_settings(instance: &dyn DriverInstance, entry: &PluginEntry) -> Result<(), PluginError> {
    if entry.settings.is_empty() {
        return Ok(());
    }
    let endpoint = Endpoint::Parts {
        host: "localhost".to_owned(),
        port: instance.manifest().default_port.unwrap_or(1),
        database_name: None,
        username: None,
        password: None,
    };
    let options = OpenOptions::new(json!(entry.settings));
    let checking = instance.check(DriverSettings { endpoint, options });
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

/// Loads a file in this process, as the child process of a trial does. A crash in the file crashes this process.
///
/// # Errors
/// As for loading.
pub fn inspect_in_this_process(path: &Path, look: Look) -> Result<Inspection, PluginError> {
    let bytes = std::fs::read(path).map_err(PluginError::Unreadable)?;
    let (driver, text) = DylibDriver::load(path)?;
    check_manifest(driver.manifest())?;
    let manifest = driver.manifest().clone();
    Ok(Inspection {
        kind: PluginKind::Dylib,
        sha256: hex_digest(&bytes),
        size: bytes.len() as u64,
        api_version: manifest.api_version.clone(),
        imports: BTreeSet::new(),
        precompile_milliseconds: None,
        faults: if look == Look::Close { faults(&text) } else { Vec::new() },
        manifest,
    })
}

/// Lists the faults of a manifest's text; none if it does not read.
fn faults(text: &str) -> Vec<String> {
    serde_json::from_str(text).map(|manifest| find_faults(&manifest)).unwrap_or_default()
}

/// Tells a file's kind by its first bytes. A file that is no WebAssembly is left to the system's loader to judge.
fn kind_of(bytes: &[u8]) -> PluginKind {
    if bytes.starts_with(b"\0asm") { PluginKind::Wasm } else { PluginKind::Dylib }
}

/// Computes the SHA-256 of a file's bytes, in hex.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| hex_digest(&bytes))
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
