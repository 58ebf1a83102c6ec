//! The workspace's dev automation. `cargo xtask --help` lists the tasks.

mod bench;
mod compiler;
mod components;
mod dev;
mod dist;
mod fuzz;
mod gateway;
mod npm;
mod process;
mod pypi;
mod python;
mod sample;
mod servers;
mod setup;
mod test;
mod toolchain;
mod tools;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use dist::Profile;
use std::process::ExitCode;
use workspace::Workspace;

/// Dev automation of studio-gateway.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the workspace needs to compile, where it is missing. The other tasks do it too.
    Setup,
    /// Start a gateway to play with: its own Redis, MongoDB, PostgreSQL and memcached with sample data, one project, and
    /// lines to paste.
    Dev,
    /// Build everything and run all tests, setting up the servers that they need.
    Test {
        /// Clippy looks at all that is compiled, and its warnings are errors.
        #[arg(long)]
        lint: bool,
        /// Handed to the test runner: `cargo xtask test -- identity`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Give libFuzzer's inputs to whatever callers, databases and drivers send, for a minute each unless said otherwise.
    Fuzz {
        /// Only this one.
        target: Option<String>,
        /// How many seconds each target is given.
        #[arg(long)]
        seconds: Option<u64>,
        /// How many inputs each target is given.
        #[arg(long)]
        runs: Option<u64>,
    },
    /// Build the drivers: native libraries and WebAssembly components, each as its `Cargo.toml` says.
    BuildPlugins {
        /// Optimized; components always are.
        #[arg(long)]
        release: bool,
    },
    /// Make target/dist: a folder to copy to a server.
    Dist {
        /// Not optimized, quick to build.
        #[arg(long)]
        debug: bool,
    },
    /// Measure the gateway beside Webdis on the same Redis, beside postgres-meta and pgbench on the same PostgreSQL, and
    /// beside a loop over its client on the same MongoDB; start and memory; then run the micro-benchmarks. Or measure
    /// how the cost of a request grows.
    Bench(bench::Manner),
}

fn main() -> ExitCode {
    if let Some(ended) = compiler::compile_if_asked() {
        return ended;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    process::catch_signals()?;
    let workspace = Workspace::find()?;
    match Arguments::parse().task {
        Task::Setup => setup::prepare(&workspace),
        Task::Dev => dev::run(&workspace),
        Task::Test { lint, arguments } => test::run_everything(&workspace, lint, &arguments),
        Task::Fuzz { target, seconds, runs } => {
            setup::prepare(&workspace)?;
            fuzz::by_hand(&workspace, target.as_deref(), fuzz::Bounds { seconds, runs })
        }
        Task::BuildPlugins { release } => {
            let profile = if release { Profile::Release } else { Profile::Debug };
            dist::build_drivers(&workspace, profile)
        }
        Task::Dist { debug } => {
            let profile = if debug { Profile::Debug } else { Profile::Release };
            let folder = dist::build_and_assemble(&workspace, profile)?;
            println!("{} ({profile}) is ready", folder.display());
            Ok(())
        }
        Task::Bench(manner) => bench::run_rounds(&workspace, manner),
    }
}
