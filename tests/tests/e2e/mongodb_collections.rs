//! Collections of MongoDB through the gateway: made, listed and dropped; what is true is asked of the server itself.

use super::mongodb_structure::{below, collections, create, indexes, named, names};
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use studio_gateway_tests::{MongoWorld, mongo_world::escape};
use tokio::task::JoinSet;

#[tokio::test]
async fn collections_of_every_kind_are_made_and_listed_as_told() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1, "kind": "a"}, doc! {"_id": 2, "kind": "b"}]).await;
    let cases = [
        ("capped", "collection", json!({"capped": true, "size": 1_048_576, "max": {"$numberInt": "2"}})),
        (
            "series",
            "timeseries",
            json!({"timeseries": {"timeField": "t", "metaField": "m"}, "expireAfterSeconds": 3600}),
        ),
        ("seen", "view", json!({"viewOn": "things", "pipeline": [{"$match": {"kind": "a"}}]})),
        (
            "strict",
            "collection",
            json!({"validator": {"n": {"$gt": 5}}, "validationLevel": "strict", "validationAction": "error"}),
        ),
        ("german", "collection", json!({"collation": {"locale": "de", "strength": 1}})),
        ("clustered", "collection", json!({"clusteredIndex": {"key": {"_id": 1}, "unique": true}})),
        ("imaged", "collection", json!({"changeStreamPreAndPostImages": {"enabled": true}})),
    ];
    for (name, kind, options) in &cases {
        let created = create(&world, json!({"name": name, "options": options})).await.expect(201).data();
        assert_eq!(created, json!({"name": name, "type": kind}));
        let taken = create(&world, json!({"name": name, "options": options})).await;
        assert_eq!(taken.refused(409, "CONFLICT")["code"], "NamespaceExists");
    }
    assert_eq!(create(&world, json!({"name": "plain"})).await.expect(201).data()["type"], "collection");

    let listed = collections(&world, "shop").await;
    let mut sorted = names(&listed);
    sorted.sort_unstable();
    assert_eq!(names(&listed), sorted);
    assert!(!sorted.iter().any(|name| name.starts_with("system.buckets.")), "{sorted:?}");
    for (name, kind, _) in &cases {
        assert_eq!(&named(&listed, name)["type"], kind);
    }
    let option = |name: &str, option: &str| named(&listed, name)["options"][option].clone();
    assert_eq!((option("capped", "capped"), option("capped", "max")), (json!(true), json!(2)));
    assert_eq!(option("series", "timeseries")["metaField"], "m");
    assert_eq!(option("seen", "pipeline"), json!([{"$match": {"kind": "a"}}]));
    assert_eq!(option("strict", "validator"), json!({"n": {"$gt": 5}}));
    assert_eq!(option("german", "collation")["locale"], "de");
    assert_eq!(option("imaged", "changeStreamPreAndPostImages")["enabled"], true);
    assert_eq!(named(&listed, "plain")["options"], json!({}));
    let info = &named(&listed, "things")["info"];
    assert_eq!((&info["count"], &info["indexes"]), (&json!(2), &json!(1)), "{info}");
    for size in ["size", "avg_obj_size", "storage_size"] {
        assert!(info[size].is_u64(), "{size}: {info}");
    }
    assert!(named(&listed, "seen")["info"].as_object().unwrap().values().all(Value::is_null));
    let canonical = below(&world, "shop", "/collections?ejson=canonical");
    let canonical = world.alpha.viewer.get(&canonical).await.expect(200).items();
    let number = &named(&canonical, "strict")["options"]["validator"]["n"]["$gt"];
    assert_eq!(number, &json!({"$numberInt": "5"}));

    // They are what they are called.
    for n in 0..5 {
        world.collection("capped").insert_one(raw(doc! {"_id": n})).await.unwrap();
    }
    assert_eq!(world.stored("capped").await.len(), 2);
    assert_eq!(world.stored("seen").await.len(), 1);
    world.collection("strict").insert_one(raw(doc! {"n": 1})).await.unwrap_err();
    world.collection("strict").insert_one(raw(doc! {"n": 6})).await.unwrap();

    for name in ["seen", "series", "capped"] {
        let path = world.path(name, "");
        world.alpha.admin.delete(&path).await.expect(204);
        assert_eq!(world.alpha.admin.delete(&path).await.refused(404, "NOT_FOUND")["collection"], name);
        assert!(!names(&collections(&world, "shop").await).contains(&name));
    }
    assert_eq!(world.stored("things").await.len(), 2);
}

fn raw(document: Document) -> mongodb::bson::RawDocumentBuf {
    (&document).try_into().unwrap()
}

