//! Who a token is, and what that lets them do.

use jsonwebtoken::Algorithm;
use serde_json::json;
use studio_gateway_tests::{Gateway, GatewayOptions, Project, Registry, Token, World, gateway::random_hex};

/// Routes of every kind, none of which may answer without a good token.
const ROUTES: [(&str, &str); 8] = [
    ("GET", "/api/platform/plugins"),
    ("POST", "/api/platform/plugins/reload"),
    ("GET", "/api/platform/organizations"),
    ("GET", "/api/platform/projects"),
    ("GET", "/api/platform/projects/alpha"),
    ("GET", "/api/platform/probe/alpha/connections"),
    ("GET", "/api/platform/probe/alpha/nothing"),
    ("POST", "/api/platform/probe/alpha/write"),
];

#[tokio::test]
async fn bad_tokens_of_every_kind_are_refused_on_every_route() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let secret = &gateway.jwt_secret;
    // Good but for the one thing that each line spoils.
    let good = Token::platform_admin();
    let tampered = {
        let (signed, other) = (good.sign(secret), Token::user("nobody").sign(secret));
        let parts: Vec<&str> = signed.split('.').collect();
        format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2])
    };
    let bad = [
        ("none at all", String::new()),
        ("no JWT", "nonsense".to_owned()),
        ("three parts of nothing", "a.b.c".to_owned()),
        ("expired", good.clone().expires_in(-60).sign(secret)),
        ("no exp", good.clone().without("exp").sign(secret)),
        ("not yet valid", good.clone().valid_in(600).sign(secret)),
        ("another audience", good.clone().claim("aud", "someone-else").sign(secret)),
        ("no audience", good.clone().without("aud").sign(secret)),
        ("no sub", good.clone().without("sub").sign(secret)),
        ("alg none", good.unsigned()),
        ("another key", good.sign(&random_hex())),
        ("an empty key", good.sign("")),
        ("HS384", good.sign_with(Algorithm::HS384, secret)),
        ("HS512", good.sign_with(Algorithm::HS512, secret)),
        ("ES256", good.sign_with_fresh_key()),
        ("another's payload", tampered),
    ];
    for (method, path) in ROUTES {
        gateway.anonymous().call(method, path, None).await.refused(401, "UNAUTHENTICATED");
        for (what, token) in &bad {
            let answer = gateway.anonymous().with_token(token.as_str()).call(method, path, None).await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (401, "UNAUTHENTICATED"),
                "{what}: {answer}"
            );
        }
        let answer = gateway.client(&good).call(method, path, None).await;
        assert!(answer.status < 400, "the good one: {answer}");
    }
    let client = gateway.anonymous();
    for header in ["Basic dXNlcjpwYXNz", "Bearer", &format!("Token {}", good.sign(secret))] {
        let request = client.request("GET", "/api/platform/projects").header("authorization", header);
        client.send(request).await.refused(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn audience_may_be_one_of_several_and_times_are_kept() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let user = Token::user("someone");
    for good in [
        user.clone(),
        user.clone().valid_in(-60),
        user.clone().claim("aud", json!(["other", "authenticated"])),
        user.clone().claim("surplus", json!({"deep": [1, 2]})),
    ] {
        gateway.client(&good).get("/api/platform/projects").await.expect(200);
    }
}

#[tokio::test]
async fn remembered_token_is_refused_once_it_expired() {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    // Verifiers may allow clocks some leeway: the token ends soon, and the test waits it out.
    let client = gateway.client(&Token::user("someone").expires_in(2));
    client.get("/api/platform/projects").await.expect(200);
    studio_gateway_tests::time::within(
        *studio_gateway_tests::PATIENCE * 3,
        "the token expires",
        async || client.get("/api/platform/projects").await.status == 401,
    )
    .await;
}

#[tokio::test]
async fn issuer_and_audience_are_what_the_settings_say() {
    let options = GatewayOptions::default().set("GATEWAY_JWT_ISSUER", "https://id.example.com");
    let gateway = Gateway::start(options.set("GATEWAY_JWT_AUDIENCE", "studio")).await;
    let ours = Token::user("someone").claim("aud", "studio").claim("iss", "https://id.example.com");
    gateway.client(&ours).get("/api/platform/projects").await.expect(200);
    for other in [
        ours.clone().claim("aud", "authenticated"),
        ours.clone().claim("iss", "https://evil.example.com"),
        ours.clone().without("iss"),
    ] {
        gateway.client(&other).get("/api/platform/projects").await.refused(401, "UNAUTHENTICATED");
    }
}

async fn each_role_may_what_the_table_says(registry: Registry) {
    let world = World::start(registry).await;
    let alpha = &world.alpha;
    let probe = alpha.connect_probe("probe", json!({})).await;
    let reads = [
        ("GET", alpha.path("probe", "/nothing")),
        ("GET", alpha.connections("probe")),
        ("GET", format!("{}/{probe}", alpha.connections("probe"))),
        ("GET", "/api/platform/projects/alpha".to_owned()),
        ("GET", "/api/platform/projects/alpha/databases".to_owned()),
        ("GET", "/api/platform/projects/alpha/members".to_owned()),
    ];
    let test = format!("{}/{probe}/test", alpha.connections("probe"));
    let change = format!("{}/{probe}", alpha.connections("probe"));
    let member = "/api/platform/projects/alpha/members/newcomer".to_owned();
    for (level, (role, client)) in alpha.members().into_iter().enumerate() {
        // What the driver is told, where it decides itself.
        let facts = client.get(&alpha.path("probe", "/facts/x")).await.expect(200).data();
        assert_eq!(facts["granted"], ["read", "write", "admin", "admin"][level], "{role}");
        for (method, path) in &reads {
            client.call(method, path, None).await.expect(200);
        }
        for (needed, method, path, body) in [
            (1, "POST", alpha.path("probe", "/write"), None),
            (2, "POST", alpha.path("probe", "/admin"), None),
            (2, "POST", test.clone(), None),
            (2, "PUT", change.clone(), Some(json!({"database_name": role}))),
            (2, "POST", alpha.connections("probe"), Some(json!({"identifier": role, "host": "127.0.0.1"}))),
            (3, "PUT", member.clone(), Some(json!({"role": "viewer"}))),
            (3, "DELETE", member.clone(), None),
        ] {
            let answer = client.call(method, &path, body).await;
            if level >= needed {
                assert!(answer.status < 300, "{role}: {answer}");
            } else {
                answer.refused(403, "FORBIDDEN");
            }
        }
    }
    for client in [&alpha.viewer, &alpha.developer, &alpha.admin] {
        client.delete("/api/platform/projects/alpha").await.refused(403, "FORBIDDEN");
    }
    for client in [&alpha.viewer, &alpha.developer, &alpha.admin, &alpha.owner] {
        client.post("/api/platform/plugins/reload", json!({})).await.refused(403, "FORBIDDEN");
    }
}

async fn claims_give_roles_and_the_highest_counts(registry: Registry) {
    let world = World::start(registry).await;
    let (alpha, beta) = (&world.alpha, &world.beta);
    for project in [alpha, beta] {
        project.connect_probe("probe", json!({})).await;
    }
    let granted = async |token: Token, project: &Project| {
        let answer = world.gateway.client(&token).get(&project.path("probe", "/facts/x")).await;
        if answer.status == 404 {
            "nothing".to_owned()
        } else {
            answer.data()["granted"].as_str().unwrap().to_owned()
        }
    };
    let user = || Token::user("somebody");
    assert_eq!(granted(user(), alpha).await, "nothing");
    assert_eq!(granted(user().grant("alpha", "viewer"), alpha).await, "read");
    assert_eq!(granted(user().grant("alpha", "developer"), alpha).await, "write");
    assert_eq!(granted(user().grant("alpha", "owner"), alpha).await, "admin");
    assert_eq!(granted(user().grant("alpha", "owner"), beta).await, "nothing");
    assert_eq!(granted(user().grant("*", "viewer"), beta).await, "read");
    assert_eq!(granted(user().grant("*", "viewer").grant("beta", "developer"), beta).await, "write");
    assert_eq!(granted(user().grant("*", "developer").grant("beta", "viewer"), beta).await, "write");
    assert_eq!(granted(user().grant("alpha", "emperor"), alpha).await, "nothing");
    // Registry and token: the higher one, whichever that is.
    assert_eq!(granted(Token::user("alpha-viewer").grant("alpha", "developer"), alpha).await, "write");
    assert_eq!(granted(Token::user("alpha-developer").grant("alpha", "viewer"), alpha).await, "write");
    // What a user could write into the token's own free part counts for nothing.
    let claimed =
        user().claim("user_metadata", json!({"projects": {"alpha": "owner"}, "platform_role": "admin"}));
    assert_eq!(granted(claimed, alpha).await, "nothing");
    assert_eq!(granted(user().claim("role", "service_role"), alpha).await, "nothing");
    assert_eq!(granted(Token::platform_admin(), beta).await, "admin");
}

async fn project_keys_open_their_own_project_as_admin(registry: Registry) {
    let mut world = World::start(registry).await;
    for project in [&world.alpha, &world.beta] {
        project.connect_probe("probe", json!({})).await;
    }
    let secret = random_hex();
    let (projects, credentials) =
        (world.gateway.database.table("projects"), world.gateway.database.table("credentials"));
    // As Studio stores it: plain.
    let statement = format!(
        "INSERT INTO {credentials} (project_id, anon_key, service_role_key, jwt_secret) \
         SELECT id, '', '', '{secret}' FROM {projects} WHERE ref = 'alpha' \
         ON CONFLICT (project_id) DO UPDATE SET jwt_secret = excluded.jwt_secret"
    );
    assert_eq!(world.gateway.database.execute(&statement).await, 1);
    world.gateway.restart().await;

    let with = |token: String| world.gateway.anonymous().with_token(token);
    let service = with(Token::project_key("service_role").sign(&secret));
    let facts = service.get("/api/platform/probe/alpha/facts/x").await.expect(200).data();
    assert_eq!(facts["granted"], "admin");
    service.get("/api/platform/probe/alpha/connections").await.expect(200);
    service.get("/api/platform/projects/alpha").await.expect(200);
    service
        .put("/api/platform/projects/alpha/members/x", json!({"role": "owner"}))
        .await
        .refused(403, "FORBIDDEN");

    let other = service.get("/api/platform/probe/beta/facts/x").await;
    assert!(matches!(other.status, 401 | 404), "another project: {other}");
    for (what, token) in [
        ("anon", Token::project_key("anon").sign(&secret)),
        ("a user's role", Token::project_key("authenticated").sign(&secret)),
        ("expired", Token::project_key("service_role").expires_in(-60).sign(&secret)),
        ("another key", Token::project_key("service_role").sign(&random_hex())),
        ("alg none", Token::project_key("service_role").unsigned()),
        ("an admin by its own words", Token::platform_admin().sign(&secret)),
    ] {
        let answer = with(token).get("/api/platform/probe/alpha/nothing").await;
        assert_eq!(answer.status, 401, "{what}: {answer}");
    }
}

on_both_registries!(
    each_role_may_what_the_table_says,
    claims_give_roles_and_the_highest_counts,
    project_keys_open_their_own_project_as_admin,
);
