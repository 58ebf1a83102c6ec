//! This program in the place of the compiler, where cargo is told to run it for the workspace's own crates
//! (`RUSTC_WORKSPACE_WRAPPER`, <https://doc.rust-lang.org/cargo/reference/config.html#buildrustc-workspace-wrapper>).

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Tells this program that it runs in the compiler's place, and which part of the work it does.
const PART: &str = "STUDIO_COMPILER_PART";
/// Names the program that cargo is to run in the compiler's place.
const WRAPPER: &str = "RUSTC_WORKSPACE_WRAPPER";
/// Tells clippy its options (`cargo clippy -- -D warnings`), each behind this mark.
const CLIPPY_ARGUMENTS: [&str; 2] = ["CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"];

/// The coverage that libFuzzer is guided by (<https://clang.llvm.org/docs/SanitizerCoverage.html>). It can also use
/// sanitizers, which a stable compiler does not have.
const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The work that is done besides compiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Code is compiled with the coverage that libFuzzer needs; build scripts are not.
    Coverage,
    /// Clippy looks at each crate first, and its warnings are errors. The compiled code is the same as without. A
    /// separate `cargo clippy` checks every dependency once more than the build compiles it.
    Lints,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Coverage => "coverage",
            Self::Lints => "lints",
        }
    }

    /// Puts a copy of this program where cargo finds it: cargo may build this very program meanwhile, and then its file is
    /// another.
    pub fn stand_in(self, workspace: &Workspace) -> Result<StandIn> {
        let program = workspace.target_folder("xtask")?.join(format!("compiler-with-{}", self.name()));
        let new = program.with_extension("new");
        fs::copy(std::env::current_exe()?, &new)
            .with_context(|| format!("{} can't be written", new.display()))?;
        fs::rename(&new, &program)?;
        Ok(StandIn { part: self, program })
    }
}

/// A copy of this program that takes the compiler's place.
pub struct StandIn {
    part: Part,
    program: PathBuf,
}

impl StandIn {
    /// Tells a cargo command to run it.
    pub fn take_part(&self, command: &mut Command) {
        command.env(PART, self.part.name()).env(WRAPPER, &self.program);
    }
}

/// Compiles, when cargo runs this program in the compiler's place; else does nothing.
pub fn compile_if_asked() -> Option<ExitCode> {
    let part = std::env::var(PART).ok()?;
    let mut arguments = std::env::args_os().skip(1).peekable();
    let compiler = arguments.next_if(|first| Path::new(first).file_stem() == Some("rustc".as_ref()))?;
    let arguments: Vec<OsString> = arguments.collect();
    let ended = compile(&part, compiler, &arguments);
    Some(ended.unwrap_or_else(|error| {
        eprintln!("the compiler can't be run: {error:#}");
        ExitCode::FAILURE
    }))
}

/// Returns only if something fails.
fn compile(part: &str, compiler: OsString, arguments: &[OsString]) -> Result<ExitCode> {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    let is_crate = arguments.iter().any(|argument| argument.to_string_lossy().starts_with("--emit="));
    let mut command = Command::new(&compiler);
    command.args(arguments);
    if part == Part::Coverage.name() && is_crate && !has("build_script_build") {
        command.args(COVERAGE);
    }
    if part == Part::Lints.name() && is_crate {
        let [variable, options] = CLIPPY_ARGUMENTS;
        let folder = tempfile::tempdir()?;
        let mut clippy = Command::new("clippy-driver");
        clippy.arg(&compiler).args(without_output(arguments)).env(variable, options);
        clippy.arg("--emit=metadata").arg("--out-dir").arg(folder.path());
        if !clippy.status().context("clippy-driver")?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Err(command.exec().into())
}

/// Leaves out the arguments that say which files are made and where, and the wish to be told of each file: cargo would be
/// told of it twice.
fn without_output(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut left = arguments.iter().peekable();
    while let Some(argument) = left.next() {
        let text = argument.to_string_lossy();
        let next = left.peek().map(|next| next.to_string_lossy());
        if text == "--out-dir" || (text == "-C" && next.is_some_and(|next| next.starts_with("incremental=")))
        {
            left.next();
        } else if let Some(wishes) = text.strip_prefix("--json=") {
            let wishes: Vec<_> = wishes.split(',').filter(|wish| *wish != "artifacts").collect();
            kept.push(format!("--json={}", wishes.join(",")).into());
        } else if !text.starts_with("--emit=") {
            kept.push(argument.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clippy_makes_no_files_of_cargos_and_tells_it_of_none() {
        let arguments = [
            "--crate-name",
            "x",
            "--json=diagnostic-rendered-ansi,artifacts,future-incompat",
            "--emit=dep-info,metadata,link",
            "-C",
            "incremental=/target/incremental",
            "-C",
            "metadata=1",
            "--out-dir",
            "/target/deps",
            "src/lib.rs",
        ];
        let kept = without_output(&arguments.map(OsString::from));
        let json = "--json=diagnostic-rendered-ansi,future-incompat";
        assert_eq!(kept, ["--crate-name", "x", json, "-C", "metadata=1", "src/lib.rs"].map(OsString::from));
    }
}
