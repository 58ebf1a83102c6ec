//! The real postgres-meta, to compare the PostgreSQL driver with: `target/npm/postgres-meta`.

use crate::{process::run_logged, tools, workspace::Workspace};
use anyhow::{Context, Result};
use std::{fs, path::PathBuf, process::Command, time::Duration};

/// How long an installation may take; on a closed network npm would try for longer.
const INSTALL_TIME: Duration = Duration::from_secs(300);

/// The files that fix the release of it and of all that it needs; in `xtask/postgres-meta`.
const MADE_OF: [&str; 2] = ["package.json", "package-lock.json"];
/// Its program, below the folder.
const PROGRAM: &str = "node_modules/@supabase/postgres-meta/dist/server/server.js";

/// Installs it if need be, and returns the path of its program, for `node`.
pub fn install_postgres_meta(workspace: &Workspace) -> Result<PathBuf> {
    tools::NODE.ensure(workspace)?;
    let npm = tools::NPM.ensure(workspace)?;
    let folder = workspace.target_folder("npm/postgres-meta")?;
    let program = folder.join(PROGRAM);
    let mark = folder.join("made-of");
    let sources = MADE_OF.map(|name| workspace.root.join("xtask/postgres-meta").join(name));
    let mut ingredients = String::new();
    for source in &sources {
        ingredients += &fs::read_to_string(source).with_context(|| source.display().to_string())?;
    }
    if program.is_file() && fs::read_to_string(&mark).is_ok_and(|earlier| earlier == ingredients) {
        return Ok(program);
    }
    eprintln!("installing postgres-meta into {}", folder.display());
    // An unfinished installation must not count as a whole one.
    let _ = fs::remove_file(&mark);
    for (source, name) in sources.iter().zip(MADE_OF) {
        fs::copy(source, folder.join(name))?;
    }
    let mut command = Command::new(npm);
    command.args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]);
    let log = workspace.target_folder("xtask")?.join("npm-postgres-meta.log");
    run_logged(command.current_dir(&folder), &log, INSTALL_TIME)
        .context("postgres-meta can't be installed from npm")?;
    fs::write(&mark, ingredients)?;
    Ok(program)
}
