//! Telling from outside where a request's time went.

use crate::exclusive_sessions::until_waiting;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use studio_gateway_tests::{Gateway, GatewayOptions, Plugin, Plugins, Project, eventually};

/// Names the steps of a driver request; only one for what may be kept looks into the cache.
const STEPS: [&str; 8] = ["route", "authorize", "admit", "locate", "look_up", "prepare", "call", "reply"];

/// Lists the spans of one request whose end the log tells, by name.
fn ended(log: &str, request_id: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains(request_id));
    let records = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ends = records.filter(|record| record["message"] == "close");
    let times =
        ends.inspect(|end| assert!(end["time.busy"].is_string() && end["time.idle"].is_string(), "{end}"));
    times.map(|end| end["span"]["name"].as_str().unwrap().to_owned()).collect()
}

async fn gateway_with_log(filter: &str) -> (Gateway, Project) {
    let gateway = Gateway::start(GatewayOptions::default().set("GATEWAY_LOG", filter)).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    (gateway, project)
}

#[tokio::test]
async fn steps_of_a_request_tell_their_times_when_asked() {
    let without_cache: Vec<_> = STEPS.into_iter().filter(|step| *step != "look_up").collect();
    let flow = "info,studio_gateway::flow=debug";
    for (filter, path, steps) in
        [(flow, "/counters/x", &STEPS[..]), (flow, "/facts/x", &without_cache), ("debug", "/counters/x", &[])]
    {
        let (gateway, project) = gateway_with_log(filter).await;
        project.developer.post(&project.path("probe", "/counters/x"), json!(null)).await.expect(204);
        let answer = project.viewer.get(&project.path("probe", path)).await.expect(200);
        let id = answer.header("x-request-id").unwrap();
        // The request's own line comes last but for the end of its span.
        eventually("the request is in the log", async || gateway.log().contains(&format!("\"{id}\""))).await;
        let mut found = Vec::new();
        eventually(&format!("{steps:?} are in the log of {filter}"), async || {
            found = ended(&gateway.log(), id);
            found.retain(|name| name != "request");
            found == steps
        })
        .await;
    }
}

/// Reads a sample's value; one that is not there is 0.
async fn sample(gateway: &Gateway, name: &str) -> f64 {
    let text = String::from_utf8(gateway.anonymous().get("/metrics").await.expect(200).bytes).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn time_waited_for_a_session_is_counted_by_driver() {
    let single = Plugin::new("single").line("limits = { sessions = 1 }");
    let gateway = Gateway::start(GatewayOptions::default().plugins(Plugins::new([single]))).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    let connect = async |project: &Project, options: Value| {
        project.connect("single", json!({"identifier": "one", "host": "127.0.0.1", "options": options})).await
    };
    connect(&project, json!({})).await;
    let watching = Project::create_empty(&gateway, "watching").await;
    connect(&watching, json!({"watches": true})).await;
    let begin = |path: &str| {
        let (viewer, path) = (project.viewer.clone(), project.path("single", path));
        tokio::spawn(async move { viewer.get(&path).await })
    };
    let watch = async |path: &str| gateway.platform_admin().get(&watching.path("single", path)).await;

    let held = begin("/hold");
    eventually("the session is held", async || watch("/facts").await.data()["holding"] == 1).await;
    let count = "studio_gateway_lease_wait_seconds_count{type=\"single\"}";
    let sum = "studio_gateway_lease_wait_seconds_sum{type=\"single\"}";
    let (calls, seconds) = (sample(&gateway, count).await, sample(&gateway, sum).await);
    assert!(calls >= 2.0 && seconds > 0.0, "{calls} calls waited {seconds} s");
    let waiting = begin("/nothing");
    until_waiting(&gateway, 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    watch("/release").await.expect(204);
    held.await.unwrap().expect(204);
    waiting.await.unwrap().expect(204);
    // Those who watched hardly waited.
    assert!(sample(&gateway, sum).await - seconds > 0.25, "a wait of 0.3 s is not counted");
    assert!(sample(&gateway, count).await >= calls + 2.0);
}

#[tokio::test]
async fn counts_of_an_operation_go_on_over_a_reload() {
    let (gateway, project) = gateway_with_log("info").await;
    let asked = [("/nothing", 200, 2), ("/panic", 502, 1), ("/block?milliseconds=0", 204, 1)];
    for round in 1..=2_u32 {
        for (path, status, times) in asked {
            for _ in 0..times {
                let answer = project.viewer.get(&project.path("probe", path)).await;
                assert_eq!(answer.status, status, "{path}");
            }
        }
        for (path, status, times) in asked {
            let operation = path.split('?').next().unwrap();
            let labels = format!("type=\"probe\",operation=\"GET {operation}\"");
            let counter = format!("studio_gateway_requests_total{{{labels},status=\"{status}\"}}");
            assert_eq!(sample(&gateway, &counter).await, f64::from(times * round), "{counter}");
            for time in ["request_duration", "driver_call_duration"] {
                let counter = format!("studio_gateway_{time}_seconds_count{{{labels}}}");
                assert_eq!(sample(&gateway, &counter).await, f64::from(times * round), "{counter}");
            }
        }
        gateway.platform_admin().post("/api/platform/plugins/reload", json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn metrics_are_of_the_types_that_their_page_tells() {
    let (gateway, project) = gateway_with_log("info").await;
    project.viewer.get(&project.path("probe", "/facts/x")).await.expect(200);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/watching.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `studio_gateway_")?.split_once("` | "));
    let documented: BTreeMap<&str, &str> =
        rows.map(|(name, rest)| (name, rest.split([':', ' ']).next().unwrap())).collect();
    let text = String::from_utf8(gateway.anonymous().get("/metrics").await.expect(200).bytes).unwrap();
    let mut count = 0;
    for (name, of_type) in
        text.lines().filter_map(|line| line.strip_prefix("# TYPE studio_gateway_")?.split_once(' '))
    {
        assert_eq!(documented.get(name), Some(&of_type), "{name}");
        count += 1;
    }
    assert!(count > 10, "{count} metrics");
}
