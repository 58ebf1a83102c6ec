//! A gateway on a Studio's platform database: it works there, and leaves the Studio's tables as they were.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use studio_gateway_tests::{
    AuditShape, Client, Gateway, GatewayOptions, Registry, Snapshot, StudioDatabase, Token, eventually,
    people,
};

const ORGANIZATIONS: &str = "/api/platform/organizations";
const PROJECTS: &str = "/api/platform/projects";

/// Who asks, and what the Studio's rows make of them in `acme` and `shop`: a role, or none.
const PEOPLE: [(&str, Option<&str>); 7] = [
    (people::OWNER, Some("owner")),
    (people::ADMIN, Some("admin")),
    (people::DEVELOPER, Some("developer")),
    (people::READ_ONLY, Some("viewer")),
    (people::MEMBER, Some("viewer")),
    (people::BILLING_ADMIN, None),
    (people::NOBODY, None),
];

fn may_administer(role: Option<&str>) -> bool {
    matches!(role, Some("owner" | "admin"))
}

fn refs(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["ref"].as_str().unwrap()).collect()
}

fn counts<const COUNT: usize>(wanted: [(&str, usize); COUNT]) -> BTreeMap<String, usize> {
    wanted.into_iter().map(|(table, count)| (table.to_owned(), count)).collect()
}

async fn gateway_on(studio: &StudioDatabase, login: &str) -> Gateway {
    let options = GatewayOptions::new(Registry::Sqlite).set("DATABASE_URL", &studio.url(login));
    Gateway::start(options).await
}

/// Everything that the gateway does with a registry, by each role, and what is left of it in the end.
async fn use_all_of_it(studio: &StudioDatabase, gateway: &Gateway, before: &Snapshot) {
    each_sees_what_is_theirs(gateway).await;
    organizations_are_created_by_the_studios_users(gateway).await;
    projects_are_created_by_admins_and_owners(gateway).await;
    connections_are_managed_by_admins_and_owners(gateway).await;
    members_are_managed_by_owners(gateway, studio).await;
    projects_go_with_what_is_theirs(gateway, studio).await;

    let after = studio.snapshot().await;
    // Seven users and a platform admin made an organization each, which nothing deletes.
    assert_eq!(after.added_since(before), counts([("organization_members", 8), ("organizations", 8)]));
    let query =
        "SELECT CAST(COUNT(*) AS text) FROM platform.gateway_audit_logs WHERE action = 'organization.create'
                 AND result = 'ok'";
    eventually("the audit trail", async || studio.database.text(query).await == "8").await;
}

fn client(gateway: &Gateway, user: &str) -> Client {
    gateway.client(&Token::user(user))
}

async fn each_sees_what_is_theirs(gateway: &Gateway) {
    for (user, role) in PEOPLE {
        let client = client(gateway, user);
        let projects = client.get(PROJECTS).await.expect(200).items();
        let organizations = client.get(ORGANIZATIONS).await.expect(200).items();
        let shop = client.get(&format!("{PROJECTS}/shop")).await;
        if role.is_some() {
            assert_eq!(refs(&projects), ["shop"], "{user}");
            assert_eq!(shop.expect(200).data()["organization_slug"], "acme");
        } else {
            assert!(projects.is_empty(), "{user}");
            shop.refused(404, "NOT_FOUND");
        }
        // `read_only` is in the project alone.
        let is_member = role.is_some() && user != people::READ_ONLY;
        assert_eq!(organizations.len(), usize::from(is_member), "{user}");
        client.get(&format!("{PROJECTS}/quiet")).await.refused(404, "NOT_FOUND");
    }
    let everything = gateway.platform_admin().get(PROJECTS).await.expect(200).items();
    assert_eq!(refs(&everything), ["quiet", "shop"]);
    // The Studio's own keys for a project, by the secret that it keeps in the clear.
    let key = |role| Token::project_key(role).sign("a-secret-of-shop-with-more-than-32-bytes");
    let service = gateway.anonymous().with_token(key("service_role"));
    service.get(&format!("{PROJECTS}/shop")).await.expect(200);
    service.get(&format!("{PROJECTS}/quiet")).await.refused(401, "UNAUTHENTICATED");
    gateway
        .anonymous()
        .with_token(key("anon"))
        .get(&format!("{PROJECTS}/shop"))
        .await
        .refused(401, "UNAUTHENTICATED");
    let members = client(gateway, people::OWNER).get(&format!("{PROJECTS}/shop/members")).await.items();
    let mut listed: Vec<_> = members
        .iter()
        .map(|member| (member["user_id"].as_str().unwrap(), member["role"].as_str().unwrap()))
        .collect();
    listed.sort_unstable();
    let wanted: Vec<_> = PEOPLE.iter().filter_map(|(user, role)| Some((*user, (*role)?))).collect();
    assert_eq!(listed, wanted);
}

