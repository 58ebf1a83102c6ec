//! What HTTP says of kept replies, who gets them, and what ends them.

use serde_json::json;
use std::time::Duration;
use studio_gateway_tests::{
    Answer, Client, Gateway, GatewayOptions, Plugin, Plugins, Project, RedisDriver, Registry, World,
    eventually,
};
use tokio::task::JoinSet;

/// A counter of the probe.
pub(super) const COUNTER: &str = "/counters/c";

/// A gateway, and a project with a connection of the probe.
pub(super) async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("main", json!({})).await;
    (gateway, project)
}

/// Only the probe, with these lines in plugins.toml.
fn probe_with(lines: &str) -> GatewayOptions {
    GatewayOptions::default().plugins(Plugins::new([Plugin::new("probe").line(lines)]))
}

/// Adds one to the counter.
pub(super) async fn add(project: &Project, rest: &str) -> Answer {
    project.developer.post(&project.path("probe", &format!("{COUNTER}{rest}")), json!(null)).await
}

async fn read(project: &Project) -> Answer {
    project.viewer.get(&project.path("probe", COUNTER)).await.expect(200)
}

/// How often the driver read the counter.
pub(super) async fn reads(project: &Project) -> u64 {
    let path = project.path("probe", "/counters/c/reads");
    project.viewer.get(&path).await.expect(200).data().as_u64().unwrap()
}

async fn with(client: &Client, path: &str, name: &str, value: &str) -> Answer {
    client.send(client.request("GET", path).header(name, value)).await
}

/// What `Cache-Status` says, its time to live taken out.
fn status(answer: &Answer) -> String {
    let text = answer.header("cache-status").unwrap_or_else(|| panic!("no Cache-Status: {answer}"));
    let said = text.split("; ").filter(|part| !part.starts_with("ttl="));
    let said = said.collect::<Vec<_>>().join("; ");
    said.strip_prefix("studio-gateway; ").unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap_or_else(|| panic!("no ETag: {answer}")).to_owned()
}

#[tokio::test]
async fn second_reader_gets_what_the_first_one_got() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let first = read(&project).await;
    assert_eq!(status(&first), "fwd=miss; stored");
    let second = read(&project).await;
    assert_eq!(status(&second), "hit");
    assert_eq!((&first.bytes, tag(&first)), (&second.bytes, tag(&second)));
    assert_eq!(reads(&project).await, 1);
    for answer in [&first, &second] {
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("vary"), Some("accept-encoding, authorization"));
        assert!(tag(answer).starts_with('"'), "a strong tag");
    }
    // Parameters in another order are the same question; others are another one.
    let ask =
        async |query: &str| project.viewer.get(&project.path("probe", &format!("{COUNTER}{query}"))).await;
    assert_eq!(status(&ask("?padding=1&after=0").await), "fwd=miss; stored");
    assert_eq!(status(&ask("?after=0&padding=1&connection=main").await), "hit");
    assert_eq!(status(&ask("?after=0&padding=2").await), "fwd=miss; stored");
    // What a caller may do is part of the question: the driver was told.
    let as_developer = project.developer.get(&project.path("probe", COUNTER)).await;
    assert_eq!(status(&as_developer), "fwd=miss; stored");
    // Of an operation that is not cacheable, nothing is said.
    let other = project.viewer.get(&project.path("probe", "/nothing")).await.expect(200);
    assert!(other.header("cache-status").is_none() && other.header("etag").is_none(), "{other}");

    let metrics = String::from_utf8(gateway.anonymous().get("/metrics").await.bytes).unwrap();
    for (result, count) in [("hit", 2), ("miss", 4)] {
        let line = format!(
            "studio_gateway_cache_requests_total{{type=\"probe\",operation=\"GET /counters/{{name}}\",result=\"{result}\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    assert!(metrics.contains("studio_gateway_cache_size_bytes"), "{metrics}");
}

#[tokio::test]
async fn caller_who_has_the_reply_gets_304_without_it() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let path = project.path("probe", COUNTER);
    add(&project, "").await.expect(204);
    let whole = read(&project).await;
    let tag_of_whole = tag(&whole);
    for known in [
        tag_of_whole.clone(),
        format!("W/{tag_of_whole}"),
        format!("\"other\", {tag_of_whole}"),
        "*".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let request = project.viewer.request(method, &path).header("if-none-match", &known);
            let answer = project.viewer.send(request).await.expect(304);
            assert!(answer.bytes.is_empty() && answer.header("content-type").is_none(), "{answer}");
            assert_eq!((status(&answer).as_str(), tag(&answer)), ("hit", tag_of_whole.clone()));
            for name in ["cache-control", "vary"] {
                assert_eq!(answer.header(name), whole.header(name));
            }
        }
    }
    let other = with(&project.viewer, &path, "if-none-match", "\"other\"").await.expect(200);
    assert_eq!(other.bytes, whole.bytes);
    // A fresh reply that is the same is 304 too; one that differs is not.
    let request = project.viewer.request("GET", &path).header("if-none-match", &tag_of_whole);
    let fresh = project.viewer.send(request.header("cache-control", "no-cache")).await.expect(304);
    assert_eq!(status(&fresh), "fwd=request; stored");
    add(&project, "").await.expect(204);
    let changed = with(&project.viewer, &path, "if-none-match", &tag_of_whole).await.expect(200);
    assert_ne!(tag(&changed), tag_of_whole);
    assert_eq!(changed.data()["value"], 2);
}

