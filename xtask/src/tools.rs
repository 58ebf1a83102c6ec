//! Programs that the tasks use and that may have to be installed first.

use crate::workspace::Workspace;
use anyhow::{Result, bail};
use std::{
    fs::OpenOptions,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
};
use studio_test_servers::{debian_folders, is_root};

/// Where Debian puts servers that are not on every user's PATH.
const SERVERS_FOLDER: &str = "/usr/sbin";

/// A program and the Debian package that it comes in.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    program: &'static str,
    package: &'static str,
}

/// The Redis server.
pub const REDIS: Tool = Tool { program: "redis-server", package: "redis-server" };
/// The memcached server.
pub const MEMCACHED: Tool = Tool { program: "memcached", package: "memcached" };
/// PostgreSQL: `initdb` stands for all of the server's programs.
pub const POSTGRES: Tool = Tool { program: "initdb", package: "postgresql" };
/// A pool of connections before PostgreSQL.
pub const PGBOUNCER: Tool = Tool { program: "pgbouncer", package: "pgbouncer" };
/// A browser.
pub const CHROMIUM: Tool = Tool { program: "chromium", package: "chromium" };
/// The program that controls the browser.
pub const CHROMEDRIVER: Tool = Tool { program: "chromedriver", package: "chromium-driver" };
/// The program that runs JavaScript.
pub const NODE: Tool = Tool { program: "node", package: "nodejs" };
/// The program that installs npm packages.
pub const NPM: Tool = Tool { program: "npm", package: "npm" };
/// An HTTP load generator.
pub const WRK: Tool = Tool { program: "wrk", package: "wrk" };
/// An HTTP front of Redis, to compare with.
pub const WEBDIS: Tool = Tool { program: "webdis", package: "webdis" };
/// The linker that Debian's Rust uses for WebAssembly.
pub const RUST_LLD: Tool = Tool { program: "rust-lld", package: "lld-22" };

/// The compiler of libFuzzer.
pub const CPP: Tool = Tool { program: "c++", package: "g++" };

impl Tool {
    /// Finds its path.
    pub fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        folders.push(SERVERS_FOLDER.into());
        folders.extend(debian_folders());
        folders.into_iter().map(|folder| folder.join(self.program)).find(|file| file.is_file())
    }

    /// Installs it if need be, and returns its path.
    pub fn ensure(self, workspace: &Workspace) -> Result<PathBuf> {
        if let Some(found) = self.find() {
            return Ok(found);
        }
        let installed = install(workspace, &[self.package]);
        match (installed, self.find()) {
            (Ok(()), Some(found)) => Ok(found),
            (Ok(()), None) => bail!("the package `{}` has no `{}`", self.package, self.program),
            (Err(reason), _) => {
                bail!(
                    "`{}` is missing: install the Debian package `{}` ({reason})",
                    self.program,
                    self.package
                )
            }
        }
    }
}

/// Installs Debian packages.
pub fn install(workspace: &Workspace, packages: &[&str]) -> Result<()> {
    static LISTS_ARE_NEW: Mutex<bool> = Mutex::new(false);
    let Ok(mut lists_are_new) = LISTS_ARE_NEW.lock() else { bail!("an earlier installation failed") };
    let log = workspace.target_folder("xtask")?.join("setup.log");
    let apt = |arguments: &[&str]| -> Result<bool> {
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new("apt-get");
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(command.status()?.success())
    };
    if !is_root()? {
        bail!("only root can do it here");
    }
    if Command::new("apt-get").arg("--version").stdout(Stdio::null()).status().is_err() {
        bail!("there is no apt-get to do it here");
    }
    eprintln!("installing {}", packages.join(" "));
    if !*lists_are_new {
        // Lists that are a little old may do as well, so a failure is left to the installation.
        *lists_are_new = apt(&["update"])?;
    }
    if !apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())? {
        bail!("apt-get failed, see {}", log.display());
    }
    Ok(())
}
