//! The Rust that builds drivers for WebAssembly: this one, where it has the target, or the one that Debian packages.

use crate::{
    process::{output_of, run_logged},
    tools,
    workspace::{Workspace, cargo},
};
use anyhow::{Context, Result, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The target. Code built for it asks nothing of WASI, whichever toolchain a machine has.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's Rust, which leaves this target's standard library to be built from its source.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "cargo-web"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// The oldest Rust that builds the workspace.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// How long rustup may take; on a closed network it would try for much longer.
const RUSTUP_TIME: Duration = Duration::from_secs(30);

/// Variables that cargo and rustup set for the programs that they run begin with these, and so do those by which people
/// change builds. A guest is built the same whatever they say.
const UNWANTED_VARIABLES: [&str; 3] = ["CARGO", "RUSTC", "RUSTFLAGS"];
/// Variables that a guest's build keeps, since they say where crates come from.
const WANTED_VARIABLES: [&str; 5] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];

/// A Rust that can build for [`TARGET`].
#[derive(Debug)]
pub enum Toolchain {
    /// The one that runs this, with the target installed.
    Installed,
    /// Debian's, with the folder of a linker for it.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Finds one, or else installs one.
    pub fn ensure(workspace: &Workspace) -> Result<Self> {
        if has_target()? {
            return Ok(Self::Installed);
        }
        if !has_debian() {
            let no_target = match add_target(workspace) {
                Ok(()) => return Ok(Self::Installed),
                Err(error) => error,
            };
            let packages = DEBIAN_PACKAGES.join(", ");
            if let Err(no_packages) = tools::install(workspace, &DEBIAN_PACKAGES) {
                bail!(
                    "drivers can't be built as WebAssembly components here: run `rustup target add {TARGET}` \
                     (tried: {no_target}), or install the Debian packages {packages} (tried: {no_packages})"
                );
            }
            if !has_debian() {
                bail!("the Debian packages {packages} do not have Rust {OLDEST_RUST}");
            }
        }
        Ok(Self::Debian { linker: find_linker(workspace)? })
    }

    /// Makes a cargo command that builds optimized for [`TARGET`].
    pub fn cargo(&self, subcommand: &str) -> Result<Command> {
        let mut command = match self {
            Self::Installed => cargo(),
            Self::Debian { .. } => Command::new(DEBIAN_CARGO),
        };
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let begins_as = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
            if begins_as(&UNWANTED_VARIABLES) && !begins_as(&WANTED_VARIABLES) {
                command.env_remove(&name);
            }
        }
        command.args([subcommand, "--release", "--target", TARGET]);
        if let Self::Debian { linker } = self {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = [linker.clone()].into_iter().chain(std::env::split_paths(&path));
            command.arg("-Zbuild-std=std,panic_abort");
            command.env("PATH", std::env::join_paths(folders)?);
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTUP_TOOLCHAIN");
        }
        Ok(command)
    }
}

/// Tells whether the Rust that runs this has the target's standard library.
fn has_target() -> Result<bool> {
    Ok(target_folder(&["--target", TARGET])?.is_dir())
}

fn target_folder(arguments: &[&str]) -> Result<PathBuf> {
    output_of(Command::new("rustc").args(["--print", "target-libdir"]).args(arguments)).map(PathBuf::from)
}

/// Tells whether Debian's Rust is there, with its source, and is new enough.
fn has_debian() -> bool {
    let version = || -> Option<(u32, u32)> {
        let output = output_of(Command::new(DEBIAN_RUSTC).arg("--version")).ok()?;
        read_version(output.split_whitespace().nth(1)?)
    };
    [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE].iter().all(|file| Path::new(file).is_file())
        && version() >= read_version(OLDEST_RUST)
}

fn read_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn add_target(workspace: &Workspace) -> Result<()> {
    let log = workspace.target_folder("xtask")?.join("rustup.log");
    run_logged(Command::new("rustup").args(["target", "add", TARGET]), &log, RUSTUP_TIME)
}

/// Finds the folder with a `rust-lld`: rustup's toolchains have one each.
fn find_linker(workspace: &Workspace) -> Result<PathBuf> {
    let own = target_folder(&[])?.with_file_name("bin");
    if own.join("rust-lld").is_file() {
        return Ok(own);
    }
    let program = tools::RUST_LLD.ensure(workspace)?;
    Ok(program.parent().context("the linker has no folder")?.to_owned())
}
