//! `plugin …`.

use super::{CommandError, arguments::PluginCommand};
use crate::{
    addresses::AddressPolicy,
    app::driver_loader,
    config::{OnPluginError, Settings},
    plugins::{TRIAL_REFUSED, catalog::Catalog, inspect_in_this_process},
};
use std::{path::Path, process::ExitCode};

pub(super) async fn run(settings: &Settings, command: PluginCommand) -> Result<(), CommandError> {
    let addresses = AddressPolicy { allow_private: settings.addresses.allow_private };
    let loader = driver_loader(addresses, std::env::current_exe().ok());
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
        PluginCommand::Trial { .. } => {}
    }
    Ok(())
}

/// Loads the file here and prints what it is, for the gateway that started this process.
pub(super) fn try_out(file: &Path) -> ExitCode {
    match inspect_in_this_process(file).map(|inspection| serde_json::to_string(&inspection)) {
        Ok(Ok(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => refuse(&error),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(TRIAL_REFUSED)
}
