//! `plugin …`.

use super::{CommandError, arguments::PluginCommand};
use crate::{
    config::{OnPluginError, Settings},
    gateway::driver_loader,
    plugins::{
        Inspection, Look, PluginError, REFUSED,
        catalog::Catalog,
        compile_in_this_process,
        file::{self, PluginEntry},
        inspect_in_this_process,
    },
};
use std::{io::Write, path::Path, process::ExitCode};

pub(super) async fn run(settings: &Settings, command: PluginCommand) -> Result<(), CommandError> {
    // There is no cache, so that `inspect` measures how long the file takes to compile.
    let loader = driver_loader(settings, std::env::current_exe().ok(), None);
    match command {
        PluginCommand::List => {
            let catalog = Catalog::load(&settings.plugins.file, OnPluginError::Skip, loader).await?;
            println!("{}", serde_json::to_string_pretty(&catalog.status())?);
        }
        PluginCommand::Inspect { file } => {
            let inspection =
                loader.inspect(&file).await.map_err(|error| format!("{}: {error}", file.display()))?;
            println!("{}", serde_json::to_string_pretty(&inspection)?);
        }
        PluginCommand::Verify { file } => {
            let refused = |error: PluginError| format!("{}: {error}", file.display());
            let found = loader.inspect(&file).await.map_err(refused)?;
            if !found.faults.is_empty() {
                let (file, faults) = (file.display(), found.faults.join("\n  "));
                return Err(format!(
                    "{file}: it loads, but its manifest says what can't be meant:\n  {faults}"
                )
                .into());
            }
            let listed = find_entry(&settings.plugins.file, &file)?;
            let line = match &listed {
                None => "not in plugins.toml",
                Some(entry) if entry.sha256.is_some() => "as pinned in plugins.toml",
                Some(_) => "in plugins.toml without a sha256",
            };
            if let Some(entry) = &listed {
                loader.verify(entry).await.map_err(refused)?;
            }
            let Inspection { kind, sha256, api_version, manifest, .. } = found;
            println!(
                "{}: {} {}, kind {kind}, API {api_version}, sha256 {sha256}: loads, {line}",
                file.display(),
                manifest.database_type,
                manifest.version
            );
        }
        PluginCommand::Trial { .. } | PluginCommand::Examine { .. } | PluginCommand::Compile { .. } => {}
    }
    Ok(())
}

/// Finds the entry of `plugins.toml` that names this file. Without such a list there is no entry.
fn find_entry(list: &Path, driver: &Path) -> Result<Option<PluginEntry>, CommandError> {
    if !list.exists() {
        return Ok(None);
    }
    let wanted = driver.canonicalize()?;
    let entries = file::read(list)?;
    Ok(entries.into_iter().find(|entry| entry.path.canonicalize().is_ok_and(|path| path == wanted)))
}

/// Loads the file here and prints its description, for the gateway that started this process.
pub(super) fn try_out(file: &Path, look: Look) -> ExitCode {
    match inspect_in_this_process(file, look).map(|inspection| serde_json::to_string(&inspection)) {
        Ok(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => refuse(&error),
        Err(error) => refuse(&error),
    }
}

/// Compiles the component here and writes the code, for the gateway that started this process.
pub(super) fn compile(file: &Path) -> ExitCode {
    let compiled = compile_in_this_process(file);
    match compiled {
        Ok(code) => match std::io::stdout().write_all(&code) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error),
        },
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(REFUSED)
}
