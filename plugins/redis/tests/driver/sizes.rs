//! Large keys, against a real server: written and read whole, or refused.

use crate::support::{session, start};
use serde_json::json;
use studio_plugin_api::testing::{TestRequest, code};

#[tokio::test]
async fn large_collections_are_written_whole() {
    let server = start(&[]);
    let redis = session(&server).await;
    let items: Vec<_> = (0..20_001).map(|n| n.to_string()).collect();
    redis.post("/keys/l", json!({ "value": items })).await.unwrap();
    assert_eq!(redis.run("LLEN l").await, 20_001);
    assert_eq!(redis.run("LINDEX l 20000").await, "20000");
    let fields: serde_json::Map<_, _> = items.iter().map(|n| (n.clone(), json!(n))).collect();
    redis.post("/keys/h", json!({ "value": fields })).await.unwrap();
    assert_eq!(redis.run("HLEN h").await, 20_001);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_not_cut() {
    let server = start(&[]);
    let redis = session(&server).await;
    redis.run("SETRANGE big 100000000 x").await;
    let ask = |path: &str, limit| redis.send(TestRequest::get(path).max_reply_bytes(limit));
    assert_eq!(code(&ask("/keys/big", 1 << 20).await.unwrap_err()), "RESULT_TOO_LARGE");
    redis.run(&format!("SET middle {}", "x".repeat(200_000))).await;
    assert_eq!(code(&ask("/keys/middle", 199_999).await.unwrap_err()), "RESULT_TOO_LARGE");
    // With the names around it.
    let (_, read) = ask("/keys/middle", 200_200).await.unwrap();
    assert_eq!(read["value"].as_str().unwrap().len(), 200_000);
    // Zeros are six bytes each in JSON.
    redis.run("SETRANGE zeros 199999 x").await;
    assert_eq!(code(&ask("/keys/zeros", 1_000_000).await.unwrap_err()), "RESULT_TOO_LARGE");
    assert_eq!(ask("/keys/zeros", 1_200_200).await.unwrap().1["value"].as_str().unwrap().len(), 200_000);
    redis.run("SETRANGE small 65535 x").await;
    assert_eq!(ask("/keys/small", 1 << 20).await.unwrap().1["value"].as_str().unwrap().len(), 65536);
    assert_eq!(code(&ask("/keys/small", 100).await.unwrap_err()), "RESULT_TOO_LARGE");
    for number in 0..10 {
        redis.post("/keys/l", json!({ "value": vec!["x".repeat(100_000); 10] })).await.unwrap();
        redis.run(&format!("HSET h {number} {}", "x".repeat(100_000))).await;
    }
    assert_eq!(code(&ask("/keys/l", 500_000).await.unwrap_err()), "RESULT_TOO_LARGE");
    let few = TestRequest::get("/keys/l").query("count", "2").max_reply_bytes(500_000);
    let page = redis.send(few).await.unwrap().1;
    assert_eq!((page["values"].as_array().unwrap().len(), &page["cursor"]), (2, &json!("2")));
    assert_eq!(code(&ask("/keys/h", 500_000).await.unwrap_err()), "RESULT_TOO_LARGE");
}
