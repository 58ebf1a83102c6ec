//! Driver sessions: opened once, replaced when broken, closed when idle, and never more than the caps allow.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, Plugin, Plugins, Project, RedisServer, eventually, time::within,
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// For calls that must go on until the test is through with them.
pub(crate) const LONG: u64 = 600_000;

pub(crate) async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// A path of the probe by one connection.
pub(crate) fn at(project: &Project, path: &str, connection: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    project.path("probe", &format!("{path}{joint}connection={connection}"))
}

pub(crate) async fn call(project: &Project, connection: &str) -> Answer {
    project.viewer.get(&at(project, "/nothing", connection)).await
}

/// Sessions ever opened and open now, of all probe connections, asked by one that is open or may be opened for it.
async fn sessions(project: &Project, connection: &str) -> (u64, u64) {
    let counts = project.viewer.get(&at(project, "/sessions", connection)).await.expect(200).data();
    (counts["opened"].as_u64().unwrap(), counts["open"].as_u64().unwrap())
}

/// A call that keeps a connection's session busy, from when this returns.
async fn keep_busy(project: &Project, connection: &str, milliseconds: u64) -> JoinHandle<Answer> {
    let waiting = async || {
        let counts = project.viewer.get(&at(project, "/sessions", connection)).await.expect(200).data();
        counts["waiting"].as_u64().unwrap()
    };
    let before = waiting().await;
    let path = at(project, &format!("/wait?milliseconds={milliseconds}"), connection);
    let viewer = project.viewer.clone();
    let running = tokio::spawn(async move { viewer.get(&path).await });
    eventually("the call waits", async || waiting().await > before).await;
    running
}

/// Ends a call as a caller does who leaves.
pub(crate) async fn leave(call: JoinHandle<Answer>) {
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
}

/// Two connections of the probe, `one` and `two`.
pub(crate) async fn connect_two(project: &Project) {
    for identifier in ["one", "two"] {
        project.connect_probe(identifier, json!({})).await;
    }
}

#[track_caller]
fn refused_for_want_of_room(answer: &Answer) {
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "too_many_sessions", "{answer}");
    let wait = answer.header("retry-after").expect("Retry-After");
    assert!((1..=60).contains(&wait.parse::<u32>().unwrap()), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_callers_of_a_cold_connection_open_one_session() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    project.connect_probe("one", json!({"connect": "slowly"})).await;
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (viewer, path) = (project.viewer.clone(), at(&project, "/nothing", "one"));
        callers.spawn(async move { viewer.get(&path).await.status });
    }
    assert_eq!(callers.join_all().await, [200; 500]);
    assert_eq!(sessions(&project, "one").await, (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_session_is_replaced_before_the_next_call() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    project.connect_probe("one", json!({})).await;
    for round in 1..=10 {
        assert_eq!(sessions(&project, "one").await.0, round);
        project.developer.post(&at(&project, "/break", "one"), json!({})).await.expect(204);
        let mut callers = JoinSet::new();
        for _ in 0..20 {
            let (viewer, path) = (project.viewer.clone(), at(&project, "/nothing", "one"));
            callers.spawn(async move { viewer.get(&path).await.status });
        }
        assert_eq!(callers.join_all().await, [200; 20]);
        assert_eq!(sessions(&project, "one").await, (round + 1, 1), "one new session and none left over");
    }
}

#[tokio::test]
async fn broken_session_still_finishes_what_runs_on_it() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    project.connect_probe("one", json!({})).await;
    let running = keep_busy(&project, "one", 1500).await;
    project.developer.post(&at(&project, "/break", "one"), json!({})).await.expect(204);
    assert_eq!(sessions(&project, "one").await, (2, 2));
    running.await.unwrap().expect(204);
    eventually("the broken session is closed", async || sessions(&project, "one").await == (2, 1)).await;
}

#[tokio::test]
async fn idle_session_makes_room_for_its_projects_other_connection() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_MAX_PER_PROJECT", "1");
    let (gateway, project) = start(options).await;
    connect_two(&project).await;
    let other = Project::create_empty(&gateway, "beta").await;
    other.connect_probe("watch", json!({})).await;
    call(&other, "watch").await.expect(200);
    let begin = Instant::now();
    for round in 0..5 {
        for (place, connection) in ["one", "two"].into_iter().enumerate() {
            call(&project, connection).await.expect(200);
            let opened = 2 + 2 * round + place as u64;
            assert_eq!(
                sessions(&other, "watch").await,
                (opened, 2),
                "another project's session is left alone"
            );
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "room was made late: {:?}", begin.elapsed());
}

