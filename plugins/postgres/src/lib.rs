//! The PostgreSQL driver of studio-gateway.
//!
//! `options.rs` reads a connection's settings; `dial.rs` opens a stream, `wire.rs` speaks the protocol on it, `pool.rs`
//! lends connections and stops what their borrowers leave behind, `traces.rs` tells what of it can't be
//! cleaned, `stop.rs` tells the server to stop; `session.rs` runs what is asked, `exchange.rs` reads its answers. `results.rs` and
//! `json/` make JSON of rows as they arrive. `query/` is the caller's own SQL, `guard/` what viewers' may be, `proof/`
//! tells which of it leaves nothing behind;
//! `parser/` looks at SQL without a server, in the room that `room.rs` gives; `resources/` is everything in the catalogs, `generators/` the
//! same as types of programming languages; `greeting.rs` is what postgres-meta says of
//! itself, `lenient/` how it reads what callers write. `prefix.rs` is how `postgres/` and `pg-meta/` differ.

mod dial;
mod errors;
mod exchange;
mod extent;
#[doc(hidden)]
pub mod fuzzing;
mod generators;
mod greeting;
mod guard;
mod json;
mod lenient;
mod options;
mod parser;
mod pool;
mod prefix;
mod proof;
mod query;
mod quote;
mod resources;
mod results;
mod room;
mod session;
mod statement;
mod stop;
mod traces;
mod type_names;
mod wire;

use options::Target;
pub use options::{PostgresOptions, SslMode};
use pool::Connections;
use prefix::{Bare, Enveloped, Prefix};
pub use session::Postgres;
use std::time::Duration;
use studio_plugin_api::prelude::*;

/// The prefix under which answers are those of `@supabase/postgres-meta`.
const POSTGRES_META: &str = "pg-meta";

/// The request header by which postgres-meta's callers name themselves to the server.
const APPLICATION_NAME: &str = "x-pg-application-name";

const MINUTE: Duration = Duration::from_secs(60);

/// What is kept under `postgres/`, and what any write, of SQL above all, may make stale.
const LISTS: [&str; 13] = [
    "/schemas",
    "/tables",
    "/columns",
    "/views",
    "/materialized-views",
    "/foreign-tables",
    "/indexes",
    "/functions",
    "/triggers",
    "/types",
    "/policies",
    "/publications",
    "/extensions",
];

/// The operations that both prefixes have.
fn all<F: Prefix>(operations: Operations<Postgres>) -> Operations<Postgres> {
    let operations = generators::operations::<F>(parser::operations::<F>(operations));
    resources::operations::<F>(operations)
}

impl Driver for Postgres {
    type Options = PostgresOptions;

    fn describe() -> Description {
        Description::new("postgres", "PostgreSQL", env!("CARGO_PKG_VERSION"))
            .default_port(5432)
            .connection_string_schemes(&["postgresql", "postgres"])
            .serves_project_database()
            .alias(
                Alias::bare(POSTGRES_META)
                    .status(ErrorCode::ValidationError, 500)
                    .status(ErrorCode::Timeout, 408)
                    .lenient()
                    .header(APPLICATION_NAME)
                    .connection_header("x-connection-encrypted")
                    .connection_header("pg"),
            )
    }

    fn operations() -> Operations<Self> {
        resources::info::operations(all::<Enveloped>(query::enveloped(Operations::new())))
            .cache_each(&LISTS, 10 * MINUTE)
            .cache_each(&["/info"], MINUTE / 2)
            // Callers of postgres-meta are used to seeing what others change beside it.
            .alias(POSTGRES_META, |operations| all::<Bare>(query::bare(greeting::operations(operations))))
            .each_write_invalidates(&LISTS)
            .each_write_invalidates(&["/info"])
    }

    fn check(settings: &ConnectionSettings<PostgresOptions>) -> Result<(), DriverError> {
        Target::new(settings).map(drop)
    }

    async fn connect(
        settings: ConnectionSettings<PostgresOptions>,
        network: Network,
    ) -> Result<Self, DriverError> {
        Connections::open(Target::new(&settings)?, network).await.map(Self::new)
    }

    async fn ping(&self) -> Result<ServerFacts, DriverError> {
        self.greet().await
    }
}

studio_plugin_api::export_driver!(Postgres);
