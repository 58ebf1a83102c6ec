//! Trees from outside, made SQL or refused.

use super::{
    spoilt::{deeply, try_tree},
    *,
};
use proptest::prelude::*;

/// How many of the examples are queries. They come first.
const QUERIES: usize = 145;

fn deparse(tree: &Value) -> Result<String, DriverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(deparse::run(tree.to_string()))
}

fn statements() -> Vec<&'static str> {
    shapes::EXAMPLES.split_inclusive(";\n").collect()
}

#[test]
fn trees_become_sql_that_means_the_same() {
    let failures: Vec<_> = statements()
        .into_iter()
        .filter_map(|sql| Some((sql, deparse(&tree(sql).unwrap()).err()?.message)))
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
    // The deparser forgets the parentheses.
    assert_eq!(deparse(&tree("select (a and b) is null").unwrap()).unwrap_err().code, ErrorCode::QueryError);
}

#[test]
fn statements_are_made_again_however_their_parts_are_combined() {
    for sql in [
        "SELECT a.b, count(*) AS n FROM s.a LEFT JOIN b USING (x) WHERE a.c IN (1, 2) AND NOT b.d GROUP BY a.b ORDER BY n DESC LIMIT 10",
        "SELECT f(g(a + 1, CASE WHEN b THEN ARRAY[1] ELSE ARRAY[c] END)) FROM (SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a)) x",
        "INSERT INTO t (a, b) VALUES (1, f(2)) ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a, b",
        "UPDATE t SET a = b + 1, c = (SELECT max(d) FROM u) WHERE t.a BETWEEN 1 AND 2 RETURNING *",
        "WITH x AS (SELECT 1 AS a) DELETE FROM t USING x WHERE t.a = x.a",
    ] {
        assert_eq!(deparse(&tree(sql).unwrap()).unwrap(), sql);
    }
}

#[test]
fn hostile_trees_are_errors() {
    let deep = format!("{}1{}", "{\"a\":[".repeat(100_000), "]}".repeat(100_000));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(deparse::run(deep)).is_err());
    for tree in [
        json!({"SelectStmt": {"targetList": [{}]}}),
        json!({"SelectStmt": {"targetList": [{"String": {"sval": "a"}}]}}),
        json!({"SelectStmt": {"limitOption": "LIMIT_OPTION_DEFAULT", "op": "SETOP_UNION"}}),
        json!({"RangeVar": {}}),
        json!({"stmt": {}}),
        json!([[[{}]]]),
    ] {
        assert!(deparse(&tree).is_err(), "{tree}");
    }
}

#[test]
fn tree_of_too_long_a_statement_is_refused_uncounted() {
    let mut long = tree("select f(a => 1)").unwrap();
    let name = "/stmts/0/stmt/SelectStmt/targetList/0/ResTarget/val/FuncCall/args/0/NamedArgExpr/name";
    *long.pointer_mut(name).unwrap() = json!("1,".repeat(1 << 20));
    let error = deparse(&long).unwrap_err();
    assert!(error.message.contains("longer than"), "{}", error.message);
}

#[test]
fn a_node_alone_is_a_statement() {
    let parsed = tree("select 1; select 2").unwrap();
    assert_eq!(deparse(&parsed).unwrap(), "SELECT 1;\n\nSELECT 2");
    let node = &parsed["stmts"][0]["stmt"];
    assert_eq!(deparse(node).unwrap(), "SELECT 1");
    assert_eq!(deparse(&json!([node])).unwrap(), "SELECT 1");
    assert_eq!(deparse(&json!([])).unwrap(), "");
    let error = deparse(&json!({"foo": 5})).unwrap_err();
    assert_eq!(error.message, "Error deparsing RawStmt: Deparser does not handle node type: foo");
}

/// Every place in a tree, as a pointer to it.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                found.push(format!("{here}/{index}"));
                places(item, &format!("{here}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                found.push(format!("{here}/{name}"));
                places(field, &format!("{here}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn remove(tree: &mut Value, place: &str) {
    let (parent, last) = place.rsplit_once('/').unwrap();
    match tree.pointer_mut(parent) {
        Some(Value::Array(items)) => drop(items.remove(last.parse().unwrap())),
        Some(Value::Object(fields)) => drop(fields.shift_remove(last)),
        _ => {}
    }
}

#[test]
fn unquoted_names_are_not_parsed_as_the_words_in_them() {
    let mut named = tree("select f(a => 1)").unwrap();
    let place = "/stmts/0/stmt/SelectStmt/targetList/0/ResTarget/val/FuncCall/args/0/NamedArgExpr/name";
    *named.pointer_mut(place).unwrap() = json!("a,".repeat(10_000));
    let error = deparse(&named).unwrap_err();
    assert!(error.message.contains("no SQL that means this tree"), "{error}");
    // As many words that come of values are fine.
    let list = format!("SELECT {}", vec!["a"; 5_000].join(", "));
    assert_eq!(deparse(&tree(&list).unwrap()).unwrap(), list);
}

/// The point is that the process is still there after it.
#[test]
fn trees_with_an_empty_text_anywhere_are_errors_or_sql() {
    let emptied = deeply(|| {
        let mut emptied = 0;
        for (number, sql) in statements().into_iter().enumerate() {
            let whole = tree(sql).unwrap();
            let mut found = Vec::new();
            places(&whole, "", &mut found);
            for place in found.iter().filter(|place| whole.pointer(place).is_some_and(Value::is_string)) {
                emptied += 1;
                // All of them take a minute. Those of queries, which come first, have the most of them a statement.
                if number < QUERIES || usize::is_multiple_of(emptied, 5) {
                    let mut spoilt = whole.clone();
                    *spoilt.pointer_mut(place).unwrap() = json!("");
                    try_tree(&spoilt);
                }
            }
        }
        emptied
    });
    assert!(emptied > 1_000, "{emptied}");
    let mut named = tree("select a from t").unwrap();
    *named.pointer_mut("/stmts/0/stmt/SelectStmt/fromClause/0/RangeVar/relname").unwrap() = json!("");
    assert!(deparse(&named).unwrap_err().message.contains("relname is missing"));
    assert_eq!(deparse(&tree("select ''").unwrap()).unwrap(), "SELECT ''");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The point is that the process is still there after it.
    #[test]
    fn spoilt_trees_are_errors_or_sql(
        one in prop::sample::select(statements()),
        other in prop::sample::select(statements()),
        spoil in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3), 1..4),
    ) {
        let mut spoilt = tree(one).unwrap();
        let other = tree(other).unwrap();
        for (at, from, how) in spoil {
            let mut found = Vec::new();
            places(&spoilt, "", &mut found);
            if found.is_empty() {
                break;
            }
            let place = at.get(&found).clone();
            let mut others = Vec::new();
            places(&other, "", &mut others);
            // Only a part of the same name has a chance to pass.
            let named = place.rsplit('/').next().unwrap().to_owned();
            others.retain(|other| other.rsplit('/').next() == Some(&named));
            match how {
                0 => remove(&mut spoilt, &place),
                _ if others.is_empty() => {}
                _ => {
                    let from: &String = from.get(&others);
                    let part = other.pointer(from).cloned();
                    if let (Some(slot), Some(part)) = (spoilt.pointer_mut(&place), part) {
                        *slot = part;
                    }
                }
            }
        }
        let _ = deparse(&spoilt);
    }
}
