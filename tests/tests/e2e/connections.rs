//! Connections as people manage them, the same for every driver.

use serde_json::{Value, json};
use studio_gateway_tests::{RedisOptions, RedisServer, Registry, World};

async fn connection_is_created_read_changed_and_deleted(registry: Registry) {
    let world = World::start(registry).await;
    let (owner, path) = (&world.alpha.owner, world.alpha.connections("probe"));
    let body = json!({
        "identifier": "cache", "host": "127.0.0.1", "port": 4711, "database_name": "db", "username": "me",
        "password": "sw0rdfish", "options": {"connect": "succeed", "token": "t0ken-value"},
    });
    let created = owner.post(&path, body).await.expect(201).data();
    for (field, value) in [
        ("database_type", json!("probe")),
        ("identifier", json!("cache")),
        ("host", json!("127.0.0.1")),
        ("port", json!(4711)),
        ("database_name", json!("db")),
        ("username", json!("me")),
        ("has_password", json!(true)),
        ("is_primary", json!(true)),
        ("status", json!("ACTIVE")),
    ] {
        assert_eq!(created[field], value, "{field}");
    }
    assert_eq!(created["options"]["connect"], "succeed");
    for field in ["id", "project_id", "created_at", "updated_at"] {
        assert!(created[field].is_string(), "{field}");
    }
    for field in ["password", "connection_string"] {
        assert!(created.get(field).is_none(), "{field} is shown");
    }
    assert!(created["options"].get("token").is_none_or(|token| token != "t0ken-value"));
    let one = format!("{path}/{}", created["id"].as_str().unwrap());
    assert_eq!(owner.get(&one).await.expect(200).data(), created);
    assert_eq!(owner.get(&path).await.expect(200).items(), std::slice::from_ref(&created));

    // Absent fields stay.
    let changed = owner.put(&one, json!({"database_name": "other"})).await.expect(200).data();
    assert_eq!((&changed["database_name"], &changed["username"]), (&json!("other"), &json!("me")));
    assert_eq!(changed["has_password"], true);
    let facts = owner.get(&world.alpha.path("probe", "/facts/x")).await.expect(200).data();
    assert_eq!(facts["token_length"], "t0ken-value".len());
    let changed =
        owner.put(&one, json!({"identifier": "cache-2", "options": {"token": "longer t0ken"}})).await;
    assert_eq!(changed.expect(200).data()["identifier"], "cache-2");
    let facts = owner.get(&world.alpha.path("probe", "/facts/x")).await.expect(200).data();
    assert_eq!(facts["token_length"], "longer t0ken".len());

    owner.delete(&one).await.expect(204);
    for (method, path) in [("GET", one.clone()), ("DELETE", one.clone()), ("POST", format!("{one}/test"))] {
        owner.call(method, &path, None).await.refused(404, "NOT_FOUND");
    }
    owner.put(&one, json!({"port": 1})).await.refused(404, "NOT_FOUND");
    owner.get(&world.alpha.path("probe", "/nothing")).await.refused(404, "NOT_FOUND");
}

async fn primary_is_the_first_one_and_moves_when_told(registry: Registry) {
    let world = World::start(registry).await;
    let (alpha, owner) = (&world.alpha, &world.alpha.owner);
    let first = alpha.connect_probe("first", json!({"token": "1"})).await;
    let second = alpha.connect_probe("second", json!({"token": "22"})).await;
    let primaries = async || -> Vec<Value> {
        let items = owner.get(&alpha.connections("probe")).await.items();
        items.iter().filter(|item| item["is_primary"] == true).map(|item| item["id"].clone()).collect()
    };
    let length = async |query: &str| {
        owner.get(&alpha.path("probe", &format!("/facts/x{query}"))).await.expect(200).data()["token_length"]
            .clone()
    };
    assert_eq!(primaries().await, [json!(first)]);
    assert_eq!(length("").await, 1);
    assert_eq!(length("?connection=second").await, 2);
    assert_eq!(length(&format!("?connection_id={second}")).await, 2);

    let change = format!("{}/{second}", alpha.connections("probe"));
    assert_eq!(owner.put(&change, json!({"is_primary": true})).await.expect(200).data()["is_primary"], true);
    assert_eq!(primaries().await, [json!(second)]);
    assert_eq!(length("").await, 2);
    // Another type's primary is another matter.
    assert_eq!(owner.get(&alpha.connections("redis")).await.items()[0]["is_primary"], true);

    let third =
        json!({"identifier": "third", "host": "127.0.0.1", "options": {"token": "333"}, "is_primary": true});
    let third = alpha.connect("probe", third).await;
    assert_eq!(primaries().await, [json!(third)]);
    owner.delete(&format!("{}/{third}", alpha.connections("probe"))).await.expect(204);
    assert_eq!(primaries().await.len(), 1, "there is always a primary one");

    for nobody in
        ["?connection=nobody", "?connection_id=00000000-0000-4000-8000-000000000000", "?connection=main"]
    {
        owner.get(&alpha.path("probe", &format!("/nothing{nobody}"))).await.refused(404, "NOT_FOUND");
    }
}

