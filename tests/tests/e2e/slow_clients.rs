//! Clients that connect, ask or read slowly or not at all: each costs itself an end, and nobody else anything.

use serde_json::json;
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Gateway, GatewayOptions, PATIENCE, RedisOptions, Registry, World, eventually, raw_request,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Connects, sends this, and stays.
async fn send(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).await.expect("the gateway listens");
    // The gateway may have pushed the connection out.
    let _ = stream.write_all(bytes.as_ref()).await;
    stream
}

/// Connects from an address of its own.
async fn connect_from(address: [u8; 4], gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((std::net::Ipv4Addr::from(address), 0).into()).unwrap();
    socket.connect(gateway.address()).await.expect("the gateway listens")
}

/// Waits until the gateway ends the connection, and gives back what it sent before.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // Cut or closed: both are an end.
    let _ =
        timeout(*PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the gateway ends the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A client without a pool, at an address of its own.
fn stranger_at(address: [u8; 4]) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(*PATIENCE);
    client.local_address(std::net::IpAddr::from(address)).build().unwrap()
}

/// Each in turn: nothing, half a head, half a body for a driver and for the gateway, a reply that is not read.
fn slow_requests(world: &World) -> [String; 5] {
    let authorization = format!("host: x\r\nauthorization: Bearer {}\r\n", world.alpha.developer.token());
    let half = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\n{authorization}content-type: application/json\r\ncontent-length: 900\r\n\r\n{{"
        )
    };
    [
        String::new(),
        format!("GET /api/platform/projects HTTP/1.1\r\n{authorization}x-half: "),
        half("/api/platform/probe/alpha/write"),
        half("/api/platform/organizations"),
        format!("GET /api/platform/probe/alpha/large?megabytes=4 HTTP/1.1\r\n{authorization}\r\n"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalling_crowd_keeps_nobody_out_where_files_are_few() {
    let options = GatewayOptions::new(Registry::Sqlite).files(256);
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    world.beta.connect_probe("probe", json!({})).await;
    let [silent, head, driver_body, own_body, unread] = slow_requests(&world);
    let crowd = [(1000, silent), (200, head), (100, driver_body), (100, own_body), (200, unread)];
    let served = async {
        let url = format!("http://{}{}", world.gateway.address(), world.beta.path("probe", "/nothing"));
        let clients = [stranger_at([127, 0, 0, 2]), stranger_at([127, 0, 0, 1])];
        let (begin, mut answers) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_secs(8) {
            for client in &clients {
                let asked = client.get(&url).bearer_auth(world.beta.viewer.token()).send().await;
                assert_eq!(asked.expect("an answer").status(), 200, "after {answers} answers");
                answers += 1;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        answers
    };
    let stalling = async {
        let mut streams = Vec::new();
        for (count, request) in crowd {
            for _ in 0..count {
                streams.push(send(&world.gateway, &request).await);
            }
        }
        streams
    };
    let (answers, streams) = tokio::join!(served, stalling);
    assert_eq!(streams.len(), 1600);
    assert!(answers >= 10, "only {answers} answers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_and_half_heads_are_closed_not_idle_ones() {
    let options =
        GatewayOptions::default().set("GATEWAY_BUDGET_FIRST_BYTE", "1s").set("GATEWAY_BUDGET_HEAD", "1s");
    let gateway = Gateway::start(options).await;
    let mut idle = send(&gateway, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = [0; 4096];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    for bytes in [
        "",
        "G",
        "GET /healthz HTTP/1.1\r\nhost: x\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = send(&gateway, bytes).await;
        read_to_end(&mut stream).await;
    }
    // A head that comes a byte at a time is as slow as one that stops.
    let mut trickling = send(&gateway, "GET /healthz HTTP/1.1\r\nx: ").await;
    let begin = Instant::now();
    while trickling.write_all(b"x").await.is_ok() {
        assert!(begin.elapsed() < *PATIENCE, "the gateway reads on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // By now the idle one has been quiet for longer than any of them may be.
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let read = timeout(*PATIENCE, idle.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_sent_bodies_end_with_408_and_the_connection() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_BODY", "1s");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let [_, _, driver_body, own_body, _] = slow_requests(&world);
    for request in [driver_body, own_body] {
        let mut stream = send(&world.gateway, &request).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{request}\n{answer}");
        assert!(answer.contains("REQUEST_TIMEOUT") && answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_trickles_has_no_more_time_than_one_that_stops() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_BODY", "1s");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    for path in ["/api/platform/probe/alpha/write", "/api/platform/organizations"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
            world.alpha.developer.token()
        );
        let stream = send(&world.gateway, head).await;
        let (mut reading, mut writing) = stream.into_split();
        let trickle = tokio::spawn(async move {
            while writing.write_all(b"1;extension=of-a-chunk\r\nx\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut answer = [0; 4096];
        let read = timeout(*PATIENCE, reading.read(&mut answer)).await.expect("an answer").unwrap();
        trickle.abort();
        assert!(answer[..read].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer[..read]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_is_looked_at_before_a_body_is_waited_for() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let mut asking = JoinSet::new();
    for (method, path) in [
        ("POST", "/api/platform/organizations"),
        ("POST", "/api/platform/projects"),
        ("PUT", "/api/platform/projects/alpha/members/someone"),
        ("POST", "/api/platform/probe/alpha/connections"),
        ("PUT", "/api/platform/probe/alpha/connections/1"),
        ("POST", "/api/platform/probe/alpha/write"),
    ] {
        for (headers, body) in [
            ("", "{"),
            ("authorization: Bearer none.of.these\r\n", "{"),
            // A client that asks first whether to send a body at all is told to keep it.
            ("expect: 100-continue\r\n", ""),
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\ncontent-length: 9000\r\n\r\n{body}"
            );
            let address = gateway.address();
            asking.spawn(async move {
                let answer = timeout(Duration::from_secs(10), raw_request(address, request.as_bytes())).await;
                let answer = answer.expect("nobody waits for the body");
                assert_eq!(answer.status, 401, "{request}: {}", answer.head);
            });
        }
    }
    asking.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_bodies_that_no_route_reads_end_their_connection() {
    let world = World::start(Registry::Sqlite).await;
    for (request, status) in [
        ("POST /nowhere", "404"),
        ("POST /api/platform/nothing/alpha/x", "404"),
        ("TRACE /healthz", "405"),
        ("GET /healthz", "200"),
        ("HEAD /healthz", "200"),
    ] {
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n");
        let mut stream = send(&world.gateway, head).await;
        let begin = Instant::now();
        let mut answer = vec![0; 4096];
        let read = timeout(*PATIENCE, stream.read(&mut answer)).await.expect("an answer").unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.contains(status), "{request}: {answer}");
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            assert!(begin.elapsed() < *PATIENCE, "{request}: the gateway reads on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_address_displaces_its_longest_idle_but_no_busy_client() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_CONNECTIONS_PER_ADDRESS", "4");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let waiting = format!(
        "GET /api/platform/probe/alpha/wait?milliseconds=6000 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        world.alpha.viewer.token()
    );
    let mut working = Vec::new();
    for _ in 0..3 {
        working.push(send(&world.gateway, &waiting).await);
    }
    eventually("three calls are under way", async || {
        let answer = world.alpha.viewer.get("/api/platform/probe/alpha/sessions").await;
        answer.status == 200 && answer.data()["waiting"] == 3
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(send(&world.gateway, "").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for stream in &mut silent[..7] {
        read_to_end(stream).await;
    }
    for mut stream in working {
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_too_many_is_told_so_where_all_others_work() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_CONNECTIONS", "4");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let waiting = format!(
        "GET /api/platform/probe/alpha/wait?milliseconds=8000 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        world.alpha.viewer.token()
    );
    let mut working = Vec::new();
    for last in 10..14 {
        let mut stream = connect_from([127, 0, 0, last], &world.gateway).await;
        stream.write_all(waiting.as_bytes()).await.unwrap();
        working.push(stream);
        // Each pushes out an idle one, on which the world was made, until all of them work.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut late = connect_from([127, 0, 0, 20], &world.gateway).await;
    let answer = read_to_end(&mut late).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert!(answer.contains("UNAVAILABLE") && answer.contains("busy"), "{answer}");
    for mut stream in working {
        assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 204"));
    }
    world.alpha.viewer.get("/api/platform/probe/alpha/nothing").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_told_to_leave_and_cut_no_request_off() {
    let gateway = Gateway::start(GatewayOptions::default().set("GATEWAY_BUDGET_IDLE", "1s")).await;
    let mut idle = send(&gateway, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = read_to_end(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for client in [reqwest::Client::builder(), reqwest::Client::builder().http2_prior_knowledge()] {
        let client = client.no_proxy().timeout(*PATIENCE).build().unwrap();
        for pause in [0, 500, 1500, 2500] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let asked = client.get(format!("http://{}/healthz", gateway.address())).send().await;
            assert_eq!(asked.expect("an answer").status(), 200, "after {pause} ms");
        }
    }
}
