//! The gateway with a native and with a sandboxed Redis driver, and Webdis, before the same Redis.

use super::{
    Bench,
    load::{Series, resident_mebibytes, write_script},
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
/// The keys that there are, of which a page is read.
const KEYS: usize = 1000;
/// The body that asks for the key by a raw command.
const COMMAND: &str = r#"{"command":["GET","bench:key"]}"#;
/// Connections opened to see what an idle session of the sandbox takes.
const IDLE_SESSIONS: usize = 40;

/// Measures and prints.
pub fn measure(bench: &Bench) -> Result<()> {
    let Bench { workspace, dist, folder, load, rounds } = bench;
    let redis = Redis::start(workspace, None)?;
    let others = (1..KEYS).map(|number| (format!("bench:{number}"), VALUE.to_owned()));
    sample::redis::set(redis.port, others.chain([(KEY.to_owned(), VALUE.to_owned())]))?;
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

    let path =
        |gateway: &Gateway, path: &str| format!("{}/api/platform/redis/default{path}", gateway.address);
    let get = format!("/keys/{KEY}");
    let bearer = format!("Authorization: Bearer {}", native.token());
    let (bearer, insisting) = (["-H", &bearer], ["-H", &bearer, "-H", "Cache-Control: no-cache"]);
    let sandboxed_bearer = format!("Authorization: Bearer {}", sandboxed.token());
    let sandboxed_bearer = ["-H", &sandboxed_bearer];
    let script = write_script(&folder.join("command.lua"), native.token(), Some(COMMAND), "")?;
    let sandboxed_script =
        write_script(&folder.join("sandboxed-command.lua"), sandboxed.token(), Some(COMMAND), "")?;
    let (script, sandboxed_script) = (["-s", &script], ["-s", &sandboxed_script]);
    let (native_id, sandboxed_id, webdis_id) = (native.id(), sandboxed.id(), webdis.id()?);
    let peer = format!("http://127.0.0.1:{}/GET/{KEY}", webdis.port);
    let peer_scan = format!("http://127.0.0.1:{}/SCAN/0/COUNT/100", webdis.port);

    // One round warms up before any counts: sessions open, caches and branch predictors fill.
    load.run(&path(&native, &get), &bearer)?;
    load.run(&path(&sandboxed, &get), &sandboxed_bearer)?;
    load.run(&peer, &[])?;
    let [
        mut gets,
        mut sandboxed_gets,
        mut commands,
        mut sandboxed_commands,
        mut beside,
        mut pages,
        mut scans,
    ] = std::array::from_fn(|_| Series::default());
    let [mut hits, mut misses] = std::array::from_fn(|_| Series::default());
    for round in 1..=*rounds {
        load.measure(native_id, &path(&native, "/command"), &script, &mut commands)?;
        load.measure(webdis_id, &peer, &[], &mut beside)?;
        load.measure(native_id, &path(&native, &get), &bearer, &mut gets)?;
        load.measure(sandboxed_id, &path(&sandboxed, &get), &sandboxed_bearer, &mut sandboxed_gets)?;
        load.measure(
            sandboxed_id,
            &path(&sandboxed, "/command"),
            &sandboxed_script,
            &mut sandboxed_commands,
        )?;
        load.measure(native_id, &path(&native, "/keys?count=100"), &bearer, &mut pages)?;
        load.measure(webdis_id, &peer_scan, &[], &mut scans)?;
        load.measure(native_id, &path(&native, "/info"), &bearer, &mut hits)?;
        load.measure(native_id, &path(&native, "/info"), &insisting, &mut misses)?;
        println!("Redis: round {round} of {rounds} done");
    }

    bench.print_heading(load.connections);
    commands.print_beside("POST /command", "webdis GET", &beside);
    gets.print_beside("GET /keys/{key}", "webdis GET", &beside);
    sandboxed_gets.print_beside("GET /keys/{key}, sandboxed", "native", &gets);
    sandboxed_commands.print_beside("POST /command, sandboxed", "native", &commands);
    pages.print_beside("GET /keys?count=100", "webdis SCAN", &scans);
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
