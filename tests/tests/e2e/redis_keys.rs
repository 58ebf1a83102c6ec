//! Redis keys as a client sees them through the gateway; what is true is asked of the server itself.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use studio_gateway_tests::{GatewayOptions, RedisDriver, RedisOptions, World};

/// The path of a key, given as it stands in a URL, or of anything else below `/keys`.
fn keys(world: &World, rest: &str) -> String {
    world.alpha.path("redis", &format!("/keys{rest}"))
}

/// What a question to the server itself answers.
async fn truth<T: redis::FromRedisValue>(world: &World, words: &[&[u8]]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query_async(&mut world.redis.connection().await).await.unwrap()
}

async fn text(world: &World, words: &str) -> String {
    truth(world, &words.split(' ').map(str::as_bytes).collect::<Vec<_>>()).await
}

async fn number(world: &World, words: &str) -> i64 {
    truth(world, &words.split(' ').map(str::as_bytes).collect::<Vec<_>>()).await
}

/// Takes out of a payload what differs from server to server, but must have a certain form.
fn without_measures(mut payload: Value) -> Value {
    let fields = payload.as_object_mut().unwrap();
    assert!(fields.remove("size").unwrap().as_i64().unwrap() > 0);
    assert!(!fields.remove("encoding").unwrap().as_str().unwrap().is_empty());
    payload
}

async fn string_is_created_read_changed_and_deleted(driver: RedisDriver) {
    let world = World::start(driver).await;
    let (developer, path) = (&world.alpha.developer, keys(&world, "/greeting"));
    let created = developer.post(&path, json!({"value": "hello"})).await.expect(201).data();
    assert_eq!(created, json!({"key": "greeting", "type": "string", "ttl": -1, "created": true}));
    assert_eq!(text(&world, "GET greeting").await, "hello");
    let read = developer.get(&path).await.expect(200).data();
    assert_eq!((&read["encoding"], read["size"].as_i64().is_some()), (&json!("embstr"), true));
    let shown = json!({"key": "greeting", "type": "string", "ttl": -1, "value": "hello"});
    assert_eq!(without_measures(read), shown);
    let again = developer.post(&path, json!({"value": 1.50})).await.expect(200).data();
    assert_eq!(again, json!({"key": "greeting", "type": "string", "ttl": -1, "created": false}));
    let changed = developer.put(&path, json!({"value": "bye"})).await.expect(200).data();
    assert_eq!(changed, json!({"key": "greeting", "type": "string", "ttl": -1, "created": false}));
    assert_eq!(text(&world, "GET greeting").await, "bye");
    developer.delete(&path).await.expect(204);
    assert_eq!(number(&world, "EXISTS greeting").await, 0);
}

async fn every_type_is_written_and_read_in_its_own_form(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    let entries = json!([{"id": "1-1", "fields": {"a": "1"}}, {"id": "2-1", "fields": {"b": "2"}}]);
    let scored = json!([{"member": "low", "score": -1.5}, {"member": "top", "score": "inf"}]);
    for (body, key_type, content, question, answer) in [
        (json!({"value": "v"}), "string", json!({"value": "v"}), "GET k", json!("v")),
        (json!({"value": 12}), "string", json!({"value": "12"}), "GET k", json!("12")),
        (
            json!({"value": {"a": "1", "b": 2}}),
            "hash",
            json!({"fields": {"a": "1", "b": "2"}, "length": 2, "cursor": "0"}),
            "HGET k b",
            json!("2"),
        ),
        (
            json!({"value": ["x", "y", "x"]}),
            "list",
            json!({"values": ["x", "y", "x"], "length": 3, "cursor": "0"}),
            "LINDEX k 1",
            json!("y"),
        ),
        (
            json!({"value": ["m", "m"], "type": "set"}),
            "set",
            json!({"members": ["m"], "length": 1, "cursor": "0"}),
            "SRANDMEMBER k",
            json!("m"),
        ),
        (
            json!({"value": scored, "type": "zset"}),
            "zset",
            json!({"members": scored, "length": 2, "cursor": "0"}),
            "ZSCORE k low",
            json!("-1.5"),
        ),
        (
            json!({"value": entries, "type": "stream"}),
            "stream",
            json!({"entries": entries, "length": 2, "cursor": "0"}),
            "XLEN k",
            json!("2"),
        ),
    ] {
        developer.post(&keys(&world, "/k"), body.clone()).await;
        let mut expected = json!({"key": "k", "type": key_type, "ttl": -1});
        expected.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        let read = developer.get(&keys(&world, "/k")).await.expect(200).data();
        assert_eq!(without_measures(read), expected, "{body}");
        assert_eq!(text(&world, question).await, answer.as_str().unwrap(), "{body}");
        let listed = developer.get(&keys(&world, "")).await.expect(200).data();
        assert_eq!(listed["keys"].as_array().unwrap().len(), 1, "another type replaces the whole key");
        assert_eq!(listed["keys"][0]["type"], key_type);
    }
}

