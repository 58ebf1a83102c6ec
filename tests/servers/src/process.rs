//! Child processes that end when their handle is dropped, or when the process that holds it ends.

use crate::server::wait_until;
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long to wait between two looks at a program that is to end.
const TICK: Duration = Duration::from_millis(5);
/// How long a program may take to freeze.
const FREEZE_TIME: Duration = Duration::from_secs(30);

/// Waits until the process that started it is gone, which closes its standard input; then ends a program and all that
/// it started, by this signal (1) to this group (2), and removes a folder (3). A program that does not end is killed.
const GUARD: &str = r#"
read -r _
kill -s "$1" -- "-$2"
kill -s CONT -- "-$2"
for _ in $(seq 400); do
    kill -0 -- "-$2" || break
    sleep 0.1
done
kill -s KILL -- "-$2"
[ -z "$3" ] || rm -rf -- "$3"
"#;

/// Says what becomes of a program when the process that started it ends without stopping it.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// The signal that ends the program.
    pub signal: &'static str,
    /// A folder that is removed with it.
    pub folder: Option<PathBuf>,
}

impl Default for Orphan {
    fn default() -> Self {
        Self { signal: "KILL", folder: None }
    }
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// `None` as soon as the program is known to have ended: the program's id may be another's then.
    guard: Option<Child>,
}

impl Process {
    /// Starts a program without standard input.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn start(mut command: Command, orphan: &Orphan) -> io::Result<Self> {
        // The program gets a group of its own, so that Ctrl-C in the terminal, and other signals that are meant for the
        // process that starts it, do not reach it.
        let child = command.stdin(Stdio::null()).process_group(0).spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{} can't be run: {error}", command.get_program().display()))
        })?;
        let mut process = Self { child, guard: None };
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard", orphan.signal, &process.id().to_string()]);
        guard.arg(orphan.folder.as_deref().unwrap_or(Path::new("")));
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        process.guard = Some(guard.spawn()?);
        Ok(process)
    }

    /// Returns its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes its standard output, if that is piped; once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        send(name, &[self.id()])
    }

    /// Sends a signal that ends it, even if it is frozen: a frozen program takes no other signal than `KILL`.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn order_end(&self, signal: &str) -> io::Result<()> {
        self.signal(signal)?;
        // A program that the signal has ended already needs no more.
        let _ = self.signal("CONT");
        Ok(())
    }

    /// Freezes it and its children, until [`thaw`](Self::thaw). Some threads of a program with several run on for a
    /// moment after the signal; when this returns, none does.
    ///
    /// # Errors
    /// When the program has ended, or runs on.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal("STOP")?;
        wait_until(FREEZE_TIME, "the program freezes", || Ok(self.is_frozen()))?;
        self.signal_children("STOP")
    }

    /// Lets it and its children run on.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn thaw(&self) -> io::Result<()> {
        self.signal_children("CONT")?;
        self.signal("CONT")
    }

    fn is_frozen(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id()));
        threads.into_iter().flatten().flatten().all(|thread| {
            let state = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state is after the name in brackets.
            state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    fn signal_children(&self, name: &str) -> io::Result<()> {
        let id = self.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children: Vec<u32> = children.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        if children.is_empty() { Ok(()) } else { send(name, &children) }
    }

    /// Returns its exit status, if it ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss_guard();
        }
        Ok(status)
    }

    /// Waits for its end, but not for longer than this.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn end_within(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.ended()?;
            if status.is_some() || Instant::now() > deadline {
                return Ok(status);
            }
            sleep(TICK);
        }
    }

    /// Ends it by a signal, even if it is frozen; kills it if that takes longer than `limit`. Gives its exit status, if
    /// it ended by itself.
    pub fn end(&mut self, signal: &str, limit: Duration) -> Option<ExitStatus> {
        if signal == "KILL" {
            self.kill();
            return None;
        }
        let ended = self.order_end(signal).and_then(|()| self.end_within(limit)).ok().flatten();
        if ended.is_none() {
            self.kill();
        }
        ended
    }

    /// Kills it as a crash does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.dismiss_guard();
        let _ = self.child.wait();
    }

    fn dismiss_guard(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Makes a program write its output and its errors to the end of a file.
///
/// # Errors
/// When the file can't be written.
pub fn append_to(command: &mut Command, file: &Path) -> io::Result<()> {
    let output = OpenOptions::new().create(true).append(true).open(file)?;
    command.stdout(output.try_clone()?).stderr(output);
    Ok(())
}

fn send(name: &str, processes: &[u32]) -> io::Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "signal=$1; shift; kill -s \"$signal\" -- \"$@\"", "kill", name]);
    shell.args(processes.iter().map(u32::to_string));
    let status = shell.stdin(Stdio::null()).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("SIG{name} does not reach {processes:?}")))
}
