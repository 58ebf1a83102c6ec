//! What MongoDB and its client say went wrong, in the contract's words.

mod code_names;

use crate::ejson::{self, Form};
use bson::{Document, RawDocument, RawDocumentBuf};
use mongodb::error::{
    CommandError, Error, ErrorKind, NO_WRITES_PERFORMED, RETRYABLE_WRITE_ERROR, WriteConcernError,
    WriteError, WriteFailure,
};
use serde_json::{Map, Value};
use std::io;
use studio_plugin_api::{DriverError, ErrorCode};

/// The names of the server's codes that mean something here (`error_codes.yml` of MongoDB's source).
mod code {
    pub(super) const HOST_UNREACHABLE: i32 = 6;
    pub(super) const HOST_NOT_FOUND: i32 = 7;
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const AUTHENTICATION_FAILED: i32 = 18;
    pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
    pub(super) const INDEX_NOT_FOUND: i32 = 27;
    pub(super) const NAMESPACE_EXISTS: i32 = 48;
    pub(super) const MAX_TIME_EXPIRED: i32 = 50;
    pub(super) const WRITE_CONCERN_TIMEOUT: i32 = 64;
    pub(super) const INDEX_OPTIONS_CONFLICT: i32 = 85;
    pub(super) const INDEX_KEY_SPECS_CONFLICT: i32 = 86;
    pub(super) const NETWORK_TIMEOUT: i32 = 89;
    pub(super) const SHUTDOWN_IN_PROGRESS: i32 = 91;
    pub(super) const PRIMARY_STEPPED_DOWN: i32 = 189;
    pub(super) const EXCEEDED_TIME_LIMIT: i32 = 262;
    pub(super) const CLIENT_DISCONNECT: i32 = 279;
    pub(super) const ATLAS_ERROR: i32 = 8000;
    pub(super) const SOCKET_EXCEPTION: i32 = 9001;
    pub(super) const NOT_WRITABLE_PRIMARY: i32 = 10107;
    pub(super) const OBJECT_TOO_LARGE: i32 = 10334;
    pub(super) const DUPLICATE_KEY: i32 = 11000;
    pub(super) const DUPLICATE_KEY_UPDATE: i32 = 11001;
    pub(super) const UPDATED_OBJECT_TOO_LARGE: [i32; 2] = [17419, 17420];
    pub(super) const INTERRUPTED_AT_SHUTDOWN: i32 = 11600;
    pub(super) const INTERRUPTED: i32 = 11601;
    pub(super) const INTERRUPTED_BY_STATE_CHANGE: i32 = 11602;
    pub(super) const DUPLICATE_KEY_CAPPED: i32 = 12582;
    pub(super) const NOT_PRIMARY_NO_SECONDARY_OK: i32 = 13435;
    pub(super) const NOT_PRIMARY_OR_SECONDARY: i32 = 13436;

    /// Codes of refusals before the first document: FailedToParse, Unauthorized, ConflictingUpdateOperators,
    /// CommandNotFound, InvalidNamespace, CommandNotSupportedOnView, and that of a stage that does not exist.
    pub(super) const BEFORE_ANY: [i32; 7] = [9, 13, 40, 59, 73, 166, 40_324];

    /// Codes that end a command wherever it is: a write of many documents may have changed some of them, and a
    /// `mongos` may have lost sight of a shard that went on.
    pub(super) const INTERRUPTING: [i32; 16] = [
        HOST_UNREACHABLE,
        HOST_NOT_FOUND,
        MAX_TIME_EXPIRED,
        WRITE_CONCERN_TIMEOUT,
        NETWORK_TIMEOUT,
        SHUTDOWN_IN_PROGRESS,
        PRIMARY_STEPPED_DOWN,
        EXCEEDED_TIME_LIMIT,
        CLIENT_DISCONNECT,
        SOCKET_EXCEPTION,
        NOT_WRITABLE_PRIMARY,
        INTERRUPTED_AT_SHUTDOWN,
        INTERRUPTED,
        INTERRUPTED_BY_STATE_CHANGE,
        NOT_PRIMARY_NO_SECONDARY_OK,
        NOT_PRIMARY_OR_SECONDARY,
    ];
}

/// The most characters of one text of the server's in an error.
const MAX_TEXT: usize = 4000;
/// The most bytes of a document of the server's in an error.
const MAX_INFO: usize = 64 << 10;

/// A text as it may stand in an error: a server's is as long as it likes.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// An error that the server gave for a command, a write or one document of several.
pub(crate) struct ServerError<'a> {
    /// MongoDB's number for it.
    pub(crate) code: i32,
    /// MongoDB's name for it, where the server gives one.
    pub(crate) name: Option<&'a str>,
    /// In the server's words.
    pub(crate) message: &'a str,
    /// What more it says, as of a document that a validator refuses.
    pub(crate) info: Option<Value>,
}

impl<'a> ServerError<'a> {
    fn of_command(error: &'a CommandError, info: Option<Value>) -> Self {
        Self { code: error.code, name: Some(&error.code_name), message: &error.message, info }
    }

