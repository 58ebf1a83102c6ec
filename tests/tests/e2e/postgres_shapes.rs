//! Values and texts that have to arrive as they are: what is laid out anew keeps its words, what comes in another
//! encoding or form its meaning, what has the name of another column its place.

use super::postgres_calls::{run, value};
use serde_json::{Value, json};
use studio_gateway_tests::PostgresWorld;

#[tokio::test]
async fn laid_out_sql_means_what_it_meant() {
    let world = PostgresWorld::start().await;
    let developer = &world.alpha.developer;
    for expression in [
        "$tag$ a   b $tag$",
        "e'x\\ty'",
        "b'101'::text",
        "U&'\\0041'",
        "0x1F",
        "1_000",
        "x'1F'::int",
        "n'a  b'",
        "U&'d!0061t' uescape '!'",
        "'a'\n  'b'",
        "1.5e-3",
        "- - 3",
        "@ -5",
        "array[1,2,3][1:2]",
        "'{\"a\":{\"b\":1}}'::jsonb #>> '{a,b}'",
        "'{\"a\":1}'::jsonb ? 'a'",
        "1 /* a /* b */ c */ + 1",
        "5 # 3 -- xor",
        "operator(pg_catalog.-) 3",
    ] {
        let sql = format!("select {expression} as v");
        // Some of it is of a newer PostgreSQL than the one that runs here.
        let meant = run(developer, &world.path("/query"), &sql).await;
        for path in [world.path("/query/format"), world.bare_path("/query/format")] {
            let formatted = developer.post(&path, json!({ "query": sql })).await.expect(200);
            let text = match path.contains("pg-meta") {
                true => String::from_utf8(formatted.bytes.clone()).unwrap(),
                false => formatted.data().as_str().unwrap().to_owned(),
            };
            let answer = run(developer, &world.path("/query"), &text).await;
            assert_eq!(answer.status, meant.status, "{sql} became {text}: {answer}");
            if meant.status == 200 {
                assert_eq!(value(&answer), value(&meant), "{sql} became {text}");
            }
        }
    }
    let body = "\nfor x in y:\n    if x:\n        return e'  # '\n";
    let sql = format!("create function f() returns text language plpython3u as $py${body}$py$");
    let formatted = developer.post(&world.path("/query/format"), json!({ "query": sql })).await.expect(200);
    assert!(formatted.data().as_str().unwrap().contains(body), "{formatted}");
}

/// What is asked, and the text that the right answer has.
const ACCENTS: &[(&str, &str)] = &[
    ("set client_encoding = 'latin1'; select 'é' as v", "é"),
    ("set client_encoding to latin1; select 'Ã©' as v", "Ã©"),
    ("SET NAMES 'win1252'; select 'œ' as v", "œ"),
    ("set names gbk; select '表' as v", "表"),
    ("set names sjis;\nselect '表{' as v", "表{"),
    ("-- a dump\nset session client_encoding = 'EUC_JP'; select '表' as v", "表"),
    ("begin; set local client_encoding = 'latin2'; select 'ł' as v; commit", "ł"),
    ("select 'ü' as u; set client_encoding = 'latin1'; set client_encoding = 'utf8'; select 'é' as v", "é"),
    ("set client_encoding = 'latin1'; select 'é' as \"größe\"", "é"),
    ("select set_config('client_encoding', 'latin1', false); select 'é' as v", "é"),
    ("select set_config('client_encoding', 'latin1', true) as c; select 'Ã©' as v", "Ã©"),
];

#[tokio::test]
async fn replies_are_read_in_the_encoding_that_they_have() {
    let world = PostgresWorld::start().await;
    let developer = &world.alpha.developer;
    for (sql, expected) in ACCENTS {
        let answer = run(developer, &world.path("/query"), sql).await.expect(200);
        let data = answer.data();
        let sets = data.as_array().unwrap();
        let with_rows = sets.iter().rfind(|set| set["rows"].as_array().is_some_and(|rows| !rows.is_empty()));
        let row = with_rows.unwrap()["rows"][0].as_object().unwrap();
        assert_eq!(row.values().next().unwrap(), expected, "{sql}");
        if sql.contains("größe") {
            assert_eq!(row.keys().next().unwrap(), "größe", "{sql}");
        }
        let bare = developer.post(&world.bare_path("/query"), json!({ "query": sql })).await.expect(200);
        assert_eq!(bare.json()[0].as_object().unwrap().values().next().unwrap(), expected, "{sql}");
    }
    let failing =
        "set client_encoding = 'latin1'; do $$ begin raise exception 'größer' using hint = 'ü'; end $$";
    let details = run(developer, &world.path("/query"), failing).await;
    assert!(details.to_string().contains("größer") && details.to_string().contains('ü'), "{details}");
    // Where it stands in a text it is no statement.
    let quoted = "select '; set names latin1; ' as v";
    assert_eq!(value(&run(developer, &world.path("/query"), quoted).await), "; set names latin1; ");
    run(developer, &world.path("/query"), "set client_encoding = 'klingon'")
        .await
        .refused(400, "QUERY_ERROR");
    // Nobody inherits it.
    assert_eq!(value(&run(developer, &world.path("/query"), "show client_encoding").await), "UTF8");
}

