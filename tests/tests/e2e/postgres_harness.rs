//! The harness of PostgreSQL itself: what it breaks is broken, and what it compares is compared.

use serde_json::json;
use sqlx::{Connection, PgConnection, Row};
use std::time::Duration;
use studio_gateway_tests::{
    PostgresBouncer, PostgresDatabase, PostgresMeta, PostgresOptions, PostgresServer,
    differential::{Comparison, Normal, Reply, Side},
    eventually,
};
use tokio::time::timeout;

async fn ask(url: &str, query: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(query).fetch_one(&mut connection).await?.try_get(0)
}

#[tokio::test]
async fn postgres_freezes_restarts_and_crashes_with_its_data() {
    let mut server = PostgresServer::start(PostgresOptions::new().setting("max_connections=12")).await;
    let database = server.create_database().await;
    database.run("create table kept (x text); insert into kept values ('v')").await;
    let url = server.url(&database.name);
    assert_eq!(ask(&url, "show max_connections").await.unwrap(), "12");

    let mut connection = PgConnection::connect(&url).await.unwrap();
    server.freeze();
    let asked = timeout(Duration::from_millis(300), sqlx::query("select 1").execute(&mut connection)).await;
    assert!(asked.is_err(), "a frozen server answers");
    server.thaw();
    eventually("a thawed server answers", async || ask(&url, "select x from kept").await.is_ok()).await;

    server.restart().await;
    assert_eq!(ask(&url, "select x from kept").await.unwrap(), "v");
    server.kill().await;
    ask(&url, "select 'x'").await.unwrap_err();
    server.start_again().await;
    assert_eq!(database.text("select x from kept").await, "v");
}

#[tokio::test]
async fn postgres_asks_for_passwords_and_tls() {
    let server = PostgresServer::start(PostgresOptions::new().login("ada", "p@ss word")).await;
    let url = server.url("postgres");
    assert_eq!(ask(&url, "select current_user::text").await.unwrap(), "ada");
    ask(&url.replace("word", "wrong"), "select 'x'").await.unwrap_err();
    ask(&url.replace("ada:p%40ss%20word", "postgres"), "select 'x'").await.unwrap_err();
    assert_eq!(server.create_database().await.text("select current_user::text").await, "postgres");

    let server = PostgresServer::start(PostgresOptions::new().tls()).await;
    let used = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(ask(&server.url("postgres"), used).await.unwrap(), "true");
    let plain = server.url("postgres").replace("require", "disable");
    ask(&plain, "select 'x'").await.unwrap_err();

    let server = PostgresServer::start(PostgresOptions::new().client_certificate()).await;
    let url = server.url("postgres");
    ask(&url, "select 'x'").await.unwrap_err();
    let files = server.certificates.as_ref().unwrap();
    let client = files.client_file.display();
    ask(&format!("{url}&sslcert={client}&sslkey={client}"), "select 'x'").await.unwrap();
}

#[tokio::test]
async fn bouncer_lends_one_connection_to_many_clients() {
    let server = PostgresServer::plain().await;
    let bouncer = PostgresBouncer::before(&server, 1).await;
    let url = bouncer.url("postgres");
    let mut first = PgConnection::connect(&url).await.unwrap();
    let mut second = PgConnection::connect(&url).await.unwrap();
    let mut ids = Vec::new();
    for connection in [&mut first, &mut second] {
        let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(connection).await.unwrap();
        ids.push(row.get::<i32, _>(0));
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn rich_schema_is_rich_on_a_shared_server() {
    let database = PostgresDatabase::shared().await.fill().await;
    let kinds = database
        .text("select string_agg(distinct relkind::text, '' order by relkind::text) from pg_class")
        .await;
    assert_eq!(kinds, "IScfimprtv");
    assert_eq!(database.text("select count(*)::text from public.every_type").await, "6");
    // And once more beside it, whose roles are there already.
    PostgresDatabase::shared().await.fill().await;
}

#[tokio::test]
async fn comparison_finds_what_differs_between_two_real_servers() {
    if !PostgresMeta::is_there() {
        return;
    }
    let server = PostgresServer::plain().await;
    let database = server.create_database().await.fill().await;
    let (one, other) = tokio::join!(PostgresMeta::start(&database.url), PostgresMeta::start(&database.url));
    let sides = [Side::new("one", &one.address, None), Side::new("other", &other.address, None)];
    let compare = async |comparison: &mut Comparison, paths: [&str; 2]| {
        let mut replies: Vec<Reply> = Vec::new();
        for (side, path) in sides.iter().zip(paths) {
            replies.push(side.ask("GET", path, None).await);
        }
        comparison.compare(
            &format!("GET {}", paths[0]),
            "",
            &Normal::default().unordered(),
            &replies[0],
            &replies[1],
        );
    };
    let mut alike = Comparison::new(&[]);
    compare(&mut alike, ["/tables", "/tables"]).await;
    compare(&mut alike, ["/tables/1", "/tables/1"]).await;
    alike.finish();

    let asked = sides[0]
        .ask("POST", "/query", Some(&json!({"query": "select 'public.users'::regclass::oid::int4 as id"})))
        .await;
    let (one, other) = (format!("/tables/{}", asked.items()[0]["id"]), "/tables/1".to_owned());
    let mut different = Comparison::new(&[]);
    compare(&mut different, [&one, &other]).await;
    let report = std::panic::catch_unwind(|| different.finish()).unwrap_err();
    let report = report.downcast_ref::<String>().unwrap();
    for words in ["1 of 1 requests", "one answered 200", "other answered 404", "at .status", "at .body.name"]
    {
        assert!(report.contains(words), "{words}: {report}");
    }
}
