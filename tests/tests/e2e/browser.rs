//! A page on another origin, in a real browser: what it may ask, and what it can read of the answers.

use serde_json::{Value, json};
use studio_gateway_tests::{Browser, PostgresWorld, Site, Token, browser::are_gone};

/// Sends what a Studio's pages send.
pub(crate) const STUDIO: &str = include_str!("../../pages/studio.html");
/// A page that knows nothing of the gateway.
pub(crate) const ELSEWHERE: &str = "<!doctype html><title>Elsewhere</title>";

/// A gateway with a PostgreSQL, a Studio whose origin it knows, and a browser with a page of that.
pub(crate) struct Scene {
    pub(crate) world: PostgresWorld,
    pub(crate) studio: Site,
    pub(crate) browser: Browser,
}

impl Scene {
    /// The scene; or none, where there is no browser.
    pub(crate) async fn set() -> Option<Self> {
        Self::set_with(&[]).await
    }

    /// The same with these variables of the gateway.
    pub(crate) async fn set_with(variables: &[(&str, &str)]) -> Option<Self> {
        if !Browser::is_there() {
            return None;
        }
        let (mut world, studio, browser) =
            tokio::join!(PostgresWorld::start(), Site::start(STUDIO), Browser::start());
        world.gateway.set("GATEWAY_CORS_ORIGINS", &studio.origin);
        variables.iter().for_each(|(name, value)| world.gateway.set(name, value));
        world.gateway.restart().await;
        browser.open(&studio.origin).await;
        Some(Self { world, studio, browser })
    }

    /// The developer, as the page knows them.
    pub(crate) fn caller(&self) -> Value {
        json!({
            "base": format!("http://{}", self.world.gateway.address()),
            "token": self.world.alpha.developer.token(),
        })
    }

    /// A call of SQL, as a Studio makes it.
    pub(crate) fn sql(&self, sql: &str) -> Value {
        json!({
            "method": "POST",
            "path": self.world.bare_path("/query?key=table-rows-1"),
            "body": {"query": sql, "disable_statement_timeout": false},
        })
    }

    fn get(&self, path: &str) -> Value {
        json!({"path": self.world.bare_path(path)})
    }

    fn change(&self, method: &str, path: &str, body: Value) -> Value {
        json!({"method": method, "path": self.world.bare_path(path), "body": body})
    }

    /// What the page reads of the answers to these calls.
    async fn answers(&self, calls: Vec<Value>) -> Vec<Value> {
        self.answers_to(self.caller(), calls).await
    }

    async fn answers_to(&self, caller: Value, calls: Vec<Value>) -> Vec<Value> {
        let input = json!({"caller": caller, "calls": calls});
        let answers = self.browser.run("return await askAll(input.caller, input.calls)", input).await;
        answers.as_array().expect("answers").clone()
    }

    async fn answer(&self, call: Value) -> Value {
        self.answers(vec![call]).await.remove(0)
    }
}

/// Asserts that the page reads a success and the id that it gave the request, and gives back the body.
#[track_caller]
fn read(answer: &Value) -> &Value {
    assert_eq!((&answer["status"], &answer["same_id"]), (&json!(200), &json!(true)), "{answer}");
    &answer["body"]
}

