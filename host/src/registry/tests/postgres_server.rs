//! A PostgreSQL server for tests: started on a free port in a temporary folder, and gone when the tests are.
//!
//! Only the standard library and PostgreSQL's own programs are needed.

#[path = "../../../../tests/src/postgres_programs.rs"]
// `xtask` uses more of it.
#[allow(dead_code)]
mod postgres_programs;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use self::postgres_programs::PostgresPrograms;

/// A URL of a server to use instead of starting one; its user must be allowed to create databases.
const URL_VARIABLE: &str = "TEST_POSTGRES_URL";
/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the server, and stops it and removes its folder when its standard input closes: when the handle is dropped, or
/// when the test process ends in whatever way. `trap`: an interrupt from the terminal must not skip that.
const WATCHDOG: &str = r#"
trap : INT TERM
folder="$PWD"
"$@" >log 2>&1 &
read -r _
kill -QUIT $!
wait
rm -rf "$folder"
"#;

/// A running server.
pub struct PostgresServer {
    /// Of its database `postgres`.
    url: String,
    psql: PathBuf,
    /// The watchdog, when the server is ours.
    watchdog: Option<Child>,
}

/// A fresh database, dropped with this handle.
pub struct PostgresDatabase {
    server: &'static PostgresServer,
    name: String,
}

impl PostgresServer {
    /// The server of this test process: the one at `TEST_POSTGRES_URL`, or one that is started at the first call and
    /// ends with the process.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<PostgresServer> = OnceLock::new();
        SERVER.get_or_init(|| match std::env::var(URL_VARIABLE) {
            Ok(url) => {
                let programs = PostgresPrograms::find();
                let psql = programs.map_or_else(|_| "psql".into(), |programs| programs.path("psql"));
                Self { url, psql, watchdog: None }
            }
            Err(_) => Self::start(),
        })
    }

    /// Starts a server of one's own. It stops when dropped.
    pub fn start() -> Self {
        let programs =
            PostgresPrograms::find().unwrap_or_else(|error| panic!("{error}, or set {URL_VARIABLE}"));
        // The port may be taken by another program between its choice and its use.
        (0..3)
            .find_map(|_| Self::try_start(&programs))
            .expect("PostgreSQL did not start; is the temporary folder writable for user `postgres`?")
    }

    fn try_start(programs: &PostgresPrograms) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("test-postgres-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::DirBuilder::new().mode(0o700).create(&folder).expect("temporary folder");
        programs.make_data(&folder).expect("initdb");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("port").port();
        let server = programs.server(port, ["unix_socket_directories=", "max_connections=200"]);
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(server.get_program()).args(server.get_args());
        let watchdog = programs
            .as_user(watchdog, &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let server = Self { url, psql: programs.path("psql"), watchdog: Some(watchdog) };
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if server.psql("SELECT 1").is_ok() {
                return Some(server);
            }
            if fs::read_to_string(folder.join("log"))
                .is_ok_and(|log| log.contains("FATAL:  could not create"))
            {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Makes a fresh, empty database.
    pub fn create_database(&'static self) -> PostgresDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        self.psql(&format!("CREATE DATABASE {name}")).expect("CREATE DATABASE");
        PostgresDatabase { server: self, name }
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

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }
}

impl PostgresDatabase {
    /// Its `postgres://` URL.
    pub fn url(&self) -> String {
        let (base, query) = self.server.url.split_once('?').unwrap_or((&self.server.url, ""));
        let authority = base.find("://").map_or(0, |at| at + 3);
        let server = base[authority..].find('/').map_or(base, |at| &base[..authority + at]);
        format!("{server}/{}{}{query}", self.name, if query.is_empty() { "" } else { "?" })
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let _ = self.server.psql(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}
