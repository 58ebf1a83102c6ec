//! Keys, against a real server.

use crate::support::{session, start};
use serde_json::{Value, json};
use std::time::Duration;
use studio_plugin_api::{
    Driver, Outcome,
    testing::{TestRequest, code, field},
};
use studio_test_servers::wait_until;

const DAY: i64 = 24 * 3600;

#[tokio::test]
async fn every_mode_stores_what_it_should_and_nothing_else() {
    let server = start(&[]);
    let memcached = session(&server).await;
    let write = async |mode: &str, value: &str| {
        memcached.post("/keys/k", json!({ "value": value, "mode": mode })).await
    };
    for mode in ["replace", "append", "prepend"] {
        assert_eq!(code(&write(mode, "x").await.unwrap_err()), "NOT_FOUND", "{mode}");
    }
    let (outcome, written) = write("set", "one").await.unwrap();
    assert_eq!(outcome, Outcome::Created);
    assert!(written["cas"].as_u64().unwrap() > 0);
    assert_eq!(
        (&written["key"], &written["ttl"], &written["created"]),
        (&json!("k"), &json!(-1), &json!(true))
    );
    assert_eq!(code(&write("add", "x").await.unwrap_err()), "CONFLICT");
    for (mode, value, expected) in [
        ("append", "!", "one!"),
        ("prepend", "<", "<one!"),
        ("replace", "two", "two"),
        ("set", "three", "three"),
    ] {
        let (outcome, written) = write(mode, value).await.unwrap();
        assert_eq!((outcome, &written["created"]), (Outcome::Ok, &json!(false)), "{mode}");
        let read = memcached.get("/keys/k").await.unwrap();
        assert_eq!((&read["value"], &read["cas"]), (&json!(expected), &written["cas"]), "{mode}");
    }
    assert_eq!(memcached.delete("/keys/k").await.unwrap(), Outcome::NoContent);
    assert_eq!(code(&memcached.delete("/keys/k").await.unwrap_err()), "NOT_FOUND");
    assert_eq!(write("add", "four").await.unwrap().0, Outcome::Created);
    assert_eq!(server.ask("get k").unwrap(), "VALUE k 0 4");
}

#[tokio::test]
async fn reading_tells_everything_and_does_not_count_as_use() {
    let server = start(&[]);
    let memcached = session(&server).await;
    let body = json!({ "value": "é\r\nget x\r\n", "flags": u32::MAX, "ttl": 100 });
    let (_, written) = memcached.post("/keys/k", body).await.unwrap();
    for _ in 0..2 {
        let mut read = memcached.get("/keys/k").await.unwrap();
        let (ttl, idle) =
            (read["ttl"].take().as_i64().unwrap(), read["idle_seconds"].take().as_i64().unwrap());
        assert!((90..=100).contains(&ttl) && (0..10).contains(&idle), "{ttl} {idle}");
        let expected = json!({
            "key": "k", "value": "é\r\nget x\r\n", "flags": u32::MAX, "cas": written["cas"], "ttl": null, "size": 11,
            "idle_seconds": null, "fetched": false,
        });
        assert_eq!(read, expected);
    }
    assert!(server.ask("mg k h").unwrap().starts_with("HD h0"));
    // Somebody else's reading does.
    server.ask("get k").unwrap();
    assert_eq!(memcached.get("/keys/k").await.unwrap()["fetched"], true);
    assert_eq!(code(&memcached.get("/keys/absent").await.unwrap_err()), "NOT_FOUND");
}

