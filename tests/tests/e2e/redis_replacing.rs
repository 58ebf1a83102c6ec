//! Writes that replace: the old value or the new one is there, whole, with what belongs to it.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use studio_gateway_tests::{
    Gateway, GatewayOptions, Plugin, Plugins, Project, RedisDriver, RedisOptions, RedisServer,
};

/// A gateway, and a project whose connection is to a server of a special kind.
pub(crate) struct Place {
    pub(crate) server: RedisServer,
    pub(crate) project: Project,
    _gateway: Gateway,
}

impl Place {
    pub(crate) async fn start(driver: RedisDriver, options: RedisOptions, connection: Value) -> Self {
        let server = RedisServer::start(options).await;
        let port = server.port;
        Self::with(driver, server, port, connection).await
    }

    /// Its connection is to this port.
    pub(crate) async fn with(driver: RedisDriver, server: RedisServer, port: u16, connection: Value) -> Self {
        let gateway =
            Gateway::start(GatewayOptions::from(driver).plugins(Plugins::new([Plugin::redis(driver)]))).await;
        let project = Project::create_empty(&gateway, "alpha").await;
        let mut body = json!({"identifier": "main", "host": "127.0.0.1", "port": port});
        body.as_object_mut().unwrap().extend(connection.as_object().cloned().unwrap_or_default());
        project.connect("redis", body).await;
        Self { server, project, _gateway: gateway }
    }

    pub(crate) fn key(&self, key: &str) -> String {
        self.project.path("redis", &format!("/keys/{key}"))
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &str) -> T {
        ask(&self.server, words).await
    }
}

pub(crate) async fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &str) -> T {
    redis::from_redis_value(server.run(&words.split(' ').collect::<Vec<_>>()).await).unwrap()
}

/// A time in milliseconds that is not exact in a double.
const LATE: i64 = 900_000_000_000_000_123;

