//! Databases and indexes of MongoDB through the gateway, and what its server tells of itself; what is true is asked of
//! the server.

use mongodb::bson::doc;
use serde_json::{Value, json};
use studio_gateway_tests::{Answer, MongoOptions, MongoWorld, Project, mongo_world::escape};

/// Every route, the least role that may use it, and what it then answers.
fn routes() -> Vec<(&'static str, &'static str, Option<Value>, &'static str, u16)> {
    vec![
        ("GET", "/info", None, "viewer", 200),
        ("GET", "/databases", None, "viewer", 200),
        ("GET", "/databases/shop/stats", None, "viewer", 200),
        ("GET", "/databases/shop/collections", None, "viewer", 200),
        ("GET", "/databases/shop/collections/things/indexes", None, "viewer", 200),
        ("POST", "/databases/shop/collections", Some(json!({"name": "doomed"})), "developer", 201),
        (
            "POST",
            "/databases/shop/collections/things/indexes",
            Some(json!({"key": {"a": 1}})),
            "developer",
            201,
        ),
        ("DELETE", "/databases/shop/collections/things/indexes/a_1", None, "developer", 204),
        ("DELETE", "/databases/shop/collections/doomed", None, "admin", 204),
        ("DELETE", "/databases/shop", None, "admin", 204),
    ]
}

/// The path of what is below a database.
pub(crate) fn below(world: &MongoWorld, database: &str, rest: &str) -> String {
    world.alpha.path("mongodb", &format!("/databases/{}{rest}", escape(database)))
}

pub(crate) async fn create(world: &MongoWorld, body: Value) -> Answer {
    world.alpha.developer.post(&below(world, "shop", "/collections"), body).await
}

pub(crate) async fn collections(world: &MongoWorld, database: &str) -> Vec<Value> {
    world.alpha.viewer.get(&below(world, database, "/collections")).await.expect(200).items()
}

async fn index(world: &MongoWorld, key: &str, options: Value) -> Answer {
    // As text: a map would not keep the order of the fields.
    let body = format!(r#"{{"key": {key}, "options": {options}}}"#);
    let path = world.path("things", "/indexes");
    let request = world.alpha.developer.request("POST", &path).header("content-type", "application/json");
    world.alpha.developer.send(request.body(body)).await
}

pub(crate) async fn indexes(world: &MongoWorld, collection: &str) -> Vec<Value> {
    world.alpha.viewer.get(&world.path(collection, "/indexes")).await.expect(200).items()
}

pub(crate) fn named<'a>(items: &'a [Value], name: &str) -> &'a Value {
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name} in {items:?}"))
}

pub(crate) fn names(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_route_is_closed_below_its_role() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1}]).await;
    let rank =
        |wanted: &str| ["viewer", "developer", "admin", "owner"].iter().position(|role| *role == wanted);
    for (method, path, body, least, status) in routes() {
        let path = world.alpha.path("mongodb", path);
        for (role, member) in world.alpha.members() {
            if rank(role) < rank(least) {
                let details = member.call(method, &path, body.clone()).await.refused(403, "FORBIDDEN");
                assert_eq!(details["needed"], least, "{method} {path}");
            } else {
                member.call(method, &path, body.clone()).await.expect(status);
                break;
            }
        }
    }
}

#[tokio::test]
async fn databases_have_sizes_and_admins_alone_see_the_servers_own() {
    let world = MongoWorld::start().await;
    let path = world.alpha.path("mongodb", "/databases");
    let viewer = &world.alpha.viewer;
    assert_eq!(viewer.get(&path).await.expect(200).data(), json!([]));
    world.fill("things", [doc! {"_id": 1}, doc! {"_id": 2}]).await;
    world.server.run("shop", doc! {"create": "seen", "viewOn": "things", "pipeline": []}).await;
    world.server.run("shop", doc! {"create": "series", "timeseries": {"timeField": "t"}}).await;
    world.server.run("other", doc! {"create": "c"}).await;

    let listed = viewer.get(&path).await.expect(200).items();
    assert_eq!(names(&listed), ["other", "shop"]);
    let shop = named(&listed, "shop");
    assert_eq!((&shop["collections"], &shop["empty"]), (&json!(2), &json!(false)), "{shop}");
    assert!(shop["size_on_disk"].is_u64(), "{shop}");
    assert_eq!(names(&viewer.get(&format!("{path}?limit=1&skip=1")).await.expect(200).items()), ["shop"]);
    viewer.get(&format!("{path}?limit=0")).await.refused_field("limit");
    viewer.get(&format!("{path}?size=1")).await.refused_field("size");

    assert!(names(&world.alpha.admin.get(&path).await.expect(200).items()).contains(&"local"));
    for (role, member) in world.alpha.members() {
        for database in ["local", "config", "admin"] {
            let stats = member.get(&below(&world, database, "/stats")).await;
            let collections = member.get(&below(&world, database, "/collections")).await;
            let indexes = member.get(&world.path_in(database, "c", "/indexes")).await;
            if ["viewer", "developer"].contains(&role) {
                for answer in [stats, collections, indexes] {
                    assert_eq!(answer.refused(403, "FORBIDDEN")["database"], database);
                }
            } else {
                stats.expect(200);
                collections.expect(200);
                indexes.refused(404, "NOT_FOUND");
            }
        }
    }
}

