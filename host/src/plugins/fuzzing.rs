//! Reads manifests and paths as the host does, for fuzz targets.

use super::{
    caching::PluginCache,
    file::PluginLimits,
    manifest,
    operation::Operation,
    options::OptionRules,
    prefixes::build_routes,
    routes::{Route, Routes},
    schema,
};
use serde_json::Value;
use studio_plugin_api::manifest::{CheckedBy, Manifest};

pub use super::wasm::fuzzing::{read_guest_error, read_guest_facts, read_guest_settings};

/// Holds a manifest to the rules, and builds everything that the host builds of it.
///
/// # Errors
/// The rule that it breaks, in words.
pub fn check_manifest(given: &Manifest) -> Result<(), String> {
    manifest::check_manifest(given).map_err(|error| error.to_string())?;
    manifest::check_version(&given.api_version).map_err(|error| error.to_string())?;
    let (limits, cache) = (PluginLimits::default(), PluginCache::default());
    let operations = Operation::build_all(given, &limits, &cache, CheckedBy::Driver);
    let operations = operations.map_err(|error| error.to_string())?;
    for alias in std::iter::once(None).chain(given.aliases.iter().map(Some)) {
        build_routes(&operations, alias)?;
    }
    OptionRules::of(&given.options)?;
    Ok(())
}

/// Holds a value to a schema: `None` where that takes too long, and else whether it fits.
///
/// # Errors
/// The number of parts that are no schemas.
pub fn check_value(schema: &Value, value: &Value, bytes: usize) -> Result<Option<bool>, usize> {
    schema::fuzzing::check_value(schema, value, bytes)
}

/// A driver's paths.
pub struct Paths(Routes<u32>);

impl Paths {
    /// Builds the driver's paths under its type, or under an alias.
    ///
    /// # Errors
    /// Paths that can't be told apart, in words.
    pub fn new(given: &Manifest, alias: Option<&str>) -> Result<Self, String> {
        let numbered = (0..).zip(&given.operations);
        let under = numbered.filter(|(_, operation)| operation.alias.as_deref() == alias);
        Routes::build(under.map(|(number, operation)| (operation.method, &*operation.path, number))).map(Self)
    }

    /// Finds the operation that a path leads to. The path is still percent-encoded.
    pub fn find(&self, method: &str, path: &str) -> Route<u32> {
        self.0.find(method, path)
    }
}
