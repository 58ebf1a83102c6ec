//! Keys, against a real server.

use crate::{
    questions::questions_about_keys,
    support::{open, session, settings, start},
};
use serde_json::{Value, json};
use std::collections::HashSet;
use studio_plugin_api::{
    Outcome,
    testing::{code, field},
};

#[tokio::test]
async fn every_type_goes_in_and_comes_out() {
    let server = start(&[]);
    let redis = session(&server).await;
    let cases = [
        ("string", json!({ "value": "é" }), "value", json!("é")),
        ("number", json!({ "value": 1.5 }), "value", json!("1.5")),
        ("hash", json!({ "value": { "a": "1", "b": 2 } }), "fields", json!({ "a": "1", "b": "2" })),
        ("list", json!({ "value": ["b", "a", "b"] }), "values", json!(["b", "a", "b"])),
        ("set", json!({ "value": ["a"], "type": "set" }), "members", json!(["a"])),
        (
            "zset",
            json!({ "value": [{ "member": "b", "score": 2 }, { "member": "a", "score": "-inf" }] }),
            "members",
            json!([{ "member": "a", "score": "-inf" }, { "member": "b", "score": 2.0 }]),
        ),
        (
            "stream",
            json!({ "value": [{ "id": "1-1", "fields": { "z": "1", "a": ["2", "3"] } }] }),
            "entries",
            json!([{ "id": "1-1", "fields": { "z": "1", "a": ["2", "3"] } }]),
        ),
    ];
    for (name, body, part, expected) in cases {
        let path = format!("/keys/{name}");
        let key_type = if name == "number" { "string" } else { name };
        let (outcome, written) = redis.post(&path, body.clone()).await.unwrap();
        assert_eq!(outcome, Outcome::Created, "{name}");
        assert_eq!(written, json!({ "key": name, "type": key_type, "ttl": -1, "created": true }));
        assert_eq!(redis.post(&path, body).await.unwrap().0, Outcome::Ok, "{name}");
        let read = redis.get(&path).await.unwrap();
        assert_eq!(read[part], expected, "{name}");
        assert_eq!((&read["type"], &read["ttl"]), (&json!(key_type), &json!(-1)));
        assert!(read["size"].as_u64().unwrap() > 0 && read["encoding"].is_string(), "{read}");
        if key_type != "string" {
            assert_eq!((&read["cursor"], read["length"].as_u64().unwrap() > 0), (&json!("0"), true));
        }
    }
    // Any type replaces any other.
    let (outcome, _) = redis.post("/keys/hash", json!({ "value": ["x"], "ttl": 100 })).await.unwrap();
    assert_eq!(outcome, Outcome::Ok);
    assert_eq!(redis.get("/keys/hash").await.unwrap()["values"], json!(["x"]));
    assert_eq!(redis.get("/keys/hash").await.unwrap()["ttl"], 100);
}

#[tokio::test]
async fn binary_keys_and_values_go_both_ways() {
    let server = start(&[]);
    let redis = session(&server).await;
    redis.post("/keys/%FF%2Fa", json!({ "value": "/w==", "value_encoding": "base64" })).await.unwrap();
    let read = redis.get("/keys/%FF%2Fa").await.unwrap();
    assert_eq!((&read["key"], &read["key_encoding"]), (&json!("/y9h"), &json!("base64")));
    assert_eq!((&read["value"], &read["value_encoding"]), (&json!("/w=="), &json!("base64")));
    let listed = redis.get("/keys").await.unwrap();
    assert_eq!(
        (&listed["keys"][0]["key"], &listed["keys"][0]["key_encoding"]),
        (&json!("/y9h"), &json!("base64"))
    );

    let hash = json!({ "value": { "YQ==": "/w==" }, "value_encoding": "base64" });
    redis.post("/keys/h", hash.clone()).await.unwrap();
    let read = redis.get("/keys/h").await.unwrap();
    assert_eq!((&read["fields"], &read["value_encoding"]), (&hash["value"], &json!("base64")));
    assert!(read.get("key_encoding").is_none());
    assert_eq!(redis.delete("/keys/%FF%2Fa").await.unwrap(), Outcome::NoContent);
}

