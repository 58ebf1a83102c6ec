//! A real Redis for a test: its own port and folder, nothing kept on disk.

use crate::{
    certificates::Certificates,
    process::{Process, free_port},
};
use redis::aio::MultiplexedConnection;
use std::{ffi::OsString, fs, process::Command};
use tempfile::TempDir;

/// Names a Valkey; `cargo xtask test` installs one where it can be had.
const VALKEY: &str = "STUDIO_TEST_VALKEY";

/// How a Redis is to be.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    program: Option<OsString>,
    password: Option<String>,
    tls: bool,
    lines: Vec<String>,
}

impl RedisOptions {
    /// Open to everyone on this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// A Valkey in its place; `None` where there is none to test with, and a line that says so.
    pub fn valkey() -> Option<Self> {
        let program = std::env::var_os(VALKEY);
        if program.is_none() {
            eprintln!("skipped: there is no Valkey to test with; `cargo xtask test` says why");
        }
        program.map(|program| Self { program: Some(program), ..Self::default() })
    }

    /// The default user has this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// One more ACL user: `acl_user("reader", "on >secret ~* +@read")`.
    pub fn acl_user(self, name: &str, rules: &str) -> Self {
        self.line(format!("user {name} {rules}"))
    }

    /// The server speaks TLS only, with a certificate of an authority of its own.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// A command goes by another name, or by none: `""`.
    pub fn rename_command(self, name: &str, to: &str) -> Self {
        self.line(format!("rename-command {name} \"{to}\""))
    }

    /// Any other line of `redis.conf`.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// A running Redis. Dropping it kills it.
pub struct RedisServer {
    /// Where it listens, now and after a restart.
    pub port: u16,
    /// Its certificates, when it speaks TLS.
    pub certificates: Option<Certificates>,
    options: RedisOptions,
    process: Option<Process>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub async fn start(options: RedisOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        let mut server = Self { port: free_port(), certificates, options, process: None, folder };
        server.start_again().await;
        server
    }

    /// One without options.
    pub async fn plain() -> Self {
        Self::start(RedisOptions::new()).await
    }

    /// Starts it on the same port after [`stop`](Self::stop); its data is gone.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "Redis runs already");
        let folder = self.folder.path().to_owned();
        fs::write(folder.join("redis.conf"), self.configuration()).unwrap();
        let program = self.options.program.clone().unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(program);
        command.arg(folder.join("redis.conf")).current_dir(&folder);
        let log = folder.join("log");
        let process = Process::start_server("Redis", command, &log, async || self.answers().await).await;
        self.process = Some(process);
    }

    fn configuration(&self) -> String {
        let port = self.port;
        let mut lines = vec!["bind 127.0.0.1".to_owned(), "save \"\"".to_owned(), "appendonly no".to_owned()];
        match &self.certificates {
            None => lines.push(format!("port {port}")),
            Some(files) => {
                lines.push(format!("port 0\ntls-port {port}\ntls-auth-clients no"));
                lines.push(format!("tls-ca-cert-file {}", files.authority_file.display()));
                lines.push(format!("tls-cert-file {}", files.certificate_file.display()));
                lines.push(format!("tls-key-file {}", files.key_file.display()));
            }
        }
        lines.extend(self.options.password.iter().map(|password| format!("requirepass {password}")));
        lines.extend(self.options.lines.iter().cloned());
        lines.join("\n") + "\n"
    }

    async fn answers(&self) -> bool {
        if self.certificates.is_some() {
            // The truth is asked in plain text only; that it listens must do.
            return tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
        }
        let Ok(client) = redis::Client::open(self.url()) else { return false };
        let Ok(mut connection) = client.get_multiplexed_async_connection().await else { return false };
        redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok()
    }

    /// `redis://…` with the password in it.
    pub fn url(&self) -> String {
        let password =
            self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let scheme = if self.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{password}127.0.0.1:{}", self.port)
    }

    /// A way to the truth, beside the gateway. Of database 0.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.expect("a connection to the test's Redis")
    }

    /// Runs one command: `run(&["SET", "k", "v"])`.
    pub async fn run(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let result = command.query_async(&mut self.connection().await).await;
        result.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// How many clients are connected, this question's own not counted.
    pub async fn clients(&self) -> usize {
        let list: String =
            redis::cmd("CLIENT").arg("LIST").query_async(&mut self.connection().await).await.unwrap();
        list.lines().count() - 1
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
        self.process.as_ref().expect("Redis runs").freeze();
    }

    /// Ends a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process.as_ref().expect("Redis runs").signal("CONT");
    }
}
