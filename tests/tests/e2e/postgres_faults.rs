//! PostgreSQL that is gone, silent, full or busy: what callers are told of it, how soon, and that it works again as soon
//! as the server does.

use super::postgres_calls::{ask, at_work, connect, is_gone, process_id, run, value};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Client, Mode, PostgresOptions, PostgresWorld, Proxy, eventually, time::within,
};
use tokio::task::{JoinHandle, JoinSet};

/// How soon it must work again.
const RECOVERY: Duration = Duration::from_secs(2);
/// What an answer may take over its deadline, on a busy machine.
const GRACE: Duration = Duration::from_secs(2);

/// A server of the test's own, behind a proxy, and a connection that leads there.
struct World {
    world: PostgresWorld,
    proxy: Proxy,
    path: String,
}

impl World {
    async fn start() -> Self {
        let mut world = PostgresWorld::start_with(PostgresWorld::options(), PostgresOptions::new()).await;
        world.database.run("create table kept (x int)").await;
        let port = world.server().port;
        let proxy = Proxy::start(port).await;
        let url = world.database.url.replace(&port.to_string(), &proxy.port.to_string());
        let body = json!({"identifier": "far", "connection_string": url, "options": {"pool_size": 2}});
        world.alpha.connect("postgres", body).await;
        let path = world.path("/query?connection=far");
        let world = Self { world, proxy, path };
        world.works().await;
        world
    }

    fn viewer(&self) -> &Client {
        &self.world.alpha.viewer
    }

    fn developer(&self) -> &Client {
        &self.world.alpha.developer
    }

    async fn select(&self) -> Answer {
        run(self.viewer(), &self.path, "select 1 as one").await
    }

    async fn works(&self) {
        self.select().await.expect(200);
    }

    async fn works_again(&self) {
        within(RECOVERY, "it works again", async || self.select().await.status == 200).await;
    }

    /// Begins a call, and waits until the server is at it.
    async fn begin(&self, client: &Client, sql: &str, mark: &str) -> JoinHandle<Answer> {
        let (client, path, sql) = (client.clone(), self.path.clone(), sql.to_owned());
        let running = tokio::spawn(async move { run(&client, &path, &sql).await });
        eventually("it is at work", async || at_work(&self.world.database, mark).await > 0).await;
        running
    }
}