#[tokio::test]
async fn text_in_a_hidden_encoding_is_an_error_and_never_other_text() {
    let world = PostgresWorld::start().await;
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    world
        .database
        .run(
            "create table kept (x int);
         create function quietly() returns text language plpgsql as
           $$ begin return set_config('client_' || 'encoding', 'latin1', false); end $$",
        )
        .await;
    for path in [world.path("/query"), world.bare_path("/query")] {
        for sql in [
            "select quietly(), 'é' as v",
            "select quietly(); select 'Ã©' as v",
            "do $$ begin perform quietly(); end $$; select 1 as \"größe\"",
        ] {
            let answer = run(developer, &path, sql).await;
            assert_eq!(answer.status, 400, "{sql}: {answer}");
            assert!(answer.to_string().contains("client_encoding"), "{sql}: {answer}");
        }
        let answer = run(developer, &path, "insert into kept values (1) returning quietly(), 'é' as v").await;
        assert!(answer.to_string().contains("unknown"), "it is done, and its rows can't be read: {answer}");
        // What is the same in both is no reason for an error.
        run(developer, &path, "select quietly(), 'e' as v").await.expect(200);
        run(viewer, &path, "select 'é' as v").await.expect(200);
    }
    assert_eq!(world.database.text("select count(*)::text from kept").await, "2");
}

#[tokio::test]
async fn bytes_that_are_no_text_are_shown_as_that_wherever_they_stand() {
    let world = PostgresWorld::start().await;
    let developer = &world.alpha.developer;
    let name = format!("{}_ascii", world.database.name);
    world
        .database
        .run(&format!(
            "create database {name} template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
        ))
        .await;
    let url = world.database.url.replace(&world.database.name, &name);
    world.alpha.connect("postgres", json!({"identifier": "ascii", "connection_string": url})).await;
    // create table t ("gröe" text), insert into t values ('köln'), in Latin-1.
    let latin = "do $d$ begin
        execute convert_from('\\x637265617465207461626c6520742028226772f6652220746578742929'::bytea, 'SQL_ASCII');
        execute convert_from('\\x696e7365727420696e746f20742076616c7565732028276bf66c6e2729'::bytea, 'SQL_ASCII');
        end $d$";
    let latin = latin.replace("746578742929", "7465787429");
    run(developer, &world.path("/query?connection=ascii"), &latin).await.expect(200);
    let expected = json!([{"gr\u{fffd}e": "k\u{fffd}ln"}]);
    let bytes = "set client_encoding = 'sql_ascii'; select * from t";
    let answer = run(developer, &world.path("/query?connection=ascii"), bytes).await.expect(200);
    assert_eq!(answer.data()[1]["rows"], expected);
    assert_eq!(answer.data()[1]["fields"][0]["name"], "gr\u{fffd}e");
    let bare = world.bare_path("/query?connection=ascii");
    assert_eq!(developer.post(&bare, json!({ "query": bytes })).await.expect(200).json(), expected);
    // Else the server itself says that they are no UTF-8.
    let refused = run(developer, &world.path("/query?connection=ascii"), "select * from t").await;
    assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], "22021");
    assert_eq!(value(&run(developer, &world.path("/query?connection=ascii"), "select 'é' as v").await), "é");
    for path in ["/schemas", "/types"] {
        developer.get(&world.path(&format!("{path}?connection=ascii"))).await.expect(200);
    }
    run(developer, &world.path("/query"), &format!("drop database {name} with (force)")).await;
}