#[tokio::test]
async fn keys_and_values_are_any_bytes() {
    let server = start(&[]);
    let memcached = session(&server).await;
    let body = json!({ "value": "/wANCg==", "value_encoding": "base64" });
    for (path, key, encoding) in [
        ("%FF%2Fa", "/y9h", Some("base64")),
        ("a%2Fb", "a/b", None),
        ("with%20space", "with space", None),
        ("%0D%0Aflush_all%0D%0A", "\r\nflush_all\r\n", None),
        ("%00", "\0", None),
        ("%7F", "\u{7f}", None),
        ("%C3%A4%F0%9F%A6%80", "ä🦀", None),
        ("YQ==", "YQ==", None),
    ] {
        let path = format!("/keys/{path}");
        let (outcome, written) = memcached.post(&path, body.clone()).await.unwrap();
        assert_eq!((outcome, &written["key"]), (Outcome::Created, &json!(key)));
        let read = memcached.get(&path).await.unwrap();
        assert_eq!(
            (&read["key"], read.get("key_encoding")),
            (&json!(key), encoding.map(Value::from).as_ref())
        );
        assert_eq!((&read["value"], &read["value_encoding"]), (&body["value"], &json!("base64")), "{key:?}");
        let asked = json!({ "keys": [key], "key_encoding": encoding });
        let (_, found) = memcached.post("/keys/get", asked).await.unwrap();
        assert_eq!(found["items"][0]["key"], key);
        memcached.post(&format!("{path}/touch"), json!({ "ttl": 50 })).await.unwrap();
        let listed = memcached.get("/keys").await.unwrap();
        assert_eq!(listed["keys"][0]["key"], key);
        assert_eq!(listed["keys"][0].get("key_encoding"), encoding.map(Value::from).as_ref());
        assert_eq!(memcached.delete(&path).await.unwrap(), Outcome::NoContent);
    }
}

#[tokio::test]
async fn cas_stores_over_the_item_that_was_read_and_over_no_other() {
    let server = start(&[]);
    let memcached = session(&server).await;
    let (_, written) = memcached.post("/keys/k", json!({ "value": "1" })).await.unwrap();
    let body = |value: &str| json!({ "value": value, "cas": written["cas"] });
    let (outcome, changed) = memcached.post("/keys/k", body("2")).await.unwrap();
    assert_eq!(outcome, Outcome::Ok);
    assert_ne!(changed["cas"], written["cas"]);
    assert_eq!(code(&memcached.post("/keys/k", body("3")).await.unwrap_err()), "CONFLICT");
    assert_eq!(memcached.get("/keys/k").await.unwrap()["value"], "2");
    assert_eq!(code(&memcached.post("/keys/absent", body("3")).await.unwrap_err()), "NOT_FOUND");
    let text = json!({ "value": "3", "cas": changed["cas"].to_string() });
    assert_eq!(memcached.post("/keys/k", text).await.unwrap().0, Outcome::Ok);

    let server = start(&["-C"]);
    let memcached = session(&server).await;
    let (_, written) = memcached.post("/keys/k", json!({ "value": "1" })).await.unwrap();
    assert_eq!(
        (&written["cas"], &memcached.get("/keys/k").await.unwrap()["cas"]),
        (&json!(null), &json!(null))
    );
}

#[tokio::test]
async fn ttl_is_relative_however_long_it_is() {
    let server = start(&[]);
    let memcached = session(&server).await;
    for ttl in [10, 30 * DAY, 30 * DAY + 1, 90 * DAY, 3000 * DAY] {
        let (_, written) = memcached.post("/keys/k", json!({ "value": "v", "ttl": ttl })).await.unwrap();
        assert_eq!(written["ttl"], ttl);
        let near = |left: &Value| (ttl - 5..=ttl + 1).contains(&left.as_i64().unwrap());
        let read = memcached.get("/keys/k").await.unwrap();
        assert!(near(&read["ttl"]), "{ttl} {read}");
        let listed = memcached.get("/keys").await.unwrap();
        assert!(near(&listed["keys"][0]["ttl"]), "{ttl} {listed}");
        memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
        assert_eq!(memcached.get("/keys/k").await.unwrap()["ttl"], -1);
        let (_, touched) = memcached.post("/keys/k/touch", json!({ "ttl": ttl })).await.unwrap();
        assert_eq!(touched, json!({ "key": "k", "ttl": ttl }));
        assert!(near(&memcached.get("/keys/k").await.unwrap()["ttl"]), "{ttl}");
        memcached.post("/keys/k/touch", json!({ "ttl": -1 })).await.unwrap();
        assert_eq!(memcached.get("/keys/k").await.unwrap()["ttl"], -1);
    }
    for ttl in [0, -2, i64::MAX, i64::from(i32::MAX)] {
        let error = memcached.post("/keys/k", json!({ "value": "v", "ttl": ttl })).await.unwrap_err();
        assert_eq!(field(&error), "ttl", "{ttl}");
    }
    assert_eq!(
        code(&memcached.post("/keys/absent/touch", json!({ "ttl": 5 })).await.unwrap_err()),
        "NOT_FOUND"
    );
    memcached.post("/keys/brief", json!({ "value": "v", "ttl": 1 })).await.unwrap();
    wait_until(Duration::from_secs(20), "it expires", || Ok(server.ask("get brief")? == "END")).unwrap();
    assert_eq!(code(&memcached.get("/keys/brief").await.unwrap_err()), "NOT_FOUND");
}

