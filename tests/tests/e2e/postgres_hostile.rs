//! Callers and servers of PostgreSQL that mean harm: what they send costs them an error, and nobody else anything.

use serde_json::json;
use std::time::{Duration, Instant};
use studio_gateway_tests::{PostgresWorld, process::listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Function bodies within each other, which semicolons divide.
fn bodies(levels: usize) -> String {
    format!("{}{}", "create function f()begin atomic;".repeat(levels), "end;".repeat(levels))
}

#[tokio::test]
async fn postgres_statements_that_nest_across_semicolons_end_nothing() {
    let world = PostgresWorld::start().await;
    let viewer = &world.alpha.viewer;
    for levels in [100, 300, 440, 2_000] {
        let cases = format!("select {}1{}", "case when a then ".repeat(levels), " end".repeat(levels));
        for text in [bodies(levels), cases] {
            for path in ["/query", "/query/parse", "/query/format"] {
                for path in [world.path(path), world.bare_path(path)] {
                    let answer = viewer.post(&path, json!({"query": text})).await;
                    assert!([200, 400, 403, 500].contains(&answer.status), "{levels} {answer}");
                }
            }
        }
        viewer.post(&world.path("/query"), json!({"query": "select 1"})).await.expect(200);
    }
    let deep = viewer.post(&world.path("/query/parse"), json!({"query": bodies(2_000)})).await;
    assert!(deep.refused(400, "VALIDATION_ERROR")["field"] == "query");
}

#[tokio::test]
async fn postgres_trees_with_empty_names_are_refused_by_the_name() {
    let world = PostgresWorld::start().await;
    let viewer = &world.alpha.viewer;
    let parsed = viewer.post(&world.path("/query/parse"), json!({"query": "select x.a from t as x"})).await;
    let whole = parsed.expect(200).data();
    let table = "/stmts/0/stmt/SelectStmt/fromClause/0/RangeVar";
    for (place, name) in [("relname", "relname"), ("alias/aliasname", "aliasname")] {
        let mut tree = whole.clone();
        *tree.pointer_mut(&format!("{table}/{place}")).unwrap() = json!("");
        for path in [world.path("/query/deparse"), world.bare_path("/query/deparse")] {
            let answer = viewer.post(&path, json!({"ast": tree})).await.expect(400);
            assert!(String::from_utf8_lossy(&answer.bytes).contains(name), "{answer}");
        }
    }
    viewer.post(&world.path("/query/deparse"), json!({"ast": whole})).await.expect(200);
}

/// A message of PostgreSQL's protocol that asks for a kind of login.
fn authentication(kind: i32, rest: &[u8]) -> Vec<u8> {
    let length = i32::try_from(8 + rest.len()).unwrap();
    [&b"R"[..], &length.to_be_bytes(), &kind.to_be_bytes(), rest].concat()
}

/// A server that wants the password hashed so often.
async fn start_server_that_asks_for_hashing(iterations: &'static str) -> u16 {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            // The driver asks for TLS first, as `prefer` has it.
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(b"N").await;
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(&authentication(10, b"SCRAM-SHA-256\0\0")).await;
            let read = stream.read(&mut bytes).await.unwrap_or_default();
            let sent = String::from_utf8_lossy(&bytes[..read]).into_owned();
            let nonce = sent.rsplit_once("r=").map(|(_, nonce)| nonce.to_owned()).unwrap_or_default();
            let challenge = format!("r={nonce}x,s=c2FsdA==,i={iterations}");
            let _ = stream.write_all(&authentication(11, challenge.as_bytes())).await;
            let _ = stream.read(&mut bytes).await;
        }
    });
    port
}

#[tokio::test]
async fn postgres_endless_hashing_is_given_up_and_costs_nobody_else() {
    let world = PostgresWorld::start().await;
    for (identifier, iterations) in [("greedy", "4294967295"), ("odd", "99999999999999999999")] {
        let port = start_server_that_asks_for_hashing(iterations).await;
        world.alpha.connect("postgres", json!({
            "identifier": identifier, "host": "127.0.0.1", "port": port, "username": "u", "password": "p",
        })).await;
        let path = world.path(&format!("/query?connection={identifier}"));
        let start = Instant::now();
        let answer = world.alpha.viewer.post(&path, json!({"query": "select 1"})).await;
        assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "authentication_failed");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        world.alpha.viewer.post(&world.path("/query"), json!({"query": "select 1"})).await.expect(200);
    }
}
