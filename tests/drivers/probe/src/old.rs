//! The probe under its other prefix, whose answers have no envelope: for tests of aliases.

use crate::{Probe, counters, nothing, wait, write};
use std::time::Duration;
use studio_plugin_api::prelude::*;

/// Errors that have another status under the alias, and none of the usual envelope.
pub(super) fn alias() -> Alias {
    Alias::bare("old-probe").status(ErrorCode::ValidationError, 500).status(ErrorCode::Timeout, 408)
}

/// The operations under it. `/text` and `/made` are nowhere else.
pub(super) fn operations(operations: Operations<Probe>) -> Operations<Probe> {
    operations
        .get("/nothing", nothing)
        .read()
        .get("/text", text)
        .read()
        .summary("Answer with a text as it is")
        .post("/made", make)
        .write()
        .summary("Answer that something was made")
        .post("/write", write)
        .write()
        .post("/admin", write)
        .admin()
        .get("/fail", fail)
        .read()
        .summary("Fail with details")
        .get("/wait", wait)
        .read()
        .get("/counters/{name}", counters::read)
        .read()
        .cache(Duration::from_secs(60))
        .post("/counters/{name}", counters::add)
        .write()
        .invalidates(["/counters/{name}"])
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

async fn text(_: Context<Probe>, query: Query<Text>) -> Result<PlainText, DriverError> {
    Ok(PlainText(query.0.text))
}

async fn make(_: Context<Probe>, body: Body<Text>) -> Result<Created<String>, DriverError> {
    Ok(Created { value: body.0.text, created: true })
}

async fn fail(_: Context<Probe>) -> Result<NoContent, DriverError> {
    Err(DriverError::query("42P01", "there is no such thing")
        .with("position", 7)
        .with("error", "is no detail"))
}
