//! Documents of MongoDB as a client finds and reads them through the gateway.

use bson::{Bson, DateTime, Document, doc};
use serde_json::{Value, json};
use studio_gateway_tests::{Answer, MongoWorld, mongo_world::escape};

/// `{_id: 0, n: 0}` and so on.
fn numbered(count: i32) -> impl Iterator<Item = Document> {
    (0..count).map(|n| doc! {"_id": n, "n": n, "parity": if n % 2 == 0 { "even" } else { "odd" }})
}

/// The `_id`s of a page.
fn ids(page: &Value) -> Vec<i64> {
    page["documents"].as_array().unwrap().iter().map(|found| found["_id"].as_i64().unwrap()).collect()
}

/// Asks the same in the URL and in a body, and gives back the one answer.
async fn find(world: &MongoWorld, query: Value) -> Answer {
    let viewer = &world.alpha.viewer;
    let parameters: Vec<String> = query
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={}", escape(&text))
        })
        .collect();
    let by_url = viewer.get(&world.path("c", &format!("/documents?{}", parameters.join("&")))).await;
    let by_body = viewer.post(&world.path("c", "/documents/query"), query).await;
    assert_eq!(by_url.status, by_body.status, "{by_url}, but {by_body}");
    if by_url.status == 200 {
        assert_eq!(by_url.payload(), by_body.payload());
    } else {
        let told = |answer: &Answer| (answer.error_code(), answer.message());
        assert_eq!(told(&by_url), told(&by_body));
    }
    by_url
}

#[tokio::test]
async fn page_tells_its_number_the_total_and_whether_more_follow() {
    let world = MongoWorld::start().await;
    world.fill("c", numbered(45)).await;
    for (limit, skip, first, size, page, has_more) in [
        (None, None, 0, 20, 1, true),
        (None, Some(20), 20, 20, 2, true),
        (None, Some(40), 40, 5, 3, false),
        (Some(45), None, 0, 45, 1, false),
        (Some(44), None, 0, 44, 1, true),
        (Some(44), Some(1), 1, 44, 1, false),
        (Some(10), Some(35), 35, 10, 4, false),
        (Some(10), Some(34), 34, 10, 4, true),
        (Some(1000), None, 0, 45, 1, false),
        (Some(1), Some(44), 44, 1, 45, false),
        (Some(10), Some(45), 0, 0, 5, false),
        (Some(10), Some(1_000_000), 0, 0, 100_001, false),
    ] {
        let mut query = json!({"sort": {"n": 1}});
        for (name, value) in [("limit", limit), ("skip", skip)] {
            if let Some(value) = value {
                query[name] = value.into();
            }
        }
        let found = find(&world, query.clone()).await.expect(200).data();
        assert_eq!(ids(&found), (first..first + size).collect::<Vec<i64>>(), "{query}");
        let mut rest = found.clone();
        rest.as_object_mut().unwrap().remove("documents");
        let limit = limit.unwrap_or(20);
        let expected = json!({"total": 45, "page": page, "page_size": limit, "has_more": has_more});
        assert_eq!(rest, expected, "{query}");
    }
}

#[tokio::test]
async fn total_is_exact_estimated_or_none_as_asked() {
    let world = MongoWorld::start().await;
    world.fill("c", numbered(45)).await;
    for (query, total, has_more) in [
        (json!({}), json!(45), true),
        (json!({"count": "exact"}), json!(45), true),
        (json!({"count": "estimated"}), json!(45), true),
        (json!({"count": "none"}), Value::Null, true),
        (json!({"count": "none", "skip": 25}), Value::Null, false),
        (json!({"count": "none", "skip": 24}), Value::Null, true),
        // The total is that of the filter, whatever the page.
        (json!({"filter": {"parity": "odd"}}), json!(22), true),
        (json!({"filter": {"parity": "odd"}, "count": "estimated", "skip": 20}), json!(22), false),
        (json!({"filter": {"parity": "odd"}, "count": "exact", "limit": 5}), json!(22), true),
        (json!({"filter": {"parity": "odd"}, "count": "none"}), Value::Null, true),
        (json!({"filter": {"parity": "neither"}}), json!(0), false),
        (json!({"filter": {"parity": "neither"}, "count": "none"}), Value::Null, false),
    ] {
        let found = find(&world, query.clone()).await.expect(200).data();
        assert_eq!((&found["total"], &found["has_more"]), (&total, &json!(has_more)), "{query}");
    }
    // The aggregation that counts exactly has no `$near`; there is another way.
    let places = world.truth.database("shop").collection::<Document>("places");
    let index = mongodb::IndexModel::builder().keys(doc! {"at": "2dsphere"}).build();
    places.create_index(index).await.unwrap();
    let at = |x: f64| doc! {"type": "Point", "coordinates": [x, 0.0]};
    places.insert_many((0..30).map(|n| doc! {"_id": n, "at": at(f64::from(n))})).await.unwrap();
    let near = json!({"$geometry": {"type": "Point", "coordinates": [0, 0]}, "$maxDistance": 2_750_000});
    let body = json!({"filter": {"at": {"$near": near}}, "limit": 3});
    let path = world.path("places", "/documents/query");
    let found = world.alpha.viewer.post(&path, body).await.expect(200).data();
    assert_eq!((ids(&found), &found["total"]), (vec![0, 1, 2], &json!(25)), "within 24.7 degrees");
}

