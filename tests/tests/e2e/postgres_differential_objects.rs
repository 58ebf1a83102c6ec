//! Changes of functions, triggers, policies, publications, extensions and roles, made through the real postgres-meta and
//! through our gateway, each on its own of two databases that are alike.

use serde_json::{Value, json};
use studio_gateway_tests::differential::{Accepted, Twins};

/// Differences that are known, with their reasons.
const ACCEPTED: &[Accepted] = &[];
/// The same of the list of triggers.
const TRIGGERS: &[Accepted] = &[Accepted {
    request: "GET /triggers",
    place: ".events.length",
    reason: "TRUNCATE is among a trigger's events; postgres-meta asks the information schema, which does not know it",
}];

#[tokio::test]
async fn functions_are_made_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(TRIGGERS).await else { return };
    for body in [
        json!({"name": "made", "definition": "select 1", "return_type": "int4"}),
        json!({"name": "made", "definition": "select 1", "return_type": "int4"}),
        json!({"name": "made", "definition": "select a + 1", "return_type": "int4", "args": ["a int4"]}),
        json!({"name": "nothing_back", "definition": "select 1"}),
        json!({"name": "Odd \"Name\" ☃", "schema": "Odd Schema", "definition": "select '$$ it''s'", "return_type": "text"}),
        json!({"name": "configured", "schema": "shop", "definition": "select a", "return_type": "int4", "args": ["a int4"],
            "behavior": "STABLE", "security_definer": true, "config_params": {"search_path": "shop", "statement_timeout": "5000"}}),
        json!({"name": "immutable", "definition": "select 1", "return_type": "int4", "behavior": "IMMUTABLE"}),
        json!({"name": "rows", "definition": "select * from public.users", "return_type": "setof public.users"}),
        json!({"name": "table", "definition": "select 1, 'a'", "return_type": "table(a int4, b text)"}),
        json!({"name": "on_made", "definition": "begin return new; end", "return_type": "trigger", "language": "plpgsql"}),
        json!({"name": "bad", "definition": "selec 1", "return_type": "int4"}),
        json!({"name": "bad", "definition": "select 1", "return_type": "nothing"}),
        json!({"name": "bad", "definition": "select 1", "language": "cobol"}),
        json!({"name": "bad", "definition": "select 1", "behavior": "SOMETIMES"}),
        json!({"name": "bad", "definition": "select 1", "schema": "nowhere"}),
        json!({"name": "bad", "definition": "select 1", "args": ["nothing"]}),
        json!({"definition": "select 1"}),
        json!({"name": "", "definition": "select 1"}),
        json!({}),
    ] {
        twins.post("/functions", body).await;
    }
    twins.list("/functions").await;
    for (function, body) in [
        ("public.made()", json!({})),
        ("public.made()", json!({"definition": "select 2"})),
        ("public.made()", json!({"definition": "select 'text'"})),
        ("public.made()", json!({"definition": "selec"})),
        ("public.made(int4)", json!({"name": "made"})),
        ("public.made(int4)", json!({"name": "renamed"})),
        (
            "public.renamed(int4)",
            json!({"name": "Re \"named\" ☃", "schema": "shop", "definition": "select a + 3"}),
        ),
        ("public.made()", json!({"schema": "nowhere"})),
        ("public.made()", json!({"surplus": 1})),
        ("shop.configured(int4)", json!({"definition": "select a + 1"})),
        ("shop.configured(int4)", json!({"name": "configured_2", "schema": "public"})),
        ("public.add(text,text,text[])", json!({"name": "concatenate"})),
        ("public.returns_table(int4)", json!({"name": "gives_table"})),
        ("public.longest(text)", json!({"name": "the_longest"})),
        ("public.do_nothing(int4)", json!({"name": "do_less"})),
    ] {
        twins.patch(&format!("/functions/{{function:{function}}}"), body).await;
    }
    twins
        .refuse("POST", "/functions", json!({"name": "bad", "definition": "select 1", "args": "a int4"}))
        .await;
    twins
        .refuse(
            "POST",
            "/functions",
            json!({"name": "bad", "definition": "select 1", "config_params": {"no": "x"}}),
        )
        .await;
    twins.patch("/functions/1", json!({"name": "x"})).await;
    twins.patch("/functions/abc", json!({"name": "x"})).await;
    twins.list("/functions").await;
    for function in [
        "public.made()",
        "public.nothing_back()",
        "public.on_change()",
        "public.add(integer,integer)",
        "public.add(text,text,text[])",
        "public.sum_of_products(integer,integer)",
        "public.do_less(integer)",
        "public.gone()",
    ] {
        twins.delete(&format!("/functions/{{function:{function}}}")).await;
    }
    twins.delete("/functions/abc").await;
    twins.list("/functions").await;
    twins.list("/triggers").await;
    twins.finish();
}

