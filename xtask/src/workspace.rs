//! The workspace as cargo describes it: its folder, its build folder, its drivers.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The workspace.
pub struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo builds to.
    pub target: PathBuf,
    /// Every driver crate.
    pub drivers: Vec<Driver>,
    /// Every criterion benchmark: its package and its name.
    pub benches: Vec<(String, String)>,
}

/// The kinds of file that a driver's crate is built as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A native library.
    Dylib,
    /// A WebAssembly component.
    Wasm,
}

/// A crate that builds to one driver file or two.
pub struct Driver {
    /// The package: `studio-driver-redis`.
    pub package: String,
    /// The database type: `redis`.
    pub database_type: String,
    /// Whether it is shipped; the others are for tests.
    pub shipped: bool,
    /// The `kinds` of `[package.metadata.driver]` in its `Cargo.toml`: a native library unless it says otherwise.
    pub kinds: Vec<Kind>,
}

impl Driver {
    /// Tells whether it is built as this.
    pub fn is(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Returns the name that cargo gives to the files that it builds.
    pub fn library(&self) -> String {
        self.package.replace('-', "_")
    }
}

impl Workspace {
    /// Asks cargo for the workspace.
    pub fn find() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("cargo can't be run")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let root = PathBuf::from(text(&metadata, "workspace_root")?);
        let plugins = root.join("plugins");
        let (mut drivers, mut benches) = (Vec::new(), Vec::new());
        for package in list(&metadata, "packages") {
            let name = text(package, "name")?;
            if let Some(database_type) = name.strip_prefix("studio-driver-") {
                drivers.push(Driver {
                    package: name.to_owned(),
                    database_type: database_type.to_owned(),
                    shipped: Path::new(text(package, "manifest_path")?).starts_with(&plugins),
                    kinds: read_kinds(package).with_context(|| format!("the driver crate `{name}`"))?,
                });
            }
            for target in list(package, "targets") {
                if list(target, "kind").any(|kind| kind == "bench") {
                    benches.push((name.to_owned(), text(target, "name")?.to_owned()));
                }
            }
        }
        Ok(Self { target: text(&metadata, "target_directory")?.into(), root, drivers, benches })
    }

    /// Creates a folder below `target/` if need be.
    pub fn target_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
        Ok(folder)
    }
}

/// Reads the kinds in `[package.metadata.driver]`.
fn read_kinds(package: &Value) -> Result<Vec<Kind>> {
    let settings = match package.pointer("/metadata/driver") {
        None => return Ok(vec![Kind::Dylib]),
        Some(settings) => settings.as_object().context("`package.metadata.driver` is not a table")?,
    };
    if let Some(unknown) = settings.keys().find(|key| *key != "kinds") {
        bail!("`package.metadata.driver` has no `{unknown}`, only `kinds`");
    }
    let words = settings.get("kinds").and_then(Value::as_array).context("`kinds` is not a list")?;
    let kinds = words.iter().map(|word| match word.as_str() {
        Some("dylib") => Ok(Kind::Dylib),
        Some("wasm") => Ok(Kind::Wasm),
        _ => bail!("`kinds` has {word}, which is neither \"dylib\" nor \"wasm\""),
    });
    let kinds: Vec<Kind> = kinds.collect::<Result<_>>()?;
    if kinds.is_empty() {
        bail!("`kinds` is empty");
    }
    Ok(kinds)
}

/// Makes a command of the cargo that runs this.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo describes this program's own package to it. Some build scripts (`ring`) run again where that is set, and then
    // whatever depends on them is built again, each time that a task follows a build by hand.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value.get(field).and_then(Value::as_str).with_context(|| format!("cargo metadata has no `{field}`"))
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}
