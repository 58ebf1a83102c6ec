//! What happens to servers of Redis in the field: slots move, primaries become replicas, nodes and Sentinels go away.

use crate::redis_hostile::connect;
use serde_json::{Value, json};
use std::{collections::HashSet, process::Command};
use studio_gateway_tests::{
    Gateway, GatewayOptions, HostileServer, Project, RedisDriver, RedisOptions, RedisServer, Says,
    eventually,
    process::{free_port, listen},
};

async fn start(driver: RedisDriver) -> (Gateway, Project) {
    let gateway = Gateway::start(GatewayOptions::from(driver)).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

async fn text(node: &RedisServer, words: &[&str]) -> String {
    redis::from_redis_value(node.run(words).await).unwrap()
}

/// The key of each page in turn, to the end of the listing.
async fn list(project: &Project) -> Vec<String> {
    let (mut keys, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let path = project.path("redis", &format!("/keys?count=200&cursor={cursor}"));
        let page = project.viewer.get(&path).await.expect(200).data();
        keys.extend(
            page["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap().to_owned()),
        );
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        if cursor == "0" {
            return keys;
        }
    }
}

async fn run(project: &Project, body: Value) -> studio_gateway_tests::Answer {
    project.owner.post(&project.path("redis", "/command"), body).await
}

#[tokio::test]
async fn redis_cluster_listing_survives_a_reshard_but_not_a_dead_node() {
    let (_gateway, alpha) = start(RedisDriver::Library).await;
    let mut nodes = RedisServer::cluster().await;
    connect(&alpha, nodes[0].port, json!({"cluster": true})).await;
    let sets: Vec<_> =
        (0..100).map(|n| json!({"action": "set", "key": format!("k{n}"), "value": "v"})).collect();
    let batch = alpha.path("redis", "/keys/batch");
    alpha.developer.post(&batch, json!({"operations": sets})).await.expect(200);
    let mut ids = Vec::new();
    for node in &nodes {
        ids.push(text(node, &["CLUSTER", "MYID"]).await);
    }
    // The first slots go to the last node, and the last ones to the first: no node's slots hang together any more.
    for (from, to) in [(0, 2), (2, 0)] {
        let moved = Command::new("redis-cli")
            .args(["--cluster", "reshard", &format!("127.0.0.1:{}", nodes[0].port), "--cluster-slots", "200"])
            .args(["--cluster-from", &ids[from], "--cluster-to", &ids[to], "--cluster-yes"])
            .output()
            .unwrap();
        assert!(moved.status.success(), "{moved:?}");
    }
    let keys = list(&alpha).await;
    assert_eq!((keys.len(), keys.iter().collect::<HashSet<_>>().len()), (100, 100));
    let info = alpha.viewer.get(&alpha.path("redis", "/info")).await.expect(200).data();
    assert_eq!(info["keyspace"]["db0"]["keys"], 100);

    // Commands about one node say so; those that all can answer are asked of all.
    run(&alpha, json!({"command": ["SCAN", "0"]})).await.refused_field("node");
    run(&alpha, json!({"command": ["EVAL", "return 1", "0"]})).await.refused_field("node");
    run(&alpha, json!({"command": ["SCAN", "0"], "node": "127.0.0.1:1"})).await.refused_field("node");
    let own: usize = redis::from_redis_value(nodes[1].run(&["DBSIZE"]).await).unwrap();
    let scan = json!({"command": ["SCAN", "0", "COUNT", "1000"], "node": ids[1]});
    let scanned = run(&alpha, scan).await.expect(200).data();
    assert_eq!(scanned["result"][1].as_array().unwrap().len(), own);
    assert_eq!(run(&alpha, json!({"command": ["DBSIZE"]})).await.expect(200).data()["result"], 100);
    let mget = json!({"command": ["MGET", "k1", "none", "k2"]});
    assert_eq!(run(&alpha, mget).await.expect(200).data()["result"], json!(["v", null, "v"]));
    let eval = json!({"command": ["EVAL", "return redis.call('GET', KEYS[1])", "1", "k5"]});
    assert_eq!(run(&alpha, eval).await.expect(200).data()["result"], "v");

    nodes[1].kill().await;
    let begins = alpha.path("redis", &format!("/keys?cursor=0@{}", ids[1]));
    eventually("its page is an error", async || {
        let answer = alpha.viewer.get(&begins).await;
        answer.status == 503 && answer.message().contains(&nodes[1].port.to_string())
    })
    .await;
    assert_eq!(alpha.viewer.get(&alpha.path("redis", "/info?section=stats")).await.status, 503);
}

/// Begins to move a key's slot to another node, with this key only.
async fn begin_to_move(nodes: &[RedisServer], key: &str) {
    let slot = redis::from_redis_value::<u16>(nodes[0].run(&["CLUSTER", "KEYSLOT", key]).await).unwrap();
    let slot = slot.to_string();
    let mut owner = 0;
    for (place, node) in nodes.iter().enumerate() {
        let count: u64 =
            redis::from_redis_value(node.run(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).await).unwrap();
        owner = if count > 0 { place } else { owner };
    }
    let (from, to) = (&nodes[owner], &nodes[(owner + 1) % 3]);
    let (from_id, to_id) = (text(from, &["CLUSTER", "MYID"]).await, text(to, &["CLUSTER", "MYID"]).await);
    to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
    from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    from.run(&["MIGRATE", "127.0.0.1", &to.port.to_string(), key, "0", "5000"]).await;
}

#[tokio::test]
async fn redis_cluster_commands_follow_a_slot_that_moves_one_by_one() {
    let (_gateway, alpha) = start(RedisDriver::Library).await;
    let nodes = RedisServer::cluster().await;
    connect(&alpha, nodes[0].port, json!({"cluster": true})).await;
    let key = |key: &str| alpha.path("redis", &format!("/keys/{key}"));
    for name in ["{m}1", "{m}2", "{m}3", "other"] {
        alpha.developer.post(&key(name), json!({"value": name})).await.expect(201);
    }
    begin_to_move(&nodes, "{m}1").await;

    for name in ["{m}1", "{m}2"] {
        assert_eq!(alpha.viewer.get(&key(name)).await.expect(200).data()["value"], name);
    }
    let mut listed = list(&alpha).await;
    listed.sort();
    assert_eq!(listed, ["other", "{m}1", "{m}2", "{m}3"]);
    let operations = json!([
        {"action": "set", "key": "{m}1", "value": "new"},
        {"action": "expire", "key": "{m}1", "ttl": 100},
        {"action": "set", "key": "{m}4", "value": "new", "nx": true},
        {"action": "delete", "key": "{m}3"},
    ]);
    let batch = alpha.path("redis", "/keys/batch");
    let done = alpha.developer.post(&batch, json!({"operations": operations})).await.expect(200).data();
    assert_eq!(done["summary"]["succeeded"], 4, "{done}");
    let set = alpha.developer.put(&key("%7Bm%7D1"), json!({"value": "newer"})).await.expect(200);
    assert_eq!(set.data()["type"], "string");
    assert_eq!(alpha.viewer.get(&key("{m}1")).await.expect(200).data()["value"], "newer");
    // A new string goes where the slot goes, by its transaction too.
    assert_eq!(
        alpha.developer.post(&key("{m}5"), json!({"value": "v"})).await.expect(201).data()["created"],
        true
    );
    assert_eq!(alpha.viewer.get(&key("{m}5")).await.expect(200).data()["value"], "v");
    let get = json!({"command": ["GET", "{m}1"]});
    assert_eq!(run(&alpha, get).await.expect(200).data()["result"], "newer");

    for node in &nodes {
        node.run(&["CLUSTER", "DELSLOTS", "0"]).await;
    }
    let path = key("other");
    eventually("the cluster is down", async || {
        let answer = alpha.viewer.get(&path).await;
        answer.status == 503
            && answer.message().contains("CLUSTERDOWN") == answer.header("retry-after").is_none()
            && answer.header("retry-after").is_some()
    })
    .await;
}

#[tokio::test]
async fn redis_cluster_waits_for_moving_keys_end_before_the_deadline() {
    // All waits take a second and a half, all but the last one three quarters of a second.
    let options = GatewayOptions::from(RedisDriver::Library).set("GATEWAY_REQUEST_TIMEOUT", "1400ms");
    let gateway = Gateway::start(options).await;
    let alpha = Project::create_empty(&gateway, "alpha").await;
    let nodes = RedisServer::cluster().await;
    connect(&alpha, nodes[0].port, json!({"cluster": true})).await;
    for name in ["{m}1", "{m}2"] {
        let path = alpha.path("redis", &format!("/keys/{name}"));
        alpha.developer.post(&path, json!({"value": name})).await.expect(201);
    }
    begin_to_move(&nodes, "{m}1").await;
    let answer = run(&alpha, json!({"command": ["MGET", "{m}1", "{m}2"]})).await;
    let details = answer.refused(503, "CONNECTION_ERROR");
    assert_eq!(
        (&details["reason"], &details["code"]),
        (&json!("unavailable"), &json!("TRYAGAIN")),
        "{answer}"
    );
    assert!(answer.header("retry-after").is_some(), "{answer}");
}

#[tokio::test]
async fn redis_cluster_is_found_by_any_node_that_a_connection_names() {
    let (_gateway, alpha) = start(RedisDriver::Library).await;
    let nodes = RedisServer::cluster().await;
    let further =
        json!([{"host": "127.0.0.1", "port": free_port()}, {"host": "127.0.0.1", "port": nodes[2].port}]);
    connect(&alpha, free_port(), json!({"cluster": true, "cluster_nodes": further})).await;
    alpha.developer.post(&alpha.path("redis", "/keys/k"), json!({"value": "v"})).await.expect(201);
}

async fn redis_session_with_a_primary_turned_replica_is_given_up(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    let redis = RedisServer::plain().await;
    connect(&alpha, redis.port, json!({})).await;
    let key = alpha.path("redis", "/keys/k");
    let batch = alpha.path("redis", "/keys/batch");
    let set = json!({"value": "v"});
    alpha.developer.post(&key, set.clone()).await.expect(201);
    let sessions = async || redis::from_redis_value::<String>(redis.run(&["CLIENT", "LIST"]).await).unwrap();
    let id =
        |list: &str| list.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    let dead = free_port().to_string();
    let list = json!({"value": ["a"]});
    let operations = json!({"operations": [{"action": "set", "key": "k", "value": "w"}]});
    for way in ["transaction", "script", "batch", "command"] {
        let before = id(&sessions().await);
        redis.run(&["REPLICAOF", "127.0.0.1", &dead]).await;
        match way {
            "transaction" => {
                drop(alpha.developer.post(&key, set.clone()).await.refused(503, "CONNECTION_ERROR"))
            }
            "script" => drop(alpha.developer.post(&key, list.clone()).await.refused(503, "CONNECTION_ERROR")),
            "command" => {
                let answer = run(&alpha, json!({"command": ["SET", "k", "v"]})).await;
                answer.refused(503, "CONNECTION_ERROR");
                assert!(answer.header("retry-after").is_some());
            }
            _ => {
                let answer = alpha.developer.post(&batch, operations.clone()).await.expect(200).data();
                assert_eq!(answer["results"][0]["error"]["code"], "CONNECTION_ERROR", "{answer}");
            }
        }
        redis.run(&["REPLICAOF", "NO", "ONE"]).await;
        alpha.developer.post(&key, set.clone()).await.expect(200);
        let after = id(&sessions().await);
        assert!(before[..1] != after[..1], "{way}: {before:?} {after:?}");
    }
    // Reads too: they would be answered from data that nobody writes to.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    alpha.viewer.get(&key).await.expect(200);
    redis.run(&["REPLICAOF", "127.0.0.1", &dead]).await;
    eventually("a read is refused", async || alpha.viewer.get(&key).await.status == 503).await;
}

async fn redis_busy_with_a_script_asks_callers_to_come_back_later(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    let redis = RedisServer::start(RedisOptions::new().line("lua-time-limit 50")).await;
    connect(&alpha, redis.port, json!({})).await;
    let key = alpha.path("redis", "/keys/k");
    alpha.viewer.get(&key).await.expect(404);
    let mut other = redis.connection().await;
    let busy = tokio::spawn(async move {
        let mut eval = redis::cmd("EVAL");
        eval.arg("while true do end").arg(0);
        eval.query_async::<redis::Value>(&mut other).await.is_err()
    });
    eventually("it is busy", async || {
        let answer = alpha.viewer.get(&key).await;
        answer.status == 503 && answer.header("retry-after").is_some()
    })
    .await;
    eventually("it can be ended", async || {
        run(&alpha, json!({"command": ["SCRIPT", "KILL"]})).await.status == 200
    })
    .await;
    assert!(busy.await.unwrap());
    eventually("it works again", async || alpha.viewer.get(&key).await.status == 404).await;
}

#[tokio::test]
async fn redis_masters_are_found_though_most_sentinels_hang() {
    let (_gateway, alpha) = start(RedisDriver::Library).await;
    let redis = RedisServer::plain().await;
    // They take connections and say nothing.
    let silent = [listen(), listen()];
    let (port, wrong) = (redis.port.to_string(), free_port().to_string());
    let sentinel = move |port: String| {
        move |asked: &str| {
            let named = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len());
            Says::once(if asked.contains("SENTINEL") { named } else { "+PONG\r\n".to_owned() })
        }
    };
    // One knows an older master.
    let sentinels = [HostileServer::start(sentinel(wrong)), HostileServer::start(sentinel(port))];
    let mut addresses: Vec<_> = silent.iter().map(|silent| silent.local_addr().unwrap().port()).collect();
    addresses.extend(sentinels.iter().map(|sentinel| sentinel.port));
    let addresses: Vec<_> = addresses.iter().map(|port| json!({"host": "127.0.0.1", "port": port})).collect();
    connect(&alpha, 1, json!({"sentinel": {"master": "m", "sentinels": addresses}})).await;
    alpha.developer.post(&alpha.path("redis", "/keys/k"), json!({"value": "v"})).await.expect(201);
}

on_both_kinds!(
    redis_session_with_a_primary_turned_replica_is_given_up,
    redis_busy_with_a_script_asks_callers_to_come_back_later,
);
