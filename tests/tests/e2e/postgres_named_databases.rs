//! A database that a caller of postgres-meta names by its encrypted connection string, in a header.

use serde_json::{Value, json};
use studio_gateway_tests::{Answer, Client, PostgresDatabase, PostgresMeta, PostgresWorld, Project};

const KEY: &str = "a passphrase that Studio and gateway share";
const REFUSAL: &str = "failed to process upstream connection details";

/// A world whose project has three databases: `main`, `other` by its parts, and its own.
struct Databases {
    world: PostgresWorld,
    main: PostgresDatabase,
    other: PostgresDatabase,
    own: PostgresDatabase,
}

impl Databases {
    async fn start(key: Option<&str>) -> Self {
        let (main, other, own) = (
            PostgresDatabase::shared().await,
            PostgresDatabase::shared().await,
            PostgresDatabase::shared().await,
        );
        let options = match key {
            Some(key) => PostgresWorld::options().set("PG_META_CRYPTO_KEY", key),
            None => PostgresWorld::options(),
        };
        let world = PostgresWorld::start_on(options, main.clone()).await;
        let parts = parts(&other);
        world
            .alpha
            .connect(
                "postgres",
                json!({
                    "identifier": "other", "host": parts.host_str(), "port": parts.port(),
                    "database_name": other.name, "username": parts.username(), "password": "stored",
                }),
            )
            .await;
        let parts = self::parts(&own);
        let statement = format!(
            "UPDATE {} SET database_host = '{}', database_port = {}, database_name = '{}', database_user = '{}',
                database_password = 'stored' WHERE ref = 'alpha'",
            world.gateway.database.table("projects"),
            parts.host_str().unwrap(), parts.port().unwrap(), own.name, parts.username(),
        );
        assert_eq!(world.gateway.database.execute(&statement).await, 1);
        Self { world, main, other, own }
    }

    async fn ask(&self, client: &Client, headers: &[(&str, &str)]) -> Answer {
        self.ask_at("/query?key=x", client, headers).await
    }

    async fn ask_at(&self, rest: &str, client: &Client, headers: &[(&str, &str)]) -> Answer {
        let mut request = client.request("POST", &self.world.bare_path(rest));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client.send(request.json(&json!({"query": "select current_database() as name"}))).await
    }

    /// The database that answers a request with this in its header.
    async fn name(&self, sealed: &str) -> Value {
        let answer = self.ask(&self.world.alpha.viewer, &[("x-connection-encrypted", sealed)]).await;
        answer.expect(200).json()[0]["name"].clone()
    }

    async fn refused(&self, headers: &[(&str, &str)]) {
        let answer = self.ask(&self.world.alpha.viewer, headers).await;
        assert_eq!(answer.expect(500).json()["error"], REFUSAL, "{headers:?}");
    }
}

/// A database's address.
fn parts(database: &PostgresDatabase) -> reqwest::Url {
    database.url.parse().unwrap()
}

