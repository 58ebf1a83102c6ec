//! The loaded drivers by database type, replaced as a whole when `plugins.toml` is read again.

pub use super::status::PluginStatus;
use super::{
    DriverInstance, Entrance, OperationCaching, Wrapping,
    caching::plan_caching,
    containment::Containment,
    error::PluginError,
    faces::{Face, Manners, Prefixes, build_faces, plan_manners},
    file::{self, PluginEntry, PluginKind, PluginsFileError},
    load::{Loaded, Loader},
    options::OptionRules,
    schema::CallSchemas,
    watch::Watch,
};
use crate::config::OnPluginError;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use studio_plugin_api::{
    Access, Call, DriverError,
    manifest::{AccessManifest, CheckedBy, Manifest, OperationManifest},
};
use tokio::sync::Semaphore;

/// Why the catalog could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// `plugins.toml` is unusable.
    #[error(transparent)]
    File(#[from] PluginsFileError),
    /// One plugin is, and the settings say that this is reason enough.
    #[error("plugin `{database_type}` ({path}): {reason}", path = path.display())]
    Plugin {
        /// As in plugins.toml.
        database_type: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Not a `source`: its text is in this one's.
        reason: PluginError,
    },
}

/// A driver in service.
pub struct Driver {
    instance: Arc<dyn DriverInstance>,
    entry: PluginEntry,
    sha256: String,
    faces: Vec<Face>,
    /// By the operations' numbers.
    caching: Vec<OperationCaching>,
    /// By the operations' numbers.
    manners: Vec<Manners>,
    containment: Arc<Containment>,
    generation: u64,
    options: OptionRules,
    /// What callers are held to here; nothing where the driver does it.
    schemas: Option<CallSchemas>,
    session_cap: Option<Arc<Semaphore>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Driver({} #{})", self.manifest().database_type, self.generation)
    }
}

impl Driver {
    fn new(loaded: Loaded, entry: PluginEntry, watch: &Arc<Watch>) -> Result<Self, PluginError> {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let manifest = loaded.instance.manifest();
        let faces = build_faces(manifest).map_err(PluginError::Manifest)?;
        let manners = plan_manners(manifest);
        entry.limits.check_operations(&manifest.operations).map_err(PluginError::Limits)?;
        let caching = plan_caching(&manifest.operations, &entry.cache).map_err(PluginError::Cache)?;
        let options = OptionRules::of(&manifest.options).map_err(PluginError::Manifest)?;
        let checked_by = manifest.checked_by.unwrap_or(match entry.kind {
            PluginKind::Wasm => CheckedBy::Host,
            PluginKind::Dylib => CheckedBy::Driver,
        });
        let schemas = match checked_by {
            CheckedBy::Host => Some(CallSchemas::compile(manifest).map_err(PluginError::Manifest)?),
            CheckedBy::Driver => None,
        };
        if let Some(schemas) = schemas.as_ref().filter(|_| !entry.settings.is_empty()) {
            schemas.check_settings(own_options(&entry)).map_err(PluginError::Settings)?;
        }
        Ok(Self {
            faces,
            caching,
            manners,
            options,
            schemas,
            containment: Containment::new(watch.clone(), manifest),
            session_cap: entry.limits.max_sessions.map(|most| Arc::new(Semaphore::new(most.max(1) as usize))),
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            instance: loaded.instance,
            sha256: loaded.sha256,
            entry,
        })
    }

