//! Bodies of what postgres-meta does not look at before it uses it: functions, triggers, policies, publications and
//! extensions. There JavaScript says what is true, what is given and what the text of something is. Asked of both, each
//! on its own of two databases that are alike. A difference is named by field and value: `POST /triggers condition ""`.

use serde_json::{Value, json};
use studio_gateway_tests::differential::{Accepted, Form, Twins};

/// Differences that are known, with their reasons.
const TRIGGERS: &[Accepted] = &[
    Accepted { request: "POST /triggers name true", place: "", reason: BOOLEAN },
    Accepted { request: "PATCH /triggers/{trigger:made} name true", place: "", reason: BOOLEAN },
];
const FUNCTIONS: &[Accepted] = &[
    Accepted { request: "POST /functions name true", place: "", reason: BOOLEAN },
    Accepted { request: "PATCH /functions/{function:made.g(int4)} name true", place: "", reason: BOOLEAN },
    Accepted { request: "POST /functions schema null", place: "", reason: NULL },
    Accepted { request: "POST /functions args null", place: "", reason: NULL },
    Accepted { request: "POST /functions return_type null", place: "", reason: NULL },
    Accepted { request: "POST /functions language null", place: "", reason: NULL },
    Accepted { request: "POST /functions behavior null", place: "", reason: NULL },
    Accepted { request: r#"POST /functions args [""]"#, place: "", reason: FOUND },
];
const POLICIES: &[Accepted] = &[
    Accepted { request: "POST /policies name true", place: "", reason: BOOLEAN },
    Accepted { request: "PATCH /policies/{policy:made} name true", place: "", reason: BOOLEAN },
    Accepted { request: "PATCH /policies/{policy:made} name null", place: "", reason: NULL },
    Accepted { request: "POST /policies action null", place: "", reason: NULL },
    Accepted { request: "POST /policies command null", place: "", reason: NULL },
    Accepted { request: "POST /policies roles null", place: "", reason: NULL },
    Accepted { request: "PATCH /policies/{policy:made} roles null", place: "", reason: NULL },
    Accepted { request: "POST /policies roles []", place: "", reason: EVERYONE },
    Accepted { request: "PATCH /policies/{policy:made} roles []", place: "", reason: EVERYONE },
];
const PUBLICATIONS: &[Accepted] = &[
    Accepted { request: "POST /publications name true", place: "", reason: BOOLEAN },
    Accepted { request: "PATCH /publications/{publication:made} name true", place: "", reason: BOOLEAN },
    Accepted { request: "PATCH /publications/{publication:made} name {}", place: "", reason: NO_TEXT },
    Accepted { request: r#"POST /publications tables """#, place: "", reason: NO_TEXT },
];
const EXTENSIONS: &[Accepted] = &[
    Accepted { request: "POST /extensions schema null", place: "", reason: NULL },
    Accepted { request: "POST /extensions version null", place: "", reason: NULL },
    Accepted { request: "PATCH /extensions/citext schema null", place: "", reason: NULL },
    Accepted { request: "PATCH /extensions/citext version null", place: "", reason: NULL },
    Accepted { request: "PATCH /extensions/citext version {}", place: "", reason: NO_TEXT },
];
const BOOLEAN: &str = "a boolean as a name is `true`; postgres-meta makes it `t`, and then looks for `true`";
const NULL: &str = "null is not given, where postgres-meta has no SQL for it";
const FOUND: &str = "a function is found again by its name, postgres-meta by the arguments' texts";
const EVERYONE: &str = "no roles are everyone, as in PostgreSQL's own statement without `TO`";
const NO_TEXT: &str = "an object is no text, and an empty text no list";

/// A table and a function, alone in a schema.
const MADE: &str = "drop schema if exists made cascade; create schema made;
    create table made.t (a int primary key);
    create function made.f() returns trigger language plpgsql as 'begin return new; end';
    create function made.g(a int4) returns int4 language sql as 'select 1'";

fn list(values: Value) -> Vec<Value> {
    values.as_array().unwrap().clone()
}

fn truths() -> Vec<Value> {
    list(json!([null, "", "true", "false", "0", "x", 0, 1, 1.5, true, false, [], [false], {}]))
}

fn texts() -> Vec<Value> {
    list(json!([null, "", 5, 1.0, 1.5, true, ["x"], [5], [], {}]))
}

#[tokio::test]
async fn fields_of_triggers_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(TRIGGERS).await else { return };
    let body = json!({"name": "made", "schema": "made", "table": "t", "function_schema": "made", "function_name": "f",
        "activation": "BEFORE", "events": ["INSERT"], "orientation": "ROW"});
    let create = Form { fixture: MADE.to_owned(), method: "POST", path: "/triggers", body };
    twins.vary(&create, "name", &texts()).await;
    for field in ["schema", "table", "function_schema", "function_name"] {
        twins.vary(&create, field, &list(json!([null, "", 5, ["made"], [], {}]))).await;
    }
    twins
        .vary(
            &create,
            "function_args",
            &list(json!([null, "", [], [""], ["a", "it's"], [5, 1.5, 1.0], [null], {}])),
        )
        .await;
    twins
        .vary(&create, "activation", &list(json!([null, "", "after", ["AFTER"], " AFTER ", 5, true, {}])))
        .await;
    let events =
        json!([null, "", [], ["insert"], ["INSERT", "DELETE"], [["INSERT"]], [""], [null], "INSERT", 5, {}]);
    twins.vary(&create, "events", &list(events)).await;
    let orientations = json!([null, "", 0, false, "row", ["ROW"], "STATEMENT", " ", 5, true, [], {}]);
    twins.vary(&create, "orientation", &list(orientations)).await;
    let conditions = json!([null, "", 0, false, true, "new.a > 1", ["new.a > 1"], " ", 5, [], {}]);
    twins.vary(&create, "condition", &list(conditions)).await;
    twins.vary(&create, "enabled_mode", &list(json!([null, "DISABLED", 5]))).await;
    for field in ["activation", "events", "name", "table", "function_name"] {
        let mut body = create.body.clone();
        body.as_object_mut().unwrap().shift_remove(field);
        twins.fill_in(&create, &format!("{field} absent"), body).await;
    }
    let fixture =
        format!("{MADE}; create trigger made before insert on made.t for each row execute function made.f()");
    let change = Form { fixture, method: "PATCH", path: "/triggers/{trigger:made}", body: json!({}) };
    twins.vary(&change, "name", &texts()).await;
    let modes = json!([null, "", "DISABLED", "disabled", ["DISABLED"], "ORIGIN", 5, true, [], {}]);
    twins.vary(&change, "enabled_mode", &list(modes)).await;
    twins.vary(&change, "condition", &list(json!([null, "", "true"]))).await;
    twins.finish();
}

#[tokio::test]
async fn fields_of_functions_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(FUNCTIONS).await else { return };
    let body = json!({"name": "made", "schema": "made", "definition": "select 1", "return_type": "int4"});
    let create = Form { fixture: MADE.to_owned(), method: "POST", path: "/functions", body };
    twins.vary(&create, "name", &texts()).await;
    twins.vary(&create, "schema", &list(json!([null, "", 5, ["made"], [], {}]))).await;
    twins
        .vary(&create, "args", &list(json!([null, "", [], [""], ["b int4"], ["b int4", "c int4"], [5], {}])))
        .await;
    twins.vary(&create, "definition", &list(json!([null, "", 5, true, ["select 1"], [], {}]))).await;
    twins.vary(&create, "return_type", &list(json!([null, "", "text", ["int4"], "setof int4", 5, {}]))).await;
    twins.vary(&create, "language", &list(json!([null, "", "SQL", ["sql"], "cobol", 5, {}]))).await;
    twins
        .vary(&create, "behavior", &list(json!([null, "", "stable", ["IMMUTABLE"], [], " VOLATILE ", 5, {}])))
        .await;
    twins.vary(&create, "security_definer", &truths()).await;
    let settings = json!([null, "", 0, false, 5, true, [], {}, {"search_path": "made"}, {"search_path": ["made", "public"]},
        {"search_path": ["FROM CURRENT"]}, {"search_path": "made, public"}, {"search_path": "'made'"},
        {"search_path": "\"$user\", public"}, {"search_path": "''"}, {"search_path": ""}, {"search_path": null},
        {"statement_timeout": 5000}, {"statement_timeout": "5000"}, {"statement_timeout": ["5000"]},
        {"enable_seqscan": true}, {"enable_seqscan": "off"}, {"enable_seqscan": [false]}, {"work_mem": "'4MB'"}]);
    twins.vary(&create, "config_params", &list(settings)).await;
    twins.fill_in(&create, "nothing but a name", json!({"name": "made"})).await;
    let path = "/functions/{function:made.g(int4)}";
    let change = Form { fixture: MADE.to_owned(), method: "PATCH", path, body: json!({}) };
    twins.vary(&change, "name", &texts()).await;
    twins
        .vary(
            &change,
            "schema",
            &list(json!([null, "", 0, false, "public", ["public"], "made", 5, true, [], {}])),
        )
        .await;
    twins.prepare("drop function if exists public.g(int4)").await;
    twins
        .vary(&change, "definition", &list(json!([null, "", "select 2", 5, true, ["select 2"], [], {}])))
        .await;
    for field in ["args", "return_type", "language", "behavior", "security_definer", "config_params"] {
        twins.vary(&change, field, &list(json!([null, "", "x", 5, [], {}]))).await;
    }
    twins.finish();
}

