//! Nobody's bytes are ever commands, against a real server.

use crate::support::{Session, session, start};
use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use studio_plugin_api::{Driver, DriverError, Outcome, testing::code};

/// Bytes that mean something to the protocol come more often than others.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r\nflush_all\r\n".to_vec()),
        1 => Just(b" ".to_vec()),
        1 => Just(b"\0".to_vec()),
        1 => Just(b"END".to_vec()),
        2 => "[a-z]{1,20}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

fn path(key: &[u8]) -> String {
    let encoded: String = key.iter().map(|byte| format!("%{byte:02X}")).collect();
    format!("/keys/{encoded}")
}

async fn look_at(memcached: &Session, key: &[u8], value: &[u8], mode: &str) -> Result<(), TestCaseError> {
    let encoded = STANDARD.encode(value);
    let body = json!({ "value": encoded, "value_encoding": "base64", "mode": mode });
    let written = memcached.post(&path(key), body).await;
    let read = memcached.get(&path(key)).await;
    let counted = memcached.post(&format!("{}/increment", path(key)), json!({})).await;
    for error in [written.as_ref().err(), read.as_ref().err(), counted.as_ref().err()].into_iter().flatten() {
        let expected = ["VALIDATION_ERROR", "NOT_FOUND", "CONFLICT", "QUERY_ERROR"];
        prop_assert!(expected.contains(&code(error)), "{}", error);
    }
    if let (Ok(_), true) = (&written, mode == "set") {
        prop_assert_eq!(stored(&read), Some(value.to_vec()));
    }
    // The session still hears its own answers, and nothing else happened to the server.
    prop_assert!(memcached.is_open());
    prop_assert!(memcached.ping().await.unwrap().version.starts_with("1."));
    prop_assert_eq!(&memcached.get("/keys/witness").await.unwrap()["value"], "here");
    Ok(())
}

fn stored(read: &Result<Value, DriverError>) -> Option<Vec<u8>> {
    let read = read.as_ref().ok()?;
    let value = read["value"].as_str()?;
    match read.get("value_encoding") {
        None => Some(value.as_bytes().to_vec()),
        Some(_) => STANDARD.decode(value).ok(),
    }
}

#[test]
fn keys_and_values_of_any_bytes_are_never_commands() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = start(&[]);
    let memcached = runtime.block_on(session(&server));
    let witness = runtime.block_on(memcached.post("/keys/witness", json!({ "value": "here" })));
    assert_eq!(witness.unwrap().0, Outcome::Created);
    let modes = prop::sample::select(vec!["set", "add", "replace", "append", "prepend"]);
    let cases = (bytes(40), bytes(60), modes);
    TestRunner::new(Config { cases: 1000, failure_persistence: None, ..Config::default() })
        .run(&cases, |(key, value, mode)| {
            prop_assume!(key != b"witness");
            runtime.block_on(look_at(&memcached, &key, &value, mode))
        })
        .unwrap();
    // The keys are there, and a listing reads every one of their names.
    let total = runtime.block_on(memcached.get("/keys")).unwrap()["total"].as_u64().unwrap();
    assert!(total > 50, "{total}");
}
