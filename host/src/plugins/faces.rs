//! The prefixes that lead to a driver: its type, and its aliases. Each has routes and a shape of answers of its own.

use super::{
    PluginError,
    catalog::Driver,
    file::PluginEntry,
    routes::{Route, Routes},
};
use http::HeaderValue;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use studio_plugin_api::{
    alias::{Alias, Envelope},
    manifest::{Manifest, OperationManifest},
};

/// What a payload is sent as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrapping {
    /// JSON in the gateway's envelope.
    Data,
    /// As it is; of this type.
    Bare(HeaderValue),
}

impl Wrapping {
    /// Whether every payload but that of `NoContent` is a JSON text.
    pub fn is_json(&self) -> bool {
        match self {
            Self::Data => true,
            Self::Bare(media_type) => *media_type == JSON,
        }
    }
}

/// The type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One prefix.
pub(super) struct Face {
    /// Nothing for the driver's type.
    pub(super) alias: Option<Alias>,
    pub(super) routes: Routes,
}

/// A driver, by one of its prefixes.
#[derive(Clone)]
pub struct Entrance {
    pub(super) driver: Arc<Driver>,
    /// Index into the driver's faces.
    pub(super) face: usize,
}

impl Entrance {
    /// The driver.
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// The alias whose prefix it is; nothing for the driver's type.
    pub fn alias(&self) -> Option<&Alias> {
        self.driver.faces().get(self.face).and_then(|face| face.alias.as_ref())
    }

    /// Whether what strict prefixes refuse is overlooked under it, where the original service overlooks it.
    pub fn is_lenient(&self) -> bool {
        self.alias().is_some_and(|alias| alias.lenient)
    }

    /// Finds the operation for a method and a path below the project, still percent-encoded.
    pub fn find(&self, method: &str, path: &str) -> Route {
        let Some(face) = self.driver.faces().get(self.face) else { return Route::Unknown };
        match (face.routes.find(method, path), path.strip_suffix('/')) {
            (Route::Unknown | Route::EmptyName { .. }, Some(path)) if self.is_lenient() => {
                face.routes.find(method, path)
            }
            (found, _) => found,
        }
    }
}

/// All prefixes of a driver, its type first.
///
/// # Errors
/// As for [`Routes::build`].
pub(super) fn build_faces(manifest: &Manifest) -> Result<Vec<Face>, String> {
    let aliases = manifest.aliases.iter().map(Some);
    std::iter::once(None)
        .chain(aliases)
        .map(|alias| {
            let prefix = alias.map(|alias| alias.prefix.as_str());
            Ok(Face { alias: alias.cloned(), routes: Routes::build(&manifest.operations, prefix)? })
        })
        .collect()
}

/// What an operation's prefix makes of its answers and its callers' requests.
pub(super) struct Manners {
    /// What its payloads are sent as.
    pub(super) wrapping: Wrapping,
    /// The query parameters that it takes, where others are overlooked.
    declared: Option<HashSet<String>>,
}

impl Manners {
    fn of(operation: &OperationManifest, alias: Option<&Alias>) -> Self {
        let media_type = operation.media_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
        let wrapping = match alias.map(|alias| alias.envelope) {
            Some(Envelope::Bare) => Wrapping::Bare(media_type.unwrap_or(JSON)),
            Some(Envelope::Data) | None => Wrapping::Data,
        };
        let properties = operation.query.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let declared = alias
            .filter(|alias| alias.lenient)
            .map(|_| properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect());
        Self { wrapping, declared }
    }

    /// Whether a query parameter of this name is overlooked.
    pub(super) fn overlook(&self, parameter: &str) -> bool {
        self.declared.as_ref().is_some_and(|declared| !declared.contains(parameter))
    }
}

/// The manners of all operations, in their order.
pub(super) fn plan_manners(manifest: &Manifest) -> Vec<Manners> {
    let alias = |operation: &OperationManifest| {
        let prefix = operation.alias.as_ref()?;
        manifest.aliases.iter().find(|alias| alias.prefix == *prefix)
    };
    manifest.operations.iter().map(|operation| Manners::of(operation, alias(operation))).collect()
}

/// Which type each prefix leads to, while drivers are put together.
pub(super) struct Prefixes(HashMap<String, String>);

impl Prefixes {
    /// Types go before aliases, whatever the order of their lines in plugins.toml.
    pub(super) fn of_types(entries: &[PluginEntry]) -> Self {
        let enabled = entries.iter().filter(|entry| entry.enabled).map(|entry| entry.database_type.clone());
        Self(enabled.map(|database_type| (database_type.clone(), database_type)).collect())
    }

    /// Takes a driver's aliases, all or none.
    ///
    /// # Errors
    /// One that leads elsewhere already.
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
    fn prefix_belongs_to_who_claims_it_first_and_types_go_before_aliases() {
        let entries: Vec<PluginEntry> = ["one", "two", "off"]
            .map(|name| {
                let enabled = name != "off";
                json!({"type": name, "kind": "dylib", "path": "x.so", "enabled": enabled})
            })
            .map(|entry| serde_json::from_value(entry).unwrap())
            .into();
        let mut prefixes = Prefixes::of_types(&entries);
        prefixes.claim(&manifest("one", &["old-one", "off"])).unwrap();
        for (taken, words) in [("one", "type `one`"), ("old-one", "type `one`"), ("two", "type `two`")] {
            let error = prefixes.claim(&manifest("two", &["fine", taken])).unwrap_err().to_string();
            assert!(error.contains(&format!("`{taken}`")) && error.contains(words), "{error}");
        }
        prefixes.claim(&manifest("two", &["fine"])).unwrap();
    }
}
