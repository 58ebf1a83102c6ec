//! Redis values and names of the sizes that the documentation promises, both ways.

use serde_json::{Value, json};
use studio_gateway_tests::{GatewayOptions, RedisDriver, RedisOptions, World};

const MIB: usize = 1 << 20;

async fn world(driver: RedisDriver) -> World {
    World::start_with(GatewayOptions::from(driver), RedisOptions::new()).await
}

async fn set(world: &World, key: &str, value: &[u8]) {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(value);
    command.exec_async(&mut world.redis.connection().await).await.unwrap();
}

async fn redis_strings_are_read_or_refused_by_the_sessions_room(driver: RedisDriver) {
    let world = world(driver).await;
    let (viewer, path) =
        (&world.alpha.viewer, |key: &str| world.alpha.path("redis", &format!("/keys/{key}")));
    let text = "x".repeat(19 * MIB);
    set(&world, "text", text.as_bytes()).await;
    // Longer in JSON than it is, as text and as base64.
    set(&world, "quotes", "\"".repeat(8 * MIB).as_bytes()).await;
    set(&world, "bytes", &vec![0xFF; 14 * MIB + 3]).await;
    set(&world, "large", &vec![b'y'; 40 * MIB]).await;
    // An instance is used again: what is left of the first round is in the way of the second.
    for _ in 0..if driver == RedisDriver::Component { 2 } else { 1 } {
        assert!(viewer.get(&path("text")).await.expect(200).data()["value"] == json!(text));
        let quotes = viewer.get(&path("quotes")).await.expect(200).data();
        assert_eq!(quotes["value"].as_str().unwrap().len(), 8 * MIB);
        let bytes = viewer.get(&path("bytes")).await.expect(200).data();
        assert_eq!(
            (bytes["value"].as_str().unwrap().len(), &bytes["value_encoding"]),
            ((14 * MIB + 3).div_ceil(3) * 4, &json!("base64"))
        );
        let large = viewer.get(&path("large")).await;
        if driver == RedisDriver::Component {
            assert!(large.refused(507, "RESULT_TOO_LARGE")["limit_bytes"].as_u64().unwrap() < 40 << 20);
        } else {
            large.expect(200);
        }
        let command = json!({"command": ["GET", "text"]});
        let answer = viewer.post(&world.alpha.path("redis", "/command"), command).await.expect(200).data();
        assert_eq!(answer["result"].as_str().unwrap().len(), 19 * MIB);
    }
}

async fn redis_values_are_written_up_to_the_largest_body(driver: RedisDriver) {
    let world = world(driver).await;
    let developer = &world.alpha.developer;
    let text = "x".repeat(9 * MIB);
    let items: Vec<_> = (0..9).map(|number| format!("{number}{}", "y".repeat(MIB))).collect();
    for (key, body) in [
        ("text", json!({"value": text})),
        ("list", json!({"value": items})),
        ("hash", json!({"value": {"field": text}})),
    ] {
        developer.post(&world.alpha.path("redis", &format!("/keys/{key}")), body).await.expect(201);
    }
    let binary = json!({"value": "////".repeat(9 * MIB / 4), "value_encoding": "base64"});
    developer.post(&world.alpha.path("redis", "/keys/bytes"), binary).await.expect(201);
    for (command, key, bytes) in
        [("STRLEN", "text", 9 * MIB), ("STRLEN", "bytes", 9 * MIB / 4 * 3), ("LLEN", "list", 9)]
    {
        assert_eq!(world.redis.run(&[command, key]).await, redis::Value::Int(bytes as i64), "{key}");
    }
    assert_eq!(world.redis.run(&["HSTRLEN", "hash", "field"]).await, redis::Value::Int(9 << 20));
    let command = json!({"command": ["SET", "raw", text]});
    developer.post(&world.alpha.path("redis", "/command"), command).await.expect(200);
    let batch = json!({"operations": [{"action": "set", "key": "batched", "value": text}]});
    let done = developer.post(&world.alpha.path("redis", "/keys/batch"), batch).await.expect(200).data();
    assert_eq!(done["summary"]["succeeded"], 1);
}

async fn redis_keys_of_long_names_are_listed(driver: RedisDriver) {
    let world = world(driver).await;
    let mut connection = world.redis.connection().await;
    let mut pipeline = redis::pipe();
    for number in 0..150 {
        pipeline.set(format!("{number:03}{}", "n".repeat(64 << 10)), "v").ignore();
    }
    pipeline.exec_async(&mut connection).await.unwrap();
    let (mut cursor, mut found) = ("0".to_owned(), 0);
    loop {
        let path = world.alpha.path("redis", &format!("/keys?count=100&cursor={cursor}"));
        let page = world.alpha.viewer.get(&path).await.expect(200).data();
        let keys = page["keys"].as_array().unwrap();
        assert!(keys.iter().all(|key| key["type"] == "string" && key["ttl"] == -1), "a fact is missing");
        found += keys.len();
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, 150);
    let hash: Value =
        (0..100).map(|number| (format!("{number:03}{}", "f".repeat(64 << 10)), json!("v"))).collect();
    world
        .alpha
        .developer
        .post(&world.alpha.path("redis", "/keys/h"), json!({"value": hash}))
        .await
        .expect(201);
    let page =
        world.alpha.viewer.get(&world.alpha.path("redis", "/keys/h?count=1000")).await.expect(200).data();
    assert_eq!(page["fields"].as_object().unwrap().len(), 100);
}

on_both_kinds!(
    redis_strings_are_read_or_refused_by_the_sessions_room,
    redis_values_are_written_up_to_the_largest_body,
    redis_keys_of_long_names_are_listed,
);
