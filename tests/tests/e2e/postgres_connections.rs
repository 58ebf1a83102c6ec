//! Connections to PostgreSQL: logging in, TLS, what a connection string and options may say, how many connections are
//! held, and a pooler in between.

use super::postgres_calls::{ask, connect, is_gone, run};
use serde_json::{Value, json};
use std::time::Duration;
use studio_gateway_tests::{
    Answer, GatewayOptions, PostgresBouncer, PostgresOptions, PostgresServer, PostgresWorld, eventually,
};
use tokio::task::JoinSet;

const PASSWORD: &str = "hunter2 & co/ü";
const WRONG: &str = "not-hunter2";

/// Makes a connection of these fields and asks something by it.
async fn try_connection(world: &PostgresWorld, identifier: &str, fields: Value) -> Answer {
    let mut body = json!({"identifier": identifier});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    world.alpha.connect("postgres", body).await;
    let path = world.path(&format!("/query?connection={identifier}"));
    let used = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    run(&world.alpha.viewer, &path, used).await
}

fn parts(port: u16, more: Value) -> Value {
    let mut parts =
        json!({"host": "127.0.0.1", "port": port, "username": "postgres", "database_name": "postgres"});
    parts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    parts
}

/// Whether TLS was used, or the reason for which there is no connection.
fn outcome(answer: &Answer) -> Value {
    match answer.status {
        200 => answer.data()["rows"][0]["ssl"].clone(),
        _ => answer.refused(503, "CONNECTION_ERROR")["reason"].clone(),
    }
}

async fn start(gateway: GatewayOptions, server: PostgresOptions) -> (PostgresWorld, u16) {
    let mut world = PostgresWorld::start_with(gateway, server).await;
    let port = world.server().port;
    (world, port)
}

#[tokio::test]
async fn postgres_password_is_proven_by_scram_and_never_shown() {
    let server = PostgresOptions::new().login("ada", PASSWORD);
    let (world, port) = start(PostgresWorld::options().trace(), server).await;
    for (identifier, more, expected) in [
        ("right", json!({"username": "ada", "password": PASSWORD}), "false"),
        ("wrong", json!({"username": "ada", "password": WRONG}), "authentication_failed"),
        ("none", json!({"username": "ada"}), "authentication_failed"),
        ("nobody", json!({"username": "eve", "password": WRONG}), "authentication_failed"),
    ] {
        let answer = try_connection(&world, identifier, parts(port, more)).await;
        assert_eq!(outcome(&answer), expected, "{identifier}: {answer}");
    }
    let list = world.alpha.connections("postgres");
    for connection in world.alpha.admin.get(&list).await.items() {
        let test = format!("{list}/{}/test", connection["id"].as_str().unwrap());
        world.alpha.admin.post(&test, json!({})).await.expect(200);
    }
    let escaped = world.database.url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned();
    let shown = [world.gateway.whole_log().await.into_bytes(), world.gateway.transcript.bytes()];
    for text in shown.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
        for secret in [PASSWORD, WRONG, &escaped] {
            assert!(!text.contains(secret), "{secret} is shown");
        }
    }
}

