//! Runs this program as a child process on an untrusted file, which might crash the process that loads it, or keep it
//! busy for ever.

use super::error::PluginError;
use std::{io::Write, path::Path, process::Stdio, time::Duration};
use tempfile::NamedTempFile;
use tokio::process::Command;

/// The exit code of a child process whose standard error holds the reason for a refusal.
pub const REFUSED: u8 = 3;

/// A child process's task: `studio-gateway plugin <word> FILE`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildTask {
    pub(super) word: &'static str,
    /// The task's name for people.
    pub(super) doing: &'static str,
    pub(super) time: Duration,
}

/// Runs a task to its end, and returns what the process wrote to standard output.
pub(super) async fn run_in_child(
    program: &Path,
    task: ChildTask,
    file: &Path,
) -> Result<Vec<u8>, PluginError> {
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

/// Writes the bytes that were hashed to a file that nobody else can change. It is deleted when the value is dropped.
pub(super) fn private_copy(bytes: &[u8]) -> Result<NamedTempFile, PluginError> {
    let mut file = tempfile::Builder::new()
        .prefix("studio-driver-")
        .suffix(".so")
        .tempfile()
        .map_err(PluginError::NoTrial)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(PluginError::NoTrial)?;
    Ok(file)
}
