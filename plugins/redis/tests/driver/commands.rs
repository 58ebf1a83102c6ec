//! Raw commands, publishing and server facts, against a real server.

use crate::support::{open, session, start};
use serde_json::json;
use studio_plugin_api::{
    Access, Driver,
    testing::{TestRequest, code},
};

#[tokio::test]
async fn replies_come_as_json() {
    let server = start(&[]);
    let redis = session(&server).await;
    let run = |words| redis.command(Access::Admin, words);
    assert_eq!(run(json!(["SET", "k", { "base64": "/w==" }])).await.unwrap(), "OK");
    assert_eq!(run(json!(["GET", "k"])).await.unwrap(), json!({ "base64": "/w==" }));
    assert_eq!(run(json!(["GET", "none"])).await.unwrap(), json!(null));
    assert_eq!(run(json!(["INCRBY", "n", 5])).await.unwrap(), 5);
    assert_eq!(
        run(json!(["EVAL", "return {1, {'a'}, redis.status_reply('s')}", 0])).await.unwrap(),
        json!([1, ["a"], "s"])
    );
    let error = run(json!(["LPUSH", "k", "x"])).await.unwrap_err();
    assert_eq!((code(&error), &error.details["code"]), ("QUERY_ERROR", &json!("WRONGTYPE")));
    let error = run(json!(["NOSUCH", "x"])).await.unwrap_err();
    assert_eq!((code(&error), &error.details["code"]), ("QUERY_ERROR", &json!("ERR")));
    assert_eq!(run(json!([])).await.unwrap_err().details["field"], "command");
    assert_eq!(run(json!(["GET", null])).await.unwrap_err().details["field"], "command[1]");

    let resp3 = json!({ "endpoint": { "connection_string": format!("redis://localhost:{}?protocol=resp3", server.port) }, "options": {} });
    let redis = open(resp3).await.unwrap();
    redis.run("HSET h a 1").await;
    redis.run("ZADD z 1.5 m").await;
    assert_eq!(redis.run("HGETALL h").await, json!({ "a": "1" }));
    assert_eq!(redis.run("ZSCORE z m").await, 1.5);
    assert_eq!(redis.get("/keys/h").await.unwrap()["fields"], json!({ "a": "1" }));
    assert_eq!(redis.get("/keys/z").await.unwrap()["members"], json!([{ "member": "m", "score": 1.5 }]));
    assert_eq!(redis.post("/keys/l", json!({ "value": ["x"] })).await.unwrap().1["created"], true);
    assert_eq!(redis.get("/info").await.unwrap()["server"]["mode"], "standalone");
    assert_eq!(redis.get("/pubsub/channels").await.unwrap(), json!([]));
    assert_eq!(
        redis.command(Access::Read, json!(["SET", "k", "v"])).await.unwrap_err().code.as_str(),
        "FORBIDDEN"
    );
}

#[tokio::test]
async fn roles_bound_what_runs() {
    let server = start(&[]);
    let redis = session(&server).await;
    redis.run("SET k v").await;
    for (granted, words, allowed) in [
        (Access::Read, json!(["get", "k"]), true),
        (Access::Read, json!(["SET", "k", "v"]), false),
        (Access::Read, json!(["EVAL_RO", "return redis.call('GET', KEYS[1])", 1, "k"]), false),
        (
            Access::Write,
            json!(["EVAL_RO", "redis.call('SELECT', 1) return redis.call('GET', 'k')", 0]),
            false,
        ),
        (Access::Write, json!(["EVAL", "return 1", 0]), false),
        (Access::Admin, json!(["EVAL", "return 1", 0]), true),
        (Access::Write, json!(["NOSUCH"]), false),
        (Access::Read, json!(["NOSUCH"]), false),
        (Access::Write, json!(["SET", "k", "v"]), true),
        (Access::Write, json!(["FLUSHALL"]), false),
        (Access::Write, json!(["CONFIG", "GET", "maxmemory"]), false),
        (Access::Admin, json!(["CONFIG", "GET", "maxmemory"]), true),
        (Access::Admin, json!(["SELECT", 1]), false),
        (Access::Admin, json!(["BLPOP", "l", 0]), false),
        (Access::Admin, json!(["SHUTDOWN"]), false),
        (Access::Admin, json!(["SUBSCRIBE", "c"]), false),
    ] {
        let answer = redis.command(granted, words.clone()).await;
        match answer {
            Ok(_) => assert!(allowed, "{words}"),
            Err(error) => {
                assert!(!allowed, "{words}: {error}");
                assert_eq!(code(&error), "FORBIDDEN");
                assert!(error.message.contains(&words[0].as_str().unwrap().to_uppercase()), "{error}");
            }
        }
    }
    redis.run("CONFIG SET masterauth geheim").await;
    let shown = redis.command(Access::Admin, json!(["CONFIG", "GET", "m*auth"])).await.unwrap();
    assert!(!shown.to_string().contains("geheim"), "{shown}");
    assert_eq!(redis.run("GET k").await, "v");
}

