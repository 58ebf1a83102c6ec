//! `cargo xtask dev`: from a clean checkout to a gateway with something to see.

use crate::{
    dist::{self, Profile},
    gateway::{Gateway, Log, Program},
    process::interrupted,
    sample,
    servers::{Memcached, Mongo, Postgres, Redis},
    workspace::Workspace,
};
use anyhow::{Context, Result};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

/// Where the gateway listens when the port is free.
const ADDRESS: &str = "127.0.0.1:8787";

/// Runs until Ctrl-C.
pub fn run(workspace: &Workspace) -> Result<()> {
    let dist = dist::build_and_assemble(workspace, Profile::Debug)?;
    let data = make_data(workspace, &dist)?;
    println!("starting the databases and the gateway");
    let redis = Redis::start(workspace, Some(&make_folder(&data, "redis")?));
    let mongo = Mongo::start(workspace, &make_folder(&data, "mongodb")?);
    let postgres = Postgres::start(workspace, Some(&make_folder(&data, "postgres")?));
    let memcached = Memcached::start(workspace);

    let mut environment = vec![("GATEWAY_CONFIG", path_text(&data.join("gateway.toml"))?)];
    let is_taken = TcpListener::bind(ADDRESS).is_err();
    if is_taken {
        environment.push(("GATEWAY_LISTEN", "127.0.0.1:0".to_owned()));
    }
    let log = data.join("gateway.log");
    let program = Program { log: Log::File(log.clone()), ..Program::of(&dist, environment) };
    // The gateway is dropped before the databases, so it ends first.
    let started = Gateway::start(&program);
    let mut gateway = started.with_context(|| format!("see {}", log.display()))?;
    gateway.create_project()?;
    let databases = [
        Shown::of("redis", "Redis", &redis, |redis| {
            gateway.set_up("redis", redis.port)?;
            sample::redis::load(redis.port)?;
            Ok((redis.port, "/api/platform/redis/default/keys"))
        })?,
        Shown::of("mongodb", "MongoDB", &mongo, |mongo| {
            gateway.set_up("mongodb", mongo.port)?;
            sample::mongodb::load(&gateway)?;
            Ok((mongo.port, sample::mongodb::SHOWN))
        })?,
        Shown::of("postgres", "PostgreSQL", &postgres, |postgres| {
            gateway.set_up_as("postgres", postgres.port, &sample::postgres::login())?;
            sample::postgres::load(&gateway)?;
            Ok((postgres.port, sample::postgres::SHOWN))
        })?,
        Shown::of("memcached", "memcached", &memcached, |memcached| {
            gateway.set_up("memcached", memcached.port)?;
            sample::memcached::load(&gateway)?;
            Ok((memcached.port, sample::memcached::SHOWN))
        })?,
    ];
    let place = match is_taken {
        true => format!("{}   ({ADDRESS} is taken)", gateway.address),
        false => gateway.address.clone(),
    };
    print!("{}", summary(&place, &gateway.address, gateway.token(), &data, &databases));

    while !interrupted() {
        let running = gateway.must_run();
        running.with_context(|| format!("see {}", log.display()))?;
        sleep(Duration::from_millis(100));
    }
    drop(gateway);
    drop((redis, mongo, postgres, memcached));
    Ok(())
}

