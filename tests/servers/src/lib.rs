//! Real database servers on ports of 127.0.0.1, for tests, benchmarks and `cargo xtask dev`.
//!
//! A [`Server`] is a [`Program`] with its own port and folder. It can be frozen, stopped, killed and started again
//! there, and does not outlive the process that started it, however that ends. [`ports`] chooses every port.
//!
//! Nothing here is asynchronous. A test that must go on meanwhile calls [`Server::spawn`], and then
//! [`Server::is_ready`] again and again.

mod answers;
mod bouncer;
mod certificates;
mod memcached;
mod mongo;
pub mod ports;
mod postgres;
mod postgres_meta;
mod postgres_programs;
mod process;
mod program;
mod redis;
mod server;

pub use answers::{answers_http, first_line, listens};
pub use bouncer::BouncerOptions;
pub use certificates::Certificates;
pub use memcached::{MemcachedOptions, MemcachedServer};
pub use mongo::MongoOptions;
pub use ports::{free_port, listener};
pub use postgres::{PostgresOptions, PostgresServer};
pub use postgres_meta::PostgresMetaOptions;
pub use postgres_programs::{PostgresPrograms, debian_folders, is_root};
pub use process::{Orphan, Process};
pub use program::{Place, Program};
pub use redis::{RedisOptions, RedisServer, SentinelOptions, form_cluster, start_cluster};
pub use server::{START_TIME, STOP_TIME, Server, wait_until};
