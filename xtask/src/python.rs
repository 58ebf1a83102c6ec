//! Drivers in Python, which show that a guest can be made from the contract's WIT in another language.

use crate::{
    process::{run_logged, show_end},
    pypi,
    workspace::Workspace,
};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command, time::Duration};

/// How long a guest may take to build.
const BUILD_TIME: Duration = Duration::from_secs(300);

/// Builds the guest in `tests/guests/python` by the program `componentize` and puts it at `component`. Its sources are
/// kept beside it, so that it is not built again while they stay the same.
pub fn build_guest(workspace: &Workspace, componentize: &Path, component: &Path) -> Result<()> {
    let source = workspace.root.join("tests/guests/python/app.py");
    let contract = workspace.root.join("plugin-api/wit/0.1.0");
    let folder = workspace.target_folder("python-guest")?;
    let (built, made_of) = (folder.join("pydb.wasm"), folder.join("pydb.made-of"));
    let mut ingredients = pypi::COMPONENTIZE.release.to_owned();
    for file in [&source, &contract.join("driver.wit")] {
        ingredients += &fs::read_to_string(file).with_context(|| file.display().to_string())?;
    }
    if !fs::read_to_string(&made_of).is_ok_and(|earlier| earlier == ingredients) {
        eprintln!("building the component pydb");
        // An unfinished build must not count as a whole one.
        let _ = fs::remove_file(&made_of);
        // A copy, since Python leaves compiled files beside the files that it reads.
        fs::copy(source, folder.join("app.py"))?;
        let mut command = Command::new(componentize);
        command.arg("--wit-path").arg(contract).args(["--world", "driver", "componentize", "app"]);
        command.arg("--python-path").arg(&folder).arg("--output").arg(&built);
        let log = workspace.target_folder("xtask")?.join("component-pydb.log");
        run_logged(&mut command, &log, BUILD_TIME).inspect_err(|_| show_end(&log))?;
        fs::write(&made_of, ingredients)?;
    }
    fs::copy(&built, component).with_context(|| format!("{} can't be made", component.display()))?;
    Ok(())
}
