//! SQL through the gateway, and what becomes of it on the server.

use serde_json::{Value, json};
use std::time::Duration;
use studio_gateway_tests::{Answer, Client, PostgresDatabase, PostgresWorld, time::within};

/// How soon a statement must be gone from the server, once nobody waits for it.
pub(crate) const GONE: Duration = Duration::from_secs(1);

/// Makes another connection to a world's database, and gives back the path to its `query`.
pub(crate) async fn connect(world: &PostgresWorld, identifier: &str, options: Value) -> String {
    let body = json!({"identifier": identifier, "connection_string": world.database.url, "options": options});
    world.alpha.connect("postgres", body).await;
    world.path(&format!("/query?connection={identifier}"))
}

/// A connection that holds one connection to the database, so that the next caller gets what the last one left.
pub(crate) async fn connect_narrow(world: &PostgresWorld) -> String {
    connect(world, "narrow", json!({"pool_size": 1})).await
}

/// Runs SQL.
pub(crate) async fn run(client: &Client, path: &str, sql: &str) -> Answer {
    client.post(path, json!({"query": sql})).await
}

/// Runs SQL that works; the first value of its last result.
#[track_caller]
pub(crate) fn value(answer: &Answer) -> Value {
    let data = answer.data();
    let last = data.as_array().and_then(|sets| sets.last()).unwrap_or(&data);
    let rows = last["rows"].as_array().unwrap_or_else(|| panic!("no rows: {answer}"));
    let row = rows.first().and_then(Value::as_object).unwrap_or_else(|| panic!("no row: {answer}"));
    row.values().next().unwrap_or_else(|| panic!("no column: {answer}")).clone()
}

/// Runs SQL that works, and gives back the first value of its last result.
pub(crate) async fn ask(client: &Client, path: &str, sql: &str) -> Value {
    value(&run(client, path, sql).await)
}

/// The process that serves a connection which holds only one.
pub(crate) async fn process_id(client: &Client, path: &str) -> Value {
    ask(client, path, "select pg_backend_pid()").await
}

/// How many statements with this text in them are at work.
pub(crate) async fn at_work(database: &PostgresDatabase, mark: &str) -> usize {
    let query = format!(
        "select count(*)::text from pg_stat_activity
         where datname = current_database() and state = 'active' and pid <> pg_backend_pid() and query like '%{mark}%'"
    );
    database.text(&query).await.parse().unwrap()
}

/// Waits until a statement with this text is gone, which must be soon.
pub(crate) async fn is_gone(database: &PostgresDatabase, mark: &str) {
    within(GONE, "the statement is gone", async || at_work(database, mark).await == 0).await;
}
