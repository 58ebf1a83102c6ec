//! `/query` and its kin, asked of the real postgres-meta and of our gateway side by side.

use serde_json::{Value, json};
use studio_gateway_tests::differential::{Accepted, Twins};

/// Differences that are known, with their reasons.
const TREES: &[Accepted] = &[
    Accepted { request: "POST /query/deparse", place: ".status", reason: DEPARSED },
    Accepted {
        request: "POST /query/format",
        place: ".status",
        reason: "the formatter lays out what it can of an unfinished statement",
    },
];
const DEPARSED: &str =
    "what is no tree at all is taken for an empty one by one server in some cases, by the other in others";
const ERRORS: &[Accepted] = &[
    Accepted { request: "POST /query", place: "error (line 2)", reason: LINE_0 },
    Accepted { request: "POST /query", place: "formattedError (line 2)", reason: LINE_0 },
    Accepted {
        request: "POST /query?queryTimeoutSecs",
        place: ".outcome",
        reason: "says what became of the statement",
    },
];
const LINE_0: &str = "an error at the end of the text is shown there; postgres-meta shows an empty line 0";

async fn query(twins: &mut Twins, text: &str) {
    twins.post("/query", json!({"query": text})).await;
}

#[tokio::test]
async fn values_of_every_type_are_written_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    let columns = twins
        .texts(
            "select quote_ident(attname) from pg_attribute
             where attrelid = 'public.every_type'::regclass and attnum > 0 and not attisdropped order by attnum",
        )
        .await;
    for column in &columns {
        query(&mut twins, &format!("select id, {column} from public.every_type order by id")).await;
        // As part of something greater.
        query(
            &mut twins,
            &format!("select array_agg({column} order by id) from public.every_type where id < 3"),
        )
        .await;
        query(&mut twins, &format!("select to_jsonb({column}) from public.every_type order by id")).await;
    }
    query(&mut twins, "select * from public.every_type order by id").await;
    query(&mut twins, "select e from public.every_type e order by id").await;
    for value in [
        "1.10::numeric",
        "'NaN'::float4, 'Infinity'::float8, '-Infinity'::float8, -0.0::float8",
        "1e21::float8, 1e-7::float8, 123456789012345680000::float8, 0.1::float4, 1.17549435e-38::float4",
        "9007199254740991, -9007199254740991, 9007199254740992, -9007199254740993",
        "array[9007199254740993, 1], array[null::int8]",
        "null as a, null::text as b, '' as c",
        "true, false, array[true, false]",
        "'\\x00ff'::bytea, array['\\x00ff'::bytea], ''::bytea as empty",
        "interval '0', interval '1 month -1 day 00:00:01.5', interval '-1 year', interval '1000000 hours'",
        "array[interval '1 day', null]",
        "date '2024-02-29', timestamp '2024-02-29 12:00', timestamptz '2024-02-29 12:00:00.123456+02'",
        "array[date '2024-02-29'], array[timestamptz '2024-02-29 12:00:00+00']",
        "point(1.5, -2), circle(point(1, 2), 3), box(point(1, 2), point(3, 4))",
        "array[point(1, 2)], array[circle(point(1, 2), 3)]",
        "'{\"a\": 1, \"a\": 2}'::json, '{\"b\": 1, \"a\": 12345678901234567890}'::jsonb, 'null'::json as nothing",
        "array['{\"a\": 1}'::json], array['{}'::jsonb, null]",
        "row(1, 'a', null), row(row(1, 2), array[1, 2])",
        "int4range(1, 5), numrange(null, null), 'empty'::daterange, array[int4range(1, 2)]",
        "'{}'::int[], '{{1,2},{3,4}}'::int[], '[2:3]={7,8}'::int[], '{{{a}}}'::text[]",
        "array['a,b', 'c\"d', 'e\\f', '{g}', ' ', '', null, 'NULL']",
        "'a'::\"char\", 'abc'::char(5), 'x'::name, 1::oid, 'pg_class'::regclass, '(1,2)'::tid",
        "'ok'::public.mood, array['ok', 'sad']::public.mood[], 'a@b'::public.email, 3::public.positive",
        "row('s', 1, 'c', array['t'])::public.address, array[row('s', 1, 'c', null)::public.address]",
        "'12.34'::money, array['12.34'::money], '10.0.0.1'::inet, '10.0.0.0/8'::cidr, '08:00:2b:01:02:03'::macaddr",
        "b'101', b'101'::varbit, array[b'101'], '16/B374D848'::pg_lsn, '1'::xid, '1'::xid8",
        "'a <-> b'::tsquery, 'a:1 b:2'::tsvector, '<a/>'::xml, '$.a'::jsonpath",
        "'a=>1,b=>NULL'::hstore, array['a=>1'::hstore]",
        "1 as a, 2 as b, '3' as a, null as b",
        "1 as a, 3 as \"A\", 4 as \"\"\"q\"\"\", 5 as \"☃\", 7 as \"__proto__\"",
        "repeat('x', 100000)",
        "E'\\u0001\\u001f\\u007f\\u2028 \\U0001F600 </script>'",
        "pg_typeof(1), current_schema, version() is not null",
        "public.out_parameters(1, 'x')",
        "(public.returns_composite()).*",
    ] {
        query(&mut twins, &format!("select {value}")).await;
    }
    twins.finish();
}

