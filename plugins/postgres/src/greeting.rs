//! What postgres-meta says of itself: `GET /` and `GET /health`.

use crate::Postgres;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use studio_plugin_api::{Context, DriverError, Json, Operations};

/// The rows of both operations.
pub(crate) fn operations(operations: Operations<Postgres>) -> Operations<Postgres> {
    operations
        .get("/", introduce)
        .read()
        .summary("Say which service this stands for")
        .get("/health", tell_health)
        .read()
        .summary("Say that the database is reached")
}

/// The service whose answers these are.
#[derive(Serialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Service {
    status: u16,
    name: &'static str,
    version: &'static str,
    documentation: &'static str,
}

async fn introduce(_: Context<Postgres>) -> Result<Json<Service>, DriverError> {
    Ok(Json(Service {
        status: 200,
        name: "@supabase/postgres-meta",
        version: "0.99.0",
        documentation: "https://github.com/supabase/postgres-meta",
    }))
}

/// That it is well, and since when that is known.
#[derive(Serialize, JsonSchema)]
#[schemars(crate = "studio_plugin_api::schemars")]
struct Health {
    /// RFC 3339, UTC, milliseconds.
    date: String,
}

async fn tell_health(_: Context<Postgres>) -> Result<Json<Health>, DriverError> {
    Ok(Json(Health { date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string() }))
}
