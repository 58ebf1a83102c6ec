//! How many commands the server is asked for what is known of its keys.

use crate::support::{Session, session, start};
use serde_json::{Value, json};

#[tokio::test]
async fn keys_are_read_with_the_questions_that_they_need() {
    let server = start(&["--rename-command", "MEMORY", "MEM"]);
    let redis = session(&server).await;
    redis.run("SET short v").await;
    redis.run("SETRANGE long 99999 x").await;
    redis.run("HSET hash f v").await;
    redis.get("/keys/short").await.unwrap();
    // Where the server does not tell a size, a long string's length is asked before it is loaded.
    for (key, questions) in [("short", 4), ("none", 4), ("hash", 4 + 2), ("long", 4 + 2)] {
        let before = questions_about_keys(&redis).await;
        let _ = redis.get(&format!("/keys/{key}")).await;
        assert_eq!(questions_about_keys(&redis).await - before, questions, "{key}");
    }
    let server = start(&[]);
    let redis = session(&server).await;
    redis.run("SETRANGE long 99999 x").await;
    assert_eq!(redis.get("/keys/long").await.unwrap()["value"].as_str().unwrap().len(), 100_000);
    assert_eq!(questions_about_keys(&redis).await, 5 + 1);
}

/// Counted by their names: once in a while a session asks for the server's role as well.
pub(crate) async fn questions_about_keys(redis: &Session) -> u64 {
    const NAMES: [&str; 10] =
        ["scan", "type", "pttl", "object", "getrange", "memory", "strlen", "get", "hlen", "hscan"];
    let stats = redis.run("INFO commandstats").await;
    let lines = stats
        .as_str()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines
        .filter(|(name, _)| NAMES.contains(&name.split('|').next().unwrap()))
        .map(|(_, counts)| counts.split(',').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test]
async fn servers_without_memory_usage_still_list_and_read() {
    let server = start(&["--rename-command", "MEMORY", "", "--rename-command", "OBJECT", ""]);
    let redis = session(&server).await;
    redis.run("SET k v").await;
    for _ in 0..2 {
        let page = redis.get("/keys").await.unwrap();
        assert_eq!((&page["keys"][0]["type"], &page["keys"][0]["size"]), (&json!("string"), &Value::Null));
        let read = redis.get("/keys/k").await.unwrap();
        assert_eq!(
            (&read["value"], &read["size"], &read["encoding"]),
            (&json!("v"), &Value::Null, &Value::Null)
        );
    }
    // Asked once, and then not again.
    let before = questions_about_keys(&redis).await;
    redis.get("/keys").await.unwrap();
    assert_eq!(questions_about_keys(&redis).await - before, 1 + 2);
}
