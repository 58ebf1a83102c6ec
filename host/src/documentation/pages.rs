//! Tests of the pages themselves: their links lead somewhere, and they are short enough to be read.

use super::{pages, read, root};
use std::path::Path;

/// Gives a heading's anchor as hosting platforms make it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .collect::<String>();
    kept.replace(' ', "-")
}

/// Gives a page's text without fenced blocks, whose lines are not headings.
fn prose(page: &str) -> String {
    read(page).split("\n```").step_by(2).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = prose(&page);
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(&page).parent().unwrap();
            let file = if file.is_empty() { Path::new(&page).to_owned() } else { folder.join(file) };
            assert!(root().join(&file).exists(), "{page}: there is no {}", file.display());
            if !heading.is_empty() {
                let there = prose(file.to_str().unwrap());
                let mut headings = there.lines().filter_map(|line| line.strip_prefix('#'));
                let is_there = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(is_there, "{page}: {} has no heading `{heading}`", file.display());
            }
        }
    }
    assert!(count > 30, "{count} links");
}

#[test]
fn pages_are_short_and_the_readme_leads_to_each() {
    let readme = read("README.md");
    for page in pages() {
        let lines = read(&page).lines().count();
        assert!(lines <= 300, "{page} has {lines} lines: split it by theme");
        assert!(page == "README.md" || readme.contains(&format!("({page})")), "README.md leaves out {page}");
    }
}