    /// What the driver says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.instance.manifest()
    }
    /// The running driver.
    pub fn instance(&self) -> &Arc<dyn DriverInstance> {
        &self.instance
    }
    /// Where its calls run.
    pub fn containment(&self) -> &Arc<Containment> {
        &self.containment
    }
    /// Its line in plugins.toml.
    pub fn entry(&self) -> &PluginEntry {
        &self.entry
    }
    /// Another number for every time that a driver is loaded: sessions of an older one are not used again.
    pub fn generation(&self) -> u64 {
        self.generation
    }
    /// Which of a connection's options are secret, and which say to whom secrets are sent.
    pub fn options(&self) -> &OptionRules {
        &self.options
    }
    /// One permit for each session that it may have open, when plugins.toml says how many.
    pub fn session_cap(&self) -> Option<&Arc<Semaphore>> {
        self.session_cap.as_ref()
    }
    /// The prefixes that lead to it, its type first.
    pub(super) fn faces(&self) -> &[Face] {
        &self.faces
    }
    /// An operation by its number.
    pub fn operation(&self, number: u32) -> Option<&OperationManifest> {
        self.manifest().operations.get(number as usize)
    }
    /// What is kept of an operation's replies.
    pub fn caching(&self, number: u32) -> Option<&OperationCaching> {
        self.caching.get(number as usize)
    }
    /// What an operation's payloads are sent as.
    pub fn wrapping(&self, number: u32) -> &Wrapping {
        self.manners.get(number as usize).map_or(&Wrapping::Data, |manners| &manners.wrapping)
    }
    /// Whether an operation overlooks a query parameter of this name.
    pub fn overlooks(&self, number: u32, parameter: &str) -> bool {
        self.manners.get(number as usize).is_some_and(|manners| manners.overlook(parameter))
    }
    /// Whether a call of one of its operations may change something, as far as that and the caller's role tell.
    pub fn may_write(&self, operation: u32, granted: Access) -> bool {
        match self.operation(operation).map(|operation| operation.access) {
            Some(AccessManifest::Write | AccessManifest::Admin) => true,
            Some(AccessManifest::PerCall) => granted > Access::Read,
            Some(AccessManifest::Read) | None => false,
        }
    }

    /// Holds a call to the schemas that the driver declares, where it leaves that to the gateway.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    pub fn check_call(&self, call: &Call) -> Result<(), DriverError> {
        self.schemas.as_ref().map_or(Ok(()), |schemas| schemas.check_call(call))
    }

    /// Whether [`check_call`](Self::check_call) has anything to do.
    pub fn checks_calls(&self) -> bool {
        self.schemas.is_some()
    }

    /// Holds a connection's options, with the plugin's own under them, to the schema that the driver declares, where it
    /// leaves that to the gateway.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the option.
    pub fn check_options(&self, options: &Value) -> Result<(), DriverError> {
        self.schemas.as_ref().map_or(Ok(()), |schemas| schemas.check_options(options))
    }

    /// A connection's options over the plugin's own `settings`.
    pub fn effective_options(&self, options: Map<String, Value>) -> Map<String, Value> {
        let mut effective = own_options(&self.entry);
        effective.extend(options);
        effective
    }
}

