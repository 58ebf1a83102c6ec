//! What SQL costs the gateway before any database sees it: a bounded part of its memory and time, whoever sends it, and
//! nothing once its caller has left.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{Client, PATIENCE, PostgresWorld};

/// What all parsing together may take, with room for what else a gateway does meanwhile.
const MOST_MEMORY: u64 = 400 << 20;

/// The most memory that a process has had so far.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM")).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A text of about so many bytes.
fn repeated(before: &str, unit: &str, after: &str, bytes: usize) -> String {
    format!("{before}{}{after}", unit.repeat(bytes / unit.len()))
}

/// The worst that is known for each byte.
fn worst(bytes: usize) -> Vec<String> {
    [
        ("select ", "1,", "1"),
        ("select ", "-a,", "a"),
        ("select ", "a[1],", "a"),
        ("select ", "a.b.c.d,", "a"),
        ("select 1 order by ", "a,", "a"),
        ("values ", "(1),", "(1)"),
        ("insert into t values ", "(1),", "(1)"),
        ("select ", "case when a then b end,", "1"),
        ("select array[", "1,", "1]"),
        ("select ", "1::a,", "1"),
        ("drop table ", "a,", "a"),
        ("", ";", ""),
        ("", "begin;", ""),
        ("select ", "a,", "'"),
    ]
    .map(|(before, unit, after)| repeated(before, unit, after, bytes))
    .into()
}

fn paths(world: &PostgresWorld) -> Vec<String> {
    let each = ["/query", "/query/parse", "/query/format"];
    each.iter().flat_map(|path| [world.path(path), world.bare_path(path)]).collect()
}

async fn expect_service(world: &PostgresWorld) {
    let rows = world.alpha.viewer.post(&world.path("/query"), json!({"query": "select 1 as n"})).await;
    assert_eq!(rows.expect(200).data()["rows"], json!([{"n": 1}]));
}

#[tokio::test]
async fn postgres_texts_of_too_many_words_are_refused_unparsed() {
    let mut world = PostgresWorld::start().await;
    let viewer = world.alpha.viewer.clone();
    let paths = paths(&world);
    for (index, text) in worst(1_000_000).into_iter().enumerate() {
        // Each of them everywhere takes longer than it tells more.
        for path in paths.iter().skip(index % 3).step_by(3) {
            let answer = viewer.post(path, json!({"query": text})).await;
            let status = if path.contains("/pg-meta/") { 500 } else { 400 };
            assert!([400, status].contains(&answer.status), "{path} {} {answer}", &text[..20]);
        }
    }
    let answer = viewer.post(&world.path("/query"), json!({"query": worst(1_000_000)[0]})).await;
    assert_eq!(answer.refused(400, "VALIDATION_ERROR")["field"], "query");
    let long = json!({"query": repeated("select '", "x", "'", 2 << 20)});
    let answer = viewer.post(&world.path("/query/parse"), long).await;
    assert_eq!(answer.refused(400, "VALIDATION_ERROR")["field"], "query");
    // What people send is far below.
    let ids = format!("select 10000 = any (array[{}]) as n", "123456,".repeat(15_000) + "10000");
    assert_eq!(
        viewer.post(&world.path("/query"), json!({"query": ids})).await.expect(200).data()["rows"][0]["n"],
        true
    );
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
    expect_service(&world).await;
}

#[tokio::test]
async fn postgres_parsing_of_many_callers_takes_the_room_of_few() {
    let mut world = PostgresWorld::start().await;
    let viewer = world.alpha.viewer.clone();
    // Just below what is refused.
    let text = repeated("select ", "a[1],", "a", 25_000);
    let path = world.path("/query/parse");
    let all = (0..12).map(|_| {
        let (viewer, path, text) = (viewer.clone(), path.clone(), text.clone());
        tokio::spawn(async move { viewer.post(&path, json!({"query": text})).await.status })
    });
    let all: Vec<_> = all.collect();
    // A small one does not wait behind the large ones.
    let small = viewer.post(&path, json!({"query": repeated("select ", "a,", "a", 2_000)})).await;
    small.expect(200);
    for each in all {
        assert_eq!(each.await.unwrap(), 200);
    }
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
}

#[tokio::test]
async fn postgres_parsing_ends_with_its_call() {
    let mut world = PostgresWorld::start().await;
    let viewer = world.alpha.viewer.clone();
    let text = repeated("select ", "-a,", "a", 58_000);
    for path in paths(&world) {
        for _ in 0..12 {
            let sent = viewer.post(&path, json!({"query": text}));
            let _ = tokio::time::timeout(Duration::from_millis(30), sent).await;
        }
    }
    let process = world.gateway.process().id();
    let threads = || {
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() == "parser").count()
    };
    assert!(threads() < 70, "{} threads parse", threads());
    let begin = Instant::now();
    while threads() > 0 {
        assert!(begin.elapsed() < *PATIENCE, "{} threads still parse", threads());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
    expect_service(&world).await;
}

