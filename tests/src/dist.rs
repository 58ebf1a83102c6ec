//! The files that are tested: the built gateway and drivers, laid out as an operator has them.

use std::path::PathBuf;

/// Names the folder; `cargo xtask test` makes it and sets this.
pub const VARIABLE: &str = "STUDIO_TEST_DIST";

/// Finds the gateway's program.
pub fn program() -> PathBuf {
    existing("studio-gateway")
}

/// Finds a native driver's file, also of those that only tests use: `redis`, `probe`, `single`, `apart`, `foreign`,
/// `crash`.
pub fn driver(database_type: &str) -> PathBuf {
    existing(&format!("drivers/{database_type}.so"))
}

/// Finds the file of a driver that is a WebAssembly component, also of those that only tests use: `echo`.
pub fn component(database_type: &str) -> PathBuf {
    existing(&format!("drivers/{database_type}.wasm"))
}

/// Finds the folder where gateways keep components' compiled code. All gateways of a run share it, so that each
/// component is compiled once.
pub(crate) fn compiled_folder() -> PathBuf {
    named_or_left(VARIABLE, "test-dist").join("compiled")
}

fn existing(name: &str) -> PathBuf {
    let file = named_or_left(VARIABLE, "test-dist").join(name);
    assert!(file.is_file(), "{} is missing: run `cargo xtask test`", file.display());
    file
}

/// Finds a file that `cargo xtask test` makes and names by an environment variable. Without the variable, it is where
/// an earlier run left it: in `target/`, which the test program is in too.
pub(crate) fn named_or_left(variable: &str, path: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    let program = std::env::current_exe().expect("the test program's path");
    let found = program.ancestors().map(|folder| folder.join(path)).find(|left| left.exists());
    found.unwrap_or_else(|| panic!("there is no {path} to test with: run `cargo xtask test`"))
}
