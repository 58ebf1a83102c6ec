//! What a page may leave on a request that means nothing, or writes otherwise than it might: parameters that nobody
//! asked for, empty ones, slashes at the end, headers. Asked of the real postgres-meta and of our gateway side by side.

use serde_json::json;
use studio_gateway_tests::differential::{Accepted, Normal, Twins};

/// The lists whose parameters postgres-meta looks at before it uses them.
const LOOKED_AT: [&str; 8] = [
    "/tables",
    "/columns",
    "/views",
    "/materialized-views",
    "/foreign-tables",
    "/schemas",
    "/table-privileges",
    "/column-privileges",
];
/// The lists whose parameters it uses as they are.
const AS_THEY_ARE: [&str; 8] =
    ["/functions", "/indexes", "/policies", "/triggers", "/types", "/roles", "/extensions", "/publications"];
const GENERATORS: [&str; 4] =
    ["/generators/typescript", "/generators/go", "/generators/swift", "/generators/python"];
/// One of each.
const ONES: [&str; 10] = [
    "/tables/{class:public.users}",
    "/columns/{class:public.users}.1",
    "/views/{class:public.todos_view}",
    "/materialized-views/{class:public.todos_matview}",
    "/schemas/{schema:shop}",
    "/functions/{function:public.on_change()}",
    "/triggers/{trigger:orders_later}",
    "/roles/{role:rich_group}",
    "/publications/{publication:rich_some}",
    "/extensions/hstore",
];
const FIRST: &str = "a table's number alone stands for its first column, whatever the page";
const SLASH: &str = "a slash at the end changes nothing anywhere; postgres-meta knows it at the end of lists";

#[tokio::test]
async fn parameters_that_nobody_asked_for_are_overlooked() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    for path in LOOKED_AT.iter().chain(&AS_THEY_ARE) {
        for parameters in ["key=table-rows-1", "key=x&key=y&LIMIT=1&limit[]=1"] {
            twins.count(&format!("{path}?{parameters}")).await;
        }
    }
    for path in ONES.iter().chain(&GENERATORS).chain(&["/config/version"]) {
        twins.get(&format!("{path}?key=x")).await;
    }
    for parameters in [
        "key",
        "key=",
        "=x",
        "&",
        "&&key=x&",
        "key=%FF",
        "key=%",
        "key=%00",
        "a[b]=1",
        "connection_idx=1",
        "cascade=x",
    ] {
        for path in ["/schemas", "/roles", "/tables/{class:public.users}", "/config/version"] {
            twins.list(&format!("{path}?{parameters}")).await;
        }
    }
    for parameters in
        ["limit=x", "offset=x&limit=", "include_columns=x", "included_schemas=a&included_schemas=b"]
    {
        twins.get(&format!("/tables/{{class:public.users}}?{parameters}")).await;
        twins.get(&format!("/extensions/hstore?{parameters}")).await;
    }
    for parameters in
        ["included_schemas=public", "excluded_schemas=public", "included_schemas=&excluded_schemas=x"]
    {
        twins.list(&format!("/schemas?{parameters}")).await;
        twins.list(&format!("/roles?{parameters}")).await;
        twins.list(&format!("/publications?{parameters}")).await;
    }
    for path in ["/query", "/query/format", "/query/parse"] {
        for parameters in ["key=table-rows-1", "key", "key=%FF", "limit=x"] {
            twins.post(&format!("{path}?{parameters}"), json!({"query": "select 1"})).await;
        }
    }
    twins.post("/query/deparse?key=x", json!({"ast": []})).await;
    twins.finish();
}

#[tokio::test]
async fn changes_take_parameters_that_nobody_asked_for() {
    let Some(mut twins) = Twins::on_two_databases(&[]).await else { return };
    twins.post("/tables?key=x", json!({"name": "made"})).await;
    twins
        .patch("/tables/{class:public.made}?key=x&key=y", json!({"comment": "x", "surplus": {"a": [1]}}))
        .await;
    twins
        .post(
            "/columns?key=x",
            json!({"table_id": "{class:public.made}", "name": "a", "type": "int8", "surplus": null}),
        )
        .await;
    twins.patch("/columns/{class:public.made}.1?key=x", json!({"is_nullable": false, "surplus": 1})).await;
    twins.post("/policies?key=x", json!({"name": "made", "table": "made", "surplus": 1})).await;
    twins.post("/roles?key=x", json!({"name": "made", "surplus": 1})).await;
    let privilege = json!([{"relation_id": "{class:public.made}", "grantee": "made", "privilege_type": "SELECT", "surplus": 1}]);
    twins.post("/table-privileges?key=x", privilege.clone()).await;
    twins.remove("/table-privileges?key=x", privilege).await;
    for parameters in ["cascade=x", "cascade", "cascade=true&key=x"] {
        twins.prepare("create policy dropped on public.made; create publication dropped;").await;
        twins.delete(&format!("/policies/{{policy:dropped}}?{parameters}")).await;
        twins.delete(&format!("/publications/{{publication:dropped}}?{parameters}")).await;
        twins.prepare("create role dropped").await;
        twins.delete(&format!("/roles/{{role:dropped}}?{parameters}")).await;
    }
    twins.delete("/columns/{class:public.made}.1?key=x").await;
    twins.delete("/tables/{class:public.made}?key=x&cascade=true").await;
    twins.finish();
}