#[tokio::test]
async fn stats_are_the_servers_own_and_zero_where_nothing_is() {
    let world = MongoWorld::start().await;
    world.fill("things", (0..10).map(|n| doc! {"_id": n, "text": "x".repeat(100)})).await;
    world.server.run("shop", doc! {"create": "seen", "viewOn": "things", "pipeline": []}).await;
    world.server.run("shop", doc! {"create": "empty"}).await;
    let stats =
        async |database| world.alpha.viewer.get(&below(&world, database, "/stats")).await.expect(200).data();
    let told = world.server.run("shop", doc! {"dbStats": 1}).await;
    let shop = stats("shop").await;
    assert_eq!((&shop["db"], &shop["collections"], &shop["views"]), (&json!("shop"), &json!(2), &json!(1)));
    assert_eq!(shop["objects"], 10);
    for (field, name) in [
        ("data_size", "dataSize"),
        ("storage_size", "storageSize"),
        ("indexes", "indexes"),
        ("index_size", "indexSize"),
    ] {
        let told = told.get(name).unwrap().to_string().parse::<f64>().unwrap();
        assert_eq!(shop[field].as_f64(), Some(told), "{field}");
    }
    assert!(shop["avg_obj_size"].as_u64().unwrap() > 100, "{shop}");
    let absent = stats("absent").await;
    for field in ["collections", "views", "objects", "data_size", "indexes"] {
        assert_eq!(absent[field], 0, "{field}: {absent}");
    }
    assert!(collections(&world, "absent").await.is_empty());
}

#[tokio::test]
async fn database_is_dropped_whole_but_never_one_of_the_server_s_own() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1}]).await;
    let admin = &world.alpha.admin;
    admin.delete(&below(&world, "shop", "")).await.expect(204);
    assert!(!world.truth.list_database_names().await.unwrap().contains(&"shop".to_owned()));
    assert_eq!(admin.delete(&below(&world, "shop", "")).await.refused(404, "NOT_FOUND")["database"], "shop");
    for database in ["admin", "local", "config", "LOCAL"] {
        world.alpha.owner.delete(&below(&world, database, "")).await.refused(403, "FORBIDDEN");
    }
    for name in ["a.b", "a b", "a$b", &"x".repeat(64)] {
        admin.delete(&below(&world, name, "")).await.refused_field("db");
    }
}

