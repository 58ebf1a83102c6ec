//! Opening, losing and refusing connections, against real servers.

use crate::support::{
    Certificates, Server, Session, certificates, code, field, free_port, reason, wait_until,
};
use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use studio_plugin_api::{Access, Driver};

fn with_login(server: &Server, username: Option<&str>, password: &str) -> Value {
    let mut settings = server.settings(json!({}));
    settings["endpoint"]["parts"]["password"] = json!(password);
    settings["endpoint"]["parts"]["username"] = json!(username);
    settings
}

async fn refused(settings: Value) -> studio_plugin_api::DriverError {
    match Session::open(settings).await {
        Ok(_) => panic!("opened"),
        Err(error) => {
            assert!(!error.message.contains("hunter2"), "{error}");
            error
        }
    }
}

#[tokio::test]
async fn passwords_and_acl_users_log_in_and_wrong_ones_are_told() {
    let server = Server::start(&["--requirepass", "hunter2", "--user", "app", "on", ">p w/d", "~*", "+@all"]);
    Session::open(with_login(&server, None, "hunter2")).await.unwrap();
    let app = Session::open(with_login(&server, Some("app"), "p w/d")).await.unwrap();
    assert_eq!(app.run("ACL WHOAMI").await, "app");
    let url = json!({ "connection_string": format!("redis://app:p%20w%2Fd@localhost:{}/3", server.port) });
    let app = Session::open(json!({ "endpoint": url, "options": {} })).await.unwrap();
    assert!(app.run("CLIENT INFO").await.as_str().unwrap().contains(" db=3 "));
    for settings in [
        server.settings(json!({})),
        with_login(&server, None, "hunter2x"),
        with_login(&server, Some("app"), "hunter2"),
        with_login(&server, Some("nobody"), "hunter2"),
    ] {
        let error = refused(settings).await;
        assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "authentication_failed"));
    }
}

#[tokio::test]
async fn unreachable_and_forbidden_servers_are_told_apart() {
    let parts = |host: &str, port: u16| json!({ "endpoint": { "parts": { "host": host, "port": port } }, "options": {} });
    assert_eq!(reason(&refused(parts("127.0.0.1", free_port())).await), "refused");
    assert_eq!(reason(&refused(parts("nowhere.test", 6379)).await), "not_resolved");
    assert_eq!(code(&refused(parts("169.254.169.254", 6379)).await), "FORBIDDEN");
    let mut sentinel = parts("x", 1);
    sentinel["options"] =
        json!({ "sentinel": { "master": "m", "sentinels": [{ "host": "forbidden.test" }] } });
    assert_eq!(code(&refused(sentinel).await), "FORBIDDEN");
    let server = Server::start(&[]);
    let mut cluster = server.settings(json!({ "cluster": true }));
    assert_eq!(reason(&refused(cluster.take()).await), "unsupported");
    let settings = server.settings(json!({ "db": 12 }));
    let redis = Session::open(settings).await.unwrap();
    redis.run("SET k v").await;
    assert_eq!(server.cli(&["-n", "12", "GET", "k"]), "v");
    assert_eq!(field(&refused(server.settings(json!({ "dbb": 1 }))).await), "options.dbb");
    let few = Server::start(&["--databases", "2"]);
    assert_eq!(reason(&refused(few.settings(json!({ "db": 5 }))).await), "database");
}

#[tokio::test]
async fn a_dead_server_closes_the_session_at_once() {
    let mut server = Server::start(&[]);
    let redis = server.session().await;
    redis.run("SET k v").await;
    assert!(redis.0.is_open());
    let before = Instant::now();
    server.stop();
    while redis.0.is_open() {
        assert!(before.elapsed() < Duration::from_secs(2), "still open");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = redis.get("/keys/k").await.unwrap_err();
    assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "closed"));
    server.restart();
    assert_eq!(server.session().await.run("PING").await, "PONG");
}

