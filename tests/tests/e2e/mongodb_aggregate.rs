//! MongoDB's aggregation pipelines through the gateway, and its plans.

use bson::{Document, doc};
use serde_json::{Value, json};
use studio_gateway_tests::{Client, MongoWorld};

fn orders() -> impl Iterator<Item = Document> {
    (0..30).map(|n| doc! {"_id": n, "customer": format!("c{}", n % 3), "total": f64::from(n), "name": if n % 2 == 0 { "a" } else { "B" }})
}

async fn run(world: &MongoWorld, client: &Client, pipeline: Value, options: Value) -> Value {
    let body = json!({"pipeline": pipeline, "options": options});
    client.post(&world.path("c", "/aggregate"), body).await.expect(200).data()
}

#[tokio::test]
async fn pipelines_answer_is_a_list_whatever_its_length() {
    let world = MongoWorld::start().await;
    world.fill("c", orders()).await;
    world.fill("people", [doc! {"_id": "c1", "name": "Ann"}]).await;
    let viewer = &world.alpha.viewer;
    let path = world.path("c", "/aggregate");
    let all = viewer.post(&path, json!({"pipeline": []})).await.expect(200).data();
    assert_eq!(all.as_array().unwrap().len(), 30);
    for (pipeline, expected) in [
        (json!([{"$match": {"_id": 99}}]), json!([])),
        (json!([{"$count": "n"}]), json!([{"n": 30}])),
        (
            json!([{"$group": {"_id": "$customer", "sum": {"$sum": "$total"}}}, {"$sort": {"_id": 1}}]),
            json!([{"_id": "c0", "sum": 135.0}, {"_id": "c1", "sum": 145.0}, {"_id": "c2", "sum": 155.0}]),
        ),
        (
            json!([
                {"$match": {"_id": {"$in": [1, 2]}}},
                {"$lookup": {"from": "people", "localField": "customer", "foreignField": "_id", "as": "who"}},
                {"$sort": {"_id": 1}},
                {"$project": {"who.name": 1}},
            ]),
            json!([{"_id": 1, "who": [{"name": "Ann"}]}, {"_id": 2, "who": []}]),
        ),
        (
            json!([{"$facet": {"n": [{"$count": "n"}], "top": [{"$sort": {"_id": -1}}, {"$limit": 1}, {"$project": {"total": 1}}]}}]),
            json!([{"n": [{"n": 30}], "top": [{"_id": 29, "total": 29.0}]}]),
        ),
        (
            json!([{"$limit": 1}, {"$project": {"_id": 0, "v": {"$literal": {"$where": "$x", "$function": {}}}}}]),
            json!([{"v": {"$where": "$x", "$function": {}}}]),
        ),
        (
            json!([{"$match": {"_id": 1}}, {"$unionWith": "people"}, {"$project": {"_id": 1}}]),
            json!([{"_id": 1}, {"_id": "c1"}]),
        ),
    ] {
        assert_eq!(run(&world, viewer, pipeline.clone(), json!({})).await, expected, "{pipeline}");
    }
    let body = json!({"pipeline": [{"$match": {"_id": 1}}, {"$project": {"total": 1}}]});
    let canonical = viewer.post(&format!("{path}?ejson=canonical"), body).await.expect(200);
    assert_eq!(canonical.payload(), r#"[{"_id":{"$numberInt":"1"},"total":{"$numberDouble":"1.0"}}]"#);
    // More than one batch of a cursor.
    world.fill("many", (0..2_500).map(|n| doc! {"_id": n})).await;
    let body = json!({"pipeline": [{"$sort": {"_id": 1}}]});
    let many = viewer.post(&world.path("many", "/aggregate"), body).await.expect(200).items();
    assert_eq!(
        many.iter().map(|found| found["_id"].as_i64().unwrap()).collect::<Vec<_>>(),
        (0..2_500).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn options_are_mongodbs_own() {
    let world = MongoWorld::start().await;
    world.fill("c", orders()).await;
    let index = mongodb::IndexModel::builder().keys(doc! {"customer": 1}).build();
    world.collection("c").create_index(index).await.unwrap();
    let viewer = &world.alpha.viewer;
    let names = json!([{"$group": {"_id": "$name"}}, {"$sort": {"_id": 1}}]);
    for (pipeline, options, expected) in [
        (
            json!([{"$sort": {"_id": 1}}, {"$project": {"_id": 1}}]),
            json!({"limit": 2}),
            json!([{"_id": 0}, {"_id": 1}]),
        ),
        (json!([{"$limit": 1}, {"$project": {"_id": 1}}]), json!({"limit": 9}), json!([{"_id": 0}])),
        (json!([{"$count": "n"}]), json!({"allowDiskUse": true, "maxTimeMS": 5000}), json!([{"n": 30}])),
        (
            json!([{"$match": {"customer": "c1"}}, {"$count": "n"}]),
            json!({"hint": "customer_1"}),
            json!([{"n": 10}]),
        ),
        (
            json!([{"$match": {"customer": "c1"}}, {"$count": "n"}]),
            json!({"hint": {"customer": 1}}),
            json!([{"n": 10}]),
        ),
        (names.clone(), json!({}), json!([{"_id": "B"}, {"_id": "a"}])),
        (names, json!({"collation": {"locale": "en", "strength": 2}}), json!([{"_id": "a"}, {"_id": "B"}])),
        (
            json!([{"$match": {"$expr": {"$gt": ["$total", "$$least"]}}}, {"$count": "n"}]),
            json!({"let": {"least": 26}}),
            json!([{"n": 3}]),
        ),
    ] {
        assert_eq!(
            run(&world, viewer, pipeline.clone(), options.clone()).await,
            expected,
            "{pipeline} {options}"
        );
    }
}

#[tokio::test]
async fn pipeline_that_writes_is_for_those_who_may() {
    let world = MongoWorld::start().await;
    world.fill("c", orders()).await;
    let path = world.path("c", "/aggregate");
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    for (stage, operator) in [
        (json!({"$out": "copy"}), "$out"),
        (json!({"$out": {"db": "other", "coll": "copy"}}), "$out"),
        (json!({"$merge": "copy"}), "$merge"),
        (
            json!({"$merge": {"into": {"db": "other", "coll": "copy"}, "whenMatched": [{"$set": {"twice": true}}]}}),
            "$merge",
        ),
    ] {
        let pipeline = json!([{"$match": {"_id": {"$lt": 3}}}, {"$project": {"total": 1}}, stage]);
        let refused = viewer.post(&path, json!({"pipeline": pipeline})).await;
        let details = refused.refused(403, "FORBIDDEN");
        assert_eq!(details["operator"], operator);
        assert_eq!(details["field"], format!("pipeline[2].{operator}"));
        assert!(!world.truth.list_database_names().await.unwrap().contains(&"other".to_owned()));
        assert_eq!(run(&world, developer, pipeline.clone(), json!({})).await, json!([]), "{stage}");
        let there = if stage.to_string().contains("other") { "other" } else { "shop" };
        let copy = world.truth.database(there).collection::<Document>("copy");
        assert_eq!(copy.count_documents(doc! {}).await.unwrap(), 3, "{stage}");
        if stage.to_string().contains("whenMatched") {
            run(&world, developer, pipeline, json!({})).await;
            assert_eq!(copy.count_documents(doc! {"twice": true}).await.unwrap(), 3);
        }
        world.truth.database("other").drop().await.unwrap();
        world.collection("copy").drop().await.unwrap();
    }
    let body = json!({"pipeline": [{"$out": "copy"}], "options": {"limit": 1}});
    developer.post(&path, body).await.refused_field("options.limit");
    assert_eq!(world.collection("copy").count_documents(doc! {}).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_aggregation_is_refused_by_the_field_that_is_wrong() {
    let world = MongoWorld::start().await;
    world.fill("c", orders()).await;
    let path = world.path("c", "/aggregate");
    for (body, field) in [
        (json!({}), "pipeline"),
        (json!({"pipeline": {}}), "pipeline"),
        (json!({"pipeline": [1]}), "pipeline[0]"),
        (json!({"pipeline": [{"$limit": 1}, {}]}), "pipeline[1]"),
        (json!({"pipeline": [{"$limit": 1, "$skip": 1}]}), "pipeline[0]"),
        (json!({"pipeline": [{"limit": 1}]}), "pipeline[0]"),
        (json!({"pipeline": [{"$match": {"a": {"$oid": 1}}}]}), "pipeline[0].$match.a"),
        (json!({"pipeline": [{"$changeStream": {}}]}), "pipeline[0].$changeStream"),
        (json!({"pipeline": [], "options": {"limit": 0}}), "options.limit"),
        (json!({"pipeline": [], "options": {"maxTimeMS": 0}}), "options.maxTimeMS"),
        (json!({"pipeline": [], "options": {"maxTimeMS": -1}}), "options.maxTimeMS"),
        (json!({"pipeline": [], "options": {"allowDiskUse": 1}}), "options.allowDiskUse"),
        (json!({"pipeline": [], "options": {"hint": 1}}), "options.hint"),
        (json!({"pipeline": [], "options": {"collation": {"strength": 2}}}), "options.collation"),
        (json!({"pipeline": [], "options": {"batchSize": 2}}), "options.batchSize"),
        (json!({"pipeline": [], "limit": 2}), "limit"),
    ] {
        world.alpha.viewer.post(&path, body).await.refused_field(field);
    }
    for pipeline in [
        json!([{"$match": {"a": {"$bad": 1}}}]),
        json!([{"$project": {}}]),
        json!([{"$group": {"total": {"$sum": 1}}}]),
        json!([{"$limit": 0}]),
    ] {
        let refused = world.alpha.viewer.post(&path, json!({"pipeline": pipeline})).await;
        let details = refused.refused(400, "QUERY_ERROR");
        assert!(details["code"].is_string() && details["code_number"].as_i64() > Some(0), "{refused}");
    }
    // A stage that nobody knows may do anything, so that only admins get to hear what the server thinks of it.
    let body = json!({"pipeline": [{"$noSuchStage": {}}]});
    for client in [&world.alpha.viewer, &world.alpha.developer] {
        assert_eq!(
            client.post(&path, body.clone()).await.refused(403, "FORBIDDEN")["operator"],
            "$noSuchStage"
        );
    }
    world.alpha.admin.post(&path, body).await.refused(400, "QUERY_ERROR");
}

#[tokio::test]
async fn plan_is_explained_as_far_as_asked() {
    let world = MongoWorld::start().await;
    world.fill("c", orders()).await;
    let index = mongodb::IndexModel::builder().keys(doc! {"customer": 1}).build();
    world.collection("c").create_index(index).await.unwrap();
    let (viewer, path) = (&world.alpha.viewer, world.path("c", "/explain"));
    for question in [
        json!({"filter": {"customer": "c1"}}),
        json!({"filter": {"customer": "c1"}, "sort": {"_id": -1}, "projection": {"_id": 1}, "limit": 3, "skip": 1}),
        json!({}),
    ] {
        for (verbosity, tells_more) in [
            (None, false),
            (Some("queryPlanner"), false),
            (Some("executionStats"), true),
            (Some("allPlansExecution"), true),
        ] {
            let mut body = question.clone();
            if let Some(verbosity) = verbosity {
                body["verbosity"] = verbosity.into();
            }
            let plan = viewer.post(&path, body.clone()).await.expect(200).data();
            assert_eq!(plan["queryPlanner"]["namespace"], "shop.c", "{body}");
            assert!(plan["queryPlanner"]["winningPlan"].is_object(), "{plan}");
            assert_eq!(plan.get("executionStats").is_some(), tells_more, "{body}: {plan}");
            for protocol in ["ok", "$clusterTime", "operationTime"] {
                assert!(plan.get(protocol).is_none(), "{plan}");
            }
        }
    }
    let plan = viewer.post(&path, json!({"filter": {"customer": "c1"}})).await.expect(200).data();
    assert!(plan.to_string().contains("IXSCAN") && plan.to_string().contains("customer_1"), "{plan}");
    let body = json!({"pipeline": [{"$match": {"customer": "c1"}}, {"$count": "n"}]});
    let plan = viewer.post(&path, body.clone()).await.expect(200).data();
    assert!(plan.get("stages").is_some() || plan.get("queryPlanner").is_some(), "{plan}");
    viewer.post(&format!("{path}?ejson=canonical"), body).await.expect(200);
    for (body, field) in [
        (json!({"filter": {}, "pipeline": []}), "pipeline"),
        (json!({"pipeline": [], "limit": 1}), "pipeline"),
        (json!({"filter": [1]}), "filter"),
        (json!({"verbosity": "all"}), "verbosity"),
        (json!({"query": {}}), "query"),
    ] {
        viewer.post(&path, body).await.refused_field(field);
    }
    let writes = json!({"pipeline": [{"$out": "copy"}]});
    viewer.post(&path, writes.clone()).await.refused(403, "FORBIDDEN");
    world.alpha.developer.post(&path, writes).await.refused_field("pipeline");
    assert!(!world.server.run("shop", doc! {"listCollections": 1}).await.to_string().contains("copy"));
}
