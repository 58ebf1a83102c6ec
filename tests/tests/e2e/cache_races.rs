//! A read and a write that meet in a known order: what was read before the write is neither kept nor shared after it.

use super::cache::{COUNTER, add, reads, start};
use serde_json::json;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use studio_gateway_tests::{GatewayOptions, Project, eventually};
use tokio::time::timeout;

async fn value(project: &Project, query: &str) -> u64 {
    let path = project.path("probe", &format!("{COUNTER}{query}"));
    project.viewer.get(&path).await.expect(200).data()["value"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_from_before_a_write_is_not_kept_or_shared_after_it() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let slow = "?after=2000";
    let path = project.path("probe", &format!("{COUNTER}{slow}"));
    let viewer = project.viewer.clone();
    let early = tokio::spawn(async move { viewer.get(&path).await.data()["value"].clone() });
    eventually("the early reader has read", async || reads(&project).await == 1).await;
    add(&project, "").await.expect(204);
    // While the early reader's call is under way, and when it is over.
    assert_eq!(value(&project, slow).await, 2);
    assert_eq!(early.await.unwrap(), 1);
    assert_eq!(value(&project, slow).await, 2);
    assert_eq!(reads(&project).await, 2, "what was read after the write is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_that_began_while_a_write_was_under_way_is_not_kept() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let path = project.path("probe", &format!("{COUNTER}?before=1000"));
    let developer = project.developer.clone();
    let writing = tokio::spawn(async move { developer.post(&path, json!(null)).await });
    // The write is told by what it does to the cache.
    eventually("the write is under way", async || {
        let answer =
            project.viewer.get(&project.path("probe", &format!("{COUNTER}?padding={}", rand()))).await;
        answer.header("cache-status").is_some_and(|status| !status.contains("stored"))
    })
    .await;
    assert_eq!(value(&project, "").await, 1);
    writing.await.unwrap().expect(204);
    assert_eq!(value(&project, "").await, 2);
}

/// Another number each time.
fn rand() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_of_unknown_outcome_counts_as_one_that_happened() {
    let (_gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "1s")).await;
    add(&project, "").await.expect(204);
    let mut expected = 1;
    // It is over its deadline; it panics; it says no; and each time it had happened before.
    for (query, status) in [("?after=5000", 504), ("?end=panic", 502), ("?end=refuse", 400)] {
        assert_eq!(value(&project, "").await, expected);
        add(&project, query).await.expect(status);
        expected += 1;
        assert_eq!(value(&project, "").await, expected, "after {query}");
    }
    // Its caller leaves.
    let left = timeout(Duration::from_millis(500), add(&project, "?after=5000")).await;
    assert!(left.is_err());
    eventually("the write counts", async || value(&project, "").await == expected + 1).await;
}