#[tokio::test]
async fn listing_pages_until_every_key_was_seen() {
    let server = start(&[]);
    let redis = session(&server).await;
    for number in 0..250 {
        redis.run(&format!("SET user:{number} {number}")).await;
    }
    redis.run("HSET other a b").await;
    redis.run("PEXPIRE user:7 1000").await;
    let before = questions_about_keys(&redis).await;
    let mut cursor = "0".to_owned();
    let (mut seen, mut pages) = (HashSet::new(), 0);
    loop {
        let page = redis.get(&format!("/keys?pattern=user:*&count=50&cursor={cursor}")).await.unwrap();
        pages += 1;
        assert_eq!(page["keys"].as_array().unwrap().len(), page["total_scanned"].as_u64().unwrap() as usize);
        for key in page["keys"].as_array().unwrap() {
            assert_eq!(key["type"], "string");
            assert!(key["size"].as_u64().unwrap() > 0);
            // A second left, or a part of it, is not expired.
            let ttl = if key["key"] == "user:7" { 1 } else { -1 };
            assert_eq!(key["ttl"], ttl);
            seen.insert(key["key"].as_str().unwrap().to_owned());
        }
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 250);
    // SCAN, and three questions a key; nothing else.
    assert_eq!(questions_about_keys(&redis).await - before, pages + 250 * 3);

    let page = redis.get("/keys?type=hash&count=1000").await.unwrap();
    assert_eq!(page["keys"][0]["key"], "other");
    for (query, wrong) in [
        ("count=1001", "count"),
        ("count=0", "count"),
        ("cursor=x", "cursor"),
        ("cursor=1@a", "cursor"),
        ("cuont=1", "cuont"),
    ] {
        assert_eq!(field(&redis.get(&format!("/keys?{query}")).await.unwrap_err()), wrong);
    }
}

#[tokio::test]
async fn collections_page_to_their_end() {
    let server = start(&["--hash-max-listpack-entries", "4", "--set-max-intset-entries", "4"]);
    let redis = session(&server).await;
    let numbers: Vec<_> = (0..25).map(|n| n.to_string()).collect();
    let fields: serde_json::Map<_, _> = numbers.iter().map(|n| (n.clone(), json!(n))).collect();
    let scored: Vec<_> = (0..25).map(|n| json!({ "member": n.to_string(), "score": n })).collect();
    let entries: Vec<_> = (1..26).map(|n| json!({ "id": n.to_string(), "fields": { "n": n } })).collect();
    redis.post("/keys/hash", json!({ "value": fields })).await.unwrap();
    redis.post("/keys/list", json!({ "value": numbers })).await.unwrap();
    redis.post("/keys/set", json!({ "value": numbers, "type": "set" })).await.unwrap();
    redis.post("/keys/zset", json!({ "value": scored })).await.unwrap();
    redis.post("/keys/stream", json!({ "value": entries })).await.unwrap();
    for (key, part) in [
        ("hash", "fields"),
        ("list", "values"),
        ("set", "members"),
        ("zset", "members"),
        ("stream", "entries"),
    ] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), "0".to_owned(), 0);
        loop {
            let page = redis.get(&format!("/keys/{key}?count=10&cursor={cursor}")).await.unwrap();
            assert_eq!(page["length"], 25);
            match &page[part] {
                Value::Object(fields) => seen.extend(fields.keys().map(|name| json!(name))),
                Value::Array(items) => seen.extend(items.iter().cloned()),
                other => panic!("{other}"),
            }
            pages += 1;
            page["cursor"].as_str().unwrap().clone_into(&mut cursor);
            if cursor == "0" {
                break;
            }
        }
        let distinct: HashSet<_> = seen.iter().map(ToString::to_string).collect();
        assert_eq!((seen.len(), distinct.len()), (25, 25), "{key}");
        assert!(pages >= 3, "{key}: {pages}");
        assert_eq!(field(&redis.get(&format!("/keys/{key}?cursor=x")).await.unwrap_err()), "cursor");
    }
}

