//! Changing and deleting MongoDB's documents: by operators, by pipelines, whole, one and many.

use bson::{Document, doc};
use serde_json::{Value, json};
use studio_gateway_tests::{Answer, MongoWorld};

/// What an update answers.
fn updated(matched: u64, modified: u64, upserted: Option<&str>) -> Value {
    json!({"matched_count": matched, "modified_count": modified, "upserted_id": upserted})
}

async fn put(world: &MongoWorld, id: &str, body: Value) -> Answer {
    world.alpha.developer.put(&world.document("c", id), body).await
}

async fn update_many(world: &MongoWorld, body: Value) -> Answer {
    world.alpha.developer.post(&world.path("c", "/documents/update-many"), body).await
}

async fn delete_many(world: &MongoWorld, body: Value) -> Answer {
    world.alpha.developer.post(&world.path("c", "/documents/delete-many"), body).await
}

fn example() -> Document {
    doc! {
        "_id": "x", "n": 5, "long": 5_i64, "double": 5.0, "name": "old",
        "tags": ["a", "b"], "lines": [{"sku": 1, "count": 1}, {"sku": 2, "count": 2}, {"sku": 3, "count": 3}],
    }
}

/// The example, changed so.
fn with(changes: Document) -> Document {
    let mut document = example();
    for (name, value) in changes {
        document.insert(name, value);
    }
    document
}

#[tokio::test]
async fn one_document_is_changed_by_operators_and_by_stages() {
    let world = MongoWorld::start().await;
    for (body, expected) in [
        (
            json!({"update": {"$set": {"name": "new", "added.deep": true}}}),
            with(doc! {"name": "new", "added": {"deep": true}}),
        ),
        // Numbers keep their type.
        (
            json!({"update": {"$inc": {"n": 1, "long": 1, "double": 1}}}),
            with(doc! {"n": 6, "long": 6_i64, "double": 6.0}),
        ),
        (json!({"update": {"$inc": {"n": {"$numberLong": "1"}}}}), with(doc! {"n": 6_i64})),
        (
            json!({"update": {"$push": {"tags": {"$each": ["c"], "$position": 0}}}}),
            with(doc! {"tags": ["c", "a", "b"]}),
        ),
        (
            json!({"update": {"$pull": {"lines": {"sku": {"$gt": 1}}}}}),
            with(doc! {"lines": [{"sku": 1, "count": 1}]}),
        ),
        (
            json!({"update": {"$set": {"lines.1.count": 9}, "$min": {"n": 4}}}),
            with(doc! {
                "n": 4, "lines": [{"sku": 1, "count": 1}, {"sku": 2, "count": 9}, {"sku": 3, "count": 3}],
            }),
        ),
        (
            json!({"update": {"$set": {"lines.$[some].count": 0}}, "array_filters": [{"some.sku": {"$in": [1, 3]}}]}),
            with(doc! {"lines": [{"sku": 1, "count": 0}, {"sku": 2, "count": 2}, {"sku": 3, "count": 0}]}),
        ),
        (json!({"update": {"$set": {"tags.$[]": "z"}}}), with(doc! {"tags": ["z", "z"]})),
        (json!({"update": [{"$set": {"n": {"$add": ["$n", "$double"]}}}]}), with(doc! {"n": 10.0})),
        (json!({"update": [{"$set": {"name": {"$literal": "$where"}}}]}), with(doc! {"name": "$where"})),
        (
            json!({"update": [{"$replaceWith": {"_id": "$_id", "only": "$name"}}, {"$set": {"more": 1}}]}),
            doc! {"_id": "x", "only": "old", "more": 1},
        ),
        (json!({"replacement": {"whole": {"$numberLong": "1"}}}), doc! {"_id": "x", "whole": 1_i64}),
        (json!({"replacement": {"_id": "x", "z": 1, "a": 2}}), doc! {"_id": "x", "z": 1, "a": 2}),
        (json!({"replacement": {}}), doc! {"_id": "x"}),
        // There is nothing to insert.
        (json!({"update": {"$set": {"n": 6}}, "upsert": true}), with(doc! {"n": 6})),
        (
            json!({"update": {"$set": {"n": 6}, "$setOnInsert": {"new": true}}, "upsert": true}),
            with(doc! {"n": 6}),
        ),
    ] {
        world.fill("c", [example()]).await;
        assert_eq!(put(&world, "x", body.clone()).await.expect(200).data(), updated(1, 1, None), "{body}");
        assert_eq!(world.stored_documents("c").await, [expected], "{body}");
        world.collection("c").drop().await.unwrap();
    }
    world.fill("c", [example()]).await;
    let same = put(&world, "x", json!({"update": {"$set": {"n": 5}}})).await.expect(200).data();
    assert_eq!(same, updated(1, 0, None), "matched, and not different now");
    let made = put(
        &world,
        "y",
        json!({"update": {"$set": {"n": 6}, "$setOnInsert": {"new": true}}, "upsert": true}),
    )
    .await;
    assert_eq!(made.expect(201).data(), updated(0, 0, Some("y")));
    assert_eq!(world.stored_documents("c").await[1], doc! {"_id": "y", "n": 6, "new": true});
}