#[tokio::test]
async fn pages_may_be_numbered_as_javascript_writes_numbers() {
    let accepted = &[Accepted { request: "GET /columns/{class:public.users}?", place: "", reason: FIRST }];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    for path in LOOKED_AT.iter().chain(&AS_THEY_ARE) {
        for page in ["limit=", "limit=1.0", "offset=%201", "limit"] {
            twins.count(&format!("{path}?{page}")).await;
        }
    }
    for path in ["/schemas", "/policies"] {
        for number in ["0", "1", "1e0", "0x1", "1%20", "%2B1", "01"] {
            twins.count(&format!("{path}?limit={number}")).await;
            twins.count(&format!("{path}?offset={number}")).await;
        }
    }
    for path in ["/tables", "/functions", "/roles"] {
        for number in
            ["-1", "1.5", "x", "null", "NaN", "Infinity", "all", "true", "1e30", "99999999999999999999"]
        {
            twins.refuse_reading(&format!("{path}?limit={number}")).await;
            twins.refuse_reading(&format!("{path}?offset={number}")).await;
        }
    }
    twins.refuse_reading("/functions?limit=9223372036854775808").await;
    for page in ["limit=1", "limit=1&offset=1", "offset=1", "offset=1.0", "limit=", "limit=0"] {
        twins.get(&format!("/columns/{{class:public.users}}?{page}")).await;
    }
    twins.finish();
}

#[tokio::test]
async fn only_true_is_true_in_a_query() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    let texts = ["", "true", "false", "1", "0", "TRUE", "yes", "null", "undefined", "%20true", "true&"];
    for text in texts {
        for resource in ["indexes", "policies", "triggers", "types"] {
            twins.count(&format!("/{resource}?include_system_schemas={text}")).await;
        }
        twins.count(&format!("/views?include_columns={text}")).await;
        twins.count(&format!("/types?include_array_types={text}")).await;
        twins.list(&format!("/roles?include_default_roles={text}")).await;
        twins.list(&format!("/roles?include_system_schemas={text}")).await;
    }
    for text in ["", "true", "1", "yes"] {
        let parameters = format!("included_schemas=public&detect_one_to_one_relationships={text}");
        twins.get(&format!("/generators/typescript?{parameters}")).await;
    }
    for version in ["", "12", "13.0.1"] {
        twins
            .get(&format!("/generators/typescript?included_schemas=public&postgrest_version={version}"))
            .await;
    }
    for path in
        ["/functions?include_system_schemas", "/types?include_array_types", "/roles?include_default_roles"]
    {
        twins.count(path).await;
        twins.count(&format!("{path}=true&{}=true", &path[path.find('?').unwrap() + 1..])).await;
    }
    twins.finish();
}

