//! MongoDB that errs, breaks connections, is slow, silent or gone: what callers are told of it, and what became of
//! their writes.

use super::mongodb_connections::{options, parts, start};
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, Mode, MongoOptions, MongoServer, Plugin, Plugins, Project, Proxy,
    eventually,
};

/// How long an operation may take in [`World::start`]'s gateway.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);
/// The most bytes of an answer there.
pub(crate) const REPLY_BYTES: usize = 1 << 20;
/// What an answer may take over its deadline, on a busy machine.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// A MongoDB behind a proxy, and a project whose connection `main` leads there.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) alpha: Project,
    pub(crate) server: MongoServer,
    pub(crate) proxy: Proxy,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(MongoOptions::new()).await
    }

    pub(crate) async fn start_with(server: MongoOptions) -> Self {
        let plugin =
            Plugin::new("mongodb").line(format!("limits = {{ operation_timeout = {} }}", DEADLINE.as_secs()));
        let options = GatewayOptions::default().plugins(Plugins::new([plugin]));
        let options = options.set("GATEWAY_MAX_REPLY_BYTES", &REPLY_BYTES.to_string());
        let ((gateway, alpha), server) = tokio::join!(start(options), MongoServer::start(server));
        let proxy = Proxy::start(server.port).await;
        alpha.connect("mongodb", parts("main", proxy.port, json!({}))).await;
        let world = Self { gateway, alpha, server, proxy };
        world.find().await.expect(200);
        world
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        self.alpha.path("mongodb", &format!("/databases/shop/collections/c{rest}"))
    }

    pub(crate) async fn find(&self) -> Answer {
        self.alpha.viewer.get(&self.path("/documents?count=none")).await
    }

    pub(crate) async fn insert(&self, id: &str) -> Answer {
        let body = json!({"document": {"_id": id}});
        self.alpha.developer.post(&self.path("/documents"), body).await
    }

    /// Raises `n` of a document by one.
    async fn raise(&self, id: &str) -> Answer {
        let body = json!({"update": {"$inc": {"n": 1}}, "upsert": true});
        self.alpha.developer.put(&self.path(&format!("/documents/{id}")), body).await
    }

    /// How many documents with this `_id` there are in truth.
    async fn count(&self, id: &str) -> u64 {
        let collection = self.server.database("shop").await.collection::<Document>("c");
        collection.count_documents(doc! {"_id": id}).await.unwrap()
    }

    /// Makes the driver's commands fail, and nobody else's.
    pub(crate) async fn fail(&self, mode: impl Into<Bson>, commands: &[&str], data: Document) {
        let mut whole = doc! {"failCommands": commands, "appName": "studio-gateway"};
        whole.extend(data);
        self.server.fail(mode, whole).await;
    }
}

#[track_caller]
fn is_open(answer: &Answer, is: bool) {
    let details = &answer.json()["error"]["details"];
    let expected = if is { json!("unknown") } else { Value::Null };
    assert_eq!(details["outcome"], expected, "whether it was done is unknown: {answer}");
}

/// Asserts that an answer came by its deadline, give or take what a busy machine takes.
#[track_caller]
pub(crate) fn is_in_time(begin: Instant) {
    assert!(begin.elapsed() < DEADLINE + GRACE, "the answer took {:?}", begin.elapsed());
}

