//! `plugins.toml` of a test.

use crate::dist;
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// Says as what the Redis driver is tested: `dylib`, the default, or `wasm`. `cargo xtask test` does both.
pub const REDIS_KIND: &str = "STUDIO_TEST_REDIS_KIND";

/// Whether this test run is for the Redis driver as a component, which knows no clusters and no Sentinels.
pub fn redis_is_sandboxed() -> bool {
    match std::env::var(REDIS_KIND).as_deref() {
        Ok("wasm") => true,
        Ok("dylib") | Err(_) => false,
        Ok(other) => panic!("{REDIS_KIND} is {other}, not `dylib` or `wasm`"),
    }
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
    /// A driver of the test build, as a native library.
    pub fn new(database_type: &str) -> Self {
        Self::file(database_type, dist::driver(database_type))
    }

    /// A driver of the test build, as a WebAssembly component.
    pub fn component(database_type: &str) -> Self {
        Self::component_file(database_type, dist::component(database_type))
    }

    /// The Redis driver of the kind that this test run is for.
    pub fn redis() -> Self {
        if redis_is_sandboxed() { Self::component("redis") } else { Self::new("redis") }
    }

    /// Any file, as a native library.
    pub fn file(database_type: &str, path: impl Into<PathBuf>) -> Self {
        Self::of_kind("dylib", database_type, path.into())
    }

    /// Any file, as a WebAssembly component.
    pub fn component_file(database_type: &str, path: impl Into<PathBuf>) -> Self {
        Self::of_kind("wasm", database_type, path.into())
    }

    fn of_kind(kind: &'static str, database_type: &str, path: PathBuf) -> Self {
        Self { database_type: database_type.to_owned(), kind, path, lines: Vec::new() }
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
            let Plugin { database_type, kind, path, lines } = plugin;
            let path = path.display();
            writeln!(text, "[[plugin]]\ntype = \"{database_type}\"\nkind = \"{kind}\"\npath = \"{path}\"")
                .unwrap();
            writeln!(text, "{}", lines.join("\n")).unwrap();
        }
        fs::write(file, text).unwrap();
    }
}

impl Default for Plugins {
    /// Redis and the probe.
    fn default() -> Self {
        Self::new([Plugin::redis(), Plugin::new("probe")])
    }
}