#[tokio::test]
async fn columns_of_one_name_are_all_answered() {
    let world = PostgresWorld::start().await;
    let developer = &world.alpha.developer;
    let sql = "select 1 as n, 2 as n, 3 as n_2, 'x' as \"N\", 4 as n";
    let data = run(developer, &world.path("/query"), sql).await.expect(200).data();
    assert_eq!(data["rows"], json!([{"n": 1, "n_3": 2, "n_2": 3, "N": "x", "n_4": 4}]));
    let keys: Vec<_> =
        data["fields"].as_array().unwrap().iter().map(|field| (&field["name"], &field["key"])).collect();
    let expected = [
        ("n", json!(null)),
        ("n", json!("n_3")),
        ("n_2", json!(null)),
        ("N", json!(null)),
        ("n", json!("n_4")),
    ];
    let expected: Vec<_> = expected.iter().map(|(name, key)| (json!(name), key.clone())).collect();
    assert_eq!(keys, expected.iter().map(|(name, key)| (name, key)).collect::<Vec<_>>());
    let unnamed = "select 1, 2, count(*), count(*) from pg_class where false";
    let data = run(&world.alpha.viewer, &world.path("/query"), unnamed).await.expect(200).data();
    assert_eq!(data["rows"], json!([{"?column?": 1, "?column?_2": 2, "count": 0, "count_2": 0}]));
    let joined = "select a.*, b.* from (values (1, 2)) a (id, x) join (values (1, 3)) b (id, x) using (id)";
    let arrays =
        developer.post(&world.path("/query?rows_as=arrays"), json!({"query": joined})).await.expect(200);
    assert_eq!(arrays.data()["rows"], json!([[1, 2, 1, 3]]));
    assert_eq!(arrays.data()["fields"][2], json!({"name": "id", "data_type_id": 23, "data_type": "int4"}));
    // Of postgres-meta the last one counts.
    let bare = developer.post(&world.bare_path("/query"), json!({"query": sql})).await.expect(200);
    assert_eq!(bare.json(), json!([{"n": 4, "n_2": 3, "N": "x"}]));
}

#[tokio::test]
async fn arrays_keep_what_their_elements_keep() {
    let world = PostgresWorld::start().await;
    let developer = &world.alpha.developer;
    world.database.run("create type mood as enum ('ok', 'so, so'); create domain small as int").await;
    for (expression, expected) in [
        (
            "array['NaN', 12345678901234567890.5, null]::numeric[]",
            json!(["NaN", "12345678901234567890.5", null]),
        ),
        ("'NaN'::numeric", json!("NaN")),
        (
            "array['NaN', 'Infinity', '-Infinity', 1.5]::float8[]",
            json!(["NaN", "Infinity", "-Infinity", 1.5]),
        ),
        ("'-Infinity'::float4", json!("-Infinity")),
        ("'[0:1]={x,y}'::text[]", json!("[0:1]={x,y}")),
        ("'[2:3][1:1]={{7},{8}}'::int[]", json!("[2:3][1:1]={{7},{8}}")),
        ("'{}'::mood[]", json!([])),
        ("array['ok', 'so, so', null]::mood[]", json!(["ok", "so, so", null])),
        ("array[[1, 2], [3, 4]]::small[]", json!([["1", "2"], ["3", "4"]])),
        ("array[1, 9007199254740993]", json!([1, "9007199254740993"])),
        ("array[b'101', null]", json!(["101", null])),
        ("array[point(1, 2)]", json!(["(1,2)"])),
        ("array[box(point(1, 2), point(3, 4)), null]", json!("{(3,4),(1,2);NULL}")),
        ("array[circle(point(1, 'NaN'), 3)]", json!([{"x": 1, "y": "NaN", "radius": 3}])),
        ("array[interval '1 day 2 hours']", json!(["1 day 02:00:00"])),
        ("array[int4range(1, 5)]", json!(["[1,5)"])),
        ("array['{\"a\": [1]}'::jsonb]", json!([{"a": [1]}])),
        ("array['a', 'b']::name[]", json!(["a", "b"])),
        ("'1 2'::int2vector", json!("1 2")),
        ("array['\\x00ff'::bytea]", json!([{"type": "Buffer", "data": [0, 255]}])),
        ("'{{}'::text", json!("{{}")),
    ] {
        let sql = format!("select {expression} as v");
        let answer = run(developer, &world.path("/query"), &sql).await;
        assert_eq!(value(&answer), expected, "{sql}");
        let arrays = developer.post(&world.path("/query?rows_as=arrays"), json!({ "query": sql })).await;
        assert_eq!(arrays.expect(200).data()["rows"], json!([[expected]]), "{sql}");
    }
    let several = "select 1 as n; select '{ok}'::mood[] as m, 'é' as \"t\\\" from generate_series(1, 2)";
    let data = run(developer, &world.path("/query"), several).await.expect(200).data();
    assert_eq!(data[1]["rows"], json!([{"m": ["ok"], "t\\": "é"}, {"m": ["ok"], "t\\": "é"}]));
}

