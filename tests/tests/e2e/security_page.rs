//! `docs/security.md` names the test that shows each promise: all of them must be there.

use std::{fs, path::Path};

/// All Rust sources below a folder, one after the other.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&format!("mod {};\n", path.file_stem().unwrap().to_str().unwrap()));
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_promise_on_the_page_of_security_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut code = String::new();
    for folder in ["host/src", "plugin-api/src", "plugins", "tests/tests"] {
        sources(&root.join(folder), &mut code);
    }
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).collect();
    let mut found = 0;
    for (promise, tests) in rows.iter().filter(|(promise, _)| *promise != "can't" && *promise != "---") {
        for name in tests.split('`').skip(1).step_by(2) {
            let (module, test) = name.rsplit_once("::").unwrap_or(("", name));
            let sought = if test.is_empty() { format!("mod {module};") } else { format!("fn {test}(") };
            assert!(code.contains(&sought), "{promise}: there is no test `{name}`");
            found += 1;
        }
    }
    assert!(found > 50, "{found} tests are named");
}
