//! A driver whose sessions take one call at a time: a connection has several, and callers take turns.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, Plugin, Plugins, Project, eventually, time::within,
};
use tokio::task::{JoinHandle, JoinSet};

/// A gateway with the driver `single` under these limits.
fn with_limits(limits: &str) -> GatewayOptions {
    let single = Plugin::new("single").line(format!("limits = {{ {limits} }}"));
    GatewayOptions::default().plugins(Plugins::new([single]))
}

fn without_limits() -> GatewayOptions {
    GatewayOptions::default().plugins(Plugins::new([Plugin::new("single")]))
}

/// A project with the connection `one`, and `watch` to look at it by.
async fn start(options: GatewayOptions, one: Value) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    connect(&project, "one", one).await;
    let watching = Project::create_empty(&gateway, "watching").await;
    connect(&watching, "watch", json!({"watches": true})).await;
    (gateway, project)
}

async fn connect(project: &Project, identifier: &str, options: Value) -> String {
    let body = json!({"identifier": identifier, "host": "127.0.0.1", "options": options});
    project.connect("single", body).await
}

/// The path of an operation by one connection.
fn at(project: &Project, path: &str, connection: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    project.path("single", &format!("{path}{joint}connection={connection}"))
}

async fn call(project: &Project, path: &str) -> Answer {
    project.viewer.get(&at(project, path, "one")).await
}

/// A call in the background.
fn begin(project: &Project, path: &str) -> JoinHandle<Answer> {
    let (viewer, path) = (project.viewer.clone(), at(project, path, "one"));
    tokio::spawn(async move { viewer.get(&path).await })
}

/// Asks by the connection that looks at the others.
async fn watch(gateway: &Gateway, path: &str) -> Answer {
    let path = format!("/api/platform/single/watching{path}?connection=watch");
    gateway.platform_admin().get(&path).await
}

/// One of the driver's own counts.
async fn count(gateway: &Gateway, name: &str) -> u64 {
    watch(gateway, "/facts").await.data()[name].as_u64().unwrap()
}

/// The number of the session that serves this call.
async fn session(project: &Project) -> u64 {
    call(project, "/facts").await.data()["number"].as_u64().unwrap()
}

/// Calls that keep a session each, from when this returns.
async fn hold(gateway: &Gateway, project: &Project, calls: u64) -> Vec<JoinHandle<Answer>> {
    let holding = (0..calls).map(|_| begin(project, "/hold")).collect();
    eventually("the sessions are held", async || count(gateway, "holding").await == calls).await;
    holding
}

async fn release(gateway: &Gateway, held: Vec<JoinHandle<Answer>>) {
    watch(gateway, "/release").await.expect(204);
    for call in held {
        call.await.unwrap().expect(204);
    }
}

/// What a gauge says, over all projects and types.
pub(crate) async fn gauge(gateway: &Gateway, name: &str) -> usize {
    let answer = gateway.anonymous().get("/metrics").await.expect(200);
    let text = String::from_utf8(answer.bytes).unwrap();
    let start = format!("studio_gateway_{name}{{");
    let lines = text.lines().filter(|line| line.starts_with(&start));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()).sum()
}

/// Waits until so many callers wait for a session.
pub(crate) async fn until_waiting(gateway: &Gateway, callers: usize) {
    let waiting = async || gauge(gateway, "waiting_callers").await == callers;
    eventually(&format!("{callers} callers wait"), waiting).await;
}

/// Ends a call as a caller does who leaves.
async fn leave(call: JoinHandle<Answer>) {
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
}

#[track_caller]
pub(crate) fn refused_for_the_line(answer: &Answer) {
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "too_many_waiting", "{answer}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
}