/// With `one` busy, `two` is refused for want of room, in the time set and not at once; afterwards both work.
async fn busy_session_keeps_its_place(gateway: &Gateway, one: (&Project, &str), two: (&Project, &str)) {
    let running = keep_busy(one.0, one.1, LONG).await;
    // Again and again: that there is no room says nothing about the database, so that no circuit opens.
    for _ in 0..3 {
        let begin = Instant::now();
        refused_for_want_of_room(&call(two.0, two.1).await);
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(5), "waited {waited:?}");
    }
    call(one.0, one.1).await.expect(200);
    assert_eq!(sessions(one.0, one.1).await, (1, 1));
    let status = two.0.owner.get(&two.0.connections("probe")).await.expect(200).items();
    assert!(status.iter().all(|connection| connection["status"] == "ACTIVE"), "{status:?}");
    leave(running).await;
    eventually("the call is cancelled", async || gateway.log().contains("the wait was cancelled")).await;
    call(two.0, two.1).await.expect(200);
    call(one.0, one.1).await.expect(200);
    assert_eq!(sessions(one.0, one.1).await, (3, 1));
}

#[tokio::test]
async fn busy_session_keeps_its_place_under_the_projects_cap() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_MAX_PER_PROJECT", "1");
    let (gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "500ms")).await;
    connect_two(&project).await;
    busy_session_keeps_its_place(&gateway, (&project, "one"), (&project, "two")).await;
}

#[tokio::test]
async fn busy_session_keeps_its_place_under_the_global_cap() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_MAX", "1");
    let (gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "500ms")).await;
    project.connect_probe("one", json!({})).await;
    let other = Project::create_empty(&gateway, "beta").await;
    other.connect_probe("one", json!({})).await;
    busy_session_keeps_its_place(&gateway, (&project, "one"), (&other, "one")).await;
}

#[tokio::test]
async fn busy_session_keeps_its_place_under_the_drivers_cap() {
    let probe = Plugin::new("probe").line("limits = { max_sessions = 1 }");
    let options = GatewayOptions::default().plugins(Plugins::new([Plugin::new("redis"), probe]));
    let (gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "500ms")).await;
    project.connect_probe("one", json!({})).await;
    let other = Project::create_empty(&gateway, "beta").await;
    other.connect_probe("one", json!({})).await;
    busy_session_keeps_its_place(&gateway, (&project, "one"), (&other, "one")).await;
}

#[tokio::test]
async fn drivers_cap_is_made_room_under_by_its_own_idle_sessions_only() {
    let probe = Plugin::new("probe").line("limits = { max_sessions = 1 }");
    let options = GatewayOptions::default().plugins(Plugins::new([Plugin::new("redis"), probe]));
    let (_gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "1s")).await;
    connect_two(&project).await;
    let redis = RedisServer::plain().await;
    project.connect("redis", json!({"identifier": "redis", "host": "127.0.0.1", "port": redis.port})).await;
    // Idle for longer than the probe's, but no help to it.
    project.viewer.get(&project.path("redis", "/keys")).await.expect(200);
    let clients = async || {
        let list: String = redis::from_redis_value(redis.run(&["CLIENT", "LIST"]).await).unwrap();
        list.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    let before = clients().await;
    for round in 0..4 {
        for connection in ["one", "two"] {
            call(&project, connection).await.expect(200);
            assert_eq!(sessions(&project, connection).await.1, 1, "round {round}");
        }
    }
    let after = clients().await;
    assert!(after.contains(&before[0]), "the Redis session was closed: {before:?}, {after:?}");
}

#[tokio::test]
async fn place_is_given_as_soon_as_a_busy_session_falls_idle() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_MAX_PER_PROJECT", "1");
    let (_gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "20s")).await;
    connect_two(&project).await;
    let running = keep_busy(&project, "one", 1500).await;
    let begin = Instant::now();
    call(&project, "two").await.expect(200);
    let waited = begin.elapsed();
    assert!(waited < Duration::from_secs(10), "waited {waited:?} for a session that was idle after 1.5 s");
    running.await.unwrap().expect(204);
    assert_eq!(sessions(&project, "two").await, (2, 1));
}

#[tokio::test]
async fn caller_who_leaves_the_queue_takes_no_place_with_it() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_MAX_PER_PROJECT", "1");
    let (_gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "1s")).await;
    for identifier in ["one", "two", "three"] {
        project.connect_probe(identifier, json!({"connect": "slowly"})).await;
    }
    let running = keep_busy(&project, "one", LONG).await;
    let mut leaving = JoinSet::new();
    for caller in 0..20 {
        let viewer = project.viewer.clone();
        let path = at(&project, "/nothing", if caller % 2 == 0 { "two" } else { "three" });
        leaving.spawn(async move { timeout(Duration::from_millis(300), viewer.get(&path)).await.is_err() });
    }
    assert_eq!(leaving.join_all().await, [true; 20], "they leave before they are answered");
    leave(running).await;
    // As if they had never been there.
    for connection in ["two", "one", "three", "two", "three", "one"] {
        call(&project, connection).await.expect(200);
        assert_eq!(sessions(&project, connection).await.1, 1);
    }
}

