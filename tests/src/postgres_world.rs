//! What tests of PostgreSQL start from: a gateway with the driver, a database, and a project with everyone in it.

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
    /// The project's database, and the way to the truth.
    pub database: PostgresDatabase,
    /// Project `alpha`; its connection `main` is the database.
    pub alpha: Project,
    server: Option<PostgresServer>,
}

impl PostgresWorld {
    /// With an empty database on the run's shared server, whose roles are other tests' too. Nothing is kept: tests write
    /// beside the gateway too.
    pub async fn start() -> Self {
        Self::of(Self::options(), PostgresDatabase::shared().await, None).await
    }

    /// With a gateway of a special kind, and this database.
    pub async fn start_on(gateway: GatewayOptions, database: PostgresDatabase) -> Self {
        Self::of(gateway, database, None).await
    }

    /// The same with a database that has one of everything.
    pub async fn start_rich() -> Self {
        Self::of(Self::options(), PostgresDatabase::shared().await.fill().await, None).await
    }

    /// With a gateway and a server of a special kind, which is this world's alone, and an empty database there.
    pub async fn start_with(gateway: GatewayOptions, server: PostgresOptions) -> Self {
        let server = PostgresServer::start(server).await;
        let database = server.create_database().await;
        Self::of(gateway, database, Some(server)).await
    }

    /// A gateway that keeps no replies.
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

    /// The server, where it is this world's alone.
    pub fn server(&mut self) -> &mut PostgresServer {
        self.server.as_mut().expect("a world with a server of its own")
    }

    /// A path in our envelope: `path("/tables")`.
    pub fn path(&self, rest: &str) -> String {
        self.alpha.path("postgres", rest)
    }

    /// A path in postgres-meta's shapes.
    pub fn bare_path(&self, rest: &str) -> String {
        self.alpha.path("pg-meta", rest)
    }
}
