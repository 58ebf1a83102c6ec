//! What a PostgreSQL database consists of, through the gateway, in its own envelope: each resource listed, shown, made,
//! changed and removed; what is true is asked of the server itself.

use serde_json::{Value, json};
use studio_gateway_tests::{Client, PostgresWorld};

/// A resource that can be made, changed and removed.
struct Life {
    resource: &'static str,
    /// What must be there before.
    before: &'static str,
    new: Value,
    patch: Value,
    /// A query for how many there are, of what was made and of what it was changed to.
    count: [&'static str; 2],
}

async fn known(world: &PostgresWorld, query: &str) -> bool {
    world.database.text(query).await == "1"
}

impl Life {
    async fn live(self) {
        let Self { resource, before, new, patch, count: [made, changed] } = self;
        let world = PostgresWorld::start().await;
        if !before.is_empty() {
            world.database.run(before).await;
        }
        let (admin, viewer) = (&world.alpha.admin, &world.alpha.viewer);
        let list = world.path(&format!("/{resource}"));

        viewer.post(&list, new.clone()).await.refused(403, "FORBIDDEN");
        assert!(!known(&world, made).await, "a viewer made one of {resource}");
        let created = admin.post(&list, new.clone()).await.expect(201).data();
        assert!(known(&world, made).await, "{resource}");
        let one = format!("{list}/{}", created["id"]);
        assert_eq!(viewer.get(&one).await.expect(200).data(), created, "{resource}");
        let listed = viewer.get(&list).await.expect(200).items();
        assert!(
            listed.iter().any(|item| item["id"] == created["id"] && item["name"] == "made"),
            "{resource}"
        );
        let again = admin.post(&list, new).await;
        again.refused(400, "QUERY_ERROR");
        assert!(again.message().contains("already exists"), "{again}");
        assert!(again.json()["error"]["details"]["code"].is_string(), "{again}");

        viewer.send(viewer.request("PATCH", &one).json(&patch)).await.refused(403, "FORBIDDEN");
        assert!(known(&world, made).await, "a viewer changed one of {resource}");
        let answer = admin.send(admin.request("PATCH", &one).json(&patch)).await.expect(200).data();
        assert_eq!((&answer["id"], &answer["name"]), (&created["id"], &json!("changed")), "{resource}");
        assert!(known(&world, changed).await, "{resource}");

        viewer.delete(&one).await.refused(403, "FORBIDDEN");
        assert!(known(&world, changed).await, "a viewer removed one of {resource}");
        admin.delete(&one).await.expect(204);
        assert!(!known(&world, changed).await, "{resource}");
        is_gone(admin, &one, &patch).await;
        is_gone(admin, &format!("{list}/1"), &patch).await;
        is_gone(admin, &format!("{list}/no-id"), &patch).await;
    }
}

async fn is_gone(client: &Client, one: &str, patch: &Value) {
    client.get(one).await.refused(404, "NOT_FOUND");
    client.send(client.request("PATCH", one).json(patch)).await.refused(404, "NOT_FOUND");
    client.delete(one).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn schemas_are_made_shown_changed_and_removed() {
    let life = Life {
        resource: "schemas",
        before: "",
        new: json!({"name": "made"}),
        patch: json!({"name": "changed"}),
        count: [
            "select count(*)::text from pg_namespace where nspname = 'made'",
            "select count(*)::text from pg_namespace where nspname = 'changed'",
        ],
    };
    life.live().await;
}

#[tokio::test]
async fn tables_are_made_shown_changed_and_removed() {
    let life = Life {
        resource: "tables",
        before: "",
        new: json!({"name": "made", "schema": "public", "comment": "a comment"}),
        patch: json!({"name": "changed", "rls_enabled": true}),
        count: [
            "select count(*)::text from pg_class where relname = 'made'",
            "select count(*)::text from pg_class where relname = 'changed' and relrowsecurity",
        ],
    };
    life.live().await;
}

#[tokio::test]
async fn functions_are_made_shown_changed_and_removed() {
    let life = Life {
        resource: "functions",
        before: "",
        new: json!({"name": "made", "definition": "select 1", "return_type": "int4"}),
        patch: json!({"name": "changed", "definition": "select 2"}),
        count: [
            "select count(*)::text from pg_proc where proname = 'made'",
            "select count(*)::text from pg_proc where proname = 'changed' and prosrc = 'select 2'",
        ],
    };
    life.live().await;
}

#[tokio::test]
async fn policies_are_made_shown_changed_and_removed() {
    let life = Life {
        resource: "policies",
        before: "create table public.things (id integer primary key, name text)",
        new: json!({"name": "made", "table": "things", "command": "SELECT", "definition": "id > 0"}),
        patch: json!({"name": "changed", "definition": "id > 1"}),
        count: [
            "select count(*)::text from pg_policies where policyname = 'made'",
            "select count(*)::text from pg_policies where policyname = 'changed' and qual = '(id > 1)'",
        ],
    };
    life.live().await;
}

#[tokio::test]
async fn triggers_are_made_shown_changed_and_removed() {
    let life = Life {
        resource: "triggers",
        before: "create table public.things (id integer primary key, name text);
            create function public.on_change() returns trigger language plpgsql as 'begin return new; end'",
        new: json!({"name": "made", "table": "things", "function_name": "on_change", "activation": "BEFORE",
            "events": ["INSERT", "UPDATE"], "orientation": "ROW"}),
        patch: json!({"name": "changed", "enabled_mode": "DISABLED"}),
        count: [
            "select count(*)::text from pg_trigger where tgname = 'made'",
            "select count(*)::text from pg_trigger where tgname = 'changed' and tgenabled = 'D'",
        ],
    };
    life.live().await;
}

#[tokio::test]
async fn publications_are_made_shown_changed_and_removed() {
    let life = Life {
        resource: "publications",
        before: "create table public.things (id integer primary key, name text)",
        new: json!({"name": "made", "tables": ["things"], "publish_insert": true}),
        patch: json!({"name": "changed", "publish_delete": true}),
        count: [
            "select count(*)::text from pg_publication where pubname = 'made'",
            "select count(*)::text from pg_publication where pubname = 'changed' and pubdelete",
        ],
    };
    life.live().await;
}

#[tokio::test]
async fn columns_are_made_shown_changed_and_removed() {
    let world = PostgresWorld::start().await;
    world.database.run("create table public.things (id integer primary key)").await;
    let table = world.database.text("select 'public.things'::regclass::oid::text").await;
    let table: u32 = table.parse().unwrap();
    let (developer, viewer) = (&world.alpha.developer, &world.alpha.viewer);
    let list = world.path("/columns");
    let new = json!({"table_id": table, "name": "made", "type": "int4", "default_value": 7, "is_nullable": false,
        "comment": "It's new"});
    viewer.post(&list, new.clone()).await.refused(403, "FORBIDDEN");
    let created = developer.post(&list, new).await.expect(201).data();
    assert_eq!(created["id"], format!("{table}.2"));
    assert_eq!(
        (&created["default_value"], &created["is_nullable"]),
        (&json!("7"), &json!(false)),
        "{created}"
    );
    assert_eq!(created["comment"], "It's new");
    let one = format!("{list}/{table}.2");
    assert_eq!(viewer.get(&one).await.expect(200).data(), created);

    let patch = json!({"name": "changed", "type": "text", "is_nullable": true});
    viewer.send(viewer.request("PATCH", &one).json(&patch)).await.refused(403, "FORBIDDEN");
    let changed = developer.send(developer.request("PATCH", &one).json(&patch)).await.expect(200).data();
    assert_eq!((&changed["name"], &changed["data_type"]), (&json!("changed"), &json!("text")), "{changed}");
    let truth = "select string_agg(column_name || ' ' || data_type, ', ' order by ordinal_position)
        from information_schema.columns where table_name = 'things'";
    assert_eq!(world.database.text(truth).await, "id integer, changed text");

    viewer.delete(&one).await.refused(403, "FORBIDDEN");
    developer.delete(&one).await.expect(204);
    assert_eq!(world.database.text(truth).await, "id integer");
    is_gone(developer, &one, &patch).await;
    is_gone(developer, &format!("{list}/1.1"), &patch).await;
    let refused = json!({"table_id": 1, "name": "x", "type": "int4"});
    developer.post(&list, refused).await.refused(404, "NOT_FOUND");
    let refused = json!({"table_id": table, "name": "x", "type": "nothing"});
    developer.post(&list, refused).await.refused(400, "QUERY_ERROR");
    developer.post(&list, json!({"table_id": table, "type": "int4"})).await.refused_field("name");
}

#[tokio::test]
async fn what_others_depend_on_goes_only_in_a_cascade() {
    let world = PostgresWorld::start().await;
    world
        .database
        .run("create table public.things (id integer); create view public.on_things as table public.things")
        .await;
    let id = world.database.text("select 'public.things'::regclass::oid::text").await;
    let one = world.path(&format!("/tables/{id}"));
    let views = "select count(*)::text from pg_class where relname = 'on_things'";
    for path in [one.clone(), format!("{one}?cascade=false")] {
        let refused = world.alpha.admin.delete(&path).await;
        assert_eq!(refused.refused(400, "QUERY_ERROR")["code"], "2BP01", "{refused}");
        assert_eq!(world.database.text(views).await, "1");
    }
    world.alpha.admin.delete(&format!("{one}?cascade=true")).await.expect(204);
    assert_eq!(world.database.text(views).await, "0");
}

#[tokio::test]
async fn extensions_and_roles_are_known_by_name_and_id() {
    let world = PostgresWorld::start().await;
    let (admin, viewer) = (&world.alpha.admin, &world.alpha.viewer);
    let list = world.path("/extensions");
    let new = json!({"name": "citext", "schema": "public"});
    viewer.post(&list, new.clone()).await.refused(403, "FORBIDDEN");
    let created = admin.post(&list, new.clone()).await.expect(201).data();
    assert_eq!((&created["name"], &created["schema"]), (&json!("citext"), &json!("public")), "{created}");
    let one = format!("{list}/citext");
    assert_eq!(viewer.get(&one).await.expect(200).data(), created);
    admin.post(&list, new).await.refused(400, "QUERY_ERROR");
    let patch = json!({"update": true});
    viewer.send(viewer.request("PATCH", &one).json(&patch)).await.refused(403, "FORBIDDEN");
    admin.send(admin.request("PATCH", &one).json(&patch)).await.expect(200);
    viewer.delete(&one).await.refused(403, "FORBIDDEN");
    admin.delete(&one).await.expect(204);
    assert_eq!(
        world.database.text("select count(*)::text from pg_extension where extname = 'citext'").await,
        "0"
    );
    viewer.get(&format!("{list}/nothing_like_it")).await.refused(404, "NOT_FOUND");

    // Roles are the whole server's, and other tests' too.
    let name = format!("role_of_{}", world.database.name);
    let list = world.path("/roles");
    let new = json!({"name": name, "can_login": true, "connection_limit": 3});
    viewer.post(&list, new.clone()).await.refused(403, "FORBIDDEN");
    let created = admin.post(&list, new).await.expect(201).data();
    assert_eq!((&created["can_login"], &created["connection_limit"]), (&json!(true), &json!(3)), "{created}");
    let one = format!("{list}/{}", created["id"]);
    assert_eq!(viewer.get(&one).await.expect(200).data()["name"], json!(name));
    let patch = json!({"can_login": false});
    viewer.send(viewer.request("PATCH", &one).json(&patch)).await.refused(403, "FORBIDDEN");
    let changed = admin.send(admin.request("PATCH", &one).json(&patch)).await.expect(200).data();
    assert_eq!(changed["can_login"], false);
    viewer.delete(&one).await.refused(403, "FORBIDDEN");
    admin.delete(&one).await.expect(204);
    admin.get(&one).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn privileges_are_granted_and_revoked() {
    let world = PostgresWorld::start().await;
    let name = format!("role_of_{}", world.database.name);
    world.database.run(&format!("create role {name}; create table public.things (id integer, x text)")).await;
    let id: u32 = world.database.text("select 'public.things'::regclass::oid::text").await.parse().unwrap();
    let admin = &world.alpha.admin;
    for (resource, body, held) in [
        (
            "table-privileges",
            json!([{"relation_id": id, "grantee": name, "privilege_type": "SELECT"}]),
            format!("select has_table_privilege('{name}', 'public.things', 'select')::text"),
        ),
        (
            "column-privileges",
            json!([{"column_id": format!("{id}.2"), "grantee": name, "privilege_type": "UPDATE"}]),
            format!("select has_column_privilege('{name}', 'public.things', 'x', 'update')::text"),
        ),
    ] {
        let path = world.path(&format!("/{resource}"));
        world.alpha.viewer.post(&path, body.clone()).await.refused(403, "FORBIDDEN");
        assert_eq!(world.database.text(&held).await, "false");
        let granted = admin.post(&path, body.clone()).await;
        assert!((200..300).contains(&granted.status), "{granted}");
        assert_eq!(world.database.text(&held).await, "true", "{resource}");
        let listed = world.alpha.viewer.get(&path).await.expect(200);
        assert!(listed.json().to_string().contains(&name), "{resource}");
        let viewer = &world.alpha.viewer;
        viewer.send(viewer.request("DELETE", &path).json(&body)).await.refused(403, "FORBIDDEN");
        let revoked = admin.send(admin.request("DELETE", &path).json(&body)).await;
        assert!((200..300).contains(&revoked.status), "{revoked}");
        assert_eq!(world.database.text(&held).await, "false", "{resource}");
    }
    world.database.run(&format!("drop role {name}")).await;
}

#[tokio::test]
async fn functions_arguments_come_in_their_order() {
    let world = PostgresWorld::start().await;
    let function =
        "create function joined(z text, inout m int, a bigint default 1, variadic b text[] default '{}')
        language sql as 'select m'";
    world.database.run(function).await;
    let functions = world.alpha.viewer.get(&world.path("/functions?included_schemas=public")).await.items();
    let arguments = functions.iter().find(|function| function["name"] == "joined").unwrap()["args"].clone();
    let names: Vec<&Value> = arguments.as_array().unwrap().iter().map(|argument| &argument["name"]).collect();
    assert_eq!(names, ["z", "m", "a", "b"]);
}

#[tokio::test]
async fn generated_columns_are_told_from_others_whether_stored_or_not() {
    let world = PostgresWorld::start().await;
    world.database.run("create table sums (a int, stored int generated always as (a * 2) stored)").await;
    let mut expected = vec![("a", false), ("stored", true)];
    if world.database.is_at_least(18).await {
        world.database.run("alter table sums add virtual int generated always as (a * 3) virtual").await;
        expected.push(("virtual", true));
    }
    let columns = world.alpha.viewer.get(&world.path("/columns?included_schemas=public")).await.items();
    let generated: Vec<_> = columns
        .iter()
        .filter(|column| column["table"] == "sums")
        .map(|column| (column["name"].as_str().unwrap(), column["is_generated"] == true))
        .collect();
    assert_eq!(generated, expected);
}