/// A key of each type, and the body of a value to replace it.
const KINDS: [(&str, &str, &str); 6] = [
    ("string", "SET string old", r#""new""#),
    ("hash", "HSET hash a old b 2", r#"{"a":"new","c":"3"}"#),
    ("list", "RPUSH list old b", r#"["new","c"]"#),
    ("set", "SADD set old b", r#"["new","b"]"#),
    ("zset", "ZADD zset 1 old 2 b", r#"[{"member":"new","score":1},{"member":"b","score":3}]"#),
    ("stream", "XADD stream 1-1 f old", r#"[{"id":"2-1","fields":{"f":"new"}}]"#),
];

fn body(value: &str, rest: Value) -> Value {
    let mut body = json!({"value": serde_json::from_str::<Value>(value).unwrap()});
    body.as_object_mut().unwrap().extend(rest.as_object().cloned().unwrap_or_default());
    body
}

async fn refused_items_cost_no_value_and_are_named_by_their_place(driver: RedisDriver) {
    let place = Place::start(driver, RedisOptions::new(), json!({})).await;
    let developer = &place.project.developer;
    for value in [
        r#"[{"member":"x","score":1},{"member":"y","score":1e-400}]"#,
        r#"[{"member":"x","score":1},{"member":"y","score":"--inf"}]"#,
        r#"[{"member":"x","score":1},{"member":"y","score":-1e400}]"#,
        r#"[{"id":"5-1","fields":{"f":"1"}},{"id":"5-1","fields":{"f":"1"}}]"#,
    ] {
        for (key, make, _) in KINDS {
            place.ask::<i64>(&format!("DEL {key}")).await;
            place.ask::<redis::Value>(make).await;
            place.ask::<i64>(&format!("PEXPIREAT {key} {LATE}")).await;
            let old: Vec<u8> = place.ask(&format!("DUMP {key}")).await;
            // By hand: JSON's numbers would lose what they are about.
            let put = format!(
                r#"{{"value":{value},"type":"{}"}}"#,
                if value.contains("id") { "stream" } else { "zset" }
            );
            let batch = format!(r#"{{"operations":[{{"action":"set","key":"{key}","value":{value}}}]}}"#);
            for (method, path, body, prefix) in [
                ("PUT", place.key(key), put, ""),
                ("POST", place.key(key), format!(r#"{{"value":{value}}}"#), ""),
                ("POST", place.key("batch"), batch, "operations[0]."),
            ] {
                let request = developer.request(method, &path).body(body);
                let details = developer.send(request).await.refused(400, "VALIDATION_ERROR");
                let field = details["field"].as_str().unwrap();
                assert!(field.starts_with(&format!("{prefix}value[1]")), "{field}");
            }
            assert_eq!(place.ask::<Vec<u8>>(&format!("DUMP {key}")).await, old, "{key}");
            assert_eq!(place.ask::<i64>(&format!("PEXPIRETIME {key}")).await, LATE);
        }
    }
}

async fn entry_of_a_stream_has_as_many_fields_as_a_command_may_have(driver: RedisDriver) {
    let place = Place::start(driver, RedisOptions::new(), json!({})).await;
    let (developer, path) = (&place.project.developer, place.key("s"));
    for (count, stays) in [(3_999, true), (3_999, false), (20_000, false)] {
        let fields: serde_json::Map<_, _> = (0..count).map(|at| (format!("f{at}"), json!("v"))).collect();
        let entries = json!([{"id": "1-1", "fields": {"f": "v"}}, {"id": "2-1", "fields": fields}]);
        developer.post(&path, json!({"value": entries})).await.expect(if stays { 201 } else { 200 });
        place.ask::<i64>("EXPIRE s 1000").await;
        let shown = developer.get(&path).await.expect(200).data()["entries"].clone();
        assert_eq!(shown, entries);
        developer.put(&path, json!({"value": shown})).await.expect(200);
        let changed = json!([{"id": "3-1", "fields": fields}]);
        developer.put(&path, json!({"value": changed})).await.expect(200);
        assert_eq!(developer.get(&path).await.expect(200).data()["entries"], changed);
        assert!(place.ask::<i64>("TTL s").await > 900);
        let batch = json!({"operations": [{"action": "set", "key": "s", "value": entries}]});
        let done = developer.post(&place.key("batch"), batch).await.expect(200).data();
        assert_eq!(done["summary"]["succeeded"], 1, "{done}");
        assert_eq!(developer.get(&path).await.expect(200).data()["entries"], entries);
    }
    let fields: serde_json::Map<_, _> = (0..3_999).map(|at| (format!("f{at}"), json!("v"))).collect();
    let entries = json!([{"id": "1-1", "fields": fields}]);
    developer.post(&place.key("t"), json!({"value": entries, "nx": true})).await.refused_field("value");
    developer.post(&path, json!({"value": entries, "nx": true})).await.refused(409, "CONFLICT");
    developer.post(&path, json!({"value": entries, "xx": true})).await.expect(200);
    assert_eq!(place.ask::<i64>("XLEN s").await, 1);
}

async fn expiry_stays_to_the_millisecond_however_far_it_is(driver: RedisDriver) {
    let place = Place::start(driver, RedisOptions::new(), json!({})).await;
    let developer = &place.project.developer;
    for (key, make, value) in KINDS {
        place.ask::<redis::Value>(make).await;
        place.ask::<i64>(&format!("PEXPIREAT {key} {LATE}")).await;
        let written = developer.put(&place.key(key), body(value, json!({}))).await.expect(200).data();
        assert_eq!(place.ask::<i64>(&format!("PEXPIRETIME {key}")).await, LATE, "{key}");
        assert!(written["ttl"].as_i64().unwrap() > 890_000_000_000_000, "{written}");
        // And when the type changes.
        for (other, _, value) in KINDS {
            let typed = body(value, json!({"type": other}));
            let written = developer.put(&place.key(key), typed).await.expect(200).data();
            assert_eq!(written["type"], other);
            assert_eq!(place.ask::<i64>(&format!("PEXPIRETIME {key}")).await, LATE, "{key} {other}");
        }
        // Only where it is told to.
        developer.put(&place.key(key), body(value, json!({"type": key, "ttl": -1}))).await.expect(200);
        assert_eq!(place.ask::<i64>(&format!("PEXPIRETIME {key}")).await, -1, "{key}");
        developer.put(&place.key(key), body(value, json!({"ttl": 500}))).await.expect(200);
        assert!((470..=500).contains(&place.ask::<i64>(&format!("TTL {key}")).await), "{key}");
    }
}

async fn value_is_what_the_body_says_whatever_there_was(driver: RedisDriver) {
    let place = Place::start(driver, RedisOptions::new(), json!({})).await;
    let developer = &place.project.developer;
    // Beyond what a server keeps in its small forms, and what one call of a script's function takes.
    let large: Vec<_> = (0..12_000).map(|at| format!("m{at}")).collect();
    let fields: serde_json::Map<_, _> = large.iter().map(|name| (name.clone(), json!("v"))).collect();
    let scores: Vec<_> =
        large.iter().enumerate().map(|(at, name)| json!({"member": name, "score": at})).collect();
    let kinds = [
        ("hash", json!(fields), json!({"m7": "v", "m8": "w", "x": "y"}), "HLEN"),
        ("list", json!(large), json!(["m7", "x", "m7"]), "LLEN"),
        ("set", json!(large), json!(["m7", "x"]), "SCARD"),
        (
            "zset",
            json!(scores),
            json!([{"member": "m7", "score": 2.5}, {"member": "x", "score": "inf"}]),
            "ZCARD",
        ),
    ];
    for (kind, large, small, count) in kinds {
        let path = place.key(kind);
        developer.post(&path, json!({"value": small, "type": kind})).await.expect(201);
        for value in [&large, &small, &large] {
            developer.put(&path, json!({"value": value})).await.expect(200);
            let length = value.as_array().map_or_else(|| value.as_object().unwrap().len(), Vec::len);
            assert_eq!(place.ask::<i64>(&format!("{count} {kind}")).await as usize, length, "{kind}");
        }
        developer.post(&path, json!({"value": small, "type": kind, "xx": true})).await.expect(200);
        // The whole of it, where the gateway shows a page.
        match kind {
            "set" => {
                let members: BTreeSet<String> = place.ask("SMEMBERS set").await;
                assert_eq!(members, ["m7", "x"].map(str::to_owned).into());
            }
            "hash" => {
                let fields: BTreeMap<String, String> = place.ask("HGETALL hash").await;
                assert_eq!(json!(fields), small);
            }
            "list" => assert_eq!(developer.get(&path).await.expect(200).data()["values"], small),
            _ => assert_eq!(developer.get(&path).await.expect(200).data()["members"], small),
        }
    }
}

async fn stream_keeps_its_groups_or_the_refusal_names_them(driver: RedisDriver) {
    let place = Place::start(driver, RedisOptions::new(), json!({})).await;
    let (developer, path) = (&place.project.developer, place.key("s"));
    for entry in ["1-1 f a", "1-2 f b g c f d", "3-0 f e", "9-9 f gone"] {
        place.ask::<String>(&format!("XADD s {entry}")).await;
    }
    place.ask::<i64>("XDEL s 9-9").await;
    place.ask::<String>("XGROUP CREATE s workers 0").await;
    place.ask::<redis::Value>("XREADGROUP GROUP workers one COUNT 2 STREAMS s >").await;
    let facts = async || {
        let about: redis::Value = place.server.run(&["XINFO", "STREAM", "s", "FULL"]).await;
        // Times since when, which go on, are the consumers' own.
        let pending: redis::Value = place.server.run(&["XPENDING", "s", "workers"]).await;
        let last = format!("{about:?}");
        let last = last.split("last-generated-id").nth(1).unwrap().chars().take(60).collect::<String>();
        format!("{pending:?} {last}")
    };
    let before = facts().await;
    let shown = developer.get(&path).await.expect(200).data()["entries"].clone();
    developer.put(&path, json!({"value": shown})).await.expect(200);
    assert_eq!(facts().await, before);
    assert_eq!(developer.get(&path).await.expect(200).data()["entries"], shown);
    // Entries that go and such as come after the last one.
    let mut fewer = shown.as_array().unwrap().clone();
    fewer.remove(1);
    fewer.push(json!({"id": "10-0", "fields": {"f": "new"}}));
    developer.put(&path, json!({"value": fewer})).await.expect(200);
    assert_eq!(developer.get(&path).await.expect(200).data()["entries"], json!(fewer));
    assert_eq!(place.ask::<Vec<Vec<redis::Value>>>("XINFO GROUPS s").await.len(), 1);
    // Without ids, they are new ones.
    let anew = json!({"value": [{"fields": {"f": "x"}}, {"fields": {"f": "y"}}]});
    developer.put(&path, anew).await.expect(200);
    assert_eq!(place.ask::<i64>("XLEN s").await, 2);
    let before = (facts().await, place.ask::<Vec<u8>>("DUMP s").await);
    let shown = developer.get(&path).await.expect(200).data()["entries"].clone();
    let mut changed = shown.as_array().unwrap().clone();
    changed[0]["fields"]["f"] = json!("other");
    for value in [json!(changed), json!([{"id": "2-0", "fields": {"f": "v"}}])] {
        let details = developer.put(&path, json!({"value": value})).await.refused(409, "CONFLICT");
        assert_eq!(details["groups"], json!(["workers"]));
    }
    assert_eq!((facts().await, place.ask::<Vec<u8>>("DUMP s").await), before);
    // Without groups, all of it may change, and the next id is none that was before.
    place.ask::<i64>("XGROUP DESTROY s workers").await;
    developer.put(&path, json!({"value": [{"id": "2-0", "fields": {"f": "v"}}]})).await.expect(200);
    assert_eq!(place.ask::<i64>("XLEN s").await, 1);
    let next: String = place.ask("XADD s * f v").await;
    assert!(next.split('-').next().unwrap().len() > 10, "{next}");
    // POST makes the key what it says.
    place.ask::<String>("XGROUP CREATE s workers 0").await;
    developer.post(&path, json!({"value": [{"id": "1-0", "fields": {"f": "v"}}]})).await.expect(200);
    assert_eq!(place.ask::<Vec<Vec<redis::Value>>>("XINFO GROUPS s").await.len(), 0);
}

async fn full_server_lets_keys_expire(driver: RedisDriver) {
    let place =
        Place::start(driver, RedisOptions::new().line("maxmemory-policy noeviction"), json!({})).await;
    let developer = &place.project.developer;
    for (key, make, _) in KINDS {
        place.ask::<redis::Value>(make).await;
        place.ask::<i64>(&format!("EXPIRE {key} 500")).await;
    }
    place.ask::<String>("CONFIG SET maxmemory 1").await;
    for (key, _, value) in KINDS {
        let path = place.key(key);
        let old: Vec<u8> = place.ask(&format!("DUMP {key}")).await;
        for refused in [
            developer.put(&path, body(value, json!({}))).await,
            developer.put(&path, body(value, json!({"ttl": 9}))).await,
            developer.put(&path, body(value, json!({"ttl": -1}))).await,
            developer.post(&path, body(value, json!({"type": key}))).await,
        ] {
            assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], "OOM", "{refused}");
        }
        assert_eq!(place.ask::<Vec<u8>>(&format!("DUMP {key}")).await, old);
        assert!((470..=500).contains(&place.ask::<i64>(&format!("TTL {key}")).await), "{key}");
        let expire = format!("{path}/expire");
        developer.post(&expire, json!({"ttl": 300})).await.expect(200);
        assert!(place.ask::<i64>(&format!("TTL {key}")).await > 200);
        developer.put(&path, json!({"ttl": 100})).await.expect(200);
        assert!(place.ask::<i64>(&format!("TTL {key}")).await <= 100);
        developer.post(&expire, json!({"ttl": -1})).await.expect(200);
        developer.post(&expire, json!({"ttl": -1})).await.expect(200);
        assert_eq!(place.ask::<i64>(&format!("TTL {key}")).await, -1);
        let batch = json!({"operations": [{"action": "expire", "key": key, "ttl": 50}, {"action": "expire", "key": "absent", "ttl": -1}]});
        let done = developer.post(&place.key("batch"), batch).await.expect(200).data();
        assert_eq!(done["summary"]["succeeded"], 1, "{done}");
        assert_eq!(done["results"][1]["error"]["code"], "NOT_FOUND");
        developer.delete(&path).await.expect(204);
        developer.post(&expire, json!({"ttl": 5})).await.refused(404, "NOT_FOUND");
        developer.post(&expire, json!({"ttl": -1})).await.refused(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn cluster_s_moving_slot_loses_nothing() {
    let mut nodes = RedisServer::cluster().await;
    let slot: u16 = ask(&nodes[0], "CLUSTER KEYSLOT {t}").await;
    let place = nodes.iter().position(|node| node.port == owner(&nodes, slot)).unwrap();
    let (from, to) = (nodes.remove(place), nodes.remove(0));
    let (from_id, to_id): (String, String) =
        (ask(&from, "CLUSTER MYID").await, ask(&to, "CLUSTER MYID").await);
    let port = from.port;
    let place = Place::with(RedisDriver::Library, from, port, json!({"options": {"cluster": true}})).await;
    let developer = &place.project.developer;
    for (key, make, _) in KINDS {
        let make = make.replacen(key, &format!("{{t}}{key}"), 1);
        place.ask::<redis::Value>(&make).await;
        place.ask::<i64>(&format!("PEXPIREAT {{t}}{key} {LATE}")).await;
    }
    ask::<String>(&to, &format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}")).await;
    place.ask::<String>(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}")).await;
    for (key, _, value) in KINDS {
        let path = place.key(&format!("{{t}}{key}"));
        developer.put(&path, body(value, json!({}))).await.expect(200);
        assert_eq!(place.ask::<i64>(&format!("PEXPIRETIME {{t}}{key}")).await, LATE, "{key}");
        for (other, _, value) in KINDS {
            let written = developer.put(&path, body(value, json!({"type": other}))).await.expect(200);
            assert_eq!(written.data()["type"], other);
            assert_eq!(place.ask::<String>(&format!("TYPE {{t}}{key}")).await, other);
            assert_eq!(place.ask::<i64>(&format!("PEXPIRETIME {{t}}{key}")).await, LATE, "{key} {other}");
        }
        developer.post(&path, body(value, json!({"type": key, "ttl": 700}))).await.expect(200);
        let batch = json!({"operations": [{"action": "set", "key": format!("{{t}}{key}"), "type": key,
            "value": serde_json::from_str::<Value>(value).unwrap(), "ttl": 600}]});
        let done = developer.post(&place.key("batch"), batch).await.expect(200).data();
        assert_eq!(done["summary"]["succeeded"], 1, "{done}");
        assert_eq!(place.ask::<String>(&format!("TYPE {{t}}{key}")).await, key);
        assert!((570..=600).contains(&place.ask::<i64>(&format!("TTL {{t}}{key}")).await));
        // A key that is not there is made where the slot goes.
        let anew = place.key(&format!("{{t}}{key}:new"));
        developer.post(&anew, body(value, json!({"type": key, "nx": true}))).await.expect(201);
        developer.post(&anew, body(value, json!({"type": key}))).await.expect(200);
        developer.put(&anew, body(value, json!({}))).await.expect(200);
    }
    assert_eq!(ask::<i64>(&to, &format!("CLUSTER COUNTKEYSINSLOT {slot}")).await, 6);
    assert_eq!(place.ask::<i64>(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).await, 6);
}

/// Slots are dealt in three equal parts, in the order of the nodes.
fn owner(nodes: &[RedisServer], slot: u16) -> u16 {
    nodes[usize::from(slot) * nodes.len() / 16384].port
}

on_both_kinds!(
    refused_items_cost_no_value_and_are_named_by_their_place,
    entry_of_a_stream_has_as_many_fields_as_a_command_may_have,
    expiry_stays_to_the_millisecond_however_far_it_is,
    value_is_what_the_body_says_whatever_there_was,
    stream_keeps_its_groups_or_the_refusal_names_them,
    full_server_lets_keys_expire,
);
