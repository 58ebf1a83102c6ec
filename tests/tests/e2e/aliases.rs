//! A driver under another prefix, with another shape of answers.

use serde_json::{Value, json};
use studio_gateway_tests::{Answer, Gateway, GatewayOptions, Plugin, Plugins, Project, Token, eventually};

const OLD: &str = "old-probe";

/// A gateway with the probe alone, and a project with a connection of it.
async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options.plugins(Plugins::new([Plugin::new("probe")]))).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("main", json!({})).await;
    (gateway, project)
}

/// Asserts a failure as an alias without envelope has it, and gives back the whole body.
#[track_caller]
fn refused(answer: &Answer, status: u16, message: &str) -> Value {
    let body = answer.json();
    assert_eq!(answer.status, status, "{answer}");
    assert!(body["error"].as_str().is_some_and(|error| error.contains(message)), "{answer}");
    assert!(
        body.get("code").is_none_or(|code| code == "42P01") && body.get("request_id").is_none(),
        "{answer}"
    );
    body
}

#[tokio::test]
async fn payloads_are_sent_as_they_are() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let answer = project.viewer.get(&project.path(OLD, "/nothing")).await.expect(200);
    assert_eq!(
        (answer.bytes.as_slice(), answer.header("content-type")),
        (&b"null"[..], Some("application/json"))
    );
    for text in ["plain", ""] {
        let answer = project.viewer.get(&project.path(OLD, &format!("/text?text={text}"))).await.expect(200);
        let media_type = answer.header("content-type");
        assert_eq!(
            (answer.bytes.as_slice(), media_type),
            (text.as_bytes(), Some("text/plain; charset=utf-8"))
        );
    }
    let made = project.developer.post(&project.path(OLD, "/made"), json!({"text": "x"})).await.expect(201);
    assert_eq!(made.json(), "x");
    project.developer.post(&project.path(OLD, "/write"), json!(null)).await.expect(204);
    // By name, as under the driver's type.
    project.connect_probe("other", json!({})).await;
    project.viewer.get(&project.path(OLD, "/nothing?connection=other")).await.expect(200);
    // Each prefix has its own operations.
    project.viewer.get(&project.path("probe", "/text?text=x")).await.refused(404, "NOT_FOUND");
    refused(&project.viewer.get(&project.path(OLD, "/sessions")).await, 404, "Not found");
}

#[tokio::test]
async fn aliased_errors_are_bare_with_their_details_and_own_statuses() {
    let (_gateway, project) = start(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "500ms")).await;
    let answer = project.viewer.get(&project.path(OLD, "/fail")).await;
    let body = refused(&answer, 400, "there is no such thing");
    assert_eq!(body, json!({"error": "there is no such thing", "code": "42P01", "position": 7}));
    let answer = project.developer.post(&project.path(OLD, "/made"), json!({"txt": 1})).await;
    assert_eq!(refused(&answer, 500, "txt")["field"], "txt");
    refused(&project.viewer.get(&project.path(OLD, "/wait?milliseconds=60000")).await, 408, "deadline");
}

#[tokio::test]
async fn hosts_errors_are_bare_too() {
    let (gateway, project) = start(GatewayOptions::default().set("GATEWAY_MAX_BODY_BYTES", "100")).await;
    let nothing = project.path(OLD, "/nothing");
    let answer = gateway.anonymous().get(&nothing).await;
    assert_eq!(refused(&answer, 401, "token")["message"], answer.json()["error"]);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    refused(&gateway.client(&Token::user("stranger")).get(&nothing).await, 404, "project");
    let body = refused(&project.viewer.post(&project.path(OLD, "/admin"), json!(null)).await, 403, "");
    assert_eq!(body["role"], "viewer");
    let answer = project.viewer.delete(&nothing).await;
    refused(&answer, 405, "method");
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    let large = json!({"text": "x".repeat(200)});
    let answer = project.developer.post(&project.path(OLD, "/made"), large).await;
    assert_eq!(refused(&answer, 413, "100 bytes")["limit_bytes"], 100);
    // The host's own refusals of parameters have the alias's status as well.
    let answer = project.viewer.get(&project.path(OLD, "/nothing?connection_id=7")).await;
    assert_eq!(refused(&answer, 500, "UUID")["field"], "connection_id");
    refused(&project.viewer.get(&project.path(OLD, "/nothing?connection=none")).await, 404, "named `none`");
    project.connect_probe("refuses", json!({"connect": "refuse"})).await;
    let answer = project.viewer.get(&project.path(OLD, "/nothing?connection=refuses")).await;
    assert_eq!(refused(&answer, 503, "refuses")["reason"], "refused");
    // Unknown paths, and what is under the driver's own type alone.
    for path in ["/no/such/path", "/connections", "/connections/7"] {
        refused(&project.admin.get(&project.path(OLD, path)).await, 404, "Not found");
    }
    for path in ["/api/platform/old-probe", "/api/platform/old-probe/", "/api/platform/old-probe/alpha"] {
        refused(&project.admin.get(path).await, 404, "Not found");
    }
    let body = json!({"identifier": "x", "host": "127.0.0.1"});
    let body = refused(&project.admin.post(&project.path(OLD, "/connections"), body).await, 404, "Not found");
    assert_eq!(body.get("message"), None);
}

