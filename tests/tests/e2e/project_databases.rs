//! A project's own database as its primary connection, for a driver that serves such databases.

use serde_json::{Value, json};
use std::time::Duration;
use studio_gateway_tests::{
    Client, Gateway, GatewayOptions, Plugin, Plugins, Project, Registry, eventually, gateway::random_hex,
};

/// A gateway with the probe alone, and a project whose row names a database.
async fn start(registry: Registry) -> (Gateway, Project) {
    start_with(GatewayOptions::new(registry)).await
}

async fn start_with(options: GatewayOptions) -> (Gateway, Project) {
    let gateway = Gateway::start(options.plugins(Plugins::new([Plugin::new("probe")]))).await;
    let project = Project::create_empty(&gateway, "alpha").await;
    set_row(&gateway, "127.0.0.1", "secret").await;
    // What the gateway was told of a row that others changed counts for a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    (gateway, project)
}

/// Writes the row as a Studio does, with a password in the clear.
async fn set_row(gateway: &Gateway, host: &str, password: &str) {
    let table = gateway.database.table("projects");
    let statement = format!(
        "UPDATE {table} SET database_host = '{host}', database_port = 6543, database_name = 'app',
                database_user = 'ada', database_password = '{password}' WHERE ref = 'alpha'"
    );
    assert_eq!(gateway.database.execute(&statement).await, 1);
}

async fn endpoint(client: &Client, project: &Project, rest: &str) -> Value {
    client.get(&project.path("probe", &format!("/endpoint{rest}"))).await.expect(200).data()
}

/// What the switcher of databases shows.
async fn shown(project: &Project) -> Vec<Value> {
    project.viewer.get("/api/platform/projects/alpha/databases").await.expect(200).items()
}

fn row(password_length: usize) -> Value {
    json!({"host": "127.0.0.1", "port": 6543, "database_name": "app", "username": "ada",
           "password_length": password_length})
}

async fn own_database_stands_in_until_a_connection_is_created(registry: Registry) {
    let (gateway, project) = start(registry).await;
    assert_eq!(endpoint(&project.viewer, &project, "").await, row(6));
    let own = shown(&project).await;
    assert_eq!(own.len(), 1);
    for (field, value) in [
        ("implicit", json!(true)),
        ("is_primary", json!(true)),
        ("identifier", json!("project")),
        ("database_type", json!("probe")),
        ("host", json!("127.0.0.1")),
        ("has_password", json!(true)),
        ("status", json!("ACTIVE")),
    ] {
        assert_eq!(own[0][field], value, "{field}");
    }
    let id = own[0]["id"].as_str().unwrap();
    assert_eq!(endpoint(&project.viewer, &project, &format!("?connection_id={id}")).await, row(6));
    assert_eq!(endpoint(&project.viewer, &project, "?connection=project").await, row(6));

    // It is no connection that can be managed.
    let connections = project.connections("probe");
    assert!(project.viewer.get(&connections).await.expect(200).items().is_empty());
    let path = format!("{connections}/{id}");
    project.admin.get(&path).await.refused(404, "NOT_FOUND");
    project.admin.put(&path, json!({"host": "other"})).await.refused(404, "NOT_FOUND");
    project.admin.delete(&path).await.refused(404, "NOT_FOUND");
    project.admin.post(&format!("{path}/test"), json!({})).await.refused(404, "NOT_FOUND");

    // A connection takes over at once, and gives way again when it is deleted.
    let main = project.connect_probe("main", json!({})).await;
    assert_eq!(endpoint(&project.viewer, &project, "").await["port"], 7);
    for rest in [format!("?connection_id={id}"), "?connection=project".to_owned()] {
        project
            .viewer
            .get(&project.path("probe", &format!("/endpoint{rest}")))
            .await
            .refused(404, "NOT_FOUND");
    }
    let now = shown(&project).await;
    assert_eq!((now.len(), &now[0]["id"], &now[0]["implicit"]), (1, &json!(main), &Value::Null));
    project.admin.delete(&format!("{connections}/{main}")).await.expect(204);
    assert_eq!(endpoint(&project.viewer, &project, "").await, row(6));
    assert!(!gateway.whole_log().await.contains("status could not be written"));
    let rows = format!("SELECT identifier FROM {}", gateway.database.table("database_connections"));
    assert!(gateway.database.texts(&rows).await.is_empty());
}

