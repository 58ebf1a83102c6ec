//! What a server tells of itself, and dropping everything, against a real server.

use crate::support::{session, start};
use serde_json::{Value, json};
use std::time::Duration;
use studio_plugin_api::{
    Access, Driver,
    testing::{TestRequest, code, field},
};
use studio_test_servers::wait_until;

fn names(object: &Value) -> Vec<&String> {
    let mut names: Vec<&String> = object.as_object().unwrap().keys().collect();
    names.sort();
    names
}

#[tokio::test]
async fn info_is_grouped_and_a_section_comes_alone() {
    let server = start(&["-m", "32", "-I", "2m", "-M"]);
    let memcached = session(&server).await;
    memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
    memcached.get("/keys/k").await.unwrap();
    memcached.get("/keys/absent").await.unwrap_err();
    let info = memcached.get("/info").await.unwrap();
    assert_eq!(names(&info), ["clients", "items", "memory", "server", "stats"]);
    assert!(info["server"]["version"].as_str().unwrap().starts_with("1."));
    assert!(info["memory"]["used_memory"].as_u64().unwrap() > 50);
    assert_eq!(info["memory"]["max_memory"], 32 << 20);
    assert_eq!(
        (&info["memory"]["max_item_size"], &info["memory"]["evicts"]),
        (&json!(2 << 20), &json!(false))
    );
    assert_eq!((&info["items"]["current"], &info["stats"]["hit_rate"]), (&json!(1), &json!(0.5)));
    assert!(info["clients"]["connected_clients"].as_u64().unwrap() >= 1);
    assert_eq!(names(&memcached.get("/info?section=memory").await.unwrap()), ["memory"]);
    assert_eq!(field(&memcached.get("/info?section=x").await.unwrap_err()), "section");
}

#[tokio::test]
async fn every_section_of_stats_is_typed() {
    let server = start(&["-o", "track_sizes"]);
    let memcached = session(&server).await;
    memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
    let section = async |name: &str| memcached.get(&format!("/stats?section={name}")).await.unwrap();
    let general = memcached.get("/stats").await.unwrap();
    assert_eq!(general, {
        // Only what moves by itself may differ.
        let mut again = section("general").await;
        for name in names(&general) {
            if general[name].is_number() && again[name].is_number() {
                again[name] = general[name].clone();
            }
        }
        again
    });
    assert!(general["pid"].is_u64() && general["rusage_user"].is_number() && general["version"].is_string());
    assert_eq!(section("settings").await["item_size_max"], 1 << 20);
    let items = section("items").await;
    let class = names(&items)[0].clone();
    assert_eq!(items[&class]["number"], 1);
    let slabs = section("slabs").await;
    assert!(slabs[&class]["chunk_size"].is_u64() && slabs["active_slabs"].is_u64(), "{slabs}");
    assert_eq!(section("sizes").await.as_object().unwrap().values().collect::<Vec<_>>(), [&json!(1)]);
    let connections = section("conns").await;
    assert!(connections.as_object().unwrap().values().any(|one| one["state"].is_string()), "{connections}");
    let merged = memcached.get("/slabs").await.unwrap();
    let found = merged["slabs"].as_array().unwrap().iter().find(|slab| slab["items"] == 1).unwrap();
    assert_eq!(
        (found["class"].to_string(), &found["chunk_size"]),
        (class.clone(), &slabs[&class]["chunk_size"])
    );
    assert_eq!(found["used_chunks"], 1);
    assert_eq!(field(&memcached.get("/stats?section=detail").await.unwrap_err()), "section");
}

#[tokio::test]
async fn flush_drops_everything_now_or_later() {
    let server = start(&[]);
    let memcached = session(&server).await;
    memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
    assert_eq!(memcached.post("/flush", json!({})).await.unwrap().1, json!({ "delay": 0 }));
    assert_eq!(code(&memcached.get("/keys/k").await.unwrap_err()), "NOT_FOUND");
    memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
    let later = memcached.post("/flush", json!({ "delay": 2 })).await.unwrap().1;
    assert_eq!(later, json!({ "delay": 2 }));
    assert_eq!(memcached.get("/keys/k").await.unwrap()["value"], "v");
    wait_until(Duration::from_secs(20), "everything is dropped", || Ok(server.ask("get k")? == "END"))
        .unwrap();
    let request = TestRequest::post("/flush", json!(null)).granted(Access::Write);
    assert_eq!(code(&memcached.send(request).await.unwrap_err()), "FORBIDDEN");

    let server = start(&["-F"]);
    let memcached = session(&server).await;
    memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
    assert_eq!(code(&memcached.post("/flush", json!({})).await.unwrap_err()), "FORBIDDEN");
    assert!(memcached.is_open());
    assert_eq!(memcached.get("/keys/k").await.unwrap()["value"], "v");
}

#[tokio::test]
async fn full_server_without_eviction_refuses_and_session_goes_on() {
    let server = start(&["-m", "8", "-M"]);
    let memcached = session(&server).await;
    let mut refused = None;
    for number in 0..400 {
        let written =
            memcached.post(&format!("/keys/k{number}"), json!({ "value": "v".repeat(50_000) })).await;
        if let Err(error) = written {
            refused = Some(error);
            break;
        }
    }
    let error = refused.unwrap();
    assert_eq!((code(&error), &error.details["code"]), ("QUERY_ERROR", &json!("SERVER_ERROR")));
    assert!(error.message.contains("out of memory"), "{error}");
    assert!(memcached.is_open());
    assert_eq!(memcached.get("/keys/k0").await.unwrap()["size"], 50_000);
}