async fn organizations_are_created_by_the_studios_users(gateway: &Gateway) {
    for (number, (user, _)) in PEOPLE.iter().enumerate() {
        let client = client(gateway, user);
        let slug = format!("own-{number}");
        let created =
            client.post(ORGANIZATIONS, json!({"name": "Own", "slug": slug})).await.expect(201).data();
        assert_eq!((&created["slug"], &created["billing_email"]), (&json!(slug), &Value::Null));
        assert!(created["created_at"].is_string());
        assert!(client.get(ORGANIZATIONS).await.items().iter().any(|item| item["slug"] == slug.as_str()));
        client.post(ORGANIZATIONS, json!({"name": "Own", "slug": "acme"})).await.refused(409, "CONFLICT");
        // The gateway's own rule has a `_` in it; the Studio's has not.
        for slug in ["a_b", "ab-", "x"] {
            let answer = client.post(ORGANIZATIONS, json!({"name": "Odd", "slug": slug})).await;
            answer.refused_field("slug");
            assert!(answer.message().contains("organizations_slug_form"), "{answer}");
        }
    }
    for (subject, words) in [(people::STRANGER, "table `users`"), ("auth0|someone", "must be a uuid")] {
        let answer = client(gateway, subject).post(ORGANIZATIONS, json!({"name": "X", "slug": "xx"})).await;
        answer.refused(403, "FORBIDDEN");
        assert!(answer.message().contains("`sub`") && answer.message().contains(words), "{answer}");
    }
    let token = Token::platform_admin().claim("sub", people::NOBODY);
    let body = json!({"name": "Platform", "slug": "platform-own", "billing_email": "a@b.test"});
    let created = gateway.client(&token).post(ORGANIZATIONS, body).await.expect(201).data();
    assert_eq!(created["billing_email"], "a@b.test");
}

async fn projects_are_created_by_admins_and_owners(gateway: &Gateway) {
    let acme = "10000000-0000-4000-8000-000000000001";
    for (number, (user, role)) in PEOPLE.iter().enumerate() {
        let client = client(gateway, user);
        for (organization, kind) in [("acme", "slug"), (acme, "id")] {
            let reference = format!("new-{kind}-{number}");
            let body = json!({"organization": organization, "name": "New", "ref": reference});
            let answer = client.post(PROJECTS, body).await;
            match role {
                role if may_administer(*role) => {
                    let created = answer.expect(201).data();
                    assert_eq!((&created["ref"], &created["database"]), (&json!(reference), &Value::Null));
                    assert_eq!(created["status"], "ACTIVE_HEALTHY");
                }
                Some("developer") => _ = answer.refused(403, "FORBIDDEN"),
                Some(_) if *user == people::MEMBER => _ = answer.refused(403, "FORBIDDEN"),
                _ => _ = answer.refused(404, "NOT_FOUND"),
            }
        }
    }
    let admin = client(gateway, people::ADMIN);
    let database = json!({"host": "127.0.0.1", "port": 5433, "name": "db", "user": "u", "password": "pw"});
    let body = json!({"organization": "acme", "name": "Full", "ref": "full", "database": database});
    assert_eq!(admin.post(PROJECTS, body).await.expect(201).data()["database"]["port"], 5433);
    for (reference, words) in
        [("a_b", "projects_slug_form"), ("x", "projects_slug_form"), (&"x".repeat(41), "40 characters")]
    {
        let answer =
            admin.post(PROJECTS, json!({"organization": "acme", "name": "X", "ref": reference})).await;
        answer.refused_field("ref");
        assert!(answer.message().contains(words), "{answer}");
    }
}

