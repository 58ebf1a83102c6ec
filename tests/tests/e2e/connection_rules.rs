//! What a connection may be, and where it may lead.

use serde_json::{Value, json};
use studio_gateway_tests::{Registry, World};

/// A connection of the probe with one field changed.
fn with(field: &str, value: Value) -> Value {
    let mut body = json!({"identifier": "one", "host": "127.0.0.1", "port": 7});
    body[field] = value;
    body
}

async fn fields_that_do_not_fit_are_named(registry: Registry) {
    let world = World::start(registry).await;
    let (owner, path) = (&world.alpha.owner, world.alpha.connections("probe"));
    for identifier in ["", "-a", "_a", "A", "a b", "a.b", "ä", "../a", &"x".repeat(64)] {
        owner.post(&path, with("identifier", identifier.into())).await.refused_field("identifier");
    }
    for port in [json!(0), json!(65536), json!(-1), json!(1.5), json!("7")] {
        owner.post(&path, with("port", port)).await.refused_field("port");
    }
    for (field, value) in [
        ("identifier", json!(null)),
        ("host", json!("")),
        ("host", json!(7)),
        ("options", json!([])),
        ("is_primary", json!("yes")),
        ("status", json!("BROKEN")),
        ("status", json!("ERROR")),
        ("password", json!(7)),
    ] {
        owner.post(&path, with(field, value)).await.refused_field(field);
    }
    owner.post(&path, with("surplus", json!(1))).await.refused(400, "VALIDATION_ERROR");
    owner.post(&path, json!({"identifier": "nowhere"})).await.refused(400, "VALIDATION_ERROR");
    assert!(owner.get(&path).await.items().is_empty());
    for fine in ["a", "0", "a-b_c", &"x".repeat(63)] {
        owner.post(&path, with("identifier", fine.into())).await.expect(201);
    }
}

async fn options_are_checked_by_the_drivers_schema(registry: Registry) {
    let world = World::start(registry).await;
    let (owner, path) = (&world.alpha.owner, world.alpha.connections("probe"));
    for (field, options) in [
        ("options.connect", json!({"connect": "explode"})),
        ("options.token", json!({"token": 7})),
        ("options", json!({"surplus": true})),
    ] {
        let details = owner.post(&path, with("options", options)).await.refused(400, "VALIDATION_ERROR");
        assert!(details["field"].as_str().unwrap().starts_with(field), "{details}");
    }
    let created = owner.post(&path, with("options", json!({"connect": "hang"}))).await.expect(201).data();
    let one = format!("{path}/{}", created["id"].as_str().unwrap());
    owner.put(&one, json!({"options": {"connect": "explode"}})).await.refused(400, "VALIDATION_ERROR");
    assert_eq!(owner.get(&one).await.data()["options"]["connect"], "hang");
}

async fn secrets_go_where_they_were_given_for_and_nowhere_else(registry: Registry) {
    let world = World::start(registry).await;
    let admin = &world.alpha.admin;
    let create = async |database_type: &str, body: Value| {
        let path = world.alpha.connections(database_type);
        let created = admin.post(&path, body).await.expect(201).data();
        format!("{path}/{}", created["id"].as_str().unwrap())
    };
    let stored = async |one: &str| admin.get(one).await.expect(200).data();

    let one = create(
        "redis",
        json!({"identifier": "parts", "host": "127.0.0.1", "port": 7, "password": "sw0rdfish"}),
    )
    .await;
    let before = stored(&one).await;
    for change in [
        json!({"host": "127.0.0.2"}),
        json!({"port": 8}),
        json!({"port": null}),
        json!({"options": {"tls": true}}),
        json!({"options": {"tls_insecure": true}}),
        json!({"options": {"tls_ca": "-----BEGIN CERTIFICATE-----"}}),
        json!({"options": {"sentinel": {"master": "m", "sentinels": [{"host": "127.0.0.2"}]}}}),
    ] {
        admin.put(&one, change).await.refused_field("password");
    }
    assert_eq!(stored(&one).await, before);
    // What leads nowhere else, what is the same, what has the password with it, and what has none any more.
    admin
        .put(&one, json!({"username": "other", "options": {"db": 3}, "host": "127.0.0.1"}))
        .await
        .expect(200);
    admin.put(&one, json!({"host": "127.0.0.2", "password": "an0ther"})).await.expect(200);
    admin.put(&one, json!({"port": 9, "options": {"tls": true}, "password": "an0ther"})).await.expect(200);
    admin.put(&one, json!({"host": "127.0.0.3", "password": null})).await.expect(200);
    admin.put(&one, json!({"host": "127.0.0.4"})).await.expect(200);

    let one = create(
        "redis",
        json!({"identifier": "string", "connection_string": "redis://:sw0rdfish@127.0.0.1:7"}),
    )
    .await;
    admin.put(&one, json!({"options": {"tls": true}})).await.refused_field("connection_string");
    let anew = json!({"connection_string": "redis://:sw0rdfish@127.0.0.1:8", "options": {"tls": true}});
    admin.put(&one, anew).await.expect(200);
    admin.put(&one, json!({"host": "127.0.0.1"})).await.expect(200);

    // Secret options stay as any secret does.
    let one =
        create("probe", json!({"identifier": "option", "host": "127.0.0.1", "options": {"token": "t0ken"}}))
            .await;
    admin.put(&one, json!({"host": "127.0.0.2"})).await.refused_field("options");
    admin
        .put(&one, json!({"host": "127.0.0.2", "options": {"connect": "hang"}}))
        .await
        .refused_field("options");
    admin.put(&one, json!({"options": {"connect": "hang"}})).await.expect(200);
    admin.put(&one, json!({"host": "127.0.0.2", "options": {"token": "an0ther"}})).await.expect(200);
    admin.put(&one, json!({"host": "127.0.0.3", "options": {"token": null}})).await.expect(200);
}

