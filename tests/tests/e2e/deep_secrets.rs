//! Secret options in lists, in maps, and in schemas that lead back to themselves are as secret as others.

use serde_json::{Value, json};
use studio_gateway_tests::{Gateway, GatewayOptions, Plugin, Plugins, Project, Registry};

const TOKEN: &str = "token-of-the-first-node-5f1c";
const BEHIND: &str = "token-of-the-node-behind-77aa";
const HEADER: &str = "header-that-nobody-may-see-c0de";
const KEYS: [&str; 2] = ["first-key-of-a-list-1234567", "second-key-of-a-list-89"];

struct World {
    gateway: Gateway,
    project: Project,
    path: String,
}

impl World {
    async fn start(registry: Registry) -> Self {
        let options = GatewayOptions::new(registry).plugins(Plugins::new([Plugin::new("probe")])).trace();
        let gateway = Gateway::start(options).await;
        let project = Project::create_empty(&gateway, "alpha").await;
        let deep = json!({
            "nodes": [{"host": "a", "token": TOKEN, "behind": [{"host": "b", "token": BEHIND}]}, {"host": "c"}],
            "headers": {"authorization": HEADER},
            "keys": KEYS,
        });
        let id = project.connect_probe("main", json!({"store": "s", "deep": deep})).await;
        let path = format!("{}/{id}", project.connections("probe"));
        Self { gateway, project, path }
    }

    /// What the driver has of the secrets: their lengths.
    async fn lengths(&self) -> Value {
        let answer = self.project.viewer.get(&self.project.path("probe", "/lengths")).await.expect(200);
        answer.data().clone()
    }

    async fn change(&self, deep: Value) -> studio_gateway_tests::Answer {
        self.project.admin.put(&self.path, json!({"options": {"store": "s", "deep": deep}})).await
    }

    fn all() -> Value {
        json!({
            "nodes": {"a": TOKEN.len(), "b": BEHIND.len(), "c": null},
            "headers": {"authorization": HEADER.len()},
            "keys": KEYS.map(str::len),
        })
    }
}

/// What may be seen of them.
fn shown() -> Value {
    json!({"nodes": [{"host": "a", "behind": [{"host": "b"}]}, {"host": "c"}], "headers": {}})
}

async fn nested_secrets_are_sealed_hidden_and_given_to_the_driver(registry: Registry) {
    let mut world = World::start(registry).await;
    assert_eq!(world.lengths().await, World::all());
    for answer in
        [world.project.viewer.get(&world.path).await.expect(200), world.change(shown()).await.expect(200)]
    {
        assert_eq!(answer.data()["options"], json!({"store": "s", "deep": shown()}));
    }
    let listed = world.project.viewer.get("/api/platform/projects/alpha/databases").await.expect(200);
    assert_eq!(listed.items()[0]["options"]["deep"], shown());
    world.gateway.stop().await;
    let places = [
        ("the database", world.gateway.database.bytes().await),
        ("the answers", world.gateway.transcript.bytes()),
        ("the log", world.gateway.log().into_bytes()),
    ];
    for secret in [TOKEN, BEHIND, HEADER, KEYS[0], KEYS[1]] {
        for (place, bytes) in &places {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {place}");
        }
    }
}

async fn nested_secrets_stay_until_they_are_changed_or_removed(registry: Registry) {
    let world = World::start(registry).await;
    // As they are shown, in which no secret is.
    world.change(shown()).await.expect(200);
    assert_eq!(world.lengths().await, World::all());
    let mut deep = shown();
    deep["headers"] = json!({"authorization": null, "cookie": "1234"});
    deep["keys"] = json!(null);
    deep["nodes"][1]["token"] = json!("123456");
    world.change(deep).await.expect(200);
    let first = json!({"a": TOKEN.len(), "b": BEHIND.len(), "c": 6});
    assert_eq!(world.lengths().await, json!({"nodes": first, "headers": {"cookie": 4}, "keys": []}));
    let mut deep = shown();
    deep["nodes"][0] = json!({"host": "a", "token": null, "behind": [{"host": "b", "token": null}]});
    world.change(deep).await.expect(200);
    assert_eq!(world.lengths().await["nodes"], json!({"a": null, "b": null, "c": 6}));
}

async fn list_item_keeps_its_secret_only_while_it_is_the_same_item(registry: Registry) {
    let world = World::start(registry).await;
    let mut elsewhere = shown();
    elsewhere["nodes"][0]["host"] = json!("mine");
    let mut deeper = shown();
    deeper["nodes"][0]["behind"][0]["host"] = json!("mine");
    let mut turned = shown();
    turned["nodes"].as_array_mut().unwrap().reverse();
    for deep in [elsewhere.clone(), deeper, turned] {
        let details = world.change(deep).await.refused(400, "VALIDATION_ERROR");
        assert_eq!(details["field"], "options");
    }
    assert_eq!(world.lengths().await, World::all());
    elsewhere["nodes"][0]["token"] = json!("1234");
    elsewhere["nodes"][0]["behind"][0]["token"] = json!(null);
    world.change(elsewhere).await.expect(200);
    assert_eq!(world.lengths().await["nodes"], json!({"mine": 4, "b": null, "c": null}));
}

async fn secrets_in_lists_and_maps_do_not_go_to_another_host(registry: Registry) {
    let world = World::start(registry).await;
    for change in [
        json!({"host": "127.0.0.2"}),
        json!({"port": 8}),
        json!({"host": "127.0.0.2", "options": {"deep": shown()}}),
    ] {
        let details = world.project.admin.put(&world.path, change).await.refused(400, "VALIDATION_ERROR");
        assert_eq!(details["field"], "options");
    }
    assert_eq!(world.lengths().await, World::all());
    // With every one of them given or given up.
    let deep =
        json!({"nodes": [{"host": "a", "token": "1"}], "headers": {"authorization": null}, "keys": ["12"]});
    let change = json!({"host": "127.0.0.2", "options": {"deep": deep}});
    world.project.admin.put(&world.path, change).await.expect(200);
    assert_eq!(world.lengths().await, json!({"nodes": {"a": 1}, "headers": {}, "keys": [2]}));
}

async fn what_looks_sealed_or_is_no_text_is_refused_at_any_depth(registry: Registry) {
    let world = World::start(registry).await;
    let table = world.gateway.database.table("database_connections");
    let stored = world.gateway.database.texts(&format!("SELECT options FROM {table}")).await.concat();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let sealed = &stored["deep"]["nodes"][0]["token"];
    assert!(sealed.as_str().is_some_and(|sealed| sealed.len() > TOKEN.len()), "{stored}");
    for deep in [
        json!({"nodes": [{"host": "a", "token": sealed}]}),
        json!({"headers": {"a": sealed}}),
        json!({"keys": [sealed]}),
    ] {
        world.change(deep).await.refused(400, "VALIDATION_ERROR");
    }
    let details = world.change(json!({"headers": {"a": 7}})).await.refused(400, "VALIDATION_ERROR");
    assert_eq!(details["field"], "options.deep.headers.a");
}

on_both_registries!(
    nested_secrets_are_sealed_hidden_and_given_to_the_driver,
    nested_secrets_stay_until_they_are_changed_or_removed,
    list_item_keeps_its_secret_only_while_it_is_the_same_item,
    secrets_in_lists_and_maps_do_not_go_to_another_host,
    what_looks_sealed_or_is_no_text_is_refused_at_any_depth,
);
