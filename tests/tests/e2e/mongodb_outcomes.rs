//! What callers are told of writes that ended half-way, and what becomes of what they leave behind on the server.

use super::mongodb_connections::{options, parts, start};
use bson::{Document, doc};
use serde_json::{Value, json};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use studio_gateway_tests::{Act, HostileMongo, MongoWorld, Project, eventually};

#[tokio::test]
async fn mongodb_merge_that_fails_midway_has_an_unknown_outcome() {
    let world = MongoWorld::start().await;
    world.fill("into", [doc! {"_id": 4, "n": 0}]).await;
    world.fill("from", (1..=6).map(|n| doc! {"_id": n, "n": n})).await;
    let stage = json!({"$merge": {"into": "into", "whenMatched": "fail"}});
    let body = json!({"pipeline": [{"$sort": {"_id": 1}}, stage]});
    let answer = world.alpha.developer.post(&world.path("from", "/aggregate"), body).await;
    assert!([400, 409].contains(&answer.status), "{answer}");
    assert_eq!(answer.json()["error"]["details"]["outcome"], "unknown", "{answer}");
    assert!(world.stored("into").await.len() > 1, "nothing was written before it failed");
}

/// A server that answers this command so.
async fn answering(
    project: &Project,
    identifier: &str,
    wanted: &'static str,
    answer: Document,
) -> HostileMongo {
    let server =
        HostileMongo::start(move |command, _| (command == wanted).then(|| Act::Answer(answer.clone()))).await;
    project.connect("mongodb", parts(identifier, server.port, json!({}))).await;
    server
}

async fn send(project: &Project, identifier: &str, method: &str, rest: &str, body: Value) -> (u16, Value) {
    let path = project.path("mongodb", &format!("/databases/shop{rest}?connection={identifier}"));
    let answer = project.owner.call(method, &path, Some(body)).await;
    (answer.status, answer.json()["error"].clone())
}