#[tokio::test]
async fn bytes_are_bytes_in_either_form_that_the_server_writes() {
    let world = PostgresWorld::start().await;
    let developer = &world.alpha.developer;
    let name = format!("{}_escapes", world.database.name);
    world
        .database
        .run(&format!("create role {name} login superuser; alter role {name} set bytea_output = 'escape'"))
        .await;
    let url = world.database.url.replacen("postgres@", &format!("{name}@"), 1);
    world.alpha.connect("postgres", json!({"identifier": "escapes", "connection_string": url})).await;
    let (path, bare) =
        (world.path("/query?connection=escapes"), world.bare_path("/query?connection=escapes"));
    let bytes = |data: &[u8]| json!({"type": "Buffer", "data": data});
    for (expression, expected) in [
        ("'\\x00ff5c27417e7f'::bytea", bytes(&[0, 255, 92, 39, 65, 126, 127])),
        ("''::bytea", bytes(&[])),
        ("'\\\\x41'::bytea", bytes(b"\\x41")),
        (
            "array['\\x005c22', 'a,b', null, '', 'null']::bytea[]",
            json!([bytes(&[0, 92, 34]), bytes(b"a,b"), null_value(), bytes(&[]), bytes(b"null")]),
        ),
    ] {
        let sql = format!("select {expression} as v");
        assert_eq!(value(&run(developer, &path, &sql).await), expected, "{sql}");
        let answer = developer.post(&bare, json!({ "query": sql })).await.expect(200);
        assert_eq!(answer.json(), json!([{ "v": expected }]), "{sql}");
        let set = format!("set bytea_output = 'escape'; {sql}");
        assert_eq!(value(&run(developer, &world.path("/query"), &set).await), expected, "{set}");
    }
    world.database.run(&format!("drop role {name}")).await;
}

fn null_value() -> Value {
    Value::Null
}

#[tokio::test]
async fn generated_types_have_what_the_login_may_touch() {
    let world = PostgresWorld::start().await;
    let role = format!("{}_limited", world.database.name);
    world
        .database
        .run(&format!(
            "create role {role} login;
             create table public.closed_table (a int); create view public.closed_view as select 1 as a;
             create table public.half_open (shown int, hidden int); grant select (shown) on public.half_open to {role};
             create table public.open_table (a int); grant select on public.open_table to {role};
             create schema closed; create table closed.closed_inner (a int)"
        ))
        .await;
    let url = world.database.url.replacen("postgres@", &format!("{role}@"), 1);
    world.alpha.connect("postgres", json!({"identifier": "limited", "connection_string": url})).await;
    for language in ["typescript", "go", "swift", "python"] {
        let path = format!("/generators/{language}?connection=limited");
        for path in [world.path(&path), world.bare_path(&path)] {
            let answer = world.alpha.developer.get(&path).await.expect(200);
            let text = String::from_utf8(answer.bytes.clone()).unwrap().replace('_', "").to_lowercase();
            assert!(text.contains("opentable") && text.contains("shown"), "{path}: {text}");
            for closed in ["closedtable", "closedview", "closedinner", "hidden"] {
                assert!(!text.contains(closed), "{path}: {closed}: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_answered_while_things_come_and_go() {
    let world = PostgresWorld::start().await;
    let mut busy = tokio::task::JoinSet::new();
    for number in 0..3 {
        let database = world.database.clone();
        busy.spawn(async move {
            let statements: String = (0..40)
                .map(|_| {
                    format!(
                        "create table gone_{number} (a int primary key, b int unique check (b > 0));
                         create function gone_{number}(x int) returns int language sql as 'select 1';
                         commit; drop table gone_{number}; drop function gone_{number}; commit;"
                    )
                })
                .collect();
            for _ in 0..3 {
                database.run(&statements).await;
            }
        });
    }
    let mut answers = 0;
    while busy.try_join_next().is_none() && answers < 300 {
        for path in ["/indexes", "/functions", "/generators/typescript", "/columns"] {
            let answer = world.alpha.developer.get(&world.path(path)).await;
            let may_be_retried = answer.status == 503 && answer.header("retry-after").is_some();
            assert!(answer.status == 200 || may_be_retried, "{path}: {answer}");
            answers += 1;
        }
    }
    while let Some(done) = busy.join_next().await {
        done.unwrap();
    }
    assert!(answers > 0);
}
