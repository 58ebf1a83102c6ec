//! Secrets leave the process by the database connection that they are for, and by no other way.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use studio_gateway_tests::{GatewayOptions, RedisOptions, Registry, World, gateway::random_hex};

/// Not guessable, so that finding one means that it leaked.
const REDIS_PASSWORD: &str = "rEdis-pAssword-5b1c9e";
const OTHER_PASSWORD: &str = "oTher-pAssword-77d2a4";
const URL_PASSWORD: &str = "uRl-pAssword-c03f8b";
const OPTION_SECRET: &str = "oPtion-sEcret-e9417d";
const PROJECT_PASSWORD: &str = "pRoject-pAssword-2ab60c";
const SECRETS: [&str; 5] = [REDIS_PASSWORD, OTHER_PASSWORD, URL_PASSWORD, OPTION_SECRET, PROJECT_PASSWORD];

/// A secret as it is, and as encodings that are easily read back.
fn disguises(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = BASE64_STANDARD.encode(secret);
    let reversed: String = secret.chars().rev().collect();
    // The start of a base64 text does not depend on what follows it.
    let base64_start = base64.trim_end_matches('=')[..base64.len() / 4 * 4 - 4].to_owned();
    [secret.to_owned(), hex, base64_start, reversed].map(String::into_bytes).into()
}