/// A database of project `default`, as the summary shows it.
struct Shown {
    name: &'static str,
    /// Its port and a path that shows some of its data; or the reason why there is none.
    there: Result<(u16, &'static str), String>,
}

impl Shown {
    /// Makes project `default` have a database, if its server runs.
    fn of<S>(
        database_type: &'static str,
        name: &'static str,
        server: &Result<S>,
        set_up: impl FnOnce(&S) -> Result<(u16, &'static str)>,
    ) -> Result<Self> {
        let there = match server {
            Ok(server) => Ok(set_up(server).with_context(|| format!("{name} can't be set up"))?),
            Err(reason) => Err(format!("{reason:#}")),
        };
        Ok(Self { name: database_type, there })
    }
}

/// Makes the text that says which server runs where, with the lines to paste.
fn summary(place: &str, address: &str, token: &str, data: &Path, databases: &[Shown]) -> String {
    let mut lines = vec![String::new(), "Running, in project `default`:".to_owned(), String::new()];
    let mut row = |name: &str, text: &str| lines.push(format!("  {name:<10} {text}"));
    row("gateway", place);
    for database in databases {
        match &database.there {
            Ok((port, _)) => row(database.name, &format!("127.0.0.1:{port}")),
            Err(reason) => row(database.name, &format!("none: {reason}")),
        }
    }
    row("registry", &data.join("platform.db").display().to_string());
    row("settings", &data.join("gateway.toml").display().to_string());
    row("log", &data.join("gateway.log").display().to_string());
    lines.extend([String::new(), "Paste into another terminal:".to_owned(), String::new()]);
    lines.push(format!("TOKEN={token}"));
    let paths = databases.iter().filter_map(|database| database.there.as_ref().ok());
    for path in paths.map(|(_, path)| *path).chain(["/api/platform/plugins"]) {
        // In quotes, since a shell would take characters of a query for its own.
        lines.push(format!("curl -H \"Authorization: Bearer $TOKEN\" '{address}{path}'"));
    }
    lines.extend([String::new(), "Ctrl-C stops everything.".to_owned(), String::new()]);
    lines.join("\n")
}

fn make_folder(data: &Path, name: &str) -> Result<PathBuf> {
    let folder = data.join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Makes `data/`, with the settings and secrets that are not there yet. Only its owner can read it.
fn make_data(workspace: &Workspace, dist: &Path) -> Result<PathBuf> {
    let data = workspace.root.join("data");
    match DirBuilder::new().mode(0o700).create(&data) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    create(&data.join("encryption.key"), random_hex)?;
    create(&data.join("token.secret"), random_hex)?;
    create(&data.join("gateway.toml"), || {
        let plugins = path_text(&dist.join("plugins.toml"))?;
        let database = path_text(&data.join("platform.db"))?;
        Ok(format!(
            "# Made by `cargo xtask dev`, which leaves it as it is from now on. Relative paths are relative to this file.\n\
             \n\
             [registry]\n\
             url = \"sqlite:{database}\"\n\
             encryption_key_file = \"encryption.key\"\n\
             \n\
             [identity]\n\
             jwt_secret_file = \"token.secret\"\n\
             \n\
             # Your databases are on this machine: connections to loopback and private addresses are fine.\n\
             [addresses]\n\
             allow_private = true\n\
             \n\
             # You are the only user, and may want to see what happens under load.\n\
             [rate_limit]\n\
             everyone.total = 6000\n\
             \n\
             [plugins]\n\
             file = \"{plugins}\"\n\
             \n\
             [log]\n\
             format = \"pretty\"\n"
        ))
    })?;
    Ok(data)
}

/// Writes a file that only its owner can read, unless it is there.
fn create(file: &Path, content: impl FnOnce() -> Result<String>) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut new) => Ok(new.write_all(content()?.as_bytes())?),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} can't be made", file.display())),
    }
}

/// Makes 32 random bytes, as hex digits.
pub fn random_hex() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn path_text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_is_one_block_with_a_line_for_each_thing() {
        let databases = [
            Shown { name: "redis", there: Ok((4001, "/api/platform/redis/default/keys?limit=2")) },
            Shown { name: "mongodb", there: Err("it is not installed".to_owned()) },
        ];
        let address = "http://127.0.0.1:8787";
        let expected = "
Running, in project `default`:

  gateway    http://127.0.0.1:8787
  redis      127.0.0.1:4001
  mongodb    none: it is not installed
  registry   data/platform.db
  settings   data/gateway.toml
  log        data/gateway.log

Paste into another terminal:

TOKEN=abc
curl -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:8787/api/platform/redis/default/keys?limit=2'
curl -H \"Authorization: Bearer $TOKEN\" 'http://127.0.0.1:8787/api/platform/plugins'

Ctrl-C stops everything.
";
        assert_eq!(summary(address, address, "abc", Path::new("data"), &databases), expected);
    }
}