async fn changed_row_counts_within_a_second(registry: Registry) {
    let (gateway, project) = start(registry).await;
    assert_eq!(endpoint(&project.viewer, &project, "").await, row(6));
    let id = shown(&project).await[0]["id"].clone();
    for password in ["longer-secret", "short", "longer-secret"] {
        set_row(&gateway, "127.0.0.1", password).await;
        eventually("the new password is used", async || {
            endpoint(&project.viewer, &project, "").await == row(password.len())
        })
        .await;
        // One session serves all who come, and the one of the old settings is gone.
        let sessions =
            async || project.viewer.get(&project.path("probe", "/sessions")).await.expect(200).data();
        let opened = sessions().await["opened"].clone();
        for _ in 0..5 {
            assert_eq!(endpoint(&project.viewer, &project, "").await, row(password.len()));
        }
        assert_eq!(sessions().await["opened"], opened);
        eventually("the old session is closed", async || sessions().await["open"] == 1).await;
    }
    assert_eq!(shown(&project).await[0]["id"], id);
    // No database any more.
    let table = gateway.database.table("projects");
    gateway.database.execute(&format!("UPDATE {table} SET database_host = ''")).await;
    eventually("there is no connection", async || {
        project.viewer.get(&project.path("probe", "/endpoint")).await.status == 404
    })
    .await;
    assert!(shown(&project).await.is_empty());
}

