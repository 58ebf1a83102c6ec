//! Documents of MongoDB by their `_id`s, of every type that these may have.

use bson::{Bson, doc, oid::ObjectId};
use serde_json::json;
use studio_gateway_tests::{MongoWorld, mongo_world::send_text};

/// An `_id` in Extended JSON, and how `inserted_ids` must give it; `""`: the same. Not among them are NaN, which is equal
/// to itself for MongoDB, but not for SecantusDB, and symbols and DBPointers, which SecantusDB stores as something else.
const IDS: [(&str, &str); 41] = [
    (r#"{"$oid":"5f0001a910ff070809abcdef"}"#, "5f0001a910ff070809abcdef"),
    (r#"{"$oid":"5F0001A910FF070809ABCDEF"}"#, "5f0001a910ff070809abcdef"),
    (r#""plain""#, "plain"),
    (r#""42""#, "42"),
    (r#""a/b?c#d&e=f+g h%2Fi;j\\k""#, r"a/b?c#d&e=f+g h%2Fi;j\k"),
    (r#""größe 🎉 \u200d""#, "größe 🎉 \u{200d}"),
    (r#""query""#, "query"),
    (r#""update-many""#, "update-many"),
    (r#""delete-many""#, "delete-many"),
    (r#""5f0001a910ff070809abcdef""#, r#"{"$eq":"5f0001a910ff070809abcdef"}"#),
    (r#""""#, r#"{"$eq":""}"#),
    (r#"".""#, r#"{"$eq":"."}"#),
    (r#""..""#, r#"{"$eq":".."}"#),
    (r#""...""#, "..."),
    (r#""../../etc""#, "../../etc"),
    (r#""{""#, r#"{"$eq":"{"}"#),
    (r#""{\"$oid\":1}""#, r#"{"$eq":"{\"$oid\":1}"}"#),
    (r#""\u0000\r\n\t""#, "\0\r\n\t"),
    (r#""$where""#, "$where"),
    ("42", r#"{"$numberInt":"42"}"#),
    ("-1", r#"{"$numberInt":"-1"}"#),
    (r#"{"$numberLong":"42"}"#, ""),
    ("9007199254740993", r#"{"$numberLong":"9007199254740993"}"#),
    ("42.5", r#"{"$numberDouble":"42.5"}"#),
    (r#"{"$numberDouble":"-Infinity"}"#, ""),
    (r#"{"$numberDecimal":"1.10"}"#, ""),
    ("true", r#"{"$eq":true}"#),
    ("false", r#"{"$eq":false}"#),
    ("null", r#"{"$eq":null}"#),
    (r#"{"$date":"2026-11-05T12:30:00.250Z"}"#, r#"{"$date":{"$numberLong":"1793881800250"}}"#),
    (r#"{"$date":{"$numberLong":"-1"}}"#, ""),
    (
        r#"{"$uuid":"c8edabc3-f738-4ca3-b68d-ab92a91478a3"}"#,
        r#"{"$binary":{"base64":"yO2rw/c4TKO2jauSqRR4ow==","subType":"04"}}"#,
    ),
    (r#"{"$binary":{"base64":"//79","subType":"00"}}"#, ""),
    (r#"{"$timestamp":{"t":4294967295,"i":1}}"#, ""),
    (r#"{"$minKey":1}"#, ""),
    (r#"{"$maxKey":1}"#, ""),
    (r#"{"$code":"f()"}"#, ""),
    (r#"{"$code":"f()","$scope":{}}"#, ""),
    ("{}", ""),
    (r#"{"b":1,"a":[2.5,null]}"#, r#"{"b":{"$numberInt":"1"},"a":[{"$numberDouble":"2.5"},null]}"#),
    (r#"{"b":{"$oid":"5f0001a910ff070809abcdef"},"c":"x/y"}"#, ""),
];

#[tokio::test]
async fn document_is_created_read_changed_and_deleted_by_any_id_type() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    for (json, shown) in IDS {
        let shown = if shown.is_empty() { json } else { shown };
        // Its neighbour has an id that a careless filter would match as well.
        world.fill("c", [doc! {"_id": "neighbour", "v": 0}]).await;
        let body = format!(r#"{{"document":{{"v":1,"_id":{json}}}}}"#);
        let created =
            send_text(developer, "POST", &world.path("c", "/documents"), body).await.expect(201).data();
        assert_eq!(created, json!({"inserted_ids": [shown], "inserted_count": 1}), "{json}");
        let path = world.document("c", shown);
        let read = viewer.get(&format!("{path}?ejson=canonical")).await.expect(200);
        assert_eq!(read.data()["v"], json!({"$numberInt": "1"}), "{json}");
        let changed = developer.put(&path, json!({"update": {"$set": {"v": 2}}})).await.expect(200).data();
        assert_eq!(changed, json!({"matched_count": 1, "modified_count": 1, "upserted_id": null}), "{json}");
        let replaced = developer.put(&path, json!({"replacement": {"v": 3}})).await.expect(200).data();
        assert_eq!(replaced, json!({"matched_count": 1, "modified_count": 1, "upserted_id": null}), "{json}");
        let read = viewer.get(&path).await.expect(200).data();
        assert_eq!(read["v"], 3, "{json}");
        developer.delete(&path).await.expect(204);
        developer.delete(&path).await.refused(404, "NOT_FOUND");
        viewer.get(&path).await.refused(404, "NOT_FOUND");
        let absent = developer.put(&path, json!({"update": {"$set": {"v": 2}}})).await.expect(200).data();
        assert_eq!(absent, json!({"matched_count": 0, "modified_count": 0, "upserted_id": null}), "{json}");
        // What was not there is made with this very id, told as a path takes it.
        let upsert = json!({"update": {"$set": {"v": 4}}, "upsert": true});
        let made = developer.put(&path, upsert).await.expect(201).data();
        assert_eq!(made, json!({"matched_count": 0, "modified_count": 0, "upserted_id": shown}), "{json}");
        developer.delete(&path).await.expect(204);
        let upsert = json!({"replacement": {"v": 5}, "upsert": true});
        let made = developer.put(&path, upsert).await.expect(201).data();
        assert_eq!(made["upserted_id"], shown, "{json}");
        assert_eq!(viewer.get(&path).await.expect(200).data()["v"], 5, "{json}");
        developer.delete(&path).await.expect(204);
        developer.delete(&world.document("c", "neighbour")).await.expect(204);
        assert!(world.stored("c").await.is_empty(), "{json}");
    }
}

#[tokio::test]
async fn id_type_says_what_an_id_is() {
    let world = MongoWorld::start().await;
    let hex = "5f0001a910ff070809abcdef";
    let uuid = "c8edabc3-f738-4ca3-b68d-ab92a91478a3";
    let uuid_id = Bson::from(bson::Uuid::parse_str(uuid).unwrap());
    world
        .fill(
            "c",
            [
                doc! {"_id": hex, "is": "string of digits"},
                doc! {"_id": hex.parse::<ObjectId>().unwrap(), "is": "ObjectId"},
                doc! {"_id": "42", "is": "string"},
                doc! {"_id": 42, "is": "int"},
                doc! {"_id": 9_000_000_000_i64, "is": "long"},
                doc! {"_id": uuid, "is": "string of a UUID"},
                doc! {"_id": uuid_id, "is": "UUID"},
                doc! {"_id": "{\"a\":1}", "is": "string of an object"},
            ],
        )
        .await;
    let viewer = &world.alpha.viewer;
    for (id, id_type, is) in [
        (hex, "", "ObjectId"),
        ("5F0001A910FF070809ABCDEF", "", "ObjectId"),
        (hex, "objectId", "ObjectId"),
        (hex, "string", "string of digits"),
        ("42", "", "string"),
        ("42", "string", "string"),
        ("42", "int", "int"),
        // MongoDB compares numbers by their value.
        ("42", "long", "int"),
        ("9000000000", "long", "long"),
        (uuid, "", "string of a UUID"),
        (uuid, "uuid", "UUID"),
        ("{\"a\":1}", "string", "string of an object"),
    ] {
        let query = if id_type.is_empty() { String::new() } else { format!("?id_type={id_type}") };
        let read = viewer.get(&format!("{}{query}", world.document("c", id))).await.expect(200).data();
        assert_eq!(read["is"], is, "{id} {id_type}");
    }
    for (id, query, field) in [
        ("42", "?id_type=objectId", "id"),
        ("4.2", "?id_type=int", "id"),
        ("2147483648", "?id_type=int", "id"),
        ("42", "?id_type=uuid", "id"),
        ("x", "?id_type=long", "id"),
        ("x", "?id_type=number", "id_type"),
        ("x", "?type=string", "type"),
        ("{", "", "id"),
        ("{\"$oid\":\"1\"}", "", "id"),
        ("{\"a\":{\"$numberInt\":\"x\"}}", "", "id.a"),
    ] {
        let path = format!("{}{query}", world.document("c", id));
        viewer.get(&path).await.refused_field(field);
        let developer = &world.alpha.developer;
        developer.put(&path, json!({"update": {"$set": {"a": 1}}})).await.refused_field(field);
        developer.delete(&path).await.refused_field(field);
    }
    assert_eq!(world.stored("c").await.len(), 8);
}

#[tokio::test]
async fn id_that_looks_like_an_operator_matches_nothing_but_itself() {
    let world = MongoWorld::start().await;
    world.fill("c", [doc! {"_id": 1}, doc! {"_id": 2}]).await;
    let developer = &world.alpha.developer;
    for id in [
        r#"{"$ne":null}"#,
        r#"{"$gt":{"$minKey":1}}"#,
        r#"{"$in":[1,2]}"#,
        r#"{"$exists":true}"#,
        r#"{"$regex":""}"#,
        r#"{"$where":"true"}"#,
        r#"{"$regularExpression":{"pattern":"","options":""}}"#,
    ] {
        let path = world.document("c", id);
        developer.get(&path).await.refused(404, "NOT_FOUND");
        developer.delete(&path).await.refused(404, "NOT_FOUND");
        let changed = developer.put(&path, json!({"update": {"$set": {"v": 1}}})).await.expect(200).data();
        assert_eq!(changed["matched_count"], 0, "{id}");
    }
    assert_eq!(world.stored_documents("c").await, [doc! {"_id": 1}, doc! {"_id": 2}]);
}
