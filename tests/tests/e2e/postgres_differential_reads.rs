//! What only reads, asked of the real postgres-meta and of our gateway side by side, on one database.

use studio_gateway_tests::differential::{Accepted, Twins};

/// Differences that are known, with their reasons.
const ACCEPTED: &[Accepted] = &[
    Accepted { request: "GET /t", place: "].check", reason: CHECK },
    Accepted { request: "GET /columns", place: ".check", reason: CHECK },
    Accepted { request: "GET /triggers", place: ".events.length", reason: TRUNCATE },
];
const GENERATED: &[Accepted] = &[Accepted {
    request: "GET /generators/typescript?included_schemas=Odd",
    place: ")",
    reason: "a reference by columns whose names need quotes has these columns; postgres-meta has `null`",
}];
const CHECK: &str = "a check is PostgreSQL's own text of its expression; postgres-meta cuts so many letters off the text of \
    the whole constraint";
const TRUNCATE: &str =
    "TRUNCATE is among a trigger's events; postgres-meta asks the information schema, which does not know it";

/// What is listed by schema and has ids.
const BY_SCHEMA: [&str; 10] = [
    "tables",
    "columns",
    "views",
    "materialized-views",
    "functions",
    "indexes",
    "policies",
    "triggers",
    "column-privileges",
    "table-privileges",
];
/// What its lists are asked with.
const FILTERS: [&str; 8] = [
    "",
    "?included_schemas=public",
    "?included_schemas=public,shop",
    "?included_schemas=Odd%20Schema,select,nowhere",
    "?excluded_schemas=public,shop",
    "?include_system_schemas=true",
    "?include_system_schemas=false",
    "?included_schemas=na%C3%AFve%20%E2%98%83",
];

#[tokio::test]
async fn lists_are_those_of_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(ACCEPTED).await else { return };
    for resource in BY_SCHEMA {
        for filter in FILTERS {
            twins.list(&format!("/{resource}{filter}")).await;
        }
    }
    for filter in FILTERS.iter().take(3).chain(FILTERS.iter().skip(5).take(2)) {
        twins.list(&format!("/types{filter}")).await;
    }
    for path in [
        "/tables?include_columns=false",
        "/tables?include_columns=true&included_schemas=shop",
        "/views?include_columns=false",
        "/views?include_columns=true&included_schemas=shop",
        "/materialized-views?include_columns=false",
        "/materialized-views?include_columns=true",
        "/foreign-tables",
        "/foreign-tables?include_columns=false",
        "/foreign-tables?include_columns=true",
        "/types?include_array_types=true",
        "/types?include_array_types=true&include_system_schemas=true",
        "/schemas",
        "/schemas?include_system_schemas=true",
        "/schemas?include_system_schemas=false",
        "/roles",
        "/roles?include_default_roles=true",
        "/roles?include_system_schemas=true",
        "/extensions",
        "/publications",
        "/config/version",
    ] {
        twins.list(path).await;
    }
    twins.finish();
}

#[tokio::test]
async fn pages_of_lists_are_those_of_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    for resource in BY_SCHEMA.iter().chain(&["types", "schemas", "roles", "foreign-tables"]) {
        for page in ["limit=1000", "limit=3", "limit=2&offset=2", "offset=100000"] {
            // Which ones are on a page is left open where there is no order; how many is not.
            twins.count(&format!("/{resource}?{page}")).await;
        }
    }
    twins.count("/config?limit=3&offset=2").await;
    twins.finish();
}

#[tokio::test]
async fn each_one_by_its_id_is_that_of_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(ACCEPTED).await else { return };
    for resource in BY_SCHEMA.iter().take(8).chain(&["schemas", "roles", "publications"]) {
        let list = twins.list(&format!("/{resource}")).await;
        assert!(!list.items().is_empty(), "{resource}");
        for item in list.items() {
            let id = item["id"].to_string();
            twins.get(&format!("/{resource}/{}", id.trim_matches('"'))).await;
        }
    }
    for name in ["plpgsql", "hstore", "pgcrypto", "btree_gist", "file_fdw", "nothing", "a%20b"] {
        twins.get(&format!("/extensions/{name}")).await;
    }
    // Indexes and tables of the system can be asked for too.
    for class in ["pg_catalog.pg_class", "pg_catalog.pg_proc", "information_schema.sql_features"] {
        twins.get(&format!("/tables/{{class:{class}}}")).await;
    }
    twins.get("/views/{class:pg_catalog.pg_roles}").await;
    twins.get("/functions/{function:pg_catalog.abs(integer)}").await;
    // A number that belongs to something of another kind.
    for resource in ["tables", "views", "materialized-views", "functions", "policies"] {
        for id in ["{class:public.todos_view}", "{class:public.users}", "{class:public.remote_things}"] {
            twins.get(&format!("/{resource}/{id}")).await;
        }
    }
    twins.finish();
}

#[tokio::test]
async fn absent_and_senseless_reads_are_answered_as_in_postgres_meta() {
    let Some(mut twins) = Twins::on_one_database(&[]).await else { return };
    for resource in BY_SCHEMA.iter().take(8).chain(&["schemas", "roles", "publications"]) {
        // postgres-meta takes a number without a dot for a table's, and answers with nothing, or one of its columns.
        let ids = ["/1", "/4294967295", "/abc", "/1.5"];
        for id in ids.iter().skip(if *resource == "columns" { 2 } else { 0 }) {
            twins.get(&format!("/{resource}{id}")).await;
        }
    }
    for resource in
        ["tables", "columns", "views", "materialized-views", "column-privileges", "table-privileges"]
    {
        for rest in ["limit=abc", "limit=-1", "offset=-1", "limit=1.5", "include_system_schemas=maybe"] {
            let is_known = resource != "materialized-views" || !rest.starts_with("include");
            if is_known {
                twins.refuse_reading(&format!("/{resource}?{rest}")).await;
            }
        }
    }
    for path in [
        "/columns/{class:public.users}.1",
        "/columns/{class:public.users}.99",
        "/columns/1.1",
        "/columns/{class:public.users}.x",
        "/nothing",
        "/tables/1/columns",
        "/config/nothing",
        "/generators/cobol",
    ] {
        twins.get(path).await;
    }
    twins.finish();
}

#[tokio::test]
async fn types_are_generated_as_postgres_meta_does() {
    let Some(mut twins) = Twins::on_one_database(GENERATED).await else { return };
    for language in ["typescript", "go", "swift", "python"] {
        for filter in [
            "",
            "?included_schemas=public",
            "?included_schemas=shop,%20public",
            "?included_schemas=Odd%20Schema,select,na%C3%AFve%20%E2%98%83",
            "?included_schemas=nowhere",
            "?included_schemas=empty_schema",
            "?excluded_schemas=public",
        ] {
            twins.get(&format!("/generators/{language}{filter}")).await;
        }
    }
    for filter in [
        "?detect_one_to_one_relationships=true",
        "?detect_one_to_one_relationships=false&included_schemas=shop",
        "?postgrest_version=12",
        "?postgrest_version=13",
    ] {
        twins.get(&format!("/generators/typescript{filter}")).await;
    }
    for filter in ["?access_control=public", "?access_control=private", "?access_control=nonsense"] {
        twins.get(&format!("/generators/swift{filter}")).await;
    }
    twins.finish();
}