async fn sealed_password_opens_also_after_rekey(registry: Registry) {
    let old = random_hex();
    let options = GatewayOptions::new(registry).set("DATABASE_ENCRYPTION_KEY", &old);
    let (mut gateway, project) = start_with(options).await;
    let admin = gateway.platform_admin();
    let database =
        json!({"host": "127.0.0.1", "port": 6543, "name": "app", "user": "ada", "password": "sealed-secret"});
    let body = json!({"organization": "alpha-org", "name": "Beta", "ref": "beta", "database": database});
    admin.post("/api/platform/projects", body).await.expect(201);
    let path = "/api/platform/probe/beta/endpoint";
    assert_eq!(admin.get(path).await.expect(200).data(), row(13));
    // One project's id leads nowhere in another.
    let id = shown(&project).await[0]["id"].as_str().unwrap().to_owned();
    admin.get(&format!("{path}?connection_id={id}")).await.refused(404, "NOT_FOUND");
    assert!(!String::from_utf8_lossy(&gateway.database.bytes().await).contains("sealed-secret"));

    let opened = async |gateway: &Gateway| {
        let sessions = gateway.platform_admin().get("/api/platform/probe/beta/sessions").await.expect(200);
        sessions.data()["opened"].clone()
    };
    let before = opened(&gateway).await;
    gateway.set("DATABASE_ENCRYPTION_KEYS_RETIRED", &old);
    gateway.set("DATABASE_ENCRYPTION_KEY", &random_hex());
    gateway.restart().await;
    assert_eq!(gateway.platform_admin().get(path).await.expect(200).data(), row(13));
    let resealed = gateway.run_cli(&["rekey"]);
    assert!(resealed.status.success(), "{resealed:?}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The same settings, sealed under another key, are the same settings: nobody's session ends.
    assert_eq!(gateway.platform_admin().get(path).await.expect(200).data(), row(13));
    assert_eq!((opened(&gateway).await, before), (json!(1), json!(1)));
    // The Studio's password in the clear is its own, and left so.
    let stored =
        format!("SELECT database_password FROM {} WHERE ref = 'alpha'", gateway.database.table("projects"));
    assert_eq!(gateway.database.texts(&stored).await, ["secret"]);
    let shown = gateway.transcript.bytes();
    assert!(!String::from_utf8_lossy(&shown).contains("sealed-secret"));
}

async fn password_that_does_not_open_is_a_connection_error(registry: Registry) {
    let (gateway, project) = start(registry).await;
    let sealed_elsewhere = json!({"host": "127.0.0.1", "name": "app", "user": "ada", "password": "moved"});
    let body =
        json!({"organization": "alpha-org", "name": "Beta", "ref": "beta", "database": sealed_elsewhere});
    gateway.platform_admin().post("/api/platform/projects", body).await.expect(201);
    let table = gateway.database.table("projects");
    let moved = format!(
        "UPDATE {table} SET database_password = (SELECT database_password FROM {table} WHERE ref = 'beta')
         WHERE ref = 'alpha'"
    );
    gateway.database.execute(&moved).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = project.viewer.get(&project.path("probe", "/endpoint")).await;
    assert_eq!(answer.refused(503, "CONNECTION_ERROR")["reason"], "settings");
}

async fn deleted_projects_own_sessions_close(registry: Registry) {
    let (gateway, project) = start(registry).await;
    let beta = Project::create_empty(&gateway, "beta").await;
    beta.connect_probe("main", json!({})).await;
    endpoint(&project.viewer, &project, "").await;
    let open =
        async || beta.viewer.get(&beta.path("probe", "/sessions")).await.expect(200).data()["open"].clone();
    assert_eq!(open().await, 2);
    project.owner.delete("/api/platform/projects/alpha").await.expect(204);
    eventually("its session is closed", async || open().await == 1).await;
    project.viewer.get(&project.path("probe", "/endpoint")).await.refused(404, "NOT_FOUND");
    // Another one of the same name is another one.
    let body = json!({"organization": "alpha-org", "name": "Alpha", "ref": "alpha"});
    gateway.platform_admin().post("/api/platform/projects", body).await.expect(201);
    gateway.platform_admin().get(&project.path("probe", "/endpoint")).await.refused(404, "NOT_FOUND");
}

on_both_registries!(
    own_database_stands_in_until_a_connection_is_created,
    changed_row_counts_within_a_second,
    sealed_password_opens_also_after_rekey,
    password_that_does_not_open_is_a_connection_error,
    deleted_projects_own_sessions_close,
);

#[tokio::test]
async fn writes_expire_kept_replies_and_new_connections_have_none() {
    let (_gateway, project) = start(Registry::Sqlite).await;
    let counter = project.path("probe", "/counters/c");
    let value = async || {
        let answer = project.viewer.get(&counter).await.expect(200);
        (answer.data()["value"].clone(), answer.header("cache-status").unwrap().contains("; hit"))
    };
    for round in 1..3 {
        project.developer.post(&counter, json!(null)).await.expect(204);
        assert_eq!(value().await, (json!(round), false));
        assert_eq!(value().await, (json!(round), true));
    }
    project.connect_probe("main", json!({"store": "another"})).await;
    project.viewer.get(&counter).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn pages_of_databases_end_with_the_projects_own() {
    let (gateway, project) = start(Registry::Sqlite).await;
    let plugins = Plugins::new([Plugin::new("probe"), Plugin::new("single")]);
    plugins.write(&gateway.plugins_file());
    gateway.platform_admin().post("/api/platform/plugins/reload", json!({})).await.expect(200);
    for name in ["one", "two"] {
        project.connect("single", json!({"identifier": name, "host": "127.0.0.1", "port": 1})).await;
    }
    for (page, names) in [
        ("?limit=2", &["one", "two"][..]),
        ("?limit=2&offset=1", &["two", "project"]),
        ("?limit=2&offset=2", &["project"]),
        ("?limit=2&offset=3", &[]),
    ] {
        let path = format!("/api/platform/projects/alpha/databases{page}");
        let answer = project.viewer.get(&path).await.expect(200);
        assert_eq!(answer.header("x-total-count"), Some("3"));
        let shown = answer.items();
        let shown: Vec<_> = shown.iter().map(|item| item["identifier"].as_str().unwrap()).collect();
        assert_eq!(shown, names, "{page}");
    }
}
