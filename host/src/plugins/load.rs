//! From a file to a running driver: hash, trial, load, check.

use super::{
    DriverInstance,
    dylib::{DylibDriver, Resolve},
    file::{PluginEntry, PluginKind},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use studio_plugin_api::manifest::Manifest;
use tempfile::NamedTempFile;
use tokio::process::Command;

/// How long a driver may take to load in its trial.
const TRIAL_TIME: Duration = Duration::from_secs(10);

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
    /// The system's loader refused it.
    #[error("it is not a library that can be loaded: {0}")]
    NotLoadable(String),
    /// A library, but without a driver's entry point.
    #[error("it is not a studio-gateway driver")]
    NotADriver,
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
    /// The trial process died.
    #[error("it crashes when it is loaded ({0})")]
    Crashed(String),
    /// The trial did not end.
    #[error("it does not finish loading within {} seconds", TRIAL_TIME.as_secs())]
    Hung,
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
    /// SHA-256 of the file, in hex: what `sha256` in plugins.toml takes.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// The driver's manifest.
    pub manifest: Manifest,
}

/// Loads drivers.
pub struct Loader {
    /// The gateway's own program, in which a driver is tried before it is loaded here; `None` to load untried.
    program: Option<PathBuf>,
    resolve: Arc<Resolve>,
}

/// A driver that runs.
pub(super) struct Loaded {
    pub(super) instance: Arc<dyn DriverInstance>,
    pub(super) sha256: String,
}

impl Loader {
    /// `program` is the gateway's executable; without it, a driver that crashes when loaded takes this process along.
    /// `resolve` serves the drivers' name look-ups.
    pub fn new(program: Option<PathBuf>, resolve: Arc<Resolve>) -> Self {
        Self { program, resolve }
    }

