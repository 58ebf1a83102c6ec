//! The things that a machine must have before the workspace compiles, besides Rust.

use crate::{tools, workspace::Workspace};
use anyhow::{Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Names the folder of a libclang, or the file itself, to the programs that use it.
const LIBCLANG: &str = "LIBCLANG_PATH";
/// The package that libclang comes in.
const PACKAGE: &str = "libclang-dev";
/// Where systems put their libraries; Debian has a folder for each version of LLVM besides.
const LIBRARY_FOLDERS: [&str; 6] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/llvm/lib",
];
const LLVM_FOLDERS: &str = "/usr/lib";

/// Installs the things that are missing.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    // Build scripts take the compiler that this variable names, if it is set.
    if std::env::var_os("CXX").is_none() {
        tools::CPP.ensure(workspace)?;
    }
    if has_libclang() {
        return Ok(());
    }
    match tools::install(workspace, &[PACKAGE]) {
        Ok(()) if has_libclang() => Ok(()),
        Ok(()) => bail!(
            "the package `{PACKAGE}` has no libclang in a place that is known here; name it by {LIBCLANG}"
        ),
        Err(reason) => bail!(
            "libclang is missing, without which PostgreSQL's parser, a part of the driver `postgres`, does not compile: \
             install the Debian package `{PACKAGE}`, or name its folder by {LIBCLANG} ({reason})"
        ),
    }
}

/// Tells whether bindgen, which reads the parser's C, will find the library that it loads.
fn has_libclang() -> bool {
    if let Some(named) = std::env::var_os(LIBCLANG) {
        let named = PathBuf::from(named);
        return named.is_file() || has_library(&named);
    }
    let llvm = fs::read_dir(LLVM_FOLDERS).into_iter().flatten().flatten();
    let llvm = llvm.filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm-"));
    let mut folders =
        LIBRARY_FOLDERS.map(PathBuf::from).into_iter().chain(llvm.map(|entry| entry.path().join("lib")));
    folders.any(|folder| has_library(&folder))
}

fn has_library(folder: &Path) -> bool {
    let is_library = |name: &str| {
        let rest = name.strip_prefix("libclang").unwrap_or_default();
        // `libclang-14.so.1`, and not `libclang-cpp.so.14`.
        let rest = rest.trim_start_matches(|letter: char| letter == '-' || letter.is_ascii_digit());
        rest.starts_with(".so") || rest.starts_with(".dylib")
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_library(&entry.file_name().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_found_by_any_name_that_it_has_and_no_other() {
        for (name, is_it) in [
            ("libclang.so", true),
            ("libclang-14.so.1", true),
            ("libclang.so.1", true),
            ("libclang-cpp.so.14", false),
            ("libclangAST.a", false),
            ("libc.so", false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(name), "").unwrap();
            assert_eq!(has_library(folder.path()), is_it, "{name}");
        }
    }
}
