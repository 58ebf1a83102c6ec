//! Changes of tables, columns, schemas and privileges, made through the real postgres-meta and through our gateway, each
//! on its own of two databases that are alike.

use serde_json::{Value, json};
use studio_gateway_tests::differential::{Accepted, Twins};

/// Differences that are known, with their reasons.
const CHECK: &[Accepted] = &[Accepted {
    request: "GET /tables",
    place: ".check",
    reason: "a check is PostgreSQL's own text of its expression; postgres-meta cuts so many letters off the text of the \
             whole constraint",
}];

/// The table that most columns are added to.
const TABLE: &str = "{class:public.made}";

async fn make_table(twins: &mut Twins) {
    twins.post("/tables", json!({"name": "made"})).await;
    twins
        .post(
            "/columns",
            json!({"table_id": TABLE, "name": "id", "type": "int8", "is_identity": true, "is_primary_key": true}),
        )
        .await;
}

#[tokio::test]
async fn tables_are_made_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(CHECK).await else { return };
    for body in [
        json!({"name": "made"}),
        json!({"name": "made"}),
        json!({"name": "Odd \"Name\" ☃", "schema": "Odd Schema", "comment": "It's \"one\""}),
        json!({"name": "x", "schema": "nowhere"}),
        json!({"name": "surplus", "more": 1}),
        json!({"name": ""}),
        json!({"name": null}),
        json!({"name": 1}),
        json!({}),
        json!([]),
        Value::Null,
    ] {
        twins.post("/tables", body).await;
    }
    for (name, kind) in [("a", "int4"), ("b", "text")] {
        twins.post("/columns", json!({"table_id": TABLE, "name": name, "type": kind})).await;
    }
    for body in [
        json!({}),
        json!({"comment": "a comment"}),
        json!({"comment": ""}),
        json!({"rls_enabled": true}),
        json!({"rls_forced": true}),
        json!({"rls_enabled": false, "rls_forced": false}),
        json!({"replica_identity": "FULL"}),
        json!({"replica_identity": "NOTHING"}),
        json!({"replica_identity": "INDEX"}),
        json!({"replica_identity": "SOMETHING"}),
        json!({"primary_keys": [{"name": "a"}]}),
        json!({"primary_keys": [{"name": "b"}, {"name": "a"}]}),
        json!({"primary_keys": [{"name": "nothing"}]}),
        json!({"replica_identity": "INDEX", "replica_identity_index": "made_pkey"}),
        json!({"primary_keys": []}),
        json!({"replica_identity": "DEFAULT"}),
        json!({"schema": "nowhere"}),
        json!({"name": "users"}),
        json!({"name": 1}),
        json!({"rls_enabled": "yes"}),
        json!({"surplus": 1}),
        json!({"name": "Renamed \"☃\"", "schema": "shop", "comment": "moved"}),
    ] {
        twins.patch(&format!("/tables/{TABLE}"), body).await;
    }
    let renamed = r#"{class:shop."Renamed ""☃"""}"#;
    twins.patch(&format!("/tables/{renamed}"), json!({"name": "made", "schema": "public"})).await;
    twins.patch("/tables/1", json!({"name": "x"})).await;
    twins.patch("/tables/abc", json!({"name": "x"})).await;
    twins.list("/tables").await;

    twins.prepare("create view public.on_made as select * from public.made").await;
    for path in [
        format!("/tables/{TABLE}"),
        format!("/tables/{TABLE}?cascade=false"),
        format!("/tables/{TABLE}?cascade=maybe"),
        format!("/tables/{TABLE}?cascade=true"),
        format!("/tables/{TABLE}"),
        "/tables/{class:public.events}".to_owned(),
        "/tables/{class:public.cities}?cascade=true".to_owned(),
        "/tables/{class:public.todos_view}".to_owned(),
        "/tables/abc".to_owned(),
    ] {
        twins.delete(&path).await;
    }
    twins.list("/tables").await;
    twins.list("/views").await;
    twins.finish();
}

