//! Sessions of the driver with servers of a test's own.
#![allow(missing_docs)]

use serde_json::{Value, json};
use std::{net::SocketAddr, ops::Deref};
use studio_driver_redis::Redis;
use studio_plugin_api::{
    Access, DriverError, Network,
    testing::{self, TestRequest},
};
use studio_test_servers::{RedisOptions, RedisServer};

/// A Redis with these arguments: `start(&["--databases", "2"])`.
pub fn start(arguments: &[&str]) -> RedisServer {
    RedisServer::start(RedisOptions::new().arguments(arguments)).unwrap()
}

/// Settings of a connection to a port of this machine.
pub fn settings(port: u16, options: Value) -> Value {
    json!({ "endpoint": { "parts": { "host": "localhost", "port": port } }, "options": options })
}

/// A session with a Redis that asks for nothing.
pub async fn session(redis: &RedisServer) -> Session {
    open(settings(redis.port, json!({}))).await.unwrap()
}

pub async fn open(settings: Value) -> Result<Session, DriverError> {
    testing::Session::open(settings, network()).await.map(Session)
}

/// Resolves to loopback, and refuses what the gateway's rules would.
fn network() -> Network {
    Network::new(|host, port| async move {
        match host.as_str() {
            "forbidden.test" | "169.254.169.254" => {
                Err(DriverError::forbidden("this address is not allowed"))
            }
            "localhost" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
            literal => match literal.parse() {
                Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
                Err(_) => Err(DriverError::connection("not_resolved", "there is no such host")),
            },
        }
    })
}

/// A session that runs commands too.
#[derive(Clone)]
pub struct Session(testing::Session<Redis>);

impl Session {
    pub async fn command(&self, granted: Access, words: Value) -> Result<Value, DriverError> {
        let request = TestRequest::post("/command", json!({ "command": words })).granted(granted);
        self.send(request).await.map(|(_, payload)| payload["result"].clone())
    }

    pub async fn run(&self, line: &str) -> Value {
        self.command(Access::Admin, line.split(' ').collect()).await.unwrap()
    }
}

impl Deref for Session {
    type Target = testing::Session<Redis>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

pub fn wait_until(mut condition: impl FnMut() -> bool) {
    studio_test_servers::wait_until(std::time::Duration::from_secs(20), "the condition", || Ok(condition()))
        .unwrap();
}
