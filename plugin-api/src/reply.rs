//! The replies that handlers answer with.

use crate::{DriverError, ErrorCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// The success statuses of the HTTP contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 200 with a payload.
    Ok,
    /// 201 with a payload: something was created.
    Created,
    /// 204 without a body.
    NoContent,
}

/// A reply as plain values. The payload is one JSON text; the host puts it into the envelope unread.
#[derive(Debug)]
pub struct Payload<Bytes = Vec<u8>> {
    /// The success status.
    pub outcome: Outcome,
    /// One JSON text in UTF-8, or bytes of the operation's media type. Empty with `NoContent`; a JSON payload is empty
    /// with no other outcome.
    pub json: Bytes,
    /// Whether the call left the database as it was, although its operation may write.
    pub only_read: bool,
}

/// The refusal of a payload that does not [fit](Payload::fits).
pub const MISPLACED_PAYLOAD: &str =
    "the driver answered with no payload where one is due, or with one where none is";

impl<Bytes: AsRef<[u8]>> Payload<Bytes> {
    /// Tells whether there is a payload where one is due, and none where none is. `is_json`: the operation answers with
    /// JSON, which is never empty.
    pub fn fits(&self, is_json: bool) -> bool {
        match self.outcome {
            Outcome::NoContent => self.json.as_ref().is_empty(),
            Outcome::Ok | Outcome::Created => !self.json.as_ref().is_empty() || !is_json,
        }
    }
}

/// A type that a handler can return.
pub trait Reply: Sized {
    /// Describes the payload by a JSON Schema; `None` where there is nothing to tell.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;

    /// Returns the payload's type when it is not JSON, as `Content-Type` says it. Only for operations under a
    /// [bare alias](crate::Alias::bare): a host refuses to load a driver that has it elsewhere.
    fn media_type() -> Option<&'static str> {
        None
    }

    /// Serializes the reply, once, into the buffer that is sent.
    ///
    /// # Errors
    /// `DRIVER_ERROR` when the value has no JSON form (a map with keys that are not strings).
    fn into_payload(self) -> Result<Payload, DriverError>;
}

fn serialize<T: Serialize>(outcome: Outcome, value: &T) -> Result<Payload, DriverError> {
    Ok(Payload { outcome, json: write(value)?, only_read: false })
}

fn has_no_json(error: serde_json::Error) -> DriverError {
    DriverError::new(ErrorCode::DriverError, format!("the reply has no JSON form: {error}"))
}

#[cfg(not(target_family = "wasm"))]
fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, DriverError> {
    let mut json = Vec::with_capacity(256);
    serde_json::to_writer(&mut json, value).map_err(has_no_json)?;
    Ok(json)
}

/// Serializes a value. A large one is measured first: a buffer that grows is in memory twice, and an instance's memory
/// is small.
#[cfg(target_family = "wasm")]
fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, DriverError> {
    let mut beginning = Beginning::default();
    serde_json::to_writer(&mut beginning, value).map_err(has_no_json)?;
    if beginning.length == beginning.json.len() {
        return Ok(beginning.json);
    }
    let length = beginning.length;
    drop(beginning);
    let mut json = Vec::new();
    json.try_reserve_exact(length).map_err(|_| {
        let message = "the reply is larger than what is left of the session's memory";
        DriverError::new(ErrorCode::ResultTooLarge, message)
    })?;
    serde_json::to_writer(&mut json, value).map_err(has_no_json)?;
    Ok(json)
}

/// The beginning of a text, and the length of the whole.
#[cfg(target_family = "wasm")]
#[derive(Default)]
struct Beginning {
    json: Vec<u8>,
    length: usize,
}

#[cfg(target_family = "wasm")]
impl std::io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        const KEPT: usize = 512 << 10;
        if self.length == self.json.len() && self.length + bytes.len() <= KEPT {
            self.json.extend_from_slice(bytes);
        }
        self.length += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// 200 with a value.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize + JsonSchema> Reply for Json<T> {
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        serialize(Outcome::Ok, &self.0)
    }
}

/// A value that was created (201), or changed where it was there before (200).
#[derive(Debug)]
pub struct Created<T> {
    /// The payload.
    pub value: T,
    /// Whether it is new.
    pub created: bool,
}

impl<T: Serialize + JsonSchema> Reply for Created<T> {
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        serialize(if self.created { Outcome::Created } else { Outcome::Ok }, &self.value)
    }
}

/// 204.
#[derive(Debug)]
pub struct NoContent;

impl Reply for NoContent {
    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        Ok(Payload { outcome: Outcome::NoContent, json: Vec::new(), only_read: false })
    }
}

/// 200 with JSON that the driver wrote itself, directly from its database's wire format.
#[derive(Debug)]
pub struct RawJson(Vec<u8>);

impl RawJson {
    /// Makes a reply of `json`: exactly one JSON text in UTF-8, since the host does not look into it. Checked in debug
    /// builds.
    pub fn new(json: Vec<u8>) -> Self {
        debug_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&json).is_ok(), "not one JSON text");
        Self(json)
    }
}

impl Reply for RawJson {
    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        Ok(Payload { outcome: Outcome::Ok, json: self.0, only_read: false })
    }
}

/// 200 with a text, only for operations under a [bare alias](crate::Alias::bare).
#[derive(Debug)]
pub struct PlainText(pub String);

impl Reply for PlainText {
    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
    fn media_type() -> Option<&'static str> {
        Some("text/plain; charset=utf-8")
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        Ok(Payload { outcome: Outcome::Ok, json: self.0.into_bytes(), only_read: false })
    }
}

/// A reply of an operation declared `per_call` whose call turned out only to read: it is not audited as a write, and
/// makes no cached reply stale.
#[derive(Debug)]
pub struct OnlyRead<R>(pub R);

impl<R: Reply> Reply for OnlyRead<R> {
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        R::schema(generator)
    }
    fn media_type() -> Option<&'static str> {
        R::media_type()
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        self.0.into_payload().map(|payload| Payload { only_read: true, ..payload })
    }
}

/// One of two forms of reply, where only the call decides which.
#[derive(Debug)]
pub enum Either<A, B> {
    /// The first form, whose schema and media type stand for both.
    First(A),
    /// The second.
    Second(B),
}

impl<A: Reply, B: Reply> Reply for Either<A, B> {
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        A::schema(generator)
    }
    fn media_type() -> Option<&'static str> {
        A::media_type()
    }
    fn into_payload(self) -> Result<Payload, DriverError> {
        match self {
            Self::First(reply) => reply.into_payload(),
            Self::Second(reply) => reply.into_payload(),
        }
    }
}
