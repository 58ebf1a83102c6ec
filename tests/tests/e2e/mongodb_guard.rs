//! What nobody may ask of MongoDB through the gateway: its JavaScript, wherever it hides.

use bson::doc;
use serde_json::{Value, json};
use studio_gateway_tests::{MongoWorld, mongo_world::escape};

/// Where an operator may hide in a request: the route, the body with `"HERE"` in the operator's place, and the field
/// that must be named before `.` and the operator's own key.
fn places() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let (post, put) = ("POST", "PUT");
    let pipeline = |stages: Value| json!({"pipeline": stages});
    let (query, aggregate, one) = ("/documents/query", "/aggregate", "/documents/1?id_type=int");
    let (update_many, delete_many, explain) =
        ("/documents/update-many", "/documents/delete-many", "/explain");
    let set = json!({"$set": {"a": 1}});
    vec![
        (post, query, json!({"filter": "HERE"}), "filter"),
        (post, query, json!({"filter": {"a": {"$elemMatch": {"b": "HERE"}}}}), "filter.a.$elemMatch.b"),
        (post, query, json!({"filter": {"$or": [{"a": 1}, {"$and": ["HERE"]}]}}), "filter.$or[1].$and[0]"),
        (post, query, json!({"filter": {"a": {"$not": "HERE"}}}), "filter.a.$not"),
        (post, query, json!({"filter": {"$expr": {"$eq": [1, "HERE"]}}}), "filter.$expr.$eq[1]"),
        (post, query, json!({"filter": {"a": {"$code": "f()", "$scope": {"b": "HERE"}}}}), "filter.a.b"),
        (post, query, json!({"projection": {"v": "HERE"}}), "projection.v"),
        (post, query, json!({"projection": {"v": {"$cond": [true, "HERE", 0]}}}), "projection.v.$cond[1]"),
        (post, query, json!({"sort": {"v": "HERE"}}), "sort.v"),
        (post, aggregate, pipeline(json!([{"$match": "HERE"}])), "pipeline[0].$match"),
        (
            post,
            aggregate,
            pipeline(json!([{"$limit": 1}, {"$project": {"v": "HERE"}}])),
            "pipeline[1].$project.v",
        ),
        (post, aggregate, pipeline(json!([{"$group": {"_id": 1, "v": "HERE"}}])), "pipeline[0].$group.v"),
        (
            post,
            aggregate,
            pipeline(json!([{"$bucket": {"output": {"v": "HERE"}}}])),
            "pipeline[0].$bucket.output.v",
        ),
        (
            post,
            aggregate,
            pipeline(
                json!([{"$lookup": {"from": "c", "as": "v", "pipeline": [{"$match": {"$expr": "HERE"}}]}}]),
            ),
            "pipeline[0].$lookup.pipeline[0].$match.$expr",
        ),
        (
            post,
            aggregate,
            pipeline(json!([{"$facet": {"x": [{"$set": {"v": "HERE"}}]}}])),
            "pipeline[0].$facet.x[0].$set.v",
        ),
        (
            post,
            aggregate,
            pipeline(json!([{"$unionWith": {"coll": "c", "pipeline": [{"$match": "HERE"}]}}])),
            "pipeline[0].$unionWith.pipeline[0].$match",
        ),
        (
            post,
            aggregate,
            pipeline(json!([{"$setWindowFields": {"sortBy": {"a": 1}, "output": {"v": "HERE"}}}])),
            "pipeline[0].$setWindowFields.output.v",
        ),
        (
            post,
            aggregate,
            pipeline(json!([{"$graphLookup": {"from": "c", "restrictSearchWithMatch": "HERE"}}])),
            "pipeline[0].$graphLookup.restrictSearchWithMatch",
        ),
        (post, aggregate, json!({"pipeline": [], "options": {"let": {"v": "HERE"}}}), "options.let.v"),
        (post, explain, json!({"filter": "HERE"}), "filter"),
        (post, explain, json!({"projection": {"v": "HERE"}}), "projection.v"),
        (post, explain, json!({"sort": {"v": "HERE"}}), "sort.v"),
        (post, explain, pipeline(json!([{"$match": "HERE"}])), "pipeline[0].$match"),
        (put, one, json!({"update": {"$set": {"v": "HERE"}}}), "update.$set.v"),
        (put, one, json!({"update": {"$pull": {"list": "HERE"}}}), "update.$pull.list"),
        (put, one, json!({"update": [{"$set": {"v": "HERE"}}]}), "update[0].$set.v"),
        (
            put,
            one,
            json!({"update": [{"$replaceWith": {"v": {"$map": {"in": "HERE"}}}}]}),
            "update[0].$replaceWith.v.$map.in",
        ),
        (put, one, json!({"update": set, "array_filters": [{"x": 1}, "HERE"]}), "array_filters[1]"),
        (post, update_many, json!({"filter": "HERE", "update": set}), "filter"),
        (
            post,
            update_many,
            json!({"filter": {"a": 1}, "update": {"$push": {"v": "HERE"}}}),
            "update.$push.v",
        ),
        (
            post,
            update_many,
            json!({"filter": {"a": 1}, "update": [{"$set": {"v": "HERE"}}]}),
            "update[0].$set.v",
        ),
        (
            post,
            update_many,
            json!({"filter": {"a": 1}, "update": set, "array_filters": ["HERE"]}),
            "array_filters[0]",
        ),
        (post, delete_many, json!({"filter": "HERE"}), "filter"),
        (post, delete_many, json!({"filter": {"$nor": ["HERE"]}}), "filter.$nor[0]"),
    ]
}

