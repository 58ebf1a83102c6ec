//! Writing Redis keys through the gateway: expiry, conditions, batches, and what is refused.

use serde_json::{Value, json};
use studio_gateway_tests::{RedisDriver, World};

fn keys(world: &World, rest: &str) -> String {
    world.alpha.path("redis", &format!("/keys{rest}"))
}

async fn ask<T: redis::FromRedisValue>(world: &World, words: &str) -> T {
    redis::from_redis_value(world.redis.run(&words.split(' ').collect::<Vec<_>>()).await).unwrap()
}

/// Seconds that a key has left by the server, which must be this many or just run down from there.
async fn lives(world: &World, key: &str, seconds: i64) {
    let left: i64 = ask(world, &format!("TTL {key}")).await;
    assert!(left <= seconds && left > seconds - 30, "{key} lives {left} s, not {seconds} s");
}

async fn expiry_is_set_kept_changed_and_removed(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    for (key, value) in [("s", json!("v")), ("h", json!({"a": "b"})), ("l", json!(["x"]))] {
        let (path, expire) = (keys(&world, &format!("/{key}")), keys(&world, &format!("/{key}/expire")));
        let written = developer.post(&path, json!({"value": value, "ttl": 1000})).await.expect(201).data();
        assert_eq!(written["ttl"], 1000);
        lives(&world, key, 1000).await;
        let shown = developer.get(&path).await.data()["ttl"].as_i64().unwrap();
        assert!((970..=1000).contains(&shown), "{shown}");
        // Kept on a change of the value alone, changed without one, and both at once.
        developer.put(&path, json!({"value": value})).await.expect(200);
        lives(&world, key, 1000).await;
        developer.put(&path, json!({"ttl": 500})).await.expect(200);
        lives(&world, key, 500).await;
        let changed = developer.put(&path, json!({"value": value, "ttl": 300})).await.expect(200).data();
        assert_eq!((&changed["ttl"], &changed["created"]), (&json!(300), &json!(false)));
        lives(&world, key, 300).await;
        let changed = developer.put(&path, json!({"value": value, "ttl": -1})).await.expect(200).data();
        assert_eq!(changed["ttl"], -1);
        assert_eq!(ask::<i64>(&world, &format!("TTL {key}")).await, -1);

        let answer = developer.post(&expire, json!({"ttl": 100})).await.expect(200).data();
        assert_eq!(answer, json!({"key": key, "ttl": 100}));
        lives(&world, key, 100).await;
        // −1 removes it, and where there is none that is no error.
        for _ in 0..2 {
            let answer = developer.post(&expire, json!({"ttl": -1})).await.expect(200).data();
            assert_eq!(answer, json!({"key": key, "ttl": -1}));
            assert_eq!(ask::<i64>(&world, &format!("TTL {key}")).await, -1);
        }
        // POST replaces the whole key, its expiry included.
        developer.post(&expire, json!({"ttl": 100})).await.expect(200);
        developer.post(&path, json!({"value": value})).await.expect(200);
        assert_eq!(ask::<i64>(&world, &format!("TTL {key}")).await, -1);
    }
    developer.post(&keys(&world, "/s/expire"), json!({"ttl": 1})).await.expect(200);
    studio_gateway_tests::eventually("the key expires", async || {
        developer.get(&keys(&world, "/s")).await.status == 404
    })
    .await;
}

async fn nx_and_xx_hold_for_every_type(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    for (key, value) in [("s", json!("v")), ("h", json!({"a": "b"})), ("l", json!(["x"]))] {
        let path = keys(&world, &format!("/{key}"));
        developer.post(&path, json!({"value": value, "xx": true})).await.refused(404, "NOT_FOUND");
        assert_eq!(ask::<i64>(&world, &format!("EXISTS {key}")).await, 0);
        developer.post(&path, json!({"value": value, "nx": true, "ttl": 900})).await.expect(201);
        developer.post(&path, json!({"value": "other", "nx": true})).await.refused(409, "CONFLICT");
        developer.post(&path, json!({"value": {"other": 1}, "nx": true})).await.refused(409, "CONFLICT");
        lives(&world, key, 900).await;
        developer.post(&path, json!({"value": "other", "xx": true})).await.expect(200);
        assert_eq!(ask::<String>(&world, &format!("GET {key}")).await, "other");
    }
}

