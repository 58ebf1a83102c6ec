//! Tests that `docs/` agrees with the code: each setting, error code, reason and metric of the code is there, and no
//! other.

mod errors;
mod fields;
mod metrics;
mod pages;
mod settings;
mod sources;
pub(crate) mod tokens;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Finds the workspace's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Reads a page by its path in the workspace.
fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Lists the paths of all pages that people read.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push(format!("{folder}{name}"));
            }
        }
    }
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

/// Gives the cells of each row of a page's tables whose first column has this heading.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(page);
    let mut found = Vec::new();
    let mut is_wanted = false;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.trim_end().strip_suffix('|')) else {
            is_wanted = false;
            continue;
        };
        let cells: Vec<String> = row.split(" | ").map(|cell| cell.trim().to_owned()).collect();
        if lines.peek().is_some_and(|next| next.starts_with("| ---")) {
            is_wanted = cells[0] == heading;
            lines.next();
        } else if is_wanted {
            found.push(cells);
        }
    }
    assert!(!found.is_empty(), "{page} has no table of `{heading}`");
    found
}

/// Gives the texts between backquotes.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Gives the texts of a page's fenced blocks of this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fences = text.split("\n```").skip(1).step_by(2);
    let wanted = fences.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    wanted.map(str::to_owned).collect()
}