#[tokio::test]
async fn statements_of_every_kind_are_answered_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    for text in [
        "select 1",
        "select 1;",
        "select 1; select 2",
        "select 1 as a; select 2 as b, 3 as c",
        "select 1; select 2 where false",
        "select 1 where false; select 2; ;",
        "select where false",
        "select",
        "select from generate_series(1, 3)",
        "-- only a comment",
        "/* another */",
        ";",
        ";;",
        "values (1, 'a'), (2, 'b')",
        "table public.regions order by code",
        "show server_version",
        "explain (costs off) select 1",
        "explain (costs off, format json) select 1",
        "create table public.made (id integer generated always as identity primary key, x text)",
        "insert into public.made (x) values ('a')",
        "insert into public.made (x) values ('b'), ('c') returning *",
        "update public.made set x = 'z' where id = 1",
        "update public.made set x = 'y' returning id",
        "delete from public.made where id = 3",
        "select * from public.made order by id; select count(*) from public.made",
        "begin; insert into public.made (x) values ('gone'); rollback",
        "begin; insert into public.made (x) values ('stays'); commit; select max(x) from public.made",
        "insert into public.made (x) values ('undone'); select 1 / 0",
        "select count(*) from public.made",
        "do $$ begin perform 1; end $$",
        "call public.do_nothing(1)",
        "call shop.swap(1, 2)",
        "set search_path = shop; select count(*) from customers",
        "select current_setting('search_path')",
        "copy (select 1) to stdout",
        "copy public.made to stdout",
        "copy public.made from stdin",
        "listen something; notify something, 'x'",
        "prepare p as select 1; execute p; deallocate p",
        "declare c cursor with hold for select generate_series(1, 3); fetch 2 from c; close c",
        "vacuum public.made",
        "with x as (insert into public.made (x) values ('w') returning x) select * from x",
        "drop table public.made",
        "truncate public.regions; select * from public.regions",
        "create materialized view public.mv as select 1 as one; refresh materialized view public.mv",
        "lock table public.users",
        "select * from public.returns_table() order by id",
        "select public.returns_set_of_record()",
        "select generate_series(1, 3) as n",
    ] {
        query(&mut twins, text).await;
    }
    twins.finish();
}

#[tokio::test]
async fn parameters_are_taken_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    let cases: Vec<(&str, Value)> = vec![
        ("select $1::text as a, $2::int as b", json!(["x", 5])),
        ("select $1::text", json!([null])),
        ("select $1::jsonb", json!([{"a": [1, 2]}])),
        ("select $1::json", json!([{"b": 1, "a": 2}])),
        ("select $1::int[]", json!([[1, 2, null]])),
        ("select $1::text[]", json!([["a,b", "c\"d", null, ""]])),
        ("select $1::text", json!([true])),
        ("select $1::bool", json!([false])),
        ("select $1::numeric", json!([1.5])),
        ("select $1::numeric", json!(["12345678901234567890.123"])),
        ("select $1::timestamptz", json!(["2024-01-01T00:00:00Z"])),
        ("select * from public.users where id = $1", json!([1])),
        ("select * from public.users where name = any($1)", json!([["Jane Doe", "x"]])),
        ("select $1 + 1 as n", json!([41])),
        ("select $1", json!(["untyped"])),
        ("select 1", json!([])),
        ("select 1", json!(["surplus"])),
        ("select $1::int", json!([])),
        ("select $1::int, $2::int", json!([1])),
        ("select $1::int", json!(["not a number"])),
        ("select $1::int; select 2", json!([1])),
        ("select $1::int", Value::Null),
    ];
    for (text, parameters) in cases {
        twins.post("/query", json!({"query": text, "parameters": parameters})).await;
    }
    twins.finish();
}

