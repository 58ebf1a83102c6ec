//! Opening, losing and refusing connections, against real servers.

use crate::support::{open, session, settings, start, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_plugin_api::{
    Access, Driver,
    testing::{code, field, reason},
};
use studio_test_servers::{Certificates, RedisOptions, RedisServer, SentinelOptions, Server, free_port};

fn with_login(server: &RedisServer, username: Option<&str>, password: &str) -> Value {
    let mut settings = settings(server.port, json!({}));
    settings["endpoint"]["parts"]["password"] = json!(password);
    settings["endpoint"]["parts"]["username"] = json!(username);
    settings
}

async fn refused(settings: Value) -> studio_plugin_api::DriverError {
    match open(settings).await {
        Ok(_) => panic!("opened"),
        Err(error) => {
            assert!(!error.message.contains("hunter2"), "{error}");
            error
        }
    }
}

#[tokio::test]
async fn passwords_and_acl_users_log_in_and_wrong_ones_are_told() {
    let server = start(&["--requirepass", "hunter2", "--user", "app", "on", ">p w/d", "~*", "+@all"]);
    open(with_login(&server, None, "hunter2")).await.unwrap();
    let app = open(with_login(&server, Some("app"), "p w/d")).await.unwrap();
    assert_eq!(app.run("ACL WHOAMI").await, "app");
    let url = json!({ "connection_string": format!("redis://app:p%20w%2Fd@localhost:{}/3", server.port) });
    let app = open(json!({ "endpoint": url, "options": {} })).await.unwrap();
    assert!(app.run("CLIENT INFO").await.as_str().unwrap().contains(" db=3 "));
    for settings in [
        settings(server.port, json!({})),
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
    assert_eq!(reason(&refused(parts("127.0.0.1", free_port().unwrap())).await), "refused");
    assert_eq!(reason(&refused(parts("nowhere.test", 6379)).await), "not_resolved");
    assert_eq!(code(&refused(parts("169.254.169.254", 6379)).await), "FORBIDDEN");
    let mut sentinel = parts("x", 1);
    sentinel["options"] =
        json!({ "sentinel": { "master": "m", "sentinels": [{ "host": "forbidden.test" }] } });
    assert_eq!(code(&refused(sentinel).await), "FORBIDDEN");
    let server = start(&[]);
    let mut cluster = settings(server.port, json!({ "cluster": true }));
    assert_eq!(reason(&refused(cluster.take()).await), "unsupported");
    let redis = open(settings(server.port, json!({ "db": 12 }))).await.unwrap();
    redis.run("SET k v").await;
    assert_eq!(server.cli(&["-n", "12", "GET", "k"]).unwrap(), "v");
    assert_eq!(field(&refused(settings(server.port, json!({ "dbb": 1 }))).await), "options.dbb");
    let few = start(&["--databases", "2"]);
    assert_eq!(reason(&refused(settings(few.port, json!({ "db": 5 }))).await), "database");
}

#[tokio::test]
async fn a_dead_server_closes_the_session_at_once() {
    let mut server = start(&[]);
    let redis = session(&server).await;
    redis.run("SET k v").await;
    assert!(redis.is_open());
    let before = Instant::now();
    server.kill();
    while redis.is_open() {
        assert!(before.elapsed() < Duration::from_secs(2), "still open");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = redis.get("/keys/k").await.unwrap_err();
    assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "closed"));
    server.start_again().unwrap();
    assert_eq!(session(&server).await.run("PING").await, "PONG");
}

#[tokio::test]
async fn a_call_in_flight_when_the_server_dies_fails_at_once() {
    let mut server = start(&["--enable-debug-command", "yes"]);
    let redis = session(&server).await;
    redis.get("/keys").await.unwrap();
    // The server sleeps, so that the next question is in flight when it dies.
    let sleeper = server.cli_command().args(["DEBUG", "SLEEP", "5"]).spawn();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asking = tokio::spawn({
        let redis = redis.clone();
        async move { (redis.get("/keys/k").await, redis.is_open()) }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.kill();
    let (answer, open) = tokio::time::timeout(Duration::from_secs(2), asking).await.unwrap().unwrap();
    assert_eq!(reason(&answer.unwrap_err()), "closed");
    assert!(!open);
    let _ = sleeper.unwrap().wait();
}

#[tokio::test]
async fn dropped_calls_do_not_mix_up_the_answers_of_others() {
    let server = start(&[]);
    let redis = session(&server).await;
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
    assert!(redis.is_open());
}

#[tokio::test]
async fn loading_servers_say_so() {
    let server = start(&["--enable-debug-command", "yes"]);
    let redis = session(&server).await;
    redis.run("SET k v").await;
    // A replica that may not serve stale data answers MASTERDOWN, as a loading server answers LOADING.
    redis.run("CONFIG SET replica-serve-stale-data no").await;
    server.cli(&["REPLICAOF", "127.0.0.1", &free_port().unwrap().to_string()]).unwrap();
    wait_until(|| server.cli(&["GET", "k"]).unwrap().starts_with("MASTERDOWN"));
    if redis.is_open() {
        let error = redis.get("/keys/k").await.unwrap_err();
        assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "unavailable"));
        assert!(error.retry_after.is_some());
    }
}

#[tokio::test]
async fn tls_checks_the_server_unless_told_not_to() {
    let (folder, another) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let good = Certificates::make_for(folder.path(), &["localhost"]).unwrap();
    let server = RedisServer::start(RedisOptions::new().certificates(&good)).unwrap();
    let port = server.port;
    let at = |host: &str, options: Value| json!({ "endpoint": { "parts": { "host": host, "port": port } }, "options": options });
    let redis = open(at("localhost", json!({ "tls": true, "tls_ca": good.authority }))).await.unwrap();
    redis.run("SET k v").await;
    assert_eq!(redis.get("/keys/k").await.unwrap()["value"], "v");
    open(at("127.0.0.1", json!({ "tls": true, "tls_insecure": true }))).await.unwrap();
    let url = json!({ "endpoint": { "connection_string": format!("rediss://localhost:{port}#insecure") }, "options": {} });
    open(url).await.unwrap();
    let other = Certificates::make_for(another.path(), &["localhost"]).unwrap();
    for (host, options) in [
        ("localhost", json!({ "tls": true, "tls_ca": other.authority })),
        ("localhost", json!({ "tls": true })),
        ("127.0.0.1", json!({ "tls": true, "tls_ca": good.authority })),
    ] {
        assert_eq!(reason(&refused(at(host, options)).await), "tls");
    }
    // TLS to a server that speaks none.
    let plain = start(&[]);
    assert_eq!(
        reason(&refused(settings(plain.port, json!({ "tls": true, "tls_insecure": true }))).await),
        "tls"
    );
}

#[tokio::test]
async fn sentinels_name_the_master() {
    let master = start(&[]);
    let sentinel = Server::start(SentinelOptions::new(master.port)).unwrap();
    let dead = free_port().unwrap();
    let sentinels =
        json!([{ "host": "127.0.0.1", "port": dead }, { "host": "localhost", "port": sentinel.port }]);
    let options = json!({ "sentinel": { "master": "mymaster", "sentinels": sentinels }, "db": 2 });
    let redis = open(settings(master.port, options)).await.unwrap();
    redis.run("SET k v").await;
    assert_eq!(master.cli(&["-n", "2", "GET", "k"]).unwrap(), "v");
    let options = json!({ "sentinel": { "master": "other", "sentinels": [{ "host": "localhost", "port": sentinel.port }] } });
    assert_eq!(reason(&refused(settings(master.port, options)).await), "unavailable");
    // Without a list, the connection's own address is the Sentinel's.
    let redis = open(settings(sentinel.port, json!({ "sentinel": { "master": "mymaster" } }))).await.unwrap();
    assert_eq!(redis.run("PING").await, "PONG");
}
