//! Holds the rooms of `host/src`, each a folder or a file, to their floors: no room imports one from above, or beside
//! it. ARCHITECTURE.md has the same floors. Within a room, files import each other in circles only where a list says
//! so.

use crate::documentation::tokens::{code, is_of_word};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The floors, from the ground up. Rooms of one floor don't import each other.
const FLOORS: [&[&str]; 12] = [
    &["addresses", "count_guard", "memory", "meters", "role", "secrets"],
    &["config"],
    &["budgets", "logging", "plugins", "registry"],
    &["audit", "cache", "connections"],
    &["directory", "sessions"],
    &["identity", "management", "telemetry"],
    &["limits"],
    &["flow"],
    &["gateway"],
    &["http"],
    &["serve"],
    &["cli", "documentation", "fuzzing"],
];

/// Files that are in no room: the library's list of rooms, the program around it, and this test.
const NO_ROOMS: [&str; 3] = ["lib.rs", "main.rs", "floors_tests.rs"];

/// The circles that stay. A lease is an entry's session on loan, which goes back to the entry and is pinged for it; the
/// sessions of all connections have the entries, and an entry asks them for more sessions.
const CIRCLES: [&[&str]; 1] =
    [&["sessions/entry.rs", "sessions/lease.rs", "sessions/ping.rs", "sessions/shared.rs"]];

/// A file below `src`, read for what it imports.
struct Source {
    /// The name, such as `sessions/pool.rs`.
    name: String,
    /// The module's path, such as `["sessions", "pool"]`.
    module: Vec<String>,
    /// The text without comments and tests.
    code: String,
    /// The paths in the code.
    paths: Vec<ModulePath>,
    /// The paths that begin with `crate::`, those in comments and tests too.
    of_crate: Vec<ModulePath>,
}

/// A path such as `crate::sessions::Lease`, as it stands in a file.
struct ModulePath {
    segments: Vec<String>,
    /// The name that `use` gives it here, if it does.
    name: Option<String>,
    is_exported: bool,
}

impl Source {
    fn new(name: String, text: &str) -> Self {
        let module = name.trim_end_matches(".rs").trim_end_matches("/mod").split('/').map(str::to_owned);
        let code = code(text);
        let of_crate = paths(text).into_iter().filter(|path| path.segments[0] == "crate").collect();
        Self { module: module.collect(), paths: paths(&code), code, of_crate, name }
    }

    fn room(&self) -> &str {
        &self.module[0]
    }

    fn is_test(&self) -> bool {
        self.name.contains("tests") || self.name.contains("test_")
    }
}

/// Every file below `src`, by its module.
struct Sources(BTreeMap<Vec<String>, Source>);

impl Sources {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let (mut folders, mut found) = (vec![root.clone()], BTreeMap::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if !NO_ROOMS.contains(&name.as_str()) {
                    let source = Source::new(name, &fs::read_to_string(&path).unwrap());
                    found.insert(source.module.clone(), source);
                }
            }
        }
        Self(found)
    }

    /// Makes a path in a file absolute. Paths into another crate, and to the file's own items, give `None`.
    fn absolute(&self, file: &Source, segments: &[String]) -> Option<Vec<String>> {
        let mut module = file.module.clone();
        let mut rest = segments;
        match segments[0].as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => drop(module.pop()),
            child => {
                module.push(child.to_owned());
                return self.0.contains_key(&module).then(|| [&file.module, segments].concat());
            }
        }
        rest = &rest[1..];
        while rest.first().is_some_and(|segment| segment == "super") {
            module.pop();
            rest = &rest[1..];
        }
        Some([module.as_slice(), rest].concat())
    }

    /// Finds the file that an absolute path leads to, through the imports of the files on its way.
    fn file(&self, path: &[String]) -> Option<&Source> {
        let depth = (1..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth]))?;
        let (file, rest) = (self.0.get(&path[..depth])?, &path[depth..]);
        let imported =
            rest.first().and_then(|name| file.paths.iter().find(|path| path.name.as_ref() == Some(name)));
        let further =
            imported.and_then(|path| self.absolute(file, &path.segments)).filter(|further| further != path);
        further.and_then(|further| self.file(&further)).or(Some(file))
    }

    /// Lists the files that a file needs. A file that it merely exports again, without a use for it, is not one of
    /// them.
    fn needs<'a>(&'a self, file: &'a Source) -> impl Iterator<Item = &'a Source> {
        let is_needed = |path: &&ModulePath| match &path.name {
            Some(name) if path.is_exported => words(&file.code).filter(|word| word == name).count() > 1,
            _ => true,
        };
        let needed = file.paths.iter().filter(is_needed);
        needed.filter_map(|path| self.file(&self.absolute(file, &path.segments)?))
    }

    /// Lists the files of its room that a file needs, and those that they need. The `mod.rs` of a folder that the file
    /// is in does not count.
    fn reach<'a>(&'a self, from: &'a Source) -> BTreeSet<&'a str> {
        let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            let needed = self
                .needs(file)
                .filter(|needed| needed.room() == from.room() && !file.module.starts_with(&needed.module));
            next.extend(needed.filter(|needed| reached.insert(needed.name.as_str())));
        }
        reached
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter| !is_of_word(letter)).filter(|word| !word.is_empty())
}

