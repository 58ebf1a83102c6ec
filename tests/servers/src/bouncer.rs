//! PgBouncer before a PostgreSQL: a client has a server connection for one transaction.

use crate::{Place, PostgresPrograms, Program, listens};
use std::{fs, io, path::PathBuf, process::Command};

/// The program's path on Debian.
const DEBIAN: &str = "/usr/sbin/pgbouncer";

/// Options of a PgBouncer.
#[derive(Debug)]
pub struct BouncerOptions {
    server_port: u16,
    pool_size: u16,
}

impl BouncerOptions {
    /// Makes options for one before a server that asks for no password, with this many server connections for each
    /// database.
    pub fn new(server_port: u16, pool_size: u16) -> Self {
        Self { server_port, pool_size }
    }
}

impl Program for BouncerOptions {
    const NAME: &'static str = "PgBouncer";

    fn command(&self, place: &Place) -> io::Result<Command> {
        let programs = PostgresPrograms::find()?;
        let (port, server_port, pool_size) = (place.port, self.server_port, self.pool_size);
        let (users, settings) = (place.file("users"), place.file("pgbouncer.ini"));
        let users_file = users.display();
        fs::write(&users, "\"postgres\" \"\"\n")?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
             auth_file = {users_file}\npool_mode = transaction\ndefault_pool_size = {pool_size}\n\
             ignore_startup_parameters = extra_float_digits\n"
        );
        fs::write(&settings, text)?;
        for path in [&place.folder, &users, &settings] {
            programs.give(path)?;
        }
        let on_path = Command::new("pgbouncer").arg("--version").output().is_ok();
        let program = if on_path { PathBuf::from("pgbouncer") } else { DEBIAN.into() };
        let mut command = programs.as_user(Command::new(program), &place.folder);
        command.arg(&settings);
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        listens(place.port)
    }
}
