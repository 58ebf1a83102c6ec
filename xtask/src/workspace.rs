//! What cargo knows of the workspace: where it is, where it builds to, which drivers it has.

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

/// A crate that builds to a driver file.
pub struct Driver {
    /// The package: `studio-driver-redis`.
    pub package: String,
    /// The database type: `redis`.
    pub database_type: String,
    /// Whether it is shipped; the others are for tests.
    pub shipped: bool,
}

impl Workspace {
    /// Asks cargo.
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

/// The cargo that runs this.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value.get(field).and_then(Value::as_str).with_context(|| format!("cargo metadata has no `{field}`"))
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}
