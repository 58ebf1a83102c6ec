use super::*;
use serde_json::json;
use studio_plugin_api::ErrorCode;

fn tree(sql: &str) -> Result<Value, DriverError> {
    write_tree(sql, &Wanted::default()).map(|json| serde_json::from_slice(&json).unwrap())
}

fn run<T: Send + 'static>(
    sql: String,
    work: impl FnOnce(&str, &Wanted) -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(deep::run(sql, work))
}

#[test]
fn trees_are_libpg_querys_json() {
    let select = |targets: Value| {
        json!({"version": 170004, "stmts": [{"stmt": {"SelectStmt": {
            "targetList": targets, "limitOption": "LIMIT_OPTION_DEFAULT", "op": "SETOP_NONE"
        }}}]})
    };
    let target = |value: Value| json!([{"ResTarget": {"val": {"A_Const": value}, "location": 7}}]);
    assert_eq!(tree("select 1").unwrap(), select(target(json!({"ival": {"ival": 1}, "location": 7}))));
    assert_eq!(tree("select 0").unwrap(), select(target(json!({"ival": {}, "location": 7}))));
    assert_eq!(tree("select ''").unwrap(), select(target(json!({"sval": {"sval": ""}, "location": 7}))));
    let strict = tree("create function f() returns int called on null input").unwrap();
    let strict = &strict["stmts"][0]["stmt"]["CreateFunctionStmt"]["options"][0]["DefElem"];
    assert_eq!(strict["arg"], json!({"Boolean": {"boolval": false}}));
    assert_eq!(tree("select null").unwrap(), select(target(json!({"isnull": true, "location": 7}))));
}

#[test]
fn errors_are_the_parsers_own() {
    let message = |sql: &str| tree(sql).unwrap_err().message;
    assert_eq!(message("selec 1"), r#"syntax error at or near "selec""#);
    assert_eq!(message(" \n"), "Query cannot be empty");
    assert_eq!(message("select 'a"), r#"unterminated quoted string at or near "'a""#);
    let text = |query: Value| Sql { query }.text().map_err(|error| error.message);
    assert_eq!(text(json!("select")), Ok("select".to_owned()));
    assert_eq!(text(Value::Null), Err("query not found".to_owned()));
    assert_eq!(text(json!("")), Err("query not found".to_owned()));
    assert_eq!(text(json!(5)), Err("Query must be a string, got number".to_owned()));
}

#[test]
fn hostile_nesting_is_an_error_and_no_crash() {
    let deep = 100_000;
    for sql in [
        format!("select {}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("select {}1{}", "f(".repeat(deep), ")".repeat(deep)),
        format!("select {}1{}", "(select ".repeat(deep), ")".repeat(deep)),
        format!("select {}1", "1 + ".repeat(1_000_000)),
        format!("select {}true", "not ".repeat(deep)),
        format!("select {}1", "1, 2 union select ".repeat(deep)),
        format!("select 1{}", "::int".repeat(deep)),
        format!("select {}", "case when ".repeat(deep)),
        format!("select * from a{}", " cross join b".repeat(deep)),
        format!("select {}1{}", "array[".repeat(deep), "]".repeat(deep)),
    ] {
        let error = run(sql, write_tree).unwrap_err();
        assert_eq!(error.code, ErrorCode::ValidationError, "{error}");
    }
}

#[test]
fn what_nests_as_deeply_as_is_let_through_is_answered() {
    let text = |repeated: &str, closing: &str, count: usize| {
        format!("select {}1{}", repeated.repeat(count), closing.repeat(count))
    };
    for sql in [
        text("1+", "", 1_990),
        text("- ", "", 3_990),
        text("not ", "", 3_990),
        text("(select ", ")", 1_300),
        text("f(", ")", 1_900),
        text("case when ", " then 1 end", 600),
        text("exists (select ", ")", 1_300),
        text("1 union select ", "", 990),
        text("array[", "]", 1_900),
    ] {
        let start = sql[..30].to_owned();
        let answer = run(sql, write_tree);
        assert!(answer.is_ok(), "{start}: {:?}", answer.err());
    }
}

#[test]
fn formatting_puts_a_clause_on_a_line() {
    let formatted = |sql: &str| format::format(sql, &Wanted::default()).unwrap();
    assert_eq!(
        formatted("select a,b from t where x = 1 and y in (1,2)"),
        "select\n  a,\n  b\nfrom\n  t\nwhere\n  x = 1\n  and y in (1, 2)\n"
    );
    assert_eq!(formatted("select 1; select 2;"), "select\n  1;\n\nselect\n  2;\n");
    assert_eq!(format::format("select 'a", &Wanted::default()).unwrap_err().code, ErrorCode::QueryError);
    let deep = format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(run(deep, format::format).unwrap_err().code, ErrorCode::ValidationError);
    let deep = format!("select {}1{}", "(".repeat(1_900), ")".repeat(1_900));
    assert!(run(deep, format::format).is_ok());
}

mod trees {
    use super::*;
    use proptest::prelude::*;

    fn deparse(tree: &Value) -> Result<String, DriverError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(deparse::run(tree.to_string()))
    }

    fn statements() -> Vec<&'static str> {
        include_str!("shapes.sql").split_inclusive(";\n").collect()
    }

    #[test]
    fn trees_become_sql_that_means_the_same() {
        let failures: Vec<_> = statements()
            .into_iter()
            .filter_map(|sql| Some((sql, deparse(&tree(sql).unwrap()).err()?.message)))
            .collect();
        assert!(failures.is_empty(), "{failures:#?}");
        // The deparser forgets the parentheses.
        assert_eq!(
            deparse(&tree("select (a and b) is null").unwrap()).unwrap_err().code,
            ErrorCode::QueryError
        );
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

    /// The point is that the process is still there after it.
    #[test]
    fn trees_with_an_empty_text_anywhere_are_errors_or_sql() {
        let mut emptied = 0;
        for sql in statements() {
            let whole = tree(sql).unwrap();
            let mut found = Vec::new();
            places(&whole, "", &mut found);
            for place in found.iter().filter(|place| whole.pointer(place).is_some_and(Value::is_string)) {
                let mut spoilt = whole.clone();
                *spoilt.pointer_mut(place).unwrap() = json!("");
                let _ = deparse(&spoilt);
                emptied += 1;
            }
        }
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
}
