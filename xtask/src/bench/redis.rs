//! The gateway with a native and with a sandboxed Redis driver, and Webdis, before the same Redis.

use super::{
    Bench,
    load::{Series, resident_mebibytes},
};
use crate::{
    gateway::Gateway,
    sample,
    servers::{Redis, Webdis},
};
use anyhow::{Result, bail};
use std::fs;

/// The key that is read, and its value.
const KEY: &str = "bench:key";
const VALUE: &str = "The quick brown fox jumps over the lazy dog, sixty-four bytes...";
/// Connections opened to see what an idle session of the sandbox takes.
const IDLE_SESSIONS: usize = 40;

/// Measures and prints.
pub fn measure(bench: &Bench) -> Result<()> {
    let Bench { workspace, dist, folder, load, rounds } = bench;
    let redis = Redis::start(workspace, None)?;
    sample::redis::set(redis.port, KEY, VALUE)?;
    let webdis = Webdis::start(workspace, &redis)?;
    let native = Gateway::start(&bench.program("redis", &dist.join("plugins.toml"))?)?;
    native.set_up("redis", redis.port)?;
    // The component of the same driver, by the one line that `plugins.toml` says it takes.
    let plugins = folder.join("sandboxed.toml");
    let component = dist.join("drivers/redis.wasm");
    let entry =
        format!("[[plugin]]\ntype = \"redis\"\nkind = \"wasm\"\npath = \"{}\"\n", component.display());
    fs::write(&plugins, entry)?;
    let sandboxed = Gateway::start(&bench.program("redis-sandboxed", &plugins)?)?;
    sandboxed.set_up("redis", redis.port)?;
    let session_memory = idle_session_kibibytes(&sandboxed, redis.port)?;

    let get = format!("{}/api/platform/redis/default/keys/{KEY}", native.address);
    let command = format!("{}/api/platform/redis/default/command", native.address);
    let script = command_script(bench, native.token())?;
    let bearer = format!("Authorization: Bearer {}", native.token());
    let sandboxed_get = format!("{}/api/platform/redis/default/keys/{KEY}", sandboxed.address);
    let sandboxed_bearer = format!("Authorization: Bearer {}", sandboxed.token());
    let peer = format!("http://127.0.0.1:{}/GET/{KEY}", webdis.port);

    // One round warms up before any counts: sessions open, caches and branch predictors fill.
    load.run(&get, &["-H", &bearer])?;
    load.run(&sandboxed_get, &["-H", &sandboxed_bearer])?;
    load.run(&peer, &[])?;
    let info = format!("{}/api/platform/redis/default/info", native.address);
    let insisting = ["-H", &bearer, "-H", "Cache-Control: no-cache"];
    let [
        mut gets,
        mut sandboxed_gets,
        mut beside_gets,
        mut commands,
        mut beside_commands,
        mut hits,
        mut misses,
    ] = std::array::from_fn(|_| Series::default());
    for round in 1..=*rounds {
        load.measure(&native, &get, &["-H", &bearer], &mut gets)?;
        load.measure(&sandboxed, &sandboxed_get, &["-H", &sandboxed_bearer], &mut sandboxed_gets)?;
        load.measure_peer(&peer, &[], &mut beside_gets)?;
        load.measure(&native, &command, &["-s", &script], &mut commands)?;
        load.measure_peer(&peer, &[], &mut beside_commands)?;
        load.measure(&native, &info, &["-H", &bearer], &mut hits)?;
        load.measure(&native, &info, &insisting, &mut misses)?;
        println!("Redis: round {round} of {rounds} done");
    }

    bench.print_heading(load.connections);
    gets.print_beside("GET /keys/{key}", "webdis GET", &beside_gets);
    commands.print_beside("POST /command", "webdis GET", &beside_commands);
    sandboxed_gets.print_beside("GET, sandboxed", "native", &gets);
    hits.print_beside("GET /info, kept", "fresh", &misses);
    println!("an idle session of the sandboxed driver takes {session_memory:.0} KiB");
    Ok(())
}

/// Measures the memory that each of some sessions, opened and used once, adds to the gateway.
fn idle_session_kibibytes(gateway: &Gateway, redis_port: u16) -> Result<f64> {
    let connections = "/api/platform/redis/default/connections";
    for number in 0..IDLE_SESSIONS {
        let identifier = format!("idle-{number}");
        let body = serde_json::json!({"identifier": identifier, "host": "127.0.0.1", "port": redis_port});
        gateway.create(connections, &body)?;
    }
    let before = resident_mebibytes(gateway)?;
    for number in 0..IDLE_SESSIONS {
        let path = format!("/api/platform/redis/default/keys/{KEY}?connection=idle-{number}");
        match gateway.ask("GET", &path, None)? {
            (200, _) => {}
            (status, answer) => bail!("GET {path}: {status} {answer}"),
        }
    }
    Ok((resident_mebibytes(gateway)? - before) * 1024.0 / IDLE_SESSIONS as f64)
}

/// Makes a script by which wrk posts `["GET", KEY]`.
fn command_script(bench: &Bench, token: &str) -> Result<String> {
    let file = bench.folder.join("command.lua");
    let script = format!(
        "wrk.method = 'POST'\n\
         wrk.body = '{{\"command\":[\"GET\",\"{KEY}\"]}}'\n\
         wrk.headers['Content-Type'] = 'application/json'\n\
         wrk.headers['Authorization'] = 'Bearer {token}'\n"
    );
    fs::write(&file, script)?;
    Ok(file.display().to_string())
}
