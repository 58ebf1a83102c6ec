//! MongoDB servers that mean harm: what they cost is an error for their own connection, and nobody else's.

use super::mongodb_connections::{options, parts, start};
use mongodb::bson::{Binary, Document, doc, spec::BinarySubtype};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use studio_gateway_tests::{
    Act, Answer, Certificates, Gateway, HostileMongo, MongoServer, Project,
    hostile_mongo::{around, frame, hello, message, nested},
};

/// What an answer about a hostile server may take on a busy machine.
const SOON: Duration = Duration::from_secs(8);

/// A gateway, and two projects: one with hostile servers, the other with a good one.
pub(crate) struct World {
    gateway: Gateway,
    hostile: Project,
    neighbour: Project,
    _server: MongoServer,
}

impl World {
    pub(crate) async fn start() -> Self {
        let ((gateway, hostile), server) = tokio::join!(start(options()), MongoServer::plain());
        let neighbour = Project::create_empty(&gateway, "neighbour").await;
        neighbour.connect("mongodb", parts("main", server.port, json!({}))).await;
        let world = Self { gateway, hostile, neighbour, _server: server };
        world.neighbour_is_served().await;
        world
    }

    pub(crate) async fn connect(&self, identifier: &str, server: &HostileMongo, extra: Value) {
        self.hostile.connect("mongodb", parts(identifier, server.port, extra)).await;
    }