#[tokio::test]
async fn conditions_hold_and_say_what_held_them() {
    let server = start(&[]);
    let redis = session(&server).await;
    for value in [json!("v"), json!({ "a": "b" })] {
        let body = |extra: Value| {
            let mut body = json!({ "value": value });
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        redis.run("DEL k").await;
        assert_eq!(code(&redis.post("/keys/k", body(json!({ "xx": true }))).await.unwrap_err()), "NOT_FOUND");
        assert_eq!(redis.post("/keys/k", body(json!({ "nx": true }))).await.unwrap().0, Outcome::Created);
        assert_eq!(code(&redis.post("/keys/k", body(json!({ "nx": true }))).await.unwrap_err()), "CONFLICT");
        assert_eq!(
            redis.post("/keys/k", body(json!({ "xx": true, "ttl": 9 }))).await.unwrap().0,
            Outcome::Ok
        );
        assert_eq!(redis.get("/keys/k").await.unwrap()["ttl"], 9);
    }
    for (body, wrong) in [
        (json!({ "value": "v", "nx": true, "xx": true }), "nx"),
        (json!({ "value": "v", "ttl": 0 }), "ttl"),
        (json!({ "value": "v", "ttl": -2 }), "ttl"),
        (json!({ "value": "v", "tll": 1 }), "tll"),
        (json!({ "value": {} }), "value"),
        (json!({ "value": null }), "value"),
        (json!({}), "value"),
        (json!({ "value": "v", "type": "json" }), "type"),
        (json!({ "value": "!", "value_encoding": "base64" }), "value"),
    ] {
        assert_eq!(field(&redis.post("/keys/k", body.clone()).await.unwrap_err()), wrong, "{body}");
    }
}

#[tokio::test]
async fn put_changes_only_what_is_there_and_keeps_the_rest() {
    let server = start(&[]);
    let redis = session(&server).await;
    assert_eq!(code(&redis.put("/keys/k", json!({ "value": "v" })).await.unwrap_err()), "NOT_FOUND");
    assert_eq!(code(&redis.put("/keys/k", json!({ "ttl": 1 })).await.unwrap_err()), "NOT_FOUND");
    assert_eq!(code(&redis.put("/keys/k", json!({ "ttl": -1 })).await.unwrap_err()), "NOT_FOUND");
    redis.post("/keys/k", json!({ "value": "v", "ttl": 100 })).await.unwrap();
    let changed = redis.put("/keys/k", json!({ "value": "w" })).await.unwrap();
    assert_eq!(changed, json!({ "key": "k", "type": "string", "ttl": 100, "created": false }));
    assert_eq!(redis.put("/keys/k", json!({ "ttl": -1 })).await.unwrap()["ttl"], -1);
    assert_eq!(redis.put("/keys/k", json!({ "value": "x", "ttl": 50 })).await.unwrap()["ttl"], 50);
    let read = redis.get("/keys/k").await.unwrap();
    assert_eq!((&read["value"], &read["ttl"]), (&json!("x"), &json!(50)));

    let error = redis.put("/keys/k", json!({ "value": { "a": "b" } })).await.unwrap_err();
    assert_eq!((field(&error), &error.details["type"]), ("value", &json!("string")));
    let changed = redis.put("/keys/k", json!({ "value": { "a": "b" }, "type": "hash" })).await.unwrap();
    assert_eq!((&changed["type"], &changed["ttl"]), (&json!("hash"), &json!(50)));

    // An array is whatever kind of sequence the key holds.
    redis.run("SADD s a b").await;
    redis.put("/keys/s", json!({ "value": ["c", "c"] })).await.unwrap();
    assert_eq!(redis.get("/keys/s").await.unwrap()["members"], json!(["c"]));
    redis.run("RPUSH l a").await;
    redis.put("/keys/l", json!({ "value": ["c", "c"], "ttl": 60 })).await.unwrap();
    let read = redis.get("/keys/l").await.unwrap();
    assert_eq!((&read["values"], &read["ttl"]), (&json!(["c", "c"]), &json!(60)));
    redis.run("XADD x 5-0 a b").await;
    redis.put("/keys/x", json!({ "value": [{ "id": "2-0", "fields": { "c": "d" } }] })).await.unwrap();
    assert_eq!(
        redis.get("/keys/x").await.unwrap()["entries"],
        json!([{ "id": "2-0", "fields": { "c": "d" } }])
    );
    assert_eq!(field(&redis.put("/keys/k", json!({})).await.unwrap_err()), "body");
    assert_eq!(field(&redis.put("/keys/k", json!({ "type": "hash" })).await.unwrap_err()), "value");
}

#[tokio::test]
async fn delete_and_expire_tell_a_missing_key() {
    let server = start(&[]);
    let redis = session(&server).await;
    assert_eq!(code(&redis.delete("/keys/k").await.unwrap_err()), "NOT_FOUND");
    assert_eq!(code(&redis.get("/keys/k").await.unwrap_err()), "NOT_FOUND");
    for ttl in [5, -1] {
        assert_eq!(
            code(&redis.post("/keys/k/expire", json!({ "ttl": ttl })).await.unwrap_err()),
            "NOT_FOUND"
        );
    }
    redis.run("SET k v").await;
    assert_eq!(redis.post("/keys/k/expire", json!({ "ttl": -1 })).await.unwrap().1["ttl"], -1);
    assert_eq!(
        redis.post("/keys/k/expire", json!({ "ttl": 5 })).await.unwrap().1,
        json!({ "key": "k", "ttl": 5 })
    );
    assert_eq!(redis.get("/keys/k").await.unwrap()["ttl"], 5);
    redis.post("/keys/k/expire", json!({ "ttl": -1 })).await.unwrap();
    assert_eq!(redis.get("/keys/k").await.unwrap()["ttl"], -1);
    for ttl in [0, -2, i64::MAX] {
        assert_eq!(field(&redis.post("/keys/k/expire", json!({ "ttl": ttl })).await.unwrap_err()), "ttl");
    }
}

#[tokio::test]
async fn a_batch_reports_each_operation_and_checks_all_before_any() {
    let server = start(&[]);
    let redis = session(&server).await;
    let operations = json!([
        { "action": "set", "key": "a", "value": "1", "ttl": 60 },
        { "action": "set", "key": "h", "value": { "f": "v" } },
        { "action": "set", "key": "a", "value": "2", "nx": true },
        { "action": "set", "key": "z", "value": "2", "xx": true },
        { "action": "set", "key": "h", "value": ["x"], "nx": true },
        { "action": "expire", "key": "h", "ttl": 30 },
        { "action": "expire", "key": "none", "ttl": -1 },
        { "action": "expire", "key": "h", "ttl": -1 },
        { "action": "delete", "key": "a" },
        { "action": "delete", "key": "a" },
        { "action": "set", "key": "/w==", "key_encoding": "base64", "value": "v" },
    ]);
    let (_, answer) = redis.post("/keys/batch", json!({ "operations": operations })).await.unwrap();
    let results = answer["results"].as_array().unwrap();
    let errors: Vec<_> =
        results.iter().map(|result| result["error"]["code"].as_str().unwrap_or("ok")).collect();
    let expected =
        ["ok", "ok", "CONFLICT", "NOT_FOUND", "CONFLICT", "ok", "NOT_FOUND", "ok", "ok", "NOT_FOUND", "ok"];
    assert_eq!(errors, expected);
    assert_eq!(answer["summary"], json!({ "total": 11, "succeeded": 6, "failed": 5 }));
    assert_eq!(results[10]["key_encoding"], "base64");
    assert_eq!((&results[2]["index"], &results[2]["success"]), (&json!(2), &json!(false)));
    assert_eq!(redis.get("/keys/h").await.unwrap()["fields"], json!({ "f": "v" }));

    for (bad, wrong) in [
        (json!({ "action": "expire", "key": "k", "ttl": 0 }), "operations[1].ttl"),
        (json!({ "action": "expire", "key": "k" }), "operations[1].ttl"),
        (json!({ "action": "set", "key": "k" }), "operations[1].value"),
        (json!({ "action": "set", "key": "k", "value": [null] }), "operations[1].value[0]"),
        (json!({ "action": "set", "key": "!", "key_encoding": "base64", "value": "v" }), "operations[1].key"),
        (json!({ "action": "delete", "key": "k", "ttl": 5 }), "operations[1].ttl"),
        (json!({ "action": "rename", "key": "k" }), "operations[1].action"),
    ] {
        let operations = json!([{ "action": "set", "key": "never", "value": "v" }, bad]);
        let error = redis.post("/keys/batch", json!({ "operations": operations })).await.unwrap_err();
        assert_eq!(field(&error), wrong);
    }
    assert_eq!(redis.run("EXISTS never").await, 0);
    let many = vec![json!({ "action": "delete", "key": "k" }); 101];
    for operations in [json!(many), json!([])] {
        let error = redis.post("/keys/batch", json!({ "operations": operations })).await.unwrap_err();
        assert_eq!(field(&error), "operations");
    }
}

#[tokio::test]
async fn a_write_that_the_server_refuses_leaves_the_old_value() {
    let server = start(&[]);
    let redis = session(&server).await;
    redis.run("ACL SETUSER half on nopass ~* +@all -rpush -zadd").await;
    redis.run("HSET k a b").await;
    redis.run("RPUSH l a").await;
    let mut settings = settings(server.port, json!({ "username": "half" }));
    settings["endpoint"]["parts"]["password"] = json!("any");
    let half = open(settings).await.unwrap();
    for (path, value) in [
        ("/keys/k", json!(["x"])),
        ("/keys/l", json!(["x"])),
        ("/keys/k", json!([{ "member": "a", "score": 1 }])),
    ] {
        let error = half.post(path, json!({ "value": value })).await.unwrap_err();
        assert!(matches!(code(&error), "FORBIDDEN" | "QUERY_ERROR"), "{error}");
    }
    assert_eq!(redis.get("/keys/k").await.unwrap()["fields"], json!({ "a": "b" }));
    assert_eq!(redis.get("/keys/l").await.unwrap()["values"], json!(["a"]));

    redis.run("CONFIG SET maxmemory 1").await;
    let error = redis.post("/keys/k", json!({ "value": { "c": "d" } })).await.unwrap_err();
    assert_eq!(error.details["code"], "OOM", "{error}");
    let error = redis.post("/keys/new", json!({ "value": "v" })).await.unwrap_err();
    assert_eq!(error.details["code"], "OOM", "{error}");
    redis.run("CONFIG SET maxmemory 0").await;
    assert_eq!(redis.get("/keys/k").await.unwrap()["fields"], json!({ "a": "b" }));
}

#[tokio::test]
async fn users_without_transactions_still_write_and_see_refusals() {
    let server = start(&[]);
    let redis = session(&server).await;
    redis.run("SET k v").await;
    redis.run("ACL SETUSER limited on nopass ~* +@all -multi -persist").await;
    let mut settings = settings(server.port, json!({ "username": "limited" }));
    settings["endpoint"]["parts"]["password"] = json!("any");
    let limited = open(settings).await.unwrap();
    let (_, written) = limited.post("/keys/k", json!({ "value": "w" })).await.unwrap();
    assert_eq!(written["created"], false);
    assert_eq!(redis.run("GET k").await, "w");
    assert_eq!(limited.post("/keys/k/expire", json!({ "ttl": 9 })).await.unwrap().1["ttl"], 9);
    let error = limited.post("/keys/k/expire", json!({ "ttl": -1 })).await.unwrap_err();
    assert_eq!((code(&error), &error.details["code"]), ("FORBIDDEN", &json!("NOPERM")));
    assert!(error.message.contains("persist"), "{error}");
    // With transactions, what is refused inside one is told as well.
    redis.run("ACL SETUSER limited +multi +exec").await;
    let error = limited.post("/keys/k/expire", json!({ "ttl": -1 })).await.unwrap_err();
    assert!(error.message.contains("persist"), "{error}");
    assert_eq!(limited.get("/keys/k").await.unwrap()["value"], "w");
}
