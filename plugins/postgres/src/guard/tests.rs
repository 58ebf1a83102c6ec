use super::*;
use crate::room::Wanted;
use proptest::prelude::*;
use studio_plugin_api::ErrorCode;

fn inspect(sql: &str) -> Result<inspect::Mentioned, DriverError> {
    inspect::inspect(sql, &Wanted::default())
}

/// The names that a text calls, or the code of its refusal.
fn verdict(sql: &str) -> Result<String, ErrorCode> {
    let name = |called: &inspect::Called| match &called.schema {
        Some(schema) => format!("{schema}.{}", called.name),
        None => called.name.clone(),
    };
    let called = inspect(sql).map_err(|error| error.code)?;
    Ok(called.called.iter().map(name).collect::<Vec<_>>().join(" "))
}

#[test]
fn queries_are_let_through_with_the_names_they_call() {
    for (sql, called) in [
        ("", ""),
        ("-- nothing\n;", ""),
        ("select 1", ""),
        ("select 1;", ""),
        ("select current_user, now from t", ""),
        ("table t", ""),
        ("values (1), (2)", ""),
        ("show search_path", ""),
        ("show all", ""),
        ("with a as (select 1) select * from a", ""),
        ("with recursive a(n) as (select 1 union all select n + 1 from a) select * from a limit 9", ""),
        ("(select 1) union (select 2) order by 1", ""),
        ("explain select 1", ""),
        ("explain (analyze, buffers) select f()", "f"),
        ("explain analyze with a as (select g()) table a", "g"),
        ("select count(*), lower('A')", "count lower"),
        ("select pg_catalog.pg_terminate_backend(1)", "pg_catalog.pg_terminate_backend"),
        ("select db.s.f()", "s.f"),
        ("select \"F\"() filter (where h()) over (order by g(1)) from t", "F g h"),
        (
            "select 1 from f() as x, lateral g(x) where h(x) group by i() having j() order by k() limit l()",
            "f g h i j k l",
        ),
        ("select * from rows from (f(), g()) with ordinality", "f g"),
        ("select array[f()], row(g()), case when h() then i() else j() end, k()::int", "f g h i j k"),
        ("select (select f()), exists (select g()), 1 = any (select h())", "f g h"),
        ("select * from a join b on f() and exists (select g())", "f g"),
        ("select f(g(h(variadic i())))", "f g h i"),
        ("select extract(year from now())", "now pg_catalog.extract"),
        ("select x at time zone 'utc' from t", "pg_catalog.timezone"),
        (
            "select trim(x), substring(x from 1), overlay(x placing y from 1), position(x in y)",
            "pg_catalog.btrim pg_catalog.overlay pg_catalog.position pg_catalog.substring",
        ),
        ("select * from xmltable('/a' passing f() columns x text path g())", "f g"),
        ("select * from json_table(f(), '$' columns (x int path '$.a'))", "f"),
        ("select * from t tablesample bernoulli (f())", "f"),
        ("select max(x) within group (order by f()) from t", "f max"),
        ("with a as materialized (select f()) select 1", "f"),
        ("select 1 from t window w as (partition by f())", "f"),
        ("select distinct on (f()) 1 fetch first g() rows only", "f g"),
        ("select coalesce(f(), greatest(g()), nullif(h(), 1))", "f g h"),
        ("select grouping(a) from t group by cube (f(), a)", "f"),
        // A function can be called as if it were a column.
        ("select (1).pg_cancel_backend", "pg_cancel_backend"),
        ("select t.pg_cancel_backend from generate_series(1, 2) t", "generate_series pg_cancel_backend"),
        ("select (t.a).b[1].c from t", "a b c"),
        ("select s.t.a from s.t", "a"),
        ("select t.* from t", ""),
        // Words in texts, comments and names are no calls.
        ("select 'pg_terminate_backend(1)' as \"f()\" /* g() */ from \"drop table t\"", ""),
        (r#"select '{"FuncCall": {}, "InsertStmt": {}}'"#, ""),
        ("select u&'\\0066()' || e'\\' || f()'", ""),
    ] {
        assert_eq!(verdict(sql), Ok(called.to_owned()), "{sql}");
    }
}

#[test]
fn everything_else_is_refused() {
    for sql in [
        "select 1; select 2",
        "select 1; drop table t",
        "commit; drop table t",
        "begin",
        "commit",
        "rollback",
        "rollback and chain",
        "savepoint a",
        "set transaction read write",
        "set session characteristics as transaction read write",
        "set search_path = x",
        "set role postgres",
        "reset all",
        "discard all",
        "insert into t values (1)",
        "update t set a = 1",
        "delete from t",
        "merge into t using u on true when matched then delete",
        "truncate t",
        "with a as (insert into t values (1) returning *) select * from a",
        "with a as (delete from t returning *) table a",
        "with a as (update t set a = 1 returning *) select 1",
        "with a as (merge into t using u on true when matched then delete returning *) table a",
        "select * from (with a as (delete from t returning *) table a) b",
        "explain analyze delete from t",
        "explain delete from t",
        "explain analyze execute p",
        "explain analyze create table a as select 1",
        "explain analyze declare c cursor for select 1",
        "explain analyze with a as (delete from t returning *) table a",
        "select 1 into t",
        "select 1 into temp t",
        "explain analyze select 1 into t",
        "create table t as select 1",
        "create temp table t (a int)",
        "create materialized view v as select 1",
        "refresh materialized view v",
        "select 1 for update",
        "select * from t for key share skip locked",
        "select * from (select * from t for no key update) a",
        "copy t to stdout",
        "copy t from stdin",
        "copy (select 1) to program 'sh'",
        "copy (select 1) to '/tmp/x'",
        "copy t from '/etc/passwd'",
        "do $$ begin end $$",
        "call p()",
        "prepare p as select 1",
        "execute p",
        "deallocate all",
        "declare c cursor with hold for select 1",
        "fetch c",
        "move c",
        "close all",
        "listen a",
        "unlisten *",
        "notify a",
        "load 'x'",
        "checkpoint",
        "lock table t",
        "vacuum",
        "analyze",
        "cluster",
        "reindex table t",
        "alter system set a = 1",
        "alter table t add a int",
        "drop table t",
        "grant select on t to a",
        "comment on table t is 'a'",
        "create function f() returns int language sql return 1",
        "create extension dblink",
        "import foreign schema a from server b into c",
        "security label on table t is 'a'",
    ] {
        assert_eq!(verdict(sql), Err(ErrorCode::Forbidden), "{sql}");
    }
    let error = inspect("select 1; select 2; select 3").unwrap_err();
    assert!(error.message.ends_with("here are 3"), "{error}");
}

#[test]
fn what_does_not_parse_is_the_querys_error() {
    for sql in ["selec 1", "select 'a", "select (", "select 1 /*", "select \u{0}"] {
        assert_eq!(verdict(sql), Err(ErrorCode::QueryError), "{sql}");
    }
}

#[test]
fn question_names_schemas_and_functions_side_by_side() {
    let mentioned =
        inspect("select a.f(), g(), 1 <+> 2, 'x'::b.c from t order by 1 using operator(s.<<<)").unwrap();
    let question = functions::question(&mentioned);
    assert_eq!(question.parameters[..2], [Some(r#"{"","a"}"#.to_owned()), Some(r#"{"g","f"}"#.to_owned())]);
    assert_eq!(question.parameters[6], Some(r#"{"<+>","<<<"}"#.to_owned()));
    assert_eq!(question.parameters[7], Some(r#"{"c","f","g"}"#.to_owned()));
    assert!(functions::HARMLESS.iter().all(|name| {
        name.chars().all(|letter| letter.is_ascii_lowercase() || "_4".contains(letter) || letter == '7')
    }));
}

#[test]
fn refusals_name_the_function() {
    let error = judge(Some(br#"{"function":"pg_catalog.pg_terminate_backend","asked":1}"#), 1).unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert_eq!(error.details["function"], "pg_catalog.pg_terminate_backend");
}

#[test]
fn only_a_server_that_looked_at_every_name_lets_a_query_through() {
    assert!(judge(Some(br#"{"function":null,"asked":2}"#), 2).is_ok());
    for row in [r#"{"function":null,"asked":1}"#, r#"{"function":null}"#, "{}", "x"] {
        assert_eq!(judge(Some(row.as_bytes()), 2).unwrap_err().code, ErrorCode::Forbidden, "{row}");
    }
    assert_eq!(judge(None, 2).unwrap_err().code, ErrorCode::Forbidden);
}

#[test]
fn what_every_query_has_is_not_asked_for_alone() {
    for sql in [
        "select 1",
        "select * from t where a = 1 and b::text like 'x' order by 1",
        "select cast(a as int) from t",
    ] {
        assert!(inspect(sql).unwrap().is_harmless(), "{sql}");
    }
    for sql in [
        "select f()",
        "select 1 <+> 2",
        "select 'x'::mood",
        "select 1 operator(s.<+>) any (select 1)",
        "select mood 'x'",
    ] {
        assert!(!inspect(sql).unwrap().is_harmless(), "{sql}");
    }
}

/// Queries with `%` where an expression can stand.
const PLACES: &[&str] = &[
    "(select %)",
    "array[1, %]",
    "(% is null)",
    "coalesce(null, %)",
    "case when true then % end",
    "(select 1 from t where % = 1 order by 1)",
    "(with a as (select %) select 1 from a)",
    "(select 1 union select %)",
    "row(1, %)",
    "(select 1 from (values (%)) v)",
    "(select 1 from t join u on % is true)",
    "cast(% as text)",
    "(1 = any (array[%]))",
    "(1 between 0 and %)",
    "(% collate \"C\")",
    "(select 1 from t group by rollup (%))",
    "(select 1 limit %)",
    "(array[1])[%]",
    "xmlelement(name a, %)",
    "json_object('a': %)",
    "json_array(%)",
];

proptest! {
    #[test]
    fn no_depth_or_place_hides_a_call(places in prop::collection::vec(prop::sample::select(PLACES), 0..12)) {
        let expression =
            places.iter().fold("hidden.call()".to_owned(), |inner, place| place.replace('%', &inner));
        prop_assert_eq!(verdict(&format!("select {expression}")), Ok("hidden.call".to_owned()));
    }

    #[test]
    fn no_depth_or_place_hides_a_change(places in prop::collection::vec(prop::sample::select(PLACES), 0..12)) {
        let change = "(with a as (delete from t returning 1) select 1 from a)".to_owned();
        let expression = places.iter().fold(change, |inner, place| place.replace('%', &inner));
        prop_assert_eq!(verdict(&format!("select {expression}")), Err(ErrorCode::Forbidden));
    }

    #[test]
    fn any_text_is_answered(sql in "(select|with|\\(|\\)|,|'|\"|\\$\\$|;|--|/\\*|\\*/|f|1| |=|\\.|explain|into|é){0,30}") {
        let _ = verdict(&sql);
    }
}
