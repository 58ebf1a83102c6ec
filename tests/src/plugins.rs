//! `plugins.toml` of a test.

use crate::dist;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// One `[[plugin]]`.
#[derive(Debug, Clone)]
pub struct Plugin {
    database_type: String,
    path: PathBuf,
    lines: Vec<String>,
}

impl Plugin {
    /// A driver of the test build.
    pub fn new(database_type: &str) -> Self {
        Self::file(database_type, dist::driver(database_type))
    }

    /// Any file.
    pub fn file(database_type: &str, path: impl Into<PathBuf>) -> Self {
        Self { database_type: database_type.to_owned(), path: path.into(), lines: Vec::new() }
    }

    /// `enabled = false`.
    pub fn disabled(self) -> Self {
        self.line("enabled = false")
    }

    /// Any other line.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// The file.
#[derive(Debug, Clone)]
pub struct Plugins {
    plugins: Vec<Plugin>,
}

impl Plugins {
    /// With these entries.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Self {
        Self { plugins: plugins.into_iter().collect() }
    }

    /// Writes it.
    pub fn write(&self, file: &Path) {
        let mut text = String::new();
        for plugin in &self.plugins {
            let (database_type, path) = (&plugin.database_type, plugin.path.display());
            writeln!(text, "[[plugin]]\ntype = \"{database_type}\"\nkind = \"dylib\"\npath = \"{path}\"")
                .unwrap();
            writeln!(text, "{}", plugin.lines.join("\n")).unwrap();
        }
        fs::write(file, text).unwrap();
    }
}

impl Default for Plugins {
    /// Redis and the probe.
    fn default() -> Self {
        Self::new([Plugin::new("redis"), Plugin::new("probe")])
    }
}
