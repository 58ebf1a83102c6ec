//! MongoDB's documents at the bounds: how many, how large, how deep, and under which names.

use bson::{Bson, Document, doc};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use studio_gateway_tests::{Client, GatewayOptions, MongoOptions, MongoWorld, mongo_world::send_text};

const MIB: usize = 1 << 20;

/// Where large things may pass.
async fn spacious() -> MongoWorld {
    let options = GatewayOptions::default();
    let options =
        options.set("GATEWAY_MAX_BODY_BYTES", "67108864").set("GATEWAY_MAX_REPLY_BYTES", "67108864");
    MongoWorld::start_with(options.set("GATEWAY_REQUEST_TIMEOUT", "120"), MongoOptions::new()).await
}

/// The `_id`s of a page, which must not be one of them twice.
async fn read_page(client: &Client, path: &str, query: Value, seen: &mut BTreeSet<i64>) -> Value {
    let page = client.post(path, query).await.expect(200).data();
    for document in page["documents"].as_array().unwrap() {
        assert!(seen.insert(document["_id"].as_i64().unwrap()), "{document} comes twice");
    }
    page
}

/// Puts 100,000 documents there by one request, of which one more document can't be stored.
async fn insert_hundred_thousand(world: &MongoWorld) {
    // A server takes 100,000 documents at once, so that the duplicate is in the second batch.
    let ids = (0..100_000).chain([7]);
    let body = json!({"documents": ids.map(|id| json!({"_id": id})).collect::<Vec<_>>(), "ordered": false});
    let refused = world.alpha.developer.post(&world.path("c", "/documents"), body).await;
    let details = refused.refused(400, "QUERY_ERROR");
    assert_eq!(details["inserted_count"], 100_000);
    assert_eq!(details["inserted_ids"].as_array().unwrap().len(), 100_000);
    let [failure] = details["write_errors"].as_array().unwrap().as_slice() else { panic!("{refused}") };
    assert_eq!((&failure["index"], &failure["id"]), (&json!(100_000), &json!(r#"{"$numberInt":"7"}"#)));
}

/// Reads that many pages of 1000 in each of two ways: after the last `_id` that was seen, and by `skip`.
async fn read_pages(world: &MongoWorld, start: i64, pages: i64) {
    let (viewer, path) = (&world.alpha.viewer, world.path("c", "/documents/query"));
    let (mut by_id, mut by_skip, mut last) = (BTreeSet::new(), BTreeSet::new(), start - 1);
    for skip in (start..).step_by(1000).take(usize::try_from(pages).unwrap()) {
        let query =
            json!({"filter": {"_id": {"$gt": last}}, "sort": {"_id": 1}, "limit": 1000, "count": "none"});
        let page = read_page(viewer, &path, query, &mut by_id).await;
        last = page["documents"][999]["_id"].as_i64().unwrap();
        assert_eq!((&page["total"], &page["has_more"]), (&Value::Null, &json!(last < 99_999)));
        let query = json!({"sort": {"_id": 1}, "limit": 1000, "skip": skip});
        let page = read_page(viewer, &path, query, &mut by_skip).await;
        assert_eq!((&page["total"], &page["page"]), (&json!(100_000), &json!(skip / 1000 + 1)));
        assert_eq!(page["has_more"], skip < 99_000);
    }
    let all = start..start + pages * 1000;
    assert!(by_id.into_iter().eq(all.clone()) && by_skip.into_iter().eq(all), "{pages} pages from {start}");
}

#[tokio::test]
async fn hundred_thousand_documents_are_inserted_and_read_in_pages() {
    let world = spacious().await;
    insert_hundred_thousand(&world).await;
    for (start, pages) in [(0, 2), (50_500, 1), (98_000, 2)] {
        read_pages(&world, start, pages).await;
    }
}

#[tokio::test]
#[ignore = "takes minutes with SecantusDB, which reads all documents for each page"]
async fn all_pages_have_each_of_hundred_thousand_documents_once() {
    let world = spacious().await;
    insert_hundred_thousand(&world).await;
    read_pages(&world, 0, 100).await;
}

#[tokio::test]
async fn limit_and_skip_to_the_end_see_each_document_once() {
    let world = MongoWorld::start().await;
    world.fill("c", (0..2_345).map(|n| doc! {"_id": n})).await;
    let path = world.path("c", "/documents/query");
    for limit in [1000, 999, 100] {
        let (mut seen, mut skip) = (BTreeSet::new(), 0);
        loop {
            let query = json!({"limit": limit, "skip": skip, "sort": {"_id": -1}});
            let page = read_page(&world.alpha.viewer, &path, query, &mut seen).await;
            skip += limit;
            assert_eq!(page["page"], skip / limit);
            if page["has_more"] == false {
                break;
            }
        }
        assert!(seen.iter().copied().eq(0..2_345), "{} by {limit}", seen.len());
    }
}

#[tokio::test]
async fn document_of_nearly_16_mib_passes_and_a_larger_one_is_refused() {
    let world = spacious().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    // The `_id`, its name, its type, the name of the text and so on take less than a hundred bytes.
    let text = "ä".repeat(8 * MIB - 50);
    let body = format!(r#"{{"document":{{"_id":1,"text":"{text}"}}}}"#);
    send_text(developer, "POST", &world.path("c", "/documents"), body).await.expect(201);
    let one = world.path("c", "/documents/1?id_type=int");
    let read = viewer.get(&one).await.expect(200);
    assert!(read.payload() == format!(r#"{{"_id":1,"text":"{text}"}}"#), "{} bytes", read.bytes.len());
    let body = format!(r#"{{"replacement":{}}}"#, read.payload());
    let replaced = send_text(developer, "PUT", &one, body).await.expect(200).data();
    assert_eq!(replaced["matched_count"], 1);
    let listed = viewer.get(&world.path("c", "/documents")).await.expect(200).data();
    assert!(listed["documents"][0]["text"] == text.as_str() && listed["total"] == 1);
    let text = "x".repeat(17 * MIB);
    for (method, path, body, field) in [
        ("POST", world.path("c", "/documents"), json!({"document": {"text": text}}), "document"),
        ("POST", world.path("c", "/documents"), json!({"documents": [{}, {"text": text}]}), "documents[1]"),
        ("PUT", one, json!({"replacement": {"text": text}}), "replacement"),
    ] {
        let details = developer.call(method, &path, Some(body)).await.refused(413, "PAYLOAD_TOO_LARGE");
        assert_eq!((&details["field"], &details["limit_bytes"]), (&json!(field), &json!(16 * MIB)));
    }
    assert_eq!(world.stored("c").await.len(), 1);
}

#[tokio::test]
async fn result_or_body_over_the_bounds_is_refused_and_never_cut() {
    let options = GatewayOptions::default();
    let options = options.set("GATEWAY_MAX_BODY_BYTES", "200000").set("GATEWAY_MAX_REPLY_BYTES", "100000");
    let world = MongoWorld::start_with(options, MongoOptions::new()).await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    world.fill("c", (0..20).map(|n| doc! {"_id": n, "text": "x".repeat(9_000)})).await;
    world.fill("large", [doc! {"_id": 1, "bytes": Bson::from(bson::Binary { subtype: 0.into(), bytes: vec![1; 90_000] })}]).await;
    for answer in [
        viewer.get(&world.path("c", "/documents")).await,
        viewer.post(&world.path("c", "/documents/query"), json!({"count": "none"})).await,
        viewer.post(&world.path("c", "/aggregate"), json!({"pipeline": []})).await,
        // Base64 is longer than its bytes: the bound is on what is sent.
        viewer.get(&world.path("large", "/documents/1?id_type=int")).await,
        viewer.post(&world.path("large", "/documents/query"), json!({})).await,
    ] {
        assert_eq!(answer.refused(507, "RESULT_TOO_LARGE")["limit_bytes"], 100_000);
    }
    let page = viewer.get(&world.path("c", "/documents?limit=10")).await.expect(200).data();
    assert_eq!((page["documents"].as_array().unwrap().len(), &page["total"]), (10, &json!(20)));
    let body = json!({"document": {"text": "x".repeat(200_000)}});
    developer.post(&world.path("c", "/documents"), body).await.refused(413, "PAYLOAD_TOO_LARGE");
}

/// A document of this many levels, documents and arrays by turns.
fn nested(levels: usize) -> String {
    let mut json = String::from("{}");
    for level in (1..levels).rev() {
        json = if level % 2 == 1 { format!(r#"{{"a":{json}}}"#) } else { format!("[{json}]") };
    }
    // Level 1 is the document itself, which is odd.
    json
}

#[tokio::test]
async fn hundred_levels_come_and_go_and_one_more_is_refused_by_name() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    let deep = nested(100);
    let with_id = format!(r#"{{"_id":1,{}"#, &deep[1..]);
    let body = format!(r#"{{"document":{with_id}}}"#);
    send_text(developer, "POST", &world.path("c", "/documents"), body).await.expect(201);
    let one = world.path("c", "/documents/1?id_type=int");
    let read = viewer.get(&one).await.expect(200);
    assert_eq!(read.payload(), with_id);
    let body = format!(r#"{{"replacement":{}}}"#, read.payload());
    send_text(developer, "PUT", &one, body).await.expect(200);
    for (method, path, name, before, after, field) in [
        ("POST", "/documents", "document", "", "", "document"),
        ("POST", "/documents", "documents", "[{},", "]", "documents[1]"),
        ("POST", "/documents/query", "filter", "", "", "filter"),
        ("POST", "/documents/query", "projection", "", "", "projection"),
        ("POST", "/documents/delete-many", "filter", "", "", "filter"),
        ("POST", "/explain", "filter", "", "", "filter"),
        ("PUT", "/documents/1?id_type=int", "replacement", "", "", "replacement"),
        ("PUT", "/documents/1?id_type=int", "update", "", "", "update"),
    ] {
        for levels in [101, 120, 5_000] {
            let body = format!(r#"{{"{name}":{before}{}{after}}}"#, nested(levels));
            let answer = send_text(developer, method, &world.path("c", path), body).await;
            answer.refused(400, "VALIDATION_ERROR");
            // Past 128 levels it is not even read as JSON.
            if levels < 121 {
                answer.refused_field(field);
                assert!(answer.message().contains("100 levels"), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn names_with_dots_spaces_emoji_and_slashes_are_names_like_any() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    for (database, collection) in [
        ("shop", "with.dots.inside"),
        ("shop", "with space"),
        ("shop", "🎉 größe"),
        ("shop", "a/b"),
        ("shop", "a%2Fb"),
        ("shop", "documents"),
        ("shop", "a?b#c&d=e+f"),
        ("shop", "..a"),
        ("shop", "quote\"back\\slash"),
        ("größe-🎉", "c"),
        ("UPPER_lower-0", "c"),
    ] {
        let path = |rest: &str| world.path_in(database, collection, rest);
        // Names may not begin with a dot.
        if collection.starts_with('.') {
            developer.post(&path("/documents"), json!({"document": {"_id": 1}})).await.refused_field("coll");
            continue;
        }
        developer.post(&path("/documents"), json!({"document": {"_id": "x/y"}})).await.expect(201);
        let truth = world.truth.database(database).collection::<Document>(collection);
        assert_eq!(truth.count_documents(doc! {}).await.unwrap(), 1, "{database}.{collection}");
        assert_eq!(viewer.get(&path("/documents")).await.expect(200).data()["total"], 1);
        let one = path("/documents/x%2Fy");
        developer.put(&one, json!({"update": {"$set": {"v": 1}}})).await.expect(200);
        assert_eq!(viewer.get(&one).await.expect(200).data(), json!({"_id": "x/y", "v": 1}));
        developer.delete(&one).await.expect(204);
        assert_eq!(truth.count_documents(doc! {}).await.unwrap(), 0, "{database}.{collection}");
    }
    let long = "d".repeat(64);
    for database in [
        "a.b",
        "a b",
        "a/b",
        "a\\b",
        "a\"b",
        "$a",
        "a*b",
        "a<b",
        "a>b",
        "a:b",
        "a|b",
        "a?b",
        "a\0b",
        long.as_str(),
    ] {
        viewer.get(&world.path_in(database, "c", "/documents")).await.refused_field("db");
    }
    let (long, longest) = ("c".repeat(251), "c".repeat(250));
    for collection in ["$cmd", "a$b", ".a", "a\0b", long.as_str()] {
        viewer.get(&world.path(collection, "/documents")).await.refused_field("coll");
    }
    viewer.get(&world.path(&longest, "/documents")).await.expect(200);
}

#[tokio::test]
async fn odd_fields_and_huge_arrays_are_kept() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    let numbers = (0..200_000).map(|n: i32| n.to_string()).collect::<Vec<_>>().join(",");
    for document in [
        r#"{"_id":1,"":"empty","ß🎉\u0001":{"":{"":[]}}," ":null,"a.b":1,"a.":1,".":1,"0":[],"__proto__":{},"constructor":1}"#.to_owned(),
        format!(r#"{{"_id":1,"numbers":[{numbers}]}}"#),
        format!(r#"{{"_id":1{}}}"#, (0..10_000).map(|n| format!(r#","field{n}":{n}"#)).collect::<String>()),
    ] {
        let body = format!(r#"{{"document":{document}}}"#);
        send_text(developer, "POST", &world.path("c", "/documents"), body).await.expect(201);
        let one = world.path("c", "/documents/1?id_type=int");
        let read = viewer.get(&one).await.expect(200);
        assert!(read.payload() == document, "{read}");
        let body = format!(r#"{{"replacement":{}}}"#, read.payload());
        send_text(developer, "PUT", &one, body).await.expect(200);
        assert!(viewer.get(&one).await.expect(200).payload() == document);
        developer.delete(&one).await.expect(204);
    }
}
