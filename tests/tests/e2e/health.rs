//! Liveness, readiness, metrics, and the paths that are nobody's.

use studio_gateway_tests::{Gateway, GatewayOptions, RedisOptions, Registry, World};

async fn ready_gateway_is_live_and_ready_without_a_token(registry: Registry) {
    let gateway = Gateway::start(GatewayOptions::new(registry)).await;
    for path in ["/healthz", "/readyz"] {
        gateway.anonymous().get(path).await.expect(200);
        gateway.anonymous().with_token("nonsense").get(path).await.expect(200);
        let head = gateway.anonymous().call("HEAD", path, None).await.expect(200);
        assert!(head.bytes.is_empty());
    }
}

on_both_registries!(ready_gateway_is_live_and_ready_without_a_token);

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    gateway.anonymous().get("/healthz").await.expect(200);
    let answer = gateway.anonymous().get("/metrics").await.expect(200);
    assert!(String::from_utf8(answer.bytes).unwrap().contains("# TYPE "));
}

#[tokio::test]
async fn metrics_move_to_a_listener_of_their_own() {
    let port = studio_gateway_tests::process::free_port();
    let options = GatewayOptions::default().set("GATEWAY_METRICS_LISTEN", &format!("127.0.0.1:{port}"));
    let gateway = Gateway::start(options).await;
    gateway.anonymous().get("/metrics").await.refused(404, "NOT_FOUND");
    let address = ([127, 0, 0, 1], port).into();
    assert_eq!(studio_gateway_tests::raw::raw_get(address, "/metrics", "").await.status, 200);
}

#[tokio::test]
async fn metrics_beside_the_api_name_no_project() {
    let port = studio_gateway_tests::process::free_port();
    for listener in [None, Some(port)] {
        let mut options = GatewayOptions::default();
        if let Some(port) = listener {
            options = options.set("GATEWAY_METRICS_LISTEN", &format!("127.0.0.1:{port}"));
        }
        let world = World::start_with(options, RedisOptions::new()).await;
        let mut ids = Vec::new();
        for project in [&world.alpha, &world.beta] {
            project.viewer.get(&project.path("redis", "/info")).await.expect(200);
            let path = format!("/api/platform/projects/{}", project.reference);
            ids.push(project.viewer.get(&path).await.data()["id"].as_str().unwrap().to_owned());
        }
        let address = listener.map_or(world.gateway.address(), |port| ([127, 0, 0, 1], port).into());
        let answer = studio_gateway_tests::raw::raw_get(address, "/metrics", "").await;
        let text = String::from_utf8(answer.body).unwrap();
        let open: Vec<&str> =
            text.lines().filter(|line| line.starts_with("studio_gateway_open_sessions{")).collect();
        let named = ids.iter().chain([&world.alpha.connection, &world.beta.connection]);
        match listener {
            // Both projects in one number.
            None => {
                let both = "studio_gateway_open_sessions{project=\"\",type=\"redis\"} 2";
                assert_eq!(open, [both]);
                for name in named.map(String::as_str).chain(["alpha", "beta"]) {
                    assert!(!text.contains(name), "{name} in {text}");
                }
            }
            Some(_) => {
                assert_eq!(open.len(), 2, "{text}");
                assert!(ids.iter().all(|id| text.contains(id.as_str())), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn paths_of_nobody_are_not_found() {
    let world = World::start(Registry::Sqlite).await;
    let admin = &world.platform_admin;
    for path in ["/", "/api", "/api/platform/redis/alpha/nothing"] {
        admin.get(path).await.refused(404, "NOT_FOUND");
    }
    for path in ["/api/platform/oracle/alpha/connections", "/api/platform/oracle/alpha/keys"] {
        admin.get(path).await.refused(404, "UNKNOWN_DATABASE_TYPE");
    }
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let world = World::start(Registry::Sqlite).await;
    let probe = world.alpha.connect_probe("probe", serde_json::json!({})).await;
    for (method, path, allowed) in [
        ("DELETE", "/healthz".to_owned(), vec!["GET"]),
        ("POST", "/api/platform/projects/alpha".to_owned(), vec!["GET", "DELETE"]),
        ("GET", "/api/platform/projects/alpha/members/someone".to_owned(), vec!["PUT", "DELETE"]),
        ("PUT", "/api/platform/probe/alpha/connections".to_owned(), vec!["GET", "POST"]),
        ("POST", format!("/api/platform/probe/alpha/connections/{probe}"), vec!["GET", "PUT", "DELETE"]),
        ("GET", format!("/api/platform/probe/alpha/connections/{probe}/test"), vec!["POST"]),
        ("PUT", "/api/platform/probe/alpha/nothing".to_owned(), vec!["GET"]),
        ("GET", "/api/platform/probe/alpha/write".to_owned(), vec!["POST"]),
    ] {
        let answer = world.platform_admin.call(method, &path, None).await.expect(405);
        let allow = answer.header("allow").unwrap_or_default();
        let listed: Vec<&str> = allow.split(',').map(str::trim).collect();
        for wanted in allowed {
            assert!(listed.contains(&wanted), "{method} {path}: `{wanted}` is not in Allow: {allow}");
        }
        assert!(!listed.contains(&method), "{method} {path}: Allow: {allow}");
    }
}
