//! A registry that fails for a while: callers hear of it at once, and everything works again as soon as it does.

use serde_json::json;
use std::{
    process::Command,
    time::{Duration, Instant},
};
use studio_gateway_tests::{
    Answer, Client, Gateway, GatewayOptions, Mode, PostgresOptions, PostgresServer, Project, Proxy, Token,
    eventually,
};
use tokio::task::JoinSet;

/// Longer than any request may take while the registry is away, on a busy machine; far below the ten seconds that a
/// connection may be waited for.
const SOON: Duration = Duration::from_secs(5);
/// Longer than an answer of the registry counts.
const STALE: Duration = Duration::from_millis(1100);

/// Asserts that the gateway says at once that its registry is away, and when to come back.
#[track_caller]
fn away(answer: &Answer, start: Instant) {
    assert!(start.elapsed() < SOON, "{:?}: {answer}", start.elapsed());
    let details = answer.refused(503, "UNAVAILABLE");
    assert_eq!(details["reason"], "registry_unreachable", "{answer}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
}

/// One of each kind of request that needs the registry.
fn requests(project: &Project) -> Vec<(&'static str, String, Option<serde_json::Value>)> {
    vec![
        ("GET", "/api/platform/projects".to_owned(), None),
        ("GET", project.connections("probe"), None),
        ("GET", project.path("probe", "/nothing"), None),
        ("POST", project.path("probe", "/write"), Some(json!({}))),
        ("PUT", "/api/platform/projects/alpha/members/other".to_owned(), Some(json!({"role": "viewer"}))),
        ("POST", project.connections("probe"), Some(json!({"identifier": "two", "host": "127.0.0.1"}))),
    ]
}

async fn all_say_away(client: &Client, project: &Project) {
    let mut crowd = JoinSet::new();
    let reads = (0..30).map(|_| ("GET", project.path("probe", "/nothing"), None));
    for (method, path, body) in requests(project).into_iter().chain(reads) {
        let client = client.clone();
        crowd.spawn(async move {
            let start = Instant::now();
            away(&client.call(method, &path, body).await, start);
        });
    }
    crowd.join_all().await;
}

/// Each kind of read, and a change of its own: none fails, none waits.
async fn all_work(client: &Client, project: &Project, member: &str) {
    let start = Instant::now();
    for (method, path, body) in requests(project).into_iter().take(4) {
        let answer = client.call(method, &path, body).await;
        assert!((200..300).contains(&answer.status), "{answer}");
    }
    let path = format!("/api/platform/projects/alpha/members/{member}");
    let answer = client.put(&path, json!({"role": "viewer"})).await;
    assert!((200..300).contains(&answer.status), "{answer}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_registry_outage_is_told_at_once_and_ends_at_once() {
    let mut server = PostgresServer::start(PostgresOptions::new()).await;
    let database = server.create_named_database("registry").await;
    let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
    gateway.set("DATABASE_URL", &database.url);
    gateway.start_again().await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let owner = &project.owner;
    // As many connections to the registry as there may be.
    let mut crowd = JoinSet::new();
    for number in 0..20 {
        let (owner, path) = (owner.clone(), format!("/api/platform/projects/alpha/members/crowd-{number}"));
        crowd.spawn(async move { owner.put(&path, json!({"role": "viewer"})).await });
    }
    crowd.join_all().await;
    all_work(owner, &project, "before").await;

    // Nothing answers, and nothing is refused.
    server.freeze();
    tokio::time::sleep(STALE).await;
    all_say_away(owner, &project).await;
    gateway.anonymous().get("/readyz").await.expect(503);
    server.thaw();
    all_work(owner, &project, "thawed").await;

    // Nobody is there.
    server.stop().await;
    tokio::time::sleep(STALE).await;
    all_say_away(owner, &project).await;
    server.start_again().await;
    all_work(owner, &project, "started").await;

    server.restart().await;
    tokio::time::sleep(STALE).await;
    all_work(owner, &project, "restarted").await;

    // Somebody takes connections and hangs up, as a balancer with nobody behind it.
    let proxy = Proxy::start(server.port).await;
    let [direct, through] = [server.port, proxy.port].map(|port| format!(":{port}/"));
    gateway.set("DATABASE_URL", &database.url.replace(&direct, &through));
    gateway.restart().await;
    let project = Project { owner: gateway.client(&Token::user("alpha-owner")), ..project };
    all_work(&project.owner, &project, "through").await;
    proxy.set(Mode::Cut).await;
    tokio::time::sleep(STALE).await;
    all_say_away(&project.owner, &project).await;
    proxy.set(Mode::Pass).await;
    all_work(&project.owner, &project, "passed").await;
}

/// Bounds the size of each file that the gateway may write, as a full disk does.
fn bound_files(gateway: &mut Gateway, bytes: &str) {
    let id = gateway.process().id().to_string();
    let status = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}:unlimited")]).status();
    assert!(status.expect("prlimit").success());
}

#[tokio::test]
async fn file_registry_takes_changes_again_once_its_disk_has_room() {
    let options = GatewayOptions::default().set("GATEWAY_LOG", "error").no_signal_for_large_files();
    let mut gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    let admin = gateway.platform_admin();
    let create = async |number: usize| {
        let body = json!({"name": "n".repeat(200), "slug": format!("org-{number}")});
        admin.post("/api/platform/organizations", body).await
    };
    for number in 0..20 {
        create(number).await.expect(201);
    }
    for round in 1..4 {
        let largest =
            gateway.database.files().iter().map(|file| file.metadata().unwrap().len()).max().unwrap();
        bound_files(&mut gateway, &largest.to_string());
        let mut refused = 0;
        for number in 0..30 {
            let answer = create(round * 1000 + number).await;
            if answer.status != 201 {
                away(&answer, Instant::now());
                refused += 1;
            }
        }
        assert!(refused > 5, "the disk was full {refused} times");
        let connection = json!({"identifier": format!("c{round}"), "host": "127.0.0.1"});
        let full = project.owner.post(&project.connections("probe"), connection.clone()).await;
        away(&full, Instant::now());
        project.owner.get("/api/platform/projects").await.expect(200);

        bound_files(&mut gateway, "unlimited");
        create(round * 1000 + 500).await.expect(201);
        project.owner.post(&project.connections("probe"), connection).await.expect(201);
    }
    eventually("readiness says yes", async || gateway.anonymous().get("/readyz").await.status == 200).await;
    gateway.restart().await;
    assert_eq!(project.owner.get(&project.connections("probe")).await.items().len(), 3);
}