#[tokio::test]
async fn fields_of_policies_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(POLICIES).await else { return };
    let body = json!({"name": "made", "schema": "made", "table": "t"});
    let create = Form { fixture: MADE.to_owned(), method: "POST", path: "/policies", body };
    twins.vary(&create, "name", &texts()).await;
    for field in ["schema", "table"] {
        twins.vary(&create, field, &list(json!([null, "", 5, ["made"], [], {}]))).await;
    }
    let expressions = list(json!([null, "", " ", "a > 1", ["a > 1"], true, false, 0, 5, [], {}]));
    let roles = list(json!([
        null,
        "",
        "public",
        [],
        [""],
        ["PUBLIC"],
        ["rich_group", "public"],
        [["rich_group"]],
        [5],
        {}
    ]));
    for field in ["definition", "check"] {
        twins.vary(&create, field, &expressions).await;
    }
    twins.vary(&create, "action", &list(json!([null, "", "restrictive", ["RESTRICTIVE"], 5, [], {}]))).await;
    twins.vary(&create, "command", &list(json!([null, "", "select", ["SELECT"], "ALL", 5, [], {}]))).await;
    twins.vary(&create, "roles", &roles).await;
    for more in [
        json!({"command": "INSERT", "check": "true", "definition": null}),
        json!({"command": "INSERT", "check": "true", "definition": ""}),
        json!({"command": "SELECT", "definition": "true", "check": null}),
        json!({"command": "SELECT", "definition": "true", "check": ""}),
    ] {
        let mut body = create.body.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        twins.fill_in(&create, &more.to_string(), body).await;
    }
    let fixture = format!("{MADE}; create policy made on made.t using (a > 1) with check (a > 2)");
    let change = Form { fixture, method: "PATCH", path: "/policies/{policy:made}", body: json!({}) };
    twins.vary(&change, "name", &texts()).await;
    for field in ["definition", "check"] {
        twins.vary(&change, field, &expressions).await;
    }
    twins.vary(&change, "roles", &roles).await;
    for field in ["action", "command", "table", "schema"] {
        twins.vary(&change, field, &list(json!([null, "", "x", 5]))).await;
    }
    twins.finish();
}