    /// Loads what a `[[plugin]]` names.
    pub(super) async fn load(&self, entry: &PluginEntry) -> Result<Loaded, PluginError> {
        let copy = PrivateCopy::of(&entry.path)?;
        if let Some(pinned) = &entry.sha256
            && !pinned.eq_ignore_ascii_case(&copy.sha256)
        {
            return Err(PluginError::WrongHash { pinned: pinned.clone(), actual: copy.sha256 });
        }
        let instance: Arc<dyn DriverInstance> = match entry.kind {
            PluginKind::Dylib => {
                self.try_out(copy.file.path()).await?;
                let driver = DylibDriver::load(copy.file.path())?;
                check_manifest(driver.manifest())?;
                driver.start(self.resolve.clone())?;
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
        check_settings(&*instance, entry)?;
        Ok(Loaded { instance, sha256: copy.sha256 })
    }

    /// Looks into a driver's file without loading it into this process.
    ///
    /// # Errors
    /// As for loading.
    pub async fn inspect(&self, path: &Path) -> Result<Inspection, PluginError> {
        let copy = PrivateCopy::of(path)?;
        match self.try_out(copy.file.path()).await? {
            Some(inspection) => Ok(inspection),
            None => inspect_in_this_process(copy.file.path()),
        }
    }

    /// Loads the file in a process of its own first, so that one that crashes or hangs at load harms nobody.
    async fn try_out(&self, file: &Path) -> Result<Option<Inspection>, PluginError> {
        let Some(program) = &self.program else { return Ok(None) };
        let trial = Command::new(program)
            .args(["plugin", "trial"])
            .arg(file)
            .env_clear()
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(TRIAL_TIME, trial)
            .await
            .map_err(|_| PluginError::Hung)?
            .map_err(PluginError::NoTrial)?;
        match output.status.code() {
            Some(0) => serde_json::from_slice(&output.stdout)
                .map(Some)
                .map_err(|error| PluginError::Manifest(format!("it does not read: {error}"))),
            Some(code) if code == i32::from(TRIAL_REFUSED) => {
                Err(PluginError::TrialFailed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
            }
            _ => Err(PluginError::Crashed(output.status.to_string())),
        }
    }
}

/// Lets the driver look at the options that plugins.toml gives every connection. The endpoint is made up: only what
/// the driver says of options counts.
fn check_settings(instance: &dyn DriverInstance, entry: &PluginEntry) -> Result<(), PluginError> {
    if entry.settings.is_empty() {
        return Ok(());
    }
    let parts = json!({"host": "localhost", "port": instance.manifest().default_port.unwrap_or(1)});
    let settings = json!({"endpoint": {"parts": parts}, "options": entry.settings});
    match instance.check(settings.to_string().into()) {
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

/// The exit code by which a trial says that its standard error holds the reason.
pub const TRIAL_REFUSED: u8 = 3;

/// Loads a file here and now. For the trial process; a crash in the file is a crash of this process.
///
/// # Errors
/// As for loading.
pub fn inspect_in_this_process(path: &Path) -> Result<Inspection, PluginError> {
    let bytes = std::fs::read(path).map_err(PluginError::Unreadable)?;
    let driver = DylibDriver::load(path)?;
    check_manifest(driver.manifest())?;
    Ok(Inspection {
        sha256: hex_digest(&bytes),
        size: bytes.len() as u64,
        manifest: driver.manifest().clone(),
    })
}

/// The bytes that were hashed, in a file that nobody else can change, and that is gone once it is loaded.
struct PrivateCopy {
    file: NamedTempFile,
    sha256: String,
}

impl PrivateCopy {
    fn of(path: &Path) -> Result<Self, PluginError> {
        let bytes = std::fs::read(path).map_err(PluginError::Unreadable)?;
        let mut file = tempfile::Builder::new()
            .prefix("studio-driver-")
            .suffix(".so")
            .tempfile()
            .map_err(PluginError::NoTrial)?;
        file.write_all(&bytes).and_then(|()| file.flush()).map_err(PluginError::NoTrial)?;
        Ok(Self { file, sha256: hex_digest(&bytes) })
    }
}

/// The SHA-256 of a file's bytes, in hex.
pub(super) fn sha256_of(path: &Path) -> std::io::Result<String> {
    std::fs::read(path).map(|bytes| hex_digest(&bytes))
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Segments below `/api/platform/` that are the host's own.
pub const RESERVED_TYPES: [&str; 3] = ["plugins", "organizations", "projects"];
/// More than any database needs; a manifest beyond it is a mistake or a prank.
const MOST_OPERATIONS: usize = 1000;

/// Holds a manifest to the rules that the router and the rest of the host build on.
fn check_manifest(manifest: &Manifest) -> Result<(), PluginError> {
    let refuse = |reason: String| Err(PluginError::Manifest(reason));
    let database_type = &manifest.database_type;
    let is_name = |text: &str| {
        text.len() <= 32
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
    };
    if !is_name(database_type) || RESERVED_TYPES.contains(&database_type.as_str()) {
        return refuse(format!("`{database_type}` can't be a database type"));
    }
    if manifest.operations.len() > MOST_OPERATIONS {
        return refuse(format!("{} operations are more than {MOST_OPERATIONS}", manifest.operations.len()));
    }
    let mut seen = std::collections::HashSet::new();
    for operation in &manifest.operations {
        let (method, path) = (operation.method.as_str(), operation.path.as_str());
        if !is_path_template(path) {
            return refuse(format!("`{path}` is not a path template like `/keys/{{key}}`"));
        }
        if path == "/connections" || path.starts_with("/connections/") {
            return refuse(format!("`{path}` is the host's own"));
        }
        if !seen.insert((method, path)) {
            return refuse(format!("`{method} {path}` is declared twice"));
        }
        if let Some(unknown) = operation
            .invalidates
            .iter()
            .find(|target| !manifest.operations.iter().any(|known| known.path == **target))
        {
            return refuse(format!(
                "`{method} {path}` invalidates `{unknown}`, which is no operation's path"
            ));
        }
    }
    Ok(())
}

fn is_path_template(path: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty()
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
    };
    path.len() <= 256
        && path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|segment| {
                plain(segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(segment))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(operations: serde_json::Value) -> Manifest {
        serde_json::from_value(json!({
            "api_version": "0.1.0", "type": "thing", "name": "Thing", "version": "1", "options": {},
            "operations": operations,
        }))
        .unwrap()
    }

    #[test]
    fn manifests_that_lie_are_refused_by_name() {
        let operation = |path: &str| json!({"method": "GET", "path": path, "access": "read"});
        let refused = |operations| check_manifest(&manifest(operations)).unwrap_err().to_string();
        assert!(refused(json!([operation("/a"), operation("/a")])).contains("declared twice"));
        assert!(refused(json!([operation("a")])).contains("not a path template"));
        assert!(refused(json!([operation("/a//b")])).contains("not a path template"));
        assert!(refused(json!([operation("/{}")])).contains("not a path template"));
        assert!(refused(json!([operation("/connections/{id}")])).contains("the host's own"));
        assert!(refused(json!(vec![operation("/a"); 2000])).contains("more than"));
        let mut stale = operation("/a");
        stale["invalidates"] = json!(["/b"]);
        assert!(refused(json!([stale])).contains("no operation's path"));
        let mut reserved = manifest(json!([]));
        reserved.database_type = "projects".into();
        assert!(check_manifest(&reserved).is_err());
        check_manifest(&manifest(json!([operation("/a"), operation("/a/{b}")]))).unwrap();
    }
}
