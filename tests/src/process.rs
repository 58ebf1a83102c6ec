//! Child processes of a test; a fault of one is a panic.

use crate::time::{PATIENCE, within};
use std::{
    fs::{self, File, OpenOptions},
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};
use studio_test_servers::{Orphan, ports};
use tokio::net::TcpListener;

/// A running program. Dropping it kills it.
pub struct Process(studio_test_servers::Process);

impl Process {
    /// Starts it, its standard output and error appended to these files.
    pub fn start(mut command: Command, output: &Path, errors: &Path) -> Self {
        let append = |path: &Path| -> File {
            OpenOptions::new().create(true).append(true).open(path).expect("a file for a program's output")
        };
        command.stdout(append(output)).stderr(append(errors));
        let process = studio_test_servers::Process::start(command, &Orphan::default());
        Self(process.unwrap_or_else(|error| panic!("{error}")))
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

    /// Returns its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        self.0.signal(name).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Returns its exit status, if it ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.ended().expect("the state of a child")
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

/// Finds a port of 127.0.0.1 on which nothing listens.
pub fn free_port() -> u16 {
    ports::free_port().unwrap_or_else(|error| panic!("{error}"))
}

/// Listens on a port of 127.0.0.1.
pub fn listen() -> TcpListener {
    let listener = ports::listener().unwrap_or_else(|error| panic!("{error}"));
    listener.set_nonblocking(true).expect("a listener for tokio");
    TcpListener::from_std(listener).expect("a listener of tokio")
}
