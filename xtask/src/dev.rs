//! `cargo xtask dev`: from a clean checkout to a gateway with something to see.

use crate::{
    dist::{self, Profile},
    gateway::{Gateway, Program},
    process::interrupted,
    sample,
    servers::{Mongo, Postgres, Redis},
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
    let redis = Redis::start(workspace, Some(&make_folder(&data, "redis")?));
    let mongo = Mongo::start(workspace, &make_folder(&data, "mongodb")?);
    let postgres = Postgres::start(workspace, Some(&make_folder(&data, "postgres")?));

    let mut environment = vec![("GATEWAY_CONFIG", path_text(&data.join("gateway.toml"))?)];
    if TcpListener::bind(ADDRESS).is_err() {
        println!("{ADDRESS} is taken, so the gateway listens on a free port");
        environment.push(("GATEWAY_LISTEN", "127.0.0.1:0".to_owned()));
    }
    // Dropped before the databases are: the gateway ends first.
    let mut gateway = Gateway::start(&Program::of(&dist, environment))?;
    gateway.create_project()?;
    show(&gateway, "Redis", &redis, |redis| {
        gateway.set_up("redis", redis.port)?;
        sample::redis::load(redis.port)?;
        Ok((redis.port, "/api/platform/redis/default/keys"))
    })?;
    show(&gateway, "MongoDB", &mongo, |mongo| {
        gateway.set_up("mongodb", mongo.port)?;
        sample::mongodb::load(&gateway)?;
        Ok((mongo.port, sample::mongodb::SHOWN))
    })?;
    show(&gateway, "PostgreSQL", &postgres, |postgres| {
        gateway.set_up_as("postgres", postgres.port, &sample::postgres::login())?;
        sample::postgres::load(&gateway)?;
        Ok((postgres.port, sample::postgres::SHOWN))
    })?;
    println!("Ctrl-C stops everything.");

    while !interrupted() {
        gateway.must_run()?;
        sleep(Duration::from_millis(100));
    }
    drop(gateway);
    drop((redis, mongo, postgres));
    Ok(())
}

/// Makes project `default` have a database, and says how to see it; or why there is none.
fn show<S>(
    gateway: &Gateway,
    name: &str,
    server: &Result<S>,
    set_up: impl FnOnce(&S) -> Result<(u16, &'static str)>,
) -> Result<()> {
    let path = match server {
        Ok(server) => {
            let (port, path) = set_up(server)?;
            println!("\n{name} on port {port}, project `default`; some of what is in it:");
            path
        }
        Err(reason) => {
            println!("\nNo {name} to show: {reason:#}. The gateway serves all the same:");
            "/api/platform/plugins"
        }
    };
    // In quotes, for a shell would take what is in a query for its own.
    println!("\ncurl -H 'Authorization: Bearer {}' '{}{path}'\n", gateway.token(), gateway.address);
    Ok(())
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

/// 32 random bytes as hex digits.
pub fn random_hex() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn path_text(path: &Path) -> Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}
