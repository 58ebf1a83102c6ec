//! The prefixes that lead to a driver: its type, and its aliases. Each has its own routes and its own form of answers.

use super::{
    PluginError,
    driver::Driver,
    file::PluginEntry,
    operation::Operation,
    routes::{Route, Routes},
};
use std::{collections::HashMap, fmt::Formatter, sync::Arc};
use studio_plugin_api::{alias::Alias, manifest::Manifest};

/// A segment below `/api/platform/` that leads to a driver.
pub struct Prefix {
    driver: Arc<Driver>,
    /// Absent for the driver's type.
    alias: Option<Alias>,
    routes: Routes<Arc<Operation>>,
}

impl std::fmt::Debug for Prefix {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Prefix({} -> {:?})", self.text(), self.driver)
    }
}

impl Prefix {
    /// Builds all prefixes of a driver, its type first.
    ///
    /// # Errors
    /// As for [`Routes::build`].
    pub(super) fn build_all(driver: &Arc<Driver>) -> Result<Vec<Arc<Self>>, String> {
        let aliases = driver.manifest().aliases.iter().map(Some);
        let build = |alias: Option<&Alias>| {
            let routes = build_routes(driver.operations(), alias)?;
            Ok(Arc::new(Self { driver: driver.clone(), alias: alias.cloned(), routes }))
        };
        std::iter::once(None).chain(aliases).map(build).collect()
    }

    /// Gives the segment.
    pub fn text(&self) -> &str {
        self.alias.as_ref().map_or(&self.driver.manifest().database_type, |alias| &alias.prefix)
    }

    /// Gives the driver.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// Gives the alias whose prefix it is; nothing for the driver's type.
    pub fn alias(&self) -> Option<&Alias> {
        self.alias.as_ref()
    }

    /// Tells whether requests under it may have parts that strict prefixes refuse, because the original service
    /// overlooks them.
    pub fn is_lenient(&self) -> bool {
        self.alias.as_ref().is_some_and(|alias| alias.lenient)
    }

    /// Finds the operation for a method and a path below the project, still percent-encoded.
    pub fn find(&self, method: &str, path: &str) -> Route<Arc<Operation>> {
        match (self.routes.find(method, path), path.strip_suffix('/')) {
            (Route::Unknown | Route::EmptyName { .. }, Some(path)) if self.is_lenient() => {
                self.routes.find(method, path)
            }
            (found, _) => found,
        }
    }
}

/// Builds the routes of the operations under an alias, or under the driver's type.
///
/// # Errors
/// As for [`Routes::build`].
pub(super) fn build_routes(
    operations: &[Arc<Operation>],
    alias: Option<&Alias>,
) -> Result<Routes<Arc<Operation>>, String> {
    let prefix = alias.map(|alias| alias.prefix.as_str());
    let under = operations.iter().filter(|operation| operation.alias.as_deref() == prefix);
    Routes::build(under.map(|operation| (operation.method, &*operation.path, operation.clone())))
}

/// Knows which type each prefix leads to, while drivers are put together.
pub(super) struct PrefixClaims(HashMap<String, String>);

impl PrefixClaims {
    /// Claims the types of all enabled entries first, so that types go before aliases in any order of plugins.toml.
    pub(super) fn of_types(entries: &[PluginEntry]) -> Self {
        let enabled = entries.iter().filter(|entry| entry.enabled).map(|entry| entry.database_type.clone());
        Self(enabled.map(|database_type| (database_type.clone(), database_type)).collect())
    }

    /// Takes a driver's aliases, all or none.
    ///
    /// # Errors
    /// An alias that leads to a driver already.
    pub(super) fn claim(&mut self, manifest: &Manifest) -> Result<(), PluginError> {
        for Alias { prefix, .. } in &manifest.aliases {
            if let Some(other) = self.0.get(prefix) {
                return Err(PluginError::PrefixTaken { prefix: prefix.clone(), other: other.clone() });
            }
        }
        let claimed = manifest.aliases.iter().map(|alias| alias.prefix.clone());
        self.0.extend(claimed.map(|prefix| (prefix, manifest.database_type.clone())));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(database_type: &str, aliases: &[&str]) -> Manifest {
        let aliases: Vec<_> = aliases.iter().map(|prefix| json!({"prefix": prefix})).collect();
        serde_json::from_value(json!({
            "api_version": "0.1.0", "type": database_type, "name": "Thing", "version": "1", "options": {},
            "aliases": aliases, "operations": [],
        }))
        .unwrap()
    }

    #[test]
    fn prefix_belongs_to_its_first_claimant_and_types_beat_aliases() {
        let entries: Vec<PluginEntry> = ["one", "two", "off"]
            .map(|name| {
                let enabled = name != "off";
                json!({"type": name, "kind": "dylib", "path": "x.so", "enabled": enabled})
            })
            .map(|entry| serde_json::from_value(entry).unwrap())
            .into();
        let mut prefixes = PrefixClaims::of_types(&entries);
        prefixes.claim(&manifest("one", &["old-one", "off"])).unwrap();
        for (taken, words) in [("one", "type `one`"), ("old-one", "type `one`"), ("two", "type `two`")] {
            let error = prefixes.claim(&manifest("two", &["fine", taken])).unwrap_err().to_string();
            assert!(error.contains(&format!("`{taken}`")) && error.contains(words), "{error}");
        }
        prefixes.claim(&manifest("two", &["fine"])).unwrap();
    }
}