#[tokio::test]
async fn columns_are_made_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    make_table(&mut twins).await;
    for column in [
        json!({"name": "plain", "type": "text"}),
        json!({"name": "plain", "type": "text"}),
        json!({"name": "Odd \"Name\" ☃", "type": "int4", "comment": "It's"}),
        json!({"name": "not_null", "type": "int4", "is_nullable": false}),
        json!({"name": "nullable", "type": "int4", "is_nullable": true}),
        json!({"name": "only", "type": "int4", "is_unique": true}),
        json!({"name": "identity_2", "type": "int4", "is_identity": true, "identity_generation": "ALWAYS"}),
        json!({"name": "identity_3", "type": "int4", "is_identity": true, "identity_generation": "SOMETIMES"}),
        json!({"name": "identity_4", "type": "text", "is_identity": true}),
        json!({"name": "default_literal", "type": "text", "default_value": "It's"}),
        json!({"name": "default_literal_2", "type": "text", "default_value": "x", "default_value_format": "literal"}),
        json!({"name": "default_number", "type": "int4", "default_value": 42}),
        json!({"name": "default_float", "type": "float8", "default_value": 1.5}),
        json!({"name": "default_true", "type": "bool", "default_value": true}),
        json!({"name": "default_null", "type": "bool", "default_value": null}),
        json!({"name": "default_object", "type": "jsonb", "default_value": {"a": [1, null]}}),
        json!({"name": "default_empty", "type": "text", "default_value": ""}),
        json!({"name": "default_now", "type": "timestamptz", "default_value": "now()", "default_value_format": "expression"}),
        json!({"name": "default_moment", "type": "timestamptz", "default_value": "1234-05-06 00:00+00"}),
        json!({"name": "default_odd", "type": "int4", "default_value": "x", "default_value_format": "expression"}),
        json!({"name": "default_odd_2", "type": "int4", "default_value": "x"}),
        json!({"name": "default_odd_3", "type": "int4", "default_value": 1, "default_value_format": "something"}),
        json!({"name": "checked", "type": "text", "check": "checked <> ''"}),
        json!({"name": "checked_2", "type": "text", "check": "nothing > 1"}),
        json!({"name": "listed", "type": "text[]"}),
        json!({"name": "mood", "type": "mood"}),
        json!({"name": "mood_2", "type": "public.mood"}),
        json!({"name": "mood_3", "type": "Mixed Case"}),
        json!({"name": "mood_4", "type": "mood[]"}),
        json!({"name": "sized", "type": "varchar(20)"}),
        json!({"name": "sized_2", "type": "character varying"}),
        json!({"name": "number", "type": "numeric(10,2)"}),
        json!({"name": "moment", "type": "timestamp with time zone"}),
        json!({"name": "serial", "type": "serial"}),
        json!({"name": "precise", "type": "double precision"}),
        json!({"name": "unknown", "type": "nothing"}),
        json!({"name": "key_too", "type": "int4", "is_primary_key": true}),
        json!({"name": "", "type": "int4"}),
        json!({"name": "no_type"}),
        json!({"type": "int4"}),
        json!({"name": null, "type": "int4"}),
        json!({"name": 1, "type": "int4"}),
        json!({"name": "x", "type": "int4", "is_nullable": "no"}),
    ] {
        let mut body = column;
        body["table_id"] = TABLE.into();
        twins.post("/columns", body).await;
    }
    for (kind, default) in [("int4; drop table public.users", json!(1)), ("int4[]", json!([1, 2]))] {
        let body = json!({"table_id": TABLE, "name": "bad", "type": kind, "default_value": default});
        twins.refuse("POST", "/columns", body).await;
    }
    for body in [
        json!({"table_id": 1, "name": "x", "type": "int4"}),
        json!({"table_id": "abc", "name": "x", "type": "int4"}),
        json!({"table_id": "{class:public.todos_view}", "name": "x", "type": "int4"}),
        json!({"table_id": "{class:Odd Schema.nothing}", "name": "x", "type": "int4"}),
        json!({}),
    ] {
        twins.post("/columns", body).await;
    }
    twins.list("/columns?included_schemas=public").await;
    twins.get(&format!("/tables/{TABLE}")).await;
    twins.finish();
}

