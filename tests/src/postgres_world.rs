//! The world of PostgreSQL's tests: a gateway with the driver, a database, and a project with a member of each role.

use crate::{
    gateway::Gateway,
    options::GatewayOptions,
    plugins::{Plugin, Plugins},
    postgres_database::PostgresDatabase,
    postgres_server::{PostgresOptions, PostgresServer},
    world::Project,
};
use serde_json::json;

/// The world of PostgreSQL.
pub struct PostgresWorld {
    /// The gateway, which knows this driver only.
    pub gateway: Gateway,
    /// The project's database, with a way into it beside the gateway.
    pub database: PostgresDatabase,
    /// Project `alpha`; its connection `main` is the database.
    pub alpha: Project,
    server: Option<PostgresServer>,
}

impl PostgresWorld {
    /// Starts with an empty database on the run's shared server, whose roles are other tests' too. The gateway keeps no
    /// replies: tests write beside the gateway too.
    pub async fn start() -> Self {
        Self::of(Self::options(), PostgresDatabase::shared().await, None).await
    }

    /// Starts a gateway with these options, on this database.
    pub async fn start_on(gateway: GatewayOptions, database: PostgresDatabase) -> Self {
        Self::of(gateway, database, None).await
    }

    /// Starts as [`start`](Self::start) does, with a database that has one of everything.
    pub async fn start_rich() -> Self {
        Self::of(Self::options(), PostgresDatabase::shared().await.fill().await, None).await
    }

    /// Starts a gateway and a server with these options, and an empty database there. The server is this world's alone.
    pub async fn start_with(gateway: GatewayOptions, server: PostgresOptions) -> Self {
        let server = PostgresServer::start(server).await;
        let database = server.create_database().await;
        Self::of(gateway, database, Some(server)).await
    }

    /// Makes options of a gateway that keeps no replies.
    pub fn options() -> GatewayOptions {
        GatewayOptions::default().set("GATEWAY_CACHE_ENABLED", "false")
    }

    async fn of(options: GatewayOptions, database: PostgresDatabase, server: Option<PostgresServer>) -> Self {
        let gateway = Gateway::start(options.plugins(Plugins::new([Plugin::new("postgres")]))).await;
        let mut alpha = Project::create_empty(&gateway, "alpha").await;
        let mut body = json!({"identifier": "main", "connection_string": database.url});
        if let Some(files) = server.as_ref().and_then(|server| server.certificates.as_ref()) {
            body["options"] = json!({"tls_ca": files.authority});
        }
        alpha.connection = alpha.connect("postgres", body).await;
        Self { gateway, database, alpha, server }
    }

    /// Returns the server, where it is this world's alone.
    pub fn server(&mut self) -> &mut PostgresServer {
        self.server.as_mut().expect("a world with a server of its own")
    }

    /// Makes a path in our envelope: `path("/tables")`.
    pub fn path(&self, rest: &str) -> String {
        self.alpha.path("postgres", rest)
    }

    /// Makes a path in postgres-meta's shapes.
    pub fn bare_path(&self, rest: &str) -> String {
        self.alpha.path("pg-meta", rest)
    }
}
