//! What memory MongoDB servers that mean harm can make the gateway take.

use super::mongodb_hostile::{World, on};
use mongodb::bson::doc;
use serde_json::json;
use studio_gateway_tests::{Act, HostileMongo, hostile_mongo::around};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_whose_lists_never_end_costs_a_bounded_memory() {
    let mut world = World::start().await;
    let item = doc! { "name": "n".repeat(1000), "type": "collection", "options": {}, "key": { "a": 1 } };
    let batch = move |name: &str| {
        let items = vec![item.clone(); 4000];
        Some(Act::Answer(doc! { "cursor": { name: items, "id": 7_i64, "ns": "shop.c" }, "ok": 1.0 }))
    };
    let server = HostileMongo::start(move |command, _| match command {
        "listCollections" | "listIndexes" | "aggregate" => batch("firstBatch"),
        "getMore" => batch("nextBatch"),
        "listDatabases" => {
            let one = doc! { "name": "shop", "sizeOnDisk": 1, "empty": false };
            Some(Act::Answer(doc! { "databases": [one], "ok": 1.0 }))
        }
        _ => None,
    })
    .await;
    world.connect("endless", &server, json!({})).await;
    let before = world.memory();
    for path in [
        "/databases/shop/collections",
        "/databases/shop/stats",
        "/databases",
        "/databases/shop/collections/c/indexes",
    ] {
        let answer = world.get_within(&format!("{path}?connection=endless"), "4").await;
        let code = answer.error_code();
        assert!(["RESULT_TOO_LARGE", "TIMEOUT"].contains(&code.as_str()), "{path}: {answer}");
        let now = world.memory();
        assert!(now < before + 400, "{path}: {before} MiB, then {now} MiB");
    }
    world.neighbour_is_served().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_server_that_sends_all_it_may_costs_bounded_memory() {
    let mut world = World::start().await;
    let null = |count: usize| [0x0a, 0].repeat(count);
    let array = |name: &[u8], items: &[u8]| [&[4], name, &[0], &around(items)[..]].concat();
    let ok = |ok: f64| [&[1], &b"ok\0"[..], &ok.to_le_bytes()].concat();
    let batch = |items: &[u8]| {
        let rest = b"\x12id\0\0\0\0\0\0\0\0\0\x02ns\0\x07\0\0\0shop.c\0";
        let cursor = around(&[&array(b"firstBatch", items)[..], rest].concat());
        around(&[&[3], &b"cursor\0"[..], &cursor, &ok(1.0)].concat())
    };
    let long = doc! { "ok": 0, "code": 1, "errmsg": "e".repeat(15 << 20), "codeName": "c".repeat(1 << 20) };
    let empty = |count: usize| [3, 0, 5, 0, 0, 0, 0].repeat(count);
    for (identifier, command, act, status) in [
        ("told", "ping", Act::AnswerBytes(around(&[array(b"x", &null(499_000)), ok(1.0)].concat())), 200),
        ("failed", "find", Act::AnswerBytes(around(&[array(b"x", &null(499_000)), ok(0.0)].concat())), 502),
        ("batch", "find", Act::AnswerBytes(batch(&null(5_900_000))), 502),
        ("documents", "find", Act::AnswerBytes(batch(&empty(2_300_000))), 200),
        ("message", "find", Act::Answer(long), 400),
    ] {
        let server = HostileMongo::start(on(command, act)).await;
        world.connect(identifier, &server, json!({})).await;
        let before = world.memory();
        let answer = world.find(identifier).await;
        assert_eq!(answer.status, status, "{identifier}: {answer}");
        assert!(answer.bytes.len() < 100_000, "{identifier}: {} bytes", answer.bytes.len());
        let now = world.memory();
        assert!(now < before + 200, "{identifier}: {before} MiB, then {now} MiB");
    }
    let most = world.most_memory();
    assert!(most < 500, "{most} MiB at most");
    world.neighbour_is_served().await;
}
