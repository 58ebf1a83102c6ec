//! Tells which replies of a driver are kept, and for how long: as its manifest declares, unless `plugins.toml` says
//! otherwise.

use crate::config::Period;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};
use studio_plugin_api::manifest::OperationManifest;

/// The most seconds that a reply may be served again: a day.
pub(super) const LONGEST_CACHE: u64 = 86_400;

/// `cache` of a `[[plugin]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginCache {
    /// Whether any reply of the driver is kept. Default: true.
    pub enabled: bool,
    /// How long replies of an operation count, by its path, instead of the time that the driver declares. Zero: not at
    /// all.
    pub times: BTreeMap<String, Period>,
}

impl Default for PluginCache {
    fn default() -> Self {
        Self { enabled: true, times: BTreeMap::new() }
    }
}

/// Whether the replies of a cacheable operation are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// No reply is kept, because `plugins.toml` says so.
    SwitchedOff,
    /// Each reply is kept for this long.
    For(Duration),
}

impl PluginCache {
    /// Checks that `times` names only operations that are cacheable, and no time that is too long.
    ///
    /// # Errors
    /// The fault, in words.
    pub(super) fn check_operations(&self, operations: &[OperationManifest]) -> Result<(), String> {
        let cacheable = || operations.iter().filter(|operation| operation.cache_seconds.is_some());
        for (path, time) in &self.times {
            if !cacheable().any(|operation| operation.path == *path) {
                let paths: Vec<_> = cacheable().map(|operation| format!("`{}`", operation.path)).collect();
                return Err(match paths.is_empty() {
                    true => format!("`times` names `{path}`, and the driver declares no operation cacheable"),
                    false => format!("`times` names `{path}`; cacheable are {}", paths.join(", ")),
                });
            }
            if **time > Duration::from_secs(LONGEST_CACHE) {
                return Err(format!("`times` of `{path}` must be {LONGEST_CACHE} seconds or less"));
            }
        }
        Ok(())
    }

    /// Tells how long an operation's replies are kept; `None` where the driver does not declare them cacheable.
    pub(super) fn caching(&self, operation: &OperationManifest) -> Option<Caching> {
        let declared = Duration::from_secs(operation.cache_seconds?);
        let time = self.times.get(&operation.path).map_or(declared, |time| **time);
        Some(match time.is_zero() || !self.enabled {
            true => Caching::SwitchedOff,
            false => Caching::For(time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn operations() -> Vec<OperationManifest> {
        serde_json::from_value(json!([
            {"method": "GET", "path": "/info", "access": "read", "cache_seconds": 30},
            {"method": "GET", "path": "/lists", "access": "read", "cache_seconds": 600},
            {"method": "GET", "path": "/keys/{key}", "access": "read"},
            {"method": "PUT", "path": "/keys/{key}", "access": "write",
             "invalidates": ["/info", "/lists"]},
        ]))
        .unwrap()
    }

    fn caching(settings: &str) -> Vec<Option<Caching>> {
        let settings: PluginCache = toml::from_str(settings).unwrap();
        settings.check_operations(&operations()).unwrap();
        operations().iter().map(|operation| settings.caching(operation)).collect()
    }

    #[test]
    fn drivers_declaration_holds_unless_the_settings_override_it() {
        use Caching::{For, SwitchedOff};
        let seconds = |seconds| Some(For(Duration::from_secs(seconds)));
        assert_eq!(caching(""), [seconds(30), seconds(600), None, None]);
        assert_eq!(
            caching("times = { '/info' = 5, '/lists' = '250ms' }"),
            [seconds(5), Some(For(Duration::from_millis(250))), None, None]
        );
        assert_eq!(caching("times = { '/info' = 0 }"), [Some(SwitchedOff), seconds(600), None, None]);
        assert_eq!(caching("enabled = false"), [Some(SwitchedOff), Some(SwitchedOff), None, None]);
    }

    #[test]
    fn settings_for_what_is_not_cacheable_are_refused_by_name() {
        for (settings, words) in [
            ("times = { '/keys/{key}' = 5 }", "`/keys/{key}`; cacheable are `/info`, `/lists`"),
            ("times = { '/inof' = 5 }", "`/inof`"),
            ("times = { '/info' = '25h' }", "86400 seconds or less"),
        ] {
            let Ok(settings) = toml::from_str::<PluginCache>(settings) else { panic!("{settings}") };
            let error = settings.check_operations(&operations()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let settings: PluginCache = toml::from_str("times = { '/x' = 1 }").unwrap();
        let error = settings.check_operations(&operations()[2..]).unwrap_err();
        assert!(error.contains("declares no operation cacheable"));
        assert!(toml::from_str::<PluginCache>("enabeld = true").is_err());
    }
}
