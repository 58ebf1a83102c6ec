//! A driver that misbehaves harms its own caller and nobody else.

use serde_json::json;
use std::time::{Duration, Instant};
use studio_gateway_tests::{Gateway, GatewayOptions, Project, eventually};
use tokio::{task::JoinSet, time::timeout};

async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    (gateway, project)
}

#[tokio::test]
async fn panic_is_a_driver_error_and_the_next_request_works() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    for _ in 0..5 {
        project.viewer.get(&project.path("probe", "/panic")).await.refused(502, "DRIVER_ERROR");
        project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    }
    assert!(gateway.whole_log().await.contains("the probe panics"), "where it panicked is in the log");
}

#[tokio::test]
async fn panic_while_connecting_is_a_driver_error() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    project.connect_probe("panics", json!({"connect": "panic"})).await;
    let answer = project.viewer.get(&project.path("probe", "/nothing?connection=panics")).await;
    answer.refused(502, "DRIVER_ERROR");
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
}

#[tokio::test]
async fn garbage_is_a_driver_error() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    for path in ["/garbage/payload", "/garbage/code"] {
        project.viewer.get(&project.path("probe", path)).await.refused(502, "DRIVER_ERROR");
    }
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_driver_stops_nobody_else() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    let mut blocked = JoinSet::new();
    for _ in 0..8 {
        let (viewer, path) = (project.viewer.clone(), project.path("probe", "/block?milliseconds=5000"));
        blocked.spawn(async move { viewer.get(&path).await.status });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let start = Instant::now();
    gateway.anonymous().get("/healthz").await.expect(200);
    project.viewer.get("/api/platform/projects/alpha").await.expect(200);
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    assert!(start.elapsed() < Duration::from_secs(3), "others waited {:?}", start.elapsed());
    for status in blocked.join_all().await {
        assert_eq!(status, 204);
    }
}

#[tokio::test]
async fn operation_past_its_deadline_is_cancelled() {
    let (gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "500ms")).await;
    let start = Instant::now();
    let answer = project.viewer.get(&project.path("probe", "/wait?milliseconds=600000")).await;
    assert_eq!(answer.refused(504, "TIMEOUT"), json!(null), "nothing to doubt about what only reads");
    assert!(start.elapsed() >= Duration::from_millis(500));
    eventually("the wait is cancelled", async || gateway.log().contains("the wait was cancelled")).await;
    let answer = project.viewer.get(&project.path("probe", "/block?milliseconds=2000")).await;
    answer.refused(504, "TIMEOUT");
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
}

#[tokio::test]
async fn connecting_that_hangs_ends_in_time() {
    let options = GatewayOptions::default().set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "500ms");
    let (_gateway, project) = start(options).await;
    project.connect_probe("hangs", json!({"connect": "hang"})).await;
    let answer = project.viewer.get(&project.path("probe", "/nothing?connection=hangs")).await;
    let details = answer.refused(503, "CONNECTION_ERROR");
    assert_eq!(details["reason"], "timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusing_database_opens_the_circuit() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    project.connect_probe("refuses", json!({"connect": "refuse"})).await;
    let path = project.path("probe", "/nothing?connection=refuses");
    eventually("the circuit opens", async || {
        let answer = project.viewer.get(&path).await;
        let details = answer.refused(503, "CONNECTION_ERROR");
        let open = details["reason"] == "circuit_open";
        assert!(
            !open || answer.header("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok()),
            "{answer}"
        );
        open
    })
    .await;
}

#[tokio::test]
async fn caller_who_leaves_cancels_the_operation() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    let path = project.path("probe", "/wait?milliseconds=600000");
    let left = timeout(Duration::from_millis(500), project.viewer.get(&path)).await;
    assert!(left.is_err());
    eventually("the wait is cancelled", async || gateway.log().contains("the wait was cancelled")).await;
}

#[tokio::test]
async fn write_leaves_an_audit_record_however_it_ends() {
    let (gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "2s")).await;
    let write = |wait: u32| project.path("probe", &format!("/write?milliseconds={wait}"));
    let developer = &project.developer;
    developer.post(&write(0), json!(null)).await.expect(204);
    let details = developer.post(&write(60_000), json!(null)).await.refused(504, "TIMEOUT");
    assert_eq!(details["outcome"], "unknown");
    let left = timeout(Duration::from_millis(300), developer.post(&write(60_000), json!(null))).await;
    assert!(left.is_err());
    project.viewer.post(&write(0), json!(null)).await.refused(403, "FORBIDDEN");
    let results = format!(
        "SELECT result FROM {} WHERE action = 'probe: POST /write' ORDER BY result",
        gateway.database.table("gateway_audit_logs")
    );
    eventually("three records are there", async || {
        gateway.database.texts(&results).await == ["TIMEOUT", "cancelled", "ok"]
    })
    .await;
}

#[tokio::test]
async fn call_that_may_write_but_only_read_leaves_no_record() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    let maybe = |rest: &str| project.path("probe", &format!("/counters/visits/maybe{rest}"));
    for rest in ["", "", "?add=true"] {
        project.developer.post(&maybe(rest), json!(null)).await.expect(204);
    }
    let results = format!(
        "SELECT result FROM {} WHERE action LIKE 'probe: POST %/maybe'",
        gateway.database.table("gateway_audit_logs")
    );
    // Records are in order, so those of the first two would be there by now.
    eventually("a record is there", async || !gateway.database.texts(&results).await.is_empty()).await;
    assert_eq!(gateway.database.texts(&results).await, ["ok"]);
}

#[tokio::test]
async fn what_a_driver_logs_is_in_the_log_with_the_request_id() {
    let (gateway, project) = start(GatewayOptions::default().trace()).await;
    let viewer = &project.viewer;
    let request =
        viewer.request("GET", &project.path("probe", "/log")).header("x-request-id", "find-me-4711");
    viewer.send(request).await.expect(204);
    for level in ["error", "warn", "info", "debug", "trace"] {
        let words = [
            format!("probe at {level}"),
            "find-me-4711".to_owned(),
            level.to_uppercase(),
            "probe".to_owned(),
        ];
        eventually(&format!("a line with {words:?}"), async || {
            gateway.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
        })
        .await;
    }
}

#[tokio::test]
async fn path_parameters_reach_a_driver_as_bytes() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    for (name, length) in
        [("x", 1), ("a%2Fb", 3), ("%FF%00", 2), ("%C3%A4", 2), ("%2e%2e", 2), ("a%20b", 3), ("%25", 1)]
    {
        let path = project.path("probe", &format!("/facts/{name}"));
        let answer =
            studio_gateway_tests::raw::raw_get(gateway.address(), &path, project.viewer.token()).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.head);
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["data"]["name_length"], length, "{name}");
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_named() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    for query in ["?milliseconds=soon", "?milliseconds=-1", ""] {
        project
            .viewer
            .get(&project.path("probe", &format!("/wait{query}")))
            .await
            .refused_field("milliseconds");
    }
    let answer = project.viewer.get(&project.path("probe", "/wait?milliseconds=1&surplus=1")).await;
    answer.refused(400, "VALIDATION_ERROR");
}
