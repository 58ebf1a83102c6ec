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

mod spoilt;
mod trees;
