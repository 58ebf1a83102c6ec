//! A real memcached for a test, on its own port.

use crate::{
    certificates::Certificates,
    process::{Process, free_port},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::Command,
};
use tempfile::TempDir;

/// How a memcached is to be.
#[derive(Debug, Clone, Default)]
pub struct MemcachedOptions {
    users: Vec<(String, String)>,
    tls: bool,
    arguments: Vec<String>,
}

impl MemcachedOptions {
    /// Open to everyone on this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who may log in; then nobody else may do anything.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// The server speaks TLS only, with a certificate of an authority of its own.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The largest item, in MiB.
    pub fn max_item(self, mebibytes: u32) -> Self {
        self.argument("-I").argument(format!("{mebibytes}m"))
    }

    /// Any other argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

/// A running memcached. Dropping it kills it.
pub struct MemcachedServer {
    /// Where it listens, now and after a restart.
    pub port: u16,
    /// Its certificates, when it speaks TLS.
    pub certificates: Option<Certificates>,
    options: MemcachedOptions,
    process: Option<Process>,
    folder: TempDir,
}

impl MemcachedServer {
    /// Starts one and waits until it answers.
    pub async fn start(options: MemcachedOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        let mut server = Self { port: free_port(), certificates, options, process: None, folder };
        server.start_again().await;
        server
    }

    /// One without options.
    pub async fn plain() -> Self {
        Self::start(MemcachedOptions::new()).await
    }

    /// Starts it on the same port after [`stop`](Self::stop); its data is gone.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "memcached runs already");
        let log = self.folder.path().join("log");
        let command = self.command();
        let process = Process::start_server("memcached", command, &log, async || self.answers()).await;
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let mut command = Command::new("memcached");
        // Root must name a user, anybody else may.
        command.args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &self.port.to_string()]);
        command.args(&self.options.arguments);
        if !self.options.users.is_empty() {
            let file = self.folder.path().join("users");
            let lines = self.options.users.iter().map(|(name, password)| format!("{name}:{password}\n"));
            fs::write(&file, lines.collect::<String>()).unwrap();
            command.arg("-Y").arg(file);
        }
        if let Some(files) = &self.certificates {
            let (certificate, key) = (files.certificate_file.display(), files.key_file.display());
            command.arg("-Z").arg("-o").arg(format!("ssl_chain_cert={certificate},ssl_key={key}"));
        }
        command
    }

    fn answers(&self) -> bool {
        if self.certificates.is_some() {
            // The truth is asked in plain text only; that it listens must do.
            return TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        }
        self.send(b"version\r\n").is_ok_and(|line| !line.is_empty())
    }

    fn send(&self, bytes: &[u8]) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.write_all(bytes)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Asks for the truth, beside the gateway: `ask("get k")`, and the first line of the answer.
    pub fn ask(&self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Stores items beside the gateway, all at once.
    pub fn store(&self, items: impl IntoIterator<Item = (String, String)>) {
        let mut commands = String::new();
        for (key, value) in items {
            commands += &format!("set {key} 0 0 {} noreply\r\n{value}\r\n", value.len());
        }
        let answer = self.send(format!("{commands}version\r\n").as_bytes()).unwrap();
        assert!(answer.starts_with("VERSION"), "{answer}");
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Ends it and starts it on the same port.
    pub async fn restart(&mut self) {
        self.stop();
        self.start_again().await;
    }

    /// Freezes it: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.process.as_ref().expect("memcached runs").freeze();
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process.as_ref().expect("memcached runs").signal("CONT");
    }
}
