//! The server sessions (`lsid`) that calls use: one after the other the same, never two at once, and nothing in them of
//! the caller before.

use super::mongodb_connections::{options, parts, start};
use mongodb::bson::{Document, doc};
use serde_json::json;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use studio_gateway_tests::{Answer, Gateway, MongoServer, Project, eventually, process::listen};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// What was sent so far, each way.
#[derive(Default)]
struct Sent {
    to_server: Mutex<Vec<u8>>,
    to_client: Mutex<Vec<u8>>,
}

impl Sent {
    /// Starts to listen between the gateway and a server, and gives the port.
    async fn start(server: u16) -> (Arc<Self>, u16) {
        let (sent, listener) = (Arc::new(Self::default()), listen());
        let port = listener.local_addr().unwrap().port();
        let heard = sent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], server))).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let (asked, answered) = (heard.clone(), heard.clone());
                tokio::spawn(async move { pass(from_client, to_server, &asked.to_server).await });
                tokio::spawn(async move { pass(from_server, to_client, &answered.to_client).await });
            }
        });
        (sent, port)
    }

    /// The sessions in commands of this name, in the order of the commands.
    fn sessions(&self, command: &str) -> Vec<[u8; 16]> {
        let begin = format!("\x02{command}\0");
        let sent = self.to_server.lock().unwrap();
        let commands = find(&sent, begin.as_bytes());
        let id = |at: &usize| {
            // A document `lsid` with a binary value `id` of 16 bytes, of the type UUID.
            let mark = b"\x03lsid\0\x1e\0\0\0\x05id\0\x10\0\0\0\x04";
            let rest = &sent[*at..];
            let start = find(rest, mark).first().copied()? + mark.len();
            rest.get(start..start + 16)?.try_into().ok()
        };
        commands.iter().filter_map(id).collect()
    }

    fn clear(&self) {
        self.to_server.lock().unwrap().clear();
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    heard: &Mutex<Vec<u8>>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        heard.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Where these bytes begin.
fn find(bytes: &[u8], sought: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(sought)).collect()
}

struct World {
    gateway: Gateway,
    alpha: Project,
    server: MongoServer,
    sent: Arc<Sent>,
}

impl World {
    async fn start() -> Self {
        let ((gateway, alpha), server) = tokio::join!(start(options()), MongoServer::plain());
        let (sent, port) = Sent::start(server.port).await;
        alpha.connect("mongodb", parts("main", port, json!({}))).await;
        let world = Self { gateway, alpha, server, sent };
        world.find().await.expect(200);
        world.sent.clear();
        world
    }

    fn path(&self, rest: &str) -> String {
        self.alpha.path("mongodb", &format!("/databases/shop/collections/c/documents{rest}"))
    }

    async fn find(&self) -> Answer {
        self.alpha.viewer.get(&self.path("?count=none")).await
    }

    /// Makes the driver's commands of this name take this long.
    async fn slow(&self, command: &str, time: Duration) {
        let time = i64::try_from(time.as_millis()).unwrap();
        let data: Document = doc! {
            "failCommands": [command], "appName": "studio-gateway", "blockConnection": true, "blockTimeMS": time,
        };
        self.server.fail("alwaysOn", data).await;
    }
}

fn distinct(sessions: &[[u8; 16]]) -> usize {
    sessions.iter().collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_calls_one_after_the_other_use_one_server_session() {
    let world = World::start().await;
    for number in 0..10 {
        world.find().await.expect(200);
        let body = json!({"document": {"_id": number}});
        world.alpha.developer.post(&world.path(""), body).await.expect(201);
    }
    let (finds, inserts) = (world.sent.sessions("find"), world.sent.sessions("insert"));
    assert_eq!((finds.len(), inserts.len()), (10, 10));
    assert_eq!(distinct(&[finds, inserts].concat()), 1);
    // The server tells each call its time, and none is told to wait for another caller's.
    assert!(!find(&world.sent.to_client.lock().unwrap(), b"\x11operationTime\0").is_empty());
    assert!(find(&world.sent.to_server.lock().unwrap(), b"afterClusterTime").is_empty());

    // What the server refuses breaks nothing.
    for _ in 0..3 {
        let body = json!({"document": {"_id": 0}});
        world.alpha.developer.post(&world.path(""), body).await.refused(409, "CONFLICT");
        world.find().await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_calls_at_once_use_a_server_session_each() {
    let world = World::start().await;
    world.slow("find", Duration::from_millis(500)).await;
    for _ in 0..2 {
        world.sent.clear();
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (viewer, path) = (world.alpha.viewer.clone(), world.path("?count=none"));
            callers.spawn(async move { viewer.get(&path).await.expect(200) });
        }
        callers.join_all().await;
        let sessions = world.sent.sessions("find");
        assert_eq!((sessions.len(), distinct(&sessions)), (8, 8));
    }
    world.server.fail_no_more().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_session_that_was_killed_is_used_by_no_call_before_its_end() {
    let world = World::start().await;
    world.slow("find", Duration::from_secs(3)).await;
    let (viewer, path) = (world.alpha.viewer.clone(), world.path("?count=none"));
    let leaving = tokio::spawn(async move { viewer.get(&path).await });
    eventually("it is asked", async || world.sent.sessions("find").len() == 1).await;
    let left = world.sent.sessions("find")[0];
    // The kill is not answered for as long as the other callers ask.
    world.server.fail_no_more().await;
    world.slow("killSessions", Duration::from_secs(3)).await;
    leaving.abort();
    let is_killed = || find(&world.sent.to_server.lock().unwrap(), b"killSessions\0").len() == 1;
    eventually("it is killed", async || is_killed()).await;
    for _ in 0..5 {
        world.find().await.expect(200);
    }
    let sessions = world.sent.sessions("find");
    assert_eq!((sessions.len(), distinct(&sessions[1..])), (6, 1));
    assert!(!sessions[1..].contains(&left), "another caller uses it");
    world.server.fail_no_more().await;
    eventually("the kill is answered", async || {
        world.gateway.log().contains("an abandoned operation was killed")
    })
    .await;
}
