//! Which replies of a driver are kept, and which of them its writes make stale: what its manifest declares, under what
//! `plugins.toml` says.

use super::manifest::LONGEST_CACHE;
use crate::config::Period;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use studio_plugin_api::manifest::OperationManifest;

/// `cache` of a `[[plugin]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginCache {
    /// Whether any reply of the driver is kept. Default: true.
    pub enabled: bool,
    /// How long replies of an operation count, by its path, instead of what the driver declares. Zero: not at all.
    pub times: BTreeMap<String, Period>,
}

impl Default for PluginCache {
    fn default() -> Self {
        Self { enabled: true, times: BTreeMap::new() }
    }
}

/// What is kept of an operation's replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// None: the driver does not declare them cacheable.
    Never,
    /// None: `plugins.toml` does not want what the driver would allow.
    SwitchedOff,
    /// Each one, for so long.
    For(Duration),
}

/// An operation, as the cache sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationCaching {
    /// Its path template.
    pub path: Arc<str>,
    /// What becomes of its replies.
    pub keeping: Keeping,
    /// Paths whose kept replies its calls make stale.
    pub invalidates: Vec<Arc<str>>,
}

/// Settles it for all operations of a driver, in their order.
///
/// # Errors
/// What is wrong with `settings`, in words.
pub(super) fn plan_caching(
    operations: &[OperationManifest],
    settings: &PluginCache,
) -> Result<Vec<OperationCaching>, String> {
    for (path, time) in &settings.times {
        if !operations.iter().any(|operation| operation.path == *path && operation.cache_seconds.is_some()) {
            let cacheable = operations.iter().filter(|operation| operation.cache_seconds.is_some());
            let paths: Vec<_> = cacheable.map(|operation| format!("`{}`", operation.path)).collect();
            return Err(match paths.is_empty() {
                true => format!("`times` names `{path}`, and the driver declares no operation cacheable"),
                false => format!("`times` names `{path}`; cacheable are {}", paths.join(", ")),
            });
        }
        if **time > Duration::from_secs(LONGEST_CACHE) {
            return Err(format!("`times` of `{path}` must be {LONGEST_CACHE} seconds or less"));
        }
    }
    let keeping = |operation: &OperationManifest| {
        let Some(declared) = operation.cache_seconds else { return Keeping::Never };
        let set = settings.times.get(&operation.path).map(|time| **time);
        match set.unwrap_or(Duration::from_secs(declared)) {
            time if time.is_zero() || !settings.enabled => Keeping::SwitchedOff,
            time => Keeping::For(time),
        }
    };
    let plan = |operation: &OperationManifest| OperationCaching {
        path: operation.path.as_str().into(),
        keeping: keeping(operation),
        invalidates: operation.invalidates.iter().map(|path| path.as_str().into()).collect(),
    };
    Ok(operations.iter().map(plan).collect())
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

    fn plan(settings: &str) -> Result<Vec<OperationCaching>, String> {
        plan_caching(&operations(), &toml::from_str(settings).unwrap())
    }

    fn keeping(settings: &str) -> Vec<Keeping> {
        plan(settings).unwrap().iter().map(|operation| operation.keeping).collect()
    }

    #[test]
    fn what_the_driver_declares_holds_unless_the_settings_say_otherwise() {
        use Keeping::{For, Never, SwitchedOff};
        let seconds = |seconds| For(Duration::from_secs(seconds));
        assert_eq!(keeping(""), [seconds(30), seconds(600), Never, Never]);
        assert_eq!(
            keeping("times = { '/info' = 5, '/lists' = '250ms' }"),
            [seconds(5), For(Duration::from_millis(250)), Never, Never]
        );
        assert_eq!(keeping("times = { '/info' = 0 }"), [SwitchedOff, seconds(600), Never, Never]);
        assert_eq!(keeping("enabled = false"), [SwitchedOff, SwitchedOff, Never, Never]);
        assert_eq!(plan("").unwrap()[3].invalidates, ["/info".into(), "/lists".into()]);
    }

    #[test]
    fn settings_for_what_is_not_cacheable_are_refused_by_name() {
        for (settings, words) in [
            ("times = { '/keys/{key}' = 5 }", "`/keys/{key}`; cacheable are `/info`, `/lists`"),
            ("times = { '/inof' = 5 }", "`/inof`"),
            ("times = { '/info' = '25h' }", "86400 seconds or less"),
        ] {
            let Ok(settings) = toml::from_str(settings) else { panic!("{settings}") };
            let error = plan_caching(&operations(), &settings).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = plan_caching(&operations()[2..], &toml::from_str("times = { '/x' = 1 }").unwrap());
        assert!(error.unwrap_err().contains("declares no operation cacheable"));
        assert!(toml::from_str::<PluginCache>("enabeld = true").is_err());
    }
}