#[tokio::test]
async fn a_call_in_flight_when_the_server_dies_fails_at_once() {
    let mut server = Server::start(&["--enable-debug-command", "yes"]);
    let redis = server.session().await;
    redis.get("/keys").await.unwrap();
    // The server sleeps, so that the next question is in flight when it dies.
    let sleeper =
        Command::new("redis-cli").args(["-p", &server.port.to_string(), "DEBUG", "SLEEP", "5"]).spawn();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asking = tokio::spawn({
        let redis = redis.clone();
        async move { (redis.get("/keys/k").await, redis.0.is_open()) }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop();
    let (answer, open) = tokio::time::timeout(Duration::from_secs(2), asking).await.unwrap().unwrap();
    assert_eq!(reason(&answer.unwrap_err()), "closed");
    assert!(!open);
    let _ = sleeper.unwrap().wait();
}

#[tokio::test]
async fn dropped_calls_do_not_mix_up_the_answers_of_others() {
    let server = Server::start(&[]);
    let redis = server.session().await;
    for number in 0..50 {
        redis.run(&format!("SET k{number} v{number}")).await;
    }
    let slow = "local n = 0; for i = 1, 3000000 do n = n + 1 end; return 'slow'";
    for round in 0..20 {
        // Dropped at any moment: before it is written, in flight, or answered already.
        let path = format!("/keys/k{round}");
        let wait = Duration::from_micros(round * 150);
        let _ = tokio::time::timeout(wait, redis.command(Access::Admin, json!(["EVAL", slow, 0]))).await;
        let _ = tokio::time::timeout(wait, redis.get(&path)).await;
        let _ = tokio::time::timeout(wait, redis.post("/keys/h", json!({ "value": { "a": "b" } }))).await;
        let asked = (0..50).map(|number| {
            let redis = redis.clone();
            tokio::spawn(async move { (number, redis.get(&format!("/keys/k{number}")).await.unwrap()) })
        });
        for answer in asked.collect::<Vec<_>>() {
            let (number, read) = answer.await.unwrap();
            assert_eq!(read["value"], format!("v{number}"));
        }
    }
    assert!(redis.0.is_open());
}

#[tokio::test]
async fn loading_servers_say_so() {
    let server = Server::start(&["--enable-debug-command", "yes"]);
    let redis = server.session().await;
    redis.run("SET k v").await;
    // A replica that may not serve stale data answers MASTERDOWN, as a loading server answers LOADING.
    redis.run("CONFIG SET replica-serve-stale-data no").await;
    server.cli(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    wait_until(|| server.cli(&["GET", "k"]).starts_with("MASTERDOWN"));
    if redis.0.is_open() {
        let error = redis.get("/keys/k").await.unwrap_err();
        assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "unavailable"));
        assert!(error.retry_after.is_some());
    }
}

fn tls_server(certificates: &Certificates) -> (Server, u16) {
    let port = free_port();
    let arguments = certificates.arguments(port);
    (Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()), port)
}

#[tokio::test]
async fn tls_checks_the_server_unless_told_not_to() {
    let good = certificates(&["localhost"]);
    let (_server, port) = tls_server(&good);
    let settings = |host: &str, options: Value| json!({ "endpoint": { "parts": { "host": host, "port": port } }, "options": options });
    let redis =
        Session::open(settings("localhost", json!({ "tls": true, "tls_ca": good.authority }))).await.unwrap();
    redis.run("SET k v").await;
    assert_eq!(redis.get("/keys/k").await.unwrap()["value"], "v");
    Session::open(settings("127.0.0.1", json!({ "tls": true, "tls_insecure": true }))).await.unwrap();
    let url = json!({ "endpoint": { "connection_string": format!("rediss://localhost:{port}#insecure") }, "options": {} });
    Session::open(url).await.unwrap();
    let other = certificates(&["localhost"]);
    for (host, options) in [
        ("localhost", json!({ "tls": true, "tls_ca": other.authority })),
        ("localhost", json!({ "tls": true })),
        ("127.0.0.1", json!({ "tls": true, "tls_ca": good.authority })),
    ] {
        assert_eq!(reason(&refused(settings(host, options)).await), "tls");
    }
    // TLS to a server that speaks none.
    let plain = Server::start(&[]);
    assert_eq!(reason(&refused(plain.settings(json!({ "tls": true, "tls_insecure": true }))).await), "tls");
}

#[tokio::test]
async fn sentinels_name_the_master() {
    let master = Server::start(&[]);
    let sentinel = Server::sentinel(master.port);
    let dead = free_port();
    let sentinels =
        json!([{ "host": "127.0.0.1", "port": dead }, { "host": "localhost", "port": sentinel.port }]);
    let options = json!({ "sentinel": { "master": "mymaster", "sentinels": sentinels }, "db": 2 });
    let redis = Session::open(master.settings(options)).await.unwrap();
    redis.run("SET k v").await;
    assert_eq!(master.cli(&["-n", "2", "GET", "k"]), "v");
    let options = json!({ "sentinel": { "master": "other", "sentinels": [{ "host": "localhost", "port": sentinel.port }] } });
    assert_eq!(reason(&refused(master.settings(options)).await), "unavailable");
    // Without a list, the connection's own address is the Sentinel's.
    let redis =
        Session::open(sentinel.settings(json!({ "sentinel": { "master": "mymaster" } }))).await.unwrap();
    assert_eq!(redis.run("PING").await, "PONG");
}
