//! `cargo xtask test`: everything that the tests need, then all of them.

use crate::{
    components,
    dist::{self, Contents, Profile},
    fuzz, npm,
    process::run,
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
/// Name for the tests a browser and what steers it, where they can be had.
const CHROMIUM: &str = "STUDIO_TEST_CHROMIUM";
const CHROMEDRIVER: &str = "STUDIO_TEST_CHROMEDRIVER";

/// Says as what the tests load the Redis driver.
const REDIS_KIND: &str = "STUDIO_TEST_REDIS_KIND";
/// The package of the end-to-end tests, and what the names of those of Redis have in them.
const TESTS: &str = "studio-gateway-tests";
const REDIS_TESTS: &str = "redis_";

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
    /// Installs what is missing.
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

/// Builds and tests. `arguments` go to the test runner.
pub fn run_everything(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    setup::prepare(workspace)?;
    // Installing waits for the network most of the time, and building for the processor.
    let (installed, built) = thread::scope(|scope| {
        let installing = scope.spawn(|| Programs::install(workspace));
        let built = build(workspace, arguments.is_empty());
        (installing.join(), built)
    });
    let dist = built?;
    let programs = installed.map_err(|_| anyhow!("installing the tests' programs panicked"))??;
    let postgres = match std::env::var(POSTGRES_URL) {
        Ok(_) => None,
        Err(_) => Some(Postgres::start(workspace, None)?),
    };
    if let Some(componentize) = &programs.componentize {
        python::build_guest(workspace, componentize, &dist.join("drivers/pydb.wasm"))?;
    }

    let runner = |words: &[&str]| {
        let mut command = in_root(workspace);
        command.args(words).env(DIST, &dist).env(servers::MONGODB, &programs.mongo);
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
    // The tests of Redis once more, with the driver's component in the place of its library.
    let again = |words: &[&str]| {
        let mut command = runner(words);
        command.env(REDIS_KIND, "wasm").stdin(Stdio::null());
        command
    };
    if has_nextest() {
        let settings = workspace.root.join("xtask/nextest.toml");
        // Documentation examples first, so that the summary of the tests proper is what ends the output.
        if arguments.is_empty() {
            run(runner(&["test", "--workspace", "--doc", "--quiet"]).stdin(Stdio::null()))?;
        }
        // Many tests wait more than they compute.
        let threads = thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2) * 3;
        let threads = ["--test-threads".to_owned(), threads.to_string()];
        let mut command = runner(&["nextest", "run", "--workspace", "--config-file"]);
        run(command.arg(&settings).args(&threads).args(arguments).stdin(Stdio::null()))?;
        if arguments.is_empty() {
            // Of the whole workspace: of one package alone, dependencies have fewer features, and are all built again.
            let mut command = again(&["nextest", "run", "--workspace", "--config-file"]);
            let tests = format!("package({TESTS}) & test({REDIS_TESTS})");
            run(command.arg(&settings).args(&threads).args(["--filterset", &tests]))?;
        }
    } else {
        run(runner(&["test", "--workspace"]).args(arguments).stdin(Stdio::null()))?;
        if arguments.is_empty() {
            run(&mut again(&["test", "--package", TESTS, REDIS_TESTS]))?;
        }
    }
    Ok(())
}

fn browser(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    Ok((tools::CHROMIUM.ensure(workspace)?, tools::CHROMEDRIVER.ensure(workspace)?))
}

/// Builds everything, and lays it out as an operator has it. Fuzzing, where that is wanted, waits more than it computes,
/// and goes on beside what is left to build.
fn build(workspace: &Workspace, with_fuzzing: bool) -> Result<PathBuf> {
    // With the same targets as the test run, so that nothing is built twice with other features.
    run(in_root(workspace).args(["build", "--workspace", "--lib", "--bins", "--tests"]))?;
    thread::scope(|scope| {
        let fuzzing = with_fuzzing.then(|| scope.spawn(|| fuzz::in_tests(workspace)));
        let built = components::build(workspace, Contents::WithTestDrivers.drivers(workspace));
        let fuzzed = fuzzing.map_or(Ok(Ok(())), |fuzzing| fuzzing.join());
        built.and(fuzzed.map_err(|_| anyhow!("fuzzing panicked"))?)
    })?;
    dist::assemble(workspace, Profile::Debug, Contents::WithTestDrivers, "test-dist")
}

fn in_root(workspace: &Workspace) -> Command {
    let mut command = cargo();
    command.current_dir(&workspace.root);
    command
}

fn has_nextest() -> bool {
    let mut command = cargo();
    command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
