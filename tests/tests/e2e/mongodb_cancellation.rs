//! Operations end on the server when their caller leaves or their time is over, and leave nothing behind there.

use super::{
    mongodb_faults::{DEADLINE, GRACE, REPLY_BYTES, World, is_in_time},
    mongodb_network::connections,
};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{Answer, eventually, time::within};
use tokio::task::{JoinHandle, JoinSet};

/// A computation that takes minutes.
fn endless() -> Value {
    let inner =
        json!([{"$match": {"$expr": {"$gt": [{"$add": ["$_id", 1]}, 5]}}}, {"$group": {"_id": null}}]);
    json!({"pipeline": [
        {"$lookup": {"from": "c", "pipeline": inner, "as": "a"}},
        {"$lookup": {"from": "c", "pipeline": inner, "as": "b"}},
        {"$group": {"_id": null, "n": {"$sum": 1}}},
    ]})
}

async fn fill(world: &World, count: i32, size: usize) {
    let collection = world.server.database("shop").await.collection::<Document>("c");
    let text = "x".repeat(size);
    collection.insert_many((0..count).map(|id| doc! {"_id": id, "text": &text})).await.unwrap();
}

/// Begins an aggregation by a caller of its own.
fn aggregate(world: &World, body: Value) -> JoinHandle<Answer> {
    let (viewer, path) = (world.alpha.viewer.clone(), world.path("/aggregate"));
    tokio::spawn(async move { viewer.post(&path, body).await })
}

/// How many aggregations of the driver's are at work on the server.
async fn at_work(world: &World) -> usize {
    let is_aggregation = |one: &Document| {
        // SecantusDB names the command, MongoDB has it in a document.
        one.get_str("op").is_ok_and(|name| name == "aggregate")
            || one.get_document("command").is_ok_and(|command| command.contains_key("aggregate"))
    };
    connections(&world.server).await.iter().filter(|one| is_aggregation(one)).count()
}

/// How many cursors the server holds open.
async fn open_cursors(world: &World) -> i64 {
    let status = world.server.run("admin", doc! {"serverStatus": 1}).await;
    let open =
        status.get_document("metrics").unwrap().get_document("cursor").unwrap().get_document("open").unwrap();
    open.get_i64("total").unwrap_or_else(|_| open.get_i32("total").unwrap().into())
}

async fn killed(world: &World, times: usize) {
    eventually("the server is told to stop it", async || {
        world.gateway.log().matches("an abandoned operation was killed").count() >= times
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_stops_what_takes_too_long_or_whose_caller_left() {
    let world = World::start().await;
    fill(&world, 2_000, 1).await;
    let begin = Instant::now();
    let running = aggregate(&world, endless());
    eventually("it is at work", async || at_work(&world).await == 1).await;
    running.await.unwrap().refused(504, "TIMEOUT");
    is_in_time(begin);
    within(GRACE, "it has ended on the server", async || at_work(&world).await == 0).await;

    let begin = Instant::now();
    let running = aggregate(&world, endless());
    eventually("it is at work", async || at_work(&world).await == 1).await;
    running.abort();
    killed(&world, 1).await;
    within(DEADLINE + GRACE, "it has ended on the server", async || at_work(&world).await == 0).await;
    assert!(begin.elapsed() < DEADLINE + GRACE, "{:?}", begin.elapsed());
    world.find().await.expect(200);

    // A caller's own bound is kept too.
    let mut body = endless();
    body["options"] = json!({"maxTimeMS": 100});
    let begin = Instant::now();
    let answer = aggregate(&world, body).await.unwrap();
    assert_eq!(answer.refused(504, "TIMEOUT")["code"], "MaxTimeMSExpired", "{answer}");
    assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_has_no_open_cursor_after_an_unfinished_read() {
    let world = World::start().await;
    // Several batches, the first of them already more than an answer may have.
    fill(&world, 400, 2 * REPLY_BYTES / 101).await;
    assert_eq!(open_cursors(&world).await, 0);
    aggregate(&world, json!({"pipeline": []})).await.unwrap().refused(507, "RESULT_TOO_LARGE");
    eventually("its cursor is closed", async || open_cursors(&world).await == 0).await;

    let block = doc! {"blockConnection": true, "blockTimeMS": 1_000};
    let small = || json!({"pipeline": [{"$project": {"_id": 1}}]});
    for leaves in [true, false] {
        world
            .fail(
                "alwaysOn",
                &["getMore"],
                if leaves {
                    block.clone()
                } else {
                    doc! {"blockConnection": true, "blockTimeMS": 3_000}
                },
            )
            .await;
        let running = aggregate(&world, small());
        eventually("a cursor is open", async || open_cursors(&world).await == 1).await;
        if leaves {
            // The gateway has the first batch by then, and with it the cursor; the next batch takes a second. Before, it
            // knows the session alone, and this server leaves cursors open where a session is killed.
            tokio::time::sleep(Duration::from_millis(400)).await;
            running.abort();
        } else {
            running.await.unwrap().refused(504, "TIMEOUT");
        }
        eventually("its cursor is closed", async || open_cursors(&world).await == 0).await;
        world.server.fail_no_more().await;
    }
    killed(&world, 2).await;
    assert_eq!(aggregate(&world, small()).await.unwrap().expect(200).items().len(), 400);
    assert_eq!(open_cursors(&world).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_writes_cut_by_their_deadline_have_unknown_outcomes() {
    let world = World::start().await;
    world.fail("alwaysOn", &["insert"], doc! {"blockConnection": true, "blockTimeMS": 6_000}).await;
    let mut callers = JoinSet::new();
    for number in 0..64 {
        let (developer, path) = (world.alpha.developer.clone(), world.path("/documents"));
        callers.spawn(async move {
            let begin = Instant::now();
            let answer = developer.post(&path, json!({"document": {"_id": number}})).await;
            (answer, begin.elapsed())
        });
    }
    let mut slowest = Duration::ZERO;
    while let Some(called) = callers.join_next().await {
        let (answer, took) = called.unwrap();
        let details = answer.refused(504, "TIMEOUT");
        assert_eq!(details["outcome"], "unknown", "{answer}");
        slowest = slowest.max(took);
    }
    assert!(slowest < DEADLINE + GRACE, "{slowest:?}");
    world.server.fail_no_more().await;
    eventually("it works again", async || world.insert("after").await.status == 201).await;
}