#[tokio::test]
async fn indexes_of_every_kind_are_made_as_told_and_listed_as_made() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1, "a": 1}]).await;
    for (key, options, name) in [
        (r#"{"b": 1, "a": -1, "c.d": 1.0}"#, json!({"unique": true}), "b_1_a_-1_c.d_1"),
        (r#"{"sparse": 1}"#, json!({"sparse": true}), "sparse_1"),
        (r#"{"at": 1}"#, json!({"expireAfterSeconds": {"$numberLong": "60"}, "name": "expires"}), "expires"),
        (r#"{"p": 1}"#, json!({"partialFilterExpression": {"p": {"$gt": {"$numberLong": "5"}}}}), "p_1"),
        (r#"{"place": "2dsphere", "a": 1}"#, json!({}), "place_2dsphere_a_1"),
        (r#"{"flat": "2d"}"#, json!({"bits": 20, "min": -10, "max": 10}), "flat_2d"),
        (r#"{"$**": 1}"#, json!({"wildcardProjection": {"secret": 0}}), "$**_1"),
        (r#"{"any.$**": 1}"#, json!({}), "any.$**_1"),
        (
            r#"{"folded": 1}"#,
            json!({"collation": {"locale": "fr", "strength": 2}, "hidden": true}),
            "folded_1",
        ),
    ] {
        let created = index(&world, key, options.clone()).await.expect(201).data();
        assert_eq!(created, json!({"name": name}));
        // The tests' server takes the version that it adds to a 2dsphere index for a difference.
        if !key.contains("2dsphere") {
            index(&world, key, options).await.expect(200);
        }
    }
    let answer = world.alpha.viewer.get(&world.path("things", "/indexes")).await.expect(200);
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(text.contains(r#""key":{"b":1,"a":-1,"c.d":1.0}"#), "{text}");
    let listed = answer.items();
    assert_eq!(listed.len(), 10);
    let by = |name: &str| named(&listed, name).clone();
    assert_eq!((&by("b_1_a_-1_c.d_1")["unique"], &by("sparse_1")["sparse"]), (&json!(true), &json!(true)));
    assert_eq!(by("expires")["ttl"], 60);
    assert_eq!(by("p_1")["partial_filter"], json!({"p": {"$gt": {"$numberLong": "5"}}}));
    assert_eq!(by("place_2dsphere_a_1")["key"], json!({"place": "2dsphere", "a": 1}));
    assert_eq!(by("flat_2d")["options"]["bits"], 20);
    assert_eq!(by("$**_1")["options"]["wildcardProjection"], json!({"secret": 0}));
    let folded = by("folded_1");
    assert_eq!(
        (&folded["options"]["hidden"], &folded["options"]["collation"]["locale"]),
        (&json!(true), &json!("fr"))
    );
    for listed in &listed {
        assert!(listed["size"].is_u64(), "{listed}");
        for field in ["unique", "sparse", "ttl", "partial_filter"] {
            assert!(listed.get(field).is_none_or(|value| !value.is_null()), "{listed}");
        }
    }
    assert!(by("_id_").get("unique").is_none());
    // What is listed is what makes the same index again.
    for listed in &listed {
        let name = listed["name"].as_str().unwrap();
        if name != "_id_" {
            let path = world.path("things", &format!("/indexes/{}", escape(name)));
            world.alpha.developer.delete(&path).await.expect(204);
            let mut options = listed["options"].clone();
            options["name"] = name.into();
            index(&world, &listed["key"].to_string(), options).await.expect(201);
        }
    }
    let again = indexes(&world, "things").await;
    for listed in &listed {
        assert_eq!(named(&again, listed["name"].as_str().unwrap())["options"], listed["options"]);
    }
}

#[tokio::test]
async fn indexes_that_can_not_be_say_why() {
    let world = MongoWorld::start().await;
    world.fill("things", [doc! {"_id": 1, "a": 1}, doc! {"_id": 2, "a": 1}]).await;
    let developer = &world.alpha.developer;
    let duplicate = index(&world, r#"{"a": 1}"#, json!({"unique": true})).await.refused(409, "CONFLICT");
    assert_eq!(duplicate["code"], "DuplicateKey", "{duplicate}");
    index(&world, r#"{"b": 1}"#, json!({})).await.expect(201);
    index(&world, r#"{"b": 1}"#, json!({"unique": true})).await.refused(409, "CONFLICT");
    index(&world, r#"{"c": 1}"#, json!({"name": "b_1"})).await.refused(409, "CONFLICT");
    for key in ["{}", r#"{"a": "no-such-kind"}"#] {
        let details = index(&world, key, json!({})).await.refused(400, "QUERY_ERROR");
        assert_eq!(details["code"], "CannotCreateIndex", "{key}");
    }
    for (options, field) in [
        (json!({"uniq": true}), "options.uniq"),
        (json!({"key": {"z": 1}}), "options.key"),
        (json!({"name": 1}), "options.name"),
        (json!([]), "options"),
    ] {
        index(&world, r#"{"z": 1}"#, options).await.refused_field(field);
    }
    let hidden = json!({"partialFilterExpression": {"$and": [{"$where": "1"}]}});
    assert_eq!(index(&world, r#"{"z": 1}"#, hidden).await.refused(403, "FORBIDDEN")["operator"], "$where");
    developer.post(&world.path("things", "/indexes"), json!({"options": {}})).await.refused_field("key");
    developer.post(&world.path("things", "/indexes"), json!({"key": "a"})).await.refused_field("key");

    for (name, status) in [("_id_", 400), ("*", 400), ("absent", 404), ("b_1", 204), ("b_1", 404)] {
        let path = world.path("things", &format!("/indexes/{}", escape(name)));
        developer.delete(&path).await.expect(status);
    }
    assert_eq!(names(&indexes(&world, "things").await), ["_id_"]);
    world.alpha.viewer.get(&world.path("absent", "/indexes")).await.refused(404, "NOT_FOUND");
    developer.delete(&world.path("absent", "/indexes/a_1")).await.refused(404, "NOT_FOUND");
    // An index brings its collection and database into being.
    developer.post(&world.path_in("new", "born", "/indexes"), json!({"key": {"a": 1}})).await.expect(201);
    assert_eq!(names(&collections(&world, "new").await), ["born"]);
}

#[tokio::test]
async fn info_and_the_connection_test_describe_the_server() {
    let (set, alone) = tokio::join!(
        MongoWorld::start(),
        MongoWorld::start_with(Default::default(), MongoOptions::new().standalone())
    );
    for (world, topology) in [(&set, "replica_set"), (&alone, "standalone")] {
        world.fill("things", [doc! {"_id": 1}]).await;
        let info = world.alpha.viewer.get(&world.alpha.path("mongodb", "/info")).await.expect(200).data();
        let version =
            world.server.run("admin", doc! {"buildInfo": 1}).await.get_str("version").unwrap().to_owned();
        assert_eq!((&info["version"], &info["topology"]), (&json!(version), &json!(topology)));
        assert!(info["uptime_seconds"].is_u64(), "{info}");
        assert!(info["connections"]["current"].as_u64().unwrap() > 0, "{info}");
        assert!(info["memory"]["resident"].as_u64().unwrap() > 0, "{info}");
        for counter in ["insert", "query", "update", "delete", "getmore", "command"] {
            assert!(info["opcounters"][counter].is_u64(), "{counter}: {info}");
        }
        let test = test(&world.alpha, "main").await;
        assert_eq!((&test["version"], &test["topology"]), (&json!(version), &json!(topology)));
        let databases = test["databases"].as_array().unwrap();
        assert!(databases.contains(&json!("shop")), "{test}");
        assert_eq!(test["database_count"], databases.len());
    }
}

async fn test(project: &Project, identifier: &str) -> Value {
    let connections = project.owner.get(&project.connections("mongodb")).await.expect(200).items();
    let connection = connections.iter().find(|connection| connection["identifier"] == identifier).unwrap();
    let path = format!("{}/{}/test", project.connections("mongodb"), connection["id"].as_str().unwrap());
    let found = project.admin.post(&path, json!({})).await.expect(200).data();
    assert_eq!(found["success"], true, "{found}");
    found
}

#[tokio::test]
async fn what_the_server_keeps_back_from_a_user_is_null_or_forbidden() {
    let users = MongoOptions::new().root("root", "root-pass").user("shop", "reader", "reader-pass", "read");
    let world = MongoWorld::start_with(Default::default(), users).await;
    world.fill("things", [doc! {"_id": 1}]).await;
    world.server.run("other", doc! {"create": "c"}).await;
    let body = json!({
        "identifier": "reader", "host": "127.0.0.1", "port": world.server.port,
        "username": "reader", "password": "reader-pass", "options": {"auth_source": "shop"},
    });
    world.alpha.connect("mongodb", body).await;
    let owner = &world.alpha.owner;
    let get = async |rest: &str| {
        owner.get(&world.alpha.path("mongodb", &format!("{rest}?connection=reader"))).await
    };
    // MongoDB itself would list the user's own databases; the tests' server refuses.
    assert_eq!(get("/databases").await.refused(403, "FORBIDDEN")["code"], "Unauthorized");
    assert_eq!(get("/databases/shop/collections").await.expect(200).items()[0]["info"]["count"], 1);
    let info = get("/info").await.expect(200).data();
    assert_eq!(info["topology"], "replica_set");
    for field in ["uptime_seconds", "connections", "memory", "opcounters"] {
        assert!(info[field].is_null(), "{field}: {info}");
    }
    assert_eq!(get("/databases/other/stats").await.refused(403, "FORBIDDEN")["code"], "Unauthorized");
    let create = world.alpha.path("mongodb", "/databases/shop/collections?connection=reader");
    owner.post(&create, json!({"name": "c"})).await.refused(403, "FORBIDDEN");
    let test = test(&world.alpha, "reader").await;
    assert!(test["topology"] == "replica_set" && test.get("databases").is_none(), "{test}");
}

#[tokio::test]
async fn change_that_too_few_members_confirmed_has_an_unknown_outcome() {
    let world = MongoWorld::start().await;
    let concern =
        doc! {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out"};
    let failing = doc! {"failCommands": ["create", "createIndexes", "drop"], "writeConcernError": concern};
    world.server.fail("alwaysOn", failing).await;
    let index = world.path("things", "/indexes");
    for answer in [
        create(&world, json!({"name": "things"})).await,
        world.alpha.developer.post(&index, json!({"key": {"a": 1}})).await,
        world.alpha.admin.delete(&world.path("things", "")).await,
    ] {
        assert_eq!(answer.refused(400, "QUERY_ERROR")["outcome"], "unknown", "{answer}");
    }
}