async fn connections_are_managed_by_admins_and_owners(gateway: &Gateway) {
    let connections = "/api/platform/probe/shop/connections";
    for (number, (user, role)) in PEOPLE.iter().enumerate() {
        let client = client(gateway, user);
        let body = json!({"identifier": format!("probe-{number}"), "host": "127.0.0.1"});
        let answer = client.post(connections, body).await;
        if may_administer(*role) {
            let created = answer.expect(201).data();
            let one = format!("{connections}/{}", created["id"].as_str().unwrap());
            client.put(&one, json!({"host": "127.0.0.2"})).await.expect(200);
            let granted = client.get("/api/platform/probe/shop/facts/x").await.data()["granted"].clone();
            assert_eq!(granted, "admin");
            client.delete(&one).await.expect(204);
        } else if role.is_some() {
            answer.refused(403, "FORBIDDEN");
        } else {
            answer.refused(404, "NOT_FOUND");
        }
    }
}

async fn members_are_managed_by_owners(gateway: &Gateway, studio: &StudioDatabase) {
    let owner = client(gateway, people::OWNER);
    let path = format!("{PROJECTS}/shop/members/{}", people::NOBODY);
    let nobody = client(gateway, people::NOBODY);
    let stored = format!("SELECT role FROM platform.project_members WHERE user_id = '{}'", people::NOBODY);
    for (role, in_table) in [
        ("viewer", "read_only"),
        ("developer", "developer"),
        ("viewer", "read_only"),
        ("admin", "admin"),
        ("owner", "owner"),
    ] {
        owner.put(&path, json!({"role": role})).await.expect(200);
        assert_eq!(studio.database.texts(&stored).await, [in_table]);
        let members = nobody.get(&format!("{PROJECTS}/shop/members")).await.expect(200).items();
        let own = members.iter().find(|member| member["user_id"] == people::NOBODY).unwrap();
        assert_eq!((&own["role"], &own["via"]), (&json!(role), &json!("project")));
    }
    owner.delete(&path).await.expect(204);
    nobody.get(&format!("{PROJECTS}/shop")).await.refused(404, "NOT_FOUND");
    // Two or more at once are one row in the end, of one of the roles.
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (owner, path) = (owner.clone(), path.clone());
        let role = if number % 2 == 0 { "viewer" } else { "developer" };
        puts.spawn(async move { owner.put(&path, json!({"role": role})).await });
    }
    for answer in puts.join_all().await {
        answer.expect(200);
    }
    assert_eq!(studio.database.texts(&stored).await.len(), 1);
    owner.delete(&path).await.expect(204);
    assert!(studio.database.texts(&stored).await.is_empty());

    for (user, words) in [(people::STRANGER, "table `users`"), ("someone", "must be a uuid")] {
        let answer = owner.put(&format!("{PROJECTS}/shop/members/{user}"), json!({"role": "viewer"})).await;
        answer.refused_field("user_id");
        assert!(answer.message().contains(words), "{answer}");
    }
    for (user, role) in PEOPLE {
        if role != Some("owner") {
            let answer = client(gateway, user).put(&path, json!({"role": "owner"})).await;
            if role.is_some() {
                answer.refused(403, "FORBIDDEN");
            } else {
                answer.refused(404, "NOT_FOUND");
            }
        }
    }
}

