//! What PostgreSQL can be made to have or to say, and few databases do: the types generated for it, and its values in
//! `/query`, asked of the real postgres-meta and of our gateway side by side.

use serde_json::json;
use studio_gateway_tests::differential::{Accepted, Normal, Twins};

/// Differences that are known, with their reasons.
const TYPES: &[Accepted] = &[
    Accepted {
        request: "GET /generators/typescript?included_schemas=mixed_calls",
        place: ")",
        reason: "an argument after an `out` one has its own default; postgres-meta counts as if there were no `out` ones",
    },
    Accepted {
        request: "GET /generators/typescript?included_schemas=mixed",
        place: ")",
        reason: "a type is the one that it is; postgres-meta takes an enumeration or a composite type of the same name in \
            any schema for it",
    },
    Accepted {
        request: "GET /generators/go?included_schemas=elsewhere,mixed",
        place: ")",
        reason: "a type is the one that it is",
    },
    Accepted {
        request: "GET /generators/python?included_schemas=elsewhere,mixed",
        place: "",
        reason: "types of one name in two schemas are two; postgres-meta knows one, and may fail with 500",
    },
];
const VALUES: &[Accepted] = &[];
/// Types of one name in two schemas, which is also a part of one.
const NAMESAKES: &str =
    "create type mixed.feeling as enum ('none'); create type elsewhere.feelings as (one elsewhere.feeling)";

/// Views and functions, each a question of its own to a generator of types.
const SCHEMAS: &str = include_str!("../../schemas/shapes.sql");

#[tokio::test]
async fn types_of_odd_views_and_functions_are_those_of_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(TYPES).await else { return };
    twins.prepare(SCHEMAS).await;
    for language in ["typescript", "go", "swift", "python"] {
        for schemas in ["shapes", "shapes,elsewhere", "elsewhere"] {
            twins.get(&format!("/generators/{language}?included_schemas={schemas}")).await;
        }
    }
    twins.get("/generators/typescript?included_schemas=shapes&detect_one_to_one_relationships=true").await;
    twins.get("/generators/typescript?included_schemas=mixed_calls").await;
    twins.get("/generators/typescript?included_schemas=mixed").await;
    // Which of a view's columns comes first is up to the server's plan in postgres-meta.
    let path = "/generators/typescript?included_schemas=ties";
    twins.ask("GET", path, None, Normal::default().lines_in_any_order()).await;
    twins.prepare(NAMESAKES).await;
    twins.get("/generators/python?included_schemas=elsewhere,mixed").await;
    twins.get("/generators/go?included_schemas=elsewhere,mixed").await;
    twins.finish();
}

#[tokio::test]
async fn odd_values_and_texts_in_queries_are_those_of_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(VALUES).await else { return };
    for text in [
        r"set bytea_output = 'escape'; select '\x00ff41'::bytea, array['\x00'::bytea, '\x5c27'], ''::bytea as empty",
        r"set bytea_output = 'escape'; select row('\x00ff'::bytea, 1), '\x5c5c'::bytea",
        r"set local bytea_output = 'escape'; select '\xff'::bytea",
        r#"set client_encoding = 'UTF8'; select 'naïve ☃' as "naïve ☃""#,
        r"set client_encoding = 'latin1'; select 'plain' as plain, 5 as number",
        r"select 1 as n, 2 as n",
        r"select array[1.0000000000000000000000001, 'NaN']::numeric[], '[0:1]={x,y}'::text[], '{}'::int[]",
        r"select 'NaN'::float8, array['NaN', 'Infinity', '-Infinity']::float8[], array['NaN']::float4[] as b",
        r#"select '{{1,2},{3,4}}'::int[], array[null, 'NULL', '', 'a"b', 'c\d', 'e,f']::text[]"#,
        r"select array[9007199254740993]::int8[], '[2:3][1:1]={{1},{2}}'::int[]",
        r"select $tag$ a   b $tag$, e'x\ty', b'101', x'1F', U&'\0041', 'a' as c",
    ] {
        twins.post("/query", json!({"query": text})).await;
    }
    for text in [
        r"select $tag$ a   b $tag$ ,  e'x\ty'",
        r"select b'101',x'1F',U&'\0041'",
        "select 1 /* a /* nested */ comment */, 2 -- and one at the end\n",
        "select a#>>b, c ? d, e ?| f, g @> h from t",
        "create function f() returns int language plpgsql as $body$ begin\n   return   1; end $body$",
    ] {
        // How it is laid out is up to either.
        twins.try_post("/query/format", json!({"query": text})).await;
        twins.post("/query/parse", json!({"query": text})).await;
    }
    twins.finish();
}