#[tokio::test]
async fn head_says_what_get_would() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let path = project.path("probe", COUNTER);
    let head = project.viewer.send(project.viewer.request("HEAD", &path)).await.expect(200);
    assert_eq!(status(&head), "fwd=miss; stored");
    let get = read(&project).await;
    assert_eq!(status(&get), "hit");
    assert!(head.bytes.is_empty());
    assert_eq!(tag(&head), tag(&get));
    assert_eq!(head.header("content-length"), Some(get.bytes.len().to_string().as_str()));
}

#[tokio::test]
async fn compressed_reply_has_a_weak_tag_that_is_recognized() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let path = project.path("probe", &format!("{COUNTER}?padding=5000"));
    let plain = project.viewer.get(&path).await.expect(200);
    let compressed = with(&project.viewer, &path, "accept-encoding", "gzip").await.expect(200);
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert_eq!(tag(&compressed), format!("W/{}", tag(&plain)));
    assert_eq!(compressed.header("vary"), plain.header("vary"));
    let request = project.viewer.request("GET", &path).header("accept-encoding", "gzip");
    project.viewer.send(request.header("if-none-match", tag(&compressed))).await.expect(304);
}

#[tokio::test]
async fn caller_can_ask_for_a_fresh_reply_and_for_one_not_kept() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let path = project.path("probe", COUNTER);
    add(&project, "").await.expect(204);
    read(&project).await;
    for (count, (name, value)) in
        [("cache-control", "no-cache"), ("cache-control", "max-age=0"), ("pragma", "no-cache")]
            .iter()
            .enumerate()
    {
        let fresh = with(&project.viewer, &path, name, value).await.expect(200);
        assert_eq!(status(&fresh), "fwd=request; stored", "{value}");
        assert_eq!(reads(&project).await, 2 + count as u64);
        assert_eq!(status(&read(&project).await), "hit");
    }
    add(&project, "").await.expect(204);
    let unkept = with(&project.viewer, &path, "cache-control", "no-store").await.expect(200);
    assert_eq!(status(&unkept), "fwd=request");
    assert_eq!(status(&read(&project).await), "fwd=miss; stored");
    // A body that says nothing is nobody's to share.
    let request = project.viewer.request("GET", &path).body("null");
    assert_eq!(status(&project.viewer.send(request).await.expect(200)), "fwd=bypass");
}

