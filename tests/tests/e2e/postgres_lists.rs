//! Lists of a PostgreSQL database's parts through the gateway, in its own envelope, and what a viewer may see.

use serde_json::{Value, json};
use studio_gateway_tests::{PostgresWorld, Token};

/// Every list, and the query for how many it has where nothing is asked for.
const LISTS: [(&str, &str); 14] = [
    ("schemas", "select count(*)::text from pg_namespace where nspname !~ '^(pg_|information_schema$)'"),
    ("tables", "select count(*)::text from pg_class where relkind in ('r', 'p') and relnamespace in (USERS)"),
    ("views", "select count(*)::text from pg_class where relkind = 'v' and relnamespace in (USERS)"),
    (
        "materialized-views",
        "select count(*)::text from pg_class where relkind = 'm' and relnamespace in (USERS)",
    ),
    ("foreign-tables", "select count(*)::text from pg_class where relkind = 'f' and relnamespace in (USERS)"),
    ("policies", "select count(*)::text from pg_policy"),
    ("triggers", "select count(*)::text from pg_trigger where not tgisinternal"),
    ("publications", "select count(*)::text from pg_publication"),
    ("extensions", "select count(*)::text from pg_available_extensions"),
    (
        "indexes",
        "select count(*)::text from pg_index join pg_class on oid = indexrelid where relnamespace in (USERS)",
    ),
    ("functions", "select count(*)::text from pg_proc where prokind = 'f' and pronamespace in (USERS)"),
    ("columns", ""),
    ("types", ""),
    ("roles", ""),
];
const USERS: &str = "select oid from pg_namespace where nspname !~ '^(pg_|information_schema$)'";

#[tokio::test]
async fn every_list_is_whole_and_open_to_viewers() {
    let world = PostgresWorld::start_rich().await;
    let stranger = world.gateway.client(&Token::user("stranger"));
    for (resource, count) in LISTS {
        let path = world.path(&format!("/{resource}"));
        let items = world.alpha.viewer.get(&path).await.expect(200).items();
        assert!(!items.is_empty(), "{resource}");
        if !count.is_empty() {
            let count = world.database.text(&count.replace("USERS", USERS)).await;
            assert_eq!(items.len().to_string(), count, "{resource}");
        }
        stranger.get(&path).await.refused(404, "NOT_FOUND");
        // The same list under the other name, without the envelope.
        let bare = world.alpha.viewer.get(&world.bare_path(&format!("/{resource}"))).await.expect(200).json();
        // postgres-meta leaves out indexes that have expressions only.
        if resource != "indexes" {
            assert_eq!(without_restless(&bare), without_restless(&Value::Array(items)), "{resource}");
        }
    }
}

/// Numbers of connections change by the moment.
fn without_restless(list: &Value) -> Vec<Value> {
    let mut items = list.as_array().expect("a list").clone();
    for item in &mut items {
        if let Some(item) = item.as_object_mut() {
            item.remove("active_connections");
        }
    }
    // The order of some lists is left open.
    items.sort_by_cached_key(Value::to_string);
    items
}

#[tokio::test]
async fn lists_are_filtered_by_schema_and_paged() {
    let world = PostgresWorld::start_rich().await;
    let viewer = &world.alpha.viewer;
    let schemas = async |path: &str| -> Vec<String> {
        let items = viewer.get(&world.path(path)).await.expect(200).items();
        let mut names: Vec<String> =
            items.iter().map(|item| item["schema"].as_str().unwrap_or_default().to_owned()).collect();
        names.sort();
        names.dedup();
        names
    };
    for resource in ["tables", "columns", "functions", "views", "indexes", "policies", "triggers"] {
        assert_eq!(schemas(&format!("/{resource}?included_schemas=shop")).await, ["shop"], "{resource}");
        assert_eq!(schemas(&format!("/{resource}?included_schemas=nowhere")).await, [""; 0], "{resource}");
        let others = schemas(&format!("/{resource}?excluded_schemas=shop")).await;
        assert!(others.contains(&"public".to_owned()) && !others.contains(&"shop".to_owned()), "{resource}");
        let page = viewer.get(&world.path(&format!("/{resource}?limit=1"))).await.expect(200).items();
        assert_eq!(page.len(), 1, "{resource}");
        let beyond = viewer.get(&world.path(&format!("/{resource}?offset=100000"))).await.expect(200).items();
        assert!(beyond.is_empty(), "{resource}");
        viewer.get(&world.path(&format!("/{resource}?limit=abc"))).await.refused_field("limit");
        viewer.get(&world.path(&format!("/{resource}?nothing=1"))).await.refused_field("nothing");
    }
    // Pages of an ordered list are the list.
    let whole = viewer.get(&world.path("/tables")).await.expect(200).items();
    let mut pages = Vec::new();
    for offset in (0..whole.len()).step_by(7) {
        let path = world.path(&format!("/tables?limit=7&offset={offset}"));
        pages.extend(viewer.get(&path).await.expect(200).items());
    }
    assert_eq!(pages, whole);
    let system = schemas("/tables?include_system_schemas=true").await;
    assert!(system.contains(&"pg_catalog".to_owned()), "{system:?}");
    let without = viewer.get(&world.path("/tables?include_columns=false&limit=1")).await.expect(200).items();
    assert!(without[0].get("columns").is_none(), "{}", without[0]);
}

#[tokio::test]
async fn server_says_what_it_is() {
    let world = PostgresWorld::start_rich().await;
    let info = world.alpha.viewer.get(&world.path("/info")).await.expect(200).data();
    let version = world.database.text("show server_version").await;
    assert!(
        info["version"].as_str().is_some_and(|text| version.starts_with(text) || text.contains(&version)),
        "{info}"
    );
    assert!(info["uptime_seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0), "{info}");
    assert!(info["database_size"].is_number() && !info["connections"].is_null(), "{info}");
    let config = world.alpha.viewer.get(&world.path("/config")).await.expect(200).items();
    assert!(config.iter().any(|setting| setting["name"] == "max_connections"));
    let tested = world.path(&format!("/connections/{}/test", world.alpha.connection));
    let tested = world.alpha.owner.post(&tested, json!({})).await.expect(200).data();
    assert_eq!(tested["success"], true, "{tested}");
    assert!(tested["version"].as_str().is_some_and(|text| !text.is_empty()), "{tested}");
}
