//! `POST /flush`.

use crate::{
    Memcached, errors,
    wire::{Refusal, not_memcached},
};
use studio_plugin_api::prelude::*;

/// memcached takes more for a moment in Unix time.
const MAX_DELAY: u32 = 30 * 24 * 3600;

/// When.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlushBody {
    /// Seconds to wait, at most 30 days; by default none. What is stored meanwhile goes too.
    #[serde(default)]
    #[schemars(range(max = 2_592_000))]
    delay: u32,
}

/// What will be.
#[derive(Serialize, JsonSchema)]
pub(crate) struct FlushAnswer {
    /// Seconds until every item of the cache is gone.
    delay: u32,
}

/// `POST /flush`: drops everything.
pub(crate) async fn flush(
    memcached: Context<Memcached>,
    body: Body<Option<FlushBody>>,
) -> Result<Json<FlushAnswer>, DriverError> {
    let FlushBody { delay } = body.0.unwrap_or_default();
    if delay > MAX_DELAY {
        return Err(DriverError::field("delay", format!("must be from 0 to {MAX_DELAY}")));
    }
    let line = memcached.connection.ask_line(&format!("flush_all {delay}\r\n")).await?;
    match (line.as_str(), Refusal::parse(&line)) {
        ("OK", _) => Ok(Json(FlushAnswer { delay })),
        (_, Some(refusal)) => Err(errors::from_server(&refusal)),
        _ => Err(not_memcached()),
    }
}
