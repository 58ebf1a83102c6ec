//! memcached.

use crate::{Certificates, Place, Program, Server, answers::first_line, listens};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// A memcached.
pub type MemcachedServer = Server<MemcachedOptions>;

/// Options of a memcached.
#[derive(Debug, Clone, Default)]
pub struct MemcachedOptions {
    program: Option<OsString>,
    users: Vec<(String, String)>,
    tls: bool,
    arguments: Vec<String>,
}

impl MemcachedOptions {
    /// Makes options for one that is open to everyone on this machine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets another program: `memcached` in a folder that is not on the PATH.
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Adds a user who may log in; then nobody else may do anything.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Makes the server speak TLS only, with a certificate of its own authority.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Sets the size of the largest item, in MiB.
    pub fn max_item(self, mebibytes: u32) -> Self {
        self.argument("-I").argument(format!("{mebibytes}m"))
    }

    /// Adds any other argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }
}

impl Program for MemcachedOptions {
    const NAME: &'static str = "memcached";

    fn certificates(&self, folder: &Path) -> io::Result<Option<Certificates>> {
        self.tls.then(|| Certificates::make(folder)).transpose()
    }

    fn command(&self, place: &Place) -> io::Result<Command> {
        let mut command = Command::new(self.program.clone().unwrap_or_else(|| "memcached".into()));
        // Root must name a user, anybody else may.
        command.args(["-u", "root", "-l", "127.0.0.1", "-U", "0", "-p", &place.port.to_string()]);
        command.args(&self.arguments);
        if !self.users.is_empty() {
            let file = place.file("users");
            let lines = self.users.iter().map(|(name, password)| format!("{name}:{password}\n"));
            fs::write(&file, lines.collect::<String>())?;
            command.arg("-Y").arg(file);
        }
        if let Some(files) = &place.certificates {
            let (certificate, key) = (files.certificate_file.display(), files.key_file.display());
            command.arg("-Z").arg("-o").arg(format!("ssl_chain_cert={certificate},ssl_key={key}"));
        }
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        if place.certificates.is_some() {
            return listens(place.port);
        }
        first_line(place.port, b"version\r\n").is_ok_and(|line| !line.is_empty())
    }
}

impl Server<MemcachedOptions> {
    /// Asks it one command in plain text, and gives the first line of the answer: `ask("get k")`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, command: &str) -> io::Result<String> {
        first_line(self.port, format!("{command}\r\n").as_bytes())
    }

    /// Stores items, all at once.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn store(&self, items: impl IntoIterator<Item = (String, String)>) -> io::Result<()> {
        let mut commands = String::new();
        for (key, value) in items {
            commands += &format!("set {key} 0 0 {} noreply\r\n{value}\r\n", value.len());
        }
        match self.ask(&format!("{commands}version"))? {
            line if line.starts_with("VERSION") => Ok(()),
            line => Err(io::Error::other(line)),
        }
    }
}
