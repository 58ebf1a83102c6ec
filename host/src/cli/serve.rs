//! `serve`, `check`, `migrate`, `rekey`.

use super::{CommandError, manage::change};
use crate::{
    config::{OnPluginError, Settings},
    gateway::{StartError, check_keys, driver_loader, open_keyring},
    plugins::catalog::Catalog,
    registry,
    serve::run,
};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Rows that `rekey` reads at a time.
const REKEY_BATCH: u32 = 200;

pub(super) async fn serve(settings: Settings) -> Result<(), CommandError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop: finishing what runs");
    };
    Ok(run(settings, std::env::current_exe().ok(), stop).await?)
}

pub(super) async fn check(settings: &Settings) -> Result<(), CommandError> {
    let mut problems = Vec::new();
    if let Err(error) = settings.check() {
        problems.push(error.to_string());
    }
    let keyring = open_keyring(settings).map_err(|error| problems.push(error.to_string())).ok().map(Arc::new);
    if let Err(error) = check_registry(settings, keyring.as_deref(), &mut problems).await {
        problems.push(error.to_string());
    }
    let loader = driver_loader(settings, std::env::current_exe().ok(), keyring);
    match Catalog::load(&settings.plugins.file, OnPluginError::Skip, loader).await {
        Ok(catalog) => {
            for plugin in catalog.status() {
                match plugin.error {
                    Some(error) => problems.push(format!("plugin `{}`: {error}", plugin.database_type)),
                    None if plugin.loaded => {
                        println!("plugin {}: {} operations", plugin.database_type, plugin.operations.len());
                    }
                    None => println!("plugin {}: disabled", plugin.database_type),
                }
            }
        }
        Err(error) => problems.push(error.to_string()),
    }
    if problems.is_empty() {
        println!("all is well");
        return Ok(());
    }
    Err(problems.join("\n  ").into())
}

/// Prints facts about the registry, and collects its problems. Only reads.
async fn check_registry(
    settings: &Settings,
    keyring: Option<&crate::secrets::Keyring>,
    problems: &mut Vec<String>,
) -> Result<(), StartError> {
    let registry = registry::open(&settings.registry.url, &settings.quotas).await?;
    let survey = registry.survey().await?;
    for fact in &survey.facts {
        println!("registry: {fact}");
    }
    problems.extend(survey.problems.iter().map(|problem| problem.text.clone()));
    if survey.refuse().is_err() {
        return Ok(());
    }
    match registry.pending_migrations().await? {
        0 => {
            if let Some(keyring) = keyring {
                check_keys(&*registry, keyring).await?;
            }
            println!("registry: up to date");
        }
        pending => println!("registry: {pending} migrations to apply; `migrate` or `serve` does it"),
    }
    Ok(())
}

pub(super) async fn migrate(settings: &Settings) -> Result<(), CommandError> {
    let registry = registry::open(&settings.registry.url, &settings.quotas).await?;
    let applied = registry.migrate().await?;
    println!("{applied} migrations applied");
    Ok(())
}

pub(super) async fn rekey(settings: &Settings) -> Result<(), CommandError> {
    let keyring = open_keyring(settings)?;
    let registry = registry::open(&settings.registry.url, &settings.quotas).await?;
    // The record is written before the first of many changes, which are made one by one.
    registry.append_audit(&[change("secrets.rekey", None, Some(keyring.current_key_id()))]).await?;
    let mut total = 0;
    loop {
        let done = registry.reseal(&keyring, REKEY_BATCH).await?;
        total += done.resealed;
        if done.resealed == 0 {
            println!("{total} values sealed anew under the key {}", keyring.current_key_id());
            return match done.unreadable.as_slice() {
                [] => Ok(()),
                unreadable => Err(format!("these values do not open:\n  {}", unreadable.join("\n  ")).into()),
            };
        }
    }
}
