//! A cluster of three nodes.

use crate::support::{open, settings};
use serde_json::json;
use std::collections::HashSet;
use studio_plugin_api::{
    Driver,
    testing::{code, field, reason},
};
use studio_test_servers::{Certificates, RedisOptions, start_cluster};

#[tokio::test]
async fn a_cluster_serves_every_operation() {
    let nodes = start_cluster(&RedisOptions::new()).unwrap();
    let redis = open(settings(nodes[0].port, json!({ "cluster": true }))).await.unwrap();
    let sets: Vec<_> =
        (0..90).map(|n| json!({ "action": "set", "key": format!("k{n}"), "value": { "n": n } })).collect();
    let (_, answer) = redis.post("/keys/batch", json!({ "operations": sets })).await.unwrap();
    assert_eq!(answer["summary"], json!({ "total": 90, "succeeded": 90, "failed": 0 }));
    for node in &nodes {
        assert!(node.cli(&["DBSIZE"]).unwrap().parse::<u32>().unwrap() > 10);
    }

    let (mut seen, mut cursor, mut nodes_seen) = (HashSet::new(), "0".to_owned(), HashSet::new());
    loop {
        let page = redis.get(&format!("/keys?count=7&cursor={cursor}")).await.unwrap();
        for key in page["keys"].as_array().unwrap() {
            assert_eq!(key["type"], "hash");
            assert!(key["size"].is_u64());
            seen.insert(key["key"].as_str().unwrap().to_owned());
        }
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        if cursor == "0" {
            break;
        }
        nodes_seen.insert(cursor.split_once('@').unwrap().1.to_owned());
    }
    assert_eq!((seen.len(), nodes_seen.len()), (90, 3));
    assert_eq!(field(&redis.get("/keys?cursor=1@nope").await.unwrap_err()), "cursor");
    assert_eq!(field(&redis.get("/keys?cursor=1").await.unwrap_err()), "cursor");

    for number in 0..30 {
        let path = format!("/keys/s{number}");
        assert_eq!(redis.post(&path, json!({ "value": "v", "ttl": 50 })).await.unwrap().1["created"], true);
        assert_eq!(
            code(&redis.post(&path, json!({ "value": "v", "nx": true })).await.unwrap_err()),
            "CONFLICT"
        );
        assert_eq!(redis.put(&path, json!({ "value": "w" })).await.unwrap()["ttl"], 50);
        assert_eq!(redis.get(&path).await.unwrap()["value"], "w");
        assert_eq!(redis.post(&format!("{path}/expire"), json!({ "ttl": 9 })).await.unwrap().1["ttl"], 9);
        assert_eq!(redis.run(&format!("GET s{number}")).await, "w");
        redis.delete(&path).await.unwrap();
        assert_eq!(redis.get(&format!("/keys/k{number}")).await.unwrap()["fields"]["n"], number.to_string());
    }

    let info = redis.get("/info").await.unwrap();
    assert_eq!((&info["server"]["mode"], &info["keyspace"]["db0"]["keys"]), (&json!("cluster"), &json!(90)));
    assert_eq!(redis.get("/stats").await.unwrap()["keys"], 90);
    assert_eq!(redis.get("/pubsub/channels").await.unwrap(), json!([]));
    redis.post("/pubsub/publish", json!({ "channel": "c", "message": "m" })).await.unwrap();
    assert_eq!(redis.ping().await.unwrap().facts["mode"], "cluster");
    assert!(redis.is_open());
}

#[tokio::test]
async fn a_cluster_speaks_tls_to_every_node() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path()).unwrap();
    let nodes = start_cluster(&RedisOptions::new().certificates(&certificates)).unwrap();
    let settings = |options| settings(nodes[0].port, options);
    for options in [
        json!({ "cluster": true, "tls": true, "tls_ca": certificates.authority }),
        json!({ "cluster": true, "tls": true, "tls_insecure": true }),
    ] {
        let redis = open(settings(options)).await.unwrap();
        for number in 0..20 {
            redis.post(&format!("/keys/k{number}"), json!({ "value": [number] })).await.unwrap();
        }
    }
    let error = match open(settings(json!({ "cluster": true, "tls": true }))).await {
        Ok(_) => panic!("trusted"),
        Err(error) => error,
    };
    assert_eq!(reason(&error), "tls");
}