async fn value_of_another_form_needs_a_type_to_replace_a_key(driver: RedisDriver) {
    let world = World::start(driver).await;
    let (developer, path) = (&world.alpha.developer, keys(&world, "/h"));
    developer.post(&path, json!({"value": {"a": "b"}, "ttl": 800})).await.expect(201);
    for value in [json!("text"), json!(["x"])] {
        developer.put(&path, json!({"value": value})).await.refused_field("value");
    }
    assert_eq!(ask::<String>(&world, "HGET h a").await, "b");
    // An array fits a set as well as a list, by what the key is.
    developer.post(&keys(&world, "/set"), json!({"value": ["x"], "type": "set"})).await.expect(201);
    let changed = developer.put(&keys(&world, "/set"), json!({"value": ["y"]})).await.expect(200).data();
    assert_eq!(changed["type"], "set");
    let changed = developer.put(&path, json!({"value": "text", "type": "string"})).await.expect(200).data();
    assert_eq!(changed["type"], "string");
    assert_eq!(ask::<String>(&world, "GET h").await, "text");
    lives(&world, "h", 800).await;
}

async fn batch_tells_what_became_of_each_operation(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    ask::<()>(&world, "MSET old 1 taken 2 short 3").await;
    let operations = json!([
        {"action": "set", "key": "new", "value": {"a": "b"}, "ttl": 700},
        {"action": "set", "key": "taken", "value": "x", "nx": true},
        {"action": "delete", "key": "old"},
        {"action": "delete", "key": "absent"},
        {"action": "expire", "key": "short", "ttl": 600},
        {"action": "expire", "key": "absent", "ttl": 600},
        {"action": "set", "key": "", "value": "the key without a name"},
        {"action": "set", "key": "a/b", "value": ["m"], "type": "set"},
    ]);
    let path = keys(&world, "/batch");
    let done = developer.post(&path, json!({"operations": operations})).await.expect(200).data();
    assert_eq!(done["summary"], json!({"total": 8, "succeeded": 5, "failed": 3}));
    let results = done["results"].as_array().unwrap();
    for (index, (result, operation)) in results.iter().zip(operations.as_array().unwrap()).enumerate() {
        assert_eq!(
            (&result["index"], &result["action"], &result["key"]),
            (&json!(index), &operation["action"], &operation["key"])
        );
        let code = match index {
            1 => json!("CONFLICT"),
            3 | 5 => json!("NOT_FOUND"),
            _ => Value::Null,
        };
        assert_eq!(
            (&result["error"]["code"], &result["success"]),
            (&code, &json!(code.is_null())),
            "{result}"
        );
        assert_eq!(result.get("error").is_some(), !code.is_null(), "{result}");
        assert!(code.is_null() || result["error"]["message"].is_string(), "{result}");
    }
    assert_eq!(ask::<String>(&world, "HGET new a").await, "b");
    lives(&world, "new", 700).await;
    lives(&world, "short", 600).await;
    assert_eq!(ask::<String>(&world, "GET taken").await, "2");
    assert_eq!(ask::<i64>(&world, "EXISTS old").await, 0);
    assert_eq!(redis::from_redis_value::<i64>(world.redis.run(&["EXISTS", ""]).await).unwrap(), 1);
    assert_eq!(ask::<String>(&world, "TYPE a/b").await, "set");
}