#[tokio::test]
async fn fields_of_publications_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(PUBLICATIONS).await else { return };
    let none = format!(
        "{MADE}; do $$ declare publication record; begin
           for publication in select pubname from pg_publication where pubname !~* '^rich' loop
             execute format('drop publication %I', publication.pubname);
           end loop;
         end $$"
    );
    let body = json!({"name": "made", "tables": ["made.t"]});
    let create = Form { fixture: none.clone(), method: "POST", path: "/publications", body };
    let fixture = format!("{none}; create publication made for table made.t with (publish = 'insert')");
    let change = Form { fixture, method: "PATCH", path: "/publications/{publication:made}", body: json!({}) };
    for form in [&create, &change] {
        twins.vary(form, "name", &texts()).await;
        twins.vary(form, "publish_insert", &truths()).await;
        for field in ["publish_update", "publish_delete", "publish_truncate"] {
            twins.vary(form, field, &list(json!([null, "", "false", "true", 0, 1, true, []]))).await;
        }
        let tables = json!([null, "", "made.t", [], ["made.t"], ["users"], [""], [null], [5], {}]);
        twins.vary(form, "tables", &list(tables)).await;
        twins
            .vary(form, "owner", &list(json!([null, "", "rich_group", ["rich_group"], 5, true, [], {}])))
            .await;
    }
    twins.finish();
}