#[tokio::test]
async fn what_goes_along_is_dropped_only_where_true_asks_for_it() {
    let accepted = &[Accepted {
        request: "DELETE /functions/{function:public.made()}?cascade=true",
        place: "",
        reason: "`cascade=true` is heeded for functions too",
    }];
    let Some(mut twins) = Twins::on_two_databases(accepted).await else { return };
    let fixture = "drop schema if exists made cascade; drop function if exists public.made() cascade;
        drop view if exists public.made_view; drop table if exists public.made;
        drop extension if exists citext cascade;
        create schema made; create table made.inside (a int); create table public.made (a int);
        create view public.made_view as select a from public.made;
        create function public.made() returns trigger language plpgsql as 'begin return new; end';
        create trigger made_trigger before insert on public.made for each row execute function public.made();
        create extension citext; create table made.letters (a citext)";
    for text in ["", "true", "false", "1", "0", "TRUE", "yes", "null", "true&cascade=true"] {
        for path in [
            "/tables/{class:public.made}",
            "/columns/{class:public.made}.1",
            "/functions/{function:public.made()}",
            "/triggers/{trigger:made_trigger}",
            "/extensions/citext",
        ] {
            twins.prepare(fixture).await;
            let path = format!("{path}?cascade={text}");
            twins.ask("DELETE", &path, None, Normal::default().refusals_alike()).await;
        }
    }
    twins.finish();
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_list_changes_nothing() {
    let accepted = &[
        Accepted { request: "GET /tables/{class:public.users}/", place: "", reason: SLASH },
        Accepted { request: "GET /schemas/{schema:public}/", place: "", reason: SLASH },
        Accepted { request: "GET /extensions/hstore/", place: "", reason: SLASH },
        Accepted { request: "GET /config/version/", place: "", reason: SLASH },
        Accepted { request: "GET /health/", place: "", reason: SLASH },
        Accepted { request: "POST /query/", place: "", reason: SLASH },
        Accepted { request: "PATCH /tables/{class:made.made}/", place: "", reason: SLASH },
        Accepted { request: "DELETE /tables/{class:made.made}/", place: "", reason: SLASH },
    ];
    let Some(mut twins) = Twins::on_two_databases(accepted).await else { return };
    for path in LOOKED_AT.iter().chain(&AS_THEY_ARE) {
        twins.count(&format!("{path}/")).await;
        twins.count(&format!("{path}/?limit=1")).await;
    }
    for path in GENERATORS {
        twins.get(&format!("{path}/?included_schemas=public")).await;
    }
    twins.post("/query/", json!({"query": "select 1"})).await;
    twins.post("/query/?key=x", json!({"query": "select 1"})).await;
    twins.post("/schemas/", json!({"name": "made"})).await;
    twins.post("/tables/?key=x", json!({"name": "made", "schema": "made"})).await;
    let privilege =
        json!([{"relation_id": "{class:made.made}", "grantee": "rich_group", "privilege_type": "SELECT"}]);
    twins.post("/table-privileges/", privilege.clone()).await;
    twins.remove("/table-privileges/", privilege).await;
    // Elsewhere it leads nowhere.
    for path in [
        "/tables/{class:public.users}/",
        "/schemas/{schema:public}/",
        "/extensions/hstore/",
        "/config/version/",
        "//tables",
        "/tables//",
        "/health/",
        "/generators/",
        "/generators",
        "/Tables",
        "/nothing/",
        "/tables/{class:public.users}/columns",
    ] {
        twins.get(path).await;
    }
    for path in ["/query/format/", "/query/parse/", "/query/deparse/", "/query//"] {
        twins.post(path, json!({"query": "select 1"})).await;
    }
    twins.patch("/tables/{class:made.made}/", json!({})).await;
    twins.delete("/tables/{class:made.made}/").await;
    twins.finish();
}

#[tokio::test]
async fn what_says_who_answers_is_answered() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    for path in ["", "/", "/?key=x"] {
        twins.get(path).await;
    }
    let normal = Normal::default().only_status();
    for path in ["/health", "/health?key=x"] {
        let reply = twins.ask("GET", path, None, normal).await;
        assert!(reply.body["date"].is_string(), "{}", reply.body);
    }
    for path in [
        "/",
        "/health",
        "/schemas",
        "/schemas/",
        "/config/version",
        "/tables/{class:public.users}",
        "/nothing",
    ] {
        twins.ask("HEAD", path, None, normal).await;
    }
    twins.finish();
}

#[tokio::test]
async fn headers_of_a_page_are_taken() {
    let accepted = &[Accepted {
        request: "POST /query pg: ",
        place: ".name",
        reason: "a session has our name unless it is given one",
    }];
    let Some(mut twins) = Twins::on_one_database(accepted).await else { return };
    let name = r#"{"query": "select current_setting('application_name') as name"}"#;
    let json = ("content-type", "application/json");
    let unordered = Normal::default().unordered();
    let long = "x".repeat(100);
    for given in ["studio", "Studio: it's \"odd\" \\ %20", long.as_str()] {
        let headers = [("x-pg-application-name", given), json];
        twins.send("POST", "/query", &headers, Some(name), Normal::default()).await;
        twins.send("GET", "/schemas", &[("x-pg-application-name", given)], None, unordered).await;
    }
    let empty = [("x-pg-application-name", ""), ("x-connection-encrypted", ""), json];
    let select = Some(r#"{"query": "select 1"}"#);
    twins.send("POST", "/query", &empty, select, Normal::default()).await;
    twins.send("GET", "/schemas", &empty, None, unordered).await;
    // Some editors write a mark before the body.
    twins.send("POST", "/query", &[json], Some("\u{FEFF}{\"query\": \"select 1\"}"), Normal::default()).await;
    // The plain name is what postgres-meta hides its own connection string under: it is overlooked.
    for given in ["", "x", "postgresql://nobody@127.0.0.1:1/nothing"] {
        twins.send("GET", "/schemas", &[("pg", given)], None, unordered).await;
        twins.send("POST", "/query", &[("pg", given), json], Some(name), Normal::default()).await;
    }
    for header in [
        ("accept", "text/csv"),
        ("accept", "application/xml;q=0"),
        ("prefer", "return=minimal"),
        ("range", "bytes=0-1"),
        ("if-none-match", "*"),
        ("x-supabase-info", "x"),
        ("x-http-method-override", "DELETE"),
        ("x-request-id", "a b"),
        ("origin", "http://elsewhere.example"),
        ("cookie", "a=b; c"),
        ("traceparent", "x"),
    ] {
        twins.send("GET", "/schemas", &[header], None, unordered).await;
        twins.send("POST", "/query", &[header, json], select, Normal::default()).await;
    }
    twins.finish();
}