#[tokio::test]
async fn changed_settings_open_a_new_session_and_the_old_one_finishes() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let id = project.connect_probe("one", json!({"token": "old"})).await;
    let running = keep_busy(&project, "one", 2000).await;
    let change = format!("{}/{id}", project.connections("probe"));
    project.owner.put(&change, json!({"options": {"token": "newer"}})).await.expect(200);
    let facts = project.viewer.get(&at(&project, "/facts/x", "one")).await.expect(200).data();
    assert_eq!(facts["token_length"], 5);
    assert_eq!(sessions(&project, "one").await, (2, 2), "the old one is in use still");
    running.await.unwrap().expect(204);
    eventually("the old session is closed", async || sessions(&project, "one").await == (2, 1)).await;
    // What is no setting of the session leaves it open.
    project.owner.put(&change, json!({"is_primary": true})).await.expect(200);
    assert_eq!(sessions(&project, "one").await, (2, 1));
}

#[tokio::test]
async fn deleted_and_inactive_connections_close_their_sessions() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    connect_two(&project).await;
    let watch = async || sessions(&project, "one").await.1;
    for (connection, end) in [("two", json!(null)), ("two", json!({"status": "INACTIVE"}))] {
        let items = project.owner.get(&project.connections("probe")).await.items();
        let id = match items.iter().find(|item| item["identifier"] == connection) {
            Some(item) => item["id"].as_str().unwrap().to_owned(),
            None => project.connect_probe(connection, json!({})).await,
        };
        let path = format!("{}/{id}", project.connections("probe"));
        let running = keep_busy(&project, connection, 1000).await;
        assert_eq!(watch().await, 2);
        match end {
            Value::Null => project.owner.delete(&path).await.expect(204),
            change => project.owner.put(&path, change).await.expect(200),
        };
        let status = call(&project, connection).await.status;
        assert!(matches!(status, 404 | 409), "{status}");
        running.await.unwrap().expect(204);
        eventually("its session is closed", async || watch().await == 1).await;
    }
}

#[tokio::test]
async fn idle_session_is_closed_and_a_busy_one_is_not() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_IDLE_TIMEOUT", "500ms");
    let (_gateway, project) = start(options).await;
    connect_two(&project).await;
    let running = keep_busy(&project, "one", 3000).await;
    call(&project, "two").await.expect(200);
    assert_eq!(sessions(&project, "one").await, (2, 2));
    let took = within(Duration::from_secs(10), "the idle session is closed", async || {
        sessions(&project, "one").await == (2, 1)
    })
    .await;
    assert!(took >= Duration::from_millis(300), "closed after {took:?}");
    running.await.unwrap().expect(204);
    call(&project, "two").await.expect(200);
    assert_eq!(sessions(&project, "two").await.0, 3);
}

#[tokio::test]
async fn limits_of_plugins_toml_hold_for_their_driver_alone() {
    let probe = Plugin::new("probe").line("limits = { max_sessions = 1, operation_timeout = 1 }");
    let options = GatewayOptions::default().plugins(Plugins::new([Plugin::new("redis"), probe]));
    let (gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "300ms")).await;
    connect_two(&project).await;
    let begin = Instant::now();
    let path = at(&project, &format!("/wait?milliseconds={LONG}"), "one");
    project.viewer.get(&path).await.refused(504, "TIMEOUT");
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(8), "{took:?}");
    eventually("the call is cancelled", async || gateway.log().contains("the wait was cancelled")).await;
    project.viewer.get(&at(&project, "/wait?milliseconds=500", "one")).await.expect(204);
    let running = keep_busy(&project, "one", 900).await;
    refused_for_want_of_room(&call(&project, "two").await);
    running.await.unwrap().expect(204);
    call(&project, "two").await.expect(200);
    assert_eq!(sessions(&project, "two").await.1, 1);
    // Other drivers have neither bound.
    let redis = RedisServer::plain().await;
    for identifier in ["three", "four"] {
        let body = json!({"identifier": identifier, "host": "127.0.0.1", "port": redis.port});
        project.connect("redis", body).await;
        let path = project.path("redis", &format!("/keys?connection={identifier}"));
        project.viewer.get(&path).await.expect(200);
    }
    redis.freeze();
    let begin = Instant::now();
    let viewer = project.viewer.clone();
    let path = project.path("redis", "/keys?connection=four");
    let slow = tokio::spawn(async move { viewer.get(&path).await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    redis.thaw();
    slow.await.unwrap().expect(200);
    assert!(begin.elapsed() >= Duration::from_millis(1500));
}
