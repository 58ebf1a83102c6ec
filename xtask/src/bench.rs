//! `cargo xtask bench`: the gateway with a native and with a sandboxed driver, and Webdis, before the same Redis, in turns.

use crate::{
    components,
    dev::random_hex,
    dist::{self, Profile},
    gateway::{Gateway, Program},
    process::{output_of, run},
    sample,
    servers::{Redis, Webdis},
    tools,
    workspace::{Workspace, cargo},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The key that is read, and its value.
const KEY: &str = "bench:key";
const VALUE: &str = "The quick brown fox jumps over the lazy dog, sixty-four bytes...";
/// How often the gateway is started to measure that.
const STARTS: usize = 5;
/// Connections opened to see what an idle session of the sandbox takes.
const IDLE_SESSIONS: usize = 40;

/// Measures and prints.
pub fn run_rounds(workspace: &Workspace, rounds: usize, seconds: u32) -> Result<()> {
    let wrk = tools::WRK.ensure(workspace)?;
    let dist = dist::build_and_assemble(workspace, Profile::Release)?;
    let folder = tempfile::tempdir()?;
    let redis = Redis::start(workspace, None)?;
    sample::set(redis.port, KEY, VALUE)?;
    let webdis = Webdis::start(workspace, folder.path(), &redis)?;

    let program = Program::of(&dist, environment(&dist, folder.path())?);
    let mut start_times = Vec::new();
    for _ in 1..STARTS {
        start_times.push(milliseconds(Gateway::start(&program)?.start_time));
    }
    let gateway = Gateway::start(&program)?;
    start_times.push(milliseconds(gateway.start_time));
    std::thread::sleep(Duration::from_secs(1));
    let resident = resident_mebibytes(&gateway)?;
    gateway.set_up(redis.port)?;
    let sandboxed = Gateway::start(&sandboxed_program(&dist, folder.path())?)?;
    sandboxed.set_up(redis.port)?;
    let session_memory = idle_session_kibibytes(&sandboxed, redis.port)?;

    let load = Load { wrk, seconds, folder: folder.path() };
    let get = format!("{}/api/platform/redis/default/keys/{KEY}", gateway.address);
    let command = format!("{}/api/platform/redis/default/command", gateway.address);
    let peer = format!("http://127.0.0.1:{}/GET/{KEY}", webdis.port);
    let script = load.command_script(gateway.token())?;
    let bearer = format!("Authorization: Bearer {}", gateway.token());
    let sandboxed_get = format!("{}/api/platform/redis/default/keys/{KEY}", sandboxed.address);
    let sandboxed_bearer = format!("Authorization: Bearer {}", sandboxed.token());

    // Once before it counts: sessions open, caches and branch predictors warm.
    load.run(&get, &["-H", &bearer])?;
    load.run(&sandboxed_get, &["-H", &sandboxed_bearer])?;
    load.run(&peer, &[])?;
    let (mut gets, mut commands, mut beside_gets, mut beside_commands) = (vec![], vec![], vec![], vec![]);
    let (mut get_cpu, mut command_cpu) = (vec![], vec![]);
    let (mut sandboxed_gets, mut sandboxed_cpu) = (vec![], vec![]);
    for round in 1..=rounds {
        let measure = |gateway: &Gateway, url: &str, arguments: &[&str], cpu: &mut Vec<f64>| -> Result<f64> {
            let before = cpu_seconds(gateway)?;
            let (requests, rate) = load.run(url, arguments)?;
            cpu.push((cpu_seconds(gateway)? - before) * 1e6 / requests);
            Ok(rate)
        };
        gets.push(measure(&gateway, &get, &["-H", &bearer], &mut get_cpu)?);
        let arguments = ["-H", &sandboxed_bearer];
        sandboxed_gets.push(measure(&sandboxed, &sandboxed_get, &arguments, &mut sandboxed_cpu)?);
        beside_gets.push(load.run(&peer, &[])?.1);
        commands.push(measure(&gateway, &command, &["-s", &script], &mut command_cpu)?);
        beside_commands.push(load.run(&peer, &[])?.1);
        println!("round {round} of {rounds} done");
    }

    println!("\nrequests a second, 32 connections, median of {rounds} rounds of {seconds} s");
    for (name, ours, theirs, cpu) in [
        ("GET /keys/{key}", &gets, beside_gets, get_cpu),
        ("POST /command", &commands, beside_commands, command_cpu),
    ] {
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
        println!(
            "{name:<18} gateway {:>7.0}   webdis GET {:>7.0}   ratio {:.2}   gateway CPU {:.1} us a request",
            median(ours.clone()),
            median(theirs),
            median(ratios),
            median(cpu)
        );
    }
    let ratios = sandboxed_gets.iter().zip(&gets).map(|(sandboxed, native)| sandboxed / native).collect();
    println!(
        "GET, sandboxed     gateway {:>7.0}   native     {:>7.0}   ratio {:.2}   gateway CPU {:.1} us a request",
        median(sandboxed_gets),
        median(gets),
        median(ratios),
        median(sandboxed_cpu)
    );
    println!("start to ready     {:.0} ms, median of {STARTS}", median(start_times));
    println!("resident, idle     {resident:.1} MiB");
    println!("an idle session of the sandboxed driver takes {session_memory:.0} KiB");
    drop((gateway, sandboxed, webdis, redis));
    components::build(workspace, workspace.drivers.iter().filter(|driver| !driver.shipped))?;

    for (package, bench) in &workspace.benches {
        run(cargo().current_dir(&workspace.root).args(["bench", "--package", package, "--bench", bench]))?;
    }
    Ok(())
}

fn environment(dist: &Path, folder: &Path) -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("DATABASE_URL", format!("sqlite:{}", folder.join("platform.db").display())),
        ("DATABASE_ENCRYPTION_KEY", random_hex()?),
        ("GATEWAY_JWT_SECRET", random_hex()?),
        ("GATEWAY_PLUGINS", dist.join("plugins.toml").display().to_string()),
        ("GATEWAY_LISTEN", "127.0.0.1:0".to_owned()),
        ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
        ("GATEWAY_COMPILED_FOLDER", folder.join("compiled").display().to_string()),
        ("GATEWAY_LOG", "warn".to_owned()),
    ])
}

