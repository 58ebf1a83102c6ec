//! What is read of drivers and of paths to them, for fuzz targets.

use super::{
    caching::{PluginCache, plan_caching},
    faces::{build_faces, plan_manners},
    manifest,
    options::OptionRules,
    routes::{Route, Routes},
    schema,
};
use serde_json::Value;
use studio_plugin_api::manifest::Manifest;

pub use super::wasm::fuzzing::{read_guest_error, read_guest_facts, read_guest_settings};

/// Holds a manifest to the rules, and builds all that is built of it.
///
/// # Errors
/// The rule that it breaks, in words.
pub fn check_manifest(given: &Manifest) -> Result<(), String> {
    manifest::check_manifest(given).map_err(|error| error.to_string())?;
    manifest::check_version(&given.api_version).map_err(|error| error.to_string())?;
    build_faces(given)?;
    plan_manners(given);
    plan_caching(&given.operations, &PluginCache::default())?;
    OptionRules::of(&given.options)?;
    Ok(())
}

/// Holds a value to a schema: `None` where that takes too long, and else whether it fits.
///
/// # Errors
/// How many parts of the schema are none.
pub fn check_value(schema: &Value, value: &Value, bytes: usize) -> Result<Option<bool>, usize> {
    schema::fuzzing::check_value(schema, value, bytes)
}

/// A driver's paths.
pub struct Paths(Routes);

impl Paths {
    /// Under its type, or an alias.
    ///
    /// # Errors
    /// Paths that can't be told apart, in words.
    pub fn new(given: &Manifest, alias: Option<&str>) -> Result<Self, String> {
        Routes::build(&given.operations, alias).map(Self)
    }

    /// Where a path leads that is still percent-encoded.
    pub fn find(&self, method: &str, path: &str) -> Route {
        self.0.find(method, path)
    }
}
