//! Who may do what with MongoDB's documents, and the databases that are the server's own.

use bson::doc;
use serde_json::{Value, json};
use studio_gateway_tests::{MongoWorld, eventually};

/// Every documents route with a request that would work, the least role that may use it, and what it then answers.
fn routes() -> Vec<(&'static str, &'static str, Option<Value>, &'static str, u16)> {
    let set = json!({"$set": {"a": 1}});
    vec![
        ("GET", "/documents", None, "viewer", 200),
        ("POST", "/documents/query", Some(json!({})), "viewer", 200),
        ("GET", "/documents/one", None, "viewer", 200),
        ("POST", "/aggregate", Some(json!({"pipeline": []})), "viewer", 200),
        ("POST", "/explain", Some(json!({"filter": {}})), "viewer", 200),
        ("POST", "/documents", Some(json!({"document": {"a": 1}})), "developer", 201),
        ("PUT", "/documents/one", Some(json!({"update": set})), "developer", 200),
        (
            "POST",
            "/documents/update-many",
            Some(json!({"filter": {"a": 0}, "update": set})),
            "developer",
            200,
        ),
        ("POST", "/documents/delete-many", Some(json!({"filter": {"a": 0}})), "developer", 200),
        ("POST", "/aggregate", Some(json!({"pipeline": [{"$out": "copy"}]})), "developer", 200),
        ("POST", "/aggregate", Some(json!({"pipeline": [{"$merge": "copy"}]})), "developer", 200),
        ("DELETE", "/documents/doomed", None, "developer", 204),
    ]
}

#[tokio::test]
async fn each_role_may_use_its_routes_and_no_others() {
    let world = MongoWorld::start().await;
    let roles = ["viewer", "developer", "admin", "owner"];
    let rank = |role: &str| roles.iter().position(|known| *known == role);
    for (role, client) in world.alpha.members() {
        for (method, route, body, least, status) in routes() {
            let _ = world.collection("c").drop().await;
            world.fill("c", [doc! {"_id": "one"}, doc! {"_id": "doomed"}]).await;
            let before = world.stored("c").await;
            let answer = client.call(method, &world.path("c", route), body).await;
            if rank(role) >= rank(least) {
                assert_eq!(answer.status, status, "{role} {method} {route}: {answer}");
            } else {
                answer.refused(403, "FORBIDDEN");
                assert!(world.stored("c").await == before, "{role} {method} {route}");
                let copies = world.truth.database("shop").list_collection_names().await.unwrap();
                assert!(!copies.contains(&"copy".to_owned()), "{role} {method} {route}");
            }
        }
    }
}

#[tokio::test]
async fn servers_own_databases_are_closed_below_admin() {
    let world = MongoWorld::start().await;
    world.fill("c", [doc! {"_id": 1}]).await;
    let alpha = &world.alpha;
    for database in ["admin", "local", "config", "Admin", "LOCAL"] {
        for (method, route, body, _, _) in routes() {
            let path = world.path_in(database, "things", route);
            for client in [&alpha.viewer, &alpha.developer] {
                let answer = client.call(method, &path, body.clone()).await;
                answer.refused(403, "FORBIDDEN");
                assert!(!answer.message().contains("things"), "{answer}");
            }
        }
        for (stage, field) in [
            (
                json!({"$lookup": {"from": {"db": database, "coll": "things"}, "pipeline": [], "as": "v"}}),
                "$lookup.from.db",
            ),
            (json!({"$unionWith": {"db": database, "coll": "things"}}), "$unionWith.db"),
            (json!({"$out": {"db": database, "coll": "things"}}), "$out.db"),
            (json!({"$merge": {"into": {"db": database, "coll": "things"}}}), "$merge.into.db"),
            (
                json!({"$facet": {"x": [{"$lookup": {"from": {"db": database, "coll": "things"}, "as": "v"}}]}}),
                "$facet.x[0].$lookup.from.db",
            ),
        ] {
            let body = json!({"pipeline": [{"$match": {}}, stage]});
            for path in ["/aggregate", "/explain"] {
                let refused = alpha.developer.post(&world.path("c", path), body.clone()).await;
                let details = refused.refused(403, "FORBIDDEN");
                assert_eq!(
                    (&details["field"], &details["database"]),
                    (&json!(format!("pipeline[1].{field}")), &json!(database))
                );
            }
        }
    }
    // Admins may: such is a server's own configuration.
    alpha.admin.get(&world.path_in("config", "things", "/documents")).await.expect(200);
    let body = json!({"pipeline": [{"$unionWith": {"db": "config", "coll": "things"}}]});
    // Whether a `db` is possible here is for the server to say, by its version.
    let answer = alpha.admin.post(&world.path("c", "/aggregate"), body).await;
    assert!(answer.status == 200 || answer.error_code() == "QUERY_ERROR", "{answer}");
    // Collections of the server's own can be read, not written, in every database and by everyone.
    for collection in ["system.views", "system.profile", "system.js", "a.system.b"] {
        alpha.viewer.get(&world.path(collection, "/documents")).await.expect(200);
        for (method, route, body, least, _) in routes() {
            if least == "developer" && route != "/aggregate" {
                let answer = alpha.admin.call(method, &world.path(collection, route), body).await;
                assert_eq!(answer.refused(403, "FORBIDDEN")["collection"], collection);
            }
        }
        let body = json!({"pipeline": [{"$out": collection}]});
        alpha.admin.post(&world.path("c", "/aggregate"), body).await.refused(403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn stranger_and_anonymous_learn_nothing() {
    let world = MongoWorld::start().await;
    let stranger = world.gateway.client(&studio_gateway_tests::Token::user("stranger"));
    for (method, route, body, _, _) in routes() {
        let path = world.path("c", route);
        stranger.call(method, &path, body.clone()).await.refused(404, "NOT_FOUND");
        world.gateway.anonymous().call(method, &path, body).await.refused(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn pipeline_that_writes_is_recorded_and_others_are_not() {
    let world = MongoWorld::start().await;
    world.fill("c", [doc! {"_id": "one"}]).await;
    for pipeline in [json!([]), json!([{"$match": {}}]), json!([{"$out": "copy"}])] {
        let body = json!({"pipeline": pipeline});
        world.alpha.developer.post(&world.path("c", "/aggregate"), body).await.expect(200);
    }
    let table = world.gateway.database.table("gateway_audit_logs");
    let results = format!("SELECT result FROM {table} WHERE action LIKE 'mongodb: POST %/aggregate'");
    // Records are in order, so those of the first two would be there by now.
    eventually("a record is there", async || !world.gateway.database.texts(&results).await.is_empty()).await;
    assert_eq!(world.gateway.database.texts(&results).await, ["ok"]);
}
