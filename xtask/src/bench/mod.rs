//! `cargo xtask bench`: the gateway beside others before the same databases, in turns, then the micro-benchmarks.

mod growth;
mod load;
mod mongodb;
mod postgres;
mod redis;

use crate::{
    dev::random_hex,
    dist::{self, Profile},
    gateway::{Gateway, Log, Program},
    process::run,
    tools,
    workspace::{Workspace, cargo},
};
use anyhow::Result;
use clap::{Args, ValueEnum};
use load::{Load, median, milliseconds, resident_mebibytes};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often the gateway is started to measure its start.
const STARTS: usize = 5;

/// Requests a minute that none makes.
const NO_LIMIT: &str = "1000000000";

/// The subjects that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The Redis driver, native and sandboxed, beside Webdis.
    Redis,
    /// The MongoDB driver beside its client in a loop.
    Mongodb,
    /// The PostgreSQL driver beside postgres-meta and pgbench.
    Postgres,
    /// Start and memory.
    Start,
    /// The crates' benchmarks in `benches/`.
    Micro,
    /// The cost of a request as connections, answers, projects and tokens grow. Only if it is named.
    Growth,
}

/// How to measure.
#[derive(Debug, Args)]
pub struct Manner {
    /// Only one of them. `growth` is never among all.
    #[arg(value_enum)]
    subject: Option<Subject>,
    /// How many times each measurement is repeated: 5 unless said otherwise, for growth 3.
    #[arg(long)]
    rounds: Option<usize>,
    /// How many seconds each lasts: 5 unless said otherwise, for growth 3.
    #[arg(long)]
    seconds: Option<u32>,
    /// The gateway to measure, as `cargo xtask dist` makes it; otherwise it is built.
    #[arg(long)]
    dist: Option<PathBuf>,
    /// Where growth writes its tables and plots: `target/bench/growth` unless said otherwise.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// The things that all measurements share.
struct Bench<'a> {
    workspace: &'a Workspace,
    dist: PathBuf,
    /// Removed in the end.
    folder: &'a Path,
    load: Load,
    rounds: usize,
}

/// Measures one subject or all, and prints.
pub fn run_rounds(workspace: &Workspace, manner: Manner) -> Result<()> {
    let Manner { subject, rounds, seconds, dist, folder } = manner;
    let usual = if subject == Some(Subject::Growth) { 3 } else { 5 };
    let temporary = tempfile::tempdir()?;
    let bench = Bench {
        workspace,
        load: Load {
            wrk: tools::WRK.ensure(workspace)?,
            seconds: seconds.unwrap_or(usual).max(1),
            connections: 32,
        },
        dist: match dist {
            Some(dist) => fs::canonicalize(dist)?,
            None => dist::build_and_assemble(workspace, Profile::Release)?,
        },
        folder: temporary.path(),
        rounds: rounds.unwrap_or(usual as usize).max(1),
    };
    if subject == Some(Subject::Growth) {
        let folder = folder.map_or_else(|| workspace.target_folder("bench/growth"), Ok)?;
        return growth::measure(&bench, &folder);
    }
    let is_wanted = |one| subject.is_none_or(|subject| subject == one);
    if is_wanted(Subject::Redis) {
        redis::measure(&bench)?;
    }
    if is_wanted(Subject::Mongodb) {
        mongodb::measure(&bench)?;
    }
    if is_wanted(Subject::Postgres) {
        postgres::measure(&bench)?;
    }
    if is_wanted(Subject::Start) {
        bench.measure_start()?;
    }
    if is_wanted(Subject::Micro) {
        dist::build_drivers(workspace, Profile::Release)?;
        for (package, bench) in &workspace.benches {
            run(cargo().current_dir(&workspace.root).args([
                "bench",
                "--package",
                package,
                "--bench",
                bench,
            ]))?;
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn measure_start(&self) -> Result<()> {
        let program = self.program("start", &self.dist.join("plugins.toml"))?;
        let mut start_times = Vec::new();
        for _ in 1..STARTS {
            start_times.push(milliseconds(Gateway::start(&program)?.start_time));
        }
        let gateway = Gateway::start(&program)?;
        start_times.push(milliseconds(gateway.start_time));
        std::thread::sleep(Duration::from_secs(1));
        println!("start to ready     {:.0} ms, median of {STARTS}", median(&start_times));
        println!("resident, idle     {:.1} MiB", resident_mebibytes(&gateway)?);
        Ok(())
    }

    /// Makes a gateway with a fresh registry.
    fn program(&self, name: &str, plugins: &Path) -> Result<Program> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let environment = vec![
            ("DATABASE_URL", format!("sqlite:{}", folder.join("platform.db").display())),
            ("DATABASE_ENCRYPTION_KEY", random_hex()?),
            ("GATEWAY_JWT_SECRET", random_hex()?),
            ("GATEWAY_PLUGINS", plugins.display().to_string()),
            ("GATEWAY_LISTEN", "127.0.0.1:0".to_owned()),
            ("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
            ("GATEWAY_COMPILED_FOLDER", folder.join("compiled").display().to_string()),
            // As in production, limits count and requests are logged; but no limit is ever reached.
            ("GATEWAY_RATE_LIMIT", NO_LIMIT.to_owned()),
            ("GATEWAY_RATE_LIMIT_ADDRESS", NO_LIMIT.to_owned()),
            ("GATEWAY_LOG", "info".to_owned()),
        ];
        Ok(Program { log: Log::Read, ..Program::of(&self.dist, environment) })
    }

    fn print_heading(&self, connections: u32) {
        let (rounds, seconds) = (self.rounds, self.load.seconds);
        println!("\nrequests a second, {connections} connections, median of {rounds} rounds of {seconds} s");
    }
}