#[tokio::test]
async fn errors_of_queries_are_told_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(ERRORS).await else { return };
    twins
        .prepare(
            "create function public.complain() returns void language plpgsql as $$
             begin
               raise exception using errcode = 'P0042', message = 'no', detail = 'some', hint = 'try',
                 schema = 's', table = 't', column = 'c', constraint = 'k', datatype = 'd';
             end $$",
        )
        .await;
    for text in [
        "selec 1",
        "select 1 / 0",
        "select nothing",
        "select *\nfrom users\nwhere nothing = 1\norder by 1",
        "select\n\t1,\n\t nothing from public.users",
        "select 'ünïcödé ☃', nothing",
        "select * from nowhere.nothing",
        "select nothing(1)",
        "select public.complain()",
        "do $$ begin raise exception 'a % b', 1; end $$",
        "select 1; select nothing; select 2",
        "select 1;\n\nselect\n  nothing",
        "insert into public.users (id) values (1)",
        "insert into public.users (name, email) values ('x', 'joe@example.com')",
        "insert into public.users (name, email) values ('x', 'no mail')",
        "insert into public.todos (\"user-id\") values (999)",
        "insert into public.todos (details) values ('x')",
        "insert into shop.customers (country, number, name, credit) values ('NZ', 99, 'x', -1)",
        "insert into public.events_2023 (id, happened_at, kind) values (1, '2030-01-01', 'x')",
        "delete from public.users where id = 1; drop schema shop",
        "update public.generated_columns set full_name = 'x'",
        "select 'x'::public.mood",
        "select '2024-02-30'::date",
        "select 'a'::int",
        "select 99999999999",
        "select 99999999999::int",
        "set statement_timeout = '10ms'; select pg_sleep(10)",
        "select set_config('statement_timeout', 'x', false)",
        "set role nobody_at_all",
        "begin; select 1 / 0; select 2; commit",
        "rollback",
        "select $1",
        "select 'unterminated",
        "select \"unterminated",
        "select 1 /* unterminated",
        "select (1",
        "create table public.users ()",
        "drop table public.nothing",
        "copy public.users from '/nowhere'",
        "call public.nothing()",
        "select json 'x'",
        "select xml '<a'",
    ] {
        query(&mut twins, text).await;
    }
    for body in [
        json!({}),
        json!({"query": ""}),
        json!({"query": null}),
        json!({"query": "select 1", "surplus": true}),
    ] {
        twins.post("/query", body.clone()).await;
        twins.post("/query/format", body.clone()).await;
        twins.post("/query/parse", body.clone()).await;
        twins.post("/query/deparse", body).await;
    }
    if twins.are_at_least(14).await {
        // It sets what older servers do not know.
        twins.post("/query?statementTimeoutSecs=1", json!({"query": "select pg_sleep(10)"})).await;
    }
    twins.post("/query?queryTimeoutSecs=1", json!({"query": "select pg_sleep(10)"})).await;
    twins.finish();
}

#[tokio::test]
async fn formatting_parsing_and_deparsing_match_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(TREES).await else { return };
    for text in [
        "select 1",
        "SELECT a,b , c FROM t WHERE x=1 and y = 'z' ORDER BY a desc limit 10",
        "select * from a join b on a.id=b.id left join c using (x) where a.x in (select y from d)",
        "insert into t (a, b) values (1, 2), (3, 4) on conflict (a) do update set b = excluded.b returning *",
        "update t set a = 1, b = default from s where s.id = t.id",
        "delete from t using s where s.id = t.id",
        "with x as (select 1), y as (select 2) select * from x, y",
        "create table t (id bigint generated always as identity primary key, a text not null default 'x', \
         constraint c check (a <> ''))",
        "create view v as select 1 as one",
        "create or replace function f(a int) returns int language sql as $$ select a + 1 $$",
        "create policy p on t for select to public using (true)",
        "alter table t add column b int, drop column a cascade",
        "grant select on t to public; revoke all on t from someone",
        "select case when a then 1 else 2 end, coalesce(b, 0), a::text, cast(b as int), array[1,2], row(1,2)",
        "select count(*) filter (where x), sum(a) over (partition by b order by c rows between 1 preceding and current row)",
        "select 'it''s', E'\\n', $$ dollar $$, b'1', x'ff', 1.5e10, \"Quoted\", \"select\" -- comment\n from t",
        "select 1; select 2;",
        "select a from t union all select b from s except select c from r",
        "select * from t where a is not null and b between 1 and 2 and c like '%x' and not d ilike 'y'",
        "select a->'b'->>'c', a #> '{x}', b @> '{}', c && d from t",
        "do $$ begin perform 1; end $$",
        "begin; commit",
        "explain analyze select 1",
        "set search_path = a, b",
        "select $1, $2::int",
        "",
        ";",
        "selec 1",
        "select (",
        "select 'ünïcödé ☃' as \"☃\"",
    ] {
        // Formatters have tastes of their own.
        twins.try_post("/query/format", json!({"query": text})).await;
        let parsed = twins.post("/query/parse", json!({"query": text})).await;
        if parsed.status == 200 {
            twins.try_post("/query/deparse", json!({"ast": parsed.body})).await;
        }
    }
    for ast in [
        Value::Null,
        json!({}),
        json!([]),
        json!("x"),
        json!({"stmts": []}),
        json!({"version": 1, "stmts": [{}]}),
    ] {
        twins.try_post("/query/deparse", json!({"ast": ast})).await;
    }
    twins.finish();
}
