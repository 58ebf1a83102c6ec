//! Bodies whose fields are written otherwise than they might be: null, the empty text, a number for a text, a text for a
//! boolean, one thing where a list of them is due. Asked of the real postgres-meta and of our gateway, each on its own
//! of two databases that are alike. A difference is named by field and value: `POST /triggers condition ""`.

use serde_json::{Value, json};
use studio_gateway_tests::differential::{Accepted, Form, Twins};

/// Differences that are known, with their reasons.
const NEW_COLUMNS: &[Accepted] = &[
    Accepted { request: "POST /columns table_id null", place: "", reason: NOT_THERE },
    Accepted { request: r#"POST /columns table_id " ""#, place: "", reason: NOT_THERE },
];
const COLUMNS: &[Accepted] = &[Accepted {
    request: "PATCH /columns/{class:made.t}.2 check [null]",
    place: "",
    reason: "a list of nothing is the empty text",
}];
const ROLES: &[Accepted] = &[
    Accepted { request: "POST /roles member_of []", place: "", reason: NOBODY },
    Accepted { request: "POST /roles members []", place: "", reason: NOBODY },
    Accepted { request: "POST /roles admins []", place: "", reason: NOBODY },
    Accepted { request: "POST /roles config null", place: "", reason: "no settings are none" },
];
const PRIVILEGES: &[Accepted] = &[
    Accepted { request: "POST /table-privileges body []", place: "", reason: NOTHING },
    Accepted { request: "POST /column-privileges body []", place: "", reason: NOTHING },
    Accepted { request: "DELETE /table-privileges body []", place: "", reason: NOTHING },
    Accepted { request: "DELETE /column-privileges body []", place: "", reason: NOTHING },
];
const NOT_THERE: &str = "a table that is not there is 404, also the one with the number 0";
const NOTHING: &str = "nothing granted is nothing to show; postgres-meta lists everything";
const NOBODY: &str = "a list of nobody is empty; postgres-meta's statement then ends too early";

/// A table to change things of, alone in a schema.
const TABLE: &str = "drop schema if exists made cascade; create schema made;
    create table made.t (id int primary key, a text not null default 'd', b text, c int8 generated always as identity);
    create unique index t_a on made.t (a);
    alter table made.t enable row level security, force row level security";
/// Nobody but who was there from the start.
const NO_ROLES: &str = "do $$ declare role record; begin
    for role in select rolname from pg_roles where rolname !~ '^(pg_|rich|postgres$)' loop
      execute format('drop role %I', role.rolname);
    end loop;
  end $$";
/// No schemas of names that are numbers and the like.
const NO_SCHEMAS: &str =
    "drop schema if exists made, x, \"0\", \"1\", \"5\", \"1.5\", \"1000\", \"true\", \"false\"";

fn list(values: Value) -> Vec<Value> {
    values.as_array().unwrap().clone()
}

fn texts() -> Vec<Value> {
    list(json!([null, "", 5, 1.0, 1.5, true, ["x"], [null], [], {}]))
}

fn booleans() -> Vec<Value> {
    list(json!([null, "", "true", "false", "1", 0, 1, 1.0, 5, [true], [null], {}]))
}

fn integers() -> Vec<Value> {
    list(json!([null, "", " ", "5", "5.0", " 5 ", "0x5", "x", 5.0, 5.5, true, ["5"], {}]))
}

fn lists() -> Vec<Value> {
    list(json!([null, "", "rich_group", 5, true, [], ["rich_group"], [5], [null], {}]))
}

#[tokio::test]
async fn fields_of_tables_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    let create = Form {
        fixture: TABLE.to_owned(),
        method: "POST",
        path: "/tables",
        body: json!({"name": "new", "schema": "made"}),
    };
    twins.vary(&create, "name", &texts()).await;
    twins.vary(&create, "schema", &list(json!([null, "", ["made"], 5, true, {}]))).await;
    twins.vary(&create, "comment", &texts()).await;
    let change =
        Form { fixture: TABLE.to_owned(), method: "PATCH", path: "/tables/{class:made.t}", body: json!({}) };
    twins.vary(&change, "name", &texts()).await;
    twins.vary(&change, "schema", &list(json!([null, "", ["public"], "made", 5, true, {}]))).await;
    twins.vary(&change, "comment", &texts()).await;
    twins.vary(&change, "rls_enabled", &booleans()).await;
    twins.vary(&change, "rls_forced", &booleans()).await;
    let identities =
        json!([null, "", "FULL", "full", ["FULL"], ["FULL", "FULL"], "INDEX", "NOTHING", 5, true, {}]);
    twins.vary(&change, "replica_identity", &list(identities)).await;
    let keys = json!([null, "", "a", [], [{"name": "a"}], [{"name": ["a"]}], [{"name": 5}], [{"name": null}], [{}],
        {"name": "a"}, [{"name": "a", "surplus": 1}, {"name": "id"}], [null]]);
    twins.vary(&change, "primary_keys", &list(keys)).await;
    for index in [json!(null), json!(""), json!("t_a"), json!(["t_a"]), json!(5)] {
        for identity in ["INDEX", "FULL"] {
            let body = json!({"replica_identity": identity, "replica_identity_index": index});
            twins.fill_in(&change, &format!("{identity} {index}"), body).await;
        }
    }
    twins.finish();
}

