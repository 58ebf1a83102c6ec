//! A real PgBouncer for a test, before a PostgreSQL server.

use crate::{
    postgres_server::PostgresServer,
    server::{Contents, TestServer},
};
use studio_test_servers::BouncerOptions;

/// A PgBouncer.
pub type PostgresBouncer = TestServer<BouncerOptions>;

impl Contents for BouncerOptions {}

impl TestServer<BouncerOptions> {
    /// Starts one before a server that asks for no password, with this many server connections for each database.
    pub async fn before(server: &PostgresServer, pool_size: u16) -> Self {
        Self::start(BouncerOptions::new(server.port, pool_size)).await
    }

    /// Makes a URL `postgresql://…` of one of the server's databases, through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }
}
