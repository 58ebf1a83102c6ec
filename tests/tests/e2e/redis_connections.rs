//! How a Redis connection may be described, and what callers are told when it does not lead to a database.

use serde_json::{Value, json};
use studio_gateway_tests::{
    Answer, Gateway, GatewayOptions, Project, RedisDriver, RedisOptions, RedisServer, World, eventually,
    process::free_port,
};

/// A gateway with project `alpha`, which has no connections yet.
async fn start(driver: RedisDriver) -> (Gateway, Project) {
    let gateway = Gateway::start(GatewayOptions::from(driver)).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// Connection parts that lead to a server of this machine, with more fields from `extra`.
fn parts(identifier: &str, port: u16, extra: Value) -> Value {
    let mut body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// Sets `key` to `value` by the connection.
async fn set(project: &Project, connection: &str, key: &str, value: &str) -> Answer {
    let path = project.path("redis", &format!("/keys/{key}?connection={connection}"));
    project.owner.post(&path, json!({"value": value})).await
}

/// The connection works: its test says so, and what is written by it is there.
async fn works(project: &Project, id: &str, identifier: &str) {
    let test = format!("{}/{id}/test", project.connections("redis"));
    let found = project.admin.post(&test, json!({})).await.expect(200).data();
    assert_eq!(found["success"], true, "{identifier}: {found}");
    assert!(found.get("error").is_none() && found["version"].is_string(), "{found}");
    set(project, identifier, "by", identifier).await.expect(201);
    let path = project.path("redis", &format!("/keys/by?connection={identifier}"));
    assert_eq!(project.viewer.get(&path).await.expect(200).data()["value"], identifier);
}

/// The connection fails for this reason, by its test and in use.
async fn fails(project: &Project, body: Value, reason: &str) {
    let identifier = body["identifier"].as_str().unwrap().to_owned();
    let id = project.connect("redis", body).await;
    let details = set(project, &identifier, "k", "v").await.refused(503, "CONNECTION_ERROR");
    assert_eq!(details["reason"], reason, "{identifier}: {details}");
    let test = format!("{}/{id}/test", project.connections("redis"));
    let found = project.admin.post(&test, json!({})).await.expect(200).data();
    assert_eq!(found["success"], false, "{identifier}: {found}");
    assert_eq!(found["error"]["details"]["reason"], reason, "{identifier}: {found}");
}

async fn passwords_and_acl_users_log_in_and_wrong_ones_are_told(driver: RedisDriver) {
    let (gateway, alpha) = start(driver).await;
    let options = RedisOptions::new().password("default-pass-1");
    let options = options.acl_user("writer", "on >writer-pass-1 ~* &* +@all");
    let server =
        RedisServer::start(options.acl_user("reader", "on >reader-pass-1 ~* +@read +ping +info")).await;
    for (identifier, extra) in [
        ("password", json!({"password": "default-pass-1"})),
        ("acl", json!({"username": "writer", "password": "writer-pass-1"})),
        ("acl-option", json!({"password": "writer-pass-1", "options": {"username": "writer"}})),
    ] {
        let id = alpha.connect("redis", parts(identifier, server.port, extra)).await;
        works(&alpha, &id, identifier).await;
        server.run(&["DEL", "by"]).await;
    }
    for (identifier, extra) in [
        ("wrong-password", json!({"password": "wrong-pass-1"})),
        ("no-password", json!({})),
        ("wrong-user", json!({"username": "nobody", "password": "default-pass-1"})),
        ("wrong-acl", json!({"username": "writer", "password": "wrong-pass-1"})),
    ] {
        fails(&alpha, parts(identifier, server.port, extra), "authentication_failed").await;
    }
    // What the server's own rules forbid is forbidden, whatever the caller's role here.
    let reader = json!({"username": "reader", "password": "reader-pass-1"});
    alpha.connect("redis", parts("reader", server.port, reader)).await;
    assert_eq!(set(&alpha, "reader", "k", "v").await.refused(403, "FORBIDDEN")["code"], "NOPERM");
    server.run(&["SET", "k", "v"]).await;
    let path = alpha.path("redis", "/keys/k?connection=reader");
    assert_eq!(alpha.viewer.get(&path).await.expect(200).data()["value"], "v");
    let seen = String::from_utf8_lossy(&gateway.transcript.bytes()).into_owned() + &gateway.whole_log().await;
    for password in ["default-pass-1", "writer-pass-1", "reader-pass-1", "wrong-pass-1"] {
        assert!(!seen.contains(password), "{password} is in an answer or in the log");
    }
}

async fn tls_is_checked_by_the_given_authority_unless_told_not_to(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    let server = RedisServer::start(RedisOptions::new().tls()).await;
    let other = RedisServer::start(RedisOptions::new().tls()).await;
    let (port, plain) = (server.port, RedisServer::plain().await);
    let authority = &server.certificates.as_ref().unwrap().authority;
    let foreign = &other.certificates.as_ref().unwrap().authority;
    for (identifier, options) in [
        ("with-ca", json!({"tls": true, "tls_ca": authority})),
        ("two-cas", json!({"tls": true, "tls_ca": format!("{foreign}{authority}")})),
        ("insecure", json!({"tls": true, "tls_insecure": true})),
    ] {
        let id = alpha.connect("redis", parts(identifier, port, json!({"options": options}))).await;
        works(&alpha, &id, identifier).await;
        alpha
            .owner
            .delete(&alpha.path("redis", &format!("/keys/by?connection={identifier}")))
            .await
            .expect(204);
    }
    let string = json!({
        "identifier": "rediss", "connection_string": format!("rediss://localhost:{port}/2"),
        "options": {"tls_ca": authority},
    });
    let id = alpha.connect("redis", string).await;
    works(&alpha, &id, "rediss").await;
    for (identifier, port, options) in [
        ("no-ca", port, json!({"tls": true})),
        ("foreign-ca", port, json!({"tls": true, "tls_ca": foreign})),
        ("tls-to-plain", plain.port, json!({"tls": true, "tls_insecure": true})),
    ] {
        fails(&alpha, parts(identifier, port, json!({"options": options})), "tls").await;
    }
    alpha.connect("redis", parts("plain-to-tls", port, json!({}))).await;
    set(&alpha, "plain-to-tls", "k", "v").await.refused(503, "CONNECTION_ERROR");
}

async fn options_that_make_no_sense_are_refused_when_they_are_given(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    for (extra, field) in [
        (json!({"options": {"db": 16}}), "options.db"),
        (json!({"options": {"db": -1}}), "options.db"),
        (json!({"options": {"tls": true, "tls_ca": "no certificate"}}), "options.tls_ca"),
        (json!({"options": {"tls_ca": "means nothing alone"}}), "options.tls_ca"),
        (json!({"options": {"surplus": 1}}), "options.surplus"),
        (json!({"options": {"cluster": true, "sentinel": {"master": "m"}}}), "options.sentinel"),
        (json!({"database_name": "sales"}), "database_name"),
    ] {
        let answer = alpha.owner.post(&alpha.connections("redis"), parts("odd", 6379, extra)).await;
        answer.refused_field(field);
    }
    for string in ["nonsense", "http://127.0.0.1", "redis+unix:///tmp/redis", "redis://127.0.0.1?x=hunter2"] {
        let body = json!({"identifier": "odd", "connection_string": string});
        let answer = alpha.owner.post(&alpha.connections("redis"), body).await;
        assert!(!answer.message().contains("hunter2"));
        answer.refused_field("connection_string");
    }
    assert!(alpha.owner.get(&alpha.connections("redis")).await.items().is_empty());
}

/// The value of `where` in a database of the server.
async fn value_in(server: &RedisServer, database: u8) -> Option<String> {
    let mut answers: Vec<Option<String>> = redis::pipe()
        .cmd("SELECT")
        .arg(database)
        .ignore()
        .cmd("GET")
        .arg("where")
        .query_async(&mut server.connection().await)
        .await
        .unwrap();
    answers.remove(0)
}

async fn database_is_the_one_that_is_named_in_any_way(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    let server = RedisServer::plain().await;
    let string = |identifier: &str, path: &str| {
        let url = format!("redis://127.0.0.1:{}{path}", server.port);
        json!({"identifier": identifier, "connection_string": url})
    };
    for (database, body) in [
        (0, parts("db0", server.port, json!({}))),
        (3, parts("db3", server.port, json!({"options": {"db": 3}}))),
        (5, parts("db5", server.port, json!({"database_name": "5"}))),
        (15, parts("db15", server.port, json!({"options": {"db": 15}}))),
        (7, string("db7", "/7")),
    ] {
        let identifier = format!("db{database}");
        alpha.connect("redis", body).await;
        set(&alpha, &identifier, "where", &identifier).await.expect(201);
        assert_eq!(value_in(&server, database).await.as_deref(), Some(identifier.as_str()));
    }
    // Each sees its own and no other.
    for database in [0, 3, 5, 7, 15] {
        let path = alpha.path("redis", &format!("/keys/where?connection=db{database}"));
        assert_eq!(alpha.viewer.get(&path).await.expect(200).data()["value"], format!("db{database}"));
        let path = alpha.path("redis", &format!("/keys?connection=db{database}"));
        assert_eq!(alpha.viewer.get(&path).await.expect(200).data()["keys"].as_array().unwrap().len(), 1);
    }
    let few = RedisServer::start(RedisOptions::new().line("databases 2")).await;
    fails(&alpha, parts("too-high", few.port, json!({"options": {"db": 9}})), "database").await;
}

async fn connection_strings_work_and_are_never_shown(driver: RedisDriver) {
    // Every character of the password has a meaning in a URL unless it is encoded.
    let redis = RedisOptions::new().acl_user("odd", "on >p%61:/@ss-w0rd ~* &* +@all");
    let world = World::start_with(GatewayOptions::from(driver), redis).await;
    let alpha = Project::create_empty(&world.gateway, "gamma").await;
    let url = format!("redis://odd:p%2561%3A%2F%40ss-w0rd@127.0.0.1:{}/4", world.redis.port);
    let body = json!({"identifier": "string", "connection_string": url});
    let created = alpha.owner.post(&alpha.connections("redis"), body).await.expect(201).data();
    let id = created["id"].as_str().unwrap();
    let one = format!("{}/{id}", alpha.connections("redis"));
    let listed = alpha.owner.get(&alpha.connections("redis")).await.expect(200).items().remove(0);
    for shown in [created.clone(), alpha.owner.get(&one).await.expect(200).data(), listed] {
        assert_eq!((&shown["has_connection_string"], &shown["has_password"]), (&json!(true), &json!(false)));
        assert!(shown.get("connection_string").is_none() && shown["host"].is_null(), "{shown}");
    }
    works(&alpha, id, "string").await;
    world.redis.run(&["FLUSHALL"]).await;
    // Parts in its place, and back.
    let parts = json!({"host": "127.0.0.1", "port": world.redis.port, "username": "odd", "password": "p%61:/@ss-w0rd"});
    let changed = alpha.owner.put(&one, parts).await.expect(200).data();
    assert_eq!((&changed["has_connection_string"], &changed["has_password"]), (&json!(false), &json!(true)));
    works(&alpha, id, "string").await;
    world.redis.run(&["FLUSHALL"]).await;
    let changed = alpha.owner.put(&one, json!({"connection_string": url})).await.expect(200).data();
    assert_eq!((&changed["has_connection_string"], &changed["has_password"]), (&json!(true), &json!(false)));
    let both = json!({"host": "127.0.0.1", "connection_string": url});
    alpha.owner.put(&one, both).await.refused(400, "VALIDATION_ERROR");
    let seen = String::from_utf8_lossy(&world.gateway.transcript.bytes()).into_owned();
    assert!(!seen.contains("ss-w0rd") && !seen.contains("redis://"), "a secret was shown");
    assert!(!world.gateway.whole_log().await.contains("ss-w0rd"), "a secret is in the log");
}

async fn server_that_does_not_tell_sizes_is_listed_without_them(driver: RedisDriver) {
    let redis = RedisOptions::new().rename_command("MEMORY", "").rename_command("OBJECT", "");
    let world = World::start_with(GatewayOptions::from(driver), redis).await;
    world.redis.run(&["SET", "k", "v"]).await;
    world.redis.run(&["HSET", "h", "a", "b"]).await;
    let viewer = &world.alpha.viewer;
    for _ in 0..2 {
        let listed = viewer.get(&world.alpha.path("redis", "/keys")).await.expect(200).data();
        let keys = listed["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 2);
        assert!(
            keys.iter().all(|key| key.as_object().unwrap().contains_key("size") && key["size"].is_null())
        );
        let read = viewer.get(&world.alpha.path("redis", "/keys/h")).await.expect(200).data();
        let shown = json!({
            "key": "h", "type": "hash", "ttl": -1, "encoding": null, "size": null,
            "fields": {"a": "b"}, "length": 1, "cursor": "0",
        });
        assert_eq!(read, shown);
    }
}

async fn selectors_pick_the_server_and_the_primary_is_the_default(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    let servers = [RedisServer::plain().await, RedisServer::plain().await];
    let mut ids = Vec::new();
    for (server, identifier) in servers.iter().zip(["first", "second"]) {
        server.run(&["SET", "where", identifier]).await;
        ids.push(alpha.connect("redis", parts(identifier, server.port, json!({}))).await);
    }
    for (query, expected) in [
        (String::new(), "first"),
        ("?connection=first".to_owned(), "first"),
        ("?connection=second".to_owned(), "second"),
        (format!("?connection_id={}", ids[0]), "first"),
        (format!("?connection_id={}", ids[1]), "second"),
    ] {
        let path = alpha.path("redis", &format!("/keys/where{query}"));
        assert_eq!(alpha.viewer.get(&path).await.expect(200).data()["value"], expected, "{query}");
        let path = alpha.path("redis", &format!("/command{query}"));
        let answer = alpha.viewer.post(&path, json!({"command": ["GET", "where"]})).await;
        assert_eq!(answer.expect(200).data()["result"], expected, "{query}");
    }
    set(&alpha, "second", "only", "here").await.expect(201);
    assert_eq!(servers[0].run(&["EXISTS", "only"]).await, redis::Value::Int(0));
    let path = format!("{}/{}", alpha.connections("redis"), ids[1]);
    alpha.owner.put(&path, json!({"is_primary": true})).await.expect(200);
    let path = alpha.path("redis", "/keys/where");
    assert_eq!(alpha.viewer.get(&path).await.expect(200).data()["value"], "second");
}

async fn every_route_reports_a_missing_inactive_or_down_connection(driver: RedisDriver) {
    let (_gateway, alpha) = start(driver).await;
    let every = async |expected: (u16, &str)| -> Vec<Value> {
        let mut details = Vec::new();
        for (method, path, body, _, _) in crate::redis_commands::routes() {
            let answer = alpha.owner.call(method, &alpha.path("redis", path), body).await;
            details.push(answer.refused(expected.0, expected.1));
        }
        details
    };
    every((404, "NOT_FOUND")).await;
    let id = alpha.connect("redis", parts("main", free_port(), json!({}))).await;
    let one = format!("{}/{id}", alpha.connections("redis"));
    for (place, details) in every((503, "CONNECTION_ERROR")).await.into_iter().enumerate() {
        // After the first failure the circuit is open for a moment, and says what opened it.
        let cause = if details["reason"] == "circuit_open" { &details["cause"] } else { &details["reason"] };
        assert_eq!(cause, "refused", "{details}");
        assert!(place > 0 || details["reason"] == "refused", "{details}");
    }
    eventually("the status is ERROR", async || {
        alpha.owner.get(&one).await.expect(200).data()["status"] == "ERROR"
    })
    .await;
    alpha.owner.put(&one, json!({"status": "INACTIVE"})).await.expect(200);
    every((409, "CONFLICT")).await;
    // Parameters are not looked at before the connection is, but callers are.
    alpha.viewer.post(&alpha.path("redis", "/keys/k"), json!({"value": "v"})).await.refused(403, "FORBIDDEN");
}

async fn redis_outage_is_told_at_the_next_call_and_its_end_soon_seen(driver: RedisDriver) {
    let mut world = World::start(driver).await;
    let (viewer, path) = (world.alpha.viewer.clone(), world.alpha.path("redis", "/keys"));
    viewer.get(&path).await.expect(200);
    world.redis.kill().await;
    eventually("the reason is that it is refused", async || {
        viewer.get(&path).await.refused(503, "CONNECTION_ERROR")["reason"] == "refused"
    })
    .await;
    let answer = viewer.get(&path).await;
    if answer.refused(503, "CONNECTION_ERROR")["reason"] == "circuit_open" {
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    world.redis.start_again().await;
    eventually("it works again", async || viewer.get(&path).await.status == 200).await;
}

on_both_kinds!(
    passwords_and_acl_users_log_in_and_wrong_ones_are_told,
    tls_is_checked_by_the_given_authority_unless_told_not_to,
    options_that_make_no_sense_are_refused_when_they_are_given,
    database_is_the_one_that_is_named_in_any_way,
    connection_strings_work_and_are_never_shown,
    server_that_does_not_tell_sizes_is_listed_without_them,
    selectors_pick_the_server_and_the_primary_is_the_default,
    every_route_reports_a_missing_inactive_or_down_connection,
    redis_outage_is_told_at_the_next_call_and_its_end_soon_seen,
);
