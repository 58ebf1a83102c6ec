//! The log's lines: none of them holds a request up, and the last ones are not lost.

use studio_gateway_tests::{Gateway, GatewayOptions};

/// Reads how many lines the gateway dropped.
async fn dropped(gateway: &Gateway) -> u64 {
    let text = String::from_utf8(gateway.anonymous().get("/metrics").await.expect(200).bytes).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("studio_gateway_dropped_log_lines_total "));
    line.expect("the count of dropped lines").parse().unwrap()
}

#[tokio::test]
async fn log_that_nobody_reads_holds_up_no_request() {
    let mut gateway = Gateway::start(GatewayOptions::default().stuck_log()).await;
    let anonymous = gateway.anonymous();
    assert_eq!(dropped(&gateway).await, 0);
    // Together more than the pipe and the gateway's buffers hold.
    let path = format!("/{}", "x".repeat(16 << 10));
    for _ in 0..700 {
        anonymous.get(&path).await.refused(404, "NOT_FOUND");
    }
    let count = dropped(&gateway).await;
    assert!((1..700).contains(&count), "{count} lines were dropped");
    anonymous.get(&path).await.refused(404, "NOT_FOUND");
    assert!(dropped(&gateway).await > count);
    gateway.stop().await;
}

#[tokio::test]
async fn log_of_an_ended_process_has_every_request_in_order() {
    let mut gateway = Gateway::start(GatewayOptions::default()).await;
    let anonymous = gateway.anonymous();
    for number in 0..200 {
        let request = anonymous.request("GET", "/healthz").header("x-request-id", format!("the-{number}"));
        anonymous.send(request).await.expect(200);
    }
    gateway.stop().await;
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let ids = lines.filter(|line| line["target"] == "request").map(|line| line["request_id"].to_string());
    assert!(ids.eq((0..200).map(|number| format!("\"the-{number}\""))), "{log}");
    assert!(log.contains("told to stop") && !log.contains("lines were dropped"), "{log}");
}
