//! A driver whose own threads run its calls is held to all that others are.

use super::sandbox::{logged, start_with};
use serde_json::json;
use std::time::{Duration, Instant};
use studio_gateway_tests::{Answer, Gateway, GatewayOptions, Plugin, Project, eventually};
use tokio::{task::JoinHandle, time::timeout};

async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let (gateway, project) = start_with([Plugin::new("apart")], options).await;
    project.connect("apart", json!({"identifier": "main", "host": "127.0.0.1", "options": {}})).await;
    (gateway, project)
}

/// Begins a call by a caller of its own, under this id.
fn call(project: &Project, path: &str, id: &'static str) -> JoinHandle<Answer> {
    let (viewer, path) = (project.viewer.clone(), project.path("apart", path));
    tokio::spawn(async move { viewer.send(viewer.request("GET", &path).header("x-request-id", id)).await })
}

#[tokio::test]
async fn calls_run_on_the_threads_that_their_driver_asks_for() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    let answer = call(&project, "/threads", "threads-4711").await.unwrap();
    assert_eq!(answer.expect(200).data(), json!(["driver-apart", "driver-apart", "driver-apart"]));
    logged(&gateway, &["INFO", "apart", "threads-4711", "the call names its threads"]).await;
    for _ in 0..5 {
        let answer = call(&project, "/panic", "panics-4712").await.unwrap();
        answer.refused(502, "DRIVER_ERROR");
        call(&project, "/threads", "next").await.unwrap().expect(200);
    }
    logged(&gateway, &["ERROR", "apart", "panics-4712", "the driver apart panics"]).await;
}

#[tokio::test]
async fn call_on_other_threads_ends_with_its_time_or_its_caller() {
    let (gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "500ms")).await;
    let answer = call(&project, "/wait?milliseconds=600000", "late-4711").await.unwrap();
    assert_eq!(answer.refused(504, "TIMEOUT"), json!(null), "nothing to doubt about what only reads");
    assert!(answer.message().ends_with("was cancelled"), "{answer}");
    logged(&gateway, &["INFO", "apart", "late-4711", "the wait was cancelled"]).await;
    let write = project.path("apart", "/write?milliseconds=600000");
    let details = project.developer.post(&write, json!(null)).await.refused(504, "TIMEOUT");
    assert_eq!(details["outcome"], "unknown");

    let (gateway, project) = start(GatewayOptions::default()).await;
    let path = project.path("apart", "/wait?milliseconds=600000");
    let left = timeout(Duration::from_millis(500), project.viewer.get(&path)).await;
    assert!(left.is_err());
    eventually("the wait is cancelled", async || gateway.log().contains("the wait was cancelled")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_that_block_are_told_of_and_hold_up_no_other_driver() {
    let (gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "1500ms")).await;
    let ids = ["blocks-4711", "blocks-4712"];
    let blocked = ids.map(|id| call(&project, "/block?milliseconds=4000", id));
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Both threads are taken, so this one's call can't begin; it ends in time all the same.
    let begin = Instant::now();
    let answer = call(&project, "/threads", "waits-4713").await.unwrap();
    assert_eq!(answer.refused(504, "TIMEOUT"), json!(null));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    gateway.anonymous().get("/healthz").await.expect(200);
    for (call, id) in blocked.into_iter().zip(ids) {
        let answer = call.await.unwrap();
        assert_eq!(answer.refused(504, "TIMEOUT"), json!({"cancelled": false}), "{answer}");
        assert!(answer.message().contains("could not be cancelled"), "{answer}");
        logged(&gateway, &["WARN", "apart", id, "driver blocks: GET /block has not returned for 1."]).await;
        logged(&gateway, &["WARN", "apart", id, "driver blocked: a call kept one of the driver's threads"])
            .await;
    }
    call(&project, "/threads", "after").await.unwrap().expect(200);
}
