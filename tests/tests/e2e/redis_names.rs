//! Redis keys by names that are no text, are empty, or are words of a command; and keys that change under their reader.

use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use studio_gateway_tests::{Answer, GatewayOptions, RedisDriver, RedisOptions, World};

/// How many objects of Java serialized as keys begin.
const JAVA: &[u8] = b"\xAC\xED\x00\x05t\x00\x07";

async fn get(world: &World, rest: &str) -> Answer {
    world.alpha.viewer.get(&world.alpha.path("redis", rest)).await
}

async fn command(world: &World, words: Value) -> Answer {
    world.alpha.developer.post(&world.alpha.path("redis", "/command"), json!({"command": words})).await
}

async fn redis_patterns_of_bytes_find_keys_and_channels_of_bytes(driver: RedisDriver) {
    let world = World::start(driver).await;
    let mut connection = world.redis.connection().await;
    for name in ["session", "account"] {
        let key = [JAVA, name.as_bytes()].concat();
        redis::cmd("SET").arg(key).arg("v").exec_async(&mut connection).await.unwrap();
    }
    world.redis.run(&["SET", "session", "v"]).await;
    for (pattern, count) in [
        ("%AC%ED*", 2),
        ("%AC%ED%00%05*session", 1),
        ("*session", 2),
        ("%AC+*", 0),
        ("*%AC?%00*", 2),
        ("%FF*", 0),
    ] {
        let page = get(&world, &format!("/keys?pattern={pattern}&count=1000")).await.expect(200).data();
        assert_eq!(page["keys"].as_array().unwrap().len(), count, "{pattern}: {page}");
    }
    let mut listener = redis::Client::open(world.redis.url()).unwrap().get_async_pubsub().await.unwrap();
    listener.subscribe(&JAVA[..4]).await.unwrap();
    let channels = get(&world, "/pubsub/channels?pattern=%AC%ED*").await.expect(200).data();
    assert_eq!((channels.as_array().unwrap().len(), &channels[0]["channel_encoding"]), (1, &json!("base64")));
    assert_eq!(get(&world, "/pubsub/channels?pattern=%FE*").await.expect(200).data(), json!([]));
    // Elsewhere a parameter is text, and nobody sends bytes by another name.
    get(&world, "/keys?type=%FF").await.refused_field("type");
    get(&world, "/keys?surplus=%FF").await.refused_field("surplus");
    get(&world, "/keys?connection=%FF").await.refused_field("connection");
    get(&world, "/keys?bytes:pattern=rO0q").await.refused_field("bytes:pattern");
}

async fn redis_empty_key_is_listed_and_its_path_tells_how_to_reach_it(driver: RedisDriver) {
    let world = World::start(driver).await;
    let batch = json!({"operations": [{"action": "set", "key": "", "value": "v"}]});
    let path = world.alpha.path("redis", "/keys/batch");
    let done = world.alpha.developer.post(&path, batch).await.expect(200).data();
    assert_eq!(done["summary"]["succeeded"], 1);
    assert_eq!(get(&world, "/keys").await.expect(200).data()["keys"][0]["key"], "");
    assert_eq!(command(&world, json!(["GET", ""])).await.expect(200).data()["result"], "v");
    for (method, path) in [("GET", "/keys/"), ("DELETE", "/keys/"), ("POST", "/keys//expire")] {
        let path = world.alpha.path("redis", path);
        let answer = world.alpha.developer.call(method, &path, None).await;
        answer.refused_field("key");
        assert!(answer.message().contains("in their body"), "{answer}");
    }
    get(&world, "/keys/a/").await.refused(404, "NOT_FOUND");
    let batch = json!({"operations": [{"action": "delete", "key": ""}]});
    world.alpha.developer.post(&path, batch).await.expect(200);
    assert_eq!(world.redis.run(&["DBSIZE"]).await, redis::Value::Int(0));
}

