//! A kind of server, and the place of one server.

use crate::Certificates;
use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// The place of one server.
#[derive(Debug)]
pub struct Place {
    /// The port of 127.0.0.1 where it listens, now and after a restart.
    pub port: u16,
    /// Its certificates, when it speaks TLS.
    pub certificates: Option<Certificates>,
    /// The folder of its files.
    pub folder: PathBuf,
    /// Whether the folder stays when the server goes.
    pub is_kept: bool,
}

impl Place {
    /// Returns the path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A kind of server. A value of it holds the options of one server.
pub trait Program {
    /// Its name in messages.
    const NAME: &'static str;
    /// The signal that ends it in order, with all acknowledged data on disk.
    const STOP: &'static str = "TERM";
    /// The signal that ends it as a crash does.
    const CRASH: &'static str = "KILL";
    /// How many ports in a row it listens on.
    const PORTS: u16 = 1;

    /// Makes its certificates in this folder, or gives those that it shares with others, when it speaks TLS.
    ///
    /// # Errors
    /// When they can't be made.
    fn certificates(&self, _folder: &Path) -> io::Result<Option<Certificates>> {
        Ok(None)
    }

    /// Makes the things that it needs before its first start.
    ///
    /// # Errors
    /// When that can't be made.
    fn prepare(&mut self, _place: &Place) -> io::Result<()> {
        Ok(())
    }

    /// Makes the command that runs it, and the files that the command reads.
    ///
    /// # Errors
    /// When those can't be written.
    fn command(&self, place: &Place) -> io::Result<Command>;

    /// Tells whether it answers.
    fn answers(&self, place: &Place) -> bool;
}
