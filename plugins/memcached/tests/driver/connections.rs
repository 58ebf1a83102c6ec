//! Opening sessions, and what becomes of them, against real servers.

use crate::support::{open, relay, session, start};
use serde_json::json;
use studio_plugin_api::{
    Driver, Outcome,
    testing::{code, reason},
};
use studio_test_servers::{MemcachedOptions, MemcachedServer, free_port};

#[tokio::test]
async fn user_and_password_are_those_of_the_authentication_file() {
    let options = MemcachedOptions::new().user("app", "s3cret!").user("other", "word");
    let server = MemcachedServer::start(options).unwrap();
    for (username, password) in [("app", "s3cret!"), ("other", "word")] {
        let login = json!({ "username": username, "password": password });
        let memcached = open(server.port, login).await.unwrap();
        assert_eq!(memcached.ping().await.unwrap().facts["authenticated"], true);
        memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
        // The login was no value.
        assert_eq!(memcached.get("/keys").await.unwrap()["total"], 1);
    }
    for login in [
        json!({ "username": "app", "password": "wrong" }),
        json!({ "username": "nobody", "password": "s3cret!" }),
        json!({ "username": "app", "password": "s3cret!\r\nversion" }),
        json!({ "username": "app", "password": "x".repeat(5000) }),
        json!({}),
    ] {
        let error = open(server.port, login.clone()).await.err().unwrap();
        assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "authentication_failed"), "{login}");
        assert!(!error.message.contains("s3cret"), "{}", error.message);
    }
}

#[tokio::test]
async fn server_that_does_not_ask_is_not_told_the_password() {
    let server = start(&[]);
    let login = json!({ "username": "app", "password": "s3cret!" });
    let memcached = open(server.port, login).await.unwrap();
    let facts = memcached.ping().await.unwrap();
    assert_eq!((&facts.facts["authenticated"], &facts.facts["items"]), (&json!(false), &json!(0)));
    assert!(facts.version.starts_with("1."));
    assert_eq!(memcached.get("/stats").await.unwrap()["cmd_set"], 0);
}

#[tokio::test]
async fn server_that_is_not_there_or_full_is_told() {
    let error = open(free_port().unwrap(), json!({})).await.err().unwrap();
    assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "refused"));
    let server = start(&["-c", "60", "-t", "1", "-o", "maxconns_fast"]);
    let mut sessions = Vec::new();
    let error = loop {
        match open(server.port, json!({})).await {
            Ok(session) => sessions.push(session),
            Err(error) => break error,
        }
        assert!(sessions.len() < 60);
    };
    // The server says so and hangs up; what it says may get lost on the way.
    assert_eq!(code(&error), "CONNECTION_ERROR");
    assert!(["too_many_connections", "closed"].contains(&reason(&error)), "{error}");
    assert!(sessions.iter().all(|session| session.is_open()));
}

#[tokio::test]
async fn session_of_a_server_that_went_away_is_not_open_any_more() {
    let mut server = start(&[]);
    let memcached = session(&server).await;
    memcached.post("/keys/k", json!({ "value": "v" })).await.unwrap();
    assert!(memcached.is_open());
    server.kill();
    server.start_again().unwrap();
    let error = memcached.get("/keys/k").await.unwrap_err();
    assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "closed"));
    assert!(!memcached.is_open());
    // It stays so: what comes next is not taken for an answer.
    assert_eq!(reason(&memcached.get("/keys/k").await.unwrap_err()), "closed");
    let memcached = session(&server).await;
    assert_eq!(code(&memcached.get("/keys/k").await.unwrap_err()), "NOT_FOUND");
}

#[tokio::test]
async fn reply_that_breaks_off_is_an_error_and_ends_the_session() {
    let server = start(&[]);
    let version = server.ask("version").unwrap().len() + 2;
    let whole = session(&server).await;
    whole.post("/keys/k", json!({ "value": "v".repeat(1000) })).await.unwrap();
    for most in [1, 10, 100, 1000] {
        for path in ["/keys/k", "/stats", "/keys"] {
            let memcached = open(relay(server.port, 64, version + most), json!({})).await.unwrap();
            let error = memcached.get(path).await.unwrap_err();
            assert_eq!((code(&error), reason(&error)), ("CONNECTION_ERROR", "closed"), "{path} {most}");
            assert!(!memcached.is_open());
        }
    }
}

#[tokio::test]
async fn replies_are_read_the_same_in_whatever_pieces_they_come() {
    let server = start(&[]);
    for piece in [1, 2, 3, 7, 4096] {
        let memcached = open(relay(server.port, piece, usize::MAX), json!({})).await.unwrap();
        let value = "v\r\nEND\r\n".repeat(50);
        let path = format!("/keys/by{piece}");
        assert_eq!(memcached.post(&path, json!({ "value": value })).await.unwrap().0, Outcome::Created);
        assert_eq!(memcached.get(&path).await.unwrap()["value"], value);
        let asked = json!({ "keys": ["absent", format!("by{piece}"), "absent"] });
        let (_, found) = memcached.post("/keys/get", asked).await.unwrap();
        assert_eq!(
            (&found["items"][0]["value"], &found["missing"].as_array().unwrap().len()),
            (&json!(value), &2)
        );
        assert!(memcached.get("/keys").await.unwrap()["total"].as_u64().unwrap() > 0);
        assert!(memcached.get("/slabs").await.unwrap()["total_malloced"].as_u64().unwrap() > 0);
    }
}
