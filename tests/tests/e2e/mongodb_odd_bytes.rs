//! Stored documents that JSON has no words for: each is shown as far as it can be, the others as ever, and an edit of
//! what was shown can't save a loss.

use super::mongodb_connections::{options, parts, start};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use serde_json::{Value, json, value::RawValue};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use studio_gateway_tests::{Act, HostileMongo, MongoWorld, hostile_mongo::around, mongo_world::send_text};

const OID: &str = "5f0001a910ff070809abcdef";

/// What has no words in Extended JSON, each in the field `v` of a document.
fn look_alikes() -> Vec<Bson> {
    let mut values: Vec<Bson> = [
        doc! {"$oid": OID},
        doc! {"$numberInt": "5"},
        doc! {"$numberLong": "5"},
        doc! {"$numberDouble": "NaN"},
        doc! {"$numberDecimal": "NaN"},
        doc! {"$date": "2026-11-05T12:30:00Z"},
        doc! {"$date": {"$numberLong": "1"}},
        doc! {"$binary": {"base64": "YQ==", "subType": "00"}},
        doc! {"$binary": "YQ==", "$type": "00"},
        doc! {"$uuid": "c8edabc3-f738-4ca3-b68d-ab92a91478a3"},
        doc! {"$regularExpression": {"pattern": "a", "options": ""}},
        doc! {"$timestamp": {"t": 1, "i": 2}},
        doc! {"$code": "f()"},
        doc! {"$code": "f()", "$scope": {"a": 1}},
        doc! {"$symbol": "s"},
        doc! {"$undefined": true},
        doc! {"$minKey": 1},
        doc! {"$maxKey": 1},
        doc! {"$dbPointer": {"$ref": "c", "$id": {"$oid": OID}}},
        doc! {"$oid": 7, "more": [1_i64]},
        doc! {"$document": {"a": 1}},
        doc! {"$inexact": "x"},
        doc! {"$ref": "c", "$id": {"$oid": OID}, "$db": {"$numberInt": "5"}},
    ]
    .map(Bson::Document)
    .to_vec();
    values.push(Bson::Array(values.clone()));
    values.push(Bson::Document(doc! {"a": {"b": [[values[0].clone()]]}}));
    values
}

