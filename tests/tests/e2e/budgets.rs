//! Bytes that the gateway holds for its clients: so many in all and for each project, and an end for who takes none.

use serde_json::json;
use std::time::Duration;
use studio_gateway_tests::{Gateway, GatewayOptions, PATIENCE, RedisOptions, Registry, World, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Bytes of memory that the gateway occupies.
fn resident(gateway: &mut Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Asks, and reads nothing.
async fn ask(world: &World, token: &str, path: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.gateway.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The status of the answer, of which only a little is read.
async fn status(stream: &mut TcpStream) -> String {
    let mut start = [0; 12];
    timeout(*PATIENCE, stream.read_exact(&mut start)).await.expect("an answer").expect("an answer");
    String::from_utf8_lossy(&start[9..]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untaken_replies_are_bounded_and_end_without_delaying_others() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_NO_PROGRESS", "5s");
    let mut world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    world.beta.connect_probe("probe", json!({})).await;
    world.beta.viewer.get("/api/platform/probe/beta/nothing").await.expect(200);
    let before = resident(&mut world.gateway);
    let path = "/api/platform/probe/alpha/large?megabytes=40";
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(ask(&world, world.alpha.viewer.token(), path, "").await);
    }
    let mut statuses = Vec::new();
    for stream in &mut streams {
        world.beta.viewer.get("/api/platform/probe/beta/sessions").await.expect(200);
        statuses.push(status(stream).await);
    }
    let mebibytes = resident(&mut world.gateway).saturating_sub(before) >> 20;
    assert!(mebibytes < 160, "{mebibytes} MiB more for replies that nobody takes");
    assert!(statuses.contains(&"200".to_owned()) && statuses.contains(&"503".to_owned()), "{statuses:?}");
    // Those that got a reply and do not read it are cut, and the memory is there again.
    eventually("the memory is there again", async || resident(&mut world.gateway) < before + (64 << 20))
        .await;
    world.alpha.viewer.get(path).await.expect(200);
}

/// Bytes that `/metrics` says are held of these.
async fn held(world: &World, of: &str) -> u64 {
    let answer = world.gateway.anonymous().get("/metrics").await.expect(200);
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    let name = format!("studio_gateway_held_bytes{{of=\"{of}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).expect("a gauge").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_for_want_of_room_says_so_and_when_to_come_again() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_PROJECT_REPLY_BYTES", "20971520");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let viewer = &world.alpha.viewer;
    // One reply above the project's budget goes out alone.
    let path = "/api/platform/probe/alpha/large?megabytes=60";
    let mut alone = ask(&world, viewer.token(), path, "").await;
    assert_eq!(status(&mut alone).await, "200");
    assert!(held(&world, "replies").await > 60 << 20);
    // Its client goes on reading, so that it makes no room.
    let reading = tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while alone.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let refused = viewer.get("/api/platform/probe/alpha/large?megabytes=3").await;
    let error = refused.refused(503, "UNAVAILABLE");
    assert_eq!(error["reason"], "busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Small ones have room of their own.
    viewer.get("/api/platform/probe/alpha/sessions").await.expect(200);
    reading.abort();
    eventually("there is room again", async || {
        viewer.get("/api/platform/probe/alpha/large?megabytes=3").await.status == 200
    })
    .await;
    eventually("nothing is held", async || held(&world, "replies").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_reader_makes_room_for_others_of_its_project() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_PROJECT_REPLY_BYTES", "62914560");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let viewer = &world.alpha.viewer;
    let path = "/api/platform/probe/alpha/large?megabytes=50";
    let mut unread = ask(&world, viewer.token(), path, "").await;
    assert_eq!(status(&mut unread).await, "200");
    tokio::time::sleep(Duration::from_secs(2)).await;
    viewer.get("/api/platform/probe/alpha/large?megabytes=30").await.expect(200);
    let mut rest = Vec::new();
    let _ = timeout(*PATIENCE, unread.read_to_end(&mut rest)).await.expect("it was ended");
    assert!(rest.len() < 50 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_the_budget_are_refused_until_others_end() {
    let options = GatewayOptions::default()
        .set("GATEWAY_BUDGET_PROJECT_BODY_BYTES", "4194304")
        .set("GATEWAY_BUDGET_BODY_BYTES", "12582912");
    let world = World::start_with(options, RedisOptions::new()).await;
    for project in [&world.alpha, &world.beta] {
        project.connect_probe("probe", json!({})).await;
    }
    let mut holding = TcpStream::connect(world.gateway.address()).await.unwrap();
    let head = format!(
        "POST /api/platform/probe/alpha/write HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 9000000\r\n\r\n",
        world.alpha.developer.token()
    );
    holding.write_all(head.as_bytes()).await.unwrap();
    let announced = held(&world, "bodies").await;
    assert_eq!(announced, 0, "what is only announced takes no room");
    holding.write_all(&vec![b'x'; 8_900_000]).await.unwrap();
    eventually("the first body is held", async || held(&world, "bodies").await >= 8_900_000).await;
    let write = async |project: &studio_gateway_tests::Project| {
        let path = project.path("probe", "/write");
        project.developer.send(project.developer.request("POST", &path).body(vec![b'x'; 1 << 20])).await
    };
    let refused = write(&world.alpha).await;
    assert_eq!(refused.refused(503, "UNAVAILABLE")["reason"], "busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    write(&world.beta).await.expect(204);
    drop(holding);
    eventually("there is room again", async || write(&world.alpha).await.status == 204).await;
    eventually("nothing is held", async || held(&world, "bodies").await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_without_window_is_reset_and_its_connection_goes_on() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_NO_PROGRESS", "2s");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .http2_initial_stream_window_size(65_535)
        .http2_initial_connection_window_size(1 << 24)
        .build()
        .unwrap();
    let get = async |path: &str| {
        let url = format!("http://{}{path}", world.gateway.address());
        client.get(url).bearer_auth(world.alpha.viewer.token()).send().await.unwrap()
    };
    let mut unread = get("/api/platform/probe/alpha/large?megabytes=8").await;
    assert_eq!(unread.status(), 200);
    let error = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        loop {
            match unread.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the whole reply came"),
                Err(error) => break error,
            }
        }
    };
    let others = async {
        for _ in 0..12 {
            assert_eq!(get("/api/platform/probe/alpha/nothing").await.status(), 200);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let (error, ()) = tokio::join!(error, others);
    assert!(!error.is_timeout(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trickling_reader_is_cut_off_and_a_merely_slow_one_is_not() {
    let options = GatewayOptions::default()
        .set("GATEWAY_BUDGET_NO_PROGRESS", "2s")
        .set("GATEWAY_BUDGET_LEAST_RATE", "1000000");
    let world = World::start_with(options, RedisOptions::new()).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let read = async |each: usize, pause: u64| {
        let path = "/api/platform/probe/alpha/large?megabytes=20";
        let mut stream = ask(&world, world.alpha.viewer.token(), path, "connection: close\r\n").await;
        let (mut buffer, mut total) = (vec![0; each], 0);
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return total,
                Ok(read) => total += read,
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    };
    let (trickling, slow) =
        tokio::join!(timeout(*PATIENCE * 2, read(65_536, 250)), timeout(*PATIENCE * 2, read(1 << 18, 50)));
    assert!(trickling.expect("an end") < 20 << 20, "the whole reply came at a trickle");
    assert!(slow.expect("an end") > 20 << 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_that_would_refuse_everything_stop_the_start() {
    for (name, value, words) in [
        ("GATEWAY_BUDGET_REPLY_BYTES", "1000000", "budgets.reply_bytes"),
        ("GATEWAY_BUDGET_BODY_BYTES", "1000", "budgets.body_bytes"),
        ("GATEWAY_BUDGET_HEAD", "0", "budgets.head"),
        ("GATEWAY_BUDGET_HEAD_BYTES", "100", "budgets.head_bytes"),
    ] {
        let options = GatewayOptions::new(Registry::Sqlite).set(name, value);
        let mut gateway = Gateway::prepare(options).await;
        gateway.fails_to_start().await.says(&[words]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressions_are_bounded_and_replies_beyond_go_uncompressed() {
    let options = GatewayOptions::default().set("GATEWAY_BUDGET_COMPRESSIONS", "3");
    let world = World::start_with(options, RedisOptions::new()).await;
    // A text that compresses badly, so that it does not fit into the sockets between.
    let mut state = 1_u64;
    let value: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + 1 + u8::try_from((state >> 33) % 90).unwrap())
    })
    .filter(|character| !"\"\\".contains(*character))
    .take(6 << 20)
    .collect();
    let set = json!({"value": value});
    let answer = world.alpha.developer.post(&world.alpha.path("redis", "/keys/large"), set).await;
    assert!(answer.status < 300, "{}", answer.status);
    let (mut streams, mut compressed) = (Vec::new(), 0);
    let path = world.alpha.path("redis", "/keys/large");
    for _ in 0..8 {
        let mut stream = ask(&world, world.alpha.viewer.token(), &path, "accept-encoding: br\r\n").await;
        let mut head = vec![0; 2048];
        let read = timeout(*PATIENCE, stream.read(&mut head)).await.expect("an answer").unwrap();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        compressed += usize::from(head.contains("content-encoding: br"));
        streams.push(stream);
    }
    assert_eq!(compressed, 3);
    drop(streams);
    eventually("there is a place again", async || {
        let request = world.alpha.viewer.request("GET", &path).header("accept-encoding", "br");
        world.alpha.viewer.send(request).await.header("content-encoding") == Some("br")
    })
    .await;
}
