//! How a memcached connection may be described, and what callers are told when it does not lead to a server.

use crate::memcached::{gateway, routes};
use serde_json::{Value, json};
use studio_gateway_tests::{
    Gateway, GatewayOptions, HostileServer, MemcachedOptions, MemcachedServer, Project, RedisServer, Says,
    eventually, process::free_port,
};

/// A gateway with project `alpha`, which has no connections yet.
async fn start() -> (Gateway, Project) {
    let gateway = gateway(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// Connection parts that lead to a server of this machine, with more fields from `extra`.
fn parts(identifier: &str, port: u16, extra: Value) -> Value {
    let mut body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// What the test of a new connection finds.
async fn test(project: &Project, body: Value) -> Value {
    let id = project.connect("memcached", body).await;
    let path = format!("{}/{id}/test", project.connections("memcached"));
    project.admin.post(&path, json!({})).await.expect(200).data()
}

/// The connection works: its test says so, and what is written by it is there.
async fn works(project: &Project, body: Value) -> Value {
    let identifier = body["identifier"].as_str().unwrap().to_owned();
    let found = test(project, body).await;
    assert_eq!(
        (&found["success"], found["version"].is_string()),
        (&json!(true), true),
        "{identifier}: {found}"
    );
    let path = project.path("memcached", &format!("/keys/{identifier}?connection={identifier}"));
    project.developer.post(&path, json!({"value": identifier})).await.expect(201);
    assert_eq!(project.viewer.get(&path).await.expect(200).data()["value"], identifier);
    found
}

/// The connection fails for this reason, by its test and in use.
async fn fails(project: &Project, body: Value, reason: &str) {
    let identifier = body["identifier"].as_str().unwrap().to_owned();
    let found = test(project, body).await;
    assert_eq!(found["success"], false, "{identifier}: {found}");
    assert_eq!(found["error"]["details"]["reason"], reason, "{identifier}: {found}");
    let path = project.path("memcached", &format!("/keys?connection={identifier}"));
    let details = project.viewer.get(&path).await.refused(503, "CONNECTION_ERROR");
    let cause = if details["reason"] == "circuit_open" { &details["cause"] } else { &details["reason"] };
    assert_eq!(cause, reason, "{identifier}: {details}");
}

#[tokio::test]
async fn users_of_the_authentication_file_log_in_and_others_are_told() {
    let (gateway, alpha) = start().await;
    let options = MemcachedOptions::new().user("app", "app-pass-1").user("odd", "p%61:/@ss-w0rd");
    let server = MemcachedServer::start(options).await;
    let login = |username: &str, password: &str| json!({"username": username, "password": password});
    let found = works(&alpha, parts("app", server.port, login("app", "app-pass-1"))).await;
    assert_eq!(found["authenticated"], true);
    works(&alpha, parts("odd", server.port, login("odd", "p%61:/@ss-w0rd"))).await;
    let url = format!("memcached://odd:p%2561%3A%2F%40ss-w0rd@127.0.0.1:{}", server.port);
    works(&alpha, json!({"identifier": "string", "connection_string": url})).await;
    for (identifier, extra) in [
        ("wrong-password", login("app", "wrong-pass-1")),
        ("wrong-user", login("nobody", "app-pass-1")),
        ("no-password", json!({})),
    ] {
        fails(&alpha, parts(identifier, server.port, extra), "authentication_failed").await;
    }
    // A server that does not ask is not told: it would keep the password as a value.
    let open = MemcachedServer::plain().await;
    let found = works(&alpha, parts("open", open.port, login("app", "app-pass-1"))).await;
    assert_eq!(found["authenticated"], false);
    assert_eq!(open.ask("get login"), "END");
    let seen = String::from_utf8_lossy(&gateway.transcript.bytes()).into_owned() + &gateway.whole_log().await;
    for password in ["app-pass-1", "ss-w0rd", "wrong-pass-1"] {
        assert!(!seen.contains(password), "{password} is in an answer or in the log");
    }
}

#[tokio::test]
async fn tls_is_checked_by_the_given_authority_unless_told_not_to() {
    let (_gateway, alpha) = start().await;
    let server = MemcachedServer::start(MemcachedOptions::new().tls()).await;
    let other = MemcachedServer::start(MemcachedOptions::new().tls()).await;
    let plain = MemcachedServer::plain().await;
    let authority = &server.certificates.as_ref().unwrap().authority;
    let foreign = &other.certificates.as_ref().unwrap().authority;
    for (identifier, options) in [
        ("with-ca", json!({"tls": true, "tls_ca": authority})),
        ("insecure", json!({"tls": true, "tls_insecure": true})),
    ] {
        works(&alpha, parts(identifier, server.port, json!({"options": options}))).await;
    }
    let url = format!("memcacheds://localhost:{}", server.port);
    let string = json!({"identifier": "string", "connection_string": url, "options": {"tls_ca": authority}});
    works(&alpha, string).await;
    for (identifier, port, options) in [
        ("no-ca", server.port, json!({"tls": true})),
        ("foreign-ca", server.port, json!({"tls": true, "tls_ca": foreign})),
        ("tls-to-plain", plain.port, json!({"tls": true, "tls_insecure": true})),
    ] {
        fails(&alpha, parts(identifier, port, json!({"options": options})), "tls").await;
    }
    fails(&alpha, parts("plain-to-tls", server.port, json!({})), "closed").await;
}

#[tokio::test]
async fn server_of_another_kind_is_told() {
    let (_gateway, alpha) = start().await;
    let redis = RedisServer::plain().await;
    fails(&alpha, parts("redis", redis.port, json!({})), "unsupported").await;
    fails(&alpha, parts("nobody", free_port(), json!({})), "refused").await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_when_they_are_given() {
    let (_gateway, alpha) = start().await;
    for (extra, field) in [
        (json!({"options": {"tls": "yes"}}), "options.tls"),
        (json!({"options": {"tls": true, "tls_ca": "no certificate"}}), "options.tls_ca"),
        (json!({"options": {"tls_ca": "means nothing alone"}}), "options.tls_ca"),
        (json!({"options": {"surplus": 1}}), "options.surplus"),
        (json!({"database_name": "0"}), "database_name"),
        (json!({"password": "hunter2"}), "username"),
        (json!({"username": "app"}), "password"),
    ] {
        let answer = alpha.owner.post(&alpha.connections("memcached"), parts("odd", 11211, extra)).await;
        assert!(!answer.message().contains("hunter2"));
        answer.refused_field(field);
    }
    for string in
        ["nonsense", "http://127.0.0.1", "memcached://127.0.0.1?x=hunter2", "memcached://127.0.0.1/hunter2"]
    {
        let body = json!({"identifier": "odd", "connection_string": string});
        let answer = alpha.owner.post(&alpha.connections("memcached"), body).await;
        assert!(!answer.message().contains("hunter2"));
        answer.refused_field("connection_string");
    }
    assert!(alpha.owner.get(&alpha.connections("memcached")).await.items().is_empty());
}

#[tokio::test]
async fn every_route_reports_a_missing_inactive_or_down_connection() {
    let (_gateway, alpha) = start().await;
    let every = async |status: u16, code: &str| {
        for (method, path, body, _, _) in routes() {
            let answer = alpha.owner.call(method, &alpha.path("memcached", path), body).await;
            answer.refused(status, code);
        }
    };
    every(404, "NOT_FOUND").await;
    let id = alpha.connect("memcached", parts("main", free_port(), json!({}))).await;
    every(503, "CONNECTION_ERROR").await;
    let one = format!("{}/{id}", alpha.connections("memcached"));
    alpha.owner.put(&one, json!({"status": "INACTIVE"})).await.expect(200);
    every(409, "CONFLICT").await;
}

#[tokio::test]
async fn silent_server_is_a_timeout_and_works_again_afterwards() {
    let gateway = gateway(GatewayOptions::default().set("GATEWAY_REQUEST_TIMEOUT", "1")).await;
    let alpha = Project::create_empty(&gateway, "alpha").await;
    let server = MemcachedServer::plain().await;
    alpha.connect("memcached", parts("main", server.port, json!({}))).await;
    let path = alpha.path("memcached", "/keys/k");
    alpha.developer.post(&path, json!({"value": "v"})).await.expect(201);
    server.freeze();
    alpha.viewer.get(&path).await.refused(504, "TIMEOUT");
    server.thaw();
    eventually("it works again", async || alpha.viewer.get(&path).await.status == 200).await;
    assert_eq!(alpha.viewer.get(&path).await.data()["value"], "v");
}

#[tokio::test]
async fn working_connection_passes_its_test_despite_untold_facts() {
    let (_gateway, project) = start().await;
    let server = HostileServer::start(|asked| {
        Says::once(if asked.starts_with("version") { "VERSION 1.6.21\r\n" } else { "ERROR\r\n" })
    });
    let found = test(&project, parts("silent", server.port, json!({}))).await;
    assert_eq!((&found["success"], &found["version"]), (&json!(true), &json!("1.6.21")), "{found}");
}

#[tokio::test]
async fn server_that_admits_nobody_is_told_by_its_reason_at_any_step() {
    let (_gateway, project) = start().await;
    let login = json!({"username": "alice", "password": "secret-1"});
    let full = "ERROR Too many open connections\r\n";
    let server = HostileServer::start(move |_| Says::once(full));
    fails(&project, parts("full", server.port, login.clone()), "too_many_connections").await;
    for (identifier, answer, reason) in [
        ("full-later", full, "too_many_connections"),
        ("out-of-memory", "SERVER_ERROR out of memory storing object\r\n", "refused"),
        ("refused", "CLIENT_ERROR authentication failure\r\n", "authentication_failed"),
    ] {
        let server = HostileServer::start(move |asked| {
            let asks = "CLIENT_ERROR unauthenticated\r\n";
            Says::once(if asked.starts_with("version") { asks } else { answer })
        });
        fails(&project, parts(identifier, server.port, login.clone()), reason).await;
    }
}
