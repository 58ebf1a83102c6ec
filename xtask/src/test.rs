//! `cargo xtask test`: installs everything that the tests need, then runs all of them.

use crate::{
    compiler::{Part, StandIn},
    components,
    dist::{self, Contents, Profile},
    fuzz, npm,
    process::{run, timed},
    pypi, python,
    servers::{self, Postgres},
    setup, tools,
    workspace::{Workspace, cargo},
};
use anyhow::{Result, anyhow};
use std::{
    num::NonZero,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

/// Names for the tests the folder with the built gateway and its drivers.
const DIST: &str = "STUDIO_TEST_DIST";
/// Names for the tests a PostgreSQL whose user may create databases. Set by hand, that server is used.
const POSTGRES_URL: &str = "TEST_POSTGRES_URL";
/// Names for the tests `componentize-py`, where that can be had. Then there is `drivers/pydb.wasm` too.
const PYTHON: &str = "STUDIO_TEST_PYTHON";
/// Names for the tests the program of the real postgres-meta, where that can be had.
const POSTGRES_META: &str = "STUDIO_TEST_POSTGRES_META";
/// Names for the tests a browser and the program that controls it, where they can be had.
const CHROMIUM: &str = "STUDIO_TEST_CHROMIUM";
const CHROMEDRIVER: &str = "STUDIO_TEST_CHROMEDRIVER";

/// Programs that the tests run, each by its file. Tests of those that can't be had say so and are left out.
struct Programs {
    mongo: PathBuf,
    valkey: Option<PathBuf>,
    postgres_meta: Option<PathBuf>,
    chromium: Option<PathBuf>,
    chromedriver: Option<PathBuf>,
    /// Makes drivers of Python.
    componentize: Option<PathBuf>,
}

impl Programs {
    /// Installs the programs that are missing.
    fn install(workspace: &Workspace) -> Result<Self> {
        for needed in [tools::REDIS, tools::MEMCACHED, tools::PGBOUNCER] {
            needed.ensure(workspace)?;
        }
        if std::env::var_os(POSTGRES_URL).is_none() {
            tools::POSTGRES.ensure(workspace)?;
        }
        let mongo = servers::mongodb_program(workspace)?;
        let valkey = servers::valkey_program(workspace)
            .inspect_err(|reason| eprintln!("the Redis driver is not tested with Valkey: {reason:#}"))
            .ok();
        let postgres_meta = npm::install_postgres_meta(workspace)
            .inspect_err(|reason| {
                eprintln!("the PostgreSQL driver is not compared with postgres-meta: {reason:#}")
            })
            .ok();
        let (chromium, chromedriver) = browser(workspace)
            .inspect_err(|reason| eprintln!("no page in a browser asks the gateway: {reason:#}"))
            .ok()
            .unzip();
        let componentize = pypi::COMPONENTIZE
            .ensure(workspace)
            .inspect_err(|reason| eprintln!("drivers in Python are not tested: {reason:#}"))
            .ok();
        Ok(Self { mongo, valkey, postgres_meta, chromium, chromedriver, componentize })
    }
}

/// Runs the build and the tests; with `lint`, clippy looks at all built code. `arguments` go to the test runner.
pub fn run_everything(workspace: &Workspace, lint: bool, arguments: &[String]) -> Result<()> {
    timed("getting what compiling needs", || setup::prepare(workspace))?;
    let lints = lint.then(|| Part::Lints.stand_in(workspace)).transpose()?;
    let tests = Tests { workspace, lints, all: arguments.is_empty() };
    // Installing waits for the network most of the time, and building for the processor.
    let (installed, built) = thread::scope(|scope| {
        let installing =
            scope.spawn(|| timed("installing what the tests run", || Programs::install(workspace)));
        let built = tests.build();
        (installing.join(), built)
    });
    let dist = built?;
    let programs = installed.map_err(|_| anyhow!("installing the tests' programs panicked"))??;
    let postgres = match std::env::var(POSTGRES_URL) {
        Ok(_) => None,
        Err(_) => Some(Postgres::start(workspace, None)?),
    };
    if let Some(componentize) = &programs.componentize {
        timed("building the component pydb", || {
            python::build_guest(workspace, componentize, &dist.join("drivers/pydb.wasm"))
        })?;
    }

    let runner = |words: &[&str]| {
        let mut command = tests.cargo();
        command.args(words).env(DIST, &dist).env(servers::MONGODB, &programs.mongo).stdin(Stdio::null());
        if let Some(postgres) = &postgres {
            command.env(POSTGRES_URL, postgres.url());
        }
        for (variable, program) in [
            (servers::VALKEY, &programs.valkey),
            (PYTHON, &programs.componentize),
            (POSTGRES_META, &programs.postgres_meta),
            (CHROMIUM, &programs.chromium),
            (CHROMEDRIVER, &programs.chromedriver),
        ] {
            match program {
                Some(program) => command.env(variable, program),
                None => command.env_remove(variable),
            };
        }
        command
    };
    if !has_nextest() {
        let run_tests = || run(runner(&["test", "--workspace"]).args(arguments));
        return timed("testing", run_tests);
    }
    // Documentation examples run first, so that the summary of the tests proper is at the end of the output.
    if tests.all {
        timed("testing the documentation's examples", || {
            run(&mut runner(&["test", "--workspace", "--doc", "--quiet"]))
        })?;
    }
    // Many tests wait more than they compute.
    let threads = thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2) * 3;
    timed("testing", || {
        let mut command = runner(&["nextest", "run", "--workspace"]);
        command.arg("--config-file").arg(workspace.root.join("xtask/nextest.toml"));
        run(command.args(["--test-threads", &threads.to_string()]).args(arguments))
    })
}

fn browser(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    Ok((tools::CHROMIUM.ensure(workspace)?, tools::CHROMEDRIVER.ensure(workspace)?))
}

/// The tests that run, and how they are built.
struct Tests<'a> {
    workspace: &'a Workspace,
    /// Stands in for the compiler, where clippy looks at all built code.
    lints: Option<StandIn>,
    /// Whether all tests run, and not only those that somebody asked for.
    all: bool,
}

impl Tests<'_> {
    /// Makes a cargo command for the workspace, the same for building and for running: cargo builds anew all code that
    /// was compiled in another way.
    fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.workspace.root);
        if let Some(lints) = &self.lints {
            lints.take_part(&mut command);
        }
        command
    }

    /// Builds everything, and lays it out as an operator has it. Fuzzing, where all tests run, waits more than it
    /// computes, and goes on beside the rest of the build.
    fn build(&self) -> Result<PathBuf> {
        timed("building the workspace", || {
            // With the same targets as the test run, so that nothing is built twice with other features.
            let mut command = self.cargo();
            command.args(["build", "--locked", "--workspace", "--lib", "--bins", "--tests"]);
            run(command.args(self.lints.as_ref().map(|_| "--benches")))
        })?;
        thread::scope(|scope| {
            let fuzz = || timed("fuzzing", || fuzz::in_tests(self.workspace));
            let fuzzing = self.all.then(|| scope.spawn(fuzz));
            let drivers = Contents::WithTestDrivers.drivers(self.workspace);
            let built = timed("building components", || components::build(self.workspace, drivers));
            let fuzzed = fuzzing.map_or(Ok(Ok(())), |fuzzing| fuzzing.join());
            built.and(fuzzed.map_err(|_| anyhow!("fuzzing panicked"))?)
        })?;
        dist::assemble(self.workspace, Profile::Debug, Contents::WithTestDrivers, "test-dist")
    }
}

fn has_nextest() -> bool {
    let mut command = cargo();
    command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
