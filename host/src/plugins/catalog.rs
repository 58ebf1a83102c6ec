//! The loaded drivers by database type, replaced as a whole when `plugins.toml` is read again.

use super::driver::Driver;
pub use super::status::PluginStatus;
use super::{
    error::PluginError,
    file::{self, PluginEntry, PluginsFileError},
    load::Loader,
    prefixes::{Prefix, PrefixClaims},
    watch::Watch,
};
use crate::config::OnPluginError;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why the catalog could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// `plugins.toml` is unusable.
    #[error(transparent)]
    File(#[from] PluginsFileError),
    /// One plugin is unusable, and the settings say to fail then.
    #[error("plugin `{database_type}` ({path}): {reason}", path = path.display())]
    Plugin {
        /// The type in plugins.toml.
        database_type: String,
        /// The file.
        path: PathBuf,
        /// The fault. It is not a `source`: its text is in this one's.
        reason: PluginError,
    },
}

/// A driver, and the prefixes that lead to it.
type Reachable = (Arc<Driver>, Vec<Arc<Prefix>>);

#[derive(Default)]
struct Snapshot {
    drivers: HashMap<String, Arc<Driver>>,
    /// The prefixes of types and aliases alike.
    prefixes: HashMap<String, Arc<Prefix>>,
    /// Entries of plugins.toml, each with the reason why it is not in service although enabled.
    entries: Vec<(PluginEntry, Option<String>)>,
}

impl Snapshot {
    fn add(&mut self, (driver, prefixes): Reachable) {
        self.prefixes.extend(prefixes.into_iter().map(|prefix| (prefix.text().to_owned(), prefix)));
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
    /// Reads `plugins.toml` and loads the drivers that it enables.
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
        let mut claims = PrefixClaims::of_types(&entries);
        for (entry, result) in entries.iter().zip(join_all(loads).await) {
            let claimed = result.and_then(|reachable| {
                reachable.iter().try_for_each(|(driver, _)| claims.claim(driver.manifest()))?;
                Ok(reachable)
            });
            let reason = match claimed {
                Ok(None) => None,
                Ok(Some(reachable)) => {
                    next.add(reachable);
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
    ) -> Result<Option<Reachable>, PluginError> {
        if !entry.enabled {
            return Ok(None);
        }
        if let Some(driver) = current.drivers.get(&entry.database_type)
            && driver.entry() == entry
            && super::load::sha256_of(&entry.path).is_ok_and(|sha256| sha256 == driver.sha256())
        {
            let prefixes = current.prefixes.values().filter(|prefix| Arc::ptr_eq(prefix.driver(), driver));
            return Ok(Some((driver.clone(), prefixes.cloned().collect())));
        }
        let loaded = self.loader.load(entry).await?;
        let driver = Arc::new(Driver::new(loaded, entry.clone(), &self.watch)?);
        let prefixes = Prefix::build_all(&driver).map_err(PluginError::Manifest)?;
        tracing::info!(
            plugin = %entry.database_type,
            version = %driver.manifest().version,
            sha256 = %driver.sha256(),
            "plugin loaded"
        );
        Ok(Some((driver, prefixes)))
    }

    /// Gives the driver in service for a database type.
    pub fn driver(&self, database_type: &str) -> Option<Arc<Driver>> {
        self.snapshot.load().drivers.get(database_type).cloned()
    }

    /// Finds the prefix that a segment below `/api/platform/` names: a driver's type or an alias.
    pub fn prefix(&self, segment: &str) -> Option<Arc<Prefix>> {
        self.snapshot.load().prefixes.get(segment).cloned()
    }

    /// Lists the types whose drivers serve projects' own databases, in the file's order.
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

    /// Lists the types of all drivers in service.
    pub fn types(&self) -> Vec<String> {
        self.snapshot.load().drivers.keys().cloned().collect()
    }

    /// Counts the threads of the gateway that drivers have kept for more than a second, by type; types that have none
    /// are not in it. Drivers that were replaced meanwhile count too.
    pub fn blocking(&self) -> BTreeMap<String, usize> {
        self.watch.blocking()
    }

    /// Lists the status of all entries, in the file's order.
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
                sha256: driver.map(|driver| driver.sha256().to_owned()),
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