async fn bytes_come_and_go_as_base64(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    let binary = BASE64_STANDARD.encode([0xFF, 0x00, 0xFE]);
    let body = json!({"value": binary, "value_encoding": "base64"});
    let written = developer.post(&keys(&world, "/%FF%00"), body).await.expect(201).data();
    assert_eq!((&written["key"], &written["key_encoding"]), (&json!("/wA="), &json!("base64")));
    assert_eq!(truth::<Vec<u8>>(&world, &[b"GET", b"\xFF\x00"]).await, [0xFF, 0x00, 0xFE]);
    let read = developer.get(&keys(&world, "/%FF%00")).await.expect(200).data();
    let shown = json!({
        "key": "/wA=", "key_encoding": "base64", "type": "string", "ttl": -1,
        "value": binary, "value_encoding": "base64",
    });
    assert_eq!(without_measures(read), shown);
    // A hash with one binary value shows all of itself as base64, and takes it back so.
    truth::<()>(&world, &[b"HSET", b"h", b"text", b"t", b"bytes", b"\xFF"]).await;
    let fields = developer.get(&keys(&world, "/h")).await.expect(200).data();
    assert_eq!(fields["value_encoding"], "base64");
    assert_eq!(fields["fields"], json!({"dGV4dA==": "dA==", "Ynl0ZXM=": "/w=="}));
    let body = json!({"value": fields["fields"], "value_encoding": "base64"});
    developer.post(&keys(&world, "/copy"), body).await.expect(201);
    assert_eq!(truth::<Vec<u8>>(&world, &[b"HGET", b"copy", b"bytes"]).await, b"\xFF");
    // In a batch the key stands in the body.
    let set = json!({"action": "set", "key": "/g==", "key_encoding": "base64", "value": "v"});
    let done = developer.post(&keys(&world, "/batch"), json!({"operations": [set]})).await.expect(200).data();
    let result =
        json!({"index": 0, "action": "set", "key": "/g==", "key_encoding": "base64", "success": true});
    assert_eq!(done["results"], json!([result]));
    let listed = developer.get(&keys(&world, "")).await.data()["keys"].as_array().unwrap().clone();
    let encoded = listed.iter().filter(|key| key["key_encoding"] == "base64").map(|key| key["key"].as_str());
    assert_eq!(encoded.collect::<BTreeSet<_>>().len(), 2, "{listed:?}");
    developer.delete(&keys(&world, "/%FF%00")).await.expect(204);
    assert_eq!(truth::<i64>(&world, &[b"EXISTS", b"\xFF\x00"]).await, 0);
}

async fn slashes_unicode_and_other_odd_names_are_keys_like_any(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    for (path, key) in [
        ("a%2Fb", "a/b"),
        ("a%2Fexpire", "a/expire"),
        ("%2e%2e%2f..", "../.."),
        ("user:1", "user:1"),
        ("with%20space", "with space"),
        ("plus+sign", "plus+sign"),
        ("100%25", "100%"),
        ("a%3Fb%23c", "a?b#c"),
        ("%C3%A4%F0%9F%A6%80", "ä🦀"),
        ("%0D%0A*1", "\r\n*1"),
        ("%00", "\0"),
        ("%7Btag%7D", "{tag}"),
    ] {
        let path = keys(&world, &format!("/{path}"));
        let value = format!("of {key} — ”ü“");
        let written = developer.post(&path, json!({"value": value})).await.expect(201).data();
        assert_eq!(written["key"], key);
        assert_eq!(truth::<String>(&world, &[b"GET", key.as_bytes()]).await, value);
        assert_eq!(developer.get(&path).await.expect(200).data()["value"], value);
        developer.post(&format!("{path}/expire"), json!({"ttl": 100})).await.expect(200);
        assert!(truth::<i64>(&world, &[b"TTL", key.as_bytes()]).await > 90, "{key:?}");
        developer.delete(&path).await.expect(204);
    }
    // A key may be named like a route.
    truth::<()>(&world, &[b"SET", b"batch", b"b"]).await;
    assert_eq!(developer.get(&keys(&world, "/batch")).await.expect(200).data()["value"], "b");
}

