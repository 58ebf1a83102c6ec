//! Requests at the edges of HTTP: each is answered in the envelope, by what became of it.

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::time::{Duration, Instant};
use studio_gateway_tests::{
    Gateway, GatewayOptions, Project, RawAnswer, Registry, Token, raw::raw_get, raw_request,
};

on_both_registries!(paths_that_are_no_text_are_answered_in_the_envelope);

/// Asserts a failure in the envelope.
#[track_caller]
fn refused(answer: &RawAnswer, status: u16, code: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}{text}", answer.head));
    let error = &json["error"];
    assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{}{text}", answer.head);
    assert!(
        answer.head.contains(&format!("x-request-id: {}", error["request_id"].as_str().unwrap())),
        "{text}"
    );
}

#[tokio::test]
async fn accepting_no_coding_changes_nothing_of_what_is_answered() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let admin = gateway.platform_admin();
    for (number, accepted) in [
        "*;q=0",
        "identity;q=0",
        "identity; q=0.000, *;q=0",
        "gzip;q=0, IDENTITY;Q=0",
        "br;q=0,gzip;q=0,deflate;q=0,zstd;q=0,*;q=0",
        "unknown, *;q=0.0",
    ]
    .into_iter()
    .enumerate()
    {
        let send = async |method: &str, path: &str, body: Option<Value>| {
            let request = admin.request(method, path).header("accept-encoding", accepted);
            admin
                .send(match body {
                    Some(body) => request.json(&body),
                    None => request,
                })
                .await
        };
        let slug = format!("org-{number}");
        let body = json!({"name": slug, "slug": slug});
        let answer = send("POST", "/api/platform/organizations", Some(body)).await.expect(201);
        assert_eq!(answer.data()["slug"], slug.as_str(), "{accepted}");
        send("POST", &project.path("probe", "/write"), Some(json!({}))).await.expect(204);
        send("GET", &project.path("probe", "/nothing"), None).await.expect(200);
        send("GET", "/healthz", None).await.expect(200);
        send("GET", "/nowhere", None).await.refused(404, "NOT_FOUND");
        send("GET", "/readyz", None).await.expect(200);
    }
    // What is acceptable is used.
    let large = project.path("probe", "/large?megabytes=1");
    for (accepted, coding) in
        [("gzip, *;q=0", Some("gzip")), ("*;q=0", None), ("identity;q=0, br", Some("br"))]
    {
        let answer =
            admin.send(admin.request("GET", &large).header("accept-encoding", accepted)).await.expect(200);
        assert_eq!(answer.header("content-encoding"), coding, "{accepted}");
    }
}

async fn paths_that_are_no_text_are_answered_in_the_envelope(registry: Registry) {
    let gateway = Gateway::start(GatewayOptions::new(registry)).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let admin = gateway.platform_admin();
    for part in ["%FF", "%00", "a%00b", "%C3%28"] {
        for (method, path) in [
            ("GET", format!("/api/platform/projects/{part}")),
            ("DELETE", format!("/api/platform/projects/{part}")),
            ("GET", format!("/api/platform/projects/{part}/members")),
            ("PUT", format!("/api/platform/projects/alpha/members/{part}")),
            ("DELETE", format!("/api/platform/projects/alpha/members/{part}")),
            ("GET", format!("/api/platform/{part}/alpha/connections")),
            ("POST", format!("/api/platform/probe/{part}/connections")),
            ("GET", format!("/api/platform/probe/alpha/connections/{part}")),
            ("POST", format!("/api/platform/probe/alpha/connections/{part}/test")),
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
                admin.token()
            );
            refused(&raw_request(gateway.address(), request.as_bytes()).await, 400, "VALIDATION_ERROR");
        }
        // A driver's path: what is no name of a project leads nowhere.
        let path = format!("/api/platform/probe/{part}/nothing");
        refused(&raw_get(gateway.address(), &path, admin.token()).await, 404, "NOT_FOUND");
        let path = format!("/api/platform/{part}/alpha/nothing");
        refused(&raw_get(gateway.address(), &path, admin.token()).await, 404, "UNKNOWN_DATABASE_TYPE");
    }
    let path = "/api/platform/probe/alpha/nothing?connection=%00";
    refused(&raw_get(gateway.address(), path, admin.token()).await, 400, "VALIDATION_ERROR");
    let nobody = gateway.client(&Token::user("no\0body").grant("alpha", "owner"));
    nobody.get("/api/platform/projects").await.refused(401, "UNAUTHENTICATED");
    nobody.get(&project.path("probe", "/nothing")).await.refused(401, "UNAUTHENTICATED");
    for body in [json!({"name": "a\0b", "slug": "slug"}), json!({"name": "name", "slug": "sl\0ug"})] {
        admin.post("/api/platform/organizations", body).await.refused(400, "VALIDATION_ERROR");
    }
    for field in ["username", "database_name", "host", "identifier"] {
        let mut body = json!({"identifier": "two", "host": "127.0.0.1"});
        body[field] = json!("a\0b");
        let answer = project.owner.post(&project.connections("probe"), body).await;
        answer.refused_field(field);
    }
    for options in [json!({"store": "a\0b"}), json!({"deep": {"\0": 1}})] {
        let body = json!({"identifier": "two", "host": "127.0.0.1", "options": options});
        project.owner.post(&project.connections("probe"), body).await.refused_field("options");
    }
}

#[tokio::test]
async fn request_of_two_hosts_is_refused() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    for path in ["/healthz", "/api/platform/projects", "/nowhere"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nHost: b\r\nconnection: close\r\n\r\n");
        refused(&raw_request(gateway.address(), request.as_bytes()).await, 400, "VALIDATION_ERROR");
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert_ne!(raw_request(gateway.address(), request.as_bytes()).await.status, 400);
    }
}

#[tokio::test]
async fn library_headers_are_allowed_and_plain_options_tells_methods() {
    let options = GatewayOptions::default().set("GATEWAY_CORS_ORIGINS", "https://studio.example.com");
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    let anonymous = gateway.anonymous();
    let wanted = "apikey,authorization,cache-control,content-type,pg,pragma,range,x-client-info,x-connection-encrypted";
    for path in [project.path("probe", "/write"), "/api/platform/projects".to_owned()] {
        let question = anonymous
            .request("OPTIONS", &path)
            .header("origin", "https://studio.example.com")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", wanted);
        let answer = anonymous.send(question).await;
        assert!(answer.status < 300, "{answer}");
        assert_eq!(answer.header("access-control-allow-headers"), Some(wanted));
    }
    let viewer = &project.viewer;
    let answer = viewer.call("OPTIONS", &project.path("probe", "/write"), None).await.expect(204);
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{answer}");
    let answer = viewer.call("OPTIONS", "/api/platform/projects", None).await;
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("POST")), "{answer}");
}

#[tokio::test]
async fn gateways_routes_have_a_deadline_and_tell_unknown_outcomes() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    let member = "/api/platform/projects/alpha/members/late";
    let mut other = SqliteConnection::connect(&gateway.database.url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let start = Instant::now();
    let request = project.owner.request("PUT", member).json(&json!({"role": "viewer"}));
    let answer = project.owner.send(request.header("x-request-timeout", "300ms")).await;
    assert_eq!(answer.refused(504, "TIMEOUT")["outcome"], "unknown");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    for wrong in ["0", "soon"] {
        let request =
            project.owner.request("GET", "/api/platform/projects").header("x-request-timeout", wrong);
        project.owner.send(request).await.refused_field("x-request-timeout");
    }
    project.owner.put(member, json!({"role": "viewer"})).await;
}