/// The same gateway with the Redis driver's component, by the one line that `plugins.toml` says it takes.
fn sandboxed_program(dist: &Path, folder: &Path) -> Result<Program> {
    let folder = folder.join("sandboxed");
    fs::create_dir(&folder)?;
    let plugins = folder.join("plugins.toml");
    let component = dist.join("drivers/redis.wasm");
    let entry =
        format!("[[plugin]]\ntype = \"redis\"\nkind = \"wasm\"\npath = \"{}\"\n", component.display());
    fs::write(&plugins, entry)?;
    let mut environment = environment(dist, &folder)?;
    environment.retain(|(name, _)| *name != "GATEWAY_PLUGINS");
    environment.push(("GATEWAY_PLUGINS", plugins.display().to_string()));
    Ok(Program::of(dist, environment))
}

/// What each of some sessions, opened and used once, adds to the gateway's memory.
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

/// The load generator.
struct Load<'a> {
    wrk: PathBuf,
    seconds: u32,
    folder: &'a Path,
}

impl Load<'_> {
    /// Requests done, and requests a second. An answer that is no success is an error.
    fn run(&self, url: &str, arguments: &[&str]) -> Result<(f64, f64)> {
        let mut command = Command::new(&self.wrk);
        command.args(["-t1", "-c32", &format!("-d{}s", self.seconds)]).args(arguments).arg(url);
        let output = output_of(&mut command)?;
        if let Some(line) =
            output.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
        {
            bail!("{url}: {}", line.trim());
        }
        let requests =
            output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok());
        let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok());
        requests.zip(rate).with_context(|| format!("wrk wrote something else: {output}"))
    }

    /// A script that makes wrk post `["GET", KEY]`.
    fn command_script(&self, token: &str) -> Result<String> {
        let file = self.folder.join("command.lua");
        let script = format!(
            "wrk.method = 'POST'\n\
             wrk.body = '{{\"command\":[\"GET\",\"{KEY}\"]}}'\n\
             wrk.headers['Content-Type'] = 'application/json'\n\
             wrk.headers['Authorization'] = 'Bearer {token}'\n"
        );
        fs::write(&file, script)?;
        Ok(file.display().to_string())
    }
}

/// The processor time that the gateway has used.
fn cpu_seconds(gateway: &Gateway) -> Result<f64> {
    let ticks_a_second: f64 = output_of(Command::new("getconf").arg("CLK_TCK"))?.parse()?;
    let text = fs::read_to_string(format!("/proc/{}/stat", gateway.server.id()?))?;
    // After the name in brackets: the 12th and 13th are time in user mode and in the kernel.
    let (_, rest) = text.rsplit_once(')').context("/proc/PID/stat")?;
    let ticks: Vec<f64> =
        rest.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / ticks_a_second)
}

fn resident_mebibytes(gateway: &Gateway) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/status", gateway.server.id()?))?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("/proc/PID/status")?.parse::<f64>()? / 1024.0)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
