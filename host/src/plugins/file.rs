//! `plugins.toml` says which drivers the gateway loads, from where, and what they may use.

use super::{
    caching::PluginCache,
    kind::PluginKind,
    wasm::{MOST_MEMORY, MOST_TABLE_ELEMENTS, SandboxLimits},
};
use crate::config::Period;
use secrecy::zeroize::Zeroize;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};
use studio_plugin_api::manifest::OperationManifest;

/// Why `plugins.toml` could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PluginsFileError {
    /// It could not be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is not TOML of the right form; the message has line and column.
    #[error("{path}: {message}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The fault, with its line and column.
        message: String,
    },
    /// Two entries claim one database type.
    #[error("{path}: two plugins of type `{database_type}`; keep one, or disable one with `enabled = false`", path = path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The type.
        database_type: String,
    },
}

/// One `[[plugin]]` of the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginEntry {
    /// The database type it must serve; the driver's own manifest must agree.
    #[serde(rename = "type")]
    pub database_type: String,
    /// How it is shipped.
    pub kind: PluginKind,
    /// The file, relative to `plugins.toml`. Without an extension, the kind's own: `.so` or `.wasm`.
    pub path: PathBuf,
    /// Whether it is loaded. Default: true.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// The file's SHA-256 in hex. A file with another is refused.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Option values that every connection of this driver starts from; a connection's own options go over them.
    #[serde(default)]
    pub settings: toml::Table,
    /// The limits on the driver.
    #[serde(default)]
    pub limits: PluginLimits,
    /// Which of its replies are kept, and for how long.
    #[serde(default)]
    pub cache: PluginCache,
}

/// Bounds on one driver.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginLimits {
    /// Seconds that one of its operations may take; never more than the gateway's own `request_timeout`.
    #[serde(default)]
    pub operation_timeout: Option<u32>,
    /// The same for single operations, by their paths, instead of `operation_timeout`.
    #[serde(default)]
    pub operation_timeouts: BTreeMap<String, Period>,
    /// Sessions of this driver open at once, over all connections. Default: only the gateway's caps.
    #[serde(default)]
    pub max_sessions: Option<u32>,
    /// Sessions that one connection may have, where a session takes one call at a time. Default 10.
    #[serde(default)]
    pub sessions: Option<NonZeroU32>,
    /// Calls under way at once on one connection, where a session takes many. Default: the gateway's own
    /// `sessions.max_calls`.
    #[serde(default)]
    pub calls: Option<NonZeroU32>,
    /// Callers that may wait for one connection; callers beyond them are refused. Default: the gateway's own
    /// `sessions.max_waiting`.
    #[serde(default)]
    pub waiting: Option<NonZeroU32>,
    /// MiB of memory that one instance of a sandboxed driver may use, 1 to 1024. Default: 64.
    #[serde(default)]
    pub memory: Option<u32>,
    /// Elements of its tables, which hold its functions' addresses, 1 to 100,000. Default: 20,000.
    #[serde(default)]
    pub table_elements: Option<u32>,
}

impl PluginLimits {
    /// Gives the limits of an instance of a sandboxed driver.
    pub(super) fn sandbox(&self) -> SandboxLimits {
        let default = SandboxLimits::default();
        SandboxLimits {
            memory: self.memory.unwrap_or(default.memory),
            table_elements: self.table_elements.unwrap_or(default.table_elements),
        }
    }

    /// Checks that the limits mean something for this kind of driver, and are within bounds.
    fn check(&self, kind: PluginKind) -> Result<(), String> {
        let bounds = [
            ("memory", self.memory, MOST_MEMORY),
            ("table_elements", self.table_elements, MOST_TABLE_ELEMENTS),
        ];
        for (name, value, most) in bounds {
            let Some(value) = value else { continue };
            if kind != PluginKind::Wasm {
                return Err(format!(
                    "`limits.{name}` is for plugins of kind \"wasm\": a dylib can't be held to it"
                ));
            }
            if !(1..=most).contains(&value) {
                return Err(format!("`limits.{name}` must be from 1 to {most}"));
            }
        }
        Ok(())
    }

    /// Checks that limits of single operations name operations that the driver has, and give them time.
    ///
    /// # Errors
    /// The fault, in words.
    pub(super) fn check_operations(&self, operations: &[OperationManifest]) -> Result<(), String> {
        for (path, time) in &self.operation_timeouts {
            if !operations.iter().any(|operation| operation.path == *path) {
                return Err(format!(
                    "`operation_timeouts` names `{path}`, which is none of the driver's paths"
                ));
            }
            if time.is_zero() {
                return Err(format!("`operation_timeouts` of `{path}` is zero: it must be longer"));
            }
        }
        Ok(())
    }

