//! Fresh PostgreSQL databases for the registry's tests.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use studio_test_servers::{PostgresOptions, PostgresPrograms, PostgresServer};

/// The variable with the URL of a server to use instead of starting one; its user must be allowed to create databases.
const URL_VARIABLE: &str = "TEST_POSTGRES_URL";

/// The server of all tests of one process.
struct SharedServer {
    /// The URL of its database `postgres`.
    url: String,
    psql: PathBuf,
    /// Holds a server that this process started. The server ends with the process.
    _own: Option<PostgresServer>,
}

/// A fresh database, dropped with this handle.
pub struct PostgresDatabase {
    name: String,
}

impl SharedServer {
    /// Gives the server at `TEST_POSTGRES_URL`, or one that is started at the first call.
    fn get() -> &'static Self {
        static SERVER: OnceLock<SharedServer> = OnceLock::new();
        SERVER.get_or_init(|| {
            let programs = PostgresPrograms::find();
            let psql = programs.map_or_else(|_| "psql".into(), |programs| programs.path("psql"));
            match std::env::var(URL_VARIABLE) {
                Ok(url) => Self { url, psql, _own: None },
                Err(_) => {
                    let server = PostgresServer::start(PostgresOptions::new().setting("max_connections=200"));
                    let server = server.unwrap_or_else(|error| panic!("{error}; or set {URL_VARIABLE}"));
                    Self { url: server.postgres_url(), psql, _own: Some(server) }
                }
            }
        })
    }

    /// Runs one statement in the server's own database.
    fn psql(&self, statement: &str) -> io::Result<()> {
        let output = Command::new(&self.psql)
            .args(["--no-psqlrc", "--quiet", "--command", statement, "--dbname", &self.url])
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }
}

impl PostgresDatabase {
    /// Makes a fresh, empty database.
    pub fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        SharedServer::get().psql(&format!("CREATE DATABASE {name}")).expect("CREATE DATABASE");
        Self { name }
    }

    /// Gives its `postgres://` URL.
    pub fn url(&self) -> String {
        let url = &SharedServer::get().url;
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let authority = base.find("://").map_or(0, |at| at + 3);
        let server = base[authority..].find('/').map_or(base, |at| &base[..authority + at]);
        format!("{server}/{}{}{query}", self.name, if query.is_empty() { "" } else { "?" })
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let _ = SharedServer::get().psql(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}
