//! Finds the reasons that the code gives in errors' `details.reason`, at every place that gives one.

use super::{
    root,
    tokens::{Token, closing, tokens},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A file of a crate.
struct Source {
    package: PathBuf,
    file: PathBuf,
    tokens: Vec<Token>,
    functions: Vec<Function>,
}

/// A function: where its signature begins, and its body's braces.
struct Function {
    name: String,
    signature: usize,
    open: usize,
    close: usize,
}

/// Lists each reason with the files that give it.
///
/// # Panics
/// If it can't tell which reasons a place gives.
pub(super) fn reasons() -> BTreeMap<String, BTreeSet<PathBuf>> {
    let sources = sources();
    let mut found: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let mut places = 0;
    for source in &sources {
        for expression in given(source) {
            places += 1;
            let reasons = reasons_of(&sources, source, &expression);
            let text = &source.tokens[expression.clone()];
            assert!(!reasons.is_empty(), "{}: which reasons may {text:?} be?", source.file.display());
            for reason in reasons {
                found.entry(reason).or_default().insert(source.file.clone());
            }
        }
    }
    assert!(places > 80, "{places} places give reasons");
    found
}

/// Reads all crates but those for tests.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for parent in [root(), root().join("plugins")] {
        for entry in fs::read_dir(parent).unwrap() {
            let package = entry.unwrap().path();
            let is_of_tests = ["fuzz", "tests", "xtask"].iter().any(|name| package.ends_with(name));
            if package.join("Cargo.toml").is_file() && !is_of_tests {
                read(&package, &package.join("src"), &mut sources);
            }
        }
    }
    sources
}

fn read(package: &Path, folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let is_of_tests = name == "tests" || name.ends_with("_tests") || name == "documentation";
        if is_of_tests {
            continue;
        } else if file.is_dir() {
            read(package, &file, sources);
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let tokens = tokens(&fs::read_to_string(&file).unwrap());
            let functions = functions(&tokens);
            sources.push(Source { package: package.to_owned(), file, tokens, functions });
        }
    }
}

/// Finds the expressions that become a reason: first arguments of `DriverError::connection`, values beside `"reason"`.
fn given(source: &Source) -> Vec<std::ops::Range<usize>> {
    let tokens = &source.tokens;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = |count: usize| at.checked_sub(count).and_then(|before| tokens.get(before));
        let begin = if token.is_word("connection") && before(1).is_some_and(|sign| sign.is_sign(':')) {
            if !before(3).is_some_and(|owner| owner.is_word("DriverError") || owner.is_word("Self")) {
                continue;
            }
            let is_called = tokens.get(at + 1).is_some_and(|sign| sign.is_sign('('));
            assert!(is_called, "{}: `connection` is not called", source.file.display());
            at + 2
        } else if *token == Token::Text("reason".to_owned()) {
            let is_read = before(1).is_some_and(|sign| sign.is_sign('['))
                || before(2).is_some_and(|method| method.is_word("get"));
            if is_read {
                continue;
            }
            let comma = (at + 1..tokens.len()).find(|at| tokens[*at].is_sign(','));
            let comma = comma.filter(|comma| comma - at <= 5);
            comma.unwrap_or_else(|| panic!("{}: a new use of \"reason\"", source.file.display())) + 1
        } else {
            continue;
        };
        // The contract's own function hands on its argument.
        if function_around(source, at).is_some_and(|function| function.name == "connection") {
            continue;
        }
        found.push(begin..end_of_argument(tokens, begin));
    }
    found
}

fn end_of_argument(tokens: &[Token], begin: usize) -> usize {
    let mut at = begin;
    loop {
        match &tokens[at] {
            Token::Sign('(' | '[' | '{') => at = closing(tokens, at) + 1,
            Token::Sign(',' | ')') => return at,
            _ => at += 1,
        }
    }
}

/// Tells the reasons that an expression may be: itself, if it is a string or a constant; else all words that its
/// function ends a branch with, and those that the functions it calls return.
fn reasons_of(sources: &[Source], source: &Source, expression: &std::ops::Range<usize>) -> BTreeSet<String> {
    let tokens = &source.tokens;
    match &tokens[expression.clone()] {
        [Token::Text(reason)] => return BTreeSet::from([reason.clone()]),
        [.., Token::Word(name)] if name.chars().all(|c| c.is_uppercase() || c == '_') => {
            return constant(sources, source, name).into_iter().collect();
        }
        _ => {}
    }
    let function = function_around(source, expression.start).expect("a function around it");
    let mut found = words_of(sources, source, function);
    let called = (function.open..function.close).filter_map(|at| match &tokens[at..at + 2] {
        [Token::Word(name), Token::Sign('(')] => Some(name),
        _ => None,
    });
    let called: BTreeSet<&String> = called.collect();
    for other in sources.iter().filter(|other| other.package == source.package) {
        for function in &other.functions {
            let signature = &other.tokens[function.signature..function.open];
            let gives_text = signature
                .windows(3)
                .any(|part| part[0].is_sign('\'') && part[1].is_word("static") && part[2].is_word("str"));
            if gives_text && called.contains(&function.name) {
                found.extend(words_of(sources, other, function));
            }
        }
    }
    found
}

/// Lists the words that a function's branches end with: behind `=>`, `=`, `{` or `Some(`.
fn words_of(sources: &[Source], source: &Source, function: &Function) -> BTreeSet<String> {
    let tokens = &source.tokens;
    let mut found = BTreeSet::new();
    for at in function.open + 1..function.close {
        let is_value = match &tokens[at - 2..at] {
            [_, Token::Sign('{' | '>' | '=')] => true,
            [Token::Word(word), Token::Sign('(')] => word == "Some",
            _ => false,
        };
        let is_whole = matches!(&tokens[at + 1], Token::Sign(',' | ';' | ')' | '}'));
        match &tokens[at] {
            Token::Text(text) if is_value && is_whole && is_reason(text) => drop(found.insert(text.clone())),
            Token::Word(name) if is_value && is_whole => found.extend(constant(sources, source, name)),
            _ => {}
        }
    }
    found
}

fn is_reason(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_lowercase() || character == '_')
}

/// Finds the value of a constant of a file, else of its crate.
fn constant(sources: &[Source], source: &Source, name: &str) -> Option<String> {
    let of = |source: &Source| {
        source.tokens.windows(7).find_map(|part| match part {
            [constant, own, _, _, _, Token::Sign('='), Token::Text(text)]
                if constant.is_word("const") && own.is_word(name) =>
            {
                Some(text.clone())
            }
            _ => None,
        })
    };
    let of_crate = sources.iter().filter(|other| other.package == source.package);
    of(source).or_else(|| of_crate.map(of).find_map(|found| found)).filter(|text| is_reason(text))
}

fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let [word, Token::Word(name), ..] = &tokens[at..] else { continue };
        if !word.is_word("fn") {
            continue;
        }
        let end = (at..tokens.len()).find(|at| matches!(tokens[*at], Token::Sign('{' | ';')));
        if let Some(open) = end.filter(|end| tokens[*end].is_sign('{')) {
            found.push(Function { name: name.clone(), signature: at, open, close: closing(tokens, open) });
        }
    }
    found
}

/// Finds the innermost function around a token.
fn function_around(source: &Source, at: usize) -> Option<&Function> {
    source.functions.iter().rfind(|function| (function.open..function.close).contains(&at))
}
