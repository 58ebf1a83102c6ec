//! Changes at the same time end as if one came after the other, and nobody creates without end.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use studio_gateway_tests::{Client, Gateway, GatewayOptions, Plugin, Plugins, Project, Registry, Token};
use tokio::task::JoinSet;

async fn start(registry: Registry, settings: &[(&str, &str)]) -> (Gateway, Project) {
    let mut options = GatewayOptions::new(registry).plugins(Plugins::new([Plugin::new("probe")]));
    for (name, value) in settings {
        options = options.set(name, value);
    }
    let gateway = Gateway::start(options).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    (gateway, project)
}

/// Sends all of them at once; how many got each status.
async fn at_once(requests: Vec<(Client, &'static str, String, Value)>) -> BTreeMap<u16, usize> {
    let mut running = JoinSet::new();
    for (client, method, path, body) in requests {
        running.spawn(async move { client.call(method, &path, Some(body)).await.status });
    }
    let mut statuses = BTreeMap::new();
    while let Some(status) = running.join_next().await {
        *statuses.entry(status.unwrap()).or_default() += 1;
    }
    statuses
}

async fn two_changes_of_a_connection_at_once_end_as_one_of_them(registry: Registry) {
    let (_gateway, alpha) = start(registry, &[]).await;
    let settings = |name: &str, password: &str| {
        json!({"host": format!("{name}.localhost"), "database_name": name, "username": name, "password": password,
               "options": {"store": name, "token": password}})
    };
    let sides = [settings("one", "1"), settings("other", "22"), settings("third", "333")];
    let mut body = sides[0].clone();
    body["identifier"] = json!("main");
    let id = alpha.connect("probe", body).await;
    let path = format!("{}/{id}", alpha.connections("probe"));
    for round in 0..30 {
        let requests = (0..4)
            .map(|rival| (alpha.admin.clone(), "PUT", path.clone(), sides[(round + rival) % 3].clone()));
        let statuses = at_once(requests.collect()).await;
        // Whoever is overtaken again and again is told so, and has changed nothing.
        assert!(
            statuses.keys().all(|status| [200, 409].contains(status)) && statuses.contains_key(&200),
            "{statuses:?}"
        );
        let place = alpha.viewer.get(&alpha.path("probe", "/endpoint")).await.expect(200).data().clone();
        let facts = alpha.viewer.get(&alpha.path("probe", "/facts/x")).await.expect(200).data().clone();
        let name = place["username"].as_str().unwrap().to_owned();
        let length = match name.as_str() {
            "one" => 1,
            "other" => 2,
            _ => 3,
        };
        assert_eq!(place["host"], format!("{name}.localhost"), "{place}");
        assert_eq!(place["database_name"], name, "{place}");
        assert_eq!(place["password_length"], length, "{place}");
        assert_eq!(facts["token_length"], length, "{place} {facts}");
        let seen = alpha.viewer.get(&path).await.expect(200);
        assert_eq!(seen.data()["options"]["store"], name);
    }
}

async fn changes_that_would_not_go_together_are_not_put_together(registry: Registry) {
    let (_gateway, alpha) = start(registry, &[]).await;
    let parts = json!({"identifier": "main", "host": "127.0.0.1", "password": "first"});
    let id = alpha.connect("probe", parts).await;
    let path = format!("{}/{id}", alpha.connections("probe"));
    for round in 0..20 {
        // One takes host and password away for a string, the other changes the password.
        let string = json!({"connection_string": format!("probe://127.0.0.1:{}", 7 + round)});
        let parts =
            json!({"host": "127.0.0.1", "username": format!("u{round}"), "password": format!("p{round}")});
        let user = json!({"username": "another"});
        let requests = [string, parts, user].map(|body| (alpha.admin.clone(), "PUT", path.clone(), body));
        at_once(requests.into()).await;
        let seen = alpha.viewer.get(&path).await.expect(200).data().clone();
        let has_parts = [&seen["host"], &seen["port"], &seen["username"]].iter().any(|part| !part.is_null())
            || seen["has_password"] == true;
        assert_ne!(json!(has_parts), seen["has_connection_string"], "{seen}");
    }
}

async fn project_deleted_while_connections_are_made_leaves_none(registry: Registry) {
    let (gateway, _) = start(registry, &[]).await;
    let admin = gateway.platform_admin();
    for round in 0..12 {
        let reference = format!("doomed-{round}");
        let body = json!({"organization": "alpha-org", "name": "Doomed", "ref": reference});
        admin.post("/api/platform/projects", body).await.expect(201);
        let project = format!("/api/platform/projects/{reference}");
        let mut requests = vec![(admin.clone(), "DELETE", project, json!(null))];
        for number in 0..4 {
            let path = format!("/api/platform/probe/{reference}/connections");
            requests.push((
                admin.clone(),
                "POST",
                path,
                json!({"identifier": format!("c{number}"), "host": "127.0.0.1"}),
            ));
            let path = format!("/api/platform/projects/{reference}/members/m{number}");
            requests.push((admin.clone(), "PUT", path, json!({"role": "owner"})));
        }
        let statuses = at_once(requests).await;
        assert!(statuses.keys().all(|status| [200, 201, 204, 404].contains(status)), "{statuses:?}");
        assert_eq!(statuses[&204], 1, "{statuses:?}");
    }
    for table in ["database_connections", "project_members"] {
        let table = gateway.database.table(table);
        let projects = gateway.database.table("projects");
        let query = format!("SELECT 'left' FROM {table} WHERE project_id NOT IN (SELECT id FROM {projects})");
        assert!(gateway.database.texts(&query).await.is_empty());
    }
}

async fn one_of_many_gets_a_name(registry: Registry) {
    let (gateway, _) = start(registry, &[]).await;
    for round in 0..5 {
        let name = format!("wanted-{round}");
        let users = (0..6).map(|number| gateway.client(&Token::user(&format!("user-{number}"))));
        let body = json!({"name": name, "slug": name});
        let requests =
            users.map(|user| (user, "POST", "/api/platform/organizations".to_owned(), body.clone()));
        assert_eq!(at_once(requests.collect()).await, BTreeMap::from([(201, 1), (409, 5)]));
        let body = json!({"organization": "alpha-org", "name": name, "ref": name});
        let admin = gateway.platform_admin();
        let requests =
            (0..6).map(|_| (admin.clone(), "POST", "/api/platform/projects".to_owned(), body.clone()));
        assert_eq!(at_once(requests.collect()).await, BTreeMap::from([(201, 1), (409, 5)]));
    }
}

async fn members_who_remove_each_other_leave_the_organizations_owner(registry: Registry) {
    let (gateway, alpha) = start(registry, &[]).await;
    let admin = gateway.platform_admin();
    for round in 0..10 {
        let owners = [format!("first-{round}"), format!("second-{round}")];
        let path = |user: &str| format!("/api/platform/projects/{}/members/{user}", alpha.reference);
        for owner in &owners {
            admin.put(&path(owner), json!({"role": "owner"})).await.expect(200);
        }
        let [first, second] = owners.each_ref().map(|owner| gateway.client(&Token::user(owner)));
        let requests = vec![
            (first, "DELETE", path(&owners[1]), json!(null)),
            (second, "DELETE", path(&owners[0]), json!(null)),
        ];
        let statuses = at_once(requests).await;
        // Both may have been in time: a membership counts when a request begins.
        assert!(statuses.keys().all(|status| [204, 404].contains(status)), "{statuses:?}");
    }
    let listed = admin.get("/api/platform/projects/alpha/members").await.expect(200);
    let is_owner = |member: &Value| member["role"] == "owner" && member["via"] == "organization";
    assert!(listed.items().iter().any(is_owner), "{listed}");
}

async fn nobody_creates_more_than_the_quotas_allow(registry: Registry) {
    let (gateway, alpha) = start(
        registry,
        &[
            ("GATEWAY_ORGANIZATIONS_PER_USER", "3"),
            ("GATEWAY_PROJECTS_PER_ORGANIZATION", "4"),
            ("GATEWAY_CONNECTIONS_PER_PROJECT", "5"),
            ("GATEWAY_MEMBERS_PER_PROJECT", "7"),
        ],
    )
    .await;
    let user = gateway.client(&Token::user("eager"));
    let body = |name: &str, number: usize| json!({"name": "n", "slug": format!("{name}-{number}")});
    let organizations = "/api/platform/organizations".to_owned();
    let requests = (0..12).map(|number| (user.clone(), "POST", organizations.clone(), body("eager", number)));
    assert_eq!(at_once(requests.collect()).await, BTreeMap::from([(201, 3), (409, 9)]));
    let details = user.post(&organizations, body("late", 0)).await.refused(409, "CONFLICT");
    assert_eq!(details["limit"], 3);
    // What one has used up is nothing to others.
    gateway.client(&Token::user("modest")).post(&organizations, body("modest", 0)).await.expect(201);

    let listed = user.get(&organizations).await.expect(200);
    let mine = listed.items()[0]["slug"].as_str().unwrap().to_owned();
    let project = |number: usize| json!({"organization": mine, "name": "n", "ref": format!("p-{number}")});
    let requests =
        (0..12).map(|number| (user.clone(), "POST", "/api/platform/projects".to_owned(), project(number)));
    assert_eq!(at_once(requests.collect()).await, BTreeMap::from([(201, 4), (409, 8)]));

    let connection = |number: usize| json!({"identifier": format!("c-{number}"), "host": "127.0.0.1"});
    let requests =
        (0..12).map(|number| (alpha.admin.clone(), "POST", alpha.connections("probe"), connection(number)));
    assert_eq!(at_once(requests.collect()).await, BTreeMap::from([(201, 5), (409, 7)]));

    // Four are there.
    let path = |number: usize| format!("/api/platform/projects/alpha/members/m-{number}");
    let requests =
        (0..12).map(|number| (alpha.owner.clone(), "PUT", path(number), json!({"role": "viewer"})));
    assert_eq!(at_once(requests.collect()).await, BTreeMap::from([(200, 3), (409, 9)]));
    // To change a role needs no room.
    let path = "/api/platform/projects/alpha/members/alpha-viewer";
    alpha.owner.put(path, json!({"role": "developer"})).await.expect(200);
}

on_both_registries!(
    two_changes_of_a_connection_at_once_end_as_one_of_them,
    changes_that_would_not_go_together_are_not_put_together,
    project_deleted_while_connections_are_made_leaves_none,
    one_of_many_gets_a_name,
    members_who_remove_each_other_leave_the_organizations_owner,
    nobody_creates_more_than_the_quotas_allow,
);

#[tokio::test]
async fn taken_names_are_told_of_a_few_times_only() {
    let (gateway, _) = start(Registry::Sqlite, &[("GATEWAY_TAKEN_NAMES_PER_HOUR", "3")]).await;
    let guesser = gateway.client(&Token::user("guesser"));
    let organizations = "/api/platform/organizations";
    let taken = json!({"name": "n", "slug": "alpha-org"});
    // What is free, or wrong otherwise, is no guess.
    guesser.post(organizations, json!({"name": "n", "slug": "mine"})).await.expect(201);
    guesser
        .post(organizations, json!({"name": "n", "slug": "Not A Slug"}))
        .await
        .refused(400, "VALIDATION_ERROR");
    let project = |reference: &str| json!({"organization": "mine", "name": "n", "ref": reference});
    for _ in 0..2 {
        guesser.post(organizations, taken.clone()).await.refused(409, "CONFLICT");
    }
    guesser.post("/api/platform/projects", project("alpha")).await.refused(409, "CONFLICT");
    // Now nobody tells them anything, of names that are free neither.
    for reference in ["alpha", "free"] {
        let answer = guesser.post("/api/platform/projects", project(reference)).await;
        assert!(answer.header("retry-after").is_some());
        let details = answer.refused(429, "RATE_LIMITED");
        assert_eq!(details["limit"], "quotas.taken_names_per_hour");
    }
    gateway.client(&Token::user("other")).post(organizations, taken).await.refused(409, "CONFLICT");
}

#[tokio::test]
async fn errors_quote_no_more_of_a_body_than_is_read() {
    let (_gateway, alpha) = start(Registry::Sqlite, &[]).await;
    let long = "x".repeat(200_000);
    let surplus: serde_json::Map<_, _> =
        [("identifier".to_owned(), json!("c")), (long.clone(), json!(1))].into_iter().collect();
    let deep = json!({"identifier": "c", "host": "127.0.0.1", "options": {long.as_str(): 1}});
    for body in [Value::Object(surplus), deep, json!({"identifier": "c", "is_primary": long})] {
        let answer = alpha.admin.post(&alpha.connections("probe"), body).await.expect(400);
        assert!(answer.bytes.len() < 10_000, "{} bytes", answer.bytes.len());
    }
}
