//! A server of MongoDB's protocol. Its data survives a restart.

use crate::{Certificates, Place, Program, listens};
use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// Options of a server. The program is SecantusDB; another one must take the same options.
#[derive(Debug, Clone)]
pub struct MongoOptions {
    /// The program.
    pub program: PathBuf,
    /// Whether nobody may do anything without a login.
    pub asks_for_login: bool,
    /// Whether the server speaks TLS only, with a certificate of its own authority.
    pub tls: bool,
    /// Whether it stands alone, and is no replica set of one.
    pub standalone: bool,
    /// Whether it listens on every address, and names 0.0.0.0 as its replica set's only member.
    pub everywhere: bool,
    /// Whether it has `configureFailPoint`.
    pub test_commands: bool,
}

impl MongoOptions {
    /// Makes options for a replica set of one, open to everyone on this machine.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            asks_for_login: false,
            tls: false,
            standalone: false,
            everywhere: false,
            test_commands: false,
        }
    }
}

impl Program for MongoOptions {
    const NAME: &'static str = "MongoDB";

    fn certificates(&self, folder: &Path) -> io::Result<Option<Certificates>> {
        self.tls.then(|| Certificates::make(folder)).transpose()
    }

    fn command(&self, place: &Place) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        let host = if self.everywhere { "0.0.0.0" } else { "127.0.0.1" };
        command.args(["--host", host, "--port", &place.port.to_string(), "--storage-path"]);
        command.arg(&place.folder).current_dir(&place.folder);
        let switches = [
            (self.asks_for_login, "--auth"),
            (self.standalone, "--standalone"),
            (self.test_commands, "--enable-test-commands"),
        ];
        command.args(switches.iter().filter(|(is_on, _)| *is_on).map(|(_, switch)| switch));
        if let (true, Some(files)) = (self.tls, &place.certificates) {
            command.arg("--tls-cert-file").arg(&files.certificate_file);
            command.arg("--tls-key-file").arg(&files.key_file);
            command.arg("--tls-ca-file").arg(&files.authority_file);
        }
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        // It listens once its storage is open.
        listens(place.port)
    }
}
