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

fn existing(name: &str) -> PathBuf {
    let folder = match std::env::var_os(VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        // Where `cargo xtask test` left it last time, beside the test program's own folder.
        None => std::env::current_exe()
            .expect("the test program's path")
            .ancestors()
            .map(|folder| folder.join("test-dist"))
            .find(|folder| folder.is_dir())
            .expect("nothing is built to test: run `cargo xtask test`"),
    };
    let file = folder.join(name);
    assert!(file.is_file(), "{} is missing: run `cargo xtask test`", file.display());
    file
}