    /// Finds the time that the operation at a path may take, if the limits set one.
    pub(super) fn operation_time(&self, path: &str) -> Option<Duration> {
        let own = self.operation_timeouts.get(path).map(|time| **time);
        own.or_else(|| self.operation_timeout.map(|seconds| Duration::from_secs(seconds.into())))
    }

    /// Gives the number of sessions that one connection of an exclusive driver may have.
    pub fn sessions(&self) -> usize {
        self.sessions.map_or(10, |sessions| sessions.get() as usize)
    }
}

fn enabled() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    plugin: Vec<PluginEntry>,
}

/// Reads the file; the entries' paths come out absolute or relative to the working directory.
///
/// # Errors
/// Each names the file and the fault in it.
pub fn read(path: &Path) -> Result<Vec<PluginEntry>, PluginsFileError> {
    let mut text = std::fs::read_to_string(path)
        .map_err(|source| PluginsFileError::Unreadable { path: path.to_owned(), source })?;
    let file = toml::from_str::<File>(&text)
        .map_err(|error| PluginsFileError::Malformed { path: path.to_owned(), message: error.to_string() });
    // `settings` may hold a secret option.
    text.zeroize();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut types = HashSet::new();
    let mut entries = file?.plugin;
    for entry in &mut entries {
        entry.path = folder.join(&entry.path);
        if entry.path.extension().is_none() {
            entry.path.set_extension(entry.kind.extension());
        }
        entry.limits.check(entry.kind).map_err(|message| PluginsFileError::Malformed {
            path: path.to_owned(),
            message: format!("plugin `{}`: {message}", entry.database_type),
        })?;
        if entry.enabled && !types.insert(entry.database_type.clone()) {
            return Err(PluginsFileError::Duplicate {
                path: path.to_owned(),
                database_type: entry.database_type.clone(),
            });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<PluginEntry>, PluginsFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.toml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let entries =
            read_text("[[plugin]]\ntype = 'a'\nkind = 'dylib'\npath = 'drivers/a.so'\nsettings = { x = 1 }")
                .unwrap();
        assert!(entries[0].path.is_absolute() && entries[0].path.ends_with("drivers/a.so"));
        assert!(entries[0].enabled);
    }

    #[test]
    fn path_without_an_extension_gets_that_of_its_kind() {
        for (kind, path, file) in [
            ("dylib", "drivers/a", "drivers/a.so"),
            ("wasm", "drivers/a", "drivers/a.wasm"),
            ("wasm", "drivers/a.component", "drivers/a.component"),
        ] {
            let text = format!("[[plugin]]\ntype = 'a'\nkind = '{kind}'\npath = '{path}'");
            assert!(read_text(&text).unwrap()[0].path.ends_with(file));
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let error =
            read_text("[[plugin]]\ntype = 'a'\nkind = 'dylib'\npath = 'a.so'\nenabeld = false").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("enabeld") && text.contains("line 5"), "{text}");
    }

    #[test]
    fn limits_of_the_sandbox_are_for_components_and_have_bounds() {
        let entry = |kind, limits| {
            read_text(&format!(
                "[[plugin]]\ntype = 'a'\nkind = '{kind}'\npath = 'a'\nlimits = {{ {limits} }}"
            ))
        };
        assert_eq!(entry("wasm", "memory = 32").unwrap()[0].limits.sandbox().memory, 32);
        assert!(entry("dylib", "memory = 32").unwrap_err().to_string().contains("limits.memory"));
        assert!(entry("wasm", "memory = 2000").unwrap_err().to_string().contains("1 to 1024"));
        assert!(
            entry("wasm", "table_elements = 0").unwrap_err().to_string().contains("limits.table_elements")
        );
    }

    #[test]
    fn zero_sessions_calls_or_waiting_callers_are_refused_by_name() {
        for field in ["sessions", "calls", "waiting"] {
            let limits = format!("limits = {{ {field} = 0 }}");
            let error =
                read_text(&format!("[[plugin]]\ntype = 'a'\nkind = 'dylib'\npath = 'a.so'\n{limits}"));
            let text = error.unwrap_err().to_string();
            assert!(text.contains(field) && text.contains("nonzero") && text.contains("line 5"), "{text}");
        }
    }

    #[test]
    fn duplicate_type_is_refused_unless_one_plugin_is_disabled() {
        let entry = "[[plugin]]\ntype = 'a'\nkind = 'dylib'\npath = 'a.so'\n";
        assert!(matches!(read_text(&entry.repeat(2)), Err(PluginsFileError::Duplicate { .. })));
        assert_eq!(read_text(&format!("{entry}{entry}enabled = false\n")).unwrap().len(), 2);
    }
}