#[tokio::test]
async fn filter_projection_and_sort_are_mongodbs_in_url_and_body() {
    let world = MongoWorld::start().await;
    let at = |day: i64| DateTime::from_millis(1_700_000_000_000 + day * 86_400_000);
    world.fill("c", [
        doc! {"_id": 1, "name": "Ann", "age": 30_i64, "tags": ["a", "b"], "address": {"city": "Oslo"}, "at": at(0)},
        doc! {"_id": 2, "name": "bob", "age": 20.5, "tags": [], "address": {"city": "Köln"}, "at": at(1)},
        doc! {"_id": 3, "name": "Cleo", "age": Bson::Null, "tags": ["b", "c"], "a b": "1 + 1 & more", "at": at(2)},
        doc! {"_id": 4, "name": "ann", "big": 9_007_199_254_740_993_i64, "at": at(3)},
    ]).await;
    for (filter, expected) in [
        (json!({}), vec![1, 2, 3, 4]),
        (json!({"name": "Ann"}), vec![1]),
        (json!({"age": {"$gte": 20, "$lt": 30}}), vec![2]),
        (json!({"age": null}), vec![3, 4]),
        (json!({"age": {"$exists": false}}), vec![4]),
        (json!({"age": {"$type": "long"}}), vec![1]),
        (json!({"big": {"$numberLong": "9007199254740993"}}), vec![4]),
        (json!({"tags": {"$in": ["c", "a"]}}), vec![1, 3]),
        (json!({"tags": {"$size": 0}}), vec![2]),
        (json!({"tags": {"$elemMatch": {"$eq": "b"}}}), vec![1, 3]),
        (json!({"address.city": "Köln"}), vec![2]),
        (json!({"a b": "1 + 1 & more"}), vec![3]),
        (json!({"name": {"$regex": "^a", "$options": "i"}}), vec![1, 4]),
        (json!({"name": {"$regularExpression": {"pattern": "^a", "options": ""}}}), vec![4]),
        (json!({"at": {"$gte": {"$date": "2023-11-16T00:00:00Z"}}}), vec![3, 4]),
        (json!({"at": {"$date": 1_700_000_000_000_i64}}), vec![1]),
        (json!({"at": {"$date": {"$numberLong": "1700000000000"}}}), vec![1]),
        (json!({"$or": [{"_id": 1}, {"$and": [{"_id": {"$gt": 1}}, {"_id": {"$lt": 3}}]}]}), vec![1, 2]),
        (json!({"$expr": {"$eq": [{"$toLower": "$name"}, "ann"]}}), vec![1, 4]),
        (json!({"$nor": [{"tags": "b"}]}), vec![2, 4]),
    ] {
        let query = json!({"filter": filter, "sort": {"_id": 1}});
        let found = find(&world, query).await.expect(200).data();
        assert_eq!(ids(&found), expected, "{filter}");
        assert_eq!(found["total"], expected.len(), "{filter}");
    }
    for (sort, expected) in [
        (json!({"_id": -1}), vec![4, 3, 2, 1]),
        (json!({"name": 1}), vec![1, 3, 4, 2]),
        (json!({"age": -1, "_id": -1}), vec![1, 2, 4, 3]),
        (json!({"address.city": 1, "_id": 1}), vec![3, 4, 2, 1]),
    ] {
        assert_eq!(ids(&find(&world, json!({"sort": sort})).await.expect(200).data()), expected, "{sort}");
    }
    for (projection, expected) in [
        (json!({"name": 1}), json!({"_id": 1, "name": "Ann"})),
        (json!({"name": true, "_id": false}), json!({"name": "Ann"})),
        (json!({"tags": {"$slice": 1}, "name": 1}), json!({"_id": 1, "name": "Ann", "tags": ["a"]})),
        (json!({"address.city": 1}), json!({"_id": 1, "address": {"city": "Oslo"}})),
        (
            json!({"tags": 0, "address": 0, "at": 0}),
            json!({"_id": 1, "name": "Ann", "age": {"$numberLong": "30"}}),
        ),
        (json!({"up": {"$toUpper": "$name"}}), json!({"_id": 1, "up": "ANN"})),
    ] {
        let query = json!({"filter": {"_id": 1}, "projection": projection});
        assert_eq!(
            find(&world, query).await.expect(200).data()["documents"],
            json!([expected]),
            "{projection}"
        );
    }
    let query =
        json!({"filter": {"_id": 1}, "projection": {"_id": 1, "age": 1, "at": 1}, "ejson": "canonical"});
    let expected = r#"{"documents":[{"_id":{"$numberInt":"1"},"age":{"$numberLong":"30"},"at":{"$date":{"$numberLong":"1700000000000"}}}],"total":1,"page":1,"page_size":20,"has_more":false}"#;
    assert_eq!(find(&world, query).await.expect(200).payload(), expected);
}