#[tokio::test]
async fn a_table_may_be_sent_back_as_it_was_shown() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    twins.prepare(TABLE).await;
    let mut shown = twins.get("/tables/{class:made.t}").await.body;
    shown["comment"] = json!("now with a comment");
    for field in ["schema", "primary_keys"] {
        shown.as_object_mut().unwrap().shift_remove(field);
    }
    twins.patch("/tables/{class:made.t}", shown).await;
    let mut column = twins.get("/columns/{class:made.t}.2").await.body;
    column["comment"] = json!("so has the column");
    column["type"] = json!("varchar");
    for field in ["identity_generation", "default_value"] {
        column.as_object_mut().unwrap().shift_remove(field);
    }
    twins.patch("/columns/{class:made.t}.2", column).await;
    twins.finish();
}

#[tokio::test]
async fn fields_of_new_columns_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(NEW_COLUMNS).await else { return };
    let body = json!({"table_id": "{class:made.t}", "name": "new", "type": "text"});
    let create = Form { fixture: TABLE.to_owned(), method: "POST", path: "/columns", body };
    twins.vary(&create, "name", &texts()).await;
    twins.vary(&create, "type", &list(json!([null, "", 5, true, ["text"], ["int4", "text"], [], {}]))).await;
    twins.vary(&create, "table_id", &integers()).await;
    // A place inside of more is a text.
    for id in [
        json!(["{class:made.t}"]),
        json!(" {class:made.t} "),
        json!("{class:made.t}.0"),
        json!([" {class:made.t}"]),
    ] {
        twins.vary(&create, "table_id", &[id]).await;
    }
    for field in ["is_nullable", "is_primary_key", "is_unique", "is_identity"] {
        twins.vary(&create, field, &booleans()).await;
    }
    twins.vary(&create, "comment", &texts()).await;
    twins.vary(&create, "check", &list(json!([null, "", 5, true, ["new <> ''"], "new <> ''", [], {}]))).await;
    twins
        .vary(
            &create,
            "default_value",
            &list(json!([null, "", " ", 5, 1.0, 1000.0, 1.5, true, false, {"a": 1}])),
        )
        .await;
    for format in
        [json!(null), json!(""), json!("literal"), json!(["expression"]), json!("EXPRESSION"), json!(5)]
    {
        let body = json!({"table_id": "{class:made.t}", "name": "new", "type": "text", "default_value": "upper('x')",
            "default_value_format": format});
        twins.fill_in(&create, &format!("default_value_format {format}"), body).await;
    }
    let identity = Form {
        body: json!({"table_id": "{class:made.t}", "name": "new", "type": "int8", "is_identity": "true"}),
        ..create
    };
    twins
        .vary(&identity, "identity_generation", &list(json!([null, "", "ALWAYS", ["ALWAYS"], "always", 5])))
        .await;
    for more in [
        json!({"is_identity": null, "default_value": 1.0}),
        json!({"is_identity": 0, "default_value": 1000.0}),
        json!({"is_identity": true, "default_value": null}),
        json!({"is_identity": true, "default_value": ""}),
        json!({"is_identity": null, "is_unique": null, "is_primary_key": null, "comment": null}),
    ] {
        let mut body = identity.body.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        twins.fill_in(&identity, &more.to_string(), body).await;
    }
    twins.finish();
}

