//! One project's caller and another project's things: nothing is there, on any route, by any name.

use serde_json::{Value, json};
use studio_gateway_tests::{Client, Project, Registry, Token, World};

/// Every host route and every kind of driver route on a connection of `project`, by id.
fn routes(project: &Project, database_type: &str, id: &str) -> Vec<(&'static str, String, Option<Value>)> {
    let one = format!("{}/{id}", project.connections(database_type));
    vec![
        ("GET", one.clone(), None),
        ("PUT", one.clone(), Some(json!({"database_name": "taken-over"}))),
        ("POST", format!("{one}/test"), Some(json!({}))),
        ("DELETE", one, None),
    ]
}

fn driver_routes(project: &Project, selector: &str) -> Vec<(&'static str, String, Option<Value>)> {
    vec![
        ("GET", project.path("probe", &format!("/nothing{selector}")), None),
        ("GET", project.path("probe", &format!("/facts/x{selector}")), None),
        ("POST", project.path("probe", &format!("/write{selector}")), Some(json!({}))),
        ("POST", project.path("probe", &format!("/admin{selector}")), Some(json!({}))),
        ("GET", project.path("redis", &format!("/keys{selector}")), None),
        ("GET", project.path("redis", &format!("/keys/k{selector}")), None),
        ("POST", project.path("redis", &format!("/keys/k{selector}")), Some(json!({"value": "stolen"}))),
        ("PUT", project.path("redis", &format!("/keys/k{selector}")), Some(json!({"value": "stolen"}))),
        ("DELETE", project.path("redis", &format!("/keys/k{selector}")), None),
        ("POST", project.path("redis", &format!("/keys/k/expire{selector}")), Some(json!({"ttl": 1}))),
        (
            "POST",
            project.path("redis", &format!("/command{selector}")),
            Some(json!({"command": ["GET", "k"]})),
        ),
        ("GET", project.path("redis", &format!("/info{selector}")), None),
    ]
}

async fn all_not_found(client: &Client, routes: Vec<(&'static str, String, Option<Value>)>) {
    for (method, path, body) in routes {
        client.call(method, &path, body).await.refused(404, "NOT_FOUND");
    }
}

async fn nothing_of_another_project_is_there(registry: Registry) {
    let world = World::start(registry).await;
    let (alpha, beta) = (&world.alpha, &world.beta);
    let alpha_probe = alpha.connect_probe("alpha-probe", json!({})).await;
    let beta_probe = beta.connect_probe("beta-probe", json!({})).await;
    let beta_second =
        json!({"identifier": "beta-only", "connection_string": format!("{}/1", world.redis.url())});
    let beta_second = beta.connect("redis", beta_second).await;
    // In beta's database, where alpha must not get.
    let mut redis = world.redis.connection().await;
    redis::pipe()
        .cmd("SELECT")
        .arg(1)
        .ignore()
        .cmd("SET")
        .arg("k")
        .arg("beta's")
        .ignore()
        .query_async::<()>(&mut redis)
        .await
        .unwrap();
    // Warm: what is remembered must not be shared.
    for (project, probe) in [(alpha, &alpha_probe), (beta, &beta_probe)] {
        project
            .owner
            .get(&project.path("probe", &format!("/nothing?connection_id={probe}")))
            .await
            .expect(200);
        project.owner.get(&project.path("redis", "/keys")).await.expect(200);
    }

    // Alpha's owner, who may do everything in alpha and nothing in beta.
    let owner = &alpha.owner;
    // Beta's ref.
    all_not_found(owner, driver_routes(beta, "")).await;
    all_not_found(owner, routes(beta, "redis", &beta.connection)).await;
    all_not_found(owner, routes(beta, "probe", &beta_probe)).await;
    // Alpha's ref with beta's ids and identifiers.
    for id in [&beta.connection, &beta_second, &beta_probe] {
        all_not_found(owner, routes(alpha, "redis", id)).await;
        all_not_found(owner, routes(alpha, "probe", id)).await;
        all_not_found(owner, driver_routes(alpha, &format!("?connection_id={id}"))).await;
    }
    for identifier in ["beta-only", "beta-probe"] {
        all_not_found(owner, driver_routes(alpha, &format!("?connection={identifier}"))).await;
    }
    // Alpha's own ids under beta's ref are no way in either.
    all_not_found(owner, driver_routes(beta, &format!("?connection_id={}", alpha.connection))).await;
    all_not_found(owner, routes(beta, "redis", &alpha.connection)).await;
    // Of another type, in one's own project: `redis` is not `probe`.
    all_not_found(owner, routes(alpha, "probe", &alpha.connection)).await;
    all_not_found(owner, routes(alpha, "redis", &alpha_probe)).await;
    // A token that opens alpha alone, and one that names beta in a way that is not its ref.
    let token =
        Token::user("somebody").grant("alpha", "owner").grant("BETA", "owner").grant("beta/", "owner");
    all_not_found(&world.gateway.client(&token), driver_routes(beta, "")).await;

    // Ambiguous selectors never mean more than one of them allows.
    let both = format!("?connection_id={}&connection=beta-only", alpha.connection);
    let answer = owner.get(&alpha.path("redis", &format!("/keys/k{both}"))).await;
    assert!(matches!(answer.status, 400 | 404), "{answer}");
    let twice = format!("?connection_id={}&connection_id={}", alpha.connection, beta.connection);
    let answer = owner.get(&alpha.path("redis", &format!("/keys/k{twice}"))).await;
    assert!(matches!(answer.status, 400 | 404), "{answer}");

    // All is as it was.
    let value: Option<String> = {
        let mut redis = world.redis.connection().await;
        redis::cmd("SELECT").arg(1).query_async::<()>(&mut redis).await.unwrap();
        redis::cmd("GET").arg("k").query_async(&mut redis).await.unwrap()
    };
    assert_eq!(value.as_deref(), Some("beta's"));
    let items = beta.owner.get("/api/platform/projects/beta/databases").await.items();
    assert_eq!(items.len(), 3);
    assert!(items.iter().all(|item| item["database_name"] != "taken-over"));
    assert!(!String::from_utf8_lossy(&owner.get(&alpha.path("redis", "/keys")).await.bytes).contains("beta"));
}

async fn paths_that_climb_do_not_reach_another_project(registry: Registry) {
    let world = World::start(registry).await;
    let token = world.alpha.owner.token().to_owned();
    for path in [
        "/api/platform/redis/alpha/../beta/keys",
        "/api/platform/redis/alpha/%2e%2e/beta/keys",
        "/api/platform/redis/alpha%2f..%2fbeta/keys",
        "/api/platform/redis/beta%00/keys",
        "/api/platform/redis//beta/keys",
        "/api/platform/redis/BETA/keys",
        "/api/platform/redis/beta;/keys",
        "/api/platform/redis/beta/connections/../keys",
        "/api/platform/projects/alpha/../beta",
        "//api/platform/projects/beta",
    ] {
        let answer = studio_gateway_tests::raw::raw_get(world.gateway.address(), path, &token).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.head);
    }
}

on_both_registries!(nothing_of_another_project_is_there, paths_that_climb_do_not_reach_another_project);
