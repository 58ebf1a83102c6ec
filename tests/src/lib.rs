//! The parts of end-to-end tests: servers that start, break and stop on demand, the built gateway as an operator runs
//! it, tokens of every kind, and a client that checks every answer.
//!
//! Most tests start a [`World`]. `cargo xtask test` builds the gateway and drivers and names them by
//! [`dist::VARIABLE`].

// This is test code: it reports by a panic with a message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod browser;
pub mod client;
pub mod database;
pub mod differential;
pub mod dist;
pub mod gateway;
pub mod guest;
pub mod hostile_mongo;
pub mod hostile_server;
pub mod memcached_server;
pub mod mongo_server;
pub mod mongo_world;
pub mod options;
pub mod plugins;
pub mod postgres_bouncer;
pub mod postgres_database;
pub mod postgres_meta;
pub mod postgres_server;
pub mod postgres_world;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod redis_server;
pub mod server;
pub mod studio_database;
pub mod time;
pub mod token;
pub mod world;

pub use browser::{Browser, Site};
pub use client::{Answer, Client};
pub use database::{Database, Registry};
pub use gateway::{FailedStart, Gateway};
pub use guest::Guest;
pub use hostile_mongo::{Act, HostileMongo};
pub use hostile_server::{HostileServer, Memory, Says};
pub use memcached_server::{MemcachedOptions, MemcachedServer};
pub use mongo_server::{MongoOptions, MongoServer};
pub use mongo_world::MongoWorld;
pub use options::GatewayOptions;
pub use plugins::{Plugin, Plugins, RedisDriver};
pub use postgres_bouncer::PostgresBouncer;
pub use postgres_database::PostgresDatabase;
pub use postgres_meta::PostgresMeta;
pub use postgres_server::{PostgresOptions, PostgresServer};
pub use postgres_world::PostgresWorld;
pub use proxy::{Mode, Proxy};
pub use raw::{RawAnswer, raw_request};
pub use redis_server::{RedisOptions, RedisServer};
pub use server::TestServer;
pub use studio_database::{AuditShape, Snapshot, StudioDatabase, people};
pub use studio_test_servers::Certificates;
pub use time::{PATIENCE, eventually};
pub use token::Token;
pub use world::{Project, World};
