//! Running the gateway's own program for what a stranger's file might do to the process that does it: crash, or not come
//! to an end.

use super::error::PluginError;
use std::{io::Write, path::Path, process::Stdio, time::Duration};
use tempfile::NamedTempFile;
use tokio::process::Command;

/// The exit code by which such a process says that its standard error holds the reason.
pub const REFUSED: u8 = 3;

/// What such a process does: `studio-gateway plugin <word> FILE`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    pub(super) word: &'static str,
    /// What it is doing, for people.
    pub(super) doing: &'static str,
    pub(super) time: Duration,
}

/// Runs it to its end, and gives back what it wrote to standard output.
pub(super) async fn run_apart(program: &Path, task: Task, file: &Path) -> Result<Vec<u8>, PluginError> {
    let running = Command::new(program)
        .args(["plugin", task.word])
        .arg(file)
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(task.time, running)
        .await
        .map_err(|_| PluginError::Hung { doing: task.doing, seconds: task.time.as_secs() })?
        .map_err(PluginError::NoTrial)?;
    match output.status.code() {
        Some(0) => Ok(output.stdout),
        Some(code) if code == i32::from(REFUSED) => {
            Err(PluginError::TrialFailed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
        _ => Err(PluginError::Crashed { doing: task.doing, status: output.status.to_string() }),
    }
}

/// The bytes that were hashed, in a file that nobody else can change, and that is gone once it is loaded.
pub(super) fn private_copy(bytes: &[u8]) -> Result<NamedTempFile, PluginError> {
    let mut file = tempfile::Builder::new()
        .prefix("studio-driver-")
        .suffix(".so")
        .tempfile()
        .map_err(PluginError::NoTrial)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(PluginError::NoTrial)?;
    Ok(file)
}
