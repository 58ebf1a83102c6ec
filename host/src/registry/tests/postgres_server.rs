//! A PostgreSQL server for tests: started on a free port in a temporary folder, and gone when the tests are.
//!
//! Only the standard library and PostgreSQL's own programs are needed, so any crate's tests can include this file.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A URL of a server to use instead of starting one; its user must be allowed to create databases.
const URL_VARIABLE: &str = "TEST_POSTGRES_URL";
/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts the server, and stops it and removes its folder when its standard input closes: when the handle is dropped, or
/// when the test process ends in whatever way. `trap`: an interrupt from the terminal must not skip that.
const WATCHDOG: &str = r#"
trap : INT TERM
postgres="$1" data="$2" port="$3"
"$postgres" -D "$data/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=200 -c fsync=off >"$data/log" 2>&1 &
read -r _
kill -QUIT $!
wait
rm -rf "$data"
"#;

/// A running server.
pub struct PostgresServer {
    /// Of its database `postgres`.
    url: String,
    /// The folder of `psql`; empty when it is on the PATH.
    programs: PathBuf,
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
            Ok(url) => Self { url, programs: find_programs().unwrap_or_default(), watchdog: None },
            Err(_) => Self::start(),
        })
    }

    /// Starts a server of one's own. It stops when dropped.
    pub fn start() -> Self {
        let programs = find_programs().unwrap_or_else(|| {
            panic!(
                "no PostgreSQL server found: install the Debian package `postgresql`, or set {URL_VARIABLE}"
            )
        });
        // The port may be taken by another program between its choice and its use.
        (0..3)
            .find_map(|_| Self::try_start(&programs))
            .expect("PostgreSQL did not start; is the temporary folder writable for user `postgres`?")
    }

    fn try_start(programs: &Path) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("test-postgres-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::DirBuilder::new().mode(0o700).create(&folder).expect("temporary folder");
        // PostgreSQL refuses to run as root.
        let user = (program_output("id", "-u") == "0").then(|| {
            let user = program_output_of(Command::new("id").args(["-u", "postgres"]));
            user.parse::<u32>().expect("user `postgres`, which the Debian package `postgresql` makes")
        });
        chown(&folder, user, user).expect("chown");
        let as_user = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&folder).stdin(Stdio::null());
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command
        };

        let made = as_user(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
                "data",
            ])
            .output()
            .expect("initdb");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("port").port();
        let watchdog = as_user(Path::new("sh"))
            .args(["-c", WATCHDOG, "watchdog"])
            .args([programs.join("postgres").as_os_str(), folder.as_os_str()])
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let server = Self { url, programs: programs.to_owned(), watchdog: Some(watchdog) };
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
        let output = Command::new(self.programs.join("psql"))
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

/// The folder of PostgreSQL's programs: Debian's newest, or one on the PATH.
fn find_programs() -> Option<PathBuf> {
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    debian.pop().map(|(_, folder)| folder).or_else(on_path)
}

fn program_output(program: &str, argument: &str) -> String {
    program_output_of(Command::new(program).arg(argument))
}

fn program_output_of(command: &mut Command) -> String {
    let output = command.output().expect("a program of the base system");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
