//! `plugins.toml` of a test.

use crate::dist;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// The two forms of the Redis driver. Tests of their common behaviour run with each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisDriver {
    /// The native library.
    Library,
    /// The WebAssembly component, which knows no clusters and no Sentinels.
    Component,
}

/// One `[[plugin]]`.
#[derive(Debug, Clone)]
pub struct Plugin {
    database_type: String,
    kind: &'static str,
    path: PathBuf,
    lines: Vec<String>,
}

impl Plugin {
    /// Takes a driver of the test build, as a native library.
    pub fn new(database_type: &str) -> Self {
        Self::file(database_type, dist::driver(database_type))
    }

    /// Takes a driver of the test build, as a WebAssembly component.
    pub fn component(database_type: &str) -> Self {
        Self::component_file(database_type, dist::component(database_type))
    }

    /// Takes the Redis driver in one of its forms.
    pub fn redis(driver: RedisDriver) -> Self {
        match driver {
            RedisDriver::Library => Self::new("redis"),
            RedisDriver::Component => Self::component("redis"),
        }
    }

    /// Takes any file, as a native library.
    pub fn file(database_type: &str, path: impl Into<PathBuf>) -> Self {
        Self::of_kind("dylib", database_type, path.into())
    }

    /// Takes any file, as a WebAssembly component.
    pub fn component_file(database_type: &str, path: impl Into<PathBuf>) -> Self {
        Self::of_kind("wasm", database_type, path.into())
    }

    fn of_kind(kind: &'static str, database_type: &str, path: PathBuf) -> Self {
        Self { database_type: database_type.to_owned(), kind, path, lines: Vec::new() }
    }

    /// Adds `enabled = false`.
    pub fn disabled(self) -> Self {
        self.line("enabled = false")
    }

    /// Adds any other line.
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
    /// Makes a file with these entries.
    pub fn new(plugins: impl IntoIterator<Item = Plugin>) -> Self {
        Self { plugins: plugins.into_iter().collect() }
    }

    /// Writes it.
    pub fn write(&self, file: &Path) {
        let mut text = String::new();
        for plugin in &self.plugins {
            let Plugin { database_type, kind, path, lines } = plugin;
            let path = path.display();
            writeln!(text, "[[plugin]]\ntype = \"{database_type}\"\nkind = \"{kind}\"\npath = \"{path}\"")
                .unwrap();
            writeln!(text, "{}", lines.join("\n")).unwrap();
        }
        fs::write(file, text).unwrap();
    }
}

impl From<RedisDriver> for Plugins {
    /// Takes Redis and the probe.
    fn from(driver: RedisDriver) -> Self {
        Self::new([Plugin::redis(driver), Plugin::new("probe")])
    }
}
