//! What is tested: the built gateway and drivers, laid out as an operator has them.

use std::path::PathBuf;

/// Names the folder; `cargo xtask test` makes it and sets this.
pub const VARIABLE: &str = "STUDIO_TEST_DIST";

/// The gateway's program.
pub fn program() -> PathBuf {
    existing("studio-gateway")
}

/// A native driver's file, those that only tests use included: `redis`, `probe`, `single`, `foreign`, `crash`.
pub fn driver(database_type: &str) -> PathBuf {
    existing(&format!("drivers/{database_type}.so"))
}

/// The file of a driver that is a WebAssembly component, those that only tests use included: `echo`.
pub fn component(database_type: &str) -> PathBuf {
    existing(&format!("drivers/{database_type}.wasm"))
}

/// Where gateways keep components' compiled code, all of a run together: each component is compiled once.
pub(crate) fn compiled_folder() -> PathBuf {
    named_or_left(VARIABLE, "test-dist").join("compiled")
}

fn existing(name: &str) -> PathBuf {
    let file = named_or_left(VARIABLE, "test-dist").join(name);
    assert!(file.is_file(), "{} is missing: run `cargo xtask test`", file.display());
    file
}

/// What `cargo xtask test` makes and names by an environment variable. Without that, where it left it last time: in
/// `target/`, which the test program is in too.
pub(crate) fn named_or_left(variable: &str, path: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    let program = std::env::current_exe().expect("the test program's path");
    let found = program.ancestors().map(|folder| folder.join(path)).find(|left| left.exists());
    found.unwrap_or_else(|| panic!("there is no {path} to test with: run `cargo xtask test`"))
}
