//! What a MongoDB connection reaches: what the gateway's rules allow, by few connections, for as long as it is there.

use super::mongodb_connections::{options, parts, start};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{Answer, MongoOptions, MongoServer, Project, eventually};
use tokio::task::JoinSet;

async fn find(project: &Project, connection: &str) -> Answer {
    let path = format!("/databases/shop/collections/c/documents?count=none&connection={connection}");
    project.viewer.get(&project.path("mongodb", &path)).await
}

fn string(identifier: &str, text: String) -> Value {
    json!({"identifier": identifier, "connection_string": text})
}

#[tokio::test]
async fn mongodb_at_a_forbidden_address_is_unreachable_in_any_form() {
    let (_gateway, alpha) = start(options().set("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "false")).await;
    let server = MongoServer::plain().await;
    let port = server.port;
    let literal = parts("literal", port, json!({}));
    alpha.owner.post(&alpha.connections("mongodb"), literal).await.refused(403, "FORBIDDEN");
    alpha.connect("mongodb", string("literal", format!("mongodb://127.0.0.1:{port}"))).await;
    find(&alpha, "literal").await.refused(403, "FORBIDDEN");
    // Names and spellings that only resolution shows to be addresses.
    for (number, host) in ["127.1", "0x7f000001", "2130706433"].into_iter().enumerate() {
        for (way, body) in [
            ("parts", json!({"host": host, "port": port})),
            ("string", json!({"connection_string": format!("mongodb://{host}:{port}")})),
            (
                "several",
                json!({"connection_string": format!("mongodb://{host}:{port},localhost:{port}/?replicaSet=secantus")}),
            ),
        ] {
            let (identifier, mut body) = (format!("{way}-{number}"), body);
            body["identifier"] = json!(identifier);
            alpha.connect("mongodb", body).await;
            find(&alpha, &identifier).await.refused(403, "FORBIDDEN");
        }
    }
    assert!(connections(&server).await.is_empty(), "the driver connected");
}

#[tokio::test]
async fn mongodb_that_names_a_forbidden_member_does_not_lead_there() {
    let (_gateway, alpha) = start(options()).await;
    // It tells its own address as 0.0.0.0, which no rule ever allows, and which leads to it on this machine.
    let server = MongoServer::start(MongoOptions::new().everywhere()).await;
    let member = format!("0.0.0.0:{}", server.port);
    assert_eq!(server.run("admin", doc! {"hello": 1}).await.get_str("me").unwrap(), member);
    let text = format!("mongodb://127.0.0.1:{}/?replicaSet=secantus", server.port);
    alpha.connect("mongodb", string("set", text)).await;
    let begin = Instant::now();
    find(&alpha, "set").await.refused(403, "FORBIDDEN");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    alpha.connect("mongodb", parts("direct", server.port, json!({}))).await;
    find(&alpha, "direct").await.expect(200);
}

/// The connections that the driver holds to the server.
pub(crate) async fn connections(server: &MongoServer) -> Vec<Document> {
    let found = server.run("admin", doc! {"currentOp": 1, "$all": true}).await;
    let all = found.get_array("inprog").unwrap().iter().map(|one| one.as_document().unwrap().clone());
    let by_driver = |one: &Document| {
        let application =
            one.get_document("clientMetadata").and_then(|data| data.get_document("application"));
        application
            .is_ok_and(|application| application.get_str("name").is_ok_and(|name| name == "studio-gateway"))
    };
    all.filter(by_driver).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_gets_ten_connections_and_a_monitor_until_deletion() {
    let (_gateway, alpha) = start(options()).await;
    let server = MongoServer::plain().await;
    let text = format!("mongodb://127.0.0.1:{}/?maxPoolSize=500", server.port);
    let ids = [
        alpha.connect("mongodb", parts("one", server.port, json!({}))).await,
        alpha.connect("mongodb", string("two", text)).await,
    ];
    let block = doc! {"failCommands": ["find"], "blockConnection": true, "blockTimeMS": 300, "appName": "studio-gateway"};
    for (connection, id) in ["one", "two"].into_iter().zip(ids) {
        find(&alpha, connection).await.expect(200);
        server.fail("alwaysOn", block.clone()).await;
        let mut callers = JoinSet::new();
        for _ in 0..40 {
            let path = format!("/databases/shop/collections/c/documents?count=none&connection={connection}");
            let (viewer, path) = (alpha.viewer.clone(), alpha.path("mongodb", &path));
            callers.spawn(async move { viewer.get(&path).await.status });
        }
        let mut most = 0;
        while !callers.is_empty() {
            most = most.max(connections(&server).await.len());
            while let Some(status) = callers.try_join_next() {
                assert_eq!(status.unwrap(), 200);
            }
        }
        assert!((10..=11).contains(&most), "{most} connections of {connection}");
        server.fail_no_more().await;
        let path = format!("{}/{id}", alpha.connections("mongodb"));
        alpha.owner.delete(&path).await.expect(204);
        eventually("all connections are closed", async || connections(&server).await.is_empty()).await;
    }
}