#[tokio::test]
async fn invalid_change_of_one_document_is_refused_without_effect() {
    let world = MongoWorld::start().await;
    world.fill("c", [example()]).await;
    for (body, field) in [
        (json!({}), "update"),
        (json!({"update": {"$set": {"a": 1}}, "replacement": {}}), "update"),
        (json!({"update": {"a": 1}}), "update"),
        (json!({"update": {"$set": {"a": 1}, "a": 1}}), "update"),
        (json!({"update": {}}), "update"),
        (json!({"update": []}), "update"),
        (json!({"update": "x"}), "update"),
        (json!({"update": 1}), "update"),
        (json!({"update": [1]}), "update[0]"),
        (json!({"update": [{}]}), "update[0]"),
        (json!({"update": {"$set": {"a": {"$oid": 1}}}}), "update.$set.a"),
        (json!({"replacement": {"$set": {"a": 1}}}), "replacement"),
        (json!({"replacement": [{}]}), "replacement"),
        (json!({"replacement": {"a": 1}, "array_filters": []}), "array_filters"),
        (json!({"update": {"$set": {"a": 1}}, "array_filters": {}}), "array_filters"),
        (json!({"update": {"$set": {"a": 1}}, "array_filters": [1]}), "array_filters[0]"),
        (json!({"update": {"$set": {"a": 1}}, "upsert": "yes"}), "upsert"),
        (json!({"update": {"$set": {"a": 1}}, "multi": true}), "multi"),
    ] {
        put(&world, "x", body).await.refused_field(field);
    }
    for (body, code) in [
        (json!({"update": {"$sett": {"a": 1}}}), "FailedToParse"),
        (json!({"update": {"$set": {"_id": 1}}}), "ImmutableField"),
        (json!({"replacement": {"_id": 1}}), "ImmutableField"),
        (json!({"update": {"$inc": {"name": 1}}}), "TypeMismatch"),
        (json!({"update": {"$set": {"a": 1, "a.b": 1}}}), "ConflictingUpdateOperators"),
        (json!({"update": {"$set": {"lines.$[some].count": 0}}}), "BadValue"),
    ] {
        let refused = put(&world, "x", body.clone()).await;
        assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], code, "{body}: {refused}");
    }
    assert_eq!(world.stored_documents("c").await, [example()]);
}