async fn test_route_always_answers_200_with_what_it_found(registry: Registry) {
    let world = World::start_with(
        studio_gateway_tests::GatewayOptions::new(registry).set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "1s"),
        RedisOptions::new().password("hunter2-secret"),
    )
    .await;
    let alpha = &world.alpha;
    let test = async |database_type: &str, id: &str| {
        let path = format!("{}/{id}/test", alpha.connections(database_type));
        alpha.admin.post(&path, json!({})).await.expect(200).data()
    };
    let good = test("redis", &alpha.connection).await;
    assert_eq!(good["success"], true, "{good}");
    assert!(
        good["latency_ms"].is_number()
            && good["version"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit())
    );
    let probe = alpha.connect_probe("calm", json!({})).await;
    let facts = test("probe", &probe).await;
    assert_eq!((&facts["version"], &facts["mood"]), (&json!("1.2.3"), &json!("calm")));

    let wrong = json!({"identifier": "wrong", "host": "127.0.0.1", "port": world.redis.port, "password": "wr0ng-secret"});
    let wrong = alpha.connect("redis", wrong).await;
    let closed = studio_gateway_tests::process::free_port();
    let closed =
        alpha.connect("redis", json!({"identifier": "closed", "host": "127.0.0.1", "port": closed})).await;
    let mut failing = vec![("redis", wrong, "authentication_failed"), ("redis", closed, "refused")];
    for (how, reason) in [("refuse", "refused"), ("panic", ""), ("hang", "timeout")] {
        failing.push(("probe", alpha.connect_probe(how, json!({"connect": how})).await, reason));
    }
    for (database_type, id, reason) in failing {
        let found = test(database_type, &id).await;
        assert_eq!(found["success"], false, "{found}");
        assert!(!found["error"].is_null(), "{found}");
        let text = found.to_string();
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(!text.contains("wr0ng-secret") && !text.contains("hunter2-secret"), "{text}");
    }
}

async fn status_follows_what_happens(registry: Registry) {
    let mut world = World::start(registry).await;
    let one = format!("{}/{}", world.alpha.connections("redis"), world.alpha.connection);
    let owner = world.alpha.owner.clone();
    let status = async || owner.get(&one).await.expect(200).data()["status"].as_str().unwrap().to_owned();
    let keys = world.alpha.path("redis", "/keys");
    world.alpha.viewer.get(&keys).await.expect(200);
    assert_eq!(status().await, "ACTIVE");

    world.redis.kill().await;
    studio_gateway_tests::eventually("the status is ERROR", async || {
        world.alpha.viewer.get(&keys).await.refused(503, "CONNECTION_ERROR");
        status().await == "ERROR"
    })
    .await;
    // While the circuit is open the answer comes at once and says when to come again.
    let answer = world.alpha.viewer.get(&keys).await;
    answer.refused(503, "CONNECTION_ERROR");

    world.redis.start_again().await;
    studio_gateway_tests::eventually("the status is ACTIVE", async || {
        world.alpha.viewer.get(&keys).await.status == 200 && status().await == "ACTIVE"
    })
    .await;

    assert_eq!(owner.put(&one, json!({"status": "INACTIVE"})).await.expect(200).data()["status"], "INACTIVE");
    world.alpha.viewer.get(&keys).await.refused(409, "CONFLICT");
    owner.put(&one, json!({"status": "ACTIVE"})).await.expect(200);
    world.alpha.viewer.get(&keys).await.expect(200);
}

async fn changed_settings_hold_from_the_next_request(registry: Registry) {
    let world = World::start(registry).await;
    let other = RedisServer::plain().await;
    world.redis.run(&["SET", "where", "first"]).await;
    other.run(&["SET", "where", "second"]).await;
    let value =
        async || world.alpha.viewer.get(&world.alpha.path("redis", "/keys/where")).await.expect(200).data();
    assert_eq!(value().await["value"], "first");
    let change = format!("{}/{}", world.alpha.connections("redis"), world.alpha.connection);
    let body = json!({"connection_string": format!("{}/0", other.url())});
    world.alpha.admin.put(&change, body).await.expect(200);
    assert_eq!(value().await["value"], "second");
    // Of the old session nothing stays open.
    studio_gateway_tests::eventually("the old session is closed", async || world.redis.clients().await == 0)
        .await;
    world.alpha.admin.delete(&change).await.expect(204);
    studio_gateway_tests::eventually("the new session is closed", async || other.clients().await == 0).await;
}

on_both_registries!(
    connection_is_created_read_changed_and_deleted,
    primary_is_the_first_one_and_moves_when_told,
    test_route_always_answers_200_with_what_it_found,
    status_follows_what_happens,
    changed_settings_hold_from_the_next_request,
);
