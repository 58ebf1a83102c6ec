//! Running other programs so that none outlives this one.

use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

/// How often a running child is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How much of a failed command's log is shown.
const LAST_LINES: usize = 40;
/// How long a server may take to stop; a gateway lets running requests finish.
const STOP_TIME: Duration = Duration::from_secs(40);

/// Runs a program, and stops it when its standard input closes: when the handle is dropped, or when this process is
/// gone in whatever way. Ends when the program ends, with its status.
const GUARD: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{ read -r _ <&3; kill -TERM "$child"; } 2>/dev/null &
guard=$!
wait "$child"
status=$?
kill "$guard" 2>/dev/null
exit "$status"
"#;

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on Ctrl-C and SIGTERM do not end this process but make [`interrupted`] true, so that what was started is
/// stopped in order.
pub fn catch_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Whether Ctrl-C was pressed or SIGTERM came.
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
    // A group of its own, so that what it started itself can be ended along with it.
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

/// Shows the last of what a command wrote to its log.
pub fn show_end(log: &Path) {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    eprintln!("{}", last.join("\n"));
}

/// Runs a command to its end and gives back what it wrote to standard output.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{} can't be run", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", command_line(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A command that runs `program` as a server for [`Server::start`]. Give it arguments and whatever else it needs.
pub fn guarded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(program);
    command
}

/// A server that this process started. Dropping it stops it.
pub struct Server {
    name: &'static str,
    shell: Child,
}

impl Server {
    /// Starts what [`guarded`] made.
    pub fn start(name: &'static str, mut command: Command) -> Result<Self> {
        // A group of its own: Ctrl-C in the terminal reaches this process alone, which then stops it in order.
        let shell = command.stdin(Stdio::piped()).process_group(0).spawn();
        Ok(Self { name, shell: shell.with_context(|| format!("{name} can't be started"))? })
    }

    /// Its standard output, if that is piped; once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.shell.stdout.take()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.shell.try_wait()?)
    }

    /// An error when it ended, which a server should not.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            Some(status) => bail!("{} ended by itself: {status}", self.name),
            None => Ok(()),
        }
    }

    /// The server's own process id; Linux only.
    pub fn id(&self) -> Result<u32> {
        let shell = self.shell.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        let first = children.split_whitespace().next().context("the server is gone")?;
        Ok(first.parse()?)
    }

    /// Stops it and waits until it is gone.
    fn stop(&mut self) {
        drop(self.shell.stdin.take());
        let deadline = Instant::now() + STOP_TIME;
        while let Ok(None) = self.shell.try_wait() {
            if Instant::now() > deadline {
                eprintln!("{} does not stop; killing it", self.name);
                // The whole group: the shell, the server and its children.
                signal("KILL", &format!("-{}", self.shell.id()));
                let _ = self.shell.wait();
                return;
            }
            sleep(TICK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Calls `ready` until it is, or an error when that takes longer than `limit`, the server ends, or Ctrl-C comes.
pub fn wait_until(server: &mut Server, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !ready() {
        server.must_run()?;
        if interrupted() {
            bail!("interrupted");
        }
        if Instant::now() > deadline {
            bail!("{} is not ready after {} s", server.name, limit.as_secs());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
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