#[tokio::test]
async fn many_documents_are_changed_at_once() {
    let world = MongoWorld::start().await;
    let numbered = || (0..10).map(|n| doc! {"_id": n, "n": n, "list": [n, 5]});
    let sum = async |world: &MongoWorld| -> i32 {
        world.stored_documents("c").await.iter().map(|document| document.get_i32("n").unwrap()).sum()
    };
    for (body, answer, expected) in [
        (json!({"filter": {"n": {"$gte": 5}}, "update": {"$set": {"n": 0}}}), updated(5, 5, None), 10),
        (json!({"filter": {"n": {"$lte": 1}}, "update": {"$set": {"n": 0}}}), updated(2, 1, None), 44),
        (json!({"filter": {}, "all": true, "update": {"$inc": {"n": 1}}}), updated(10, 10, None), 55),
        (
            json!({"filter": {"n": 3}, "all": true, "update": [{"$set": {"n": {"$multiply": ["$n", 100]}}}]}),
            updated(1, 1, None),
            342,
        ),
        (json!({"filter": {"n": 99}, "update": {"$set": {"n": 0}}}), updated(0, 0, None), 45),
        (
            json!({"filter": {"_id": 99}, "update": {"$set": {"n": 1}}, "upsert": true}),
            updated(0, 0, Some(r#"{"$numberInt":"99"}"#)),
            46,
        ),
        (json!({"filter": {"n": 1}, "update": {"$set": {"n": 0}}, "upsert": true}), updated(1, 1, None), 44),
    ] {
        world.fill("c", numbered()).await;
        let status = if answer["upserted_id"].is_null() { 200 } else { 201 };
        assert_eq!(update_many(&world, body.clone()).await.expect(status).data(), answer, "{body}");
        assert_eq!(sum(&world).await, expected, "{body}");
        world.collection("c").drop().await.unwrap();
    }
    world.fill("c", numbered()).await;
    let body = json!({
        "filter": {"_id": {"$lt": 2}}, "update": {"$set": {"list.$[five]": 0}}, "array_filters": [{"five": 5}],
    });
    assert_eq!(update_many(&world, body).await.expect(200).data(), updated(2, 2, None));
    assert_eq!(world.stored_documents("c").await[1], doc! {"_id": 1, "n": 1, "list": [1, 0]});
    // One of many can't be changed: those before it were.
    world.collection("c").drop().await.unwrap();
    world.fill("c", [doc! {"_id": 1, "n": 1}, doc! {"_id": 2, "n": "text"}, doc! {"_id": 3, "n": 3}]).await;
    let refused = update_many(&world, json!({"filter": {}, "all": true, "update": {"$inc": {"n": 1}}})).await;
    let details = refused.refused(400, "QUERY_ERROR");
    assert_eq!((&details["code"], &details["outcome"]), (&json!("TypeMismatch"), &json!("unknown")));
    let refused =
        update_many(&world, json!({"filter": {}, "all": true, "update": {"$sett": {"n": 1}}})).await;
    let details = refused.refused(400, "QUERY_ERROR");
    assert_eq!((&details["code"], details.get("outcome")), (&json!("FailedToParse"), None));
}

#[tokio::test]
async fn many_documents_are_deleted_at_once() {
    let world = MongoWorld::start().await;
    world.fill("c", (0..10).map(|n| doc! {"_id": n})).await;
    for (body, deleted, left) in [
        (json!({"filter": {"_id": {"$gte": 7}}}), 3, 7),
        (json!({"filter": {"_id": 99}}), 0, 7),
        (json!({"filter": {"_id": {"$in": [0, 1, 99]}}, "all": true}), 2, 5),
        (json!({"filter": {}, "all": true}), 5, 0),
    ] {
        let answer = delete_many(&world, body.clone()).await.expect(200).data();
        assert_eq!(answer, json!({"deleted_count": deleted}), "{body}");
        assert_eq!(world.stored("c").await.len(), left, "{body}");
    }
}

#[tokio::test]
async fn invalid_change_of_many_documents_is_refused_without_effect() {
    let world = MongoWorld::start().await;
    world.fill("c", [example()]).await;
    for (body, field) in [
        (json!({}), "filter"),
        (json!({"filter": {}}), "filter"),
        (json!({"filter": {}, "all": false}), "filter"),
        (json!({"filter": null, "all": true}), "filter"),
        (json!({"filter": [], "all": true}), "filter"),
        (json!({"filter": {"a": {"$uuid": "x"}}}), "filter.a"),
        (json!({"filter": {"a": 1}, "all": "yes"}), "all"),
        (json!({"filter": {"a": 1}, "limit": 1}), "limit"),
    ] {
        delete_many(&world, body.clone()).await.refused_field(field);
        let mut body = body;
        body["update"] = json!({"$set": {"a": 1}});
        update_many(&world, body).await.refused_field(field);
    }
    for (update, field) in [
        (json!({"a": 1}), "update"),
        (json!({}), "update"),
        (json!([]), "update"),
        (json!("x"), "update"),
        (json!([{"$set": {"a": 1}}, 1]), "update[1]"),
    ] {
        update_many(&world, json!({"filter": {"_id": "x"}, "update": update})).await.refused_field(field);
    }
    update_many(&world, json!({"filter": {"_id": "x"}})).await.refused_field("update");
    update_many(&world, json!({"filter": {"_id": "x"}, "replacement": {}}))
        .await
        .refused_field("replacement");
    let refused = update_many(&world, json!({"filter": {"$bad": 1}, "update": {"$set": {"a": 1}}})).await;
    assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], "BadValue");
    let refused = delete_many(&world, json!({"filter": {"a": {"$bad": 1}}})).await;
    assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], "BadValue");
    assert_eq!(world.stored_documents("c").await, [example()]);
}
