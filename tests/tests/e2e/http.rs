//! HTTP itself: request ids, HEAD, CORS, compression, HTTP/2, limits on bodies.

use serde_json::json;
use studio_gateway_tests::{Client, Gateway, GatewayOptions, RedisOptions, Registry, World, raw_request};

#[tokio::test]
async fn sane_request_id_is_taken_over_and_others_are_replaced() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let client = gateway.anonymous();
    let sent = async |path: &str, id: &str| {
        let answer = client.send(client.request("GET", path).header("x-request-id", id)).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(sent("/healthz", "abc-123_x.y").await, "abc-123_x.y");
    // The client asserts that an error's body has it too.
    assert_eq!(sent("/api/platform/projects", "abc-124").await, "abc-124");
    for insane in ["", "two words", "quote\"", &"x".repeat(2000)] {
        let id = sent("/healthz", insane).await;
        assert!(id != insane && id.len() <= 128, "{insane} became {id}");
    }
    assert_ne!(sent("/healthz", "").await, sent("/healthz", "").await);
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let world = World::start(Registry::Sqlite).await;
    world.alpha.connect_probe("probe", json!({})).await;
    for path in ["/api/platform/projects/alpha", "/api/platform/probe/alpha/nothing"] {
        let answer = world.alpha.viewer.call("HEAD", path, None).await.expect(200);
        assert!(answer.bytes.is_empty(), "{answer}");
        world.stranger.call("HEAD", path, None).await.expect(404);
    }
}

#[tokio::test]
async fn other_origins_are_told_nothing_unless_configured() {
    const ORIGIN: &str = "https://studio.example.com";
    let closed = Gateway::start(GatewayOptions::default()).await;
    let open = Gateway::start(GatewayOptions::default().set("GATEWAY_CORS_ORIGINS", ORIGIN)).await;
    for (gateway, origin, allowed) in
        [(&closed, ORIGIN, None), (&open, ORIGIN, Some(ORIGIN)), (&open, "https://evil.example.com", None)]
    {
        let client = gateway.anonymous();
        let get = client.send(client.request("GET", "/api/platform/projects").header("origin", origin)).await;
        assert_eq!(get.header("access-control-allow-origin"), allowed, "{get}");
        let preflight = client
            .request("OPTIONS", "/api/platform/projects")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let preflight = client.send(preflight).await;
        assert_eq!(preflight.header("access-control-allow-origin"), allowed, "{preflight}");
    }
}

#[tokio::test]
async fn listed_origin_reads_errors_and_sends_credentials_and_headers() {
    const ORIGIN: &str = "https://studio.example.com";
    let options = GatewayOptions::default()
        .set("GATEWAY_CORS_ORIGINS", ORIGIN)
        .set("GATEWAY_CORS_HEADERS", "authorization, x-of-ours");
    let mut world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let ask = async |client: &Client, path: &str, status: u16| {
        let answer = client.send(client.request("GET", path).header("origin", ORIGIN)).await.expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{answer}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer}");
        assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"), "{answer}");
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("origin")));
    };
    let viewer = &world.alpha.viewer;
    ask(viewer, "/api/platform/probe/alpha/nothing", 200).await;
    ask(&world.gateway.anonymous(), "/api/platform/probe/alpha/nothing", 401).await;
    ask(viewer, "/api/platform/probe/beta/nothing", 404).await;
    ask(viewer, "/nowhere", 404).await;

    let preflight = viewer
        .request("OPTIONS", "/api/platform/probe/alpha/nothing")
        .header("origin", ORIGIN)
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "authorization,x-of-others");
    let preflight = viewer.send(preflight).await.expect(200);
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization,x-of-ours"));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PATCH"));
    let plain = viewer.call("OPTIONS", "/api/platform/probe/alpha/nothing", None).await.expect(204);
    assert_eq!(plain.header("allow"), Some("GET, HEAD, OPTIONS"));

    world.gateway.set("GATEWAY_RATE_LIMIT", "1");
    world.gateway.restart().await;
    ask(viewer, "/api/platform/probe/alpha/nothing", 200).await;
    ask(viewer, "/api/platform/probe/alpha/nothing", 429).await;
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_accept_it() {
    let world = World::start(Registry::Sqlite).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let viewer = &world.alpha.viewer;
    for encoding in ["gzip", "br", "zstd"] {
        let ask = async |path: &str| {
            viewer.send(viewer.request("GET", path).header("accept-encoding", encoding)).await.expect(200)
        };
        let large = ask("/api/platform/probe/alpha/large?megabytes=1").await;
        assert_eq!(large.header("content-encoding"), Some(encoding));
        assert!(large.bytes.len() < 100_000, "{encoding}: {} bytes", large.bytes.len());
        let small = ask("/api/platform/probe/alpha/nothing").await;
        assert_eq!(small.header("content-encoding"), None);
    }
    let plain = viewer.get("/api/platform/probe/alpha/large?megabytes=1").await.expect(200);
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.data().as_str().unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn http2_is_spoken_without_tls() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let http = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let answer = http.get(format!("http://{}/healthz", gateway.address())).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
}

