//! Drivers that are WebAssembly components: what crosses their border, how callers share their sessions, and that they
//! may be written in any language. How they are held in is told in the files on the sandbox.

use crate::exclusive_sessions::{gauge, refused_for_the_line, until_waiting};
use redis::AsyncCommands;
use serde_json::{Value, json};
use std::fs;
use studio_gateway_tests::{
    Gateway, GatewayOptions, Plugin, Plugins, Project, RedisOptions, RedisServer, World, dist, eventually,
};
use tokio::task::JoinSet;

async fn start(plugin: Plugin) -> (Gateway, Project) {
    let options =
        GatewayOptions::default().plugins(Plugins::new([plugin])).set("GATEWAY_SESSIONS_WAIT", "60");
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

async fn start_echo(limits: &str, options: Value) -> (Gateway, Project) {
    let plugin = Plugin::component("echo").line(format!("limits = {{ {limits} }}"));
    let (gateway, project) = start(plugin).await;
    let body = json!({"identifier": "main", "host": "127.0.0.1", "options": options});
    project.connect("echo", body).await;
    (gateway, project)
}

/// A gateway whose Redis driver is a component with so many sessions a connection.
async fn start_redis(redis: &RedisServer, sessions: u32) -> (Gateway, Project) {
    let plugin = Plugin::component("redis").line(format!("limits = {{ sessions = {sessions} }}"));
    let (gateway, project) = start(plugin).await;
    let body = json!({"identifier": "main", "host": "127.0.0.1", "port": redis.port});
    project.connect("redis", body).await;
    (gateway, project)
}

#[tokio::test]
async fn call_and_answer_cross_whole() {
    let (_gateway, project) = start_echo("", json!({"token": "hunter2"})).await;
    project.viewer.get(&project.path("echo", "/nothing")).await.expect(204);
    let request = project.viewer.request("GET", &project.path("echo", "/facts/%FFa%2Fb"));
    let facts = project.viewer.send(request.header("x-request-id", "my-own-id")).await.expect(200).data();
    assert_eq!(
        facts,
        json!({"granted": "read", "request_id": "my-own-id", "name_length": 4, "token_length": 7})
    );
    let text = "naïve 🙂 \u{0} \"quoted\"".repeat(10_000);
    let path = project.path("echo", "/echo");
    let echoed = project.developer.post(&path, json!({"text": text})).await.expect(200).data();
    assert_eq!(echoed["text"], text);
    project.viewer.post(&path, json!({"text": ""})).await.refused(403, "FORBIDDEN");
    project.developer.post(&path, json!({"txet": ""})).await.refused_field("txet");
    project.viewer.get(&project.path("echo", "/nothing?surplus=1")).await.refused_field("surplus");
    project.viewer.get(&project.path("echo", "/panic")).await.refused(502, "DRIVER_ERROR");
    project.viewer.get(&project.path("echo", "/nothing")).await.expect(204);
}

#[tokio::test]
async fn two_hundred_callers_share_at_most_the_allowed_connections() {
    let redis = RedisServer::plain().await;
    let (_gateway, project) = start_redis(&redis, 4).await;
    let _: () = redis.connection().await.set("k", "v").await.unwrap();
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let (viewer, path) = (project.viewer.clone(), project.path("redis", "/keys/k"));
        callers.spawn(async move { viewer.get(&path).await.expect(200).data()["value"].clone() });
    }
    assert!(callers.join_all().await.iter().all(|value| value == "v"));
    let clients: String =
        redis::cmd("CLIENT").arg("LIST").query_async(&mut redis.connection().await).await.unwrap();
    // The one that asks is a client too.
    let sessions = clients.lines().count() - 1;
    assert!((1..=4).contains(&sessions), "{sessions} sessions:\n{clients}");
}

#[tokio::test]
async fn callers_of_a_component_are_served_in_the_order_they_came() {
    const CALLERS: usize = 40;
    let redis = RedisServer::plain().await;
    let (gateway, project) = start_redis(&redis, 1).await;
    let command = project.path("redis", "/command");
    project.developer.post(&command, json!({"command": ["PING"]})).await.expect(200);
    redis.freeze();
    let mut callers = JoinSet::new();
    for number in 0..=CALLERS {
        let (developer, command) = (project.developer.clone(), command.clone());
        let body = json!({"command": ["RPUSH", "order", number.to_string()]});
        callers.spawn(async move { developer.post(&command, body).await.expect(200) });
        if number > 0 {
            until_waiting(&gateway, number).await;
        } else {
            eventually("the first one runs", async || gauge(&gateway, "running_calls").await == 1).await;
        }
    }
    redis.thaw();
    callers.join_all().await;
    let order: Vec<usize> = redis.connection().await.lrange("order", 0, -1).await.unwrap();
    assert_eq!(order, (0..=CALLERS).collect::<Vec<_>>());
}

