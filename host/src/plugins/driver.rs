//! A driver in service: the loaded driver, and its entry in `plugins.toml`.

use super::{
    DriverInstance, containment::Containment, error::PluginError, file::PluginEntry, kind::PluginKind,
    load::Loaded, operation::Operation, options::OptionRules, schema::OptionsSchema, watch::Watch,
};
use serde_json::{Map, Value};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use studio_plugin_api::{
    DriverError,
    manifest::{CheckedBy, Manifest},
};
use tokio::sync::Semaphore;

/// A driver in service.
pub struct Driver {
    instance: Arc<dyn DriverInstance>,
    entry: PluginEntry,
    sha256: String,
    operations: Vec<Arc<Operation>>,
    containment: Arc<Containment>,
    load_number: u64,
    option_rules: OptionRules,
    /// The schema that connections' options are held to here; absent where the driver checks them itself.
    options_schema: Option<OptionsSchema>,
    session_cap: Option<Arc<Semaphore>>,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Driver({} #{})", self.manifest().database_type, self.load_number)
    }
}

impl Driver {
    /// Puts a loaded driver together with its entry in plugins.toml.
    ///
    /// # Errors
    /// Settings that do not fit the driver, or a part of its manifest that is unusable.
    pub(super) fn new(loaded: Loaded, entry: PluginEntry, watch: &Arc<Watch>) -> Result<Self, PluginError> {
        static NEXT_LOAD_NUMBER: AtomicU64 = AtomicU64::new(1);
        let manifest = loaded.instance.manifest();
        let checked_by = manifest.checked_by.unwrap_or(match entry.kind {
            PluginKind::Wasm => CheckedBy::Host,
            PluginKind::Dylib => CheckedBy::Driver,
        });
        let option_rules = OptionRules::of(&manifest.options).map_err(PluginError::Manifest)?;
        let options_schema = match checked_by {
            CheckedBy::Host => Some(OptionsSchema::compile(manifest).map_err(PluginError::Manifest)?),
            CheckedBy::Driver => None,
        };
        let operations = Operation::build_all(manifest, &entry.limits, &entry.cache, checked_by)?;
        if let Some(schema) = options_schema.as_ref().filter(|_| !entry.settings.is_empty()) {
            schema.check_settings(own_options(&entry)).map_err(PluginError::Settings)?;
        }
        Ok(Self {
            operations,
            option_rules,
            options_schema,
            containment: Containment::new(
                watch.clone(),
                &manifest.database_type,
                loaded.instance.is_preempted(),
            ),
            session_cap: entry.limits.max_sessions.map(|most| Arc::new(Semaphore::new(most.max(1) as usize))),
            load_number: NEXT_LOAD_NUMBER.fetch_add(1, Ordering::Relaxed),
            instance: loaded.instance,
            sha256: loaded.sha256,
            entry,
        })
    }

    /// Gives the driver's description of itself.
    pub fn manifest(&self) -> &Manifest {
        self.instance.manifest()
    }
    /// Gives the running driver.
    pub fn instance(&self) -> &Arc<dyn DriverInstance> {
        &self.instance
    }
    /// Lists its operations, by their numbers.
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }
    /// Gives the containment in which its calls run.
    pub fn containment(&self) -> &Arc<Containment> {
        &self.containment
    }
    /// Gives its entry in plugins.toml.
    pub fn entry(&self) -> &PluginEntry {
        &self.entry
    }
    /// Gives the SHA-256 of the bytes that were loaded.
    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }
    /// Gives the number of this load. Each load of a driver has another: sessions of an older one are not used again.
    pub fn load_number(&self) -> u64 {
        self.load_number
    }
    /// Tells which of a connection's options are secret, and which say to whom secrets are sent.
    pub fn option_rules(&self) -> &OptionRules {
        &self.option_rules
    }
    /// Gives one permit for each session that it may have open, when plugins.toml says how many.
    pub fn session_cap(&self) -> Option<&Arc<Semaphore>> {
        self.session_cap.as_ref()
    }

    /// Holds a connection's options, with the plugin's own under them, to the schema that the driver declares, where it
    /// leaves that to the gateway.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the option.
    pub fn check_options(&self, options: &Value) -> Result<(), DriverError> {
        self.options_schema.as_ref().map_or(Ok(()), |schema| schema.check(options))
    }

    /// Puts a connection's options over the plugin's own `settings`.
    pub fn effective_options(&self, options: Map<String, Value>) -> Map<String, Value> {
        let mut effective = own_options(&self.entry);
        effective.extend(options);
        effective
    }
}

/// Reads the options that plugins.toml gives all connections of a driver.
fn own_options(entry: &PluginEntry) -> Map<String, Value> {
    match serde_json::to_value(&entry.settings) {
        Ok(Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}
