//! Connection strings of every driver, right and wrong: no part of a password is told to anyone, and what comes along
//! around a string does no harm.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use studio_gateway_tests::{
    Gateway, GatewayOptions, MongoOptions, Plugin, Plugins, Project, mongo_world::MongoWorld, process::listen,
};
use tokio::io::AsyncWriteExt;

const DRIVERS: [(&str, &str); 4] =
    [("redis", "redis"), ("mongodb", "mongodb"), ("postgres", "postgresql"), ("memcached", "memcached")];
/// Strings of each driver.
const CASES: usize = 24;

async fn start() -> (Gateway, Project) {
    let plugins = Plugins::new([
        Plugin::new("redis"),
        Plugin::new("mongodb"),
        Plugin::new("postgres"),
        Plugin::component("memcached"),
    ]);
    let gateway = Gateway::start(GatewayOptions::default().plugins(plugins).trace()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// Passwords of letters that make no words, with what has a meaning in a URL.
fn secrets() -> impl Strategy<Value = String> {
    "[QXZJVKWY]{4}([@/?#%:&=+ \n\t\\[\\]]|%4|://){1,2}[QXZJVKWY]{3,6}([@/?#%:,&]?[QXZJVKWY]{2,5})"
}

/// A string with the password somewhere in it, which leads to a port where nothing listens.
fn string(scheme: &str, form: usize, secret: &str) -> String {
    match form {
        0 => format!("{scheme}://app:{secret}@127.0.0.1:1/0"),
        1 => format!("{scheme}://:{secret}@127.0.0.1:1"),
        2 => format!("{scheme}://127.0.0.1:1/db?user=app&password={secret}"),
        3 => format!("{scheme}://127.0.0.1:1?user=app&password={secret}&x=y"),
        4 => format!("{scheme}://app:{secret}@127.0.0.1:1,127.0.0.1:2/0?x={secret}"),
        5 => format!("{scheme}://{secret}@127.0.0.1:1/0#{secret}"),
        6 => format!("{scheme}:app:{secret}@127.0.0.1:1/0"),
        _ => format!("{scheme}://127.0.0.1:1/{secret}"),
    }
}

fn encoded(secret: &str) -> String {
    percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Four bytes in a row of which most are the password's own letters.
fn told_of<'a>(secret: &'a str, text: &[u8]) -> Option<&'a [u8]> {
    let own = |window: &&[u8]| window.iter().filter(|byte| byte.is_ascii_uppercase()).count() >= 2;
    secret.as_bytes().windows(4).filter(own).find(|window| text.windows(4).any(|found| found == *window))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_four_bytes_of_a_password_are_told_for_any_string() {
    let (mut gateway, project) = start().await;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut random = TestRunner::new_with_rng(Config::default(), rng);
    let mut used = vec!["s3cr@tPass99".to_owned()];
    for (driver, scheme) in DRIVERS {
        let path = project.connections(driver);
        let h2 = json!({"identifier": "h2", "connection_string": format!("{scheme}://app:s3cr@tPass99@host.invalid/db")});
        project.admin.post(&path, h2).await.refused_field("connection_string");
        for case in 0..CASES {
            let secret = secrets().new_tree(&mut random).unwrap().current();
            // The last ones are right.
            let is_right = case % 6 == 5;
            let string = if is_right {
                string(scheme, 0, &encoded(&secret))
                    .replace("/0", if driver == "memcached" { "" } else { "/0" })
            } else {
                string(scheme, case % 8, &secret)
            };
            let line_end = ["", "\n", "\r\n"][case % 3];
            let body =
                json!({"identifier": format!("c{case}"), "connection_string": format!("{string}{line_end}")});
            let created = project.admin.post(&path, body).await;
            if created.status != 201 {
                assert!(!is_right, "{driver}: {string:?}: {created}");
                let details = created.refused(400, "VALIDATION_ERROR");
                assert!(details["field"].is_string(), "{driver}: {string:?}: {created}");
                used.push(secret);
                continue;
            }
            let id = created.data()["id"].as_str().unwrap().to_owned();
            let tested = project.admin.post(&format!("{path}/{id}/test"), json!({})).await.expect(200).data();
            assert_eq!(tested["success"], false, "{driver}: {string:?}");
            if is_right {
                assert_eq!(tested["error"]["details"]["reason"], "refused", "{driver}: {string:?}: {tested}");
            }
            used.push(secret);
            project.viewer.get(&project.path(driver, &format!("/info?connection=c{case}"))).await;
            project.admin.delete(&format!("{path}/{id}")).await.expect(204);
        }
    }
    let query = format!("SELECT * FROM {}", gateway.database.table("gateway_audit_logs"));
    assert!(!gateway.database.texts(&query.replace('*', "action")).await.is_empty());
    gateway.stop().await;
    let mut audit = Vec::new();
    for column in ["action", "result", "project_ref", "target", "user_id", "request_id"] {
        let query = format!(
            "SELECT COALESCE(CAST({column} AS TEXT), '') FROM {}",
            gateway.database.table("gateway_audit_logs")
        );
        audit.extend(gateway.database.texts(&query).await.concat().into_bytes());
    }
    for (place, text) in [
        ("the answers", gateway.transcript.bytes()),
        ("the log", gateway.log().into_bytes()),
        ("the audit", audit),
    ] {
        for secret in &used {
            let told = told_of(secret, &text).map(String::from_utf8_lossy);
            assert!(told.is_none(), "{place}: {told:?} of {secret:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn white_space_around_a_connection_string_is_left_out() {
    let world =
        MongoWorld::start_with(GatewayOptions::default(), MongoOptions::new().root("root", "pass word"))
            .await;
    for (number, (before, after)) in
        [("", "\n"), ("", "\r\n"), (" ", " "), ("\n\t", "\r\n\r\n")].into_iter().enumerate()
    {
        let identifier = format!("s{number}");
        let string = format!("{before}{}{after}", world.server.url());
        let id = world
            .alpha
            .connect("mongodb", json!({"identifier": identifier, "connection_string": string}))
            .await;
        let path = format!("{}/{id}/test", world.alpha.connections("mongodb"));
        let tested = world.alpha.admin.post(&path, json!({})).await.expect(200).data();
        assert_eq!(tested["success"], true, "{identifier}: {tested}");
    }
}

/// A service that is no database: it greets as soon as someone connects, or answers whatever it is asked.
async fn service(greeting: &'static [u8], waits: bool) -> u16 {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if waits {
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await;
            }
            let _ = stream.write_all(greeting).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn port_of_another_service_fails_without_telling_its_greeting() {
    let (_gateway, project) = start().await;
    for (number, (greeting, waits)) in [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".as_slice(), false),
        (b"HTTP/1.1 400 Bad Request\r\nVia: nginx/1.22.1\r\nContent-Length: 0\r\n\r\n", true),
        (b"220 mail.example ESMTP Postfix\r\n", false),
        (b"J\0\0\0\n8.0.33-hidden\0\x08\0\0\0abcdefgh\0\xff\xf7\x08\x02\0\xff\x8f\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0mysql_native_password\0", false),
        (b"-ERR unknown command 'HIDDEN'\r\n", true),
        (b"\x15\x03\x01\x00\x02\x02\x46", true),
        (b"RFB 003.008\n", false),
        (b"", true),
    ]
    .into_iter()
    .enumerate()
    {
        let port = service(greeting, waits).await;
        let identifier = format!("port-{number}");
        let body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port});
        project.connect("mongodb", body).await;
        let path = project.path("mongodb", &format!("/info?connection={identifier}"));
        let answer = project.viewer.get(&path).await;
        answer.refused(503, "CONNECTION_ERROR");
        let told = json!([answer.message(), answer.json()["error"]["details"]]).to_string();
        // Small letters alone may be part of any word.
        let telling = |window: &&[u8]| {
            window.iter().all(u8::is_ascii_graphic) && !window.iter().all(u8::is_ascii_lowercase)
        };
        for window in greeting.windows(4).filter(telling) {
            let window = String::from_utf8_lossy(window);
            assert!(!told.contains(window.as_ref()), "{window}: {told}");
        }
        let number = u32::from_le_bytes(greeting.get(..4).unwrap_or_default().try_into().unwrap_or_default());
        assert!(number == 0 || !told.contains(&number.to_string()), "{told}");
    }
}