#[tokio::test]
async fn mongodb_lookalikes_of_types_are_told_apart_and_saved_intact() {
    let world = MongoWorld::start().await;
    let stored = |value: Bson| doc! {"_id": 1, "v": value};
    for value in look_alikes() {
        let before = RawDocumentBuf::try_from(&stored(value.clone())).unwrap();
        for form in ["relaxed", "canonical"] {
            let collection = world.collection("c");
            collection.drop().await.unwrap();
            collection.insert_one(&before).await.unwrap();
            let path = world.path("c", "/documents/1?id_type=int");
            let read = world.alpha.viewer.get(&format!("{path}&ejson={form}")).await.expect(200);
            assert!(read.payload().contains("$document"), "{read}");
            for (method, path, name) in
                [("PUT", &path, "replacement"), ("POST", &world.path("d", "/documents"), "document")]
            {
                let body = format!(r#"{{"{name}":{}}}"#, read.payload());
                let answer = send_text(&world.alpha.developer, method, path, body).await;
                assert!(answer.status < 300, "{answer}");
            }
            assert_eq!(world.stored("c").await, std::slice::from_ref(&before), "{form}: {read}");
            assert_eq!(world.stored("d").await, std::slice::from_ref(&before), "{form}: {read}");
            world.collection("d").drop().await.unwrap();
            // It can be found by what it is, and by nothing else.
            let shown: Value = read.json()["data"]["v"].clone();
            let body = json!({"filter": {"v": {"$eq": shown}}});
            let path = world.path("c", "/documents/query");
            let found = world.alpha.viewer.post(&path, body).await.expect(200);
            assert_eq!(found.data()["total"], 1, "{found}");
        }
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap().to_le_bytes()
}

/// `{"_id":number, …}`
fn document(number: i32, elements: &[u8]) -> Vec<u8> {
    around(&[b"\x10_id\0", &number.to_le_bytes()[..], elements].concat())
}

fn array(name: &[u8], items: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<u8> = items
        .iter()
        .enumerate()
        .flat_map(|(index, item)| [b"\x03", index.to_string().as_bytes(), &[0], item].concat())
        .collect();
    [&[4], name, &[0], &around(&items)].concat()
}

/// Elements that no client writes today and servers keep, and what is shown of each in the place of `v`.
fn odd() -> Vec<(&'static str, Vec<u8>, Value)> {
    let text = json!({"$inexact": {"reason": "text_not_utf8", "text": "a\u{FFFD}", "base64": "Yf8="}});
    let old = |inner: &[u8]| [b"\x05v\0", &length(inner)[..], &[2], inner].concat();
    let named = json!({"$inexact": {"reason": "name_not_utf8", "base64": "dv8=", "value": 7}});
    let twice = b"\x10a\0\x01\0\0\0\x10a\0\x02\0\0\0";
    let repeated = json!({"a": {"$inexact": {"reason": "repeated_name", "values": [1, 2]}}});
    let length_wrong = |base64: &str| json!({"$inexact": {"reason": "binary_length", "base64": base64}});
    vec![
        ("text", b"\x02v\0\x03\0\0\0a\xFF\0".to_vec(), text.clone()),
        ("code", b"\x0Dv\0\x03\0\0\0a\xFF\0".to_vec(), json!({"$code": text})),
        ("symbol", b"\x0Ev\0\x03\0\0\0a\xFF\0".to_vec(), json!({"$symbol": text})),
        (
            "pattern",
            b"\x0Bv\0a\xFF\0i\0".to_vec(),
            json!({"$regularExpression": {"pattern": text, "options": "i"}}),
        ),
        ("name", b"\x10v\xFF\0\x07\0\0\0".to_vec(), named),
        ("old binary", old(b"ab"), length_wrong("YWI=")),
        ("old binary, longer", old(b"\x09\0\0\0a"), length_wrong("CQAAAGE=")),
        ("old binary, right", old(b"\x01\0\0\0a"), json!({"$binary": {"base64": "YQ==", "subType": "02"}})),
        ("twice", [b"\x03v\0", &around(twice)[..]].concat(), repeated.clone()),
        ("twice in an array", array(b"v", &[around(twice)]), json!([repeated])),
        (
            "boolean",
            b"\x08v\0\x05".to_vec(),
            json!({"$inexact": {"reason": "boolean_byte", "base64": "BQ=="}}),
        ),
    ]
}

/// A server whose collection has this document between two good ones, and counts what would change it.
async fn start_server(odd: Vec<u8>, writes: Arc<AtomicUsize>) -> HostileMongo {
    HostileMongo::start(move |command, asked| {
        let batch = match command {
            "find" if asked.get_document("filter").is_ok_and(|filter| !filter.is_empty()) => {
                vec![odd.clone()]
            }
            "find" | "aggregate" => {
                vec![document(1, b"\x08ok\0\x01"), odd.clone(), document(3, b"\x08ok\0\x01")]
            }
            "update" | "insert" => {
                writes.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            _ => return None,
        };
        let rest = b"\x12id\0\0\0\0\0\0\0\0\0\x02ns\0\x07\0\0\0shop.c\0";
        let cursor = around(&[&array(b"firstBatch", &batch)[..], rest].concat());
        let ok = [&b"\x01ok\0"[..], &1f64.to_le_bytes()].concat();
        Some(Act::AnswerBytes(around(&[b"\x03cursor\0", &cursor[..], &ok].concat())))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_page_shows_an_odd_document_by_id_beside_the_others() {
    let (_gateway, project) = start(options()).await;
    for (number, (name, elements, shown)) in odd().into_iter().enumerate() {
        let writes = Arc::new(AtomicUsize::new(0));
        let server = start_server(document(2, &elements), writes.clone()).await;
        let identifier = format!("odd-{number}");
        project.connect("mongodb", parts(&identifier, server.port, json!({}))).await;
        let path = |rest: &str| project.path("mongodb", &format!("/databases/shop/collections/c{rest}"));
        let field = if name == "name" { "v\u{FFFD}" } else { "v" };
        let is_marked = shown.to_string().contains("$inexact");
        let pages = [
            project.viewer.get(&path(&format!("/documents?count=none&connection={identifier}"))).await,
            project
                .viewer
                .post(&path(&format!("/documents/query?connection={identifier}")), json!({"count": "none"}))
                .await,
            project
                .viewer
                .post(&path(&format!("/aggregate?connection={identifier}")), json!({"pipeline": []}))
                .await,
        ];
        for page in pages {
            let data = page.expect(200).data();
            let documents = data.get("documents").unwrap_or(&data);
            assert_eq!(documents[0], json!({"_id": 1, "ok": true}), "{name}");
            assert_eq!(documents[1], json!({"_id": 2, field: shown}), "{name}");
            assert_eq!(documents[2], json!({"_id": 3, "ok": true}), "{name}");
        }
        let one = path(&format!("/documents/2?id_type=int&connection={identifier}"));
        let read = project.viewer.get(&format!("{one}&ejson=canonical")).await.expect(200);
        assert_eq!(read.payload().contains("$inexact"), is_marked, "{name}: {read}");
        if !is_marked {
            continue;
        }
        // What was shown, and parts of it, wherever a write may have them.
        let whole: Box<RawValue> = serde_json::from_str(read.payload()).unwrap();
        let part = read.json()["data"][field].clone();
        for (method, path, body) in [
            ("PUT", one.clone(), format!(r#"{{"replacement":{whole}}}"#)),
            ("PUT", one, json!({"update": {"$set": {"w": part}}}).to_string()),
            (
                "POST",
                path(&format!("/documents?connection={identifier}")),
                format!(r#"{{"document":{whole}}}"#),
            ),
            (
                "POST",
                path(&format!("/documents?connection={identifier}")),
                format!(r#"{{"documents":[{{}},{whole}]}}"#),
            ),
            (
                "POST",
                path(&format!("/documents/update-many?connection={identifier}")),
                json!({"filter": {}, "all": true, "update": [{"$set": {"w": {"$literal": part}}}]})
                    .to_string(),
            ),
        ] {
            let answer = send_text(&project.developer, method, &path, body).await;
            let details = answer.refused(400, "VALIDATION_ERROR");
            assert!(details["field"].is_string(), "{name}: {answer}");
            assert!(answer.message().contains("$inexact"), "{name}: {answer}");
        }
        assert_eq!(writes.load(Ordering::Relaxed), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_lists_with_an_odd_item_show_the_others() {
    let (_gateway, project) = start(options()).await;
    let item = |name: &[u8], rest: Document| {
        let rest = RawDocumentBuf::try_from(&rest).unwrap().into_bytes();
        let name = [b"\x02name\0", &length(name)[..], name].concat();
        let options = [b"\x03options\0", &rest[..]].concat();
        let key = [b"\x03key\0", &around(b"\x10a\xFF\0\x01\0\0\0")[..]].concat();
        around(&[&name[..], &options, &key].concat())
    };
    let items = vec![item(b"one\0", doc! {}), item(b"t\xFFo\0", doc! {}), item(b"three\0", doc! {})];
    let server = HostileMongo::start(move |command, _| {
        if !["listCollections", "listIndexes"].contains(&command) {
            return None;
        }
        let rest = b"\x12id\0\0\0\0\0\0\0\0\0\x02ns\0\x07\0\0\0shop.c\0";
        let cursor = around(&[&array(b"firstBatch", &items)[..], rest].concat());
        let ok = [&b"\x01ok\0"[..], &1f64.to_le_bytes()].concat();
        Some(Act::AnswerBytes(around(&[b"\x03cursor\0", &cursor[..], &ok].concat())))
    })
    .await;
    project.connect("mongodb", parts("main", server.port, json!({}))).await;
    for path in ["/databases/shop/collections", "/databases/shop/collections/c/indexes"] {
        let answer = project.viewer.get(&project.path("mongodb", path)).await.expect(200);
        let names: Vec<_> = answer.items().iter().map(|item| item["name"].clone()).collect();
        for name in ["one", "three", "t\u{FFFD}o"] {
            assert!(names.contains(&json!(name)), "{path}: {answer}");
        }
    }
}