async fn batch_of_up_to_a_hundred_is_checked_before_any_is_done(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    let path = keys(&world, "/batch");
    let sets = |count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({"action": "set", "key": format!("k{n}"), "value": n})).collect()
    };
    for operations in [Vec::new(), sets(101)] {
        developer.post(&path, json!({"operations": operations})).await.refused_field("operations");
    }
    for (operation, field) in [
        (json!({"action": "expire", "key": "k"}), "ttl"),
        (json!({"action": "set", "key": "k"}), "value"),
        (json!({"action": "delete", "key": "k", "value": 1}), "value"),
        (json!({"action": "delete", "key": "k", "ttl": 1}), "ttl"),
        (json!({"action": "rename", "key": "k"}), "action"),
        (json!({"action": "delete"}), "key"),
        (json!({"action": "delete", "key": "k", "surplus": 1}), "surplus"),
        (json!({"action": "set", "key": "k", "value": "!", "value_encoding": "base64"}), "value"),
        (json!({"action": "set", "key": "k", "value": null}), "value"),
        (json!({"action": "set", "key": "k", "value": 1, "ttl": 0}), "ttl"),
        (json!({"action": "set", "key": "k", "value": 1, "nx": true, "xx": true}), "nx"),
    ] {
        let mut operations = sets(2);
        operations.push(operation.clone());
        let answer = developer.post(&path, json!({"operations": operations})).await;
        let details = answer.refused(400, "VALIDATION_ERROR");
        assert_eq!(details["field"], format!("operations[2].{field}"), "{operation}");
    }
    assert_eq!(ask::<i64>(&world, "DBSIZE").await, 0);
    let done = developer.post(&path, json!({"operations": sets(100)})).await.expect(200).data();
    assert_eq!(done["summary"], json!({"total": 100, "succeeded": 100, "failed": 0}));
    assert_eq!(ask::<i64>(&world, "DBSIZE").await, 100);
}

