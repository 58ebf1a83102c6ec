//! What one caller's SQL did to a connection is gone before the next caller gets it; what nobody waits for any more is
//! stopped on the server; results that are too large take no room.

use super::postgres_calls::{GONE, ask, at_work, connect, connect_narrow, is_gone, process_id, run, value};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{Mode, PostgresOptions, PostgresWorld, Proxy, eventually};
use tokio::task::JoinSet;

/// What SQL does to a connection, and a query whose answer it changes there.
const TRACES: &[(&str, &str)] = &[
    ("set work_mem = '77MB'", "show work_mem"),
    ("set time zone 'Asia/Tokyo'", "show timezone"),
    ("set search_path = nowhere", "show search_path"),
    ("set datestyle = german", "select current_date::text like '%.%'"),
    ("set statement_timeout = 77777", "show statement_timeout"),
    ("set session characteristics as transaction read only", "show default_transaction_read_only"),
    ("set default_transaction_isolation = serializable", "show default_transaction_isolation"),
    ("set role pg_monitor", "select current_user::text"),
    ("set session authorization pg_monitor", "select session_user::text"),
    ("create temp table scratch (x int)", "select to_regclass('pg_temp.scratch') is null"),
    ("create temp view glance as select 1", "select to_regclass('pg_temp.glance') is null"),
    ("begin; create table left_open (x int)", "select to_regclass('left_open') is null"),
    ("begin; set local work_mem = '78MB'; savepoint a", "show work_mem"),
    ("begin; listen news; commit", "select count(*) from pg_listening_channels()"),
    (
        "select pg_advisory_lock(5)",
        "select count(*) from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())",
    ),
    ("begin; lock table kept", "select count(*) from pg_locks where relation = to_regclass('kept')"),
    ("prepare plan as select 1", "select count(*) from pg_prepared_statements where name = 'plan'"),
    ("declare c cursor with hold for select 1", "select count(*) from pg_cursors where name = 'c'"),
    ("select nextval('numbers')", "select count(*) from (select 1 from pg_sequences where last_value = 0) s"),
];

#[tokio::test]
async fn postgres_connection_has_no_trace_of_the_caller_before() {
    let world = PostgresWorld::start().await;
    world.database.run("create table kept (x int); create sequence numbers").await;
    let path = connect_narrow(&world).await;
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    let id = process_id(viewer, &path).await;
    for (trace, question) in TRACES {
        let before = ask(developer, &path, question).await;
        let during = run(developer, &path, &format!("{trace}; {question}")).await;
        if !trace.contains("nextval") {
            assert_ne!(value(&during), before, "this leaves no trace at all: {trace}");
        }
        assert_eq!(ask(developer, &path, question).await, before, "{trace}");
        run(developer, &path, trace).await.expect(200);
        assert_eq!(ask(viewer, &path, question).await, before, "{trace}");
        run(developer, &path, &format!("{trace}; select 1/0")).await.refused(400, "QUERY_ERROR");
        assert_eq!(ask(viewer, &path, question).await, before, "{trace}");
    }
    run(developer, &path, "select currval('numbers')").await.refused(400, "QUERY_ERROR");
    assert_eq!(process_id(viewer, &path).await, id, "all of it was in one connection");
}

