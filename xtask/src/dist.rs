//! Building, and assembling the folder that an operator copies: the gateway, `plugins.toml` and the drivers.

use crate::{
    components,
    process::run,
    setup,
    workspace::{Driver, Kind, Workspace, cargo},
};
use anyhow::{Context, Result};
use std::{
    env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX},
    fmt, fs,
    path::{Path, PathBuf},
};

/// The cargo package and program of the gateway.
const GATEWAY: &str = "studio-gateway";

/// How things are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build.
    Debug,
    /// Quick to run.
    Release,
}

impl Profile {
    /// Returns the name of the folder below `target/`.
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.folder())
    }
}

/// The contents of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// The files that operators get.
    Shipped,
    /// Those, and the drivers that only tests use.
    WithTestDrivers,
}

impl Contents {
    /// Lists the drivers among the contents.
    pub fn drivers(self, workspace: &Workspace) -> impl Iterator<Item = &Driver> {
        workspace.drivers.iter().filter(move |driver| driver.shipped || self == Self::WithTestDrivers)
    }
}

/// Builds every driver, in each of its kinds.
pub fn build_drivers(workspace: &Workspace, profile: Profile) -> Result<()> {
    let contents = Contents::WithTestDrivers;
    build(workspace, profile, &native_packages(workspace, contents))?;
    components::build(workspace, contents.drivers(workspace))
}

/// Builds the files that operators get and makes `target/dist` of them.
pub fn build_and_assemble(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    let mut packages = native_packages(workspace, Contents::Shipped);
    packages.push(GATEWAY);
    build(workspace, profile, &packages)?;
    components::build(workspace, Contents::Shipped.drivers(workspace))?;
    assemble(workspace, profile, Contents::Shipped, "dist")
}

/// Lists the crates of the drivers that are native libraries.
fn native_packages(workspace: &Workspace, contents: Contents) -> Vec<&str> {
    let drivers = contents.drivers(workspace).filter(|driver| driver.is(Kind::Dylib));
    drivers.map(|driver| driver.package.as_str()).collect()
}

fn build(workspace: &Workspace, profile: Profile, packages: &[&str]) -> Result<()> {
    setup::prepare(workspace)?;
    let mut command = cargo();
    command.current_dir(&workspace.root).arg("build");
    if profile == Profile::Release {
        command.arg("--release");
    }
    for package in packages {
        command.args(["--package", package]);
    }
    run(&mut command)
}

/// Copies the built files into a folder below `target/`. All native files in it are of one profile: those that another
/// build left there are removed, and a file in use (a mapped driver, a running gateway) is replaced, not overwritten.
pub fn assemble(workspace: &Workspace, profile: Profile, contents: Contents, name: &str) -> Result<PathBuf> {
    let built = workspace.target.join(profile.folder());
    let folder = workspace.target_folder(name)?;
    let drivers = workspace.target_folder(&format!("{name}/drivers"))?;

    let mut files = vec![];
    for driver in contents.drivers(workspace) {
        if driver.is(Kind::Dylib) {
            let file = drivers.join(format!("{}.so", driver.database_type));
            let library = format!("{DLL_PREFIX}{}{DLL_SUFFIX}", driver.library());
            replace(&built.join(library), &file)?;
            files.push(file);
        }
        if driver.is(Kind::Wasm) {
            let file = drivers.join(format!("{}.wasm", driver.database_type));
            replace(&components::file(workspace, driver), &file)?;
            files.push(file);
        }
    }
    for entry in fs::read_dir(&drivers)? {
        let file = entry?.path();
        if !files.contains(&file) {
            fs::remove_file(&file).with_context(|| format!("{} can't be removed", file.display()))?;
        }
    }
    replace(&workspace.root.join("plugins.toml"), &folder.join("plugins.toml"))?;
    let program = format!("{GATEWAY}{EXE_SUFFIX}");
    replace(&built.join(&program), &folder.join(&program))?;
    Ok(folder)
}

/// Puts a copy of `from` at `to` in one step: a process that has the old file open keeps it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let copy = to.with_extension("new");
    fs::copy(from, &copy).with_context(|| format!("{} can't be copied", from.display()))?;
    fs::rename(&copy, to).with_context(|| format!("{} can't be replaced", to.display()))
}