/// Every route that takes a pipeline or several writes: how it is called, and the command that it comes to.
fn writes_of_several() -> [(&'static str, &'static str, &'static str, &'static str, Value); 7] {
    let merge = json!({"pipeline": [{"$merge": {"into": "d"}}]});
    let out = json!({"pipeline": [{"$out": "d"}]});
    let stages = json!({"filter": {"a": 1}, "update": [{"$set": {"b": 1}}]});
    let update = json!({"filter": {"a": 1}, "update": {"$set": {"b": 1}}, "upsert": true});
    let several = json!({"documents": [{"a": 1}, {"a": 2}]});
    [
        ("merge", "aggregate", "POST", "/collections/c/aggregate", merge),
        ("out", "aggregate", "POST", "/collections/c/aggregate", out),
        ("stages", "update", "POST", "/collections/c/documents/update-many", stages),
        ("update", "update", "POST", "/collections/c/documents/update-many", update),
        ("delete", "delete", "POST", "/collections/c/documents/delete-many", json!({"filter": {"a": 1}})),
        ("several", "insert", "POST", "/collections/c/documents", several.clone()),
        ("unordered", "insert", "POST", "/collections/c/documents", {
            let mut body = several;
            body["ordered"] = json!(false);
            body
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_multi_document_write_is_open_after_a_midway_refusal() {
    let (_gateway, project) = start(options()).await;
    for (name, command, method, path, body) in writes_of_several() {
        for (code, open) in [
            (2, true),
            (14, true),
            (66, true),
            (121, true),
            (241, true),
            (11000, true),
            (50, true),
            (51_091, true),
            (9, false),
            (13, false),
            (73, false),
        ] {
            let identifier = format!("{name}-{code}");
            let answer = doc! {"ok": 0, "code": code, "codeName": "Named", "errmsg": "words"};
            let _server = answering(&project, &identifier, command, answer).await;
            let (status, error) = send(&project, &identifier, method, path, body.clone()).await;
            assert!(status >= 400, "{identifier}: {error}");
            let outcome = error["details"].get("outcome").cloned();
            assert_eq!(outcome, open.then(|| json!("unknown")), "{identifier}: {error}");
        }
    }
    // An answer that can't be read comes after the write.
    let nonsense = doc! {"ok": 1, "cursor": {"firstBatch": [7], "id": 0_i64, "ns": "shop.c"}};
    let _server = answering(&project, "nonsense", "aggregate", nonsense).await;
    let body = json!({"pipeline": [{"$out": "d"}]});
    let (status, error) = send(&project, "nonsense", "POST", "/collections/c/aggregate", body).await;
    assert_eq!((status, &error["details"]["outcome"]), (502, &json!("unknown")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_errors_of_all_commands_tell_the_servers_details() {
    let (_gateway, project) = start(options()).await;
    let info = doc! {"failingDocumentId": 4, "details": {"operatorName": "$jsonSchema"}};
    for (identifier, command, method, path, body) in [
        (
            "merge",
            "aggregate",
            "POST",
            "/collections/c/aggregate",
            json!({"pipeline": [{"$merge": {"into": "d"}}]}),
        ),
        ("read", "aggregate", "POST", "/collections/c/aggregate", json!({"pipeline": []})),
        ("find", "find", "POST", "/collections/c/documents/query", json!({"count": "none"})),
        ("create", "create", "POST", "/collections", json!({"name": "d"})),
        ("drop", "dropIndexes", "DELETE", "/collections/c/indexes/a_1", json!(null)),
        ("index", "createIndexes", "POST", "/collections/c/indexes", json!({"key": {"a": 1}})),
        ("insert", "insert", "POST", "/collections/c/documents", json!({"document": {}})),
        (
            "many",
            "update",
            "POST",
            "/collections/c/documents/update-many",
            json!({"filter": {"a": 1}, "update": {"$set": {"b": 1}}}),
        ),
        ("explain", "explain", "POST", "/collections/c/explain", json!({"filter": {}})),
    ] {
        let answer = doc! {
            "ok": 0, "code": 121, "codeName": "DocumentValidationFailure", "errmsg": "words", "errInfo": info.clone(),
        };
        let _server = answering(&project, identifier, command, answer).await;
        let path = project.path("mongodb", &format!("/databases/shop{path}?connection={identifier}"));
        let body = (!body.is_null()).then_some(body);
        let answer = project.owner.call(method, &path, body).await;
        assert_eq!(answer.status, 400, "{identifier}: {answer}");
        let told = &answer.json()["error"]["details"]["info"];
        assert_eq!(told["details"]["operatorName"], "$jsonSchema", "{identifier}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_kill_reaches_the_server_after_its_session_is_closed() {
    let (_gateway, project) = start(options()).await;
    let kills = Arc::new(AtomicUsize::new(0));
    let seen = kills.clone();
    let server = HostileMongo::start(move |command, _| {
        match command {
            "aggregate" => Some(Act::Silence),
            // The first ones are lost.
            "killSessions" => {
                (seen.fetch_add(1, Ordering::Relaxed) < 2).then(|| Act::SendAndClose(Vec::new()))
            }
            _ => None,
        }
    })
    .await;
    let id = project.connect("mongodb", parts("main", server.port, json!({}))).await;
    let path = project.path("mongodb", "/databases/shop/collections/c/aggregate");
    let request = project.viewer.request("POST", &path).header("x-request-timeout", "2");
    project.viewer.send(request.json(&json!({"pipeline": []}))).await.refused(504, "TIMEOUT");
    project.owner.delete(&format!("{}/{id}", project.connections("mongodb"))).await.expect(204);
    eventually("it is killed", async || kills.load(Ordering::Relaxed) == 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_kills_are_sent_again_until_the_server_answers() {
    let (_gateway, project) = start(options()).await;
    let kills = Arc::new(Mutex::new((0, Vec::new())));
    let seen = kills.clone();
    let server = HostileMongo::start(move |command, asked| {
        let mut seen = seen.lock().unwrap();
        match command {
            "aggregate" => Some(Act::Answer(doc! {
                "cursor": {"firstBatch": [{"_id": 1}], "id": 77_i64, "ns": "shop.c"}, "ok": 1,
            })),
            "getMore" => Some(Act::Silence),
            "killSessions" => {
                seen.0 += 1;
                (seen.0 < 3).then(|| Act::SendAndClose(Vec::new()))
            }
            "killCursors" => {
                let ids = asked.get_array("cursors").unwrap();
                seen.1.push(ids[0].as_i64().unwrap());
                // The first ones are lost, and then it is in use.
                match seen.1.len() {
                    1 | 2 => Some(Act::SendAndClose(Vec::new())),
                    3 => Some(Act::Answer(doc! {"cursorsKilled": [], "cursorsAlive": ids.clone(), "ok": 1})),
                    _ => Some(Act::Answer(doc! {"cursorsKilled": ids.clone(), "ok": 1})),
                }
            }
            _ => None,
        }
    })
    .await;
    project.connect("mongodb", parts("main", server.port, json!({}))).await;
    let path = project.path("mongodb", "/databases/shop/collections/c/aggregate");
    let request = project.viewer.request("POST", &path).header("x-request-timeout", "2");
    project.viewer.send(request.json(&json!({"pipeline": []}))).await.refused(504, "TIMEOUT");
    eventually("it is killed", async || {
        let seen = kills.lock().unwrap();
        seen.0 == 3 && seen.1.len() == 4 && seen.1.iter().all(|id| *id == 77)
    })
    .await;
}