#[tokio::test]
async fn empty_or_absent_collections_and_databases_have_no_documents() {
    let world = MongoWorld::start().await;
    world.truth.database("shop").create_collection("empty").await.unwrap();
    let nothing = json!({"documents": [], "total": 0, "page": 1, "page_size": 20, "has_more": false});
    for (database, collection) in [("shop", "empty"), ("shop", "absent"), ("absent", "absent")] {
        for count in ["exact", "estimated"] {
            let path = world.path_in(database, collection, &format!("/documents?count={count}"));
            assert_eq!(world.alpha.viewer.get(&path).await.expect(200).data(), nothing, "{path}");
        }
        let path = world.path_in(database, collection, "/documents/1");
        world.alpha.viewer.get(&path).await.refused(404, "NOT_FOUND");
        let path = world.path_in(database, collection, "/aggregate");
        let body = json!({"pipeline": [{"$match": {}}]});
        assert_eq!(world.alpha.viewer.post(&path, body).await.expect(200).data(), json!([]));
        let path = world.path_in(database, collection, "/documents/delete-many");
        let body = json!({"filter": {}, "all": true});
        let deleted = world.alpha.developer.post(&path, body).await.expect(200).data();
        assert_eq!(deleted, json!({"deleted_count": 0}));
    }
    let names = world.truth.list_database_names().await.unwrap();
    assert!(!names.contains(&"absent".to_owned()), "to read is not to create: {names:?}");
}

#[tokio::test]
async fn view_is_read_like_a_collection() {
    let world = MongoWorld::start().await;
    world.fill("c", numbered(10)).await;
    let view = doc! {"create": "odd", "viewOn": "c", "pipeline": [{"$match": {"parity": "odd"}}]};
    world.server.run("shop", view).await;
    let viewer = &world.alpha.viewer;
    let found =
        viewer.get(&world.path("odd", "/documents?limit=2&sort=%7B%22n%22:1%7D")).await.expect(200).data();
    assert_eq!((ids(&found), &found["total"], &found["has_more"]), (vec![1, 3], &json!(5), &json!(true)));
    let one = viewer.get(&world.path("odd", "/documents/3?id_type=int")).await.expect(200).data();
    assert_eq!(one, json!({"_id": 3, "n": 3, "parity": "odd"}));
    viewer.get(&world.path("odd", "/documents/2?id_type=int")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn what_cannot_be_a_query_is_refused_by_the_field_that_is_wrong() {
    let world = MongoWorld::start().await;
    world.fill("c", numbered(3)).await;
    for (query, field) in [
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 1001}), "limit"),
        (json!({"limit": -1}), "limit"),
        (json!({"limit": 1.5}), "limit"),
        (json!({"skip": -1}), "skip"),
        (json!({"skip": 9_223_372_036_854_775_808_u64}), "skip"),
        (json!({"count": "all"}), "count"),
        (json!({"ejson": "shell"}), "ejson"),
        (json!({"filter": [1]}), "filter"),
        (json!({"filter": {"$oid": "0123456789abcdef01234567"}}), "filter"),
        (json!({"filter": {"a": [0, {"$oid": "short"}]}}), "filter.a[1]"),
        (json!({"projection": 1}), "projection"),
        (json!({"sort": "name"}), "sort"),
    ] {
        let path = world.path("c", "/documents/query");
        world.alpha.viewer.post(&path, query).await.refused_field(field);
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("skip=-1", "skip"),
        ("count=all", "count"),
        ("ejson=shell", "ejson"),
        ("filter=", "filter"),
        ("filter=%7B", "filter"),
        ("filter=%7B%22a%22:1%7D%7D", "filter"),
        ("filter=%7Ba:1%7D", "filter"),
        ("filter=%5B%5D", "filter"),
        ("filter=%7B%22a%22:1,%22a%22:2%7D", "filter"),
        ("filter=%7B%22a%22:%7B%22b%22:%5B1,%7B%22$oid%22:1%7D%5D%7D%7D", "filter.a.b[1]"),
        ("projection=1", "projection"),
        ("sort=name", "sort"),
        ("query=%7B%7D", "query"),
    ] {
        world.alpha.viewer.get(&world.path("c", &format!("/documents?{query}"))).await.refused_field(field);
    }
    // What only the server knows, in its own words.
    for (query, code, number) in [
        (json!({"filter": {"$near": 1}}), "BadValue", 2),
        (json!({"filter": {"a": {"$gtt": 1}}}), "BadValue", 2),
        (json!({"filter": {"$and": []}}), "BadValue", 2),
        (json!({"sort": {"a": 0}}), "Location15975", 15975),
    ] {
        let refused = find(&world, query.clone()).await;
        let details = refused.refused(400, "QUERY_ERROR");
        assert_eq!((&details["code"], &details["code_number"]), (&json!(code), &json!(number)), "{query}");
    }
}
