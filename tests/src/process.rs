//! Child processes that are gone when their handle is.

use crate::time::{PATIENCE, within};
use std::{
    fs::{self, File, OpenOptions},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// A running program. Dropping it kills it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it, its standard output and error appended to these files.
    pub fn start(mut command: Command, output: &Path, errors: &Path) -> Self {
        let append = |path: &Path| -> File {
            OpenOptions::new().create(true).append(true).open(path).expect("a file for a program's output")
        };
        command.stdin(Stdio::null()).stdout(append(output)).stderr(append(errors));
        let child = command.spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display())) }
    }

    /// Starts a server, its output appended to `log`, and waits until it answers.
    pub async fn start_server(
        name: &str,
        command: Command,
        log: &Path,
        mut answers: impl AsyncFnMut() -> bool,
    ) -> Self {
        let mut process = Self::start(command, log, log);
        within(*PATIENCE, &format!("{name} answers"), async || {
            if process.ended().is_some() {
                panic!("{name} ended: {}", fs::read_to_string(log).unwrap_or_default());
            }
            answers().await
        })
        .await;
        process
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &self.id().to_string()]);
        assert!(shell.status().expect("sh").success(), "SIG{name} to {}", self.id());
    }

    /// Freezes it, until `CONT`. Of a program with several threads, some run on for a moment after the signal; then none.
    pub fn freeze(&self) {
        self.signal("STOP");
        let deadline = Instant::now() + *PATIENCE;
        while !self.is_frozen() {
            assert!(Instant::now() < deadline, "{} does not freeze", self.id());
            sleep(Duration::from_millis(1));
        }
    }

    fn is_frozen(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).expect("the threads of a child");
        threads.flatten().all(|thread| {
            let state = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // After the name in brackets.
            state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Kills it as a crash does, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the state of a child")
    }

    /// Waits for its end where nothing else can be done meanwhile, but not for longer than this.
    pub fn end_within(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.ended().is_none() && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        within(limit, "the program ends", async || {
            status = self.ended();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of so many ports in a row that were free a moment ago. Linux gives none of them to a connection that goes
/// out meanwhile: those are from 32768 on (ip(7), `ip_local_port_range`). Nor is one of them 10080, which browsers and
/// Node ask nothing of (Fetch standard, "port blocking").
pub fn free_ports(count: u16) -> u16 {
    let listen = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let first = (0..100).find_map(|_| {
        let first = 10_100 + u16::try_from(Uuid::new_v4().as_u128() % 19_900).unwrap();
        let listeners: Result<Vec<_>, _> = (first..first + count).map(listen).collect();
        listeners.ok().map(|_| first)
    });
    first.expect("free ports")
}
