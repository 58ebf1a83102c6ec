//! Databases that are busy, slow or gone: so many calls at once, the rest in turn, and nobody waits in vain.

use super::{
    exclusive_sessions::{gauge, refused_for_the_line, until_waiting},
    session_caps::{LONG, at, call, connect_two, leave, start},
};
use serde_json::json;
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, Mode, Plugin, Plugins, Project, Proxy, RedisServer, eventually,
    time::within,
};
use tokio::task::JoinHandle;

/// A gateway whose probe has these limits.
fn with_limits(limits: &str) -> GatewayOptions {
    let probe = Plugin::new("probe").line(format!("limits = {{ {limits} }}"));
    GatewayOptions::default().plugins(Plugins::new([Plugin::new("redis"), probe]))
}

/// A call in the background that takes so long.
fn begin(project: &Project, connection: &str, milliseconds: u64) -> JoinHandle<Answer> {
    let (viewer, path) =
        (project.viewer.clone(), at(project, &format!("/wait?milliseconds={milliseconds}"), connection));
    tokio::spawn(async move { viewer.get(&path).await })
}

/// Calls that go on, from when this returns.
async fn hold(
    gateway: &Gateway,
    project: &Project,
    connection: &str,
    calls: usize,
) -> Vec<JoinHandle<Answer>> {
    let held = (0..calls).map(|_| begin(project, connection, LONG)).collect();
    eventually("they run", async || gauge(gateway, "running_calls").await == calls).await;
    held
}