#[tokio::test]
async fn postgres_open_or_failed_transaction_is_rolled_back() {
    let world = PostgresWorld::start().await;
    world.database.run("create table kept (x int)").await;
    let path = connect_narrow(&world).await;
    let developer = &world.alpha.developer;
    let id = process_id(developer, &path).await;
    for sql in ["begin; insert into kept values (1)", "insert into kept values (1); begin; select 1"] {
        run(developer, &path, sql).await.expect(200);
    }
    let body = json!({"query": "insert into kept values ($1)", "parameters": [1]});
    developer.post(&path, body).await.expect(200);
    for sql in [
        "begin; select 1/0",
        "begin; insert into kept values (1); savepoint a; select nope",
        "commit; rollback; select 1/0",
    ] {
        run(developer, &path, sql).await.refused(400, "QUERY_ERROR");
    }
    // The second's INSERT was in a transaction of its own, made one with what was begun after it.
    let counted = ask(developer, &path, "select count(*) from kept").await;
    assert_eq!(world.database.text("select count(*)::text from kept").await, counted.to_string());
    assert_eq!(counted, 1);
    assert_eq!(process_id(developer, &path).await, id);
    assert_eq!(
        world
            .database
            .text(
                "select count(*)::text from pg_stat_activity
                where datname = current_database() and state like 'idle in transaction%'"
            )
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_callers_at_the_same_time_see_nothing_of_each_other() {
    let world = PostgresWorld::start().await;
    let paths = [connect_narrow(&world).await, connect(&world, "wide", json!({"pool_size": 3})).await];
    let mut callers = JoinSet::new();
    for number in 0..20 {
        let (developer, viewer) = (world.alpha.developer.clone(), world.alpha.viewer.clone());
        let path = paths[number % 2].clone();
        callers.spawn(async move {
            let question = "select coalesce(current_setting('app.me', true), '') || current_user::text";
            for round in 0..5 {
                let mine = format!("{number}-{round}");
                let sql = format!("set app.me = '{mine}'; create temp table mine (x int); {question}");
                assert_eq!(ask(&developer, &path, &sql).await, format!("{mine}postgres"));
                assert_eq!(ask(&viewer, &path, question).await, "postgres");
                run(&developer, &path, "set role pg_monitor; begin; select 1/0")
                    .await
                    .refused(400, "QUERY_ERROR");
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_statement_stops_when_its_caller_or_time_is_gone() {
    let world = PostgresWorld::start().await;
    world.database.run("create table kept (x int)").await;
    let path = connect_narrow(&world).await;
    let developer = &world.alpha.developer;
    let id = process_id(developer, &path).await;

    for client in [developer, &world.alpha.viewer] {
        let (caller, asked) = (client.clone(), path.clone());
        let running =
            tokio::spawn(async move { run(&caller, &asked, "select pg_sleep(30) as abandoned").await });
        eventually("it is at work", async || at_work(&world.database, "abandoned").await == 1).await;
        running.abort();
        is_gone(&world.database, "abandoned").await;

        let begin = Instant::now();
        let request = client.request("POST", &path).header("x-request-timeout", "700ms");
        let answer = client.send(request.json(&json!({"query": "select pg_sleep(30) as overdue"}))).await;
        answer.refused(504, "TIMEOUT");
        assert!(begin.elapsed() < Duration::from_millis(700) + GONE, "{:?}", begin.elapsed());
        is_gone(&world.database, "overdue").await;
    }
    // A write too, with what it did.
    let (caller, asked) = (developer.clone(), path.clone());
    let sql = "insert into kept values (1); insert into kept select 2 from pg_sleep(30) as left_alone";
    let running = tokio::spawn(async move { run(&caller, &asked, sql).await });
    eventually("it is at work", async || at_work(&world.database, "left_alone").await == 1).await;
    running.abort();
    is_gone(&world.database, "left_alone").await;
    assert_eq!(world.database.text("select count(*)::text from kept").await, "0");
    // One who leaves while waiting for a connection stops nobody else's.
    let (caller, asked) = (developer.clone(), path.clone());
    let running =
        tokio::spawn(async move { run(&caller, &asked, "select 'kept' as it from pg_sleep(1)").await });
    eventually("it is at work", async || at_work(&world.database, "as it from").await == 1).await;
    let request = developer.request("POST", &path).header("x-request-timeout", "200ms");
    let answer = developer.send(request.json(&json!({"query": "select 1"}))).await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "pool_exhausted", "{answer}");
    assert_eq!(value(&running.await.unwrap()), "kept");
    assert!(ask(developer, &path, "select 1").await == 1 && id.is_number());
}

#[tokio::test]
async fn postgres_statement_takes_no_longer_than_its_callers_bounds() {
    let world = PostgresWorld::start().await;
    let path = connect_narrow(&world).await;
    let developer = &world.alpha.developer;
    for client in [developer, &world.alpha.viewer] {
        let begin = Instant::now();
        let answer =
            run(client, &format!("{path}&statementTimeoutSecs=0.3"), "select pg_sleep(30) as one").await;
        assert_eq!(answer.refused(504, "TIMEOUT")["code"], "57014", "{answer}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        let begin = Instant::now();
        let answer =
            run(client, &format!("{path}&queryTimeoutSecs=0.3"), "select pg_sleep(30) as other").await;
        answer.refused(504, "TIMEOUT");
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        is_gone(&world.database, "other").await;
        // They are this call's only.
        assert_eq!(ask(client, &path, "show statement_timeout").await, "0");
        let bounded = format!("{path}&statementTimeoutSecs=5&queryTimeoutSecs=5");
        assert_eq!(ask(client, &bounded, "show statement_timeout").await, "5s");
        assert_eq!(ask(client, &path, "show statement_timeout").await, "0");
        for wrong in ["-1", "86401", "soon", "NaN"] {
            let answer = run(client, &format!("{path}&statementTimeoutSecs={wrong}"), "select 1").await;
            answer.refused(400, "VALIDATION_ERROR");
        }
    }
}

/// The statement is done on the server when its caller leaves, whose connection then must not be taken for clean.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connection_is_cleaned_after_its_caller_left_late() {
    let world = PostgresWorld::start().await;
    let (place, rest) =
        world.database.url.rsplit_once('/').map(|(place, name)| (place.to_owned(), name)).unwrap();
    let (before, port) = place.rsplit_once(':').unwrap();
    let proxy = Proxy::start(port.parse().unwrap()).await;
    let url = format!("{before}:{}/{rest}", proxy.port);
    let body = json!({"identifier": "slow", "connection_string": url, "options": {"pool_size": 1}});
    world.alpha.connect("postgres", body).await;
    let path = world.path("/query?connection=slow");
    let developer = &world.alpha.developer;
    let question = "select current_setting('statement_timeout') || ' ' || current_setting('work_mem')";
    assert_eq!(ask(developer, &path, question).await, "0 4MB");
    // What is on its way reaches the server after so long, and its answer comes after twice as long.
    proxy.set(Mode::Delay(Duration::from_millis(100))).await;
    for (sql, timeout, leaves_after) in [
        ("set work_mem = '9MB' -- copy", "", 150),
        ("set work_mem = '9MB'", "", 150),
        ("set work_mem = '9MB' -- copy", "&statementTimeoutSecs=9", 150),
        ("set work_mem = '9MB' -- copy", "&statementTimeoutSecs=9", 350),
        ("begin; set work_mem = '9MB'; commit", "&statementTimeoutSecs=9", 350),
    ] {
        let (caller, asked) = (developer.clone(), format!("{path}{timeout}"));
        let running = tokio::spawn(async move { run(&caller, &asked, sql).await });
        tokio::time::sleep(Duration::from_millis(leaves_after)).await;
        running.abort();
        assert_eq!(ask(developer, &path, question).await, "0 4MB", "{sql} {timeout} {leaves_after}");
    }
}

#[tokio::test]
async fn postgres_results_that_are_too_large_take_no_room() {
    const LIMIT: u64 = 1 << 20;
    let options = PostgresWorld::options().set("GATEWAY_MAX_REPLY_BYTES", &LIMIT.to_string());
    let mut world = PostgresWorld::start_with(options, PostgresOptions::new()).await;
    let path = connect_narrow(&world).await;
    let (developer, viewer) = (world.alpha.developer.clone(), world.alpha.viewer.clone());
    process_id(&developer, &path).await;
    let status = format!("/proc/{}/status", world.gateway.process().id());
    let peak = || {
        let text = std::fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    let before = peak();
    for client in [&developer, &viewer] {
        for sql in [
            "select repeat('x', 100000000) as row from generate_series(1, 10)",
            "select n, repeat('x', 1000) as row from generate_series(1, 1000000) n",
            "select 1 as n from generate_series(1, 1000000)",
            "select string_agg(md5(n::text), ',') as row from generate_series(1, 200000) n",
        ] {
            let begin = Instant::now();
            let answer = run(client, &path, sql).await;
            answer.refused(507, "RESULT_TOO_LARGE");
            assert!(begin.elapsed() < Duration::from_secs(10), "{sql}: {:?}", begin.elapsed());
            is_gone(&world.database, "as row").await;
            assert_eq!(ask(client, &path, "select 1").await, 1);
        }
    }
    let sets = "select repeat('x', 600000); select repeat('x', 600000)";
    run(&developer, &path, sets).await.refused(507, "RESULT_TOO_LARGE");
    assert_eq!(ask(&developer, &path, "select length(repeat('x', 100000000))").await, 100_000_000);
    let fits = ask(&developer, &path, "select repeat('x', 1000000)").await;
    assert_eq!(fits.as_str().unwrap().len(), 1_000_000);
    assert!(peak() - before < 64 * LIMIT, "{} bytes more at the peak", peak() - before);
}

#[tokio::test]
async fn postgres_copy_ends_and_leaves_the_connection_usable() {
    let world = PostgresWorld::start().await;
    world.database.run("create table kept (x text)").await;
    let path = connect_narrow(&world).await;
    let developer = &world.alpha.developer;
    let id = process_id(developer, &path).await;
    for sql in [
        "copy kept from stdin",
        "CoPy kept from stdin; select 1",
        "insert into kept values ('x'); copy kept from stdin",
        "begin; copy kept from stdin",
    ] {
        let answer = run(developer, &path, sql).await;
        assert_eq!(answer.refused(400, "QUERY_ERROR")["code"], "57014", "{answer}");
        assert!(answer.message().contains("COPY from stdin failed"), "{answer}");
    }
    for parameters in [json!([]), json!(["x"])] {
        let body = json!({"query": "copy kept from stdin", "parameters": parameters});
        developer.post(&path, body).await.refused(400, "QUERY_ERROR");
    }
    let answer =
        run(developer, &path, "copy (select 1 from generate_series(1, 100000)) to stdout").await.data();
    assert_eq!((&answer["rows"], &answer["row_count"]), (&json!([]), &Value::from(100_000)));
    run(developer, &path, "copy (select 1) to stdout; select 1/0").await.refused(400, "QUERY_ERROR");
    // The word alone copies nothing, and what was done beside it is undone.
    assert_eq!(
        ask(developer, &path, "set work_mem = '9MB'; select 'copy from stdin'").await,
        "copy from stdin"
    );
    assert_eq!(ask(developer, &path, "show work_mem").await, "4MB");
    assert_eq!(process_id(developer, &path).await, id);
    assert_eq!(world.database.text("select count(*)::text from kept").await, "0");
}