#[tokio::test]
async fn postgres_ssl_mode_does_what_libpq_does() {
    let (plain, plain_port) = start(PostgresWorld::options(), PostgresOptions::new()).await;
    let server = PostgresOptions::new().tls().setting("listen_addresses=127.0.0.1,127.0.0.2");
    let (mut secure, port) = start(PostgresWorld::options(), server).await;
    let authority = secure.server().certificates.as_ref().unwrap().authority.clone();
    let other = PostgresServer::start(PostgresOptions::new().tls()).await;
    let wrong = other.certificates.as_ref().unwrap().authority.clone();
    for (number, (options, without, with)) in [
        (json!({}), "false", "true"),
        (json!({"ssl_mode": "disable"}), "false", "authentication_failed"),
        (json!({"ssl_mode": "prefer"}), "false", "true"),
        (json!({"ssl_mode": "require"}), "tls", "true"),
        (json!({"ssl_mode": "require", "tls_ca": authority}), "tls", "true"),
        (json!({"ssl_mode": "require", "tls_ca": wrong}), "tls", "tls"),
        (json!({"ssl_mode": "verify-ca"}), "tls", "tls"),
        (json!({"ssl_mode": "verify-ca", "tls_ca": wrong}), "tls", "tls"),
        (json!({"ssl_mode": "verify-ca", "tls_ca": authority}), "tls", "true"),
        (json!({"ssl_mode": "verify-full", "tls_ca": wrong}), "tls", "tls"),
        (json!({"ssl_mode": "verify-full", "tls_ca": authority}), "tls", "true"),
    ]
    .into_iter()
    .enumerate()
    {
        for (world, port, expected) in [(&plain, plain_port, without), (&secure, port, with)] {
            let fields = parts(port, json!({"options": options}));
            let answer = try_connection(world, &format!("mode-{number}"), fields).await;
            assert_eq!(outcome(&answer), expected, "{options}: {answer}");
        }
    }
    for (mode, expected) in [("verify-ca", "true"), ("verify-full", "tls")] {
        let more = json!({"host": "127.0.0.2", "options": {"ssl_mode": mode, "tls_ca": authority}});
        let answer = try_connection(&secure, &format!("name-{mode}"), parts(port, more)).await;
        assert_eq!(outcome(&answer), expected, "{mode} by another name: {answer}");
    }
}

#[tokio::test]
async fn postgres_client_certificate_is_shown_to_a_server_that_asks() {
    let server = PostgresOptions::new().client_certificate();
    let (mut world, port) = start(PostgresWorld::options(), server).await;
    let files = world.server().certificates.as_ref().unwrap();
    let (authority, client) = (files.authority.clone(), std::fs::read_to_string(&files.client_file).unwrap());
    let (certificate, key) = client.split_at(client.find("-----BEGIN PRIVATE").unwrap());
    let with =
        json!({"ssl_mode": "verify-full", "tls_ca": authority, "tls_cert": certificate, "tls_key": key});
    let answer = try_connection(&world, "with", parts(port, json!({"options": with}))).await;
    assert_eq!(outcome(&answer), "true");
    let without = json!({"ssl_mode": "verify-full", "tls_ca": authority});
    let answer = try_connection(&world, "without", parts(port, json!({"options": without}))).await;
    assert_eq!(outcome(&answer), "authentication_failed", "{answer}");
    let key = key.lines().nth(1).unwrap();
    assert!(!String::from_utf8_lossy(&world.gateway.transcript.bytes()).contains(key), "the key is shown");
}

