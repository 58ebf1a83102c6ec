//! A real PgBouncer for a test, before a PostgreSQL server: a server connection is a client's for one transaction.

use crate::{
    postgres_programs::PostgresPrograms,
    postgres_server::PostgresServer,
    process::{Process, free_port},
};
use std::{fs, path::PathBuf, process::Command};
use tempfile::TempDir;

/// Where Debian puts it.
const DEBIAN: &str = "/usr/sbin/pgbouncer";

/// A running PgBouncer. Dropping it kills it.
pub struct PostgresBouncer {
    /// Where it listens.
    pub port: u16,
    _process: Process,
    _folder: TempDir,
}

impl PostgresBouncer {
    /// Starts one before a server that asks for no password, with so many server connections for each database.
    pub async fn start(server: &PostgresServer, pool_size: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let programs = PostgresPrograms::find().unwrap_or_else(|error| panic!("{error}"));
        let (port, server_port) = (free_port(), server.port);
        let users = folder.path().join("users");
        let settings = folder.path().join("pgbouncer.ini");
        let users_file = users.display();
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
             auth_file = {users_file}\npool_mode = transaction\ndefault_pool_size = {pool_size}\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        fs::write(&settings, text).unwrap();
        for path in [folder.path(), &users, &settings] {
            programs.give(path).unwrap();
        }
        let on_path = Command::new("pgbouncer").arg("--version").output().is_ok();
        let program = if on_path { PathBuf::from("pgbouncer") } else { DEBIAN.into() };
        let mut command = programs.as_user(Command::new(program), folder.path());
        command.arg(&settings);
        let log = folder.path().join("log");
        let answers = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        let process = Process::start_server("PgBouncer", command, &log, answers).await;
        Self { port, _process: process, _folder: folder }
    }

    /// `postgresql://…` of one of the server's databases, through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }
}