async fn what_does_not_fit_is_refused_by_its_field(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    ask::<()>(&world, "RPUSH list a b").await;
    for (path, field) in [
        ("/keys?count=1001", "count"),
        ("/keys?count=0", "count"),
        ("/keys?count=-1", "count"),
        ("/keys?count=many", "count"),
        ("/keys?cursor=x", "cursor"),
        ("/keys?cursor=", "cursor"),
        ("/keys?surplus=1", "surplus"),
        ("/keys?count=1&count=2", "count"),
        ("/keys?cursor=%FF", "cursor"),
        ("/keys/list?count=1001", "count"),
        ("/keys/list?cursor=x", "cursor"),
        ("/keys/list?surplus=1", "surplus"),
        ("/keys?connection_id=7", "connection_id"),
        ("/info?section=everything", "section"),
        ("/info?surplus=1", "surplus"),
        ("/stats?interval=0", "interval"),
        ("/stats?interval=61", "interval"),
        ("/pubsub/channels?surplus=1", "surplus"),
    ] {
        developer.get(&world.alpha.path("redis", path)).await.refused_field(field);
    }
    for (method, path, body, field) in [
        ("POST", "/keys/k", json!({}), "value"),
        ("POST", "/keys/k", json!({"value": null}), "value"),
        ("POST", "/keys/k", json!({"value": []}), "value"),
        ("POST", "/keys/k", json!({"value": {}}), "value"),
        ("POST", "/keys/k", json!({"value": {"a": {"b": 1}}}), "value.a"),
        ("POST", "/keys/k", json!({"value": ["a", null]}), "value[1]"),
        ("POST", "/keys/k", json!({"value": "v", "type": "hash"}), "value"),
        ("POST", "/keys/k", json!({"value": "v", "type": "tree"}), "type"),
        ("POST", "/keys/k", json!({"value": [{"member": "a", "score": "x"}]}), "value[0]"),
        ("POST", "/keys/k", json!({"value": "v", "ttl": 0}), "ttl"),
        ("POST", "/keys/k", json!({"value": "v", "ttl": -2}), "ttl"),
        ("POST", "/keys/k", json!({"value": "v", "ttl": 1.5}), "ttl"),
        ("POST", "/keys/k", json!({"value": "v", "ttl": i64::MAX}), "ttl"),
        ("POST", "/keys/k", json!({"value": "v", "nx": true, "xx": true}), "nx"),
        ("POST", "/keys/k", json!({"value": "v", "nx": "yes"}), "nx"),
        ("POST", "/keys/k", json!({"value": "!", "value_encoding": "base64"}), "value"),
        ("POST", "/keys/k", json!({"value": "v", "value_encoding": "hex"}), "value_encoding"),
        ("POST", "/keys/k", json!({"value": "v", "surplus": 1}), "surplus"),
        ("POST", "/keys/k?surplus=1", json!({"value": "v"}), "surplus"),
        ("PUT", "/keys/list", json!({}), "body"),
        ("PUT", "/keys/list", json!({"ttl": 0}), "ttl"),
        ("PUT", "/keys/list", json!({"type": "string"}), "value"),
        ("PUT", "/keys/list", json!({"value": ["a"], "nx": true}), "nx"),
        ("POST", "/keys/list/expire", json!({}), "ttl"),
        ("POST", "/keys/list/expire", json!({"ttl": "soon"}), "ttl"),
        ("POST", "/keys/list/expire", json!({"ttl": 0}), "ttl"),
        ("POST", "/keys/list/expire", json!({"ttl": 1, "surplus": 1}), "surplus"),
        ("DELETE", "/keys/list?surplus=1", json!({}), "surplus"),
        ("POST", "/command", json!({}), "command"),
        ("POST", "/command", json!({"command": []}), "command"),
        ("POST", "/command", json!({"command": "GET k"}), "command"),
        ("POST", "/command", json!({"command": ["GET", null]}), "command[1]"),
        ("POST", "/command", json!({"command": ["GET", {"base64": "!"}]}), "command[1].base64"),
        ("POST", "/command?surplus=1", json!({"command": ["SET", "k", "v"]}), "surplus"),
        ("POST", "/pubsub/publish", json!({"channel": "c"}), "message"),
        ("POST", "/pubsub/publish", json!({"message": "m"}), "channel"),
        ("POST", "/pubsub/publish", json!({"channel": "c", "message": "m", "surplus": 1}), "surplus"),
    ] {
        let answer = developer.call(method, &world.alpha.path("redis", path), Some(body.clone())).await;
        let details = answer.refused(400, "VALIDATION_ERROR");
        assert_eq!(details["field"], field, "{method} {path} {body}");
    }
    for text in ["", "{", "[]", "null", "nonsense", "{\"value\":\"v\"} {}"] {
        let request = developer.request("POST", &keys(&world, "/k")).body(text);
        let answer = developer.send(request).await;
        assert_eq!(answer.status, 400, "{text}: {answer}");
        answer.refused(400, "VALIDATION_ERROR");
    }
    assert_eq!(ask::<i64>(&world, "DBSIZE").await, 1, "nothing was written");
    assert_eq!(ask::<i64>(&world, "LLEN list").await, 2);
}

async fn absent_key_is_not_found_and_stays_absent(driver: RedisDriver) {
    let world = World::start(driver).await;
    for (method, path, body) in [
        ("GET", "/absent", None),
        ("PUT", "/absent", Some(json!({"value": "v"}))),
        ("PUT", "/absent", Some(json!({"value": {"a": "b"}}))),
        ("PUT", "/absent", Some(json!({"value": "v", "type": "string"}))),
        ("PUT", "/absent", Some(json!({"ttl": 10}))),
        ("DELETE", "/absent", None),
        ("POST", "/absent/expire", Some(json!({"ttl": 10}))),
        ("POST", "/absent/expire", Some(json!({"ttl": -1}))),
    ] {
        let answer = world.alpha.developer.call(method, &keys(&world, path), body).await;
        answer.refused(404, "NOT_FOUND");
    }
    assert_eq!(ask::<i64>(&world, "DBSIZE").await, 0);
}

on_both_kinds!(
    expiry_is_set_kept_changed_and_removed,
    nx_and_xx_hold_for_every_type,
    value_of_another_form_needs_a_type_to_replace_a_key,
    batch_tells_what_became_of_each_operation,
    batch_of_up_to_a_hundred_is_checked_before_any_is_done,
    what_does_not_fit_is_refused_by_its_field,
    absent_key_is_not_found_and_stays_absent,
);
