//! Writes take no more rights than what they do needs.

use crate::{
    redis_replacing::Place,
    redis_replacing_faults::{allow, start_with_user, values},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use studio_gateway_tests::{RedisDriver, RedisOptions};

async fn rights_of_a_write_are_those_of_its_commands(driver: RedisDriver) {
    let place = start_with_user(driver, "+@all").await;
    let developer = &place.project.developer;
    let login = "+hello +ping +client +select +info";
    let hash = json!({"a": "1", "b": "2"});
    // Each with no more than it needs.
    allow(&place, &format!("{login} +set")).await;
    developer.post(&place.key("s"), json!({"value": "v"})).await.expect(201);
    developer.post(&place.key("s"), json!({"value": "v", "ttl": 100})).await.expect(200);
    developer.post(&place.key("s"), json!({"value": "v", "nx": true})).await.refused(409, "CONFLICT");
    developer.post(&place.key("s"), json!({"value": "v", "xx": true, "ttl": 100})).await.expect(200);
    let long = json!({"value": "v".repeat(100_000)});
    assert_eq!(developer.post(&place.key("long"), long.clone()).await.expect(201).data()["created"], true);
    assert_eq!(developer.post(&place.key("long"), long).await.expect(200).data()["created"], false);
    let written = developer.put(&place.key("s"), json!({"value": "w", "type": "string"})).await.expect(200);
    assert_eq!(written.data()["ttl"], Value::Null, "it may not ask");
    assert!(place.ask::<i64>("TTL s").await > 90);
    allow(&place, &format!("{login} +pexpire +persist")).await;
    developer.post(&place.key("absent/expire"), json!({"ttl": 50})).await.refused(404, "NOT_FOUND");
    for (ttl, left) in [(50, 50), (-1, -1)] {
        developer.post(&format!("{}/expire", place.key("s")), json!({"ttl": ttl})).await.expect(200);
        assert!((left - 20..=left).contains(&place.ask::<i64>("TTL s").await));
        developer.put(&place.key("s"), json!({"ttl": ttl})).await.expect(200);
    }
    for rules in [
        "+multi +exec +hset +del",
        "+multi +exec +hset +unlink",
        "+multi +exec +hset +pexpire",
        // What is not there need not go.
        "+hset +type",
    ] {
        place.ask::<i64>("DEL h").await;
        allow(&place, &format!("{login} {rules}")).await;
        developer.post(&place.key("h"), json!({"value": hash})).await.expect(201);
        if rules.contains("multi") {
            developer.post(&place.key("h"), json!({"value": {"z": "9"}})).await;
            let written = developer.post(&place.key("h"), json!({"value": hash})).await.expect(200);
            assert_eq!(written.data()["created"], false, "{rules}");
        }
        assert_eq!(
            place.ask::<BTreeMap<String, String>>("HGETALL h").await,
            [("a", "1"), ("b", "2")].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
        );
    }
    allow(&place, &format!("{login} +type +hgetall +hset +hdel +multi +exec")).await;
    place.ask::<i64>("EXPIRE h 100").await;
    developer.put(&place.key("h"), json!({"value": {"a": "1", "c": "3"}})).await.expect(200);
    assert!(place.ask::<i64>("TTL h").await > 90, "there is no need to know it");
    // A refusal says which right is missing, and nothing of how the driver works.
    for (rules, missing) in
        [("+exec +type +hset", "multi"), ("+multi +exec +del +type", "hset"), ("+multi +hset +del", "exec")]
    {
        allow(&place, &format!("{login} {rules}")).await;
        let answer = developer.post(&place.key("h"), json!({"value": {"z": "1"}})).await;
        answer.refused(403, "FORBIDDEN");
        assert!(answer.message().contains(missing) && !answer.message().contains("KEYS"), "{answer}");
        assert_eq!(place.ask::<BTreeMap<String, String>>("HGETALL h").await.len(), 2);
    }
    allow(&place, &format!("{login} +@all -eval")).await;
    let answer = developer.post(&place.key("n"), json!({"value": hash, "nx": true})).await;
    answer.refused(403, "FORBIDDEN");
    assert!(answer.message().contains("EVAL"), "{answer}");
    developer.post(&place.key("h"), json!({"value": hash, "nx": true})).await.refused(409, "CONFLICT");
}

async fn server_without_scripts_lacks_only_conditions_on_non_strings(driver: RedisDriver) {
    let options = RedisOptions::new().rename_command("EVAL", "").rename_command("EXISTS", "");
    let place = Place::start(driver, options, json!({})).await;
    let developer = &place.project.developer;
    for (kind, first, second) in values() {
        let path = place.key(kind);
        developer.post(&path, json!({"value": first, "type": kind, "ttl": 900})).await.expect(201);
        developer.put(&path, json!({"value": second})).await.expect(200);
        assert!(place.ask::<i64>(&format!("TTL {kind}")).await > 800, "{kind}");
        if kind != "string" {
            developer.put(&path, json!({"value": "text"})).await.refused_field("value");
        }
        developer.post(&path, json!({"value": first, "type": kind, "xx": true})).await.expect(200);
        developer
            .put(&place.key("absent"), json!({"value": second, "type": kind}))
            .await
            .refused(404, "NOT_FOUND");
        developer
            .post(&place.key("absent"), json!({"value": first, "type": kind, "xx": true}))
            .await
            .refused(404, "NOT_FOUND");
        let answer =
            developer.post(&place.key("absent"), json!({"value": first, "type": kind, "nx": true})).await;
        if kind == "string" {
            answer.expect(201);
            developer.delete(&place.key("absent")).await.expect(204);
        } else {
            answer.refused(403, "FORBIDDEN");
            assert!(answer.message().contains("EVAL") && !answer.message().contains("KEYS"), "{answer}");
        }
    }
    let operations: Vec<_> = values()
        .iter()
        .map(|(kind, first, _)| json!({"action": "set", "key": "one", "type": kind, "value": first}))
        .collect();
    let done =
        developer.post(&place.key("batch"), json!({"operations": operations})).await.expect(200).data();
    assert_eq!(done["summary"]["succeeded"], 6, "{done}");
    assert_eq!(place.ask::<String>("TYPE one").await, "stream");
    place.ask::<String>("XGROUP CREATE one workers 0").await;
    let other = json!({"value": [{"id": "1-1", "fields": {"f": "other"}}]});
    let details = developer.put(&place.key("one"), other).await.refused(409, "CONFLICT");
    assert_eq!(details["groups"], json!(["workers"]));
    // Another's right to expire is none that a write needs where nothing expires.
    developer.put(&place.key("hash"), json!({"value": {"a": "1"}, "ttl": -1})).await.expect(200);
}

on_both_kinds!(
    rights_of_a_write_are_those_of_its_commands,
    server_without_scripts_lacks_only_conditions_on_non_strings,
);