async fn redis_names_that_are_words_of_commands_are_names(driver: RedisDriver) {
    let world = World::start(driver).await;
    for word in [
        "block",
        "streams",
        "count",
        "limit",
        "nx",
        "xx",
        "get",
        "match",
        "withscores",
        "type",
        "db",
        "group",
    ] {
        let path = world.alpha.path("redis", &format!("/keys/{word}"));
        for (value, field) in [
            (json!({"value": word}), "value"),
            (json!({"value": {(word): word}}), "fields"),
            (json!({"value": [word, "other"]}), "values"),
            (json!({"value": [word], "type": "set"}), "members"),
            (json!({"value": [{"member": word, "score": 1}]}), "members"),
            (json!({"value": [{"fields": {(word): word}}], "type": "stream"}), "entries"),
        ] {
            let answer = world.alpha.developer.post(&path, value).await;
            assert!([200, 201].contains(&answer.status), "{word}: {answer}");
            let read = get(&world, &format!("/keys/{word}")).await.expect(200).data();
            assert!(read[field].to_string().contains(word), "{word}: {read}");
        }
        let page = get(&world, &format!("/keys?pattern={word}&count=1000")).await.expect(200).data();
        assert_eq!(page["keys"][0]["type"], "stream", "{word}");
        let read = command(&world, json!(["XREAD", "COUNT", 1, "STREAMS", word, 0])).await.expect(200).data();
        assert_eq!(read["result"][0][0], word, "{read}");
        command(&world, json!(["XGROUP", "CREATE", word, "block", 0])).await.expect(200);
        let words = json!(["XREADGROUP", "GROUP", "block", word, "NOACK", "STREAMS", word, ">"]);
        assert_eq!(command(&world, words).await.expect(200).data()["result"][0][0], word);
        let copied = command(&world, json!(["COPY", word, format!("{word}-copy")])).await.expect(200).data();
        assert_eq!(copied["result"], 1);
    }
    for words in [
        json!(["XREAD", "BLOCK", 0, "STREAMS", "block", "$"]),
        json!(["XREADGROUP", "GROUP", "streams", "streams", "block", 0, "STREAMS", "block", ">"]),
    ] {
        command(&world, words).await.refused(403, "FORBIDDEN");
    }
}

async fn redis_keys_that_change_type_during_a_read_are_read_again(driver: RedisDriver) {
    let world = World::start_with(GatewayOptions::from(driver), RedisOptions::new()).await;
    let mut connection = world.redis.connection().await;
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let changing = tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let mut pipeline = redis::pipe();
            for _ in 0..5 {
                pipeline.set("k", "x".repeat(70_000)).ignore();
                pipeline.atomic();
            }
            pipeline.exec_async(&mut connection).await.unwrap();
            for replaced in ["HSET", "SADD", "ZADD"] {
                let mut pipeline = redis::pipe();
                pipeline.atomic().del("k").ignore().cmd(replaced).arg("k").arg("1");
                if replaced != "SADD" {
                    pipeline.arg("v");
                }
                pipeline.ignore().exec_async(&mut connection).await.unwrap();
            }
        }
    });
    let mut types = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let answer = get(&world, "/keys/k").await;
        match answer.status {
            200 => drop(types.insert(answer.data()["type"].as_str().unwrap().to_owned())),
            // Before it is written first, and where it never stood still.
            404 => {}
            _ => drop(answer.refused(409, "CONFLICT")),
        }
    }
    done.store(true, Ordering::Relaxed);
    changing.await.unwrap();
    assert!(types.len() > 1, "it never changed: {types:?}");
}

on_both_kinds!(
    redis_patterns_of_bytes_find_keys_and_channels_of_bytes,
    redis_empty_key_is_listed_and_its_path_tells_how_to_reach_it,
    redis_names_that_are_words_of_commands_are_names,
    redis_keys_that_change_type_during_a_read_are_read_again,
);
