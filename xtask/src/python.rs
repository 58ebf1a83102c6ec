//! Drivers in Python, which show that a guest can be made of the contract's WIT in another language.

use crate::{
    process::{output_of, run_logged, show_end},
    workspace::Workspace,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The release of `componentize-py` that the tests use.
const RELEASE: &str = "0.25.1";

/// How long the tools may take to install; on a closed network pip would try for longer.
const INSTALL_TIME: Duration = Duration::from_secs(180);
/// How long a guest may take to build.
const BUILD_TIME: Duration = Duration::from_secs(300);

/// Fails on a Python that is too old, or that can't make virtual environments.
const IS_FIT: &str = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 10))";

/// Makes a virtual environment with `componentize-py`, unless there is one. Gives its folder of programs.
pub fn prepare(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("python");
    let programs = folder.join("bin");
    if installed_release(&programs).as_deref() == Some(RELEASE) {
        return Ok(programs);
    }
    let logs = workspace.target_folder("xtask")?;
    let fit = Command::new("python3").args(["-c", IS_FIT]).output();
    if !fit.is_ok_and(|output| output.status.success()) {
        bail!("there is no `python3` of 3.10 or later with venv and pip");
    }
    eprintln!("installing componentize-py {RELEASE} into {}", folder.display());
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    run_logged(&mut create, &logs.join("python-venv.log"), INSTALL_TIME)
        .context("a virtual environment can't be made")?;
    let mut install = Command::new(programs.join("pip"));
    install.args(["install", "--only-binary", ":all:", "--retries", "1"]);
    install.arg(format!("componentize-py=={RELEASE}"));
    run_logged(&mut install, &logs.join("python-pip.log"), INSTALL_TIME)
        .context("componentize-py can't be installed")?;
    Ok(programs)
}

fn installed_release(programs: &Path) -> Option<String> {
    let program = programs.join("componentize-py");
    let output = output_of(Command::new(program.is_file().then_some(program)?).arg("--version")).ok()?;
    Some(output.split_whitespace().next_back()?.to_owned())
}

/// Builds the guest in `tests/guests/python` and puts it at `component`. What it is made of is kept beside it, so that
/// it is not built again while that stays the same.
pub fn build_guest(workspace: &Workspace, programs: &Path, component: &Path) -> Result<()> {
    let source = workspace.root.join("tests/guests/python/app.py");
    let contract = workspace.root.join("plugin-api/wit/0.1.0");
    let folder = workspace.target_folder("python-guest")?;
    let (built, made_of) = (folder.join("pydb.wasm"), folder.join("pydb.made-of"));
    let mut ingredients = RELEASE.to_owned();
    for file in [&source, &contract.join("driver.wit")] {
        ingredients += &fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    if !fs::read_to_string(&made_of).is_ok_and(|earlier| earlier == ingredients) {
        eprintln!("building the component pydb");
        // Half a build is none.
        let _ = fs::remove_file(&made_of);
        // A copy, since Python leaves compiled files beside what it reads.
        fs::copy(source, folder.join("app.py"))?;
        let mut command = Command::new(programs.join("componentize-py"));
        command.arg("--wit-path").arg(contract).args(["--world", "driver", "componentize", "app"]);
        command.arg("--python-path").arg(&folder).arg("--output").arg(&built);
        let log = workspace.target_folder("xtask")?.join("component-pydb.log");
        run_logged(&mut command, &log, BUILD_TIME).inspect_err(|_| show_end(&log))?;
        fs::write(&made_of, ingredients)?;
    }
    fs::copy(&built, component).with_context(|| format!("{} can't be made", component.display()))?;
    Ok(())
}
