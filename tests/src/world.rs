//! The world of most tests: a gateway, a Redis, two projects of two organizations with a member of each role.

use crate::{
    client::Client,
    gateway::Gateway,
    options::GatewayOptions,
    redis_server::{RedisOptions, RedisServer},
    token::Token,
};
use serde_json::{Value, json};

/// The world.
pub struct World {
    /// The gateway.
    pub gateway: Gateway,
    /// Both projects' Redis.
    pub redis: RedisServer,
    /// A platform admin.
    pub platform_admin: Client,
    /// A client with a good token who is a member of nothing.
    pub stranger: Client,
    /// Project `alpha` of organization `alpha-org`; its connection `main` is database 0 of the Redis.
    pub alpha: Project,
    /// Project `beta` of organization `beta-org`; its connection `main` is database 1 of the Redis.
    pub beta: Project,
}

/// A project with one member of each role. They are members by the registry; their tokens give nothing.
pub struct Project {
    /// Its ref.
    pub reference: String,
    /// The id of its primary Redis connection, `main`.
    pub connection: String,
    /// User `<ref>-owner`.
    pub owner: Client,
    /// User `<ref>-admin`.
    pub admin: Client,
    /// User `<ref>-developer`.
    pub developer: Client,
    /// User `<ref>-viewer`.
    pub viewer: Client,
}

impl World {
    /// Starts with both drivers and an open Redis: on a registry, with a form of the Redis driver, or with other
    /// options.
    pub async fn start(gateway: impl Into<GatewayOptions>) -> Self {
        Self::start_with(gateway.into(), RedisOptions::new()).await
    }

    /// Starts a gateway and a Redis with these options; the connections log in to it by its password.
    pub async fn start_with(gateway: GatewayOptions, redis: RedisOptions) -> Self {
        let (gateway, redis) = tokio::join!(Gateway::start(gateway), RedisServer::start(redis));
        let platform_admin = gateway.platform_admin();
        Self {
            alpha: Project::create(&gateway, "alpha", &redis, 0).await,
            beta: Project::create(&gateway, "beta", &redis, 1).await,
            stranger: gateway.client(&Token::user("stranger")),
            platform_admin,
            gateway,
            redis,
        }
    }
}

impl Project {
    async fn create(gateway: &Gateway, reference: &str, redis: &RedisServer, database: u8) -> Self {
        let mut project = Self::create_empty(gateway, reference).await;
        let connection = json!({
            "identifier": "main",
            "connection_string": format!("{}/{database}", redis.url()),
        });
        project.connection = project.connect("redis", connection).await;
        project
    }

    /// Creates a project without connections, in a fresh organization.
    pub async fn create_empty(gateway: &Gateway, reference: &str) -> Self {
        let platform_admin = gateway.platform_admin();
        let organization = format!("{reference}-org");
        let body = json!({"name": format!("Organization of {reference}"), "slug": organization});
        platform_admin.post("/api/platform/organizations", body).await.expect(201);
        let body = json!({"organization": organization, "name": reference, "ref": reference});
        platform_admin.post("/api/platform/projects", body).await.expect(201);
        let mut members = Vec::new();
        for role in ["owner", "admin", "developer", "viewer"] {
            let user = format!("{reference}-{role}");
            let path = format!("/api/platform/projects/{reference}/members/{user}");
            let answer = platform_admin.put(&path, json!({"role": role})).await;
            assert!((200..300).contains(&answer.status), "{answer}");
            members.push(gateway.client(&Token::user(&user)));
        }
        let [owner, admin, developer, viewer] = <[Client; 4]>::try_from(members).unwrap();
        Self { reference: reference.to_owned(), connection: String::new(), owner, admin, developer, viewer }
    }

    /// Creates a connection as the owner and gives back its id.
    pub async fn connect(&self, database_type: &str, body: Value) -> String {
        let answer = self.owner.post(&self.connections(database_type), body).await.expect(201);
        answer.data()["id"].as_str().expect("an id").to_owned()
    }

    /// Creates a connection of the probe driver and gives back its id.
    pub async fn connect_probe(&self, identifier: &str, options: Value) -> String {
        self.connect("probe", json!({"identifier": identifier, "host": "127.0.0.1", "options": options}))
            .await
    }

    /// Makes the path of its connections of a type.
    pub fn connections(&self, database_type: &str) -> String {
        self.path(database_type, "/connections")
    }

    /// Makes a path below the project: `path("redis", "/keys")`.
    pub fn path(&self, database_type: &str, rest: &str) -> String {
        format!("/api/platform/{database_type}/{}{rest}", self.reference)
    }

    /// Lists all members, with the names of their roles.
    pub fn members(&self) -> [(&'static str, &Client); 4] {
        [
            ("viewer", &self.viewer),
            ("developer", &self.developer),
            ("admin", &self.admin),
            ("owner", &self.owner),
        ]
    }
}