/// Asserts that the page reads a failure with its text.
#[track_caller]
fn refused(answer: &Value, status: u16, text: &str) {
    let error = answer["body"]["error"].as_str().unwrap_or_default();
    assert!(answer["status"] == status && error.contains(text) && answer["same_id"] == true, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_a_studio_asks_what_it_asks_and_reads_every_answer() {
    let Some(scene) = Scene::set().await else { return };
    let made = scene
        .answer(scene.sql("create table shelf (id int primary key, title text); select 7 as seven"))
        .await;
    assert_eq!(read(&made), &json!([{"seven": 7}]));

    let lists = [
        "/tables?include_columns=true&included_schemas=public",
        "/views?included_schemas=public",
        "/materialized-views?included_schemas=&include_columns=true",
        "/foreign-tables?included_schemas=public",
        "/types?included_schemas=",
        "/policies?included_schemas=",
        "/publications?key=publications",
        "/triggers?key=triggers",
        "/column-privileges?included_schemas=public",
        "/extensions?key=extensions",
    ];
    let answers = scene.answers(lists.map(|path| scene.get(path)).into()).await;
    for (path, answer) in lists.iter().zip(&answers) {
        assert!(read(answer).is_array(), "{path}: {answer}");
    }
    let table = &answers[0]["body"][0];
    assert_eq!((&table["name"], &table["columns"][1]["name"]), (&json!("shelf"), &json!("title")), "{table}");

    let id = table["id"].as_u64().expect("an id");
    let answers = scene
        .answers(vec![
            scene.change("PATCH", &format!("/tables/{id}"), json!({"name": "board"})),
            scene.change("POST", "/columns", json!({"table_id": id, "name": "width", "type": "int4"})),
            scene.change("PATCH", &format!("/columns/{id}.3"), json!({"is_nullable": false})),
            scene.change("DELETE", &format!("/columns/{id}.2?cascade=false"), Value::Null),
            scene.get(&format!("/tables/{id}")),
            scene.change("DELETE", &format!("/tables/{id}?cascade=true"), Value::Null),
        ])
        .await;
    let columns: Vec<_> =
        read(&answers[4])["columns"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(
        (&answers[4]["body"]["name"], columns),
        (&json!("board"), vec![&json!("id"), &json!("width")]),
        "{answers:?}"
    );
    for answer in &answers {
        read(answer);
    }
    assert_eq!(
        scene.world.database.text("select count(*)::text from pg_class where relname = 'board'").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_may_send_what_clients_of_supabase_and_tracing_add() {
    let Some(scene) = Scene::set().await else { return };
    let mut call = scene.sql("select 1 as one");
    call["headers"] = json!({
        "apikey": "k", "x-client-info": "supabase-js-web/2", "x-supabase-api-version": "2024-01-01", "Prefer": "count=exact",
        "Accept-Profile": "public", "Content-Profile": "public", "Range": "0-9", "Range-Unit": "items", "pg": "",
        "Pragma": "no-cache", "Cache-Control": "no-cache", "If-None-Match": "\"x\"", "x-request-timeout": "20",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "sentry-trace": "0-0", "baggage": "a=b",
        "Content-Type": "application/json; charset=utf-8", "x-retry-count": "1", "Version": "2",
    });
    assert_eq!(read(&scene.answer(call).await), &json!([{"one": 1}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_reads_why_it_was_refused_and_when_to_return() {
    let Some(mut scene) = Scene::set_with(&[("GATEWAY_REQUEST_TIMEOUT", "2s")]).await else { return };
    let body = json!({"identifier": "far", "connection_string": "postgresql://nobody@127.0.0.1:1/none"});
    scene.world.alpha.connect("postgres", body).await;
    let mut far = scene.sql("select 1");
    far["path"] = json!(scene.world.bare_path("/query?connection=far"));
    let answers = scene
        .answers(vec![
            scene.sql("select 1 from nowhere"),
            scene.sql("select pg_sleep(60)"),
            scene.get("/tables/4294967295"),
            scene.get("/no-such-list"),
            json!({"path": "/api/platform/pg-meta/beta/tables"}),
            far.clone(),
            far,
        ])
        .await;
    refused(&answers[0], 400, "relation \"nowhere\" does not exist");
    assert!(
        answers[0]["body"]["formattedError"].as_str().is_some_and(|text| text.contains("LINE 1")),
        "{answers:?}"
    );
    refused(&answers[1], 408, "");
    refused(&answers[2], 404, "");
    refused(&answers[3], 404, "");
    refused(&answers[4], 404, "project");
    refused(&answers[5], 503, "");
    assert!(answers[6]["status"] == 503 && answers[6]["retry_after"].is_string(), "{}", answers[6]);

    let mut unknown = scene.caller();
    let other_secret = "another secret, which is long enough";
    for token in [String::new(), Token::user("alpha-developer").sign(other_secret)] {
        unknown["token"] = json!(token);
        refused(&scene.answers_to(unknown.clone(), vec![scene.sql("select 1")]).await[0], 401, "token");
    }

    // Questions in advance are not counted.
    scene.world.gateway.set("GATEWAY_RATE_LIMIT", "2");
    scene.world.gateway.restart().await;
    let answers =
        scene.answers(vec![scene.sql("select 1"), scene.get("/tables"), scene.sql("select 1")]).await;
    read(&answers[0]);
    read(&answers[1]);
    refused(&answers[2], 429, "");
    let wait: u32 =
        answers[2]["retry_after"].as_str().and_then(|text| text.parse().ok()).expect("whole seconds");
    assert!((1..=60).contains(&wait), "{}", answers[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_an_unlisted_origin_reads_nothing_and_changes_nothing() {
    let Some(scene) = Scene::set().await else { return };
    let stranger = Site::start(STUDIO).await;
    scene.browser.open(&stranger.origin).await;
    let call = scene.sql("create table stolen (x int)");
    let mut without = call.clone();
    without["credentials"] = json!("omit");
    for answer in scene.answers(vec![call, without, scene.get("/tables")]).await {
        assert_eq!(answer, json!({"failed": "TypeError"}));
    }
    let made = "select count(*)::text from pg_class where relname = 'stolen'";
    assert_eq!(scene.world.database.text(made).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_origins_ask_with_credentials_and_any_without() {
    let Some(mut scene) = Scene::set().await else { return };
    let both = format!("{},*", scene.studio.origin);
    scene.world.gateway.set("GATEWAY_CORS_ORIGINS", &both);
    scene.world.gateway.restart().await;
    let with = scene.sql("select 1 as one");
    let mut without = with.clone();
    without["credentials"] = json!("omit");
    for answer in scene.answers(vec![with.clone(), without.clone()]).await {
        read(&answer);
    }
    let stranger = Site::start(STUDIO).await;
    scene.browser.open(&stranger.origin).await;
    let answers = scene.answers(vec![with, without]).await;
    assert_eq!(answers[0], json!({"failed": "TypeError"}));
    read(&answers[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_sends_statements_of_megabytes() {
    let Some(scene) = Scene::set().await else { return };
    let mut calls = vec![];
    for bytes in [1_000_000, 2_900_000] {
        calls.push(scene.sql(&format!("select length('{}') as length", "x".repeat(bytes))));
    }
    let answers = scene.answers(calls).await;
    for (answer, bytes) in answers.iter().zip([1_000_000, 2_900_000]) {
        assert_eq!(read(answer), &json!([{"length": bytes}]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browser_is_gone_with_all_its_processes_when_its_handle_is() {
    if !Browser::is_there() {
        return;
    }
    let browser = Browser::start().await;
    browser.open(&Site::start(ELSEWHERE).await.origin).await;
    assert_eq!(browser.run("return document.title", Value::Null).await, "Elsewhere");
    let processes = browser.processes();
    assert!(processes.len() > 2, "{processes:?}");
    drop(browser);
    are_gone(&processes).await;
}