#[tokio::test]
async fn published_messages_are_counted_and_channels_listed() {
    let server = start(&[]);
    let redis = session(&server).await;
    assert_eq!(redis.get("/pubsub/channels").await.unwrap(), json!([]));
    let mut listener =
        server.cli_command().args(["SUBSCRIBE", "news"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    crate::support::wait_until(|| server.cli(&["PUBSUB", "CHANNELS"]).unwrap() == "news");
    let channels = redis.get("/pubsub/channels?pattern=n*").await.unwrap();
    assert_eq!(channels, json!([{ "channel": "news", "subscribers": 1, "pattern": false }]));
    for message in [json!("text"), json!({ "a": [1, null] })] {
        let (_, sent) =
            redis.post("/pubsub/publish", json!({ "channel": "news", "message": message })).await.unwrap();
        assert_eq!(sent, json!({ "subscribers_reached": 1 }));
    }
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[tokio::test]
async fn info_and_stats_describe_the_server() {
    let server = start(&[]);
    let redis = session(&server).await;
    redis.run("SET k v EX 100").await;
    redis.run("GET k").await;
    let info = redis.get("/info").await.unwrap();
    assert!(info["server"]["version"].as_str().unwrap().starts_with(char::is_numeric));
    assert_eq!(
        (&info["server"]["mode"], &info["replication"]["role"]),
        (&json!("standalone"), &json!("master"))
    );
    assert_eq!(
        (&info["keyspace"]["db0"]["keys"], &info["keyspace"]["db0"]["expires"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(info["memory"]["eviction_policy"], "noeviction");
    assert_eq!(info["stats"]["hit_rate"], 1.0);
    assert_eq!(redis.get("/info?section=clients").await.unwrap().as_object().unwrap().len(), 1);
    assert_eq!(redis.get("/info?section=nope").await.unwrap_err().details["field"], "section");
    let stats = redis.get("/stats?interval=5").await.unwrap();
    assert_eq!(stats["keys"], 1);
    assert!(
        stats["timestamp"].as_u64().unwrap() > 1_600_000_000_000
            && stats["used_memory"].as_u64().unwrap() > 0
    );
    assert_eq!(redis.get("/stats?interval=61").await.unwrap_err().details["field"], "interval");
    let facts = redis.ping().await.unwrap();
    assert_eq!(
        (facts.version.as_str(), &facts.facts["role"]),
        (info["server"]["version"].as_str().unwrap(), &json!("master"))
    );
}

#[tokio::test]
async fn the_manifest_describes_every_operation() {
    let manifest = studio_plugin_api::manifest::derive::<studio_driver_redis::Redis>();
    assert_eq!(manifest.operations.len(), 12);
    for operation in &manifest.operations {
        assert!(!operation.summary.is_empty(), "{}", operation.path);
        assert!(operation.reply.is_some() || operation.method.as_str() == "DELETE", "{}", operation.path);
    }
    let viewer = TestRequest::delete("/keys/k").granted(Access::Read);
    let server = start(&[]);
    assert_eq!(code(&session(&server).await.send(viewer).await.unwrap_err()), "FORBIDDEN");
}
