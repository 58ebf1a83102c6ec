//! Requests that the gateway saw a moment ago: what it remembers of them is never another's, and no change comes later
//! because of it.

use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use studio_gateway_tests::{Client, Gateway, GatewayOptions, Project, Token};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Verifiers accept a token until so many seconds after its `exp`.
const LEEWAY: u64 = 10;

async fn start() -> (Gateway, Project) {
    let gateway = Gateway::start(GatewayOptions::default()).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// Creates a connection of the probe, which leads to this port, and gives back its path.
async fn connect(project: &Project, identifier: &str, port: u16) -> String {
    let body = json!({"identifier": identifier, "host": "127.0.0.1", "port": port});
    format!("{}/{}", project.connections("probe"), project.connect("probe", body).await)
}

/// Asks what the caller may do and where the connection leads; `None` if nothing is there.
async fn found(client: &Client, project: &Project, selector: &str) -> Option<(String, u64)> {
    let facts = client.get(&project.path("probe", &format!("/facts/x{selector}"))).await;
    let place = client.get(&project.path("probe", &format!("/endpoint{selector}"))).await;
    if facts.status == 404 && place.status == 404 {
        return None;
    }
    let granted = facts.expect(200).data()["granted"].as_str().unwrap().to_owned();
    Some((granted, place.expect(200).data()["port"].as_u64().unwrap()))
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_warm_request_gets_its_own_rights_and_connection() {
    let (gateway, alpha) = start().await;
    let beta = Project::create_empty(&gateway, "beta").await;
    for (project, ports) in [(&alpha, [1, 2]), (&beta, [3, 4])] {
        for (identifier, port) in ["one", "two"].into_iter().zip(ports) {
            connect(project, identifier, port).await;
        }
    }
    let both = gateway.client(&Token::user("both").grant("alpha", "viewer").grant("beta", "admin"));
    let nobody = gateway.client(&Token::user("nobody"));
    let some = |granted: &str, port| Some((granted.to_owned(), port));
    for _ in 0..5 {
        for (selector, in_alpha, in_beta) in
            [("", 1, 3), ("?connection=one", 1, 3), ("?connection=two", 2, 4), ("?connection=three", 0, 0)]
        {
            let is_there = |granted: &str, port| if port == 0 { None } else { some(granted, port) };
            for (client, project, expected) in [
                (&alpha.viewer, &alpha, is_there("read", in_alpha)),
                (&alpha.developer, &alpha, is_there("write", in_alpha)),
                (&both, &alpha, is_there("read", in_alpha)),
                (&both, &beta, is_there("admin", in_beta)),
                (&beta.developer, &beta, is_there("write", in_beta)),
                (&alpha.owner, &beta, None),
                (&beta.owner, &alpha, None),
                (&nobody, &alpha, None),
            ] {
                assert_eq!(
                    found(client, project, selector).await,
                    expected,
                    "{}{selector}",
                    project.reference
                );
            }
        }
    }
}

#[tokio::test]
async fn role_that_goes_up_and_down_counts_on_the_next_request() {
    let (_gateway, alpha) = start().await;
    connect(&alpha, "one", 1).await;
    let member = "/api/platform/projects/alpha/members/alpha-developer";
    for _ in 0..5 {
        for (role, granted, status) in [("viewer", "read", 403), ("developer", "write", 204)] {
            alpha.owner.put(member, json!({"role": role})).await.expect(200);
            for _ in 0..3 {
                assert_eq!(found(&alpha.developer, &alpha, "").await, Some((granted.to_owned(), 1)));
                let wrote = alpha.developer.post(&alpha.path("probe", "/write"), json!({})).await;
                assert_eq!(wrote.status, status, "{role}: {wrote}");
            }
        }
    }
}

#[tokio::test]
async fn role_that_another_service_takes_counts_within_a_second() {
    let (gateway, alpha) = start().await;
    connect(&alpha, "one", 1).await;
    let granted = async || found(&alpha.developer, &alpha, "").await.map(|(granted, _)| granted);
    assert_eq!(granted().await.as_deref(), Some("write"));
    let table = gateway.database.table("project_members");
    let statement = format!("UPDATE {table} SET role = 'viewer' WHERE user_id = 'alpha-developer'");
    assert_eq!(gateway.database.execute(&statement).await, 1);
    let changed = Instant::now();
    loop {
        // An answer that was on its way during the change counts for a second from when it came.
        let is_due = changed.elapsed() > Duration::from_secs(3);
        let granted = granted().await;
        if granted.as_deref() == Some("read") {
            break;
        }
        assert!(!is_due, "{granted:?}");
    }
}

#[tokio::test]
async fn warm_token_is_refused_from_its_second_on() {
    let (gateway, alpha) = start().await;
    connect(&alpha, "one", 1).await;
    let expires = unix_seconds() - LEEWAY + 2;
    let token = Token::user("alpha-viewer").claim("exp", expires);
    let (client, nothing) = (gateway.client(&token), alpha.path("probe", "/nothing"));
    let mut accepted = 0;
    loop {
        let is_over = unix_seconds() > expires + LEEWAY;
        let answer = client.get(&nothing).await;
        if answer.status == 401 {
            break;
        }
        answer.expect(200);
        assert!(!is_over, "accepted after its end");
        accepted += 1;
    }
    assert!(accepted > 1, "it was warm");
    assert!(unix_seconds() > expires + LEEWAY, "refused before its end");
}

#[tokio::test]
async fn changed_connection_counts_on_the_next_warm_request() {
    let (_gateway, alpha) = start().await;
    let (one, two) = (connect(&alpha, "one", 1).await, connect(&alpha, "two", 2).await);
    let ports = async || {
        let mut ports = Vec::new();
        for _ in 0..3 {
            ports.push(found(&alpha.viewer, &alpha, "").await.expect("a connection").1);
        }
        ports
    };
    assert_eq!(ports().await, [1; 3]);
    for other in 11..15 {
        alpha.owner.put(&one, json!({"port": other})).await.expect(200);
        assert_eq!(ports().await, [other; 3]);
    }
    let nothing = alpha.path("probe", "/nothing");
    alpha.owner.put(&one, json!({"status": "INACTIVE"})).await.expect(200);
    alpha.viewer.get(&nothing).await.refused(409, "CONFLICT");
    alpha.owner.put(&one, json!({"status": "ACTIVE"})).await.expect(200);
    assert_eq!(ports().await, [14; 3]);
    alpha.owner.put(&two, json!({"is_primary": true})).await.expect(200);
    assert_eq!(ports().await, [2; 3]);
    alpha.owner.delete(&two).await.expect(204);
    assert_eq!(alpha.viewer.get(&alpha.path("probe", "/nothing?connection=two")).await.status, 404);
    alpha.owner.delete("/api/platform/projects/alpha").await.expect(204);
    alpha.viewer.get(&nothing).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn change_during_a_warm_requests_body_counts_for_it() {
    let (gateway, alpha) = start().await;
    let one = connect(&alpha, "one", 1).await;
    assert_eq!(found(&alpha.viewer, &alpha, "").await, Some(("read".to_owned(), 1)));
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (path, token) = (alpha.path("probe", "/endpoint"), alpha.viewer.token());
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Time for the gateway to look at the token, so that it waits for the body.
    tokio::time::sleep(Duration::from_millis(200)).await;
    alpha.owner.put(&one, json!({"port": 2})).await.expect(200);
    stream.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"port\":2"), "{answer}");
}