/// Its connection string, with this password in it.
fn string(database: &PostgresDatabase, password: &str) -> String {
    let mut url = parts(database);
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

fn sealed(text: &str) -> String {
    PostgresMeta::encrypt(text, KEY)
}

#[tokio::test]
async fn postgres_database_named_by_the_header_answers() {
    if !PostgresMeta::is_there() {
        return;
    }
    let databases = Databases::start(Some(KEY)).await;
    for database in [&databases.main, &databases.other, &databases.own] {
        // The password in it does not count: the gateway has its own.
        let url = sealed(&string(database, "not the stored one"));
        assert_eq!(databases.name(&url).await, database.name);
        assert_eq!(databases.name(&url).await, database.name);
        let with_more = sealed(&format!(" {}?sslmode=disable&application_name=x\n", string(database, "x")));
        assert_eq!(databases.name(&with_more).await, database.name);
    }
    let viewer = &databases.world.alpha.viewer;
    let url = sealed(&string(&databases.other, "x"));
    let mut list = viewer.request("GET", &databases.world.bare_path("/tables"));
    databases.other.run("create table only_there (id int)").await;
    list = list.header("x-connection-encrypted", &url);
    let tables = viewer.send(list).await.expect(200).json();
    assert_eq!((tables[0]["name"].as_str(), tables.as_array().unwrap().len()), (Some("only_there"), 1));

    // Nothing, an empty one, or what is plainly no encrypted text under the plain name: the primary.
    for headers in [
        &[][..],
        &[("x-connection-encrypted", "")],
        &[("pg", "postgresql://someone@elsewhere/d")],
        &[("pg", "")],
    ] {
        let answer = databases.ask(viewer, headers).await.expect(200);
        assert_eq!(answer.json()[0]["name"], databases.main.name, "{headers:?}");
    }
    // The plain name, where the other is not there.
    let answer = databases.ask(viewer, &[("pg", &url)]).await.expect(200);
    assert_eq!(answer.json()[0]["name"], databases.other.name);
    let main = sealed(&string(&databases.main, "x"));
    let answer = databases.ask(viewer, &[("pg", &url), ("x-connection-encrypted", &main)]).await.expect(200);
    assert_eq!(answer.json()[0]["name"], databases.main.name);
}

#[tokio::test]
async fn postgres_header_naming_a_foreign_database_is_refused() {
    if !PostgresMeta::is_there() {
        return;
    }
    let databases = Databases::start(Some(KEY)).await;
    let gateway = &databases.world.gateway;
    let beta = Project::create_empty(gateway, "beta").await;
    let betas = PostgresDatabase::shared().await;
    beta.connect("postgres", json!({"identifier": "main", "connection_string": betas.url})).await;
    let url = string(&databases.main, "s3cret-in-the-header");
    let parsed = parts(&databases.main);
    let changed = |from: &str, to: &str| sealed(&url.replace(from, to));
    let port = format!(":{}/", parsed.port().unwrap());
    for refused in [
        sealed(&string(&betas, "x")),
        changed("@127.0.0.1", "@127.0.0.2"),
        changed(&port, ":1/"),
        changed(&databases.main.name, "postgres"),
        changed(&format!("//{}:", parsed.username()), "//someone:"),
        changed(parsed.scheme(), "mysql"),
        sealed("not a connection string"),
        sealed(" "),
        PostgresMeta::encrypt(&url, "another passphrase"),
        url.clone(),
        "U2FsdGVkX18=".to_owned(),
        "rubbish".to_owned(),
        "caf\u{e9}".to_owned(),
        format!("U2FsdGVkX1{}", "A".repeat(30_000)),
        sealed(&format!("{url}?x={}", "y".repeat(20_000))).replace("U2FsdGVkX1", "U2FsdGVkX2"),
    ] {
        databases.refused(&[("x-connection-encrypted", &refused)]).await;
    }
    databases.refused(&[("pg", &PostgresMeta::encrypt(&url, "another passphrase"))]).await;
    // Not by two ways at once.
    let main = sealed(&url);
    let headers = [("x-connection-encrypted", main.as_str())];
    let answer = databases.ask_at("/query?connection=other", &databases.world.alpha.viewer, &headers).await;
    assert!(answer.expect(500).json()["error"].as_str().unwrap().contains("named once"));
    // Whoever is no member learns nothing by it, and our own prefix has no such header.
    databases.ask(&beta.viewer, &headers).await.expect(404);
    let own = databases.world.alpha.viewer.request("POST", &databases.world.path("/query"));
    let own = own.header("x-connection-encrypted", "rubbish").json(&json!({"query": "select 1"}));
    databases.world.alpha.viewer.send(own).await.expect(200);
    assert!(!gateway.whole_log().await.contains("s3cret-in-the-header"));
    let transcript = String::from_utf8_lossy(&gateway.transcript.bytes()).into_owned();
    assert!(!transcript.contains("s3cret-in-the-header"));
}

#[tokio::test]
async fn postgres_header_is_ignored_without_a_passphrase() {
    if !PostgresMeta::is_there() {
        return;
    }
    let databases = Databases::start(None).await;
    for header in [sealed(&string(&databases.other, "x")), "rubbish".to_owned()] {
        assert_eq!(databases.name(&header).await, databases.main.name);
    }
}