/// The options that plugins.toml gives all connections of a driver.
fn own_options(entry: &PluginEntry) -> Map<String, Value> {
    match serde_json::to_value(&entry.settings) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

#[derive(Default)]
struct Snapshot {
    drivers: HashMap<String, Arc<Driver>>,
    /// By prefix, aliases too.
    entrances: HashMap<String, Entrance>,
    /// Entries of plugins.toml with the reason why each is not in service, if it should be.
    entries: Vec<(PluginEntry, Option<String>)>,
}

impl Snapshot {
    fn add(&mut self, driver: Arc<Driver>) {
        for (face, Face { alias, .. }) in driver.faces.iter().enumerate() {
            let prefix = alias.as_ref().map_or(&driver.manifest().database_type, |alias| &alias.prefix);
            self.entrances.insert(prefix.clone(), Entrance { driver: driver.clone(), face });
        }
        self.drivers.insert(driver.manifest().database_type.clone(), driver);
    }
}

/// The loaded drivers.
pub struct Catalog {
    file: PathBuf,
    on_error: OnPluginError,
    loader: Loader,
    snapshot: ArcSwap<Snapshot>,
    reloading: tokio::sync::Mutex<()>,
    watch: Arc<Watch>,
}

impl Catalog {
    /// Reads `plugins.toml` and loads what it enables.
    ///
    /// # Errors
    /// The file's, and, unless `on_error` says to skip, the first plugin's.
    pub async fn load(file: &Path, on_error: OnPluginError, loader: Loader) -> Result<Self, CatalogError> {
        let catalog = Self {
            file: file.to_owned(),
            on_error,
            loader,
            snapshot: ArcSwap::default(),
            reloading: tokio::sync::Mutex::new(()),
            watch: Watch::start(),
        };
        catalog.reload().await?;
        Ok(catalog)
    }

    /// Reads the file again and applies it. On an error nothing changes. An entry whose line and bytes are the same
    /// keeps its driver, and so its sessions.
    ///
    /// # Errors
    /// As for [`Catalog::load`].
    pub async fn reload(&self) -> Result<(), CatalogError> {
        let _one_at_a_time = self.reloading.lock().await;
        let entries = file::read(&self.file)?;
        let current = self.snapshot.load_full();
        let loads = entries.iter().map(|entry| self.load_entry(entry, &current));
        let mut next = Snapshot::default();
        let mut prefixes = Prefixes::of_types(&entries);
        for (entry, result) in entries.iter().zip(join_all(loads).await) {
            let claimed = result.and_then(|driver| {
                driver.iter().try_for_each(|driver| prefixes.claim(driver.manifest()))?;
                Ok(driver)
            });
            let reason = match claimed {
                Ok(None) => None,
                Ok(Some(driver)) => {
                    next.add(driver);
                    None
                }
                Err(reason) => {
                    let error = CatalogError::Plugin {
                        database_type: entry.database_type.clone(),
                        path: entry.path.clone(),
                        reason,
                    };
                    if self.on_error == OnPluginError::Fail {
                        return Err(error);
                    }
                    tracing::error!("{error}; going on without it");
                    match error {
                        CatalogError::Plugin { reason, .. } => Some(reason.to_string()),
                        CatalogError::File(_) => None,
                    }
                }
            };
            next.entries.push((entry.clone(), reason));
        }
        self.snapshot.store(Arc::new(next));
        Ok(())
    }

    async fn load_entry(
        &self,
        entry: &PluginEntry,
        current: &Snapshot,
    ) -> Result<Option<Arc<Driver>>, PluginError> {
        if !entry.enabled {
            return Ok(None);
        }
        if let Some(driver) = current.drivers.get(&entry.database_type)
            && driver.entry == *entry
            && super::load::sha256_of(&entry.path).is_ok_and(|sha256| sha256 == driver.sha256)
        {
            return Ok(Some(driver.clone()));
        }
        let loaded = self.loader.load(entry).await?;
        let driver = Driver::new(loaded, entry.clone(), &self.watch)?;
        tracing::info!(
            plugin = %entry.database_type,
            version = %driver.manifest().version,
            sha256 = %driver.sha256,
            "plugin loaded"
        );
        Ok(Some(Arc::new(driver)))
    }

    /// The driver in service for a database type.
    pub fn driver(&self, database_type: &str) -> Option<Arc<Driver>> {
        self.snapshot.load().drivers.get(database_type).cloned()
    }

    /// What a segment below `/api/platform/` leads to: a driver, by its type or an alias.
    pub fn entrance(&self, prefix: &str) -> Option<Entrance> {
        self.snapshot.load().entrances.get(prefix).cloned()
    }

    /// The types whose drivers serve projects' own databases, in the file's order.
    pub fn project_database_types(&self) -> Vec<String> {
        let snapshot = self.snapshot.load();
        let types = snapshot.entries.iter().map(|(entry, _)| &entry.database_type);
        types
            .filter(|name| {
                snapshot.drivers.get(*name).is_some_and(|driver| driver.manifest().project_database)
            })
            .cloned()
            .collect()
    }

    /// The types of all drivers in service.
    pub fn types(&self) -> Vec<String> {
        self.snapshot.load().drivers.keys().cloned().collect()
    }

    /// How many times drivers have a thread of the gateway for longer than a moment, by type; those that have none are not
    /// in it. Drivers count that were replaced meanwhile.
    pub fn blocking(&self) -> BTreeMap<String, usize> {
        self.watch.blocking()
    }

    /// All entries, in the file's order.
    pub fn status(&self) -> Vec<PluginStatus> {
        let snapshot = self.snapshot.load();
        let line = |(entry, error): &(PluginEntry, Option<String>)| {
            let driver = if entry.enabled { snapshot.drivers.get(&entry.database_type) } else { None };
            let manifest = driver.map(|driver| driver.manifest());
            PluginStatus {
                database_type: entry.database_type.clone(),
                kind: entry.kind,
                enabled: entry.enabled,
                loaded: driver.is_some(),
                name: manifest.map(|manifest| manifest.name.clone()),
                version: manifest.map(|manifest| manifest.version.clone()),
                api_version: manifest.map(|manifest| manifest.api_version.clone()),
                sha256: driver.map(|driver| driver.sha256.clone()),
                default_port: manifest.and_then(|manifest| manifest.default_port),
                aliases: manifest.map(|manifest| manifest.aliases.clone()).unwrap_or_default(),
                project_database: manifest.is_some_and(|manifest| manifest.project_database),
                options: manifest.map(|manifest| manifest.options.clone()),
                operations: manifest.map(|manifest| manifest.operations.clone()).unwrap_or_default(),
                error: error.clone(),
            }
        };
        snapshot.entries.iter().map(line).collect()
    }
}