    fn of_write(error: &'a WriteError) -> Self {
        Self {
            code: error.code,
            name: error.code_name.as_deref(),
            message: &error.message,
            info: error.details.as_ref().and_then(info_of),
        }
    }

    /// Whether a unique index refused it.
    pub(crate) fn is_duplicate_key(&self) -> bool {
        matches!(self.code, code::DUPLICATE_KEY | code::DUPLICATE_KEY_UPDATE | code::DUPLICATE_KEY_CAPPED)
    }

    /// Whether a write of several documents was refused as a whole.
    pub(crate) fn is_before_any(&self) -> bool {
        code::BEFORE_ANY.contains(&self.code)
    }

    /// The server's own code and name, and what more is known, for `details`.
    pub(crate) fn details(&self) -> Map<String, Value> {
        let mut details = Map::new();
        let name = self.name.filter(|name| !name.is_empty()).map(shorten);
        details.insert("code".to_owned(), name.unwrap_or_else(|| code_names::find(self.code)).into());
        details.insert("code_number".to_owned(), self.code.into());
        if self.is_duplicate_key()
            && let Some(index) = index_named_in(self.message)
        {
            details.insert("index".to_owned(), shorten(index).into());
        }
        if let Some(info) = &self.info {
            details.insert("info".to_owned(), info.clone());
        }
        details
    }

    /// As the host takes it.
    pub(crate) fn into_error(self) -> DriverError {
        let (kind, reason) = match self.code {
            // There is no login in the connection's settings, and the server wants one.
            code::UNAUTHORIZED if self.message.ends_with("requires authentication") => {
                (ErrorCode::ConnectionError, Some("authentication_failed"))
            }
            code::UNAUTHORIZED => (ErrorCode::Forbidden, None),
            code::AUTHENTICATION_FAILED => (ErrorCode::ConnectionError, Some("authentication_failed")),
            code::ATLAS_ERROR if self.message.contains("auth") => {
                (ErrorCode::ConnectionError, Some("authentication_failed"))
            }
            code::NAMESPACE_NOT_FOUND | code::INDEX_NOT_FOUND => (ErrorCode::NotFound, None),
            code::NAMESPACE_EXISTS | code::INDEX_OPTIONS_CONFLICT | code::INDEX_KEY_SPECS_CONFLICT => {
                (ErrorCode::Conflict, None)
            }
            _ if self.is_duplicate_key() => (ErrorCode::Conflict, None),
            code::MAX_TIME_EXPIRED | code::EXCEEDED_TIME_LIMIT => (ErrorCode::Timeout, None),
            code::OBJECT_TOO_LARGE => (ErrorCode::PayloadTooLarge, None),
            too_large if code::UPDATED_OBJECT_TOO_LARGE.contains(&too_large) => {
                (ErrorCode::PayloadTooLarge, None)
            }
            code::NOT_WRITABLE_PRIMARY
            | code::NOT_PRIMARY_NO_SECONDARY_OK
            | code::NOT_PRIMARY_OR_SECONDARY => (ErrorCode::ConnectionError, Some("not_primary")),
            code::SHUTDOWN_IN_PROGRESS
            | code::PRIMARY_STEPPED_DOWN
            | code::INTERRUPTED_AT_SHUTDOWN
            | code::INTERRUPTED_BY_STATE_CHANGE => (ErrorCode::ConnectionError, Some("unavailable")),
            code::HOST_UNREACHABLE
            | code::HOST_NOT_FOUND
            | code::NETWORK_TIMEOUT
            | code::SOCKET_EXCEPTION => (ErrorCode::ConnectionError, Some("closed")),
            _ => (ErrorCode::QueryError, None),
        };
        let mut error = DriverError::new(kind, shorten(self.message));
        error.details = self.details();
        match reason {
            Some(reason) => error.with("reason", reason),
            None => error,
        }
    }
}