#[tokio::test]
async fn mongodb_that_steps_down_is_asked_once_more_and_then_told() {
    let world = World::start().await;
    for (code, reason) in [
        (10107, "not_primary"),
        (13435, "not_primary"),
        (189, "unavailable"),
        (91, "unavailable"),
        (11600, "unavailable"),
        (11602, "unavailable"),
    ] {
        let (once, always) = (doc! {"times": 1}, "alwaysOn");
        let error = || doc! {"errorCode": code};
        let id = format!("once-{code}");
        world.fail(once.clone(), &["insert"], error()).await;
        world.insert(&id).await.expect(201);
        assert_eq!(world.count(&id).await, 1);
        world.fail(once.clone(), &["find"], error()).await;
        world.find().await.expect(200);

        let id = format!("always-{code}");
        world.fail(always, &["insert", "find", "update"], error()).await;
        let answer = world.insert(&id).await;
        let details = answer.refused(503, "CONNECTION_ERROR");
        assert_eq!((&details["reason"], &details["code_number"]), (&json!(reason), &json!(code)), "{answer}");
        is_open(&answer, true);
        let answer = world.find().await;
        assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], reason, "{answer}");
        is_open(&answer, false);
        // A write of many documents can't be repeated: some may be changed already.
        world.fail(once, &["update"], error()).await;
        let body = json!({"filter": {"_id": id}, "update": {"$set": {"a": 1}}});
        let answer = world.alpha.developer.post(&world.path("/documents/update-many"), body).await;
        assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], reason, "{answer}");
        is_open(&answer, true);
        world.server.fail_no_more().await;
        assert_eq!(world.count(&id).await, 0);
        // So many failures in a row, and the connection is left alone for a moment.
        eventually("writes are let through again", async || world.insert(&id).await.status == 201).await;
    }
}

#[tokio::test]
async fn mongodb_that_closes_connections_gets_each_write_once() {
    let world = World::start().await;
    let close = || doc! {"closeConnection": true};
    world.fail(doc! {"times": 1}, &["update"], close()).await;
    world.raise("counter").await.expect(201);
    world.fail(doc! {"times": 1}, &["update"], close()).await;
    assert_eq!(world.raise("counter").await.expect(200).data()["modified_count"], 1);
    world.fail(doc! {"times": 1}, &["find"], close()).await;
    assert_eq!(world.find().await.expect(200).data()["documents"], json!([{"_id": "counter", "n": 2}]));

    world.fail("alwaysOn", &["insert", "find"], close()).await;
    let answer = world.insert("never").await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "closed", "{answer}");
    is_open(&answer, true);
    let answer = world.find().await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "closed", "{answer}");
    is_open(&answer, false);
    world.server.fail_no_more().await;
    assert_eq!(world.count("never").await, 0);
    world.insert("never").await.expect(201);
    world.insert("never").await.refused(409, "CONFLICT");

    // Without a replica set there are no writes that can be repeated.
    let world = World::start_with(MongoOptions::new().standalone()).await;
    world.fail(doc! {"times": 1}, &["insert"], close()).await;
    let answer = world.insert("once").await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "closed", "{answer}");
    is_open(&answer, true);
    world.fail(doc! {"times": 1}, &["find"], close()).await;
    world.find().await.expect(200);
}

#[tokio::test]
async fn mongodb_write_without_a_reply_is_done_once_or_said_unknown() {
    let world = World::start().await;
    // The server is at it when the connection breaks; what it then does, nobody hears.
    let block = |time: u32| doc! {"blockConnection": true, "blockTimeMS": time};
    let mut open = 0;
    for (round, modes) in
        [&[Mode::Cut, Mode::Pass][..], &[Mode::Cut], &[Mode::Stall], &[Mode::HalfClose, Mode::Pass]]
            .into_iter()
            .enumerate()
    {
        let id = format!("round-{round}");
        world.fail(doc! {"times": 1}, &["update"], block(500)).await;
        let begin = Instant::now();
        let (answer, ()) = tokio::join!(world.raise(&id), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for mode in modes {
                world.proxy.set(*mode).await;
            }
        });
        is_in_time(begin);
        if answer.status >= 300 {
            assert!(["CONNECTION_ERROR", "TIMEOUT"].contains(&answer.error_code().as_str()), "{answer}");
            is_open(&answer, true);
            open += 1;
        }
        world.server.fail_no_more().await;
        eventually("the server did it", async || world.count(&id).await == 1).await;
        world.proxy.set(Mode::Pass).await;
        eventually("the driver comes back", async || world.find().await.status == 200).await;
        let path = world.path(&format!("/documents/{id}"));
        assert_eq!(world.alpha.viewer.get(&path).await.expect(200).data()["n"], 1, "{modes:?}");
    }
    assert!((2..=3).contains(&open), "cut and silent connections leave writes open");
}