#[tokio::test]
async fn collections_are_not_made_of_what_nobody_may_ask() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1}]).await;
    for (options, operator, field) in [
        (json!({"validator": {"$where": "true"}}), "$where", "options.validator.$where"),
        (
            json!({"validator": {"$expr": {"$function": {"body": "f", "args": [], "lang": "js"}}}}),
            "$function",
            "options.validator.$expr.$function",
        ),
        (json!({"viewOn": "things", "pipeline": [{"$out": "stolen"}]}), "$out", "options.pipeline[0].$out"),
        (
            json!({"viewOn": "things", "pipeline": [{"$facet": {"a": [{"$match": {"$where": "1"}}]}}]}),
            "$where",
            "options.pipeline[0].$facet.a[0].$match.$where",
        ),
    ] {
        let details =
            create(&world, json!({"name": "c", "options": options})).await.refused(403, "FORBIDDEN");
        assert_eq!((&details["operator"], &details["field"]), (&json!(operator), &json!(field)));
    }
    let users =
        json!([{"$lookup": {"from": {"db": "admin", "coll": "system.users"}, "pipeline": [], "as": "u"}}]);
    let body = json!({"name": "c", "options": {"viewOn": "things", "pipeline": users}});
    create(&world, body).await.refused(403, "FORBIDDEN");
    for (options, field) in [
        (json!({"writeConcern": {"w": 0}}), "options.writeConcern"),
        (json!({"Capped": true}), "options.Capped"),
        (json!({"viewOn": 1}), "options.viewOn"),
        (json!({"viewOn": "a$b"}), "options.viewOn"),
        (json!({"viewOn": "things", "pipeline": {"0": {"$match": {}}}}), "options.pipeline"),
        (json!({"max": {"$numberInt": 1}}), "options.max"),
    ] {
        create(&world, json!({"name": "c", "options": options})).await.refused_field(field);
    }
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "a$b"}), "name"),
        (json!({"name": ".a"}), "name"),
        (json!({"name": "c", "capped": true}), "capped"),
    ] {
        create(&world, body).await.refused_field(field);
    }
    for name in ["system.views", "system.js", "system.buckets.x"] {
        create(&world, json!({"name": name})).await.refused(403, "FORBIDDEN");
        world
            .alpha
            .developer
            .post(&world.path(name, "/indexes"), json!({"key": {"a": 1}}))
            .await
            .refused(403, "FORBIDDEN");
    }
    world.alpha.admin.delete(&world.path("system.views", "")).await.refused(403, "FORBIDDEN");
    // The server's own refusals come with its code.
    let capped = create(&world, json!({"name": "c", "options": {"capped": true}})).await;
    assert_eq!(capped.refused(400, "QUERY_ERROR")["code"], "InvalidOptions");
    assert_eq!(names(&collections(&world, "shop").await), ["things"]);
}

#[tokio::test]
async fn names_of_every_kind_lead_to_their_collection() {
    let world = MongoWorld::start().await;
    let odd =
        ["a.b", "a b", "a/b", "größe", "🐘 & co", "%2F", "a?b=c#d", "*", "a\"b\\c", "x".repeat(250).as_str()]
            .map(str::to_owned);
    for name in &odd {
        create(&world, json!({"name": name})).await.expect(201);
        let path = world.path(name, "/indexes");
        world
            .alpha
            .developer
            .post(&path, json!({"key": {"a": 1}, "options": {"name": name}}))
            .await
            .expect(201);
        assert_eq!(names(&indexes(&world, name).await).len(), 2, "{name}");
    }
    assert_eq!(collections(&world, "shop").await.len(), odd.len());
    for name in &odd {
        let index = world.path(name, &format!("/indexes/{}", escape(name)));
        if name == "*" {
            world.alpha.developer.delete(&index).await.refused_field("name");
        } else {
            world.alpha.developer.delete(&index).await.expect(204);
        }
        world.alpha.admin.delete(&world.path(name, "")).await.expect(204);
    }
    assert!(collections(&world, "shop").await.is_empty());
    let path = world.path(&"x".repeat(251), "/indexes");
    world.alpha.viewer.get(&path).await.refused_field("coll");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_collections_fill_one_page_and_more_take_several() {
    let world = MongoWorld::start().await;
    let mut made = JoinSet::new();
    for first in 0..4 {
        let database = world.truth.database("shop");
        made.spawn(async move {
            for n in (first..1001).step_by(4) {
                database.create_collection(format!("c{n:04}")).await.unwrap();
            }
        });
    }
    made.join_all().await;
    let path = below(&world, "shop", "/collections");
    let viewer = &world.alpha.viewer;
    let refused = viewer.get(&path).await.refused(400, "VALIDATION_ERROR");
    assert_eq!((&refused["field"], &refused["total"]), (&json!("limit"), &json!(1001)));
    let start = Instant::now();
    let first = viewer.get(&format!("{path}?limit=1000")).await.expect(200).items();
    let took = start.elapsed();
    assert_eq!((first.len(), &first[999]["name"]), (1000, &json!("c0999")));
    assert!(first.iter().all(|collection| collection["info"]["count"] == 0));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let rest = viewer.get(&format!("{path}?limit=1000&skip=1000")).await.expect(200).items();
    assert_eq!(names(&rest), ["c1000"]);
    viewer.get(&format!("{path}?limit=1001")).await.refused_field("limit");
}

#[tokio::test]
async fn collections_of_who_may_not_list_them_are_listed_by_name() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1}]).await;
    world.server.run("shop", doc! {"create": "seen", "viewOn": "things", "pipeline": []}).await;
    let unauthorized = doc! {"failCommands": ["listCollections"], "errorCode": 13};
    world.server.fail(doc! {"times": 1}, unauthorized).await;
    let listed = collections(&world, "shop").await;
    let (things, seen) = (named(&listed, "things"), named(&listed, "seen"));
    assert_eq!((&things["options"], &seen["type"]), (&Value::Null, &json!("view")));
    assert_eq!(things["info"]["count"], 1);

    // What else the server refuses is null, and what breaks the connection is no answer.
    let refused = doc! {"failCommands": ["aggregate"], "errorCode": 13};
    world.server.fail("alwaysOn", refused).await;
    assert!(named(&collections(&world, "shop").await, "things")["info"]["count"].is_null());
    assert!(indexes(&world, "things").await[0]["size"].is_null());
    world.server.fail("alwaysOn", doc! {"failCommands": ["aggregate"], "closeConnection": true}).await;
    let cut = world.alpha.viewer.get(&below(&world, "shop", "/collections")).await;
    cut.refused(503, "CONNECTION_ERROR");
    world.server.fail_no_more().await;
}