/// Lists the paths of a text: those that `use` names, and those that stand where they are used.
fn paths(text: &str) -> Vec<ModulePath> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(colons) = rest.find("::") {
        let (before, path) = rest.split_at(rest[..colons].trim_end_matches(is_of_word).len());
        let line = before.trim_end().rsplit(['\n', ';']).next().unwrap_or_default().trim();
        if words(line).last() == Some("use") && line.ends_with("use") {
            let tree = path.split(';').next().unwrap_or_default();
            found.extend(expand(tree).into_iter().map(|(segments, name)| {
                let is_exported = line.starts_with("pub");
                ModulePath { segments, name: Some(name), is_exported }
            }));
            rest = &path[tree.len()..];
        } else {
            let length = path.find(|letter| !is_of_word(letter) && letter != ':').unwrap_or(path.len());
            let segments: Vec<String> = words(&path[..length]).map(str::to_owned).collect();
            if !path.starts_with(':') && !segments.is_empty() {
                found.push(ModulePath { segments, name: None, is_exported: false });
            }
            rest = &path[length..];
        }
    }
    found
}

/// Lists the paths of a `use`, `a::{b, c::{d, e as f}}`, each with the name that it has from then on.
fn expand(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, tree));
        let mut segments: Vec<String> = words(path).map(str::to_owned).collect();
        if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
            segments.pop();
        }
        let name = words(name).filter(|word| *word != "self").last().unwrap_or_default().to_owned();
        return Vec::from_iter((!segments.is_empty()).then_some((segments, name)));
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    let group = &group[..group.rfind('}').unwrap_or(group.len())];
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    found.extend(expand(&format!("{prefix}{}", group[start..at].trim())));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn rooms_import_only_rooms_of_floors_below() {
    let sources = Sources::read();
    let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
    let mut wrong = BTreeSet::new();
    for file in sources.0.values() {
        let Some(own) = floor(file.room()) else {
            wrong.insert(format!("{}: the room is on no floor", file.name));
            continue;
        };
        let named = file.paths.iter().chain(&file.of_crate);
        for path in named.filter_map(|path| sources.absolute(file, &path.segments)) {
            let Some(room) = path.first().filter(|room| *room != file.room()) else { continue };
            if floor(room).is_some_and(|other| other >= own) {
                wrong.insert(format!("{} imports {}", file.name, path.join("::")));
            }
        }
    }
    assert_eq!(wrong, BTreeSet::new(), "arrows that lead up or aside");
}

#[test]
fn files_of_a_room_import_in_no_circle_but_the_listed() {
    let sources = Sources::read();
    let files = || sources.0.values().filter(|file| !file.is_test());
    let reach: BTreeMap<_, _> = files().map(|file| (file.name.as_str(), sources.reach(file))).collect();
    let circle = |file: &str| -> Vec<&str> {
        let both = |other: &&str| {
            reach[file].contains(other) && reach.get(other).is_some_and(|back| back.contains(file))
        };
        reach.keys().copied().filter(both).collect()
    };
    let found: BTreeSet<_> =
        reach.keys().map(|file| circle(file)).filter(|circle| circle.len() > 1).collect();
    let listed = CIRCLES.iter().map(|circle| circle.to_vec()).collect();
    assert_eq!(found, listed, "circles of files, and those that are listed");
}
