//! Database servers for `dev`, `test` and `bench`, each on a free port of 127.0.0.1.

use crate::{
    process::{Server, guarded, output_of, wait_until},
    pypi, sample, tools,
    workspace::Workspace,
};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Names for the tests the program that they start as MongoDB. Set by hand, that program takes SecantusDB's place, here
/// too; it must take the same options.
pub const MONGODB: &str = "STUDIO_TEST_MONGODB";

/// How long a server may take to start.
const START_TIME: Duration = Duration::from_secs(60);

/// A running Redis.
pub struct Redis {
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
    /// Of its database `postgres`.
    pub url: String,
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
    /// Starts one in a temporary folder.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        // What is on the PATH may be a link; the other programs are beside what it leads to.
        let initdb = tools::POSTGRES.ensure(workspace)?.canonicalize()?;
        let programs = initdb.parent().context("initdb is in no folder")?;
        let folder = tempfile::Builder::new().prefix("studio-postgres-").tempdir()?;
        // PostgreSQL refuses to run as root; its package makes a user for it.
        let user = if output_of(Command::new("id").arg("-u"))? == "0" {
            Some(output_of(Command::new("id").args(["-u", "postgres"]))?.parse::<u32>()?)
        } else {
            None
        };
        chown(folder.path(), user, user)?;
        let with_user = |mut command: Command| {
            command.current_dir(folder.path());
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
            command
        };
        let mut make = Command::new(&initdb);
        make.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        output_of(with_user(make).args(["--pgdata", "data"]))?;

        let port = free_port()?;
        let log = workspace.target_folder("xtask")?.join("postgres.log");
        let mut command = guarded(programs.join("postgres"));
        command.args(["-D", "data", "-p", &port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300", "fsync=off"]
        {
            command.args(["-c", setting]);
        }
        let output = File::create(&log)?;
        let mut command = with_user(command);
        command.stdout(output.try_clone()?).stderr(output);
        let mut server = Server::start("postgres", command)?;
        let is_ready = || {
            let mut ask = Command::new(programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            ask.status().is_ok_and(|status| status.success())
        };
        wait_until(&mut server, START_TIME, is_ready)
            .with_context(|| format!("PostgreSQL did not start, see {}", log.display()))?;
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        Ok(Self { url, _server: server, _folder: folder })
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