fn assert_free_of_secrets(what: &str, bytes: &[u8], secrets: &[&str]) {
    assert!(!bytes.is_empty(), "nothing of {what} to look at");
    for secret in secrets {
        for disguise in disguises(secret) {
            let at = bytes.windows(disguise.len()).position(|window| window == disguise);
            if let Some(at) = at {
                let around = &bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())];
                panic!("{what} has `{secret}` in it: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

async fn no_byte_of_a_secret_is_anywhere(registry: Registry) {
    let options = GatewayOptions::new(registry).trace().set("GATEWAY_SESSIONS_CONNECT_TIMEOUT", "2s");
    let mut world = World::start_with(options, RedisOptions::new().password(REDIS_PASSWORD)).await;
    let (alpha, owner) = (&world.alpha, &world.alpha.owner);
    let redis = alpha.connections("redis");
    let port = world.redis.port;

    // Good ones and bad ones, in every field that takes a secret, through every route that could echo it.
    let closed = studio_gateway_tests::process::free_port();
    let mut paths = vec![format!("{redis}/{}", alpha.connection)];
    for body in [
        json!({"identifier": "parts", "host": "127.0.0.1", "port": port, "password": REDIS_PASSWORD}),
        json!({"identifier": "wrong", "host": "127.0.0.1", "port": port, "password": OTHER_PASSWORD}),
        json!({"identifier": "wrong-user", "host": "127.0.0.1", "port": port, "username": "ada", "password": OTHER_PASSWORD}),
        json!({"identifier": "url", "connection_string": format!("redis://:{URL_PASSWORD}@127.0.0.1:{port}/0")}),
        json!({"identifier": "closed", "connection_string": format!("redis://:{URL_PASSWORD}@127.0.0.1:{closed}/0")}),
        json!({"identifier": "nowhere", "connection_string": format!("redis://:{URL_PASSWORD}@no-such-host.invalid:6379/0")}),
    ] {
        let created = owner.post(&redis, body).await.expect(201).data();
        paths.push(format!("{redis}/{}", created["id"].as_str().unwrap()));
    }
    for path in &paths {
        owner.get(path).await.expect(200);
        owner.post(&format!("{path}/test"), json!({})).await.expect(200);
        let id = path.rsplit('/').next().unwrap();
        owner.get(&alpha.path("redis", &format!("/keys?connection_id={id}"))).await;
        owner
            .post(&alpha.path("redis", &format!("/command?connection_id={id}")), json!({"command": ["PING"]}))
            .await;
    }
    let probe = alpha.connect_probe("probe", json!({"token": OPTION_SECRET})).await;
    owner.get(&alpha.path("probe", "/facts/x")).await.expect(200);
    owner.get(&alpha.path("probe", "/log")).await.expect(204);
    let probe = format!("{}/{probe}", alpha.connections("probe"));
    owner.put(&probe, json!({"password": OTHER_PASSWORD, "username": "me"})).await.expect(200);
    owner.put(&probe, json!({"options": {"token": OPTION_SECRET, "connect": "panic"}})).await.expect(200);
    owner.post(&format!("{probe}/test"), json!({})).await.expect(200);

    // Refused with the secret in the body: the refusal must not quote it.
    for body in [
        json!({"identifier": "Bad", "host": "h", "password": OTHER_PASSWORD}),
        json!({"identifier": "bad", "host": "h", "port": 0, "connection_string": format!("redis://:{URL_PASSWORD}@h")}),
        json!({"identifier": "bad", "connection_string": format!("gopher://:{URL_PASSWORD}@h/")}),
        json!({"identifier": "bad", "connection_string": format!("redis://:{URL_PASSWORD}@[::1")}),
        json!({"identifier": "bad", "host": format!("user:{URL_PASSWORD}@h"), "password": [OTHER_PASSWORD]}),
        json!({"identifier": "bad", "host": "127.0.0.1", "password": {"a": OTHER_PASSWORD}}),
        json!({"identifier": "main", "host": "127.0.0.1", "password": OTHER_PASSWORD}),
    ] {
        let answer = owner.post(&redis, body).await;
        assert!(answer.status >= 400, "{answer}");
    }
    let body = json!({"identifier": "bad", "host": "127.0.0.1", "options": {"token": [OPTION_SECRET]}});
    owner.post(&alpha.connections("probe"), body).await.refused(400, "VALIDATION_ERROR");
    let database = json!({"host": "db.example.com", "port": 5432, "name": "n", "user": "u", "password": PROJECT_PASSWORD});
    let body =
        json!({"organization": "alpha-org", "name": "P", "ref": "with-database", "database": database});
    world.platform_admin.post("/api/platform/projects", body).await.expect(201);
    for path in [
        "/api/platform/projects",
        "/api/platform/projects/with-database",
        "/api/platform/projects/alpha/databases",
    ] {
        world.platform_admin.get(path).await.expect(200);
    }

    let metrics = world.gateway.anonymous().get("/metrics").await.expect(200).bytes;
    assert_free_of_secrets("/metrics", &metrics, &SECRETS);
    assert_free_of_secrets("an answer", &world.gateway.transcript.bytes(), &SECRETS);
    assert_free_of_secrets("the registry", &world.gateway.database.bytes().await, &SECRETS);
    // All files again after the end, when SQLite has moved its log into the main file.
    world.gateway.stop().await;
    assert_free_of_secrets("the registry", &world.gateway.database.bytes().await, &SECRETS);
    let log = world.gateway.log();
    assert!(log.contains("probe at trace"), "the log is not at trace level");
    let mut all = SECRETS.to_vec();
    let (jwt_secret, token) = (world.gateway.jwt_secret.clone(), world.alpha.owner.token().to_owned());
    all.extend([jwt_secret.as_str(), token.as_str()]);
    assert_free_of_secrets("the log", log.as_bytes(), &all);
}

async fn sealed_value_in_another_row_does_not_open(registry: Registry) {
    let mut world =
        World::start_with(GatewayOptions::new(registry), RedisOptions::new().password(REDIS_PASSWORD)).await;
    let port = world.redis.port;
    let with = |password| json!({"identifier": "x", "host": "127.0.0.1", "port": port, "password": password});
    let mut body = with(REDIS_PASSWORD);
    body["identifier"] = "good".into();
    let good = world.alpha.connect("redis", body).await;
    let mut body = with(OTHER_PASSWORD);
    body["identifier"] = "thief".into();
    let thief = world.beta.connect("redis", body).await;
    world.gateway.stop().await;

    let table = world.gateway.database.table("database_connections");
    let (good_row, thief_row) = match registry {
        Registry::Sqlite => (format!("id = '{good}'"), format!("id = '{thief}'")),
        Registry::Postgres => (format!("id::text = '{good}'"), format!("id::text = '{thief}'")),
    };
    let steal = format!(
        "UPDATE {table} SET password = (SELECT password FROM {table} WHERE {good_row}) WHERE {thief_row}"
    );
    assert_eq!(world.gateway.database.execute(&steal).await, 1);
    world.gateway.start_again().await;

    let works = async |project: &studio_gateway_tests::Project, id: &str| {
        project.viewer.get(&project.path("redis", &format!("/keys?connection_id={id}"))).await.status == 200
    };
    assert!(works(&world.alpha, &good).await, "what was not moved opens");
    assert!(!works(&world.beta, &thief).await, "what was moved opens");
    let test = format!("{}/{thief}/test", world.beta.connections("redis"));
    let tested = world.beta.owner.post(&test, json!({})).await;
    assert!(tested.status >= 500 || tested.data()["success"] == false, "{tested}");
    // Given again, it works again.
    let change = format!("{}/{thief}", world.beta.connections("redis"));
    world.beta.owner.put(&change, json!({"password": REDIS_PASSWORD})).await.expect(200);
    assert!(works(&world.beta, &thief).await);
}

async fn wrong_key_stops_the_start_and_the_right_one_still_opens(registry: Registry) {
    let mut world =
        World::start_with(GatewayOptions::new(registry), RedisOptions::new().password(REDIS_PASSWORD)).await;
    world.gateway.stop().await;
    let keys = [random_hex(), "too short".to_owned(), String::new(), "zz".repeat(32), "ab".repeat(31)];
    for key in keys {
        world.gateway.set("DATABASE_ENCRYPTION_KEY", &key);
        let failed = world.gateway.fails_to_start().await;
        assert!(failed.status.code().is_some_and(|code| code != 0 && code != 101), "{failed:?}");
        assert!(failed.log.to_lowercase().contains("key"), "{failed:?}");
        assert!(key.is_empty() || !failed.log.contains(&key), "the log has the key in it");
        assert!(!world.gateway.run_cli(&["check"]).status.success());
    }
}

async fn retired_key_still_opens_what_it_sealed(registry: Registry) {
    let retired = random_hex();
    let options = GatewayOptions::new(registry).set("DATABASE_ENCRYPTION_KEY", &retired);
    let mut world = World::start_with(options, RedisOptions::new().password(REDIS_PASSWORD)).await;
    world.gateway.stop().await;
    world.gateway.set("DATABASE_ENCRYPTION_KEY", &random_hex());
    world.gateway.fails_to_start().await;
    world.gateway.set("DATABASE_ENCRYPTION_KEYS_RETIRED", &format!("{},{retired}", random_hex()));
    world.gateway.start_again().await;
    world.alpha.viewer.get(&world.alpha.path("redis", "/keys")).await.expect(200);
    // New secrets are sealed under the new key and open beside the old ones.
    let body = json!({"identifier": "new", "host": "127.0.0.1", "port": world.redis.port, "password": REDIS_PASSWORD});
    world.alpha.connect("redis", body).await;
    world.alpha.viewer.get(&world.alpha.path("redis", "/keys?connection=new")).await.expect(200);
}

on_both_registries!(
    no_byte_of_a_secret_is_anywhere,
    sealed_value_in_another_row_does_not_open,
    wrong_key_stops_the_start_and_the_right_one_still_opens,
    retired_key_still_opens_what_it_sealed,
);
