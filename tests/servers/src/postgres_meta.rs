//! The real postgres-meta.

use crate::{Place, Program, answers_http};
use std::{io, path::PathBuf, process::Command};

/// Options of a postgres-meta.
#[derive(Debug)]
pub struct PostgresMetaOptions {
    program: PathBuf,
    database_url: String,
}

impl PostgresMetaOptions {
    /// Makes options for one on a database. `program` is its `server.js`.
    pub fn new(program: PathBuf, database_url: impl Into<String>) -> Self {
        Self { program, database_url: database_url.into() }
    }
}

impl Program for PostgresMetaOptions {
    const NAME: &'static str = "postgres-meta";
    /// It listens for its operator on the next port.
    const PORTS: u16 = 2;

    fn command(&self, place: &Place) -> io::Result<Command> {
        let mut command = Command::new("node");
        command.arg(&self.program).current_dir(&place.folder).env("PG_META_DB_URL", &self.database_url);
        command.env("PG_META_HOST", "127.0.0.1").env("PG_META_PORT", place.port.to_string());
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        answers_http(place.port, "/health")
    }
}
