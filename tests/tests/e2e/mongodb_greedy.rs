//! Callers who ask MongoDB's driver for as much as a body can hold.

use super::mongodb_connections::{options, parts, start};
use serde_json::json;
use studio_gateway_tests::{Gateway, MongoServer, Project, mongo_world::send_text};

struct World {
    gateway: Gateway,
    alpha: Project,
    _server: MongoServer,
}

impl World {
    async fn start() -> Self {
        let ((gateway, alpha), server) = tokio::join!(start(options()), MongoServer::plain());
        alpha.connect("mongodb", parts("main", server.port, json!({}))).await;
        let world = Self { gateway, alpha, _server: server };
        world.alpha.viewer.get(&world.path("/documents?count=none")).await.expect(200);
        world
    }

    fn path(&self, rest: &str) -> String {
        self.alpha.path("mongodb", &format!("/databases/shop/collections/c{rest}"))
    }

    /// The most memory that the gateway had so far, in MiB.
    fn most_memory(&mut self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.gateway.process().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

/// `[{},{},…]` of so many.
fn many(count: usize) -> String {
    format!("[{}{{}}]", "{},".repeat(count - 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_bodies_of_millions_of_values_are_refused_cheaply() {
    let mut world = World::start().await;
    let alpha = &world.alpha;
    let before = world.gateway.process().id();
    let millions = many(3_300_000);
    let bodies = [
        (&alpha.viewer, "/documents/query", format!(r#"{{"filter":{{"$or":{millions}}}}}"#), "filter.$or"),
        (
            &alpha.viewer,
            "/documents/query",
            format!(r#"{{"projection":{{"a":{millions}}}}}"#),
            "projection.a",
        ),
        (&alpha.viewer, "/aggregate", format!(r#"{{"pipeline":{millions}}}"#), "pipeline"),
        (&alpha.viewer, "/explain", format!(r#"{{"filter":{{"a":{{"$in":{millions}}}}}}}"#), "filter.a.$in"),
        (&alpha.developer, "/documents", format!(r#"{{"document":{{"a":{millions}}}}}"#), "document.a"),
        (&alpha.developer, "/documents", format!(r#"{{"documents":{millions}}}"#), "documents"),
        (
            &alpha.developer,
            "/documents/update-many",
            format!(r#"{{"filter":{{"a":1}},"update":{{"$set":{{"a":1}}}},"array_filters":{millions}}}"#),
            "array_filters",
        ),
    ];
    let begun = world.alpha.viewer.get(&world.path("/documents?count=none")).await;
    begun.expect(200);
    for (client, path, body, field) in bodies {
        let answer = send_text(client, "POST", &world.path(path), body).await;
        let details = answer.refused(400, "VALIDATION_ERROR");
        let told = details["field"].as_str().unwrap();
        assert!(told.starts_with(field), "{path}: {answer}");
    }
    assert_eq!(before, world.gateway.process().id());
    let most = world.most_memory();
    assert!(most < 400, "{most} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_bodies_at_the_limit_take_little_memory_together() {
    let mut world = World::start().await;
    let before = world.most_memory();
    let body = format!(r#"{{"filter":{{"$or":{}}},"count":"none"}}"#, many(99_000));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (viewer, path, body) = (world.alpha.viewer.clone(), world.path("/documents/query"), body.clone());
        callers.spawn(async move { send_text(&viewer, "POST", &path, body).await.status });
    }
    while let Some(status) = callers.join_next().await {
        assert!([200, 400, 503, 504].contains(&status.unwrap()));
    }
    let most = world.most_memory();
    assert!(most < before + 500, "{before} MiB, then {most} MiB at most");
    world.alpha.viewer.get(&world.path("/documents?count=none")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_takes_many_small_documents_at_once_in_little_memory() {
    let mut world = World::start().await;
    let before = world.most_memory();
    let body = format!(r#"{{"documents":{}}}"#, many(20_000));
    let answer = send_text(&world.alpha.developer, "POST", &world.path("/documents"), body).await;
    assert_eq!(answer.expect(201).data()["inserted_count"], 20_000);
    let most = world.most_memory();
    assert!(most < before + 150, "{before} MiB, then {most} MiB at most");
}