#[tokio::test]
async fn line_for_a_component_is_bounded_and_moves_on() {
    let (gateway, project) = start_echo("sessions = 2, waiting = 5", json!({})).await;
    // Both sessions are open before anyone must wait.
    let short = project.path("echo", "/wait?milliseconds=300");
    tokio::join!(project.viewer.get(&short), project.viewer.get(&short));
    let wait = project.path("echo", "/wait?milliseconds=1500");
    let mut callers = JoinSet::new();
    for _ in 0..2 + 5 {
        let (viewer, wait) = (project.viewer.clone(), wait.clone());
        callers.spawn(async move { viewer.get(&wait).await.expect(200) });
    }
    until_waiting(&gateway, 5).await;
    refused_for_the_line(&project.viewer.get(&wait).await);
    assert_eq!(callers.join_all().await.len(), 7);
    project.viewer.get(&project.path("echo", "/nothing")).await.expect(204);
}

#[tokio::test]
async fn driver_switches_to_its_component_and_back_by_a_reload() {
    let world = World::start_with(
        GatewayOptions::default().plugins(Plugins::new([Plugin::new("redis")])),
        RedisOptions::new(),
    )
    .await;
    let key = world.alpha.path("redis", "/keys/k");
    world.alpha.developer.post(&key, json!({"value": "v"})).await.expect(201);
    let path = dist::driver("redis").with_extension("");
    for kind in ["wasm", "dylib"] {
        let text = format!("[[plugin]]\ntype = 'redis'\nkind = '{kind}'\npath = '{}'\n", path.display());
        fs::write(world.gateway.plugins_file(), text).unwrap();
        world.platform_admin.post("/api/platform/plugins/reload", json!({})).await.expect(200);
        let plugins = world.stranger.get("/api/platform/plugins").await.expect(200).items();
        assert_eq!(
            (&plugins[0]["type"], &plugins[0]["kind"]),
            (&json!("redis"), &json!(kind)),
            "{plugins:?}"
        );
        assert_eq!(world.alpha.viewer.get(&key).await.expect(200).data()["value"], "v");
    }
}

#[tokio::test]
async fn guest_in_another_language_is_a_driver_like_any() {
    if std::env::var_os("STUDIO_TEST_PYTHON").is_none() {
        eprintln!("skipped: there is no componentize-py here; `cargo xtask test` says why");
        return;
    }
    let (gateway, project) = start(Plugin::component("pydb")).await;
    let refused = json!({"identifier": "odd", "host": "127.0.0.1", "options": {"surplus": 1}});
    project.owner.post(&project.connections("pydb"), refused).await.refused_field("options.surplus");
    let body = json!({"identifier": "main", "host": "127.0.0.1", "options": {"greeting": "grüezi"}});
    let id = project.connect("pydb", body).await;
    let test = format!("{}/{id}/test", project.connections("pydb"));
    let tested = project.owner.post(&test, json!({})).await.expect(200).data();
    assert_eq!((&tested["success"], &tested["version"]), (&json!(true), &json!("1.0.0")), "{tested}");
    let request = project.viewer.request("GET", &project.path("pydb", "/hello"));
    let hello = project.viewer.send(request.header("x-request-id", "my-own-id")).await.expect(200).data();
    assert_eq!(hello, json!({"greeting": "grüezi", "request_id": "my-own-id", "granted": "read"}));
    let echo = project.path("pydb", "/echo/%F0%9F%99%82");
    assert_eq!(project.viewer.get(&echo).await.expect(200).data(), json!({"name": "🙂"}));
    project.viewer.get(&project.path("pydb", "/echo/%FF")).await.refused_field("name");
    project.viewer.get(&project.path("pydb", "/hello?surplus=1")).await.refused_field("surplus");
    assert!(gateway.whole_log().await.contains("greeting=grüezi"));
}