#[tokio::test]
async fn postgres_warnings_of_the_parser_do_not_keep_it_busy() {
    let world = PostgresWorld::start().await;
    let viewer = &world.alpha.viewer;
    for unit in ["create global temp table t();", "create GLOBAL/* */temporary table t();"] {
        let text = repeated("", unit, "", 900_000);
        for path in [world.path("/query"), world.path("/query/parse")] {
            let answer = viewer.post(&path, json!({"query": text})).await;
            assert_eq!(answer.refused(400, "VALIDATION_ERROR")["field"], "query");
        }
    }
    let few = json!({"query": "create global temp table t(); select 1"});
    viewer.post(&world.path("/query/parse"), few).await.expect(200);
    expect_service(&world).await;
}

#[tokio::test]
async fn postgres_trees_of_too_many_values_are_refused_unread() {
    let mut world = PostgresWorld::start().await;
    let viewer = world.alpha.viewer.clone();
    let path = world.path("/query/deparse");
    for value in ["{},", "1,", "{\"a\":1},"] {
        let list: Value =
            serde_json::from_str(&format!("[{}1]", value.repeat(2_000_000 / value.len()))).unwrap();
        let answer = viewer.post(&path, json!({"ast": {"stmts": list}})).await;
        assert_eq!(answer.refused(400, "VALIDATION_ERROR")["field"], "ast", "{value}");
    }
    let sql = repeated("select ", "a, ", "a", 9_000);
    let tree = viewer.post(&world.path("/query/parse"), json!({"query": sql})).await.expect(200).data();
    let written = viewer.post(&path, json!({"ast": tree})).await.expect(200).data();
    assert_eq!(written.as_str().unwrap().to_lowercase(), sql);
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
    expect_service(&world).await;
}

#[tokio::test]
async fn postgres_trees_of_definitions_take_as_little_room() {
    let mut world = PostgresWorld::start().await;
    let viewer = world.alpha.viewer.clone();
    let path = world.path("/query/deparse");
    for (sql, least) in [
        (repeated("create table t (", "a int, ", "a int)", 25_000), 3_000),
        (repeated("drop table ", "a, ", "a", 45_000), 15_000),
        (repeated("grant select on t to ", "a, ", "a", 45_000), 15_000),
        (repeated("alter table t ", "drop a, ", "drop a", 70_000), 8_000),
        (repeated("create type t as enum (", "'a', ", "'a')", 90_000), 17_000),
        (repeated("comment on aggregate a(", "int, ", "int) is null", 20_000), 4_000),
    ] {
        let tree = viewer.post(&world.path("/query/parse"), json!({"query": sql})).await.expect(200).data();
        let all = (0..2).map(|_| {
            let (viewer, path, tree) = (viewer.clone(), path.clone(), tree.clone());
            tokio::spawn(async move { viewer.post(&path, json!({"ast": tree})).await })
        });
        let all: Vec<_> = all.collect();
        for each in all {
            let written = each.await.unwrap().expect(200).data();
            assert!(written.as_str().unwrap().split(',').count() > least, "{}", &sql[..30]);
        }
    }
    let most = peak(world.gateway.process().id());
    assert!(most < MOST_MEMORY, "{} MiB", most >> 20);
    expect_service(&world).await;
}

#[tokio::test]
async fn postgres_bodies_of_too_many_values_are_refused_unread() {
    let mut world = PostgresWorld::start().await;
    let (viewer, developer) = (world.alpha.viewer.clone(), world.alpha.developer.clone());
    let before = peak(world.gateway.process().id());
    let list = |value: &str| format!("[{}1]", value.repeat(6_000_000 / value.len()));
    let send = async |client: &Client, path: &str, body: String| {
        let request = client.request("POST", path).header("content-type", "application/json").body(body);
        client.send(request).await
    };
    for value in ["{},", "1,", "[],"] {
        for list in [list(value), format!("[{}]", list(value))] {
            for path in [world.path("/query"), world.bare_path("/query")] {
                let body = format!(r#"{{"query": "select 1", "parameters": {list}}}"#);
                let answer = send(&viewer, &path, body).await;
                assert!([400, 500].contains(&answer.status), "{answer}");
            }
            for path in [world.path("/query/parse"), world.bare_path("/query/format")] {
                let answer = send(&viewer, &path, format!(r#"{{"query": {list}}}"#)).await;
                assert!([400, 500].contains(&answer.status), "{answer}");
            }
            let answer =
                send(&developer, &world.bare_path("/schemas"), format!(r#"{{"name": {list}}}"#)).await;
            assert!([400, 500].contains(&answer.status), "{answer}");
        }
    }
    let more = peak(world.gateway.process().id()) - before;
    assert!(more < 200 << 20, "{} MiB", more >> 20);
    let ids: Vec<u32> = (0..30_000).collect();
    let asked = json!({"query": "select cardinality($1::int[]) as n", "parameters": [ids]});
    assert_eq!(viewer.post(&world.path("/query"), asked).await.expect(200).data()["rows"][0]["n"], 30_000);
}
