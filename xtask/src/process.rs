//! Running other programs so that none outlives this one.

use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait between two looks at a running child.
const TICK: Duration = Duration::from_millis(50);
/// How much of a failed command's log is shown.
const LAST_LINES: usize = 40;

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Makes Ctrl-C and SIGTERM no longer end this process but make [`interrupted`] true, so that the programs that it
/// started are stopped in order.
pub fn catch_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Tells whether Ctrl-C was pressed or SIGTERM came.
pub fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Does one step of a task, and tells how many seconds it took.
pub fn timed<T>(step: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let result = work();
    eprintln!("== {step}: {:.0} s", begin.elapsed().as_secs_f64());
    result
}

/// Runs a command in the foreground; an error when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("{name} can't be run"))?;
    let mut told = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted() && !told {
            told = true;
            signal("TERM", &child.id().to_string());
        }
        sleep(TICK);
    };
    if !status.success() {
        bail!("{} failed: {status}", command_line(command));
    }
    Ok(())
}

/// Runs a command whose output goes to a file, for at most as long as `limit` says; an error that names the file when
/// it fails.
pub fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    let output = File::create(log).with_context(|| format!("{} can't be written", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // The child gets a group of its own, so that the programs that it started can be ended along with it.
    let child = command.process_group(0).spawn();
    let mut child = child.with_context(|| format!("{} can't be run", command.get_program().display()))?;
    let group = format!("-{}", child.id());
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted() || Instant::now() > deadline {
            signal("KILL", &group);
            child.wait()?;
            let reason = if interrupted() { "interrupted" } else { "it took too long" };
            bail!("{} was ended: {reason}", command_line(command));
        }
        sleep(TICK);
    };
    if !status.success() {
        bail!("{} failed ({status}), see {}", command_line(command), log.display());
    }
    Ok(())
}

/// Shows the last lines of a command's log.
pub fn show_end(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    eprintln!("{}", last.join("\n"));
}

/// Runs a command to its end and gives back its standard output.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{} can't be run", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", command_line(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Sends a signal; a process that is gone already is no error.
fn signal(name: &str, target: &str) {
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$1\" -- \"$2\"", "kill", name, target])
        .stderr(Stdio::null())
        .status();
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
