//! Inserting documents into MongoDB, one and many, and what becomes of those that can't be.

use bson::{Document, doc};
use mongodb::IndexModel;
use serde_json::{Value, json};
use studio_gateway_tests::{Answer, MongoWorld};

async fn insert(world: &MongoWorld, body: Value) -> Answer {
    world.alpha.developer.post(&world.path("c", "/documents"), body).await
}

#[tokio::test]
async fn documents_are_stored_as_they_are_sent_in_their_order() {
    let world = MongoWorld::start().await;
    let body =
        json!({"document": {"z": 1, "a": {"y": [], "b": null}, "": "empty name", "ß 🎉": true, "a.b": 1.0}});
    let created = insert(&world, body).await.expect(201).data();
    let id = created["inserted_ids"][0].as_str().unwrap().to_owned();
    assert_eq!(created, json!({"inserted_ids": [id], "inserted_count": 1}));
    let expected = doc! {
        "_id": id.parse::<bson::oid::ObjectId>().unwrap(),
        "z": 1, "a": {"y": [], "b": null}, "": "empty name", "ß 🎉": true, "a.b": 1.0,
    };
    assert_eq!(world.stored_documents("c").await, [expected]);
    world.collection("c").drop().await.unwrap();
    for ordered in [None, Some(true), Some(false)] {
        let mut body = json!({"documents": [{"_id": 3, "v": "x"}, {"v": "y", "_id": "b"}, {"_id": {"$numberLong": "1"}}]});
        if let Some(ordered) = ordered {
            body["ordered"] = ordered.into();
        }
        let created = insert(&world, body).await.expect(201).data();
        let ids = json!([r#"{"$numberInt":"3"}"#, "b", r#"{"$numberLong":"1"}"#]);
        assert_eq!(created, json!({"inserted_ids": ids, "inserted_count": 3}));
        let stored = world.stored_documents("c").await;
        // The server puts `_id` first.
        assert_eq!(stored, [doc! {"_id": 1_i64}, doc! {"_id": 3, "v": "x"}, doc! {"_id": "b", "v": "y"}]);
        world.collection("c").drop().await.unwrap();
    }
}

#[tokio::test]
async fn duplicate_is_a_conflict_that_names_the_index_and_the_id() {
    let world = MongoWorld::start().await;
    let index = IndexModel::builder().keys(doc! {"email": 1}).build();
    let mut unique = index.clone();
    unique.options = Some(mongodb::options::IndexOptions::builder().unique(true).build());
    world.collection("c").create_index(unique).await.unwrap();
    world.fill("c", [doc! {"_id": 1, "email": "a@b"}]).await;
    for (document, index, id) in [
        (json!({"_id": 1, "email": "x@y"}), "_id_", r#"{"$numberInt":"1"}"#),
        (json!({"_id": "two", "email": "a@b"}), "email_1", "two"),
    ] {
        for body in [json!({"document": document}), json!({"documents": [document]})] {
            let details = insert(&world, body.clone()).await.refused(409, "CONFLICT");
            assert_eq!((&details["code"], &details["code_number"]), (&json!("DuplicateKey"), &json!(11000)));
            assert_eq!(details["index"], index, "{body}");
            let named = if body.get("document").is_some() {
                &details["id"]
            } else {
                &details["write_errors"][0]["id"]
            };
            assert_eq!(named, id, "{body}");
        }
    }
    let developer = &world.alpha.developer;
    world.fill("c", [doc! {"_id": 2, "email": "c@d"}]).await;
    let path = world.path("c", "/documents/2?id_type=int");
    for body in [json!({"update": {"$set": {"email": "a@b"}}}), json!({"replacement": {"email": "a@b"}})] {
        let details = developer.put(&path, body).await.refused(409, "CONFLICT");
        assert_eq!(details["index"], "email_1");
    }
    let body = json!({"filter": {"_id": 2}, "update": {"$set": {"email": "a@b"}}});
    let details =
        developer.post(&world.path("c", "/documents/update-many"), body).await.refused(409, "CONFLICT");
    assert_eq!((&details["index"], &details["outcome"]), (&json!("email_1"), &json!("unknown")));
    assert_eq!(world.stored("c").await.len(), 2);
}

#[tokio::test]
async fn partial_failure_tells_what_is_in_and_why_the_rest_is_not() {
    let world = MongoWorld::start().await;
    let documents = json!([{"_id": "a"}, {"_id": "b"}, {"_id": "a", "again": 1}, {"_id": "c"}, {"_id": "b", "again": 2}, {"_id": "d"}]);
    for (ordered, inserted, failed) in
        [(true, &["a", "b"][..], &[(2, "a")][..]), (false, &["a", "b", "c", "d"], &[(2, "a"), (4, "b")])]
    {
        let refused = insert(&world, json!({"documents": documents, "ordered": ordered})).await;
        let details = refused.refused(400, "QUERY_ERROR");
        assert_eq!(
            (&details["inserted_ids"], &details["inserted_count"]),
            (&json!(inserted), &json!(inserted.len()))
        );
        let errors = details["write_errors"].as_array().unwrap();
        let told: Vec<_> = errors
            .iter()
            .map(|error| (error["index"].as_i64().unwrap(), error["id"].as_str().unwrap()))
            .collect();
        assert_eq!(told, failed);
        for error in errors {
            assert_eq!((&error["code"], &error["code_number"]), (&json!("DuplicateKey"), &json!(11000)));
            assert_eq!(error["index_name"], "_id_");
            assert!(error["message"].as_str().is_some_and(|message| message.contains("E11000")), "{error}");
        }
        let stored: Vec<Document> = inserted.iter().map(|id| doc! {"_id": *id}).collect();
        assert_eq!(world.stored_documents("c").await, stored);
        // Nothing at all is in: each of several failures is told.
        let refused =
            insert(&world, json!({"documents": [{"_id": "a"}, {"_id": "b"}], "ordered": false})).await;
        let details = refused.refused(400, "QUERY_ERROR");
        assert_eq!(
            (&details["inserted_ids"], details["write_errors"].as_array().unwrap().len()),
            (&json!([]), 2)
        );
        world.collection("c").drop().await.unwrap();
    }
}

#[tokio::test]
async fn validators_refusal_says_which_document_and_why() {
    let world = MongoWorld::start().await;
    let validator =
        doc! {"$jsonSchema": {"required": ["name"], "properties": {"name": {"bsonType": "string"}}}};
    world.server.run("shop", doc! {"create": "c", "validator": validator}).await;
    for body in
        [json!({"document": {"_id": "x", "name": 1}}), json!({"documents": [{"_id": "x", "name": 1}]})]
    {
        let details = insert(&world, body).await.refused(400, "QUERY_ERROR");
        assert_eq!(details["code"], "DocumentValidationFailure");
    }
    let body = json!({"documents": [{"_id": 1}, {"_id": 2, "name": "n"}], "ordered": false});
    let details = insert(&world, body).await.refused(400, "QUERY_ERROR");
    assert_eq!((&details["inserted_count"], &details["write_errors"][0]["index"]), (&json!(1), &json!(0)));
    let body = json!({"update": {"$unset": {"name": 1}}});
    let refused = world.alpha.developer.put(&world.path("c", "/documents/2?id_type=int"), body).await;
    assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], "DocumentValidationFailure");
    assert_eq!(world.stored_documents("c").await, [doc! {"_id": 2, "name": "n"}]);
}

#[tokio::test]
async fn body_that_is_no_insert_is_refused_by_the_field_that_is_wrong() {
    let world = MongoWorld::start().await;
    for (body, field) in [
        (json!({}), "document"),
        (json!({"document": {}, "documents": [{}]}), "document"),
        (json!({"documents": []}), "documents"),
        (json!({"document": null}), "document"),
        (json!({"document": 1}), "document"),
        (json!({"document": [{}]}), "document"),
        (json!({"document": {"$oid": "5f0001a910ff070809abcdef"}}), "document"),
        (json!({"document": {"a": {"$numberInt": "x"}}}), "document.a"),
        (json!({"document": {"a": {"$date": "yesterday"}}}), "document.a"),
        (json!({"documents": {}}), "documents"),
        (json!({"documents": [{}, 1]}), "documents[1]"),
        (json!({"documents": [{}, {"a": [{"$oid": 1}]}]}), "documents[1].a[0]"),
        (json!({"document": {}, "ordered": true}), "ordered"),
        (json!({"documents": [{}], "ordered": "yes"}), "ordered"),
        (json!({"documents": [{}], "order": true}), "order"),
    ] {
        insert(&world, body).await.refused_field(field);
    }
    assert!(world.stored("c").await.is_empty());
}