#[tokio::test]
async fn fields_of_columns_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(COLUMNS).await else { return };
    let change = Form {
        fixture: TABLE.to_owned(),
        method: "PATCH",
        path: "/columns/{class:made.t}.2",
        body: json!({}),
    };
    twins.vary(&change, "name", &texts()).await;
    twins.vary(&change, "type", &list(json!([null, "", 5, true, ["varchar"], [], {}]))).await;
    for field in ["is_nullable", "is_unique", "is_identity", "drop_default"] {
        twins.vary(&change, field, &booleans()).await;
    }
    twins.vary(&change, "comment", &texts()).await;
    twins.vary(&change, "default_value", &list(json!([null, "", " ", 5, 1.0, 1000.0, true, {"a": 1}]))).await;
    let checks = json!([null, "", 0, false, 5, true, "a <> ''", ["a <> ''"], [null], [], {}]);
    let checked = Form {
        fixture: "drop schema if exists made cascade; create schema made;
            create table made.t (id int primary key, a text check (a > 'x'))"
            .to_owned(),
        method: "PATCH",
        path: "/columns/{class:made.t}.2",
        body: json!({}),
    };
    twins.vary(&checked, "check", &list(checks)).await;
    let identity = Form {
        fixture: TABLE.to_owned(),
        method: "PATCH",
        path: "/columns/{class:made.t}.4",
        body: json!({"is_identity": true}),
    };
    twins.vary(&identity, "is_identity", &booleans()).await;
    twins
        .vary(
            &identity,
            "identity_generation",
            &list(json!([null, "", "ALWAYS", ["BY DEFAULT"], "always", 5])),
        )
        .await;
    for body in [
        json!({"drop_default": null, "default_value": "x"}),
        json!({"drop_default": "true", "default_value": "x"}),
        json!({"default_value": "upper('x')", "default_value_format": "expression"}),
        json!({"default_value": "", "default_value_format": "expression"}),
        json!({"default_value": "x", "default_value_format": null}),
    ] {
        twins.fill_in(&change, &body.to_string(), body.clone()).await;
    }
    twins.finish();
}

#[tokio::test]
async fn fields_of_schemas_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    let create = Form {
        fixture: NO_SCHEMAS.to_owned(),
        method: "POST",
        path: "/schemas",
        body: json!({"name": "made"}),
    };
    twins.vary(&create, "name", &texts()).await;
    let owners = list(json!([null, "", ["rich_group"], "rich_group", 5, true, [], {}]));
    twins.vary(&create, "owner", &owners).await;
    let fixture = format!("{NO_SCHEMAS}; create schema made");
    let change = Form { fixture, method: "PATCH", path: "/schemas/{schema:made}", body: json!({}) };
    twins.vary(&change, "name", &texts()).await;
    twins.vary(&change, "owner", &owners).await;
    twins.finish();
}