async fn projects_go_with_what_is_theirs(gateway: &Gateway, studio: &StudioDatabase) {
    let owner = client(gateway, people::OWNER);
    let created = "SELECT ref::text FROM platform.projects WHERE ref LIKE 'new-%' OR ref = 'full'";
    for reference in studio.database.texts(created).await {
        let member = format!("{PROJECTS}/{reference}/members/{}", people::NOBODY);
        owner.put(&member, json!({"role": "viewer"})).await.expect(200);
        let connection = json!({"identifier": "probe", "host": "127.0.0.1"});
        owner.post(&format!("/api/platform/probe/{reference}/connections"), connection).await.expect(201);
        client(gateway, people::ADMIN)
            .delete(&format!("{PROJECTS}/{reference}"))
            .await
            .refused(403, "FORBIDDEN");
        owner.delete(&format!("{PROJECTS}/{reference}")).await.expect(204);
    }
    assert!(studio.database.texts(created).await.is_empty());
    assert!(studio.database.texts("SELECT id::text FROM platform.database_connections").await.is_empty());
    // What tables of the Studio's refer to stays, whole.
    let answer = owner.delete(&format!("{PROJECTS}/shop")).await;
    answer.refused(409, "CONFLICT");
    assert!(answer.message().contains("`databases`"), "{answer}");
}

async fn the_owner_runs_a_gateway(shape: AuditShape) {
    let studio = StudioDatabase::create(shape).await;
    let before = studio.snapshot().await;
    let mut gateway = gateway_on(&studio, &studio.owner).await;
    assert_eq!(studio.snapshot().await, before, "the start");
    use_all_of_it(&studio, &gateway, &before).await;
    gateway.restart().await;
    each_still_has_a_role(&gateway).await;
}

async fn a_lesser_login_runs_a_gateway(shape: AuditShape) {
    let studio = StudioDatabase::create(shape).await;
    let gateway = Gateway::prepare(
        GatewayOptions::new(Registry::Sqlite).set("DATABASE_URL", &studio.url(&studio.owner)),
    )
    .await;
    let migrated = gateway.run_cli(&["migrate"]);
    assert!(migrated.status.success(), "{migrated:?}");
    let login = &studio.lesser;
    let mut statements = format!("GRANT USAGE ON SCHEMA platform TO {login};");
    let reads_and_writes =
        "projects, platform.credentials, platform.project_members, platform.database_connections";
    for (rights, tables) in [
        ("SELECT, INSERT, UPDATE, DELETE", reads_and_writes),
        ("SELECT, INSERT", "organizations, platform.organization_members"),
        ("INSERT", "gateway_audit_logs"),
        ("SELECT", "gateway_migrations"),
    ] {
        statements += &format!("GRANT {rights} ON platform.{tables} TO {login};");
    }
    for table in ["organizations", "projects", "credentials", "organization_members", "project_members"] {
        statements +=
            &format!("CREATE POLICY gateway ON platform.{table} TO {login} USING (true) WITH CHECK (true);");
    }
    studio.run_as_owner(&statements).await;
    let before = studio.snapshot().await;
    let gateway = gateway_on(&studio, login).await;
    assert_eq!(studio.snapshot().await, before, "the start");
    use_all_of_it(&studio, &gateway, &before).await;
}

async fn each_still_has_a_role(gateway: &Gateway) {
    for (user, role) in PEOPLE {
        let answer = client(gateway, user).get(&format!("{PROJECTS}/shop")).await;
        assert_eq!(answer.status, if role.is_some() { 200 } else { 404 }, "{user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_owner_runs_a_gateway_on_it() {
    the_owner_runs_a_gateway(AuditShape::Present).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_owner_runs_a_gateway_on_an_older_one() {
    the_owner_runs_a_gateway(AuditShape::Older).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_owns_nothing_runs_a_gateway_on_it() {
    a_lesser_login_runs_a_gateway(AuditShape::Present).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_owns_nothing_runs_a_gateway_on_an_older_one() {
    a_lesser_login_runs_a_gateway(AuditShape::Older).await;
}