#[tokio::test]
async fn columns_are_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    make_table(&mut twins).await;
    let column = json!({"table_id": TABLE, "name": "c", "type": "int4"});
    twins.post("/columns", column).await;
    for body in [
        json!({}),
        json!({"comment": "It's"}),
        json!({"comment": ""}),
        json!({"is_nullable": false}),
        json!({"is_nullable": true}),
        json!({"is_unique": true}),
        json!({"is_unique": true}),
        json!({"is_unique": false}),
        json!({"default_value": 42}),
        json!({"default_value": "7"}),
        json!({"default_value": "1 + 1", "default_value_format": "expression"}),
        json!({"default_value": "x"}),
        json!({"default_value": null}),
        json!({"drop_default": true, "default_value": 3}),
        json!({"drop_default": true}),
        json!({"check": "c > 0"}),
        json!({"check": "c > 1"}),
        json!({"check": null}),
        json!({"check": "nothing"}),
        json!({"is_identity": true, "is_nullable": false}),
        json!({"is_identity": true, "identity_generation": "ALWAYS"}),
        json!({"identity_generation": "ALWAYS"}),
        json!({"is_identity": true}),
        json!({"is_identity": false}),
        json!({"type": "int8"}),
        json!({"type": "text"}),
        json!({"type": "text", "default_value": "x"}),
        json!({"type": "mood"}),
        json!({"type": "text", "drop_default": true}),
        json!({"type": "uuid"}),
        json!({"type": "nothing"}),
        json!({"type": "varchar(10)"}),
        json!({"name": "id"}),
        json!({"name": ""}),
        json!({"name": 1}),
        json!({"is_nullable": "no"}),
        json!({"surplus": 1}),
        json!({"name": "Odd \"Name\" ☃", "comment": "x", "is_unique": true}),
        json!({"name": "c"}),
    ] {
        twins.patch(&format!("/columns/{TABLE}.2"), body).await;
        twins.get(&format!("/columns/{TABLE}.2")).await;
    }
    for path in ["/columns/1.1", "/columns/abc", "/columns/1", &format!("/columns/{TABLE}.99")] {
        twins.patch(path, json!({"comment": "x"})).await;
        twins.delete(path).await;
    }
    twins.patch("/columns/{class:public.todos_view}.2", json!({"comment": "x"})).await;
    twins.patch("/columns/{class:public.todos_view}.2", json!({"is_nullable": false})).await;
    twins.prepare("create view public.on_made as select c from public.made").await;
    twins.delete(&format!("/columns/{TABLE}.2")).await;
    twins.delete(&format!("/columns/{TABLE}.2?cascade=true")).await;
    twins.delete(&format!("/columns/{TABLE}.2")).await;
    twins.delete(&format!("/columns/{TABLE}.1?cascade=false")).await;
    twins.list("/columns?included_schemas=public").await;
    twins.list("/views").await;
    twins.finish();
}