async fn removed_member_finds_nothing_although_the_reply_is_kept(registry: Registry) {
    let world = World::start(registry).await;
    let alpha = &world.alpha;
    let info = alpha.path("redis", "/info");
    let viewer = &alpha.viewer;
    let whole = viewer.get(&info).await.expect(200);
    assert_eq!(status(&viewer.get(&info).await.expect(200)), "hit");
    let member = "/api/platform/projects/alpha/members/alpha-viewer";
    alpha.owner.delete(member).await.expect(204);
    viewer.get(&info).await.refused(404, "NOT_FOUND");
    with(viewer, &info, "if-none-match", &tag(&whole)).await.refused(404, "NOT_FOUND");
    world.stranger.get(&info).await.refused(404, "NOT_FOUND");
    world.beta.owner.get(&info).await.refused(404, "NOT_FOUND");
    world.gateway.anonymous().get(&info).await.refused(401, "UNAUTHENTICATED");
    alpha.owner.put(member, json!({"role": "viewer"})).await;
    assert_eq!(status(&viewer.get(&info).await.expect(200)), "hit");
}

on_both_registries!(removed_member_finds_nothing_although_the_reply_is_kept);

#[tokio::test]
async fn connection_switched_off_changed_or_deleted_has_no_kept_reply() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let id = project.connect_probe("other", json!({})).await;
    let connection = format!("{}/{id}", project.connections("probe"));
    let path = project.path("probe", &format!("{COUNTER}?connection=other"));
    let ask = async || project.viewer.get(&path).await;
    assert_eq!(status(&ask().await), "fwd=miss; stored");
    assert_eq!(status(&ask().await), "hit");
    // Of what it only displays, nothing is read anew.
    project.owner.put(&connection, json!({"status": "INACTIVE"})).await.expect(200);
    ask().await.refused(409, "CONFLICT");
    project.owner.put(&connection, json!({"status": "ACTIVE"})).await.expect(200);
    ask().await.expect(200);
    assert_eq!(status(&ask().await), "hit");
    // Other settings, other data.
    project.owner.put(&connection, json!({"options": {"store": "empty"}})).await.expect(200);
    ask().await.refused(404, "NOT_FOUND");
    project.owner.put(&connection, json!({"options": {"store": ""}})).await.expect(200);
    assert_eq!(status(&ask().await), "fwd=miss; stored");
    project.owner.delete(&connection).await.expect(204);
    ask().await.refused(404, "NOT_FOUND");
    // The other connection of the project is none the worse.
    assert_eq!(status(&read(&project).await), "fwd=miss; stored");
}

#[tokio::test]
async fn errors_are_asked_for_again() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let path = project.path("probe", COUNTER);
    for count in 1..=3 {
        project.viewer.get(&path).await.refused(404, "NOT_FOUND");
        assert_eq!(reads(&project).await, count);
    }
}

#[tokio::test]
async fn call_that_only_reads_leaves_what_is_kept() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    read(&project).await;
    add(&project, "/maybe").await.expect(204);
    let by_viewer =
        project.viewer.post(&project.path("probe", &format!("{COUNTER}/maybe")), json!(null)).await;
    by_viewer.expect(204);
    assert_eq!(status(&read(&project).await), "hit");
    add(&project, "/maybe?add=true").await.expect(204);
    let after = read(&project).await;
    assert_eq!((status(&after).as_str(), after.data()["value"].as_u64()), ("fwd=miss; stored", Some(2)));
}

