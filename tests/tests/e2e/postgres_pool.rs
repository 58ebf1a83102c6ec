//! The connections of a session: as many as the server gives, none that carries something over, none kept for nothing.

use super::postgres_calls::{ask, at_work, connect, connect_narrow, process_id, run};
use serde_json::json;
use std::time::{Duration, Instant};
use studio_gateway_tests::{Client, Mode, PostgresDatabase, PostgresWorld, Proxy, eventually};
use tokio::task::JoinSet;
use uuid::Uuid;

fn unusual(start: &str) -> String {
    format!("{start}_{}", Uuid::new_v4().simple())
}

/// So many calls at the same time, all of which work.
async fn burst(client: &Client, path: &str, calls: usize, sql: &'static str) {
    let mut callers = JoinSet::new();
    for _ in 0..calls {
        let (caller, asked) = (client.clone(), path.to_owned());
        callers.spawn(async move { run(&caller, &asked, sql).await.expect(200) });
    }
    callers.join_all().await;
}

async fn connections(database: &PostgresDatabase, application: &str) -> usize {
    let question =
        format!("select count(*)::text from pg_stat_activity where application_name = '{application}'");
    database.text(&question).await.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_callers_beyond_a_roles_limit_wait_for_connections() {
    let world = PostgresWorld::start().await;
    let role = unusual("two");
    world.database.run(&format!("create role {role} login connection limit 2")).await;
    let url = world.database.url.replacen("//postgres@", &format!("//{role}@"), 1);
    assert_ne!(url, world.database.url);
    world.alpha.connect("postgres", json!({"identifier": "two", "connection_string": url})).await;
    let path = world.path("/query?connection=two");
    burst(&world.alpha.developer, &path, 24, "select pg_sleep(0.05)").await;
    burst(&world.alpha.viewer, &path, 6, "select pg_sleep(0.05)").await;
    drop(world.gateway);
    eventually("the role goes", async || {
        world.database.try_texts(&format!("drop role {role}")).await.is_ok()
    })
    .await;
}

/// What SQL leaves in a connection that nothing takes away, and a question that tells it.
const LASTING: &[(&str, &str)] = &[
    (
        "select set_config('request.jwt.claims', '{}', false)",
        "select current_setting('request.jwt.claims', true) is null",
    ),
    (
        "begin; select set_config('request.jwt.claims', '{}', true); commit",
        "select current_setting('request.jwt.claims', true) is null",
    ),
    ("set app.me = 'ann'", "select current_setting('app.me', true) is null"),
    ("set local \"app.me\" to 'ann'", "select current_setting('app.me', true) is null"),
    ("do $$ begin execute 'set app.me = 1'; end $$", "select current_setting('app.me', true) is null"),
    (
        "select U&\"set_confi\\0067\"('app.me', 'ann', false)",
        "select current_setting('app.me', true) is null",
    ),
    ("select setseed(0.5)", "select random() <> (select random() from (select setseed(0.5)) s)"),
    ("set seed to 0.5", "select random() <> (select random() from (select setseed(0.5)) s)"),
];

#[tokio::test]
async fn postgres_connection_with_a_lasting_trace_is_not_used_again() {
    let world = PostgresWorld::start().await;
    let path = connect_narrow(&world).await;
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    for (trace, question) in LASTING {
        let question = if question.contains("setseed") { "select true" } else { question };
        let before = process_id(developer, &path).await;
        run(developer, &path, trace).await.expect(200);
        assert_eq!(ask(developer, &path, question).await, true, "{trace}");
        assert_ne!(process_id(viewer, &path).await, before, "{trace}");
        run(developer, &path, &format!("{trace}; select 1/0")).await.refused(400, "QUERY_ERROR");
        assert_eq!(ask(developer, &path, question).await, true, "{trace}");
    }
    // What goes with the cleaning needs no other connection.
    let before = process_id(developer, &path).await;
    for sql in ["set work_mem = '9MB'", "update pg_temp.x set a = 1.5", "select 'payload' as load_time"] {
        run(developer, &path, sql).await;
        assert_eq!(process_id(developer, &path).await, before, "{sql}");
    }
}

#[tokio::test]
async fn postgres_dblink_connection_of_a_caller_ends_with_its_locks() {
    let world = PostgresWorld::start().await;
    world.database.run("create extension dblink; create table kept (x int)").await;
    let path = connect_narrow(&world).await;
    let url = &world.database.url;
    let sql =
        format!("select dblink_connect('c', '{url}'); select dblink_exec('c', 'begin; lock table kept')");
    run(&world.alpha.developer, &path, &sql).await.expect(200);
    let locks = "select count(*)::text from pg_locks where relation = 'kept'::regclass";
    eventually("the lock is gone", async || world.database.text(locks).await == "0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_database_and_role_settings_count_from_the_next_call() {
    let world = PostgresWorld::start().await;
    let (admin, name) = (&world.alpha.admin, &world.database.name);
    let path = connect(&world, "wide", json!({"pool_size": 4})).await;
    burst(admin, &path, 4, "select pg_sleep(0.1)").await;
    for zone in ["Asia/Tokyo", "Africa/Cairo"] {
        run(admin, &path, &format!("alter database {name} set timezone = '{zone}'")).await.expect(200);
        for _ in 0..6 {
            assert_eq!(ask(admin, &path, "show timezone").await, zone);
        }
        // Of another session too, to the same database.
        assert_eq!(ask(admin, &world.path("/query"), "show timezone").await, zone);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_statement_that_needs_a_database_alone_has_it() {
    let world = PostgresWorld::start().await;
    let (admin, name) = (&world.alpha.admin, &world.database.name);
    let path = connect(&world, "wide", json!({"pool_size": 6})).await;
    let (copy, other) = (unusual("copy"), unusual("other"));
    burst(admin, &path, 6, "select pg_sleep(0.1)").await;
    run(admin, &path, &format!("create database {copy} template {name}")).await.expect(200);
    // One that another session holds.
    let url = world.database.url.replace(name.as_str(), &copy);
    world.alpha.connect("postgres", json!({"identifier": "copied", "connection_string": url})).await;
    let copied = world.path("/query?connection=copied");
    burst(admin, &copied, 5, "select pg_sleep(0.1)").await;
    run(admin, &path, &format!("alter database {copy} rename to {other}")).await.expect(200);
    run(admin, &path, &format!("alter database {other} rename to {copy}")).await.expect(200);
    burst(admin, &copied, 5, "select pg_sleep(0.1)").await;
    run(admin, &path, &format!("drop database {copy}")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_idle_connections_leave_and_old_ones_are_replaced() {
    let world = PostgresWorld::start().await;
    let (idle, old) = (unusual("idle"), unusual("old"));
    let options = json!({"pool_size": 5, "application_name": idle, "connection_idle_timeout": 1});
    let path = connect(&world, "idle", options).await;
    burst(&world.alpha.developer, &path, 5, "select pg_sleep(0.2)").await;
    assert!(connections(&world.database, &idle).await > 1);
    eventually("they leave", async || connections(&world.database, &idle).await == 0).await;
    assert_eq!(ask(&world.alpha.developer, &path, "select 1").await, 1);

    let options = json!({"pool_size": 1, "application_name": old, "connection_max_age": 1});
    let path = connect(&world, "old", options).await;
    let before = process_id(&world.alpha.developer, &path).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_ne!(process_id(&world.alpha.developer, &path).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_uncancellable_statements_stay_within_the_pool() {
    let world = PostgresWorld::start().await;
    let swallows = "create function swallows() returns void language plpgsql as $$
        declare until timestamptz := clock_timestamp() + interval '7500 ms';
        begin while clock_timestamp() < until loop
          begin perform pg_sleep(9); exception when query_canceled then null; end;
        end loop; end $$";
    world.database.run(swallows).await;
    let path = connect(&world, "two", json!({"pool_size": 2})).await;
    let begun = Instant::now();
    let mut most = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        let request = world.alpha.developer.request("POST", &path).header("x-request-timeout", "300ms");
        let answer = world.alpha.developer.send(request.json(&json!({"query": "select swallows()"}))).await;
        assert!(answer.status >= 500, "{answer}");
        most = most.max(at_work(&world.database, "swallows").await);
    }
    assert_eq!(most, 2);
    eventually("it serves again", async || {
        run(&world.alpha.developer, &path, "select 1").await.status == 200
    })
    .await;
}

/// The server ends the connection while a request is on its way to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_request_that_races_an_idle_timeout_is_sent_again() {
    let world = PostgresWorld::start().await;
    if !world.database.is_at_least(14).await {
        return;
    }
    world.database.run("create table kept (x int)").await;
    let (place, rest) = world.database.url.rsplit_once('/').unwrap();
    let (before, port) = place.rsplit_once(':').unwrap();
    let proxy = Proxy::start(port.parse().unwrap()).await;
    let url = format!("{before}:{}/{rest}?options=-c%20idle_session_timeout%3D600", proxy.port);
    let body = json!({"identifier": "slow", "connection_string": url, "options": {"pool_size": 1}});
    world.alpha.connect("postgres", body).await;
    let path = world.path("/query?connection=slow");
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    assert_eq!(ask(developer, &path, "select 1").await, 1);
    proxy.set(Mode::Delay(Duration::from_millis(100))).await;
    let mut written = 0;
    for wait in [450, 500, 550] {
        run(developer, &path, "select 1").await.expect(200);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        run(developer, &path, "insert into kept values (1)").await.expect(200);
        written += 1;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert_eq!(ask(viewer, &path, "select lower('A')").await, "a");
    }
    assert_eq!(world.database.text("select count(*)::text from kept").await, written.to_string());
}
