//! SQL, the trees that are made of it, and the texts that servers send for values.

use crate::{feedback, runtime::wait};
use studio_driver_postgres::fuzzing;

/// Enough stack for whatever the guard lets pass.
const STACK: usize = 256 << 20;
/// Types that are written in a way of their own, by number, and some that are not known.
const TYPES: [u32; 18] =
    [16, 17, 20, 25, 718, 1000, 1001, 1009, 1016, 1186, 1187, 2951, 3907, 99_999, 23, 114, 701, 1231];

/// Any text as a viewer's: what passes only reads, as `pg_query` itself judges, and calls no more than was seen.
pub(crate) fn guard(input: &[u8]) {
    let Ok(sql) = std::str::from_utf8(input) else { return };
    let inspected = wait(fuzzing::inspect(sql.to_owned()));
    match inspected {
        Ok(called) => {
            feedback::note(called.len());
            let sql = sql.to_owned();
            let judging = std::thread::Builder::new().stack_size(STACK).spawn(move || judge(&sql, &called));
            judging.unwrap().join().unwrap();
        }
        Err(error) => feedback::note_result(&Err::<&[u8], _>(error)),
    }
}

fn judge(sql: &str, called: &[String]) {
    let parsed = pg_query::parse(sql).expect("what passes parses");
    assert!(parsed.dml_tables().is_empty() && parsed.ddl_tables().is_empty(), "it changes tables");
    for kind in parsed.statement_types() {
        assert!(["SelectStmt", "ExplainStmt", "VariableShowStmt"].contains(&kind), "it is a {kind}");
    }
    for function in parsed.call_functions() {
        let is_seen = |name: &String| function == *name || function.ends_with(&format!(".{name}"));
        assert!(called.iter().any(is_seen), "nobody saw it call {function}");
    }
}

/// Any text as SQL to be parsed and laid out, and its tree to be SQL again.
pub(crate) fn parse(input: &[u8]) {
    let Ok(sql) = std::str::from_utf8(input) else { return };
    feedback::note_result(&wait(fuzzing::format(sql.to_owned())));
    let parsed = wait(fuzzing::parse(sql.to_owned()));
    feedback::note_result(&parsed);
    if let Ok(tree) = parsed {
        let tree = String::from_utf8(tree).expect("a tree is text");
        feedback::note_result(&wait(fuzzing::deparse(tree)));
    }
}

/// Any text as a tree.
pub(crate) fn deparse(input: &[u8]) {
    let Ok(tree) = std::str::from_utf8(input) else { return };
    let deparsed = wait(fuzzing::deparse(tree.to_owned()));
    feedback::note_result(&deparsed);
    if let Ok(sql) = deparsed {
        wait(fuzzing::format(sql)).expect("what a tree means is SQL");
    }
}

/// Any bytes as a value that a server sent: what comes of texts is JSON.
pub(crate) fn values(input: &[u8]) {
    let Some((first, text)) = input.split_first() else { return };
    let type_oid = TYPES[usize::from(*first) % TYPES.len()];
    let json = fuzzing::write_value(type_oid, text);
    feedback::note((type_oid, json.first().copied()));
    // Numbers beyond what a double holds are JSON too.
    serde_json::from_slice::<serde::de::IgnoredAny>(&json).expect("a value is JSON");
}
