//! `cargo xtask fuzz`: libFuzzer on the borders of the gateway, each a target of the crate in `fuzz/`.
//!
//! When a developer runs it, the workspace's own code is instrumented for it, in a profile of its own: dependencies are
//! built anew the first time, which takes a while. `cargo xtask test` uses the program that it builds anyway, and the
//! targets themselves tell libFuzzer what came of an input.

use crate::{
    compiler::Part,
    process::{run, run_logged, show_end},
    workspace::{Workspace, cargo},
};
use anyhow::{Context, Result, bail};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// The program, and the package that it is in.
const PROGRAM: &str = "studio-fuzz";
/// Tells the program which target it is to run.
const TARGET: &str = "STUDIO_FUZZ_TARGET";
/// The profile of the instrumented build, and its folder.
const PROFILE: &str = "fuzz";
/// Inputs that each target is given by `cargo xtask test`.
const RUNS_IN_TESTS: u64 = 20_000;
/// Seconds that each target is given unless said otherwise.
const SECONDS: u64 = 60;

/// The bounds of a target's run. libFuzzer ends at the first that it reaches.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Seconds.
    pub seconds: Option<u64>,
    /// Inputs.
    pub runs: Option<u64>,
}

/// Fuzzes one target or all, with instrumentation. New inputs that it finds go to `target/fuzz-corpus`, for the next
/// time.
pub fn by_hand(workspace: &Workspace, wanted: Option<&str>, bounds: Bounds) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--package", PROGRAM, "--profile", PROFILE]).current_dir(&workspace.root);
    Part::Coverage.stand_in(workspace)?.take_part(&mut command);
    run(&mut command)?;
    let bounds = match bounds {
        Bounds { seconds: None, runs: None } => Bounds { seconds: Some(SECONDS), runs: None },
        given => given,
    };
    let corpus = workspace.target_folder("fuzz-corpus")?;
    let fuzzer =
        Fuzzer { workspace, program: workspace.target.join(PROFILE).join(PROGRAM), bounds, seed: None };
    fuzzer.fuzz(wanted, &corpus)
}

/// Gives each target a small number of inputs, always the same ones.
pub fn in_tests(workspace: &Workspace) -> Result<()> {
    let corpus = tempfile::tempdir()?;
    let bounds = Bounds { seconds: None, runs: Some(RUNS_IN_TESTS) };
    let fuzzer =
        Fuzzer { workspace, program: workspace.target.join("debug").join(PROGRAM), bounds, seed: Some(1) };
    fuzzer.fuzz(None, corpus.path())
}

struct Fuzzer<'a> {
    workspace: &'a Workspace,
    program: PathBuf,
    bounds: Bounds,
    /// The seed of the random numbers; `None` for another one each time.
    seed: Option<u32>,
}

impl Fuzzer<'_> {
    /// Fuzzes targets, as many at once as there are processors, and tells of each.
    fn fuzz(&self, wanted: Option<&str>, corpus: &Path) -> Result<()> {
        // libFuzzer prints to standard error which things it can't do without sanitizers.
        let listing = Command::new(&self.program).env_remove(TARGET).stderr(Stdio::null()).output();
        let listing = listing.with_context(|| format!("{} can't be run", self.program.display()))?;
        let listed = String::from_utf8(listing.stdout)?;
        let targets: Vec<&str> =
            listed.lines().filter(|target| wanted.is_none_or(|wanted| wanted == *target)).collect();
        if targets.is_empty() {
            bail!("there is no such target; there are {}", listed.trim().replace('\n', ", "));
        }
        let left = Mutex::new(targets.into_iter());
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let failed: Vec<&str> = thread::scope(|scope| {
            let work = || {
                let next = || left.lock().ok()?.next();
                let failed = std::iter::from_fn(next).filter(|target| {
                    self.fuzz_one(target, corpus)
                        .inspect_err(|error| eprintln!("{target}: {error:#}"))
                        .is_err()
                });
                failed.collect::<Vec<_>>()
            };
            let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            running.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
        });
        match failed.as_slice() {
            [] => Ok(()),
            failed => bail!("inputs were found that break {}", failed.join(", ")),
        }
    }

    fn fuzz_one(&self, target: &str, corpus: &Path) -> Result<()> {
        let folder = |path: PathBuf| -> Result<PathBuf> {
            fs::create_dir_all(&path).with_context(|| format!("{} can't be made", path.display()))?;
            Ok(path)
        };
        let own = self.workspace.root.join("fuzz");
        let findings = folder(self.workspace.target.join("fuzz-findings").join(target))?;
        let log = folder(self.workspace.target.join("fuzz-logs"))?.join(target).with_extension("log");
        let mut command = Command::new(&self.program);
        command.env(TARGET, target).current_dir(&findings);
        command.args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        command.args(self.bounds.seconds.map(|seconds| format!("-max_total_time={seconds}")));
        command.args(self.bounds.runs.map(|runs| format!("-runs={runs}")));
        command.args(self.seed.map(|seed| format!("-seed={seed}")));
        // A dictionary of the target's own, or one for all of its kind: `sql` for `sql_guard`.
        let kind = target.split('_').next().unwrap_or_default();
        let words = [target, kind].map(|name| own.join("dictionaries").join(name));
        command.args(words.iter().find(|words| words.is_file()).map(|words| prefixed("-dict=", words)));
        command.arg(prefixed("-artifact_prefix=", &findings.join("")));
        // New inputs go to the first folder.
        command.arg(folder(corpus.join(target))?).arg(own.join("corpus").join(target));
        let started = Instant::now();
        let longest = Duration::from_secs(self.bounds.seconds.unwrap_or(u64::from(u32::MAX)) + 60);
        let ended = run_logged(&mut command, &log, longest);
        if ended.is_err() {
            show_end(&log);
            eprintln!("the input is in {}", findings.display());
        }
        ended?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        let inputs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let inputs: u64 = inputs.and_then(|inputs| inputs.trim().parse().ok()).unwrap_or_default();
        let seconds = started.elapsed().as_secs_f64();
        println!("{target}: {inputs} inputs in {seconds:.1} s");
        Ok(())
    }
}

fn prefixed(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push(path);
    text
}