/// Raises a counter again and again until told to stop, and then compares what it was told with the truth.
async fn raise_until(world: &World, id: &str, end: &tokio::sync::watch::Receiver<bool>) {
    let (mut done, mut open) = (0, 0);
    while !*end.borrow() {
        let begin = Instant::now();
        let answer = world.raise(id).await;
        // What has no server waits for one before it is refused.
        assert!(begin.elapsed() < DEADLINE + GRACE, "{:?}: {answer}", begin.elapsed());
        match answer.status {
            200 | 201 => done += 1,
            503 | 504 if answer.json()["error"]["details"]["outcome"] == "unknown" => open += 1,
            503 => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => panic!("{answer}"),
        }
    }
    // What was under way may still be done.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let collection = world.server.database("shop").await.collection::<Document>("c");
    let found = collection.find_one(doc! {"_id": id}).await.unwrap();
    let found = found.map_or(0, |found| found.get_i32("n").unwrap());
    assert!(
        (done..=done + open).contains(&found),
        "{id} is {found}: {done} were done and {open} are unknown"
    );
    assert!(done >= 3, "{id}: {done} were done, {open} are unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_behind_a_bad_network_does_no_write_that_was_refused() {
    let world = World::start().await;
    let (stop, end) = tokio::sync::watch::channel(false);
    let trouble = async {
        for mode in [
            Mode::Cut,
            Mode::Pass,
            Mode::Delay(Duration::from_millis(30)),
            Mode::Cut,
            Mode::Pass,
            Mode::Stall,
            Mode::Pass,
            Mode::HalfClose,
            Mode::Pass,
        ] {
            world.proxy.set(mode).await;
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        stop.send(true).unwrap();
    };
    tokio::join!(
        trouble,
        raise_until(&world, "one", &end),
        raise_until(&world, "two", &end),
        raise_until(&world, "three", &end),
        raise_until(&world, "four", &end),
    );
    eventually("it works again", async || world.find().await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_that_restarts_is_used_again_without_its_writes_lost() {
    let mut world = World::start().await;
    world.insert("before").await.expect(201);
    world.server.stop().await;
    let begin = Instant::now();
    let answer = world.insert("meanwhile").await;
    let code = answer.error_code();
    assert!(["CONNECTION_ERROR", "TIMEOUT"].contains(&code.as_str()), "{answer}");
    is_in_time(begin);
    eventually("callers hear why", async || {
        let details = world.find().await.json()["error"]["details"].clone();
        ["refused", "closed"].contains(&details["reason"].as_str().unwrap_or_default())
            || ["refused", "closed"].contains(&details["cause"].as_str().unwrap_or_default())
    })
    .await;
    world.server.start_again().await;
    let begin = Instant::now();
    eventually("it works again", async || world.find().await.status == 200).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_eq!(world.count("before").await, 1);
    // A connection that the server closed while nobody looked costs nobody an error.
    world.server.restart().await;
    eventually("it works again", async || world.find().await.status == 200).await;
    for number in 0..20 {
        world.insert(&format!("after-{number}")).await.expect(201);
    }
}

#[tokio::test]
async fn mongodb_that_is_slow_or_silent_is_given_up_at_the_deadline() {
    let world = World::start().await;
    let slow = doc! {"blockConnection": true, "blockTimeMS": 5_000};
    for (commands, is_write) in [(["find"], false), (["insert"], true)] {
        world.fail(doc! {"times": 1}, &commands, slow.clone()).await;
        let begin = Instant::now();
        let answer = if is_write { world.insert("slow").await } else { world.find().await };
        answer.refused(504, "TIMEOUT");
        is_open(&answer, is_write);
        is_in_time(begin);
        world.server.fail_no_more().await;
        world.find().await.expect(200);
    }
    world.server.freeze();
    for round in 0..3 {
        let begin = Instant::now();
        let answer = world.insert("silent").await;
        is_in_time(begin);
        assert!([503, 504].contains(&answer.status), "{answer}");
        if round == 0 {
            is_open(&answer, true);
        }
        let begin = Instant::now();
        let answer = world.find().await;
        is_in_time(begin);
        assert!([503, 504].contains(&answer.status), "{answer}");
    }
    world.server.thaw();
    eventually("it works again", async || world.find().await.status == 200).await;
    world.proxy.set(Mode::Delay(Duration::from_millis(50))).await;
    world.find().await.expect(200);
    world.insert("late").await.expect(201);
}

#[tokio::test]
async fn mongodb_is_believed_about_time_limits_and_unsafe_writes() {
    let world = World::start().await;
    let out_of_time = async |mode: &str| {
        world.server.run("admin", doc! {"configureFailPoint": "maxTimeAlwaysTimeOut", "mode": mode}).await;
    };
    out_of_time("alwaysOn").await;
    let answer = world.find().await;
    assert_eq!(answer.refused(504, "TIMEOUT")["code"], "MaxTimeMSExpired", "{answer}");
    is_open(&answer, false);
    let body = json!({"filter": {}, "all": true, "update": {"$set": {"a": 1}}});
    let answer = world.alpha.developer.post(&world.path("/documents/update-many"), body).await;
    answer.refused(504, "TIMEOUT");
    is_open(&answer, true);
    out_of_time("off").await;

    for (number, concern) in [
        doc! {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out"},
        doc! {"code": 100, "codeName": "UnsatisfiableWriteConcern", "errmsg": "Not enough data-bearing nodes"},
    ]
    .into_iter()
    .enumerate()
    {
        let (id, many) = (format!("one-{number}"), format!("many-{number}"));
        world.fail(doc! {"times": 1}, &["insert"], doc! {"writeConcernError": concern.clone()}).await;
        let answer = world.insert(&id).await;
        let details = answer.refused(400, "QUERY_ERROR");
        assert_eq!(details["code_number"], concern.get_i32("code").unwrap(), "{answer}");
        is_open(&answer, true);
        assert_eq!(world.count(&id).await, 1);
        world.fail(doc! {"times": 1}, &["insert"], doc! {"writeConcernError": concern.clone()}).await;
        let body = json!({"documents": [{"_id": many}, {"_id": format!("{many}-2")}]});
        let answer = world.alpha.developer.post(&world.path("/documents"), body).await;
        answer.refused(400, "QUERY_ERROR");
        is_open(&answer, true);
        assert_eq!(world.count(&many).await, 1);
        world.fail(doc! {"times": 1}, &["delete"], doc! {"writeConcernError": concern}).await;
        let answer = world.alpha.developer.delete(&world.path(&format!("/documents/{id}"))).await;
        answer.refused(400, "QUERY_ERROR");
        is_open(&answer, true);
        assert_eq!(world.count(&id).await, 0);
    }
}

#[tokio::test]
async fn mongodb_silence_is_told_within_the_server_selection_time() {
    let (_gateway, alpha) = start(options()).await;
    let server = MongoServer::plain().await;
    let proxy = Proxy::start(server.port).await;
    proxy.set(Mode::Stall).await;
    let id = alpha
        .connect(
            "mongodb",
            parts("silent", proxy.port, json!({"options": {"server_selection_timeout": 500}})),
        )
        .await;
    let begin = Instant::now();
    let path = alpha.path("mongodb", "/databases/shop/collections/c/documents");
    let answer = alpha.viewer.get(&path).await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "timeout", "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    proxy.set(Mode::Pass).await;
    let test = format!("{}/{id}/test", alpha.connections("mongodb"));
    assert_eq!(alpha.admin.post(&test, json!({})).await.expect(200).data()["success"], true);
    eventually("it works", async || alpha.viewer.get(&path).await.status == 200).await;
}
