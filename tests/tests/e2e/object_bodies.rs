//! Bodies that are no object where one is due: refused by every driver and every route of the gateway's own, and nothing
//! is done.

use crate::memcached;
use mongodb::bson::doc;
use serde_json::{Value, json};
use studio_gateway_tests::{
    Answer, Client, GatewayOptions, MemcachedOptions, MemcachedServer, MongoWorld, PostgresWorld, Project,
    RedisDriver, Registry, World,
};

/// Neither an object nor nothing.
fn not_objects() -> [Value; 7] {
    [json!([]), json!([{}, true]), json!([[], []]), json!([null, 1]), json!(7), json!(true), json!("text")]
}

#[track_caller]
fn refused(answer: &Answer, field: &str) {
    answer.refused_field(field);
    assert!(answer.message().ends_with("must be an object"), "{answer}");
}

async fn refuse_all(client: &Client, method: &str, path: &str) {
    for body in not_objects() {
        refused(&client.call(method, path, Some(body)).await, "body");
    }
}

#[tokio::test]
async fn mongodb_changes_nothing_for_an_array_in_place_of_an_object() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 2}]).await;
    let (owner, documents) = (&world.alpha.owner, world.path("things", "/documents"));
    for route in ["/delete-many", "/update-many", "/query"] {
        refuse_all(owner, "POST", &format!("{documents}{route}")).await;
    }
    for path in ["/aggregate", "/explain", "/indexes"].map(|rest| world.path("things", rest)) {
        refuse_all(owner, "POST", &path).await;
    }
    refuse_all(owner, "PUT", &world.document("things", "1")).await;
    let left = world.stored_documents("things").await;
    assert_eq!(left, [doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": 2}]);
}

async fn redis_writes_nothing_for_an_array_in_place_of_any_object(driver: RedisDriver) {
    let world = World::start(driver).await;
    let (owner, key) = (&world.alpha.owner, world.alpha.path("redis", "/keys/k"));
    owner.post(&key, json!({"value": "kept"})).await.expect(201);
    for (method, rest) in
        [("POST", "/keys/k"), ("PUT", "/keys/k"), ("POST", "/keys/k/expire"), ("POST", "/command")]
    {
        refuse_all(owner, method, &world.alpha.path("redis", rest)).await;
    }
    let batch = world.alpha.path("redis", "/keys/batch");
    refuse_all(owner, "POST", &batch).await;
    let answer =
        owner.post(&batch, json!({"operations": [{"op": "get", "key": "k"}, ["delete", "k"]]})).await;
    answer.refused(400, "VALIDATION_ERROR");
    let scored = world.alpha.path("redis", "/keys/z");
    for members in [json!([["a", 1]]), json!([{"member": "a", "score": 1}, ["b", 2]])] {
        let answer = owner.post(&scored, json!({"type": "zset", "value": members})).await;
        answer.refused(400, "VALIDATION_ERROR");
        assert!(answer.message().contains("an object"), "{answer}");
    }
    owner.get(&scored).await.refused(404, "NOT_FOUND");
    assert_eq!(owner.get(&key).await.data()["value"], "kept");
}

#[tokio::test]
async fn postgres_refuses_an_array_in_place_of_any_object() {
    let world = PostgresWorld::start_rich().await;
    let owner = &world.alpha.owner;
    for rest in ["/query", "/tables", "/columns", "/roles", "/policies", "/functions", "/query/format"] {
        refuse_all(owner, "POST", &world.alpha.path("postgres", rest)).await;
    }
    let body = json!({"name": "never", "config": [["add", "search_path", "public"]]});
    let answer = owner.call("PATCH", &world.alpha.path("postgres", "/roles/10"), Some(body)).await;
    refused(&answer, "config[0]");
    let answer = owner.post(&world.alpha.path("postgres", "/table-privileges"), json!([[1, "x", "y"]])).await;
    refused(&answer, "[0]");
}

#[tokio::test]
async fn component_refuses_an_array_in_the_place_of_an_object() {
    let (gateway, server) = tokio::join!(
        memcached::gateway(GatewayOptions::default()),
        MemcachedServer::start(MemcachedOptions::new())
    );
    let project = Project::create_empty(&gateway, "alpha").await;
    let connection = json!({"identifier": "main", "host": "127.0.0.1", "port": server.port});
    project.connect("memcached", connection).await;
    for rest in ["/keys/k", "/keys/get", "/keys/k/increment", "/keys/k/touch"] {
        refuse_all(&project.owner, "POST", &project.path("memcached", rest)).await;
    }
    project.owner.get(&project.path("memcached", "/keys/k")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn gateways_own_routes_refuse_an_array_in_place_of_an_object() {
    let world = World::start(Registry::Sqlite).await;
    let (admin, alpha) = (&world.platform_admin, &world.alpha);
    let connection = format!("{}/{}", alpha.connections("redis"), alpha.connection);
    for (method, path) in [
        ("POST", "/api/platform/organizations".to_owned()),
        ("POST", "/api/platform/projects".to_owned()),
        ("PUT", "/api/platform/projects/alpha/members/somebody".to_owned()),
        ("POST", alpha.connections("redis")),
        ("PUT", connection.clone()),
    ] {
        refuse_all(admin, method, &path).await;
    }
    for options in [json!([]), json!([{"db": 3}])] {
        let answer = admin.put(&connection, json!({"options": options})).await;
        refused(&answer, "options");
    }
    assert_eq!(admin.get(&alpha.connections("redis")).await.items().len(), 1);
}

on_both_kinds!(redis_writes_nothing_for_an_array_in_place_of_any_object);
