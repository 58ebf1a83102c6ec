//! What is Valkey's own, among what it shares with Redis.

use crate::redis_replacing::Place;
use serde_json::json;
use studio_gateway_tests::{RedisDriver, RedisOptions};

async fn fields_of_a_hash_keep_their_expiry(driver: RedisDriver) {
    let Some(options) = RedisOptions::valkey() else { return };
    let place = Place::start(driver, options, json!({})).await;
    let (developer, path) = (&place.project.developer, place.key("h"));
    place.server.run(&["ACL", "SETUSER", "default", "+@all"]).await;
    let times = async || place.ask::<Vec<i64>>("HPEXPIRETIME h FIELDS 4 a b c d").await;
    for without in ["", "-eval", "-hscan"] {
        place.ask::<i64>("DEL h").await;
        place.ask::<i64>("HSET h a 1 b 2 c 3").await;
        place.ask::<Vec<i64>>("HPEXPIREAT h 1999999999123 FIELDS 1 a").await;
        place.ask::<Vec<i64>>("HPEXPIREAT h 1999999999456 FIELDS 1 b").await;
        if !without.is_empty() {
            place.server.run(&["ACL", "SETUSER", "default", "+@all", without]).await;
        }
        let shown = developer.get(&path).await;
        if without != "-hscan" {
            let shown = shown.expect(200).data()["fields"].clone();
            developer.put(&path, json!({"value": shown})).await.expect(200);
            assert_eq!(times().await, [1_999_999_999_123, 1_999_999_999_456, -1, -2], "{without}");
        }
        developer.put(&path, json!({"value": {"a": "1", "c": "4", "d": "5"}})).await.expect(200);
        assert_eq!(times().await, [1_999_999_999_123, -2, -1, -1], "{without}");
        // A changed value lives as long as the one before.
        developer.put(&path, json!({"value": {"a": "9", "d": "5"}, "ttl": 1000})).await.expect(200);
        assert_eq!(times().await, [1_999_999_999_123, -2, -2, -1], "{without}");
        assert_eq!(place.ask::<String>("HGET h a").await, "9");
        // POST makes the key what it says.
        developer.post(&path, json!({"value": {"a": "9"}})).await.expect(200);
        assert_eq!(times().await, [-1, -2, -2, -2], "{without}");
        place.server.run(&["ACL", "SETUSER", "default", "+@all"]).await;
    }
}

async fn valkey_is_known_by_its_own_name(driver: RedisDriver) {
    let Some(options) = RedisOptions::valkey() else { return };
    let place = Place::start(driver, options, json!({})).await;
    let info: String = place.ask("INFO server").await;
    let version = info.lines().find_map(|line| line.strip_prefix("valkey_version:")).unwrap();
    let path = place.project.path("redis", "/info");
    let server = place.project.viewer.get(&path).await.expect(200).data()["server"].clone();
    assert_eq!((&server["version"], &server["mode"]), (&json!(version), &json!("standalone")));
    let connections = place.project.connections("redis");
    let id = place.project.owner.get(&connections).await.expect(200).items()[0]["id"].clone();
    let path = format!("{connections}/{}/test", id.as_str().unwrap());
    let tested = place.project.owner.post(&path, json!({})).await.expect(200).data();
    let tested = tested.to_string();
    assert!(tested.contains(&format!("\"{version}\"")) && tested.contains("\"standalone\""), "{tested}");
}

on_both_kinds!(fields_of_a_hash_keep_their_expiry, valkey_is_known_by_its_own_name,);
