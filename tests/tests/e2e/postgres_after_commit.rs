//! What was committed is told, whatever fails after it; and errors say all that is known.

use super::postgres_calls::{ask, connect, connect_narrow, run};
use serde_json::{Value, json};
use std::time::Duration;
use studio_gateway_tests::{PostgresOptions, PostgresWorld, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_answer_with_a_new_type_waits_for_no_other_caller() {
    let world = PostgresWorld::start().await;
    world.database.run("create type mood as enum ('glad'); create table kept (x mood)").await;
    let path = connect_narrow(&world).await;
    let (writer, asked) = (world.alpha.developer.clone(), path.clone());
    let writing = tokio::spawn(async move {
        let sql = "insert into kept select 'glad'::mood from pg_sleep(0.6) returning x";
        let request = writer.request("POST", &asked).header("x-request-timeout", "3s");
        writer.send(request.json(&json!({"query": sql}))).await
    });
    let begun = "select count(*)::text from pg_stat_activity where query like 'insert into kept%' and state = 'active'";
    eventually("it is at work", async || world.database.text(begun).await == "1").await;
    let (other, asked) = (world.alpha.developer.clone(), path.clone());
    let waiting = tokio::spawn(async move { run(&other, &asked, "select pg_sleep(5)").await });
    let answer = writing.await.unwrap();
    assert_eq!(answer.data()["fields"][0]["data_type"], "mood", "{answer}");
    waiting.abort();
    assert_eq!(world.database.text("select count(*)::text from kept").await, "1");
}

#[tokio::test]
async fn postgres_type_that_was_renamed_is_called_by_its_new_name() {
    let world = PostgresWorld::start().await;
    world.database.run("create type mood as enum ('glad'); create table kept (x int)").await;
    let path = connect_narrow(&world).await;
    let developer = &world.alpha.developer;
    let name = async |sql: &str| {
        run(developer, &path, sql).await.data()["fields"][0]["data_type"].as_str().map(str::to_owned)
    };
    let of_type = "select null::public.mood as x";
    assert_eq!(name(of_type).await.as_deref(), Some("mood"));
    run(developer, &path, "alter type mood rename to feeling").await.expect(200);
    assert_eq!(name("select null::feeling as x").await.as_deref(), Some("feeling"));
    assert_eq!(name("select kept from kept").await.as_deref(), Some("kept"));
    run(developer, &path, "alter table kept rename to left_over").await.expect(200);
    assert_eq!(name("select left_over from left_over").await.as_deref(), Some("left_over"));
    world.database.run("alter type feeling rename to sense").await;
    eventually("it is asked again", async || {
        name("select null::sense as x").await.as_deref() == Some("sense")
    })
    .await;
}

#[tokio::test]
async fn postgres_gateway_error_during_a_statement_leaves_it_open() {
    const LIMIT: u64 = 1 << 20;
    let options = PostgresWorld::options().set("GATEWAY_MAX_REPLY_BYTES", &LIMIT.to_string());
    let world = PostgresWorld::start_with(options, PostgresOptions::new()).await;
    world.database.run("create table kept (x text)").await;
    let (path, bare) = (world.path("/query"), world.bare_path("/query"));
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    let large = "select repeat('x', 700000)";
    for sql in [
        "insert into kept select repeat('x', 1000) from generate_series(1, 3000) returning *".to_owned(),
        "insert into kept values (repeat('x', 3000000)) returning *".to_owned(),
        format!("insert into kept values (1); {large}; {large}"),
    ] {
        let details = run(developer, &path, &sql).await.refused(507, "RESULT_TOO_LARGE");
        assert_eq!(
            (&details["outcome"], &details["limit_bytes"]),
            (&"unknown".into(), &LIMIT.into()),
            "{sql}"
        );
        if sql.contains(large) {
            // postgres-meta's answer is the last one alone.
            continue;
        }
        let answer = run(developer, &bare, &sql).await.expect(400).json();
        let size = answer["resultSize"].as_u64().unwrap_or_else(|| panic!("{answer}"));
        assert!(size > LIMIT, "{answer}");
        let message =
            format!("Query result size ({size} bytes) exceeded the configured limit ({LIMIT} bytes)");
        let expected = json!({"error": message, "message": message, "code": "RESULT_SIZE_EXCEEDED",
            "resultSize": size, "maxResultSize": LIMIT, "outcome": "unknown"});
        assert_eq!(answer, expected, "{sql}");
    }
    let details = run(viewer, &path, &format!("{large} union all {large} || 'y'")).await;
    assert_eq!(details.refused(507, "RESULT_TOO_LARGE")["outcome"], Value::Null);
    // What the server refuses whole is not open; what it had committed before is.
    let details = run(developer, &path, "insert into kept values (1); select 1/0").await;
    assert_eq!(details.refused(400, "QUERY_ERROR")["outcome"], Value::Null);
    for path in [&path, &bare] {
        let answer =
            run(developer, path, "begin; insert into kept values ('sure'); commit; select 1/0").await;
        assert_eq!(answer.status, 400, "{answer}");
        assert!(answer.to_string().contains("\"outcome\":\"unknown\""), "{answer}");
    }
    assert_eq!(ask(developer, &path, "select count(*) from kept where x = 'sure'").await, 2);
}

#[tokio::test]
async fn postgres_nested_error_has_a_place_and_copied_rows_a_warning() {
    let world = PostgresWorld::start().await;
    let path = world.path("/query");
    let developer = &world.alpha.developer;
    let sql = "do $$ begin execute 'select 1, nope'; end $$";
    let details = run(developer, &path, sql).await.refused(400, "QUERY_ERROR");
    assert_eq!(details["internal_query"], "select 1, nope", "{details}");
    assert_eq!(details["internal_position"], 11, "{details}");
    let set = run(developer, &path, "copy (select 1 from generate_series(1, 9)) to stdout").await.data();
    assert_eq!((&set["rows"], &set["row_count"]), (&json!([]), &9.into()), "{set}");
    assert!(set["warning"].as_str().is_some_and(|text| text.contains("COPY")), "{set}");
    let sets = run(developer, &path, "select 1; copy (select 1) to stdout; select 2").await.data();
    let warned: Vec<bool> = sets.as_array().unwrap().iter().map(|set| set.get("warning").is_some()).collect();
    assert_eq!(warned, [false, true, false], "{sets}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_change_is_shown_by_the_connection_that_made_it() {
    let world = PostgresWorld::start().await;
    connect(&world, "one", json!({"pool_size": 1})).await;
    let developer = &world.alpha.developer;
    let mut holders = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (holder, path) = (developer.clone(), world.path("/query?connection=one"));
        holders.spawn(async move { run(&holder, &path, "select pg_sleep(0.4)").await.expect(200) });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let path = world.path("/schemas?connection=one");
    let request = developer.request("POST", &path).header("x-request-timeout", "10s");
    let answer = developer.send(request.json(&json!({"name": "made"}))).await.expect(201);
    assert_eq!(answer.data()["name"], "made", "{answer}");
    holders.join_all().await;
}