#[tokio::test]
async fn bodies_and_results_over_the_limit_are_refused_whole() {
    let options = GatewayOptions::default()
        .set("GATEWAY_MAX_BODY_BYTES", "1000")
        .set("GATEWAY_MAX_REPLY_BYTES", "2000000");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let developer = &world.alpha.developer;
    let write = async |length: usize| {
        developer
            .send(developer.request("POST", "/api/platform/probe/alpha/write").body("x".repeat(length)))
            .await
    };
    write(1000).await.expect(204);
    write(1001).await.refused(413, "PAYLOAD_TOO_LARGE");
    // Refused once too much of it is there; nobody waits for the rest.
    let head = format!(
        "POST /api/platform/probe/alpha/write HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         connection: close\r\ncontent-length: 20000000\r\n\r\n{}",
        developer.token(),
        "x".repeat(5000)
    );
    assert_eq!(raw_request(world.gateway.address(), head.as_bytes()).await.status, 413);
    developer.get("/api/platform/probe/alpha/large?megabytes=1").await.expect(200);
    developer.get("/api/platform/probe/alpha/large?megabytes=2").await.refused(507, "RESULT_TOO_LARGE");
}

#[tokio::test]
async fn heads_that_can_not_be_read_are_errors_like_any() {
    let world = World::start_with(GatewayOptions::default(), RedisOptions::new()).await;
    let address = world.gateway.address();
    let long = format!("GET {}", world.alpha.path("redis", &format!("/keys/{}", "k".repeat(70_000))));
    let good = format!("GET {} HTTP/1.1\r\nhost: a\r\n", "/healthz");
    for (request, status, code) in [
        (format!("{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414, "URI_TOO_LONG"),
        (format!("{good}x-large: {}\r\n\r\n", "x".repeat(200_000)), 431, "HEAD_TOO_LARGE"),
        (format!("{good}no header\r\n\r\n"), 400, "VALIDATION_ERROR"),
        ("GET\r\n\r\n".to_owned(), 400, "VALIDATION_ERROR"),
    ] {
        let answer = raw_request(address, request.as_bytes()).await;
        let beginning: String = request.chars().take(60).collect();
        assert_eq!(answer.status, status, "{beginning}: {answer:?}");
        let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(error["error"]["code"], code, "{beginning}: {error}");
        let id = error["error"]["request_id"].as_str().unwrap();
        assert!(!id.is_empty() && answer.head.contains(&format!("x-request-id: {id}\r\n")), "{answer:?}");
        assert!(answer.head.contains("content-type: application/json\r\n"), "{answer:?}");
    }
    // Behind an answer on the same connection too.
    let both = format!("{good}\r\n{long} HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = raw_request(address, both.as_bytes()).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(text.contains("HTTP/1.1 414 URI Too Long\r\n"), "{text}");
    // A value that looks like such an answer stays what it is.
    let value = "HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n".repeat(20_000);
    let path = world.alpha.path("redis", "/keys/k");
    world.alpha.developer.post(&path, json!({"value": value})).await.expect(201);
    assert!(world.alpha.viewer.get(&path).await.expect(200).data()["value"] == json!(value));
}

#[tokio::test]
async fn requests_that_are_no_http_harm_nobody() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let address = gateway.address();
    for request in [
        &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 no TLS here\r\n\r\n"[..],
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nconnection: close\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /api/platform/redis/%ff%fe/keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /api/platform/../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST /api/platform/projects HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let answer = raw_request(address, request).await;
        assert!(answer.status < 500 && answer.status != 200, "{} {}", String::from_utf8_lossy(request), answer.head);
    }
    gateway.anonymous().get("/healthz").await.expect(200);
}

#[tokio::test]
async fn json_bodies_that_do_not_read_are_validation_errors() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let admin = gateway.platform_admin();
    for body in
        ["", "{", "[]", "null", "{\"name\": 1}", "{\"name\":\"a\",\"slug\":\"a\",\"surplus\":1}", "\u{1}"]
    {
        let request = admin.request("POST", "/api/platform/organizations");
        let answer = admin.send(request.header("content-type", "application/json").body(body)).await;
        answer.refused(400, "VALIDATION_ERROR");
    }
    assert!(admin.get("/api/platform/organizations").await.items().is_empty());
}