#[tokio::test]
async fn counters_count_in_one_step() {
    let server = start(&[]);
    let memcached = session(&server).await;
    let count = async |rest: &str, body: Value| memcached.post(&format!("/keys/n/{rest}"), body).await;
    assert_eq!(code(&count("increment", json!({})).await.unwrap_err()), "NOT_FOUND");
    let created = count("increment", json!({ "delta": 5, "initial": 10, "ttl": 60 })).await.unwrap().1;
    assert_eq!((&created["value"], &created["ttl"]), (&json!(10), &json!(60)));
    for (rest, body, value) in [
        ("increment", json!({ "delta": 5, "initial": 10 }), json!(15)),
        ("increment", json!({}), json!(16)),
        ("decrement", json!({ "delta": 6 }), json!(10)),
        ("decrement", json!({ "delta": 100 }), json!(0)),
        ("increment", json!({ "delta": "18446744073709551615" }), json!("18446744073709551615")),
        ("increment", json!({ "delta": 3 }), json!(2)),
    ] {
        let (outcome, counter) = count(rest, body.clone()).await.unwrap();
        assert_eq!((outcome, &counter["value"]), (Outcome::Ok, &value), "{rest} {body}");
        assert_eq!(counter["cas"], memcached.get("/keys/n").await.unwrap()["cas"]);
    }
    let request = TestRequest::post("/keys/n/increment", json!(null)).body("");
    assert_eq!(memcached.send(request).await.unwrap().1["value"], 3);
    assert_eq!(server.ask("incr n 4").unwrap(), "7");
    memcached.post("/keys/n", json!({ "value": "-1" })).await.unwrap();
    let error = count("increment", json!({})).await.unwrap_err();
    assert_eq!((code(&error), &error.details["code"]), ("QUERY_ERROR", &json!("CLIENT_ERROR")));
    assert_eq!(field(&count("increment", json!({ "ttl": 5 })).await.unwrap_err()), "ttl");
    assert_eq!(field(&count("increment", json!({ "delta": -1 })).await.unwrap_err()), "delta");
}

#[tokio::test]
async fn many_keys_are_read_at_once_in_their_order() {
    let server = start(&[]);
    let memcached = session(&server).await;
    for number in (0..100).step_by(2) {
        memcached.post(&format!("/keys/k{number}"), json!({ "value": number.to_string() })).await.unwrap();
    }
    let keys: Vec<_> = (0..100).map(|number| format!("k{number}")).collect();
    let (_, found) = memcached.post("/keys/get", json!({ "keys": keys })).await.unwrap();
    let items: Vec<_> = found["items"].as_array().unwrap().iter().map(|item| item["value"].clone()).collect();
    assert_eq!(items, (0..100).step_by(2).map(|number| json!(number.to_string())).collect::<Vec<_>>());
    assert_eq!(found["missing"].as_array().unwrap().len(), 50);
    assert_eq!(found["missing"][0], json!({ "key": "k1" }));
    for (body, wrong) in [
        (json!({ "keys": [] }), "keys"),
        (json!({ "keys": vec!["k"; 101] }), "keys"),
        (json!({ "keys": ["a", ""] }), "keys[1]"),
        (json!({ "keys": ["a", "!"], "key_encoding": "base64" }), "keys[0]"),
    ] {
        assert_eq!(field(&memcached.post("/keys/get", body).await.unwrap_err()), wrong);
    }
}