#[tokio::test]
async fn postgres_connection_string_may_be_any_that_libpq_takes() {
    let (mut world, port) =
        start(PostgresWorld::options(), PostgresOptions::new().login("ada lovelace", PASSWORD)).await;
    world.server().run("postgres", "create database \"a b/ü\"").await;
    world.server().run("postgres", "create schema app").await;
    let url = world.server().url("postgres");
    let login = url.split("//").nth(1).unwrap().split('@').next().unwrap().to_owned();
    let nobody = studio_gateway_tests::process::free_port();
    let question =
        "select concat_ws(' ', current_database(), current_setting('application_name'), current_schema())";
    for (number, (string, expected)) in [
        (url.clone(), "postgres studio-gateway public"),
        (url.replace("postgresql:", "postgres:"), "postgres studio-gateway public"),
        (format!("postgresql://{login}@127.0.0.1:{port}/a%20b%2F%C3%BC"), "a b/ü studio-gateway public"),
        (format!("{url}?sslmode=disable&application_name=me%20too"), "postgres me too public"),
        (format!("{url}?options=-c%20search_path%3Dapp&connect_timeout=3"), "postgres studio-gateway app"),
        (
            format!("postgresql://{login}@127.0.0.1:{nobody},127.0.0.1:{port}/postgres"),
            "postgres studio-gateway public",
        ),
        (
            format!("postgresql://{login}@localhost:{port}/postgres?sslmode=prefer"),
            "postgres studio-gateway public",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let identifier = format!("form-{number}");
        let body = json!({"identifier": identifier, "connection_string": string});
        world.alpha.connect("postgres", body).await;
        let path = world.path(&format!("/query?connection={identifier}"));
        for client in [&world.alpha.viewer, &world.alpha.developer, &world.alpha.viewer] {
            assert_eq!(ask(client, &path, question).await, expected, "form {number}");
        }
    }
    for bad in [
        format!("postgresql://ada:{WRONG}@127.0.0.1:port/x"),
        format!("postgresql://ada:{WRONG}@127.0.0.1/x?sslmode=sometimes"),
        format!("postgresql://ada:{WRONG}@%2Frun/x"),
        format!("postgresql://ada:{WRONG}@127.0.0.1/x?channel_binding=always"),
        format!("postgresql://ada:{WRONG}@127.0.0.1/x?nothing_like_it=1"),
        "postgresql://127.0.0.1/x".to_owned(),
        format!("mysql://ada:{WRONG}@127.0.0.1/x"),
    ] {
        let body = json!({"identifier": "bad", "connection_string": bad});
        let answer = world.alpha.owner.post(&world.alpha.connections("postgres"), body).await;
        answer.refused_field("connection_string");
        assert!(!answer.message().contains(WRONG), "{answer}");
    }
}

#[tokio::test]
async fn postgres_options_that_can_not_be_are_refused_by_name() {
    let world = PostgresWorld::start().await;
    for (options, field) in [
        (json!({"nothing_like_it": 1}), "options.nothing_like_it"),
        (json!({"pool_size": 11}), "options.pool_size"),
        (json!({"pool_size": 0}), "options.pool_size"),
        (json!({"pool_size": "many"}), "options.pool_size"),
        (json!({"ssl_mode": "sometimes"}), "options.ssl_mode"),
        (json!({"statement_timeout": -1}), "options.statement_timeout"),
        (json!({"tls_ca": "nothing"}), "options.tls_ca"),
        (json!({"tls_cert": "nothing"}), "options.tls_key"),
        (json!({"prepared_statements": "yes"}), "options.prepared_statements"),
        (json!({"search_path": 5}), "options.search_path"),
    ] {
        let body = json!({"identifier": "bad", "connection_string": world.database.url, "options": options});
        let answer = world.alpha.owner.post(&world.alpha.connections("postgres"), body).await;
        let details = answer.refused(400, "VALIDATION_ERROR");
        assert!(field.starts_with(details["field"].as_str().unwrap()), "{options}: {answer}");
    }
}

#[tokio::test]
async fn postgres_options_count_for_every_statement_of_a_connection() {
    let world = PostgresWorld::start().await;
    world.database.run("create schema app; create table app.hidden (x int)").await;
    let options = json!({"search_path": "app, public", "application_name": "by the studio", "pool_size": 1});
    let path = connect(&world, "named", options).await;
    let question = "select current_setting('search_path') || ' ' || current_setting('application_name')";
    for _ in 0..2 {
        for client in [&world.alpha.viewer, &world.alpha.developer] {
            assert_eq!(ask(client, &path, question).await, "app, public by the studio");
            assert_eq!(ask(client, &path, "select count(*) from hidden").await, 0);
        }
        run(&world.alpha.developer, &path, "set search_path = x; set application_name = y").await.expect(200);
    }
    let named = "select count(*)::text from pg_stat_activity
        where application_name = 'by the studio' and datname = current_database()";
    // The last statement's settings are put back after its reply.
    eventually("the connection has its name again", async || world.database.text(named).await == "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connections_are_never_more_than_the_pool_may_hold() {
    let world = PostgresWorld::start().await;
    for (identifier, options, most) in [("few", json!({"pool_size": 3}), 3), ("usual", json!({}), 10)] {
        let mut options = options;
        options["application_name"] = json!(identifier);
        let path = connect(&world, identifier, options).await;
        let mut callers = JoinSet::new();
        for number in 0..50 {
            let (developer, viewer, path) =
                (world.alpha.developer.clone(), world.alpha.viewer.clone(), path.clone());
            let list = world.path(&format!("/schemas?connection={identifier}"));
            callers.spawn(async move {
                let sql = "select 1 from pg_sleep(0.1)";
                run(if number % 2 == 0 { &developer } else { &viewer }, &path, sql).await.expect(200);
                viewer.get(&list).await.expect(200);
                // Those who leave are followed by others at once.
                let request = viewer.request("POST", &path).header("x-request-timeout", "150ms");
                viewer.send(request.json(&json!({"query": "select pg_sleep(0.2)"}))).await;
            });
        }
        let held = format!(
            "select count(*)::text from pg_stat_activity where application_name = '{identifier}'
            and datname = current_database()"
        );
        let mut highest = 0;
        while !callers.is_empty() {
            highest = highest.max(world.database.text(&held).await.parse::<u32>().unwrap());
            while let Some(done) = callers.try_join_next() {
                done.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(highest, most, "{identifier}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_behind_a_pooler_loses_nothing_and_mixes_nothing_up() {
    let (mut world, _) = start(PostgresWorld::options(), PostgresOptions::new()).await;
    world.database.run("create table kept (x int); create table more (y int)").await;
    let bouncer = PostgresBouncer::before(world.server(), 2).await;
    let url = bouncer.url(&world.database.name);
    let query = |identifier: &str| world.path(&format!("/query?connection={identifier}"));
    for (identifier, options) in [("unprepared", json!({"prepared_statements": false})), ("usual", json!({}))]
    {
        let body = json!({"identifier": identifier, "connection_string": url, "options": options});
        world.alpha.connect("postgres", body).await;
        let path = query(identifier);
        let mut callers = JoinSet::new();
        for number in 0..24 {
            let (developer, viewer, path) =
                (world.alpha.developer.clone(), world.alpha.viewer.clone(), path.clone());
            let lists = ["schemas", "roles", "types"]
                .map(|list| world.path(&format!("/{list}?connection={identifier}")));
            callers.spawn(async move {
                let question = "select current_setting('transaction_read_only')";
                for _ in 0..4 {
                    for list in &lists {
                        viewer.get(list).await.expect(200);
                    }
                    assert_eq!(ask(&viewer, &path, question).await, "on");
                    assert_eq!(ask(&developer, &path, question).await, "off");
                    let body =
                        json!({"query": "insert into kept values ($1) returning x", "parameters": [number]});
                    let answer = developer.post(&path, body).await.expect(200);
                    assert_eq!(answer.data()["rows"][0]["x"], number);
                    run(&viewer, &path, "delete from kept").await.refused(403, "FORBIDDEN");
                    run(&developer, &path, "begin; insert into kept values (0); select 1/0")
                        .await
                        .refused(400, "QUERY_ERROR");
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        assert_eq!(world.database.text("select count(*)::text from kept").await, (24 * 4).to_string());
        world.database.run("truncate kept").await;
        let left = ask(&world.alpha.viewer, &path, "select count(*) from pg_prepared_statements").await;
        assert!(identifier == "usual" || left == 0, "{left}");
    }

    // Who leaves is followed through it.
    let (caller, asked) = (world.alpha.viewer.clone(), query("usual"));
    let running = tokio::spawn(async move { run(&caller, &asked, "select pg_sleep(30) as abandoned").await });
    let at_work = async || super::postgres_calls::at_work(&world.database, "abandoned").await == 1;
    eventually("it is at work", at_work).await;
    running.abort();
    is_gone(&world.database, "abandoned").await;
    assert_eq!(ask(&world.alpha.viewer, &query("usual"), "select 1").await, 1);
}

#[tokio::test]
async fn postgres_connection_test_tells_who_answers_and_as_whom() {
    let world = PostgresWorld::start().await;
    let test = format!("{}/{}/test", world.alpha.connections("postgres"), world.alpha.connection);
    let tested = world.alpha.admin.post(&test, json!({})).await.expect(200).data();
    assert_eq!(tested["success"], true, "{tested}");
    assert!(tested["latency_ms"].is_number(), "{tested}");
    let version = world.database.text("show server_version").await;
    assert_eq!(tested["version"], version, "{tested}");
    assert_eq!(tested["database"], json!(world.database.name), "{tested}");
    assert_eq!(
        (&tested["user_name"], &tested["is_replica"]),
        (&json!("postgres"), &json!(false)),
        "{tested}"
    );
    for client in [&world.alpha.developer, &world.alpha.viewer] {
        client.post(&test, json!({})).await.refused(403, "FORBIDDEN");
    }
}
