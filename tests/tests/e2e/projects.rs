//! Organizations and projects.

use serde_json::{Value, json};
use studio_gateway_tests::{Client, Gateway, GatewayOptions, Registry, Token, World};

const ORGANIZATIONS: &str = "/api/platform/organizations";
const PROJECTS: &str = "/api/platform/projects";

fn texts(items: &[Value], field: &str) -> Vec<String> {
    let mut texts: Vec<String> = items.iter().map(|item| item[field].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

async fn list(client: &Client, path: &str, field: &str) -> Vec<String> {
    texts(&client.get(path).await.expect(200).items(), field)
}

async fn organizations_are_created_by_anyone_and_seen_by_members(registry: Registry) {
    let gateway = Gateway::start(GatewayOptions::new(registry)).await;
    let (ada, grace) = (gateway.client(&Token::user("ada")), gateway.client(&Token::user("grace")));
    let body = json!({"name": "Ada's", "slug": "ada", "billing_email": "ada@example.com"});
    let created = ada.post(ORGANIZATIONS, body).await.expect(201).data();
    assert_eq!((&created["name"], &created["slug"]), (&json!("Ada's"), &json!("ada")));
    assert!(created["id"].is_string());
    grace.post(ORGANIZATIONS, json!({"name": "Grace's", "slug": "grace"})).await.expect(201);
    assert_eq!(list(&ada, ORGANIZATIONS, "slug").await, ["ada"]);
    assert_eq!(list(&grace, ORGANIZATIONS, "slug").await, ["grace"]);
    assert_eq!(list(&gateway.platform_admin(), ORGANIZATIONS, "slug").await, ["ada", "grace"]);

    grace.post(ORGANIZATIONS, json!({"name": "Mine too", "slug": "ada"})).await.refused(409, "CONFLICT");
    for (field, body) in [
        ("name", json!({"slug": "x"})),
        ("slug", json!({"name": "X"})),
        ("name", json!({"name": "", "slug": "x"})),
        ("slug", json!({"name": "X", "slug": "Not A Slug"})),
        ("slug", json!({"name": "X", "slug": ""})),
        ("slug", json!({"name": "X", "slug": "x".repeat(100)})),
        ("name", json!({"name": 7, "slug": "x"})),
    ] {
        ada.post(ORGANIZATIONS, body).await.refused_field(field);
    }
    assert_eq!(list(&ada, ORGANIZATIONS, "slug").await, ["ada"]);
}

async fn projects_are_created_in_organizations_of_ones_own(registry: Registry) {
    let gateway = Gateway::start(GatewayOptions::new(registry)).await;
    let (ada, grace) = (gateway.client(&Token::user("ada")), gateway.client(&Token::user("grace")));
    let organization = ada.post(ORGANIZATIONS, json!({"name": "Ada's", "slug": "ada"})).await.data();
    // By slug and by id.
    let first = json!({"organization": "ada", "name": "First", "ref": "first"});
    let created = ada.post(PROJECTS, first.clone()).await.expect(201).data();
    assert_eq!((&created["ref"], &created["name"]), (&json!("first"), &json!("First")));
    let second = json!({"organization": organization["id"], "name": "Second"});
    let made_up = ada.post(PROJECTS, second).await.expect(201).data()["ref"].as_str().unwrap().to_owned();
    ada.get(&format!("{PROJECTS}/{made_up}")).await.expect(200);
    assert_eq!(list(&ada, PROJECTS, "name").await, ["First", "Second"]);
    assert_eq!(ada.get(&format!("{PROJECTS}/first")).await.expect(200).data()["ref"], "first");
    assert!(list(&grace, PROJECTS, "name").await.is_empty());

    ada.post(PROJECTS, first).await.refused(409, "CONFLICT");
    for (client, organization) in [(&grace, "ada"), (&ada, "there-is-none")] {
        let body = json!({"organization": organization, "name": "X", "ref": "x"});
        client.post(PROJECTS, body).await.refused(404, "NOT_FOUND");
    }
    for (field, body) in [
        ("organization", json!({"name": "X"})),
        ("name", json!({"organization": "ada"})),
        ("name", json!({"organization": "ada", "name": " "})),
        ("ref", json!({"organization": "ada", "name": "X", "ref": "../x"})),
        ("ref", json!({"organization": "ada", "name": "X", "ref": ""})),
        ("ref", json!({"organization": "ada", "name": "X", "ref": "a/b"})),
    ] {
        ada.post(PROJECTS, body).await.refused_field(field);
    }
    assert_eq!(list(&ada, PROJECTS, "name").await, ["First", "Second"]);
}

async fn project_database_is_kept_and_its_password_never_shown(registry: Registry) {
    let gateway = Gateway::start(GatewayOptions::new(registry)).await;
    let admin = gateway.platform_admin();
    admin.post(ORGANIZATIONS, json!({"name": "Org", "slug": "org"})).await.expect(201);
    let database =
        json!({"host": "127.0.0.1", "port": 5433, "name": "app", "user": "app", "password": "sw0rdfish-77"});
    let body = json!({"organization": "org", "name": "P", "ref": "p", "database": database});
    admin.post(PROJECTS, body).await.expect(201);
    admin.get(&format!("{PROJECTS}/p")).await.expect(200);
    admin.get(PROJECTS).await.expect(200);
    let answers = String::from_utf8_lossy(&gateway.transcript.bytes()).into_owned();
    assert!(!answers.contains("sw0rdfish-77"));
    for port in [json!(0), json!(65536), json!("x")] {
        let mut body = json!({"organization": "org", "name": "Q", "ref": "q", "database": database});
        body["database"]["port"] = port;
        admin.post(PROJECTS, body).await.refused(400, "VALIDATION_ERROR");
    }
}

async fn databases_lists_connections_of_every_type(registry: Registry) {
    let world = World::start(registry).await;
    world.alpha.connect_probe("probe", json!({})).await;
    let path = format!("{PROJECTS}/alpha/databases");
    let items = world.alpha.viewer.get(&path).await.expect(200).items();
    assert_eq!(texts(&items, "database_type"), ["probe", "redis"]);
    assert_eq!(texts(&items, "identifier"), ["main", "probe"]);
    assert!(items.iter().all(|item| item["is_primary"] == true));
    assert_eq!(list(&world.beta.viewer, &format!("{PROJECTS}/beta/databases"), "identifier").await, ["main"]);
}

async fn deleting_a_project_takes_all_of_it(registry: Registry) {
    let world = World::start(registry).await;
    let alpha = &world.alpha;
    let probe = alpha.connect_probe("probe", json!({})).await;
    alpha.developer.get(&alpha.path("probe", "/nothing")).await.expect(200);
    alpha.owner.delete(&format!("{PROJECTS}/alpha")).await.expect(204);
    for client in [&alpha.owner, &alpha.developer, &world.platform_admin] {
        for path in [
            format!("{PROJECTS}/alpha"),
            alpha.connections("probe"),
            format!("{}/{probe}", alpha.connections("probe")),
            alpha.path("probe", "/nothing"),
        ] {
            client.get(&path).await.refused(404, "NOT_FOUND");
        }
    }
    for table in ["database_connections", "project_members"] {
        let table = world.gateway.database.table(table);
        let projects = world.gateway.database.table("projects");
        let orphans =
            format!("SELECT 'row' FROM {table} WHERE project_id NOT IN (SELECT id FROM {projects})");
        assert!(world.gateway.database.texts(&orphans).await.is_empty(), "{table}");
    }
    // Its name is free again, and what comes by it has nothing of the old one.
    let again = json!({"organization": "alpha-org", "name": "alpha", "ref": "alpha"});
    world.platform_admin.post(PROJECTS, again).await.expect(201);
    assert!(world.platform_admin.get(&alpha.connections("probe")).await.items().is_empty());
    alpha.developer.get(&format!("{PROJECTS}/alpha")).await.refused(404, "NOT_FOUND");
    // The neighbour did not notice.
    world.beta.viewer.get(&format!("{PROJECTS}/beta")).await.expect(200);
}

async fn lists_are_paged(registry: Registry) {
    let gateway = Gateway::start(GatewayOptions::new(registry)).await;
    let admin = gateway.platform_admin();
    admin.post(ORGANIZATIONS, json!({"name": "Org", "slug": "org"})).await.expect(201);
    for number in 0..5 {
        let body = json!({"organization": "org", "name": format!("p{number}"), "ref": format!("p{number}")});
        admin.post(PROJECTS, body).await.expect(201);
    }
    let mut seen = Vec::new();
    for offset in [0, 2, 4] {
        seen.extend(list(&admin, &format!("{PROJECTS}?limit=2&offset={offset}"), "ref").await);
    }
    seen.sort();
    assert_eq!(seen, ["p0", "p1", "p2", "p3", "p4"]);
    admin.get(&format!("{PROJECTS}?limit=1000")).await.expect(200);
    for wrong in ["limit=1001", "limit=0", "limit=-1", "limit=x"] {
        admin.get(&format!("{PROJECTS}?{wrong}")).await.refused_field("limit");
    }
}

on_both_registries!(
    organizations_are_created_by_anyone_and_seen_by_members,
    projects_are_created_in_organizations_of_ones_own,
    project_database_is_kept_and_its_password_never_shown,
    databases_lists_connections_of_every_type,
    deleting_a_project_takes_all_of_it,
    lists_are_paged,
);
