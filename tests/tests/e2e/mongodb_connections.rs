//! How a MongoDB connection may be described, and what callers are told when it does not lead to a database.

use serde_json::{Value, json};
use std::{
    fs,
    time::{Duration, Instant},
};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, MongoOptions, MongoServer, Plugin, Plugins, Project, process::free_port,
};

/// What is known at once is told in less: the driver looks for a server for 5 seconds.
const AT_ONCE: Duration = Duration::from_secs(4);
/// The replica set that the tests' servers are of.
const REPLICA_SET: &str = "secantus";

pub(crate) fn options() -> GatewayOptions {
    GatewayOptions::default().plugins(Plugins::new([Plugin::new("mongodb")]))
}

/// A gateway with the MongoDB driver and project `alpha`, which has no connections yet.
pub(crate) async fn start(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// Connection parts that lead to a server of this machine, with more fields from `extra`.
pub(crate) fn parts(identifier: &str, port: u16, extra: Value) -> Value {
    let mut body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// A connection string; `rest` is what comes after `mongodb://`.
fn string(identifier: &str, rest: &str, options: Value) -> Value {
    json!({"identifier": identifier, "connection_string": format!("mongodb://{rest}"), "options": options})
}

/// The path of a database's collection by a connection.
fn documents(project: &Project, connection: &str) -> String {
    project.path("mongodb", &format!("/databases/shop/collections/c/documents?connection={connection}"))
}

async fn insert(project: &Project, connection: &str) -> Answer {
    let body = json!({"document": {"by": connection}});
    project.owner.post(&documents(project, connection), body).await
}

async fn test(project: &Project, id: &str) -> Value {
    let path = format!("{}/{id}/test", project.connections("mongodb"));
    project.admin.post(&path, json!({})).await.expect(200).data()
}

/// The connection works: its test says so, and what is written by it is there.
async fn works(project: &Project, body: Value) {
    let identifier = body["identifier"].as_str().unwrap().to_owned();
    let id = project.connect("mongodb", body).await;
    let found = test(project, &id).await;
    assert_eq!(found["success"], true, "{identifier}: {found}");
    assert!(found.get("error").is_none() && found["version"].is_string(), "{found}");
    insert(project, &identifier).await.expect(201);
    let path = format!("{}&filter={{\"by\":\"{identifier}\"}}", documents(project, &identifier));
    assert_eq!(project.viewer.get(&path).await.expect(200).data()["total"], 1, "{identifier}");
}

/// The connection fails for one of these reasons, by its test and in use, and at once.
async fn fails(project: &Project, body: Value, reasons: &[&str]) {
    fails_within(AT_ONCE, project, body, reasons).await;
}

async fn fails_within(limit: Duration, project: &Project, body: Value, reasons: &[&str]) {
    let identifier = body["identifier"].as_str().unwrap().to_owned();
    let id = project.connect("mongodb", body).await;
    let begin = Instant::now();
    let answer = insert(project, &identifier).await;
    let details = answer.refused(503, "CONNECTION_ERROR");
    assert!(begin.elapsed() < limit, "{identifier}: {:?}: {answer}", begin.elapsed());
    assert!(reasons.contains(&details["reason"].as_str().unwrap()), "{identifier}: {answer}");
    let begin = Instant::now();
    let found = test(project, &id).await;
    assert!(begin.elapsed() < limit, "{identifier}: {:?}", begin.elapsed());
    assert_eq!(found["success"], false, "{identifier}: {found}");
    let reason = found["error"]["details"]["reason"].as_str().unwrap();
    assert!(reasons.contains(&reason), "{identifier}: {found}");
}

/// Panics when one of these is in an answer or in the log.
async fn assert_kept(gateway: &Gateway, secrets: &[&str]) {
    let seen = String::from_utf8_lossy(&gateway.transcript.bytes()).into_owned() + &gateway.whole_log().await;
    for secret in secrets {
        assert!(!seen.contains(secret), "{secret} is in an answer or in the log");
    }
}

#[tokio::test]
async fn mongodb_logins_work_in_any_form_and_wrong_ones_fail_at_once() {
    let (gateway, alpha) = start(options().trace()).await;
    let users = MongoOptions::new().root("root", "root-pass-1").user(
        "shop",
        "seller",
        "sell%r:/@-pass-1",
        "readWrite",
    );
    let server = MongoServer::start(users.user("shop", "reader", "reader-pass-1", "read")).await;
    let (port, dead) = (server.port, free_port());
    let root = |options: Value| json!({"username": "root", "password": "root-pass-1", "options": options});
    let seller =
        |options: Value| json!({"username": "seller", "password": "sell%r:/@-pass-1", "options": options});
    let escaped = "seller:sell%25r%3A%2F%40-pass-1";
    for body in [
        parts("parts", port, root(json!({}))),
        parts("sha1", port, root(json!({"auth_mechanism": "SCRAM-SHA-1"}))),
        parts("sha256", port, root(json!({"auth_mechanism": "SCRAM-SHA-256", "auth_source": "admin"}))),
        parts("source", port, seller(json!({"auth_source": "shop"}))),
        parts("set", port, root(json!({"replica_set": REPLICA_SET, "app_name": "mine"}))),
        string("path", &format!("{escaped}@127.0.0.1:{port}/shop"), json!({})),
        string("by-option", &format!("{escaped}@127.0.0.1:{port}"), json!({"auth_source": "shop"})),
        string(
            "by-string",
            &format!("{escaped}@127.0.0.1:{port}/x?authSource=shop&authMechanism=SCRAM-SHA-1"),
            json!({}),
        ),
        string(
            "several",
            &format!("root:root-pass-1@127.0.0.1:{dead},127.0.0.1:{port}/?replicaSet={REPLICA_SET}"),
            json!({}),
        ),
        string("discovered", &format!("root:root-pass-1@127.0.0.1:{dead},127.0.0.1:{port}"), json!({})),
    ] {
        works(&alpha, body).await;
    }
    for body in [
        parts("wrong-password", port, json!({"username": "root", "password": "wrong-pass-1"})),
        parts("wrong-source", port, root(json!({"auth_source": "shop"}))),
        parts("no-source", port, seller(json!({}))),
        parts("wrong-user", port, json!({"username": "nobody", "password": "root-pass-1"})),
        parts(
            "wrong-sha1",
            port,
            json!({
                "username": "root", "password": "wrong-pass-1", "options": {"auth_mechanism": "SCRAM-SHA-1"},
            }),
        ),
        string(
            "wrong-string",
            &format!("root:wrong-pass-1@127.0.0.1:{port}/?replicaSet={REPLICA_SET}"),
            json!({}),
        ),
    ] {
        fails(&alpha, body, &["authentication_failed"]).await;
    }
    // Servers greet whoever does not log in; they do nothing for them.
    alpha.connect("mongodb", parts("nobody", port, json!({}))).await;
    let details = insert(&alpha, "nobody").await.refused(503, "CONNECTION_ERROR");
    assert_eq!(details["reason"], "authentication_failed");
    // What the server's own rules forbid is forbidden, whatever the caller's role here.
    let reader =
        json!({"username": "reader", "password": "reader-pass-1", "options": {"auth_source": "shop"}});
    alpha.connect("mongodb", parts("reader", port, reader)).await;
    assert_eq!(insert(&alpha, "reader").await.refused(403, "FORBIDDEN")["code"], "Unauthorized");
    alpha.viewer.get(&documents(&alpha, "reader")).await.expect(200);
    assert_kept(
        &gateway,
        &["root-pass-1", "sell%r:/@-pass-1", "sell%25r", "reader-pass-1", "wrong-pass-1", "mongodb://"],
    )
    .await;
}

#[tokio::test]
async fn mongodb_tls_is_checked_by_the_given_authority_unless_waived() {
    let (gateway, alpha) = start(options().trace()).await;
    let server = MongoServer::start(MongoOptions::new().x509().root("root", "root-pass-1")).await;
    let other = MongoServer::start(MongoOptions::new().tls()).await;
    let (port, plain) = (server.port, MongoServer::plain().await);
    let files = server.certificates.as_ref().unwrap();
    let foreign = other.certificates.as_ref().unwrap();
    let authority = &files.authority;
    let client = fs::read_to_string(&files.client_file).unwrap();
    let stranger = fs::read_to_string(&foreign.client_file).unwrap();
    let root = |options: Value| json!({"username": "root", "password": "root-pass-1", "options": options});
    for body in [
        parts("with-ca", port, root(json!({"tls": true, "tls_ca": authority}))),
        parts(
            "two-cas",
            port,
            root(json!({"tls": true, "tls_ca": format!("{}{authority}", foreign.authority)})),
        ),
        parts("insecure", port, root(json!({"tls": true, "tls_insecure": true}))),
        parts("set", port, root(json!({"tls": true, "tls_ca": authority, "replica_set": REPLICA_SET}))),
        string(
            "string",
            &format!("root:root-pass-1@localhost:{port}/?tls=true"),
            json!({"tls_ca": authority}),
        ),
        parts(
            "x509",
            port,
            json!({
                "options": {"tls": true, "tls_ca": authority, "tls_certificate_key": client},
            }),
        ),
        string(
            "x509-string",
            &format!("127.0.0.1:{port}/?tls=true&authMechanism=MONGODB-X509"),
            json!({"tls_ca": authority, "tls_certificate_key": client}),
        ),
        parts("both", port, root(json!({"tls": true, "tls_ca": authority, "tls_certificate_key": client}))),
    ] {
        works(&alpha, body).await;
    }
    for body in [
        parts("no-ca", port, root(json!({"tls": true}))),
        parts("foreign-ca", port, root(json!({"tls": true, "tls_ca": foreign.authority}))),
        parts(
            "garbage",
            port,
            json!({
                "options": {"tls": true, "tls_ca": authority, "tls_certificate_key": "no certificate"},
            }),
        ),
    ] {
        fails(&alpha, body, &["tls", "closed"]).await;
    }
    fails(&alpha, parts("plain-to-tls", port, root(json!({}))), &["tls", "closed"]).await;
    // What MongoDB takes for a message that is too long, SecantusDB takes for the start of a long one, and waits.
    let to_plain = parts("tls-to-plain", plain.port, json!({"options": {"tls": true, "tls_insecure": true}}));
    fails_within(Duration::from_secs(7), &alpha, to_plain, &["tls", "closed", "timeout"]).await;
    let strange = json!({"options": {"tls": true, "tls_ca": authority, "tls_certificate_key": stranger}});
    fails(&alpha, parts("stranger", port, strange), &["tls", "closed", "authentication_failed"]).await;
    let key = client.lines().rev().nth(1).unwrap();
    assert_kept(&gateway, &["PRIVATE KEY", key, "root-pass-1"]).await;
}

#[tokio::test]
async fn mongodb_is_found_in_any_form_and_told_from_anything_else() {
    let (_gateway, alpha) = start(options()).await;
    let (server, standalone) =
        tokio::join!(MongoServer::plain(), MongoServer::start(MongoOptions::new().standalone()),);
    let port = server.port;
    for body in [
        parts("primary", port, json!({})),
        parts("direct", port, json!({"options": {"direct_connection": true, "replica_set": REPLICA_SET}})),
        parts("by-set", port, json!({"options": {"direct_connection": false}})),
        string("localhost", &format!("localhost:{port}"), json!({})),
        string("several", &format!("127.0.0.1:{},127.0.0.1:{port}", free_port()), json!({})),
        parts("standalone", standalone.port, json!({})),
        string("standalone-string", &format!("127.0.0.1:{}/?retryWrites=true", standalone.port), json!({})),
    ] {
        works(&alpha, body).await;
    }
    let set = |name: &str| json!({"options": {"replica_set": name}});
    for (body, reason) in [
        (parts("other-set", port, set("rs0")), "replica_set"),
        (string("other-string", &format!("127.0.0.1:{port}/?replicaSet=rs0"), json!({})), "replica_set"),
        (parts("no-set", standalone.port, set(REPLICA_SET)), "replica_set"),
        (parts("nobody", free_port(), json!({})), "refused"),
        (
            string("nobodies", &format!("127.0.0.1:{},127.0.0.1:{}", free_port(), free_port()), json!({})),
            "refused",
        ),
        (parts("unknown", port, json!({"host": "no-such-host.invalid"})), "not_resolved"),
    ] {
        fails(&alpha, body, &[reason]).await;
    }
}

#[tokio::test]
async fn mongodb_senseless_options_are_refused_when_they_are_given() {
    let (gateway, alpha) = start(options()).await;
    for (extra, field) in [
        (json!({"options": {"surplus": 1}}), "options.surplus"),
        (json!({"options": {"tls_ca": "means nothing alone"}}), "options.tls_ca"),
        (json!({"options": {"tls": true, "tls_ca": "no certificate"}}), "options.tls_ca"),
        (json!({"options": {"auth_source": "shop"}}), "options.auth_source"),
        (json!({"options": {"auth_mechanism": "GSSAPI"}}), "options.auth_mechanism"),
        (json!({"options": {"auth_mechanism": "MONGODB-X509"}}), "options.tls_certificate_key"),
        (json!({"options": {"server_selection_timeout": 0}}), "options.server_selection_timeout"),
        (json!({"options": {"app_name": "é".repeat(65)}}), "options.app_name"),
        (json!({"username": "ada"}), "password"),
    ] {
        let answer =
            alpha.owner.post(&alpha.connections("mongodb"), parts("odd", 27017, extra.clone())).await;
        assert_eq!(answer.refused(400, "VALIDATION_ERROR")["field"], field, "{extra}");
    }
    for text in [
        "nonsense",
        "http://127.0.0.1",
        "mongodb://",
        "mongodb://ada:hunter2@a/?nonsense",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock",
        "mongodb://ada:hunter2@127.0.0.1,%2Ftmp%2Fmongodb-27017.sock",
        "mongodb://ada:hunter2@127.0.0.1/?proxyHost=127.0.0.1&proxyPort=1080",
        "mongodb://ada:hunter2@127.0.0.1/?tls=true&tlsCAFile=/etc/passwd",
        "mongodb://ada:hunter2@127.0.0.1/?tls=true&tlsCertificateKeyFile=/etc/passwd",
        "mongodb://ada:hunter2@127.0.0.1/?authMechanism=MONGODB-AWS",
    ] {
        let body = json!({"identifier": "odd", "connection_string": text});
        alpha.owner.post(&alpha.connections("mongodb"), body).await.refused_field("connection_string");
    }
    let two = json!({"identifier": "odd", "connection_string": "mongodb://a,b", "options": {"direct_connection": true}});
    alpha.owner.post(&alpha.connections("mongodb"), two).await.refused_field("options.direct_connection");
    assert!(alpha.owner.get(&alpha.connections("mongodb")).await.items().is_empty());
    assert_kept(&gateway, &["hunter2", "/etc/passwd"]).await;
}
