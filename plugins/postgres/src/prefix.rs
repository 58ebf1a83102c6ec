//! The two prefixes of the driver: `postgres/` in the gateway's envelope, `pg-meta/` in postgres-meta's bare shapes.

use schemars::{Schema, SchemaGenerator};
use serde_json::Map;
use studio_plugin_api::{
    DriverError, ErrorCode, Json, NoContent, Outcome, PlainText, RawJson, Reply, reply::Payload,
};

/// How answers look that differ between the two.
pub(crate) trait Prefix: Send + Sync + 'static {
    /// What was created.
    type Created: Reply + Send + 'static;
    /// What was removed.
    type Removed: Reply + Send + 'static;
    /// Whether what postgres-meta shows of an index, though it makes no sense, is shown as it has it.
    const INDEXES_AS_POSTGRES_META: bool;

    /// Whether what a caller writes is taken for what it is to be, as postgres-meta takes it.
    const LENIENT: bool;

    /// A text that is the whole answer.
    type Text: Reply + Send + 'static;

    /// Answers with what was created, an object in JSON.
    fn created(json: Vec<u8>) -> Self::Created;
    /// Answers with what was removed, an object in JSON.
    fn removed(json: Vec<u8>) -> Self::Removed;
    /// Answers with a text.
    fn text(text: String) -> Self::Text;
    /// An error of anything but `/query`.
    fn error(error: DriverError) -> DriverError;
}

/// `postgres/`: 201 for what was created, 204 for what was removed, errors with all their details.
pub(crate) struct Enveloped;

/// `pg-meta/`: always 200 with the object, errors with their message alone.
pub(crate) struct Bare;

impl Prefix for Enveloped {
    type Created = CreatedJson;
    type Removed = NoContent;
    const INDEXES_AS_POSTGRES_META: bool = false;
    const LENIENT: bool = false;
    type Text = Json<String>;

    fn created(json: Vec<u8>) -> CreatedJson {
        CreatedJson(json)
    }
    fn removed(_: Vec<u8>) -> NoContent {
        NoContent
    }
    fn text(text: String) -> Json<String> {
        Json(text)
    }
    fn error(error: DriverError) -> DriverError {
        error
    }
}

impl Prefix for Bare {
    type Created = RawJson;
    type Removed = RawJson;
    const INDEXES_AS_POSTGRES_META: bool = true;
    const LENIENT: bool = true;
    type Text = PlainText;

    fn created(json: Vec<u8>) -> RawJson {
        RawJson::new(json)
    }
    fn removed(json: Vec<u8>) -> RawJson {
        RawJson::new(json)
    }
    fn text(text: String) -> PlainText {
        PlainText(text)
    }
    fn error(error: DriverError) -> DriverError {
        // What the server refused is one thing here, whatever its reason.
        let code = match error.code {
            ErrorCode::Conflict | ErrorCode::Forbidden if error.details.contains_key("code") => {
                ErrorCode::QueryError
            }
            code => code,
        };
        DriverError { code, details: Map::new(), ..error }
    }
}

/// 201 with JSON that the driver wrote itself.
#[derive(Debug)]
pub(crate) struct CreatedJson(Vec<u8>);

impl Reply for CreatedJson {
    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        Ok(Payload { outcome: Outcome::Created, json: self.0, only_read: false })
    }
}