/// A document of the server's as it looks in an error; none where it is long.
fn to_json(document: &RawDocument) -> Option<Value> {
    if document.as_bytes().len() > MAX_INFO {
        return None;
    }
    let mut json = Vec::new();
    ejson::write_document(document, Form::Relaxed, &mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// What more a server says of an error, `errInfo`, as it looks in an error.
pub(crate) fn info_of(info: &Document) -> Option<Value> {
    to_json(&RawDocumentBuf::try_from(info).ok()?)
}

/// The same of a command, by the server's whole answer: the client library keeps nothing else of it.
fn info_in(answer: &RawDocument) -> Option<Value> {
    to_json(answer.get_document("errInfo").ok()?)
}

/// The index that a duplicate key error is about: `… index: email_1 dup key: { email: "x" }`.
fn index_named_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(" index: ")?;
    let (name, _) = rest.split_once(" dup key").or_else(|| rest.split_once(" collation"))?;
    // Before MongoDB 4.2 the namespace stood before it: `db.coll.$email_1`.
    let name = name.split(" collation").next().unwrap_or(name);
    Some(name.rsplit_once(".$").map_or(name, |(_, name)| name).trim())
}

/// Maps any error of the client library, by nothing else than what it says. Where a session has servers, `servers.rs`
/// knows more of why one of them can't be used.
pub(crate) fn from_client(error: &Error) -> DriverError {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => {
            let info = error.server_response().and_then(|answer| info_in(answer));
            ServerError::of_command(command, info).into_error()
        }
        ErrorKind::Write(WriteFailure::WriteError(write)) => ServerError::of_write(write).into_error(),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => from_write_concern(concern),
        ErrorKind::Authentication { .. } => DriverError::connection(
            "authentication_failed",
            "the MongoDB server refuses the credentials; is `auth_source` the user's own database?",
        ),
        ErrorKind::InvalidTlsConfig { message, .. } => DriverError::connection("tls", message.clone()),
        ErrorKind::DnsResolve { message, .. } => DriverError::connection("not_resolved", message.clone()),
        ErrorKind::Io(io) => from_io(io),
        ErrorKind::ConnectionPoolCleared { .. } => DriverError::connection("closed", LOST),
        ErrorKind::ProxyConnect { .. } | ErrorKind::ServerSelection { .. } => no_server(error),
        ErrorKind::InvalidArgument { message, .. } => {
            DriverError::new(ErrorCode::ValidationError, message.clone())
        }
        ErrorKind::IncompatibleServer { message, .. } => {
            DriverError::connection("unsupported", shorten(message))
        }
        ErrorKind::SessionsNotSupported => DriverError::connection(
            "unsupported",
            "the MongoDB server is older than 3.6 and knows no sessions",
        ),
        ErrorKind::Shutdown => DriverError::connection("closed", LOST),
        other => {
            let message = format!("the MongoDB server's answer: {}", shorten(&other.to_string()));
            DriverError::new(ErrorCode::DriverError, message)
        }
    }
}

const LOST: &str = "the connection to the MongoDB server was lost";

fn no_server(error: &Error) -> DriverError {
    tracing::debug!(%error, "no server was found");
    DriverError::connection("timeout", "no MongoDB server that can do this was found in time")
}

/// The write was done, but not by as many members of the replica set as was asked for.
pub(crate) fn from_write_concern(concern: &WriteConcernError) -> DriverError {
    let server = ServerError {
        code: concern.code,
        name: Some(&concern.code_name),
        message: &concern.message,
        info: concern.details.as_ref().and_then(info_of),
    };
    let mut error = DriverError::new(ErrorCode::QueryError, shorten(&concern.message));
    error.details = server.details();
    error.with("outcome", "unknown")
}

/// An error of a connection. rustls puts its own into `InvalidData`.
pub(crate) fn from_io(error: &io::Error) -> DriverError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            DriverError::connection("refused", "the MongoDB server refuses connections")
        }
        io::ErrorKind::TimedOut => {
            DriverError::connection("timeout", "the MongoDB server did not answer in time")
        }
        io::ErrorKind::InvalidData => {
            DriverError::connection("tls", format!("TLS with the MongoDB server failed: {error}"))
        }
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => {
            DriverError::connection("refused", format!("the MongoDB server can't be reached: {error}"))
        }
        _ => DriverError::connection("closed", LOST),
    }
}

/// Says of a write's error, which was told so, whether it may have been done all the same: `details.outcome` is `unknown`
/// then.
pub(crate) fn of_write(error: &Error, told: DriverError) -> DriverError {
    if may_have_happened(error) { outcome_unknown(told) } else { told }
}

/// Says the same of a write of several things, one after the other. Some of them may have been written before the server
/// came to what it refuses, so that only a refusal of the whole leaves nothing open.
pub(crate) fn of_write_of_several(error: &Error, told: DriverError) -> DriverError {
    let is_open = match error.kind.as_ref() {
        _ if error.contains_label(NO_WRITES_PERFORMED) => false,
        ErrorKind::Command(command) => !code::BEFORE_ANY.contains(&command.code),
        ErrorKind::Write(_) => true,
        _ => may_have_happened(error),
    };
    if is_open { outcome_unknown(told) } else { told }
}

/// Says of a failed write that it may have been done.
pub(crate) fn outcome_unknown(error: DriverError) -> DriverError {
    error.with("outcome", "unknown")
}

fn may_have_happened(error: &Error) -> bool {
    if error.contains_label(NO_WRITES_PERFORMED) {
        return false;
    }
    match error.kind.as_ref() {
        ErrorKind::Io(io) => io.kind() != io::ErrorKind::ConnectionRefused,
        // A retry found no server; what became of the first attempt is not known.
        ErrorKind::ConnectionPoolCleared { .. } => true,
        // The server did answer.
        ErrorKind::InvalidResponse { .. } | ErrorKind::BsonDeserialization(_) | ErrorKind::Bson(_) => true,
        ErrorKind::Command(command) if code::INTERRUPTING.contains(&command.code) => true,
        _ => error.contains_label(RETRYABLE_WRITE_ERROR),
    }
}

#[cfg(test)]
mod tests;