async fn empty_and_large_strings_are_kept_whole(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    for value in [String::new(), "ä".repeat(1 << 19), "x".repeat((1 << 20) + 1)] {
        developer.post(&keys(&world, "/k"), json!({"value": value})).await;
        assert_eq!(number(&world, "STRLEN k").await, value.len() as i64);
        let read = developer.get(&keys(&world, "/k")).await.expect(200).data();
        assert!(read["value"] == value.as_str(), "{} bytes come back changed", value.len());
        assert!(read.get("value_encoding").is_none());
    }
}

async fn hash_of_ten_thousand_pages_to_its_end(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    let fields: BTreeMap<String, String> = (0..10_000).map(|n| (format!("f{n}"), format!("v{n}"))).collect();
    developer.post(&keys(&world, "/big"), json!({"value": fields})).await.expect(201);
    assert_eq!(number(&world, "HLEN big").await, 10_000);
    let (mut seen, mut cursor, mut pages) = (BTreeMap::new(), "0".to_owned(), 0);
    loop {
        let path = keys(&world, &format!("/big?count=1000&cursor={cursor}"));
        let page = world.alpha.viewer.get(&path).await.expect(200).data();
        assert_eq!(page["length"], 10_000);
        for (name, value) in page["fields"].as_object().unwrap() {
            seen.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        pages += 1;
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert!(pages >= 5, "{pages} pages of about 1000");
    assert!(seen == fields, "{} of 10000 fields", seen.len());
}

/// The items of all pages of a collection, whose pages are exact.
async fn all_pages(world: &World, key: &str, name: &str, count: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let path = keys(world, &format!("/{key}?count={count}&cursor={cursor}"));
        let page = world.alpha.viewer.get(&path).await.expect(200).data();
        let found = page[name].as_array().unwrap();
        assert!(found.len() <= count, "{} items", found.len());
        items.extend(found.clone());
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor == "0" {
            return items;
        }
    }
}

async fn ordered_collections_page_in_order_without_gap_or_repetition(driver: RedisDriver) {
    let world = World::start(driver).await;
    let developer = &world.alpha.developer;
    let values: Vec<String> = (0..2_505).map(|n| format!("i{n:04}")).collect();
    let scored: Vec<Value> =
        values.iter().enumerate().map(|(n, name)| json!({"member": name, "score": n})).collect();
    let entries: Vec<Value> =
        (1..=1_205).map(|n| json!({"id": format!("{n}-0"), "fields": {"n": n}})).collect();
    for (key, body) in [
        ("list", json!({"value": values})),
        ("zset", json!({"value": scored, "type": "zset"})),
        ("stream", json!({"value": entries})),
    ] {
        developer.post(&keys(&world, &format!("/{key}")), body).await.expect(201);
    }
    assert_eq!(json!(all_pages(&world, "list", "values", 1000).await), json!(values));
    let members = all_pages(&world, "zset", "members", 501).await;
    assert_eq!(members.iter().map(|item| item["member"].clone()).collect::<Vec<_>>(), values);
    let ids: Vec<Value> =
        all_pages(&world, "stream", "entries", 600).await.iter().map(|entry| entry["id"].clone()).collect();
    assert_eq!(ids, entries.iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>());
}

/// The keys of all pages of a listing, by name.
async fn listing(world: &World, query: &str) -> BTreeMap<String, Value> {
    let (mut found, mut cursor) = (BTreeMap::new(), "0".to_owned());
    loop {
        let path = keys(world, &format!("?{query}&cursor={cursor}"));
        let page = world.alpha.viewer.get(&path).await.expect(200).data();
        let fields: Vec<&String> = page.as_object().unwrap().keys().collect();
        assert_eq!(fields.iter().collect::<BTreeSet<_>>().len(), 3, "{fields:?}");
        assert_eq!(page["total_scanned"], page["keys"].as_array().unwrap().len());
        for key in page["keys"].as_array().unwrap() {
            found.insert(key["key"].as_str().unwrap().to_owned(), key.clone());
        }
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor == "0" {
            return found;
        }
    }
}

async fn listing_of_2500_keys_is_whole_by_pattern_type_and_count(driver: RedisDriver) {
    let world = World::start(driver).await;
    let mut pipeline = redis::pipe();
    for n in 0..2_000 {
        pipeline.cmd("SET").arg(format!("user:{n}")).arg("v").ignore();
    }
    for n in 0..500 {
        pipeline.cmd("HSET").arg(format!("session:{n}")).arg("f").arg("v").ignore();
    }
    pipeline.cmd("EXPIRE").arg("user:7").arg(1000).ignore();
    pipeline.query_async::<()>(&mut world.redis.connection().await).await.unwrap();
    for (query, count) in [
        ("count=1000", 2_500),
        ("count=10", 2_500),
        ("count=300&pattern=*", 2_500),
        ("count=300&pattern=user:*", 2_000),
        ("count=300&pattern=user:1%3F%3F", 100),
        ("count=300&pattern=user:%5B12%5D", 2),
        ("count=300&type=hash", 500),
        ("count=300&type=hash&pattern=user:*", 0),
        ("count=1000&type=stream", 0),
        ("count=300&pattern=absent*", 0),
    ] {
        assert_eq!(listing(&world, query).await.len(), count, "{query}");
    }
    let found = listing(&world, "pattern=user:7").await;
    let key = &found["user:7"];
    assert_eq!(key["type"], "string");
    assert!(
        (990..=1000).contains(&key["ttl"].as_i64().unwrap()) && key["size"].as_i64().unwrap() > 0,
        "{key}"
    );
    assert_eq!(key.as_object().unwrap().len(), 4, "{key}");
    assert_eq!(listing(&world, "pattern=user:8").await["user:8"]["ttl"], -1);
}

async fn result_over_the_bound_is_refused_and_never_cut(driver: RedisDriver) {
    let options = GatewayOptions::from(driver).set("GATEWAY_MAX_REPLY_BYTES", "20000");
    let world = World::start_with(options, RedisOptions::new()).await;
    let (alpha, viewer) = (&world.alpha, &world.alpha.viewer);
    truth::<()>(&world, &[b"SET", b"string", "x".repeat(30_000).as_bytes()]).await;
    let mut pipeline = redis::pipe();
    for n in 0..100 {
        pipeline.cmd("RPUSH").arg("list").arg(format!("{n:01000}")).ignore();
    }
    pipeline.query_async::<()>(&mut world.redis.connection().await).await.unwrap();
    let mut refused =
        vec![viewer.get(&keys(&world, "/string")).await, viewer.get(&keys(&world, "/list")).await];
    for command in [json!(["GET", "string"]), json!(["LRANGE", "list", 0, -1])] {
        refused.push(viewer.post(&alpha.path("redis", "/command"), json!({"command": command})).await);
    }
    for answer in refused {
        assert_eq!(answer.refused(507, "RESULT_TOO_LARGE")["limit_bytes"], 20_000);
    }
    let page = viewer.get(&keys(&world, "/list?count=10")).await.expect(200).data();
    assert_eq!((page["values"].as_array().unwrap().len(), &page["length"]), (10, &json!(100)));
    // Base64 is longer than its bytes: the bound is on what is sent.
    truth::<()>(&world, &[b"SET", b"bytes", &[0xFF; 16_000]]).await;
    viewer.get(&keys(&world, "/bytes")).await.refused(507, "RESULT_TOO_LARGE");
}

on_both_kinds!(
    string_is_created_read_changed_and_deleted,
    every_type_is_written_and_read_in_its_own_form,
    bytes_come_and_go_as_base64,
    slashes_unicode_and_other_odd_names_are_keys_like_any,
    empty_and_large_strings_are_kept_whole,
    hash_of_ten_thousand_pages_to_its_end,
    ordered_collections_page_in_order_without_gap_or_repetition,
    listing_of_2500_keys_is_whole_by_pattern_type_and_count,
    result_over_the_bound_is_refused_and_never_cut,
);
