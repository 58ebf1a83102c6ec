//! Sessions of the driver with a server of a test's own, whose database is full of traps.
#![allow(missing_docs)]

use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use studio_driver_postgres::Postgres;
use studio_plugin_api::{
    DriverError, Network,
    testing::{self, Session, TestReply, TestRequest},
};
use studio_test_servers::{PostgresOptions, PostgresServer};

const WORLD: &str = include_str!("world.sql");

/// How the connection that is tested is called on the server.
const TESTED: &str = "tested";

/// A server, a session that is tested, which has one connection, and one that looks on.
pub struct World {
    pub tested: Session<Postgres>,
    pub beside: Session<Postgres>,
    _server: PostgresServer,
}

impl World {
    pub async fn start() -> Self {
        let options = PostgresOptions::new().setting("autovacuum=off").setting("fsync=off");
        let server = PostgresServer::start(options).unwrap();
        let beside = open(server.port, "postgres", "beside").await.unwrap();
        run(&beside, WORLD, None).await.unwrap();
        let tested = open(server.port, "app", TESTED).await.unwrap();
        Self { tested, beside, _server: server }
    }

    /// Runs a statement in the connection that is tested.
    pub async fn run(&self, sql: &str) -> Result<TestReply, DriverError> {
        run(&self.tested, sql, None).await
    }

    /// Runs one with values.
    pub async fn run_with(&self, sql: &str, parameters: Value) -> Result<TestReply, DriverError> {
        run(&self.tested, sql, Some(parameters)).await
    }

    /// Runs SQL beside it, as superuser. The first value of its last result.
    pub async fn beside(&self, sql: &str) -> Value {
        let reply = run(&self.beside, sql, None).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        first(&reply)
    }

    /// What the next caller finds in the connection, before anything else cleans it.
    pub async fn state(&self) -> Value {
        first(&self.run("select public.session_state()").await.unwrap())
    }

    /// All that statements may change.
    pub async fn contents(&self) -> Value {
        self.beside("select public.contents()").await
    }

    /// What the connection that is tested does, and did last; nothing where it was closed.
    async fn activity(&self) -> Option<String> {
        let question =
            format!("select state || ' ' || query from pg_stat_activity where application_name = '{TESTED}'");
        self.beside(&question).await.as_str().map(str::to_owned)
    }

    /// Whether the connection was not cleaned after a statement, as far as can be seen a moment later.
    pub async fn is_left_alone(&self, sql: &str) -> bool {
        loop {
            match self.activity().await.as_deref().map(|seen| seen.strip_prefix("idle ")) {
                None | Some(Some("DISCARD ALL")) => return false,
                Some(Some(last)) if last == sql => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    return self.activity().await.is_some_and(|seen| seen.ends_with(sql));
                }
                Some(_) => {}
            }
        }
    }

    /// Waits until the connection was cleaned, or closed.
    pub async fn expect_cleaning(&self, sql: &str) {
        let cleaned = async { while self.activity().await.is_some_and(|seen| seen != "idle DISCARD ALL") {} };
        let waited = tokio::time::timeout(Duration::from_secs(20), cleaned).await;
        waited.unwrap_or_else(|_| panic!("it was not cleaned after {sql}"));
    }
}

pub async fn run(
    session: &Session<Postgres>,
    sql: &str,
    parameters: Option<Value>,
) -> Result<TestReply, DriverError> {
    let mut body = json!({"query": sql});
    if let Some(parameters) = parameters {
        body["parameters"] = parameters;
    }
    TestRequest::post("/query", body).send_for_reply(&session.0).await
}

/// The first value of the last result; null where there is none.
pub fn first(reply: &TestReply) -> Value {
    let last = reply.payload.as_array().and_then(|sets| sets.last()).unwrap_or(&reply.payload);
    let row = last["rows"].get(0).and_then(Value::as_object);
    row.and_then(|row| row.values().next().cloned()).unwrap_or_default()
}

async fn open(port: u16, user: &str, name: &str) -> Result<Session<Postgres>, DriverError> {
    let settings = json!({
        "endpoint": {"parts": {"host": "127.0.0.1", "port": port, "database_name": "postgres", "username": user}},
        "options": {"pool_size": 1, "application_name": name},
    });
    testing::Session::open(settings, network()).await
}

fn network() -> Network {
    Network::new(|host, port| async move {
        let address = host.parse().map_err(|_| DriverError::connection("not_resolved", "no such host"))?;
        Ok(vec![SocketAddr::new(address, port)])
    })
}