#[tokio::test]
async fn limit_that_is_reached_is_told_in_the_aliases_shape() {
    let (mut gateway, project) = start(GatewayOptions::default()).await;
    gateway.set("GATEWAY_RATE_LIMIT", "1");
    gateway.restart().await;
    let nothing = project.path(OLD, "/nothing");
    project.viewer.get(&nothing).await.expect(200);
    let answer = project.viewer.get(&nothing).await;
    let body = refused(&answer, 429, "");
    assert!(body["retry_after"].is_u64() && body["message"] == body["error"]);
    assert!(answer.header("retry-after").is_some() && answer.header("ratelimit").is_some());
}

#[tokio::test]
async fn error_keeps_the_shape_of_its_prefix_over_a_reload() {
    let options = GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "5s");
    let (gateway, project) = start(options).await;
    let (viewer, wait) = (project.viewer.clone(), project.path(OLD, "/wait?milliseconds=60000"));
    let waiting = tokio::spawn(async move { viewer.get(&wait).await });
    eventually("the call is under way", async || {
        let metrics = gateway.anonymous().get("/metrics").await.expect(200);
        let metrics = String::from_utf8(metrics.bytes).unwrap();
        metrics.lines().any(|line| line.starts_with("studio_gateway_running_calls{") && line.ends_with(" 1"))
    })
    .await;
    Plugins::new([Plugin::new("probe").disabled()]).write(&gateway.plugins_file());
    gateway.platform_admin().post("/api/platform/plugins/reload", json!({})).await.expect(200);
    project.viewer.get(&project.path("probe", "/nothing")).await.refused(404, "UNKNOWN_DATABASE_TYPE");
    refused(&waiting.await.unwrap(), 408, "deadline");
}

#[tokio::test]
async fn write_by_one_prefix_makes_replies_of_the_other_stale() {
    let (_gateway, project) = start(GatewayOptions::default()).await;
    let [new, old] = ["probe", OLD].map(|prefix| project.path(prefix, "/counters/c"));
    let value = async |path: &str| {
        let answer = project.viewer.get(path).await.expect(200);
        let payload = if path == new { answer.data() } else { answer.json() };
        (payload["value"].as_u64().unwrap(), answer.header("cache-status").unwrap().contains("; hit"))
    };
    project.developer.post(&new, json!(null)).await.expect(204);
    for (round, writer) in (1..).zip([&old, &new, &old]) {
        for path in [&new, &old] {
            assert_eq!(value(path).await, (round, false));
            assert_eq!(value(path).await, (round, true));
        }
        project.developer.post(writer, json!(null)).await.expect(204);
    }
    let answer = project.viewer.get(&old).await.expect(200);
    let request = project.viewer.request("GET", &old).header("if-none-match", answer.header("etag").unwrap());
    project.viewer.send(request).await.expect(304);
}

#[tokio::test]
async fn alias_is_listed_audited_and_counted_by_the_drivers_type() {
    let (gateway, project) = start(GatewayOptions::default()).await;
    project.developer.post(&project.path(OLD, "/write"), json!(null)).await.expect(204);
    let plugins = project.viewer.get("/api/platform/plugins").await.items();
    let probe = plugins.iter().find(|plugin| plugin["type"] == "probe").unwrap();
    let statuses = json!({"VALIDATION_ERROR": 500, "TIMEOUT": 408});
    assert_eq!(probe["aliases"], json!([{"prefix": OLD, "envelope": "bare", "statuses": statuses}]));
    let text = probe["operations"].as_array().unwrap().iter().find(|operation| operation["path"] == "/text");
    assert_eq!(text.unwrap()["alias"], OLD);
    assert_eq!(text.unwrap()["media_type"], "text/plain; charset=utf-8");
    let written = format!(
        "SELECT result FROM {} WHERE action = 'probe: POST /write'",
        gateway.database.table("gateway_audit_logs")
    );
    eventually("the write is noted", async || gateway.database.texts(&written).await == ["ok"]).await;
    let metrics = gateway.anonymous().get("/metrics").await.expect(200);
    let metrics = String::from_utf8(metrics.bytes).unwrap();
    assert!(metrics.contains("operation=\"POST /write\"") && !metrics.contains(OLD), "{metrics}");
}

#[tokio::test]
async fn prefix_that_is_another_drivers_is_refused_by_both_names() {
    // Whether that driver loads does not matter: its type is taken.
    let plugins = Plugins::new([Plugin::new("probe"), Plugin::file(OLD, "nowhere.so")]);
    let mut gateway = Gateway::prepare(GatewayOptions::default().plugins(plugins)).await;
    gateway.fails_to_start().await.says(&["plugin `probe`", "its alias `old-probe`", "of type `old-probe`"]);
}