async fn identifiers_are_unique_in_their_project(registry: Registry) {
    let world = World::start(registry).await;
    let (alpha, beta) = (&world.alpha, &world.beta);
    let first = alpha.connect_probe("same", json!({})).await;
    alpha
        .owner
        .post(&alpha.connections("probe"), with("identifier", "same".into()))
        .await
        .refused(409, "CONFLICT");
    // For another type too: `main` is the Redis connection's.
    alpha
        .owner
        .post(&alpha.connections("probe"), with("identifier", "main".into()))
        .await
        .refused(409, "CONFLICT");
    let change = format!("{}/{first}", alpha.connections("probe"));
    alpha.owner.put(&change, json!({"identifier": "main"})).await.refused(409, "CONFLICT");
    alpha.owner.put(&change, json!({"identifier": "same"})).await.expect(200);
    beta.connect_probe("same", json!({})).await;
}

async fn lists_of_connections_are_paged(registry: Registry) {
    let world = World::start(registry).await;
    let path = world.alpha.connections("probe");
    for number in 0..5 {
        world.alpha.connect_probe(&format!("c{number}"), json!({})).await;
    }
    let mut seen = Vec::new();
    for offset in [0, 2, 4] {
        let page =
            world.alpha.viewer.get(&format!("{path}?limit=2&offset={offset}")).await.expect(200).items();
        seen.extend(page.iter().map(|item| item["identifier"].as_str().unwrap().to_owned()));
    }
    seen.sort();
    assert_eq!(seen, ["c0", "c1", "c2", "c3", "c4"]);
    world.alpha.viewer.get(&format!("{path}?limit=1001")).await.refused_field("limit");
}

/// Either it can't be created, or it can't be used.
async fn must_not_lead_anywhere(world: &World, number: usize, body: Value) {
    let alpha = &world.alpha;
    let mut body = body;
    body["identifier"] = format!("forbidden-{number}").into();
    let created = alpha.owner.post(&alpha.connections("redis"), body.clone()).await;
    if created.status != 201 {
        assert!(matches!(created.status, 400 | 403), "{body}: {created}");
        return;
    }
    let id = created.data()["id"].as_str().unwrap().to_owned();
    let found = alpha.owner.post(&format!("{}/{id}/test", alpha.connections("redis")), json!({})).await;
    assert_eq!(found.expect(200).data()["success"], false, "{body}");
    let read = alpha.owner.get(&alpha.path("redis", &format!("/keys?connection_id={id}"))).await;
    read.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn loopback_and_private_addresses_are_closed_by_default() {
    // The world's own connections lead to this machine, so it is made while that is allowed.
    let mut world = World::start(Registry::Sqlite).await;
    world.gateway.set("GATEWAY_ALLOW_PRIVATE_ADDRESSES", "false");
    world.gateway.restart().await;
    world.alpha.viewer.get(&world.alpha.path("redis", "/keys")).await.refused(403, "FORBIDDEN");
    let port = world.redis.port;
    let hosts = [
        "127.0.0.1",
        "localhost",
        "::1",
        "[::1]",
        "127.1",
        "2130706433",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
    ];
    for (number, host) in hosts.into_iter().enumerate() {
        must_not_lead_anywhere(&world, number, json!({"host": host, "port": port})).await;
    }
    let url = json!({"connection_string": world.redis.url()});
    must_not_lead_anywhere(&world, 100, url).await;
}

#[tokio::test]
async fn metadata_and_link_local_addresses_are_closed_always() {
    let world = World::start(Registry::Sqlite).await;
    let hosts =
        ["169.254.169.254", "169.254.1.1", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "fd00:ec2::254"];
    for (number, host) in hosts.into_iter().enumerate() {
        must_not_lead_anywhere(&world, number, json!({"host": host, "port": world.redis.port})).await;
    }
    must_not_lead_anywhere(&world, 100, json!({"connection_string": "redis://169.254.169.254:6379"})).await;
}

on_both_registries!(
    fields_that_do_not_fit_are_named,
    options_are_checked_by_the_drivers_schema,
    identifiers_are_unique_in_their_project,
    lists_of_connections_are_paged,
    secrets_go_where_they_were_given_for_and_nowhere_else,
);
