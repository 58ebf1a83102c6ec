//! Redis users who may do some things and not others, and servers that let nobody in for a reason of their own.

use serde_json::{Value, json};
use studio_gateway_tests::{
    Gateway, GatewayOptions, HostileServer, Project, RedisDriver, RedisOptions, RedisServer, Says,
};

async fn start(driver: RedisDriver) -> (Gateway, Project) {
    let gateway = Gateway::start(GatewayOptions::from(driver)).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// A connection of this user, and what is below it.
async fn connect(project: &Project, port: u16, user: &str, extra: Value) -> String {
    let mut body = json!({"identifier": user, "host": "127.0.0.1", "port": port});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    project.connect("redis", body).await
}

async fn log_in(project: &Project, port: u16, user: &str) -> String {
    connect(project, port, user, json!({"username": user, "password": "secret-1"})).await
}

async fn get(project: &Project, user: &str, rest: &str) -> studio_gateway_tests::Answer {
    let separator = if rest.contains('?') { '&' } else { '?' };
    project.viewer.get(&project.path("redis", &format!("{rest}{separator}connection={user}"))).await
}

async fn tested(project: &Project, id: &str) -> Value {
    let path = format!("{}/{id}/test", project.connections("redis"));
    project.admin.post(&path, json!({})).await.expect(200).data()
}

fn names(page: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        page["keys"].as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

async fn redis_keys_hidden_from_the_user_are_left_out_and_counted(driver: RedisDriver) {
    let (_gateway, project) = start(driver).await;
    let options = RedisOptions::new()
        .acl_user("app", "on >secret-1 ~app:* +@all")
        .acl_user("sizeless", "on >secret-1 ~* +@all -memory")
        .acl_user("typeless", "on >secret-1 ~* +@all -type")
        .acl_user("timeless", "on >secret-1 ~* +@all -pttl -object -getrange -strlen");
    let server = RedisServer::start(options).await;
    for key in ["app:1", "app:2", "other:1", "other:2", "other:3"] {
        server.run(&["SET", key, "v"]).await;
    }
    for user in ["app", "sizeless", "typeless", "timeless"] {
        log_in(&project, server.port, user).await;
    }
    for _ in 0..2 {
        let page = get(&project, "app", "/keys").await.expect(200).data();
        assert_eq!(names(&page), ["app:1", "app:2"]);
        assert_eq!((&page["forbidden"], &page["total_scanned"]), (&json!(3), &json!(5)));
        // One key of which it is not told says nothing about the others, now or later.
        assert!(page["keys"].as_array().unwrap().iter().all(|key| key["size"].as_i64() > Some(0)), "{page}");
        assert!(get(&project, "app", "/keys/app:1").await.expect(200).data()["size"].as_i64() > Some(0));
        get(&project, "app", "/keys/other:1").await.refused(403, "FORBIDDEN");
    }
    for (user, missing) in [("sizeless", "size"), ("typeless", "type"), ("timeless", "ttl")] {
        let page = get(&project, user, "/keys").await.expect(200).data();
        assert_eq!((page["keys"].as_array().unwrap().len(), page.get("forbidden")), (5, None), "{user}");
        for key in page["keys"].as_array().unwrap() {
            for field in ["size", "type", "ttl"] {
                assert_eq!(key[field].is_null(), field == missing, "{user}: {key}");
            }
        }
    }
    let read = get(&project, "timeless", "/keys/app:1").await.expect(200).data();
    assert_eq!((&read["value"], &read["ttl"], &read["encoding"]), (&json!("v"), &Value::Null, &Value::Null));
}

async fn redis_connections_pass_their_test_despite_untold_facts(driver: RedisDriver) {
    let (_gateway, project) = start(driver).await;
    let users = RedisOptions::new()
        .acl_user("pingless", "on >secret-1 ~* +@all -ping")
        .acl_user("factless", "on >secret-1 ~* +@all -info")
        .acl_user("neither", "on >secret-1 ~* +@read +@write -ping -info");
    let server = RedisServer::start(users).await;
    for (user, tells) in [("pingless", true), ("factless", false), ("neither", false)] {
        let id = log_in(&project, server.port, user).await;
        let found = tested(&project, &id).await;
        assert_eq!(found["success"], true, "{user}: {found}");
        let version = found["version"].as_str().unwrap();
        assert_eq!(version != "unknown", tells, "{user}: {found}");
        assert_eq!(get(&project, user, "/keys").await.expect(200).data()["cursor"], "0");
    }
    let renamed = RedisServer::start(RedisOptions::new().rename_command("INFO", "")).await;
    let id = connect(&project, renamed.port, "renamed", json!({})).await;
    assert_eq!(tested(&project, &id).await["success"], true);
    // The harness waits for PING, so a server that has none is one that says so.
    let pingless = HostileServer::start(|asked| {
        let unknown = "-ERR unknown command 'PING', with args beginning with: \r\n";
        let info = "$21\r\nredis_version:7.0.15\n\r\n";
        Says::once(if asked.contains("INFO") { info } else { unknown })
    });
    let id = connect(&project, pingless.port, "foreign", json!({})).await;
    let found = tested(&project, &id).await;
    assert_eq!((&found["success"], &found["version"]), (&json!(true), &json!("7.0.15")), "{found}");
}

async fn redis_that_admits_nobody_is_told_by_its_reason_at_any_step(driver: RedisDriver) {
    let (_gateway, project) = start(driver).await;
    let options =
        RedisOptions::new().password("default-pass-1").acl_user("few", "on >secret-1 ~* +@all -select");
    let server = RedisServer::start(options).await;
    let steps = [json!({}), json!({"options": {"db": 3}})];
    let reason = async |identifier: &str, port: u16, extra: Value| {
        let id = connect(&project, port, identifier, extra).await;
        let found = tested(&project, &id).await;
        assert_eq!(found["success"], false, "{identifier}: {found}");
        let error = &found["error"];
        (
            error["details"]["reason"].as_str().unwrap().to_owned(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    for (number, step) in steps.iter().enumerate() {
        let (reason, message) = reason(&format!("passwordless-{number}"), server.port, step.clone()).await;
        assert_eq!(reason, "authentication_failed");
        assert!(message.contains("asks for a password, and the connection has none"), "{message}");
    }
    let login = json!({"username": "few", "password": "secret-1", "options": {"db": 3}});
    let (cause, message) = reason("few", server.port, login).await;
    assert_eq!(cause, "database");
    assert!(message.contains("database 3 can't be selected") && message.contains("permissions"), "{message}");

    let mut only = server.connection().await;
    let full = redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(1).clone();
    full.exec_async(&mut only).await.unwrap();
    for (number, step) in steps.iter().enumerate() {
        for password in [json!({"password": "default-pass-1"}), json!({})] {
            let mut extra = step.clone();
            extra.as_object_mut().unwrap().extend(password.as_object().unwrap().clone());
            let identifier = format!("full-{number}-{}", password.as_object().unwrap().len());
            let (reason, message) = reason(&identifier, server.port, extra).await;
            assert_eq!(reason, "too_many_connections", "{identifier}: {message}");
        }
    }
    let open = RedisServer::plain().await;
    let (cause, message) = reason("surplus", open.port, json!({"password": "surplus-1"})).await;
    assert_eq!(cause, "authentication_failed");
    assert!(message.contains("has a password, and the Redis server none"), "{message}");
    // As it answers strangers from other machines.
    let denied = HostileServer::start(|_| Says::once("-DENIED Redis is running in protected mode\r\n"));
    for (number, step) in steps.iter().enumerate() {
        let (reason, message) = reason(&format!("denied-{number}"), denied.port, step.clone()).await;
        assert_eq!(reason, "refused");
        assert!(message.contains("protected mode"), "{message}");
    }
}

on_both_kinds!(
    redis_keys_hidden_from_the_user_are_left_out_and_counted,
    redis_connections_pass_their_test_despite_untold_facts,
    redis_that_admits_nobody_is_told_by_its_reason_at_any_step,
);