#[track_caller]
fn is_open(answer: &Answer, is: bool) {
    let expected = if is { json!("unknown") } else { Value::Null };
    assert_eq!(
        answer.json()["error"]["details"]["outcome"],
        expected,
        "whether it was done is unknown: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stop_or_crash_is_told_and_it_is_used_again_at_once() {
    let mut world = World::start().await;
    for crashes in [false, true] {
        let read = world.begin(world.viewer(), "select pg_sleep(30) as reading", "reading").await;
        let write = world
            .begin(world.developer(), "insert into kept select 1 from pg_sleep(30) as writing", "writing")
            .await;
        let server = world.world.server();
        if crashes {
            server.kill().await
        } else {
            server.stop().await
        }
        for (running, writes) in [(read, false), (write, true)] {
            let answer = running.await.unwrap();
            let details = answer.refused(503, "CONNECTION_ERROR");
            // A process that crashes says nothing, or so much as it still can.
            let says = [json!("unavailable"), json!("closed")];
            assert!(says[..1 + usize::from(crashes)].contains(&details["reason"]), "{answer}");
            is_open(&answer, writes);
        }
        for _ in 0..3 {
            let begin = Instant::now();
            let answer = world.select().await;
            let details = answer.refused(503, "CONNECTION_ERROR");
            // The proxy is there, and hangs up.
            let reasons = ["closed", "circuit_open"];
            assert!(reasons.contains(&details["reason"].as_str().unwrap()), "{answer}");
            assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
        }
        world.world.server().start_again().await;
        world.works_again().await;
        let written = world.world.database.text("select count(*)::text from kept").await;
        assert_eq!(written, "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_restart_between_calls_is_not_noticed() {
    let mut world = PostgresWorld::start_with(PostgresWorld::options(), PostgresOptions::new()).await;
    let path = connect(&world, "wide", json!({"pool_size": 3})).await;
    for _ in 0..2 {
        let mut callers = JoinSet::new();
        for _ in 0..3 {
            let (viewer, path) = (world.alpha.viewer.clone(), path.clone());
            callers.spawn(async move { run(&viewer, &path, "select pg_sleep(0.2)").await.expect(200) });
        }
        callers.join_all().await;
        world.server().restart().await;
        for _ in 0..4 {
            run(&world.alpha.developer, &path, "select 1").await.expect(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connections_that_an_operator_ends_are_replaced() {
    let world = PostgresWorld::start_with(PostgresWorld::options(), PostgresOptions::new()).await;
    let path = connect(&world, "narrow", json!({"pool_size": 1})).await;
    let (developer, viewer) = (world.alpha.developer.clone(), world.alpha.viewer.clone());
    let end = "select count(pg_terminate_backend(pid))::text from pg_stat_activity
        where application_name = 'studio-gateway'";
    let left = "select count(*)::text from pg_stat_activity where application_name = 'studio-gateway'";
    for _ in 0..3 {
        let id = process_id(&viewer, &path).await;
        assert_ne!(world.database.text(end).await, "0");
        eventually("they have ended", async || world.database.text(left).await == "0").await;
        assert_ne!(process_id(&viewer, &path).await, id);
    }
    for (client, writes) in [(&viewer, false), (&developer, true)] {
        let (caller, asked) = (client.clone(), path.clone());
        let running = tokio::spawn(async move { run(&caller, &asked, "select pg_sleep(30) as ended").await });
        eventually("it is at work", async || at_work(&world.database, "as ended").await == 1).await;
        world.database.text(end).await;
        let answer = running.await.unwrap();
        let details = answer.refused(503, "CONNECTION_ERROR");
        assert_eq!(
            (&details["reason"], &details["code"]),
            (&json!("unavailable"), &json!("57P01")),
            "{answer}"
        );
        is_open(&answer, writes);
        assert_eq!(ask(client, &path, "select 1").await, 1);
    }
    // One process dies, and the server ends all others.
    let id = process_id(&viewer, &path).await;
    let killed = std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
    assert!(killed.success());
    within(RECOVERY + GRACE, "it works again", async || {
        let answer = run(&viewer, &path, "select 1").await;
        assert!([200, 503].contains(&answer.status), "{answer}");
        answer.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_falls_silent_costs_no_more_than_the_deadline() {
    let mut world = World::start().await;
    for by_proxy in [false, true] {
        if by_proxy {
            world.proxy.set(Mode::Stall).await
        } else {
            world.world.server().freeze()
        }
        let mut callers = JoinSet::new();
        for number in 0..6 {
            let (client, writes) =
                if number % 2 == 0 { (world.viewer(), false) } else { (world.developer(), true) };
            let (client, path) = (client.clone(), world.path.clone());
            callers.spawn(async move {
                let begin = Instant::now();
                let request = client.request("POST", &path).header("x-request-timeout", "1s");
                let answer = client.send(request.json(&json!({"query": "select 1 as one"}))).await;
                assert!(begin.elapsed() < Duration::from_secs(1) + GRACE, "{:?}", begin.elapsed());
                match answer.error_code().as_str() {
                    "TIMEOUT" => is_open(&answer, writes),
                    _ => assert_eq!(
                        answer.refused(503, "CONNECTION_ERROR")["reason"],
                        "pool_exhausted",
                        "{answer}"
                    ),
                }
                answer.status
            });
        }
        let statuses = callers.join_all().await;
        assert!(statuses.contains(&504), "{statuses:?}");
        if by_proxy {
            world.proxy.set(Mode::Pass).await
        } else {
            world.world.server().thaw()
        }
        within(RECOVERY + GRACE, "it works again", async || world.select().await.status == 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_result_that_is_cut_off_is_no_result() {
    let world = World::start().await;
    let rows = "select n, repeat('x', 10000) from generate_series(1, 1000) n, lateral (select pg_sleep(0.01 + 0 * n)) reading";
    for (mode, code) in [(Mode::Cut, 503), (Mode::HalfClose, 503), (Mode::Stall, 504)] {
        let write = format!("insert into kept values (1); {rows}");
        for (client, sql, writes) in [(world.viewer(), rows, false), (world.developer(), &write, true)] {
            let (caller, asked, sql) = (client.clone(), world.path.clone(), sql.to_owned());
            let running = tokio::spawn(async move {
                let request = caller.request("POST", &asked).header("x-request-timeout", "3s");
                caller.send(request.json(&json!({"query": sql}))).await
            });
            eventually("it is at work", async || at_work(&world.world.database, "reading").await == 1).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let begin = Instant::now();
            world.proxy.set(mode).await;
            let answer = running.await.unwrap();
            assert!(begin.elapsed() < Duration::from_secs(3) + GRACE, "{:?}", begin.elapsed());
            assert_eq!(answer.status, code, "{mode:?}: {answer}");
            is_open(&answer, writes);
            world.proxy.set(Mode::Cut).await;
            world.proxy.set(Mode::Pass).await;
            world.works_again().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_whose_connections_are_all_taken_is_told_in_time() {
    let world = PostgresWorld::start().await;
    let path = connect(&world, "narrow", json!({"pool_size": 1})).await;
    let developer = &world.alpha.developer;
    let (caller, asked) = (developer.clone(), path.clone());
    let running =
        tokio::spawn(async move { run(&caller, &asked, "select 'done' as slow from pg_sleep(3)").await });
    eventually("it is at work", async || at_work(&world.database, "as slow").await == 1).await;
    let mut callers = JoinSet::new();
    for number in 0..10 {
        let (developer, list, path) =
            (developer.clone(), world.path("/schemas?connection=narrow"), path.clone());
        callers.spawn(async move {
            let begin = Instant::now();
            let request = match number % 2 {
                0 => developer.request("GET", &list),
                _ => developer.request("POST", &path).json(&json!({"query": "select 1"})),
            };
            let answer = developer.send(request.header("x-request-timeout", "500ms")).await;
            assert!(begin.elapsed() < Duration::from_millis(500) + GRACE, "{:?}", begin.elapsed());
            assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "pool_exhausted", "{answer}");
            assert_eq!(answer.header("retry-after"), Some("1"));
            is_open(&answer, false);
        });
    }
    callers.join_all().await;
    assert_eq!(value(&running.await.unwrap()), "done");
    assert_eq!(ask(developer, &path, "select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_lets_no_more_in_is_told_and_does_so_later() {
    let server = PostgresOptions::new()
        .setting("max_connections=5")
        .setting("superuser_reserved_connections=3")
        .setting("max_wal_senders=0");
    let world = PostgresWorld::start_with(PostgresWorld::options(), server).await;
    world.database.run("create role plain login").await;
    let url = world.database.url.replace("postgres@", "plain@");
    // What looked into the database before may still be leaving.
    let mut taken = Vec::new();
    eventually("all connections are taken", async || {
        taken.extend(PgConnection::connect(&url).await.ok());
        taken.len() == 2
    })
    .await;
    let id = world.alpha.connect("postgres", json!({"identifier": "plain", "connection_string": url})).await;
    let path = world.path("/query?connection=plain");
    let answer = run(&world.alpha.viewer, &path, "select 1").await;
    let details = answer.refused(503, "CONNECTION_ERROR");
    assert_eq!(
        (&details["reason"], &details["code"]),
        (&json!("too_many_connections"), &json!("53300")),
        "{answer}"
    );
    let test = format!("{}/{id}/test", world.alpha.connections("postgres"));
    let tested = world.alpha.admin.post(&test, json!({})).await.expect(200).data();
    assert_eq!(tested["success"], false, "{tested}");
    for one in taken {
        one.close().await.unwrap();
    }
    let again = || run(&world.alpha.viewer, &path, "select 1");
    within(RECOVERY, "it works again", async || again().await.status == 200).await;
}

#[tokio::test]
async fn postgres_statement_timeout_holds_for_every_statement() {
    let world = PostgresWorld::start().await;
    let path = connect(&world, "hasty", json!({"statement_timeout": 300, "pool_size": 1})).await;
    for client in [&world.alpha.viewer, &world.alpha.developer] {
        for _ in 0..2 {
            let begin = Instant::now();
            let answer = run(client, &path, "select pg_sleep(30) as hasty").await;
            assert_eq!(answer.refused(504, "TIMEOUT")["code"], "57014", "{answer}");
            assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
            assert_eq!(ask(client, &path, "show statement_timeout").await, "300ms");
        }
    }
    is_gone(&world.database, "as hasty").await;
}

#[tokio::test]
async fn postgres_that_has_no_room_or_no_patience_is_quoted() {
    let world = PostgresWorld::start().await;
    let path = connect(&world, "narrow", json!({"pool_size": 1})).await;
    let developer = &world.alpha.developer;
    let sum = format!("select {}", vec!["1"; 200_000].join("+"));
    let raise = |code: &str| {
        format!("do $$ begin raise exception using errcode = '{code}', message = 'raised'; end $$")
    };
    for (sql, code) in [
        (
            "set temp_file_limit = '64kB'; set work_mem = '64kB';
             select count(*) from (select n, repeat('x', 100) from generate_series(1, 20000) n order by 2, 1) s"
                .to_owned(),
            "53400",
        ),
        (sum, "54001"),
        ("set lock_timeout = 1; set statement_timeout = 0; select repeat('xx', 2000000000)".to_owned(), "54000"),
        (raise("53100"), "53100"),
        (raise("53200"), "53200"),
        (raise("40001"), "40001"),
        (raise("40P01"), "40P01"),
        (raise("XX000"), "XX000"),
        (raise("08006"), "08006"),
        (raise("57P01"), "57P01"),
        ("selec 1".to_owned(), "42601"),
        ("select 1/0".to_owned(), "22012"),
        ("select nope".to_owned(), "42703"),
    ] {
        let start: String = sql.chars().take(100).collect();
        let answer = run(developer, &path, &sql).await;
        assert_eq!(answer.refused(400, "QUERY_ERROR")["code"], code, "{start}: {answer}");
        assert_eq!(ask(developer, &path, "select 1").await, 1, "{start}");
    }
    let again = "create table once (x int primary key); insert into once values (1), (1)";
    assert_eq!(run(developer, &path, again).await.refused(409, "CONFLICT")["code"], "23505");
}

#[tokio::test]
async fn postgres_absence_and_other_services_are_told_apart() {
    let world = PostgresWorld::start().await;
    let (place, _) = world.database.url.rsplit_once('/').unwrap();
    let nobody = studio_gateway_tests::process::free_port();
    let silent = Proxy::start(nobody).await;
    silent.set(Mode::Stall).await;
    let gateway = world.gateway.address().port();
    for (identifier, url, reason) in [
        ("no-database", format!("{place}/nothing_like_it"), "unknown_database"),
        ("nobody", format!("postgresql://a@127.0.0.1:{nobody}/b"), "refused"),
        ("no-host", "postgresql://a@nothing-like-it.invalid/b".to_owned(), "not_resolved"),
        ("silent", format!("postgresql://a@127.0.0.1:{}/b", silent.port), "timeout"),
        ("http", format!("postgresql://a@127.0.0.1:{gateway}/b"), "refused"),
    ] {
        let id = world
            .alpha
            .connect("postgres", json!({"identifier": identifier, "connection_string": url}))
            .await;
        let begin = Instant::now();
        let answer =
            run(&world.alpha.viewer, &world.path(&format!("/query?connection={identifier}")), "select 1")
                .await;
        assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], reason, "{identifier}: {answer}");
        let test = format!("{}/{id}/test", world.alpha.connections("postgres"));
        let tested = world.alpha.admin.post(&test, json!({})).await.expect(200).data();
        assert_eq!(tested["success"], false, "{tested}");
        assert!(begin.elapsed() < Duration::from_secs(15), "{identifier}: {:?}", begin.elapsed());
    }
}