async fn leave_all(calls: Vec<JoinHandle<Answer>>) {
    for call in calls {
        leave(call).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_connections_cap_wait_and_a_full_line_refuses() {
    let (gateway, project) = start(with_limits("calls = 2, waiting = 3")).await;
    connect_two(&project).await;
    let held = hold(&gateway, &project, "one", 2).await;
    let line: Vec<_> = (0..3).map(|_| begin(&project, "one", 1)).collect();
    until_waiting(&gateway, 3).await;
    let start = Instant::now();
    refused_for_the_line(&call(&project, "one").await);
    assert!(start.elapsed() < Duration::from_secs(2), "refused after {:?}", start.elapsed());
    call(&project, "two").await.expect(200);
    leave_all(held).await;
    for waiting in line {
        waiting.await.unwrap().expect(204);
    }
    eventually("nothing is left", async || gauge(&gateway, "running_calls").await == 0).await;
    call(&project, "one").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_a_projects_cap_wait_in_line_on_any_connection() {
    let options = GatewayOptions::default()
        .set("GATEWAY_SESSIONS_MAX_CALLS_PER_PROJECT", "2")
        .set("GATEWAY_SESSIONS_MAX_WAITING", "1")
        .set("GATEWAY_SESSIONS_WAIT", "20s");
    let (gateway, project) = start(options).await;
    connect_two(&project).await;
    let other = Project::create_empty(&gateway, "beta").await;
    other.connect_probe("one", json!({})).await;
    // Open, so that nobody waits for that.
    call(&project, "one").await.expect(200);
    let held = hold(&gateway, &project, "one", 2).await;
    let waiting = begin(&project, "two", 1);
    until_waiting(&gateway, 1).await;
    refused_for_the_line(&call(&project, "two").await);
    call(&other, "one").await.expect(200);
    leave_all(held).await;
    waiting.await.unwrap().expect(204);
    eventually("nothing is left", async || gauge(&gateway, "running_calls").await == 0).await;
    call(&project, "one").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_with_a_turn_after_the_deadline_is_refused_at_once() {
    let (gateway, project) = start(with_limits("calls = 1")).await;
    project.connect_probe("one", json!({})).await;
    // As many as it takes to know how long calls take.
    for _ in 0..8 {
        begin(&project, "one", 500).await.unwrap().expect(204);
    }
    let line: Vec<_> = (0..4).map(|_| begin(&project, "one", 500)).collect();
    until_waiting(&gateway, 3).await;
    let request = project.viewer.request("GET", &at(&project, "/nothing", "one"));
    let start = Instant::now();
    let answer = project.viewer.send(request.header("x-request-timeout", "1s")).await;
    let took = start.elapsed();
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "too_many_waiting", "{answer}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=4).contains(&wait) && took < Duration::from_millis(500), "{wait} s, told after {took:?}");
    // One with more time waits, and has its turn.
    call(&project, "one").await.expect(200);
    for waiting in line {
        waiting.await.unwrap().expect(204);
    }
}

#[tokio::test]
async fn callers_and_operators_can_shorten_an_operations_deadline() {
    let (gateway, project) = start(with_limits("operation_timeouts = { '/wait' = '1s' }")).await;
    project.connect_probe("one", json!({})).await;
    let path = at(&project, &format!("/wait?milliseconds={LONG}"), "one");
    let viewer = &project.viewer;
    let timed = async |timeout: &str| {
        let start = Instant::now();
        let answer = viewer.send(viewer.request("GET", &path).header("x-request-timeout", timeout)).await;
        answer.refused(504, "TIMEOUT");
        start.elapsed()
    };
    let (short, long) = (timed("300ms").await, timed("1h").await);
    assert!(short >= Duration::from_millis(300) && short < Duration::from_millis(900), "{short:?}");
    assert!(long >= Duration::from_secs(1) && long < Duration::from_secs(5), "{long:?}");
    eventually("both are cancelled", async || gateway.log().matches("the wait was cancelled").count() == 2)
        .await;
    for wrong in ["soon", "0", "-1"] {
        let request = viewer.request("GET", &path).header("x-request-timeout", wrong);
        viewer.send(request).await.refused_field("x-request-timeout");
    }
}

#[tokio::test]
async fn timeout_of_an_unknown_operation_is_refused_by_name() {
    let mut gateway = Gateway::prepare(with_limits("operation_timeouts = { '/wiat' = 1 }")).await;
    gateway.try_start().await.unwrap_err().says(&["probe", "operation_timeouts", "/wiat"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_with_failing_calls_rests_and_one_call_tries_it() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    connect_two(&project).await;
    let status = async || {
        let items = project.owner.get(&project.connections("probe")).await.items();
        let one = items.iter().find(|item| item["identifier"] == "one").unwrap();
        one["status"].as_str().unwrap().to_owned()
    };
    let fail = async || project.viewer.get(&at(&project, "/lost", "one")).await;
    for _ in 0..20 {
        assert_eq!(fail().await.refused(503, "CONNECTION_ERROR")["reason"], "closed");
    }
    // By now it may be let through again, to fail again.
    eventually("it is left alone", async || {
        let answer = fail().await;
        let details = answer.refused(503, "CONNECTION_ERROR");
        let refused = details["reason"] == "circuit_open" && details["cause"] == "closed";
        assert!(!refused || answer.header("retry-after") == Some("1"), "{answer}");
        refused
    })
    .await;
    assert_eq!(gauge(&gateway, "open_circuits").await, 1);
    call(&project, "two").await.expect(200);
    eventually("its status says so", async || status().await == "ERROR").await;
    let limit = Duration::from_secs(2);
    within(limit, "it works again", async || call(&project, "one").await.status == 200).await;
    assert_eq!(gauge(&gateway, "open_circuits").await, 0);
    eventually("its status says so", async || status().await == "ACTIVE").await;
    for _ in 0..30 {
        project.viewer.get(&at(&project, "/garbage/code", "one")).await.expect(502);
        call(&project, "one").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_session_of_a_gone_database_is_closed_before_any_call() {
    // Pinged every two seconds, and closed for being idle much later than this test looks.
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_IDLE_TIMEOUT", "10s");
    let (gateway, project) = start(options).await;
    let redis = RedisServer::plain().await;
    let proxy = Proxy::start(redis.port).await;
    project.connect("redis", json!({"identifier": "main", "host": "127.0.0.1", "port": proxy.port})).await;
    let keys = project.path("redis", "/keys");
    project.viewer.get(&keys).await.expect(200);
    proxy.set(Mode::Stall).await;
    let limit = Duration::from_secs(8);
    within(limit, "it is given up", async || gateway.log().contains("session given up")).await;
    eventually("it is closed", async || gauge(&gateway, "open_sessions").await == 0).await;
    proxy.set(Mode::Pass).await;
    let start = Instant::now();
    project.viewer.get(&keys).await.expect(200);
    assert!(start.elapsed() < Duration::from_secs(1), "answered after {:?}", start.elapsed());
}

#[tokio::test]
async fn body_that_nests_too_deep_is_refused_before_a_driver_reads_it() {
    let (_gateway, project) = start(GatewayOptions::default().set("GATEWAY_MAX_NESTING", "3")).await;
    project.connect_probe("one", json!({})).await;
    let path = at(&project, "/write", "one");
    let answer = project.developer.post(&path, json!([{"a": [[]], "b": "[["}])).await;
    answer.refused_field("body");
    assert_eq!(answer.refused(400, "VALIDATION_ERROR")["limit_levels"], 3);
    project.developer.post(&path, json!([{"a": [], "b": "[["}])).await.expect(204);
}