    pub(crate) async fn find(&self, identifier: &str) -> Answer {
        self.get(&format!("/databases/shop/collections/c/documents?count=none&connection={identifier}")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_within(path, "30").await
    }

    pub(crate) async fn get_within(&self, path: &str, seconds: &str) -> Answer {
        let request = self.hostile.admin.request("GET", &self.hostile.path("mongodb", path));
        self.hostile.admin.send(request.header("x-request-timeout", seconds)).await
    }

    pub(crate) async fn neighbour_is_served(&self) {
        let path = self.neighbour.path("mongodb", "/databases/shop/collections/c/documents?count=none");
        self.neighbour.viewer.get(&path).await.expect(200);
    }

    /// The most memory that the gateway had so far, in MiB.
    pub(crate) fn most_memory(&mut self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.gateway.process().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// The resident memory of the gateway in MiB.
    pub(crate) fn memory(&mut self) -> u64 {
        let path = format!("/proc/{}/statm", self.gateway.process().id());
        let pages = std::fs::read_to_string(path).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1024
    }
}

/// Acts on commands of this name alone.
pub(crate) fn on(wanted: &'static str, act: Act) -> impl Fn(&str, &Document) -> Option<Act> + Send + Sync {
    let is_wanted =
        move |name: &str| name == wanted || (wanted == "hello" && name.eq_ignore_ascii_case("ismaster"));
    move |name, _| is_wanted(name).then(|| act.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_that_answers_with_endless_levels_is_given_up() {
    let world = World::start().await;
    for (command, levels, ok) in [
        ("hello", 60_000, 1.0),
        ("hello", 1_000_000, 1.0),
        ("ping", 60_000, 1.0),
        ("find", 60_000, 1.0),
        ("find", 60_000, 0.0),
        ("hello", 60_000, 0.0),
    ] {
        for name in ["x", "cursor", "errInfo", "$clusterTime", "speculativeAuthenticate"] {
            let bytes = nested(name, levels, ok);
            let server = HostileMongo::start(on(command, Act::AnswerBytes(bytes))).await;
            let identifier =
                format!("{command}-{}-{levels}-{ok}", name.trim_start_matches('$').to_lowercase());
            let identifier = identifier.replace('.', "-");
            world.connect(&identifier, &server, json!({})).await;
            let begin = Instant::now();
            world.find(&identifier).await.refused(502, "DRIVER_ERROR");
            assert!(begin.elapsed() < SOON, "{identifier}: {:?}", begin.elapsed());
        }
        world.neighbour_is_served().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_with_endless_levels_over_tls_is_given_up() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path()).unwrap();
    let bytes = nested("cursor", 60_000, 1.0);
    let hostile = HostileMongo::start_tls(&certificates, on("find", Act::AnswerBytes(bytes))).await;
    let good = HostileMongo::start_tls(&certificates, |_, _| None).await;
    for (identifier, extra) in [
        ("one", json!({"tls": true, "tls_ca": certificates.authority})),
        ("several", json!({"tls": true, "tls_ca": certificates.authority, "direct_connection": false})),
        ("insecure", json!({"tls": true, "tls_insecure": true})),
    ] {
        world.connect(&format!("good-{identifier}"), &good, json!({"options": extra})).await;
        world.find(&format!("good-{identifier}")).await.expect(200);
        world.connect(identifier, &hostile, json!({"options": extra})).await;
        world.find(identifier).await.refused(502, "DRIVER_ERROR");
    }
    world.neighbour_is_served().await;
}

/// A server that asks for this much hashing, in answer to `hello` or to the login's own command.
async fn start_server_that_asks_for_hashing(rounds: &'static str, at_once: bool) -> HostileMongo {
    HostileMongo::start(move |command, asked| {
        let login = asked.get_document("speculativeAuthenticate").unwrap_or(asked);
        let first = match login.get_binary_generic("payload") {
            Ok(bytes) if command != "saslContinue" => String::from_utf8_lossy(bytes).into_owned(),
            _ => return None,
        };
        let nonce = first.rsplit_once("r=").map_or("", |(_, nonce)| nonce);
        let bytes = format!("r={nonce}x,s=c2FsdA==,i={rounds}").into_bytes();
        let payload = Binary { subtype: BinarySubtype::Generic, bytes };
        let challenge = doc! { "conversationId": 1, "done": false, "payload": payload, "ok": 1.0 };
        if command == "saslStart" {
            return Some(Act::Answer(challenge));
        }
        let mut hello = hello();
        if at_once {
            hello.insert("speculativeAuthenticate", challenge);
        }
        Some(Act::Answer(hello))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_endless_hashing_is_given_up_and_costs_nobody_else() {
    let world = World::start().await;
    for (number, (rounds, at_once, mechanism)) in [
        ("4294967295", true, None),
        ("4294967295", false, None),
        ("100001", true, Some("SCRAM-SHA-256")),
        ("100001", false, Some("SCRAM-SHA-1")),
    ]
    .into_iter()
    .enumerate()
    {
        let server = start_server_that_asks_for_hashing(rounds, at_once).await;
        let identifier = format!("greedy-{number}");
        let options = mechanism.map_or(json!({}), |mechanism| json!({"auth_mechanism": mechanism}));
        let login = json!({"username": "u", "password": "p", "options": options});
        world.connect(&identifier, &server, login).await;
        let begin = Instant::now();
        world.find(&identifier).await.refused(502, "DRIVER_ERROR");
        assert!(begin.elapsed() < SOON, "{identifier}: {:?}", begin.elapsed());
        world.neighbour_is_served().await;
    }
    // As much as is allowed, by many at once: the wrong answers to it are refused, one after the other, and calls of
    // others go on meanwhile.
    let server = start_server_that_asks_for_hashing("100000", true).await;
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..6 {
        let identifier = format!("many-{number}");
        world.connect(&identifier, &server, json!({"username": "u", "password": identifier})).await;
        let path = format!("/databases/shop/collections/c/documents?count=none&connection={identifier}");
        let (client, path) = (world.hostile.viewer.clone(), world.hostile.path("mongodb", &path));
        callers.spawn(async move { client.get(&path).await.status });
    }
    let mut slowest = Duration::ZERO;
    while !callers.is_empty() {
        let begin = Instant::now();
        world.neighbour_is_served().await;
        slowest = slowest.max(begin.elapsed());
        while let Some(status) = callers.try_join_next() {
            assert!([502, 503, 504].contains(&status.unwrap()));
        }
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_whose_messages_are_none_is_given_up() {
    let world = World::start().await;
    let ok = around(&[&[1], &b"ok\0"[..], &1f64.to_le_bytes()].concat());
    let hello_with = |field: &str, value: mongodb::bson::Bson| {
        let mut answer = hello();
        answer.insert(field, value);
        Act::Answer(answer)
    };
    let null = |count: usize| [0x0a, 0].repeat(count);
    let array = |name: &[u8], items: &[u8]| around(&[&[4], name, &[0], &around(items)].concat());
    let plain = ok.len() as u32 + 21;
    for (identifier, command, act) in [
        ("long", "find", Act::Send(frame(2013, 0, 0x7fff_ffff, &ok))),
        ("negative", "find", Act::Send(frame(2013, 0, u32::MAX, &ok))),
        ("short", "find", Act::Send(frame(2013, 0, 3, &ok))),
        ("compressed", "find", Act::Send(frame(2012, 0, plain, &ok))),
        ("reply", "hello", Act::Send(frame(1, 0, plain, &ok))),
        ("exhaust", "ping", Act::Send(frame(2013, 2, plain, &ok))),
        ("http", "hello", Act::SendAndClose(b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(3))),
        ("values", "ping", Act::AnswerBytes(array(b"x", &null(7_000_000)))),
        ("members", "hello", hello_with("hosts", vec!["a.invalid:1"; 10_000].into())),
        ("batch-0", "hello", hello_with("maxWriteBatchSize", 0.into())),
        ("batch-less", "hello", hello_with("maxWriteBatchSize", (-5_i64).into())),
        ("endless-session", "hello", hello_with("logicalSessionTimeoutMinutes", i64::MAX.into())),
        ("big-hello", "hello", hello_with("x", "x".repeat(15 << 20).into())),
        ("big-time", "ping", Act::Answer(doc! { "ok": 1, "$clusterTime": { "x": "x".repeat(15 << 20) } })),
        ("contradiction", "find", Act::AnswerBytes(vec![13, 0, 0, 0, 2, b'a', 0, 255, 0, 0, 0, 0, 0])),
    ] {
        let server = HostileMongo::start(on(command, act)).await;
        world.connect(identifier, &server, json!({})).await;
        let begin = Instant::now();
        let is_stranger = ["reply", "http"].contains(&identifier);
        let (status, code) = if is_stranger { (503, "CONNECTION_ERROR") } else { (502, "DRIVER_ERROR") };
        world.find(identifier).await.refused(status, code);
        assert!(begin.elapsed() < SOON, "{identifier}: {:?}", begin.elapsed());
    }
    world.neighbour_is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_turned_hostile_is_left_until_it_is_good_again() {
    let world = World::start().await;
    let hostile = Arc::new(AtomicBool::new(false));
    let is_hostile = hostile.clone();
    let server = HostileMongo::start(move |command, _| {
        let now = is_hostile.load(Ordering::Relaxed);
        (now && command == "find").then(|| Act::AnswerBytes(nested("cursor", 60_000, 1.0)))
    })
    .await;
    world.connect("fickle", &server, json!({})).await;
    world.find("fickle").await.expect(200);
    hostile.store(true, Ordering::Relaxed);
    world.find("fickle").await.refused(502, "DRIVER_ERROR");
    hostile.store(false, Ordering::Relaxed);
    studio_gateway_tests::eventually("it is used again", async || world.find("fickle").await.status == 200)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_that_names_ever_more_members_leads_nowhere() {
    let world = World::start().await;
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = HostileMongo::start(move |command, _| {
        if command != "hello" && !command.eq_ignore_ascii_case("ismaster") {
            return None;
        }
        let round = asked.fetch_add(1, Ordering::Relaxed);
        let mut answer = hello();
        let names: Vec<_> = (0..60).map(|number| format!("member-{round}-{number}.invalid:1")).collect();
        answer.extend(doc! {
            "setName": "rs0", "isWritablePrimary": false, "ismaster": false, "secondary": true, "hosts": names,
        });
        Some(Act::Answer(answer))
    })
    .await;
    world.connect("growing", &server, json!({"options": {"replica_set": "rs0"}})).await;
    let begin = Instant::now();
    let answer = world.find("growing").await;
    assert!([502, 503, 504].contains(&answer.status), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    world.neighbour_is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_that_names_a_local_socket_leads_nowhere() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let socket = tokio::net::UnixListener::bind(&path).unwrap();
    let name = path.to_str().unwrap().replace('/', "%2F");
    let server = HostileMongo::start(move |command, _| {
        let mut answer = hello();
        answer.extend(doc! { "setName": "rs0", "hosts": [&name], "me": &name });
        (command == "hello" || command.eq_ignore_ascii_case("ismaster")).then_some(Act::Answer(answer))
    })
    .await;
    world.connect("inward", &server, json!({"options": {"replica_set": "rs0"}})).await;
    world.find("inward").await.refused(502, "DRIVER_ERROR");
    let connected = tokio::time::timeout(Duration::from_secs(1), socket.accept()).await;
    assert!(connected.is_err(), "the driver connected to a socket of this machine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_drips_hang_ups_and_silence_end_at_the_deadline() {
    let world = World::start().await;
    let mut whole = Vec::new();
    doc! { "cursor": { "firstBatch": [], "id": 0_i64, "ns": "shop.c" }, "ok": 1.0 }
        .to_writer(&mut whole)
        .unwrap();
    let whole = message(&whole);
    let endless = |batch: &str| doc! { "cursor": { batch: [], "id": 7_i64, "ns": "shop.c" }, "ok": 1.0 };
    for (identifier, act) in [
        ("drips", Act::Drip(whole.clone(), Duration::from_secs(1))),
        ("silent", Act::Silence),
        ("half", Act::SendAndClose(whole[..30].to_vec())),
        ("endless", Act::Answer(endless("firstBatch"))),
    ] {
        let server = HostileMongo::start(move |command, _| match command {
            "find" => Some(act.clone()),
            "getMore" => Some(Act::Answer(endless("nextBatch"))),
            _ => None,
        })
        .await;
        world.connect(identifier, &server, json!({})).await;
        let path = format!("/databases/shop/collections/c/documents?count=none&connection={identifier}");
        let begin = Instant::now();
        let answer = world.get_within(&path, "2").await;
        assert!([503, 504].contains(&answer.status), "{identifier}: {answer}");
        assert!(begin.elapsed() < SOON, "{identifier}: {:?}", begin.elapsed());
        world.neighbour_is_served().await;
    }
}
