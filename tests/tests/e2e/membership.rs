//! Members: who is one, who may make one, and what happens when one is removed.

use serde_json::{Value, json};
use studio_gateway_tests::{Registry, Token, World};

const MEMBERS: &str = "/api/platform/projects/alpha/members";

fn role_of(members: &[Value], user: &str, via: &str) -> Option<String> {
    let found = members.iter().find(|member| member["user_id"] == user && member["via"] == via)?;
    found["role"].as_str().map(str::to_owned)
}

async fn owner_adds_changes_and_removes_members(registry: Registry) {
    let world = World::start(registry).await;
    let owner = &world.alpha.owner;
    let newcomer = world.gateway.client(&Token::user("newcomer"));
    let path = format!("{MEMBERS}/newcomer");
    newcomer.get("/api/platform/projects/alpha").await.refused(404, "NOT_FOUND");
    for (role, can_write) in [("viewer", false), ("developer", true), ("viewer", false), ("owner", true)] {
        let answer = owner.put(&path, json!({"role": role})).await;
        assert!(matches!(answer.status, 200 | 201), "{answer}");
        let members = newcomer.get(MEMBERS).await.expect(200).items();
        assert_eq!(role_of(&members, "newcomer", "project").as_deref(), Some(role));
        world.alpha.connect_probe(&format!("probe-{role}"), json!({})).await;
        let wrote = newcomer.post("/api/platform/probe/alpha/write", json!({})).await;
        assert_eq!(wrote.status, if can_write { 204 } else { 403 }, "{role}: {wrote}");
        owner
            .delete(&format!("/api/platform/probe/alpha/connections/{}", primary(&world).await))
            .await
            .expect(204);
    }
    owner.delete(&path).await.expect(204);
    newcomer.get("/api/platform/projects/alpha").await.refused(404, "NOT_FOUND");
    owner.delete(&path).await.refused(404, "NOT_FOUND");
    for wrong in [json!({"role": "emperor"}), json!({"role": "Owner "}), json!({"role": 1}), json!({})] {
        owner.put(&path, wrong).await.refused_field("role");
    }
}

async fn primary(world: &World) -> String {
    let connections = world.alpha.owner.get(&world.alpha.connections("probe")).await.items();
    connections[0]["id"].as_str().unwrap().to_owned()
}

async fn removed_member_is_refused_on_the_next_request(registry: Registry) {
    let world = World::start(registry).await;
    let alpha = &world.alpha;
    alpha.connect_probe("probe", json!({})).await;
    let nothing = alpha.path("probe", "/nothing");
    // Warm in every way: token verified, role looked up, session open.
    for _ in 0..3 {
        alpha.developer.get(&nothing).await.expect(200);
    }
    alpha.owner.delete(&format!("{MEMBERS}/alpha-developer")).await.expect(204);
    alpha.developer.get(&nothing).await.refused(404, "NOT_FOUND");
    alpha.developer.get("/api/platform/projects/alpha").await.refused(404, "NOT_FOUND");
    alpha.owner.put(&format!("{MEMBERS}/alpha-developer"), json!({"role": "viewer"})).await;
    alpha.developer.get(&nothing).await.expect(200);
    alpha.developer.post(&alpha.path("probe", "/write"), json!({})).await.refused(403, "FORBIDDEN");
}

async fn members_of_the_organization_are_members_of_its_projects(registry: Registry) {
    let world = World::start(registry).await;
    let founder = world.gateway.client(&Token::user("founder"));
    founder.post("/api/platform/organizations", json!({"name": "Mine", "slug": "mine"})).await.expect(201);
    let project = json!({"organization": "mine", "name": "First", "ref": "first"});
    founder.post("/api/platform/projects", project).await.expect(201);
    let members = founder.get("/api/platform/projects/first/members").await.expect(200).items();
    assert_eq!(role_of(&members, "founder", "organization").as_deref(), Some("owner"));
    // An owner everywhere in it, and nowhere else.
    let connection = json!({"identifier": "probe", "host": "127.0.0.1"});
    founder.post("/api/platform/probe/first/connections", connection).await.expect(201);
    founder.get("/api/platform/projects/alpha").await.refused(404, "NOT_FOUND");
    let table = world.gateway.database.table("organization_members");
    for (stored, granted) in
        [("member", "read"), ("read_only", "read"), ("developer", "write"), ("emperor", "")]
    {
        let user = format!("colleague-{stored}");
        let statement = format!(
            "INSERT INTO {table} (organization_id, user_id, role) \
             SELECT organization_id, '{user}', '{stored}' FROM {table} WHERE user_id = 'founder'"
        );
        // What another service writes is seen within the time that lookups are remembered, so ask a new user.
        assert_eq!(world.gateway.database.execute(&statement).await, 1);
        let answer = world.gateway.client(&Token::user(&user)).get("/api/platform/probe/first/facts/x").await;
        match granted {
            "" => _ = answer.refused(404, "NOT_FOUND"),
            granted => assert_eq!(answer.data()["granted"], granted, "{stored}"),
        }
    }
}

async fn strangers_find_nothing(registry: Registry) {
    let world = World::start(registry).await;
    world.alpha.connect_probe("probe", json!({})).await;
    for client in [&world.stranger, &world.beta.owner] {
        for (method, path, body) in [
            ("GET", "/api/platform/projects/alpha".to_owned(), None),
            ("DELETE", "/api/platform/projects/alpha".to_owned(), None),
            ("GET", "/api/platform/projects/alpha/databases".to_owned(), None),
            ("GET", MEMBERS.to_owned(), None),
            ("PUT", format!("{MEMBERS}/me"), Some(json!({"role": "owner"}))),
            ("DELETE", format!("{MEMBERS}/alpha-owner"), None),
            ("GET", world.alpha.connections("probe"), None),
            ("POST", world.alpha.connections("probe"), Some(json!({"identifier": "x", "host": "127.0.0.1"}))),
            ("GET", world.alpha.path("probe", "/nothing"), None),
            ("POST", world.alpha.path("probe", "/write"), None),
            ("POST", world.alpha.path("probe", "/admin"), None),
            ("GET", "/api/platform/projects/there-is-none".to_owned(), None),
            ("GET", "/api/platform/probe/there-is-none/nothing".to_owned(), None),
        ] {
            let answer = client.call(method, &path, body).await;
            answer.refused(404, "NOT_FOUND");
        }
    }
    assert!(world.stranger.get("/api/platform/projects").await.items().is_empty());
    assert!(world.stranger.get("/api/platform/organizations").await.items().is_empty());
}

on_both_registries!(
    owner_adds_changes_and_removes_members,
    removed_member_is_refused_on_the_next_request,
    members_of_the_organization_are_members_of_its_projects,
    strangers_find_nothing,
);
