//! SIGTERM: nothing new, what runs ends, then the process does.

use serde_json::json;
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use studio_gateway_tests::{Gateway, GatewayOptions, Project, Registry, eventually};
use tokio::task::JoinSet;

async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    (gateway, project)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_request_finishes_while_readiness_says_no() {
    let (mut gateway, project) = start(GatewayOptions::default()).await;
    let anonymous = gateway.anonymous();
    anonymous.get("/readyz").await.expect(200);
    let (viewer, wait) = (project.viewer.clone(), project.path("probe", "/wait?milliseconds=3000"));
    let running = tokio::spawn(async move { viewer.get(&wait).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.sigterm();
    eventually("readiness says no while a request runs", async || {
        let asked = anonymous.try_send(anonymous.request("GET", "/readyz")).await;
        asked.is_ok_and(|answer| answer.status == 503)
    })
    .await;
    assert!(!running.is_finished(), "the request ended before readiness was seen to change");
    running.await.unwrap().expect(204);
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_request_delays_shutdown_no_longer_than_configured() {
    let (mut gateway, project) = start(GatewayOptions::default().set("GATEWAY_DRAIN_TIMEOUT", "1s")).await;
    let viewer = project.viewer.clone();
    let request = viewer.request("GET", &project.path("probe", "/wait?milliseconds=600000"));
    let running = tokio::spawn(async move { viewer.try_send(request).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    gateway.sigterm();
    assert_eq!(gateway.wait().await.code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(900), "it did not wait at all");
    let answer = running.await.unwrap();
    assert!(answer.is_err() || answer.unwrap().status >= 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_calls_are_recorded_and_delay_the_end_no_longer() {
    for path in ["/wait?milliseconds=600000", "/block?milliseconds=20000"] {
        let (mut gateway, project) =
            start(GatewayOptions::default().set("GATEWAY_DRAIN_TIMEOUT", "2s")).await;
        let developer = project.developer.clone();
        let request = developer.request("GET", &project.path("probe", path));
        let running = tokio::spawn(async move { developer.try_send(request).await });
        let write = project
            .developer
            .request("POST", &project.path("probe", "/write?milliseconds=600000"))
            .json(&json!({}));
        let writing = project.developer.clone();
        let writing = tokio::spawn(async move { writing.try_send(write).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let start = Instant::now();
        gateway.sigterm();
        assert_eq!(gateway.wait().await.code(), Some(0));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{path}: two seconds after it was told to, and then {took:?}");
        let _ = (running.await, writing.await);
        let records = "SELECT result FROM gateway_audit_logs WHERE action LIKE '%/write'";
        assert_eq!(gateway.database.texts(records).await, ["cancelled"], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_answered_under_load_are_recorded_before_the_end() {
    for registry in [Registry::Sqlite, Registry::Postgres] {
        let (mut gateway, project) = start(GatewayOptions::new(registry)).await;
        let mut callers = JoinSet::new();
        for caller in 0..16 {
            let developer = project.developer.clone();
            let path = project.path("probe", "/write?milliseconds=0");
            callers.spawn(async move {
                let mut answered = Vec::new();
                loop {
                    let id = format!("write-{caller}-{}", answered.len());
                    let request = developer.request("POST", &path).header("x-request-id", &id);
                    match developer.try_send(request.json(&json!(null))).await {
                        Ok(answer) if answer.status == 204 => answered.push(id),
                        _ => return answered,
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        gateway.sigterm();
        assert_eq!(gateway.wait().await.code(), Some(0));
        let answered: Vec<String> = callers.join_all().await.concat();
        assert!(answered.len() > 100, "{} writes are no load", answered.len());
        let table = gateway.database.table("gateway_audit_logs");
        let query = format!("SELECT request_id FROM {table} WHERE action LIKE '%/write' AND result = 'ok'");
        let recorded: HashSet<String> = gateway.database.texts(&query).await.into_iter().collect();
        let lost: Vec<_> = answered.iter().filter(|id| !recorded.contains(*id)).collect();
        assert!(lost.is_empty(), "{registry:?}: {} of {} are not recorded", lost.len(), answered.len());
    }
}

#[tokio::test]
async fn idle_gateway_ends_at_once_and_comes_back_with_everything() {
    for registry in [Registry::Sqlite, Registry::Postgres] {
        let (mut gateway, project) = start(GatewayOptions::new(registry)).await;
        let start = Instant::now();
        gateway.stop().await;
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "an idle gateway took {:?} to end",
            start.elapsed()
        );
        gateway.start_again().await;
        project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    }
}