#[tokio::test]
async fn triggers_are_made_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(TRIGGERS).await else { return };
    let trigger = |name: &str, more: Value| {
        let mut body = json!({"name": name, "table": "todos", "function_name": "on_change",
            "activation": "BEFORE", "events": ["INSERT"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for body in [
        trigger("made", json!({})),
        trigger("made", json!({})),
        trigger("row", json!({"orientation": "ROW"})),
        trigger(
            "statement",
            json!({"orientation": "STATEMENT", "activation": "AFTER", "events": ["INSERT", "DELETE"]}),
        ),
        trigger("some", json!({"orientation": "ROW", "events": ["INSERT", "UPDATE OF details", "DELETE"]})),
        trigger("when", json!({"orientation": "ROW", "condition": "new.details <> 'it''s'"})),
        trigger("arguments", json!({"function_args": ["a", "it's", "3"]})),
        trigger(
            "Odd \"Name\" ☃",
            json!({"schema": "shop", "table": "orders", "function_schema": "shop", "function_name": "On Change"}),
        ),
        trigger("instead", json!({"table": "todos_view", "activation": "INSTEAD OF", "orientation": "ROW"})),
        trigger("bad", json!({"activation": "DURING"})),
        trigger("bad", json!({"events": ["NEVER"]})),
        trigger("bad", json!({"orientation": "DIAGONAL"})),
        trigger("bad", json!({"condition": "nothing"})),
        trigger("bad", json!({"function_name": "nothing"})),
        trigger("bad", json!({"table": "nothing"})),
        trigger("bad", json!({"schema": "nowhere"})),
        trigger("", json!({})),
    ] {
        twins.post("/triggers", body).await;
    }
    for body in [
        trigger("bad", json!({"events": []})),
        trigger("bad", json!({"events": "INSERT"})),
        json!({"name": "bad"}),
        json!({}),
    ] {
        twins.refuse("POST", "/triggers", body).await;
    }
    twins.list("/triggers").await;
    for body in [
        json!({}),
        json!({"enabled_mode": "DISABLED"}),
        json!({"enabled_mode": "REPLICA"}),
        json!({"enabled_mode": "ALWAYS"}),
        json!({"enabled_mode": "ORIGIN"}),
        json!({"enabled_mode": "SOMETIMES"}),
        json!({"name": "row"}),
        json!({"name": "Re \"named\" ☃", "enabled_mode": "DISABLED"}),
    ] {
        twins.patch("/triggers/{trigger:made}", body).await;
    }
    twins.patch("/triggers/1", json!({"name": "x"})).await;
    twins.patch("/triggers/abc", json!({"name": "x"})).await;
    for name in ["Re \"named\" ☃", "row", "Odd \"Name\" ☃", "users_before", "gone"] {
        twins.delete(&format!("/triggers/{{trigger:{name}}}")).await;
    }
    twins.delete("/triggers/{trigger:some}?cascade=true").await;
    twins.delete("/triggers/abc").await;
    twins.list("/triggers").await;
    twins.finish();
}

#[tokio::test]
async fn policies_are_made_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(ACCEPTED).await else { return };
    for body in [
        json!({"name": "made", "table": "todos"}),
        json!({"name": "made", "table": "todos"}),
        json!({"name": "full", "table": "orders", "schema": "shop", "action": "RESTRICTIVE", "command": "UPDATE",
            "roles": ["rich_reader", "rich_writer"], "definition": "note <> 'it''s'", "check": "id > 0"}),
        json!({"name": "Odd \"Name\" ☃", "table": "Weird \"Table\" 100%", "schema": "Odd Schema", "command": "SELECT",
            "roles": ["rich Quoted \"Röle\""], "definition": "true"}),
        json!({"name": "insert", "table": "todos", "command": "INSERT", "check": "true"}),
        json!({"name": "me", "table": "todos", "roles": ["current_user"]}),
        json!({"name": "bad", "table": "todos", "command": "INSERT", "definition": "true"}),
        json!({"name": "bad", "table": "todos", "command": "SOMETIMES"}),
        json!({"name": "bad", "table": "todos", "action": "MAYBE"}),
        json!({"name": "bad", "table": "todos", "definition": "nothing"}),
        json!({"name": "bad", "table": "todos", "roles": ["nobody"]}),
        json!({"name": "bad", "table": "todos_view"}),
        json!({"name": "bad", "table": "nothing"}),
        json!({"name": "bad", "table": "todos", "schema": "nowhere"}),
        json!({"name": "", "table": "todos"}),
        json!({"name": "bad"}),
        json!({"table": "todos"}),
        json!({}),
    ] {
        twins.post("/policies", body).await;
    }
    twins.list("/policies").await;
    for body in [
        json!({}),
        json!({"definition": "details is null"}),
        json!({"check": "details <> ''"}),
        json!({"definition": "true", "check": "true", "roles": ["rich_reader"]}),
        json!({"roles": ["public"]}),
        json!({"roles": ["nobody"]}),
        json!({"definition": "nothing"}),
        json!({"definition": ""}),
        json!({"name": "insert"}),
        json!({"name": ""}),
        json!({"name": "Re \"named\" ☃", "definition": "false"}),
    ] {
        twins.patch("/policies/{policy:made}", body).await;
    }
    twins.patch("/policies/{policy:insert}", json!({"definition": "true"})).await;
    twins.refuse("POST", "/policies", json!({"name": "bad", "table": "todos", "roles": "public"})).await;
    twins.patch("/policies/1", json!({"name": "x"})).await;
    twins.patch("/policies/abc", json!({"name": "x"})).await;
    for name in ["Re \"named\" ☃", "full", "Everyone reads", "Odd Policy ☃", "gone"] {
        twins.delete(&format!("/policies/{{policy:{name}}}")).await;
    }
    twins.delete("/policies/abc").await;
    twins.list("/policies").await;
    twins.finish();
}

#[tokio::test]
async fn publications_are_made_changed_and_removed_like_postgres_meta() {
    let Some(mut twins) = Twins::on_two_databases(ACCEPTED).await else { return };
    for body in [
        json!({"name": "made"}),
        json!({"name": "made"}),
        json!({"name": "all", "publish_insert": true, "publish_update": true, "publish_delete": true, "publish_truncate": true}),
        json!({"name": "some", "publish_insert": true, "tables": ["users", "shop.orders"]}),
        json!({"name": "none", "tables": []}),
        json!({"name": "Odd \"Name\" ☃", "tables": ["Odd Schema.Weird \"Table\" 100%", "select.table"]}),
        json!({"name": "bad", "tables": ["nothing"]}),
        json!({"name": "bad", "tables": ["todos_view"]}),
        json!({"name": "ownerless", "owner": "nobody", "tables": []}),
        json!({"name": ""}),
        json!({}),
    ] {
        twins.post("/publications", body).await;
    }
    twins.list("/publications").await;
    for body in [
        json!({}),
        json!({"publish_insert": false, "publish_delete": true}),
        json!({"publish_truncate": true, "publish_update": true}),
        json!({"owner": "postgres"}),
        json!({"owner": "nobody"}),
        json!({"tables": ["users"]}),
        json!({"tables": ["shop.orders", "public.todos"]}),
        json!({"tables": []}),
        json!({"tables": ["nothing"]}),
        json!({"tables": null}),
        json!({"tables": ["Odd Schema.Weird \"Table\" 100%"]}),
        json!({"name": "all"}),
        json!({"name": ""}),
        json!({"name": "Re \"named\" ☃", "publish_insert": true, "tables": ["users"]}),
    ] {
        twins.patch("/publications/{publication:some}", body).await;
    }
    twins.patch("/publications/{publication:rich_all}", json!({"publish_insert": false})).await;
    twins.patch("/publications/{publication:rich_all}", json!({"tables": ["users"]})).await;
    twins.refuse("POST", "/publications", json!({"name": "bad", "tables": "users"})).await;
    twins.refuse("PATCH", "/publications/1", json!({"name": "x"})).await;
    twins.patch("/publications/abc", json!({"name": "x"})).await;
    twins.list("/publications").await;
    for name in ["made", "Re \"named\" ☃", "Rich Odd ☃", "gone"] {
        twins.delete(&format!("/publications/{{publication:{name}}}")).await;
    }
    twins.delete("/publications/abc").await;
    twins.list("/publications").await;
    twins.finish();
}

#[tokio::test]
async fn extensions_are_made_changed_and_removed_like_postgres_meta() {
    let Some(mut twins) = Twins::on_two_databases(ACCEPTED).await else { return };
    for body in [
        json!({"name": "citext"}),
        json!({"name": "citext"}),
        json!({"name": "pg_trgm", "schema": "shop"}),
        json!({"name": "ltree", "version": "1.1"}),
        json!({"name": "earthdistance"}),
        json!({"name": "earthdistance", "cascade": true}),
        json!({"name": "nothing_like_it"}),
        json!({"name": "tablefunc", "version": "99"}),
        json!({"name": "tablefunc", "schema": "nowhere"}),
        json!({"name": ""}),
        json!({}),
    ] {
        twins.post("/extensions", body).await;
    }
    for (name, body) in [
        ("citext", json!({})),
        ("citext", json!({"schema": "shop"})),
        ("citext", json!({"schema": "nowhere"})),
        ("ltree", json!({"update": true})),
        ("ltree", json!({"update": true, "version": "99"})),
        ("ltree", json!({"version": "1.2"})),
        ("pgcrypto", json!({"update": true, "schema": "public"})),
        ("nothing_like_it", json!({"update": true})),
        ("plpgsql", json!({"schema": "public"})),
    ] {
        twins.patch(&format!("/extensions/{name}"), body).await;
    }
    twins.list("/extensions").await;
    for path in [
        "citext",
        "hstore",
        "hstore?cascade=false",
        "hstore?cascade=true",
        "nothing_like_it",
        "cube",
        "unaccent",
    ] {
        twins.delete(&format!("/extensions/{path}")).await;
    }
    twins.list("/extensions").await;
    twins.finish();
}

#[tokio::test]
async fn roles_are_made_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(ACCEPTED).await else { return };
    for body in [
        json!({"name": "made"}),
        json!({"name": "made"}),
        json!({"name": "full", "password": "it's", "inherit_role": false, "can_login": true, "is_superuser": true,
            "can_create_db": true, "can_create_role": true, "is_replication_role": true, "can_bypass_rls": true,
            "connection_limit": 5, "member_of": ["rich_group"], "members": ["rich_reader"], "admins": ["rich_writer"],
            "valid_until": "2050-01-01", "config": {"statement_timeout": "5s", "search_path": "shop, public"}}),
        json!({"name": "Odd \"Name\" ☃", "can_login": true}),
        json!({"name": "bad", "member_of": ["nobody"]}),
        json!({"name": "bad", "valid_until": "yesteryear"}),
        json!({"name": "bad", "connection_limit": -2}),
        json!({"name": "bad", "config": {"nothing.like_it": "x"}}),
        json!({"name": "bad2", "config": {"nothing_like_it": "x"}}),
        json!({"name": "pg_bad"}),
        json!({"name": ""}),
    ] {
        twins.post("/roles", body).await;
    }
    twins.refuse("POST", "/roles", json!({})).await;
    twins.list("/roles").await;
    for body in [
        json!({}),
        json!({"password": "secret"}),
        json!({"inherit_role": false, "can_login": true}),
        json!({"is_superuser": true, "can_create_db": true}),
        json!({"is_superuser": false, "can_create_db": false, "can_create_role": true, "can_bypass_rls": true}),
        json!({"is_replication_role": true}),
        json!({"connection_limit": 7}),
        json!({"connection_limit": -1}),
        json!({"valid_until": "2050-01-01 00:00:00+00"}),
        json!({"valid_until": "infinity"}),
        json!({"valid_until": "x"}),
        json!({"config": [{"op": "add", "path": "statement_timeout", "value": "5s"}]}),
        json!({"config": [{"op": "replace", "path": "statement_timeout", "value": "6s"},
            {"op": "add", "path": "search_path", "value": "shop"}]}),
        json!({"config": [{"op": "remove", "path": "statement_timeout"}]}),
        json!({"config": [{"op": "add", "path": "nothing_like_it", "value": "x"}]}),
        json!({"name": "full"}),
        json!({"name": "Re \"named\" ☃", "connection_limit": 3}),
    ] {
        twins.patch("/roles/{role:made}", body).await;
    }
    for config in [json!([{"op": "jump", "path": "work_mem", "value": "x"}]), json!({"work_mem": "8MB"})] {
        twins.refuse("PATCH", "/roles/{role:full}", json!({"config": config})).await;
    }
    twins.patch("/roles/1", json!({"name": "x"})).await;
    twins.patch("/roles/abc", json!({"name": "x"})).await;
    twins.list("/roles").await;
    for path in [
        "/roles/{role:Re \"named\" ☃}",
        "/roles/{role:full}",
        "/roles/{role:rich_owner}",
        "/roles/{role:rich_owner}?cascade=true",
        "/roles/{role:postgres}",
        "/roles/{role:gone}",
        "/roles/abc",
    ] {
        twins.delete(path).await;
    }
    twins.list("/roles").await;
    twins.finish();
}