#[tokio::test]
async fn settings_shorten_or_switch_off_what_the_driver_declares() {
    let short = probe_with("cache = { times = { \"/counters/{name}\" = \"300ms\" } }");
    let (_gateway, project) = start(short).await;
    add(&project, "").await.expect(204);
    assert_eq!(status(&read(&project).await), "fwd=miss; stored");
    eventually("the reply expires", async || status(&read(&project).await) == "fwd=miss; stored").await;

    for off in [
        probe_with("cache = { times = { \"/counters/{name}\" = 0 } }"),
        probe_with("cache = { enabled = false }"),
        GatewayOptions::default().set("GATEWAY_CACHE_ENABLED", "false"),
    ] {
        let (_gateway, project) = start(off).await;
        add(&project, "").await.expect(204);
        for count in 1..=2 {
            let answer = read(&project).await;
            assert_eq!(status(&answer), "fwd=bypass");
            assert!(answer.header("etag").is_none(), "{answer}");
            assert_eq!(reads(&project).await, count);
        }
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_the_driver_stop_the_start() {
    for (lines, words) in [
        ("cache = { times = { \"/nothing\" = 5 } }", vec!["probe.so", "`/nothing`", "`/counters/{name}`"]),
        ("cache = { times = { \"/counters/{name}\" = \"soon\" } }", vec!["length of time"]),
        ("cache = { ttl = 5 }", vec!["ttl"]),
    ] {
        let mut gateway = Gateway::prepare(probe_with(lines)).await;
        gateway.fails_to_start().await.says(&words);
    }
}

#[tokio::test]
async fn reloaded_driver_answers_for_itself() {
    let (gateway, project) = start(probe_with("")).await;
    add(&project, "").await.expect(204);
    read(&project).await;
    assert_eq!(status(&read(&project).await), "hit");
    let changed = Plugin::new("probe").line("limits = { operation_timeout = 29 }");
    Plugins::new([changed]).write(&gateway.plugins_file());
    gateway.platform_admin().post("/api/platform/plugins/reload", json!({})).await.expect(200);
    // The same bytes are loaded beside the old ones, and that driver has counted nothing yet.
    project.viewer.get(&project.path("probe", COUNTER)).await.refused(404, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stampede_on_a_cold_reply_makes_one_call() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let path = project.path("probe", &format!("{COUNTER}?after=500"));
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (viewer, path) = (project.viewer.clone(), path.clone());
        callers.spawn(async move { viewer.get(&path).await });
    }
    for answer in callers.join_all().await {
        assert_eq!(answer.expect(200).data()["value"], 1);
    }
    assert_eq!(reads(&project).await, 1);
}

async fn stampede_on_cold_redis_info_asks_redis_once(driver: RedisDriver) {
    let world = World::start(driver).await;
    let path = world.alpha.path("redis", "/info");
    // So that the session is open, which asks INFO too.
    world.alpha.viewer.get(&world.alpha.path("redis", "/keys")).await.expect(200);
    world.redis.run(&["CONFIG", "RESETSTAT"]).await;
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let (viewer, path) = (world.alpha.viewer.clone(), path.clone());
        callers.spawn(async move { viewer.get(&path).await.expect(200) });
    }
    callers.join_all().await;
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut world.redis.connection().await)
        .await
        .unwrap();
    assert!(stats.contains("cmdstat_info:calls=1,"), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_caller_who_leaves_takes_nobody_along() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    add(&project, "").await.expect(204);
    let path = project.path("probe", &format!("{COUNTER}?after=2000"));
    let ask = || {
        let (viewer, path) = (project.viewer.clone(), path.clone());
        tokio::spawn(async move { viewer.get(&path).await })
    };
    let first = ask();
    eventually("the first call is under way", async || reads(&project).await == 1).await;
    let others: Vec<_> = (0..20).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.abort();
    for other in others {
        let answer = other.await.unwrap().expect(200);
        assert_eq!(status(&answer), "fwd=miss; stored; collapsed");
    }
    assert_eq!(reads(&project).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_keeps_their_own_deadline() {
    let options = GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "2s");
    let (_gateway, project) = start(options).await;
    add(&project, "").await.expect(204);
    // Slower than the first caller's time: that of the second one, who joins, is not used up by then.
    let path = project.path("probe", &format!("{COUNTER}?before=1000&after=1200"));
    let ask = || {
        let (viewer, path) = (project.viewer.clone(), path.clone());
        tokio::spawn(async move {
            let start = std::time::Instant::now();
            (viewer.get(&path).await, start.elapsed())
        })
    };
    let first = ask();
    eventually("the first call is under way", async || reads(&project).await == 1).await;
    let second = ask();
    for asked in [first, second] {
        let (answer, time) = asked.await.unwrap();
        answer.refused(504, "TIMEOUT");
        assert!(time >= Duration::from_millis(1900), "cut off by another's deadline after {time:?}");
    }
}

on_both_kinds!(stampede_on_cold_redis_info_asks_redis_once);