#[tokio::test]
async fn results_over_the_bound_are_refused_and_the_session_goes_on() {
    let server = start(&[]);
    let memcached = session(&server).await;
    for name in ["a", "b", "c"] {
        memcached.post(&format!("/keys/{name}"), json!({ "value": name.repeat(1000) })).await.unwrap();
    }
    memcached
        .post("/keys/binary", json!({ "value": "/w==".to_owned() , "value_encoding": "base64" }))
        .await
        .unwrap();
    let get = |limit| TestRequest::get("/keys/a").max_reply_bytes(limit);
    let get_all =
        |limit| TestRequest::post("/keys/get", json!({ "keys": ["a", "b", "c"] })).max_reply_bytes(limit);
    for request in
        [get(999), get_all(2999), get_all(999), TestRequest::get("/keys/binary").max_reply_bytes(3)]
    {
        assert_eq!(code(&memcached.send(request).await.unwrap_err()), "RESULT_TOO_LARGE");
        assert!(memcached.is_open());
        assert_eq!(memcached.get("/keys/b").await.unwrap()["value"], "b".repeat(1000));
    }
    // With the names around the values.
    memcached.send(get(1200)).await.unwrap();
    assert_eq!(memcached.send(get_all(3600)).await.unwrap().1["items"].as_array().unwrap().len(), 3);
    let stats = TestRequest::get("/stats").max_reply_bytes(500);
    assert_eq!(code(&memcached.send(stats).await.unwrap_err()), "RESULT_TOO_LARGE");
    assert!(memcached.get("/stats").await.unwrap()["curr_items"] == 4);
}

#[tokio::test]
async fn limits_are_told_before_anything_is_sent() {
    let server = start(&["-I", "2m"]);
    let memcached = session(&server).await;
    let large = "x".repeat((2 << 20) - 1000);
    memcached.post("/keys/k", json!({ "value": large })).await.unwrap();
    assert!(memcached.get("/keys/k").await.unwrap()["value"] == large.as_str());
    for (length, name) in
        [(2 << 20, "refused by the server"), ((2 << 20) + 1, "refused here"), (5 << 20, "far")]
    {
        let error = memcached.post("/keys/other", json!({ "value": "x".repeat(length) })).await.unwrap_err();
        assert_eq!(
            (code(&error), &error.details["limit_bytes"]),
            ("PAYLOAD_TOO_LARGE", &json!(2 << 20)),
            "{name}"
        );
        assert!(memcached.is_open());
        assert!(memcached.get("/keys/k").await.unwrap()["value"] == large.as_str());
    }
    let long = "k".repeat(250);
    memcached.post(&format!("/keys/{long}"), json!({ "value": "v" })).await.unwrap();
    assert_eq!(memcached.get(&format!("/keys/{long}")).await.unwrap()["key"], long);
    let spaced = "%20".repeat(186);
    memcached.post(&format!("/keys/{spaced}"), json!({ "value": "v" })).await.unwrap();
    assert_eq!(memcached.get(&format!("/keys/{spaced}")).await.unwrap()["value"], "v");
    for key in ["k".repeat(251), "%20".repeat(187), String::new()] {
        let path = format!("/keys/{key}");
        assert_eq!(field(&memcached.post(&path, json!({ "value": "v" })).await.unwrap_err()), "key");
        assert_eq!(field(&memcached.get(&path).await.unwrap_err()), "key");
        assert_eq!(field(&memcached.delete(&path).await.unwrap_err()), "key");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_its_field() {
    let server = start(&[]);
    let memcached = session(&server).await;
    for (path, body, wrong) in [
        ("/keys/k", json!({}), "value"),
        ("/keys/k", json!({ "value": 1 }), "value"),
        ("/keys/k", json!({ "value": "!", "value_encoding": "base64" }), "value"),
        ("/keys/k", json!({ "value": "v", "mode": "cas" }), "mode"),
        ("/keys/k", json!({ "value": "v", "mode": "add", "cas": 1 }), "cas"),
        ("/keys/k", json!({ "value": "v", "mode": "append", "ttl": 1 }), "ttl"),
        ("/keys/k", json!({ "value": "v", "mode": "prepend", "flags": 1 }), "flags"),
        ("/keys/k", json!({ "value": "v", "flags": 4_294_967_296_u64 }), "flags"),
        ("/keys/k", json!({ "value": "v", "surplus": 1 }), "surplus"),
        ("/keys/k/touch", json!({}), "ttl"),
        ("/keys/k/touch", json!({ "ttl": 0 }), "ttl"),
        ("/flush", json!({ "delay": -1 }), "delay"),
        ("/flush", json!({ "delay": 2_592_001 }), "delay"),
    ] {
        assert_eq!(field(&memcached.post(path, body.clone()).await.unwrap_err()), wrong, "{path} {body}");
    }
    assert_eq!(memcached.get("/keys").await.unwrap()["total"], 0);
}