/// The same with the operator in its place.
fn with(place: &Value, operator: &Value) -> Value {
    match place {
        Value::String(text) if text == "HERE" => operator.clone(),
        Value::Array(items) => items.iter().map(|item| with(item, operator)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, value)| (key.clone(), with(value, operator))).collect())
        }
        other => other.clone(),
    }
}

fn operators() -> Vec<(&'static str, Value)> {
    let function = json!({"body": "function() { return true }", "args": [], "lang": "js"});
    vec![
        ("$where", json!({"$where": "true"})),
        ("$function", json!({"$function": function})),
        (
            "$accumulator",
            json!({"$accumulator": {"init": "f", "accumulate": "f", "merge": "f", "lang": "js"}}),
        ),
        ("$where", json!({"$where": {"$code": "true"}})),
        ("$where", json!({"＄where": "true"})),
        ("$where", json!({"$wh\u{200b}ere": "true"})),
        ("$function", json!({"$FUNCTION": function})),
        ("$where", json!({"x.$where": "true"})),
        ("$_internalJsEmit", json!({"$_internalJsEmit": {}})),
    ]
}

#[tokio::test]
async fn javascript_is_refused_to_everyone_wherever_it_hides() {
    let world = MongoWorld::start().await;
    world.fill("c", [doc! {"_id": 1, "a": 1}]).await;
    let alpha = &world.alpha;
    for (method, route, place, field) in places() {
        for (operator, hidden) in operators() {
            let key = hidden.as_object().unwrap().keys().next().unwrap();
            let body = with(&place, &hidden);
            let answer = alpha.admin.call(method, &world.path("c", route), Some(body.clone())).await;
            let details = answer.refused(403, "FORBIDDEN");
            assert_eq!(details["operator"], operator, "{body}");
            assert_eq!(details["field"], format!("{field}.{key}"), "{body}");
            assert!(answer.message().contains(operator), "{answer}");
        }
    }
    for (_, client) in alpha.members() {
        for (operator, hidden) in operators() {
            for (parameter, value) in [
                ("filter", hidden.clone()),
                ("filter", json!({"$and": [{"a": hidden.clone()}]})),
                ("projection", json!({"v": hidden.clone()})),
                ("sort", json!({"v": hidden})),
            ] {
                let query = format!("/documents?{parameter}={}", escape(&value.to_string()));
                let details = client.get(&world.path("c", &query)).await.refused(403, "FORBIDDEN");
                assert_eq!(details["operator"], operator, "{value}");
                assert!(details["field"].as_str().unwrap().starts_with(parameter), "{value}");
            }
        }
    }
    assert_eq!(world.stored_documents("c").await, [doc! {"_id": 1, "a": 1}], "nothing was done");
}

#[tokio::test]
async fn operators_names_are_harmless_as_values_and_as_literals() {
    let world = MongoWorld::start().await;
    let (viewer, developer) = (&world.alpha.viewer, &world.alpha.developer);
    let text = "$where: function() { return $function }";
    // Documents are data: what they hold is never evaluated, whatever its keys.
    let data = json!({"_id": 1, "v": text, "code": {"$code": "f()"}, "nested": {"$where": "x", "$function": [{"$accumulator": 1}]}});
    developer.post(&world.path("c", "/documents"), json!({"document": data})).await.expect(201);
    assert_eq!(viewer.get(&world.path("c", "/documents/1?id_type=int")).await.expect(200).data(), data);
    let one = world.path("c", "/documents/1?id_type=int");
    developer.put(&one, json!({"replacement": data})).await.expect(200);
    developer.put(&one, json!({"update": {"$set": {"w": "$where"}}})).await.expect(200);
    developer
        .put(&one, json!({"update": [{"$set": {"l": {"$literal": {"$where": "x"}}}}]}))
        .await
        .expect(200);
    for filter in [
        json!({"v": text}),
        json!({"v": {"$regex": "\\$where"}}),
        json!({"w": {"$in": ["$where", "$function"]}}),
        json!({"code": {"$code": "f()"}}),
        json!({"$expr": {"$eq": ["$w", {"$literal": "$where"}]}}),
        json!({"where": {"$exists": false}, "a$where": {"$exists": false}}),
    ] {
        let found = viewer.post(&world.path("c", "/documents/query"), json!({"filter": filter})).await;
        assert_eq!(found.expect(200).data()["total"], 1, "{filter}");
    }
    let pipeline = json!([{"$project": {"_id": 0, "l": {"$literal": {"$function": {"$out": 1}}}}}]);
    let computed =
        viewer.post(&world.path("c", "/aggregate"), json!({"pipeline": pipeline})).await.expect(200);
    assert_eq!(computed.data(), json!([{"l": {"$function": {"$out": 1}}}]));
}

#[tokio::test]
async fn literal_among_other_keys_hides_nothing() {
    let world = MongoWorld::start().await;
    let pipeline = json!([{"$project": {"v": {"$literal": {"$where": "x"}, "w": 1}}}]);
    let refused =
        world.alpha.viewer.post(&world.path("c", "/aggregate"), json!({"pipeline": pipeline})).await;
    assert_eq!(refused.refused(403, "FORBIDDEN")["operator"], "$where");
}