#[tokio::test]
async fn schemas_are_made_changed_and_removed_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    for body in [
        json!({"name": "made"}),
        json!({"name": "made"}),
        json!({"name": "Odd \"Name\" ☃", "owner": "rich_owner"}),
        json!({"name": "owned", "owner": "rich Quoted \"Röle\""}),
        json!({"name": "x", "owner": "nobody"}),
        json!({"name": "pg_x"}),
        json!({"name": ""}),
        json!({"name": null}),
        json!({"name": 1}),
        json!({}),
    ] {
        twins.post("/schemas", body).await;
    }
    for body in [
        json!({}),
        json!({"owner": "rich_owner"}),
        json!({"owner": "nobody"}),
        json!({"name": "shop"}),
        json!({"name": "pg_x"}),
        json!({"name": 1}),
        json!({"surplus": 1}),
        json!({"name": "Renamed \"☃\"", "owner": "postgres"}),
    ] {
        twins.patch("/schemas/{schema:made}", body).await;
    }
    twins.patch("/schemas/1", json!({"name": "x"})).await;
    twins.patch("/schemas/abc", json!({"name": "x"})).await;
    twins.list("/schemas").await;
    for path in [
        "/schemas/{schema:Renamed \"☃\"}",
        "/schemas/{schema:shop}",
        "/schemas/{schema:shop}?cascade=false",
        "/schemas/{schema:shop}?cascade=true",
        "/schemas/{schema:shop}",
        "/schemas/abc",
        "/schemas/{schema:pg_catalog}",
    ] {
        twins.delete(path).await;
    }
    twins.list("/schemas").await;
    twins.list("/tables").await;
    twins.finish();
}

#[tokio::test]
async fn privileges_are_granted_and_revoked_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    let (users, orders) = ("{class:public.users}", "{class:shop.orders}");
    let odd = r#"{class:"Odd Schema"."Weird ""Table"" 100%"}"#;
    let grant = |relation: &str, grantee: &str, privilege: &str| json!({"relation_id": relation, "grantee": grantee, "privilege_type": privilege});
    let grantable = |mut body: Value, is_grantable: Value| {
        body["is_grantable"] = is_grantable;
        body
    };
    for body in [
        json!([grant(users, "rich_reader", "INSERT")]),
        json!([grant(users, "rich_reader", "ALL")]),
        json!([grantable(grant(users, "rich_reader", "DELETE"), true.into())]),
        json!([grant(users, "public", "UPDATE"), grant(orders, "rich Quoted \"Röle\"", "SELECT")]),
        json!([grant(odd, "rich_group", "TRIGGER")]),
        json!([grantable(grant(odd, "rich_group", "TRUNCATE"), false.into())]),
        json!([grant("{class:public.todos_view}", "rich_group", "SELECT")]),
        json!([grant(users, "nobody", "SELECT")]),
        json!([grant(users, "rich_group", "EVERYTHING")]),
        json!([grant(users, "rich_group", "select")]),
        json!([grantable(grant(users, "rich_reader", "DELETE"), "yes".into())]),
        json!([{"relation_id": users}]),
        json!([{}]),
        json!({}),
        Value::Null,
    ] {
        twins.post("/table-privileges", body.clone()).await;
        twins.list("/table-privileges").await;
        twins.remove("/table-privileges", body).await;
        twins.list("/table-privileges").await;
    }
    let grant = |column: &str, grantee: &str, privilege: &str| json!({"column_id": column, "grantee": grantee, "privilege_type": privilege});
    for body in [
        json!([grant(&format!("{users}.2"), "rich_reader", "UPDATE")]),
        json!([grant(&format!("{users}.2"), "rich_reader", "ALL")]),
        json!([grantable(grant(&format!("{users}.3"), "rich_group", "SELECT"), true.into())]),
        json!([
            grant(&format!("{users}.1"), "public", "REFERENCES"),
            grant(&format!("{orders}.2"), "rich_group", "INSERT")
        ]),
        json!([grant(&format!("{odd}.5"), "rich Quoted \"Röle\"", "SELECT")]),
        json!([grant(&format!("{users}.2"), "nobody", "SELECT")]),
        json!([grant("abc", "rich_group", "SELECT")]),
        json!([grant(&format!("{users}.2"), "rich_group", "DELETE")]),
        json!([{}]),
        json!({}),
    ] {
        twins.post("/column-privileges", body.clone()).await;
        twins.list("/column-privileges?included_schemas=public,shop,Odd%20Schema").await;
        twins.remove("/column-privileges", body).await;
        twins.list("/column-privileges?included_schemas=public,shop,Odd%20Schema").await;
    }
    twins.finish();
}
