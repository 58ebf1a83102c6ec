//! A real Redis for a test, and ways to look into it.

use crate::server::{Contents, TestServer, told};
use redis::aio::MultiplexedConnection;
use studio_test_servers::form_cluster;

pub use studio_test_servers::RedisOptions;

/// A Redis. Its data are gone when it stops.
pub type RedisServer = TestServer<RedisOptions>;

impl Contents for RedisOptions {}

impl TestServer<RedisOptions> {
    /// Starts a cluster of three masters.
    pub async fn cluster() -> Vec<Self> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(Self::start(RedisOptions::new().node()).await);
        }
        told(form_cluster(nodes.iter().map(|node| &**node)));
        nodes
    }

    /// Makes a URL `redis://…` with the password in it.
    pub fn url(&self) -> String {
        let password = self.options.default_password().map(|password| format!(":{password}@"));
        let scheme = if self.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}127.0.0.1:{}", password.unwrap_or_default(), self.port)
    }

    /// Connects to its database 0, beside the gateway.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.expect("a connection to the test's Redis")
    }

    /// Runs one command: `run(&["SET", "k", "v"])`.
    pub async fn run(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let result = command.query_async(&mut self.connection().await).await;
        result.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Counts the clients that are connected, without the one that asks.
    pub async fn clients(&self) -> usize {
        let list: String =
            redis::cmd("CLIENT").arg("LIST").query_async(&mut self.connection().await).await.unwrap();
        list.lines().count() - 1
    }
}