#[tokio::test]
async fn fields_of_extensions_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(EXTENSIONS).await else { return };
    let none = "drop extension if exists citext, earthdistance, cube cascade".to_owned();
    let create = Form { fixture: none, method: "POST", path: "/extensions", body: json!({"name": "citext"}) };
    twins.vary(&create, "name", &list(json!([null, "", ["citext"], 5, true, [], {}]))).await;
    let schemas = list(json!([null, "", "shop", ["shop"], 5, true, [], {}]));
    twins.vary(&create, "schema", &schemas).await;
    let versions = json!([null, "", "1.6", 1.6, ["1.6"], 5, true, [], {}]);
    twins.vary(&create, "version", &list(versions.clone())).await;
    let dependent = Form { body: json!({"name": "earthdistance"}), ..create };
    twins.vary(&dependent, "cascade", &truths()).await;
    let old = "drop extension if exists citext cascade; create extension citext version '1.4'".to_owned();
    let change = Form { fixture: old.clone(), method: "PATCH", path: "/extensions/citext", body: json!({}) };
    twins.vary(&change, "update", &truths()).await;
    twins.vary(&change, "schema", &schemas).await;
    twins.vary(&change, "version", &list(versions.clone())).await;
    let update = Form { body: json!({"update": true}), ..change };
    twins.vary(&update, "version", &list(versions)).await;
    twins.finish();
}

#[tokio::test]
async fn a_body_that_is_no_object_changes_nothing() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    let fixture = format!(
        "{MADE}; create policy made on made.t;
        create trigger made before insert on made.t for each row execute function made.f()"
    );
    for path in [
        "/functions/{function:made.g(int4)}",
        "/triggers/{trigger:made}",
        "/policies/{policy:made}",
        "/publications/{publication:rich_none}",
        "/extensions/hstore",
        "/tables/{class:made.t}",
        "/roles/{role:rich_group}",
    ] {
        let form = Form { fixture: fixture.clone(), method: "PATCH", path, body: json!({}) };
        for body in [json!({}), json!(null), json!([]), json!("x"), json!(5), json!(true), json!([{}])] {
            twins.fill_in(&form, &format!("body {body}"), body.clone()).await;
        }
    }
    for path in [
        "/functions",
        "/triggers",
        "/policies",
        "/publications",
        "/extensions",
        "/tables",
        "/roles",
        "/schemas",
    ] {
        let form = Form { fixture: MADE.to_owned(), method: "POST", path, body: json!({}) };
        for body in [json!({}), json!(null), json!([]), json!("x"), json!(5), json!([{}])] {
            twins.fill_in(&form, &format!("body {body}"), body.clone()).await;
        }
    }
    twins.finish();
}
