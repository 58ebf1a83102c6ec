//! Large bodies that are refused before they are read: whoever sends them gets the answer all the same.

use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};
use studio_gateway_tests::{Gateway, GatewayOptions, PATIENCE, Project};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Sends refused uploads by Node's clients, each ten times, and gives back those that did not get their answer.
fn upload(address: SocketAddr, uploads: &Value) -> Vec<Value> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/refused_uploads.js");
    let argument = json!({"address": address.to_string(), "uploads": uploads, "times": 10});
    let output = Command::new("node").arg(script).arg(argument.to_string()).output().expect("node");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(all.len(), uploads.as_array().unwrap().len() * 30);
    all.into_iter().filter(|result| result["status"] != result["wanted"]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_upload_gets_its_answer_ten_times_of_ten() {
    let mut gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    fs::write(gateway.file("gateway.toml"), "[rate_limit.roles.developer]\nwrite = 1").unwrap();
    gateway.set("GATEWAY_RATE_LIMIT", "1000000");
    gateway.restart().await;
    let write = project.path("probe", "/write");
    project.developer.post(&write, json!({})).await.expect(204);
    let (viewer, developer, owner) =
        (project.viewer.token(), project.developer.token(), project.owner.token());
    let one = |path: &str, token: &str, mebibytes: u32, status: u16| json!({"method": "POST", "path": path, "token": token, "mebibytes": mebibytes, "status": status});
    let uploads = json!([
        one(&write, "", 5, 401),
        one(&write, "rubbish", 17, 401),
        one(&write, viewer, 9, 403),
        one(&write, owner, 30, 413),
        one(&write, developer, 7, 429),
        one("/api/platform/probe/nowhere/write", owner, 8, 404),
        one("/api/platform/probe/alpha/nothing", owner, 12, 405),
        one("/api/platform/organizations", owner, 6, 413),
        one("/nowhere", "", 16, 404),
    ]);
    let address = gateway.address();
    let failed = tokio::task::spawn_blocking(move || upload(address, &uploads)).await.unwrap();
    assert!(failed.is_empty(), "{} of 270: {failed:#?}", failed.len());
}

/// Begins an upload without a token, and reads the head of the answer.
async fn begin(gateway: &Gateway, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let head = format!("POST /api/platform/organizations HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(*PATIENCE, stream.read(&mut answer)).await.expect("an answer").unwrap();
    let text = String::from_utf8_lossy(&answer[..length]).to_lowercase();
    assert!(text.starts_with("http/1.1 401"), "{text}");
    stream
}

/// Sends pieces until the connection is closed; how many bytes went.
async fn send_until_closed(stream: &mut TcpStream, piece: &[u8], pause: Duration) -> usize {
    let mut sent = 0;
    let sending = async {
        while stream.write_all(piece).await.is_ok() {
            sent += piece.len();
            tokio::time::sleep(pause).await;
        }
    };
    timeout(*PATIENCE, sending).await.expect("the connection is closed");
    sent
}

#[tokio::test]
async fn refused_bodies_are_read_within_bounds_and_not_asked_for() {
    let gateway = Gateway::start(GatewayOptions::default().set("GATEWAY_BUDGET_BODY", "2s")).await;

    let mut endless = begin(&gateway, "content-length: 100000000000\r\n").await;
    let sent = send_until_closed(&mut endless, &[b' '; 256 * 1024], Duration::ZERO).await;
    assert!(sent < 200 << 20, "{sent} bytes of an endless body were read");

    let start = Instant::now();
    let mut slow = begin(&gateway, "transfer-encoding: chunked\r\n").await;
    send_until_closed(&mut slow, b"1\r\nx\r\n", Duration::from_millis(50)).await;
    assert!(start.elapsed() > Duration::from_millis(1500), "it had no time at all");

    // What a client waits to be asked for is not.
    let mut polite = begin(&gateway, "content-length: 5000000\r\nexpect: 100-continue\r\n").await;
    let mut rest = Vec::new();
    let _ = timeout(*PATIENCE, polite.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert!(!String::from_utf8_lossy(&rest).contains("100 Continue"));

    // A body that ends leaves its connection to the next request.
    let mut whole = begin(&gateway, "content-length: 3000000\r\n").await;
    whole.write_all(&vec![b' '; 3_000_000]).await.unwrap();
    whole.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    timeout(*PATIENCE, whole.read_to_string(&mut text)).await.expect("an answer").unwrap();
    assert!(text.contains("HTTP/1.1 200"), "{text}");
}