/// So many callers at once, each with a short call; all must be served.
async fn serve(project: &Project, callers: usize) {
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (viewer, path) = (project.viewer.clone(), at(project, "/number?milliseconds=5", "one"));
        running.spawn(async move { viewer.get(&path).await.expect(200) });
    }
    assert_eq!(running.join_all().await.len(), callers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_a_few_sessions_one_call_at_a_time_each() {
    let (gateway, project) = start(without_limits(), json!({})).await;
    for _ in 0..3 {
        serve(&project, 200).await;
    }
    assert_eq!(count(&gateway, "most_calls").await, 1, "two calls at once in one session");
    let most = count(&gateway, "most_open").await;
    assert!((2..=10).contains(&most), "{most} sessions");
    assert_eq!(count(&gateway, "opened").await, most, "sessions are used again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_calls_run_at_once_as_there_may_be_sessions() {
    let (gateway, project) = start(with_limits("sessions = 4"), json!({"milliseconds": 100})).await;
    let held = hold(&gateway, &project, 4).await;
    let fifth = begin(&project, "/nothing");
    until_waiting(&gateway, 1).await;
    assert_eq!((count(&gateway, "opened").await, count(&gateway, "attempts").await), (4, 5));
    release(&gateway, held).await;
    fifth.await.unwrap().expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_served_in_the_order_they_came() {
    let (gateway, project) = start(with_limits("sessions = 1"), json!({})).await;
    let held = hold(&gateway, &project, 1).await;
    let mut callers = Vec::new();
    for place in 1..=20 {
        callers.push(begin(&project, "/number?milliseconds=1"));
        until_waiting(&gateway, place).await;
    }
    release(&gateway, held).await;
    let mut numbers = Vec::new();
    for caller in callers {
        numbers.push(caller.await.unwrap().data().as_u64().unwrap());
    }
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert_eq!((count(&gateway, "most_calls").await, count(&gateway, "opened").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_line_refuses_at_once_and_serves_the_callers_in_it() {
    let (gateway, project) = start(with_limits("sessions = 1, waiting = 5"), json!({})).await;
    let held = hold(&gateway, &project, 1).await;
    let line: Vec<_> = (0..5).map(|_| begin(&project, "/nothing")).collect();
    until_waiting(&gateway, 5).await;
    let start = Instant::now();
    refused_for_the_line(&call(&project, "/nothing").await);
    assert!(start.elapsed() < Duration::from_secs(2), "refused after {:?}", start.elapsed());
    release(&gateway, held).await;
    for caller in line {
        caller.await.unwrap().expect(204);
    }
    call(&project, "/nothing").await.expect(204);
}

#[tokio::test]
async fn caller_waits_for_a_session_no_longer_than_the_settings_say() {
    let options = with_limits("sessions = 1").set("GATEWAY_SESSIONS_WAIT", "500ms");
    // That it takes longer to open the first one is another matter.
    let (gateway, project) = start(options, json!({"milliseconds": 1000})).await;
    let held = hold(&gateway, &project, 1).await;
    let start = Instant::now();
    refused_for_the_line(&call(&project, "/nothing").await);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(500) && waited < Duration::from_secs(5), "{waited:?}");
    until_waiting(&gateway, 0).await;
    release(&gateway, held).await;
    call(&project, "/nothing").await.expect(204);
    assert_eq!(count(&gateway, "opened").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_may_not_wait_get_sessions_of_their_own() {
    let options = with_limits("sessions = 3").set("GATEWAY_SESSIONS_WAIT", "0");
    let (gateway, project) = start(options, json!({"milliseconds": 200})).await;
    let held = hold(&gateway, &project, 1).await;
    let others = [begin(&project, "/hold"), begin(&project, "/hold")];
    eventually("all sessions are held", async || count(&gateway, "holding").await == 3).await;
    refused_for_the_line(&call(&project, "/nothing").await);
    release(&gateway, held.into_iter().chain(others).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_who_leaves_the_line_costs_nobody_a_session() {
    let (gateway, project) = start(with_limits("sessions = 1"), json!({})).await;
    let held = hold(&gateway, &project, 1).await;
    let mut callers = Vec::new();
    for place in 1..=20 {
        callers.push(begin(&project, "/number"));
        until_waiting(&gateway, place).await;
    }
    let mut staying = Vec::new();
    for (place, caller) in callers.into_iter().enumerate() {
        if place % 3 == 1 {
            staying.push(caller);
        } else {
            leave(caller).await;
        }
    }
    until_waiting(&gateway, staying.len()).await;
    release(&gateway, held).await;
    for (number, caller) in staying.into_iter().enumerate() {
        assert_eq!(caller.await.unwrap().data(), number);
    }
    assert_eq!((count(&gateway, "opened").await, session(&project).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_survive_callers_who_leave_at_any_moment() {
    let (gateway, project) = start(with_limits("sessions = 3"), json!({"milliseconds": 2})).await;
    let mut callers = JoinSet::new();
    for caller in 0..600 {
        let (viewer, path) = (project.viewer.clone(), at(&project, "/number?milliseconds=3", "one"));
        let patience = Duration::from_micros(caller % 60 * 500);
        callers.spawn(async move { tokio::time::timeout(patience, viewer.get(&path)).await.is_ok() });
    }
    let _ = callers.join_all().await;
    // All of them are there, and none serves two.
    let held = hold(&gateway, &project, 3).await;
    release(&gateway, held).await;
    serve(&project, 50).await;
    assert_eq!(count(&gateway, "most_calls").await, 1);
    eventually("no session is left over", async || count(&gateway, "open").await <= 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_whose_call_was_cut_is_replaced_for_those_who_wait() {
    let (gateway, project) = start(with_limits("sessions = 1, operation_timeout = 3"), json!({})).await;
    let held = hold(&gateway, &project, 1).await;
    let waiting = begin(&project, "/facts");
    until_waiting(&gateway, 1).await;
    for call in held {
        leave(call).await;
    }
    assert_eq!(waiting.await.unwrap().data()["number"], 2, "its caller left");
    call(&project, "/hold").await.refused(504, "TIMEOUT");
    assert_eq!(session(&project).await, 3, "its call passed the deadline");
    call(&project, "/broken").await.expect(204);
    assert_eq!(session(&project).await, 4, "its driver lost the database");
    call(&project, "/refused").await.refused(400, "QUERY_ERROR");
    assert_eq!(session(&project).await, 4, "an error is an answer");
    eventually("the others are closed", async || count(&gateway, "open").await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_slow_connection_opens_no_more_sessions_than_it_may() {
    let (gateway, project) = start(with_limits("sessions = 5"), json!({"milliseconds": 300})).await;
    serve(&project, 200).await;
    let (opened, most) = (count(&gateway, "opened").await, count(&gateway, "most_open").await);
    assert!(opened == most && (2..=5).contains(&most), "{opened} opened, {most} at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_database_fails_all_callers_at_once_and_is_left_alone() {
    let (gateway, project) = start(without_limits(), json!({"accepts": 0})).await;
    assert_eq!(count(&gateway, "attempts").await, 1, "the watcher's own");
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let (viewer, path) = (project.viewer.clone(), at(&project, "/nothing", "one"));
        callers
            .spawn(async move { viewer.get(&path).await.refused(503, "CONNECTION_ERROR")["reason"].clone() });
    }
    for reason in callers.join_all().await {
        assert!(reason == "refused" || reason == "circuit_open", "{reason}");
    }
    let attempts = count(&gateway, "attempts").await - 1;
    // After pauses of at least 100, 200, 400 … milliseconds.
    let most = 2 + start.elapsed().as_millis() / 100;
    assert!(u128::from(attempts) <= most, "{attempts} attempts in {:?}", start.elapsed());
    eventually("its status says so", async || {
        project.owner.get(&project.connections("single")).await.items()[0]["status"] == "ERROR"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_with_few_sessions_serves_everyone_through_them() {
    let (gateway, project) = start(with_limits("sessions = 10"), json!({"accepts": 2})).await;
    serve(&project, 200).await;
    assert_eq!((count(&gateway, "most_open").await, count(&gateway, "most_calls").await), (2, 1));
    let status = project.owner.get(&project.connections("single")).await.items();
    assert_eq!(status[0]["status"], "ACTIVE", "it works");
    // The last ones to close leave nobody behind.
    let held = hold(&gateway, &project, 2).await;
    let line: Vec<_> = (0..10).map(|_| begin(&project, "/nothing")).collect();
    until_waiting(&gateway, 10).await;
    for call in held {
        leave(call).await;
    }
    for caller in line {
        caller.await.unwrap().expect(204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cap_below_the_connections_sessions_serves_everyone() {
    let options = with_limits("sessions = 10").set("GATEWAY_SESSIONS_MAX_PER_PROJECT", "3");
    let (gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "20s"), json!({})).await;
    serve(&project, 200).await;
    assert_eq!(count(&gateway, "most_open").await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn want_of_room_is_told_to_connections_without_sessions_only() {
    let options = with_limits("sessions = 10").set("GATEWAY_SESSIONS_MAX_PER_PROJECT", "1");
    let (gateway, project) = start(options.set("GATEWAY_SESSIONS_WAIT", "500ms"), json!({})).await;
    connect(&project, "two", json!({})).await;
    let held = hold(&gateway, &project, 1).await;
    refused_for_the_line(&call(&project, "/nothing").await);
    let answer = project.viewer.get(&at(&project, "/nothing", "two")).await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "too_many_sessions", "{answer}");
    release(&gateway, held).await;
    // An idle session makes room for another connection.
    for connection in ["two", "one", "two"] {
        project.viewer.get(&at(&project, "/nothing", connection)).await.expect(204);
        assert_eq!(count(&gateway, "open").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_are_closed_and_a_busy_one_is_not() {
    let options = with_limits("sessions = 5").set("GATEWAY_SESSIONS_IDLE_TIMEOUT", "500ms");
    let (gateway, project) = start(options, json!({})).await;
    let held = hold(&gateway, &project, 5).await;
    release(&gateway, held).await;
    assert_eq!(count(&gateway, "most_open").await, 5);
    let held = hold(&gateway, &project, 1).await;
    let limit = Duration::from_secs(10);
    within(limit, "four are closed", async || count(&gateway, "open").await == 1).await;
    release(&gateway, held).await;
    within(limit, "the last is closed", async || count(&gateway, "open").await == 0).await;
    call(&project, "/nothing").await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_settings_close_old_sessions_after_their_calls() {
    let (gateway, project) = start(with_limits("sessions = 3"), json!({})).await;
    let held = hold(&gateway, &project, 3).await;
    release(&gateway, held).await;
    let held = hold(&gateway, &project, 1).await;
    let items = project.owner.get(&project.connections("single")).await.items();
    let path = format!("{}/{}", project.connections("single"), items[0]["id"].as_str().unwrap());
    project.owner.put(&path, json!({"options": {"milliseconds": 1}})).await.expect(200);
    assert_eq!(session(&project).await, 4);
    // The old ones that were idle at once, the one in use after its call.
    eventually("two are left", async || count(&gateway, "open").await == 2).await;
    release(&gateway, held).await;
    eventually("one is left", async || count(&gateway, "open").await == 1).await;
    assert_eq!(session(&project).await, 4);
    project.owner.delete(&path).await.expect(204);
    eventually("none is left", async || count(&gateway, "open").await == 0).await;
}