#[tokio::test]
async fn fields_of_roles_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(ROLES).await else { return };
    let create =
        Form { fixture: NO_ROLES.to_owned(), method: "POST", path: "/roles", body: json!({"name": "made"}) };
    let fixture = format!("{NO_ROLES}; create role made; alter role made set search_path to x");
    let change = Form { fixture, method: "PATCH", path: "/roles/{role:made}", body: json!({}) };
    for form in [&create, &change] {
        twins.vary(form, "name", &texts()).await;
        twins.vary(form, "inherit_role", &booleans()).await;
        for field in [
            "is_superuser",
            "can_create_db",
            "can_create_role",
            "can_login",
            "is_replication_role",
            "can_bypass_rls",
        ] {
            twins.vary(form, field, &list(json!([null, "true", 1, 0, "", [true]]))).await;
        }
        twins.vary(form, "connection_limit", &integers()).await;
        twins.vary(form, "password", &list(json!([null, "", 5, 1.0, true, ["x"], [], {}]))).await;
        let until = json!([null, "", 5, true, ["2050-01-01"], "infinity", [], {}]);
        twins.vary(form, "valid_until", &list(until)).await;
    }
    for field in ["member_of", "members", "admins"] {
        twins.vary(&create, field, &lists()).await;
    }
    let settings = json!([null, "", [], {}, {"search_path": ""}, {"search_path": null}, {"a.b": null}, {"": "x"},
        {"statement_timeout": 5}, {"statement_timeout": ["5"]}, {"enable_seqscan": false}, {"search_path": "a, b"}]);
    twins.vary(&create, "config", &list(settings)).await;
    let operations = json!([null, "", [], {},
        [{"op": "add", "path": "statement_timeout", "value": 5}],
        [{"op": "add", "path": "statement_timeout", "value": ["5"]}],
        [{"op": "replace", "path": "enable_seqscan", "value": false}],
        [{"op": "add", "path": "search_path", "value": ""}],
        [{"op": "add", "path": "search_path"}],
        [{"op": "add", "path": "", "value": "x"}],
        [{"op": "remove", "path": "search_path", "value": null, "surplus": 1}],
        [{"op": ["remove"], "path": ["search_path"]}],
        [{"op": null, "path": "search_path"}]]);
    twins.vary(&change, "config", &list(operations)).await;
    twins.finish();
}

#[tokio::test]
async fn fields_of_privileges_are_read_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(PRIVILEGES).await else { return };
    let fixture =
        "drop schema if exists made cascade; create schema made; create table made.t (a int, b int);
        grant select, update on made.t to rich_group; grant select (a) on made.t to rich_group";
    let table =
        json!([{"relation_id": "{class:made.t}", "grantee": "rich_group", "privilege_type": "SELECT"}]);
    let column =
        json!([{"column_id": "{class:made.t}.1", "grantee": "rich_group", "privilege_type": "SELECT"}]);
    for (path, body) in [("/table-privileges", table), ("/column-privileges", column)] {
        for method in ["POST", "DELETE"] {
            let form = Form { fixture: fixture.to_owned(), method, path, body: body.clone() };
            twins
                .vary(&form, "grantee", &list(json!([null, "", "PUBLIC", ["public"], 5, true, [], {}])))
                .await;
            let types = json!([null, "", ["SELECT"], "select", "UPDATE", "ALL", 5, {}]);
            twins.vary(&form, "privilege_type", &list(types)).await;
            twins.vary(&form, "is_grantable", &booleans()).await;
            for body in [json!([]), json!({}), json!(null), json!("x"), body[0].clone(), json!([body])] {
                twins.fill_in(&form, &format!("body {body}"), body.clone()).await;
            }
        }
    }
    let form = |method| Form {
        fixture: fixture.to_owned(),
        method,
        path: "/table-privileges",
        body: json!([{"grantee": "rich_group", "privilege_type": "SELECT"}]),
    };
    for method in ["POST", "DELETE"] {
        for id in [
            json!(" {class:made.t}"),
            json!(["{class:made.t}"]),
            json!("{class:made.t}.0"),
            json!("x"),
            json!({}),
        ] {
            twins.vary(&form(method), "relation_id", &[id]).await;
        }
    }
    twins.finish();
}
