//! The only place where an error gets its HTTP status.

mod code;
mod registry;
mod unread;

pub use code::{Code, HttpCode};
pub(super) use registry::REGISTRY_UNREACHABLE;

use crate::{
    addresses::AddressError,
    flow::{BUSY, FlowError},
    identity::{GateError, TokenError},
    limits::{Refusal, TooManyTaken},
    management::{input::InvalidField, manager::ManagementError},
    plugins::{JSON, catalog::CatalogError},
};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::time::Duration;
use studio_plugin_api::{Alias, DriverError, ErrorCode, HostCode, alias};

/// A failure as the client will see it. It becomes a body in `observe.rs`, which knows the request's id.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    message: String,
    /// In a box: errors are moved often and read once.
    details: Box<Map<String, Value>>,
    /// Replaces the message where there is no envelope: callers know this text from other services.
    bare_message: Option<&'static str>,
    retry_after: Option<Duration>,
    allow: Option<String>,
}

#[derive(Serialize)]
struct ErrorEnvelope<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: &'a Map<String, Value>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct BareBody<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// Details beside the field `error`; a detail of that name is left out.
struct Details<'a>(&'a Map<String, Value>);

impl Serialize for Details<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|(name, _)| *name != "error"))
    }
}

impl ApiError {
    /// Makes an error; its status follows from the code.
    pub fn new(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            details: Box::default(),
            bare_message: None,
            retry_after: None,
            allow: None,
        }
    }

    /// Makes the error for a type that no driver serves.
    pub fn unknown_database_type(message: String) -> Self {
        Self::new(HttpCode::UnknownDatabaseType, message)
    }

    /// Makes the error for a path that does not exist.
    fn unknown_path(message: String) -> Self {
        Self { bare_message: Some("Not found"), ..Self::new(ErrorCode::NotFound, message) }
    }

    /// Makes the error for a known path with a wrong method.
    pub fn method_not_allowed(allow: Option<String>) -> Self {
        Self { allow, ..Self::new(HttpCode::MethodNotAllowed, "this path does not take this method") }
    }

    /// Makes the error for a gateway that serves no request now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(HttpCode::Unavailable, message) }
    }

    /// Makes the error for a caller that exceeds the limit in `setting`.
    pub fn rate_limited(setting: &str, wait: Duration) -> Self {
        let seconds = wait.as_secs();
        let message = format!("too often: `{setting}` bounds this; try again in {seconds} s");
        let error = Self::new(HostCode::RateLimited, message);
        let error = error.with("limit", setting).with("retry_after", seconds);
        Self { retry_after: Some(wait), ..error }
    }

    /// Makes the error for a path that is no text.
    pub(super) fn path_is_no_text() -> Self {
        let message = "the path must be UTF-8 text, without zero bytes";
        Self::new(ErrorCode::ValidationError, message).with("field", "path")
    }

    /// Makes the error for a request with more than one `host` header.
    pub(super) fn two_hosts() -> Self {
        Self::new(ErrorCode::ValidationError, "a request has one `host` header").with("field", "host")
    }

    /// Makes the error for a budget of the gateway that has no room.
    fn busy(message: impl Into<String>) -> Self {
        Self::unavailable(message).with("reason", BUSY)
    }

    /// Makes the error for a gateway that has as many connections as it may.
    pub(super) fn no_connection_left() -> Self {
        Self::busy("the gateway has as many connections as it may; try again in a moment")
    }

    /// Makes the error for a client that took too long to send a body.
    fn body_too_slow(message: String) -> Self {
        Self::new(HttpCode::RequestTimeout, message)
    }

    /// Adds a detail.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Gives the code's text.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// Tells whether the error is a conflict over a field, such as a name that is taken.
    pub fn is_taken(&self) -> bool {
        self.code.status() == StatusCode::CONFLICT && self.details.contains_key("field")
    }

    /// Tells whether a body without an envelope repeats the message in the field `message`. Pages know from other
    /// services to find a refusal of the request in `error`; they look for the gateway's own failures in `message`.
    fn repeats_message(&self) -> bool {
        let is_of_the_request = matches!(
            self.code.status(),
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::CONFLICT
        );
        !is_of_the_request && !self.details.contains_key("message")
    }

    /// Makes the response: with the request's id in it or, under an alias, in the alias's error format.
    pub fn respond(&self, request_id: &str, alias: Option<&Alias>) -> Response {
        // Strings and JSON values always serialize.
        let json = match alias.map(|alias| alias.envelope) {
            Some(alias::Envelope::Bare) => serde_json::to_vec(&BareBody {
                error: self.bare_message.unwrap_or(&self.message),
                message: self.repeats_message().then_some(&*self.message),
                details: Details(&self.details),
            }),
            Some(alias::Envelope::Data) | None => serde_json::to_vec(&ErrorEnvelope {
                error: ErrorBody {
                    code: self.code(),
                    message: &self.message,
                    details: &self.details,
                    request_id,
                },
            }),
        }
        .unwrap_or_default();
        let own = alias
            .and_then(|alias| alias.statuses.iter().find(|(code, _)| self.code == Code::Contract(**code)));
        let own_status = self.code.status();
        let status = own.and_then(|(_, status)| StatusCode::from_u16(*status).ok()).unwrap_or(own_status);
        let mut response = (status, [(header::CONTENT_TYPE, JSON)], json).into_response();
        let headers = response.headers_mut();
        if own_status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if own_status == StatusCode::REQUEST_TIMEOUT {
            // The rest of the body may still arrive, and must not be read as the next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Makes the error for a fault of the gateway. The cause goes to the log, never to the client; the log line has the
/// request's id, from its span.
pub(super) fn internal(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "internal error");
    ApiError::new(
        HostCode::InternalError,
        "the gateway could not do this; its log says why, under the request id",
    )
}

impl From<DriverError> for ApiError {
    fn from(error: DriverError) -> Self {
        Self {
            details: Box::new(error.details),
            retry_after: error.retry_after,
            ..Self::new(error.code, error.message)
        }
    }
}

impl From<InvalidField> for ApiError {
    fn from(error: InvalidField) -> Self {
        Self::new(ErrorCode::ValidationError, error.to_string()).with("field", error.field)
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            // The only refusal that is not about the token; the log says why.
            TokenError::KeysUnavailable => {
                Self::unavailable(error.to_string()).with("reason", "keys_unreachable")
            }
            _ => Self::new(HostCode::Unauthenticated, error.to_string()),
        }
    }
}

impl From<GateError> for ApiError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Token(error) => error.into(),
            GateError::NoProject(_) => Self::new(ErrorCode::NotFound, error.to_string()),
            GateError::RoleTooLow { needed, role } => Self::new(ErrorCode::Forbidden, error.to_string())
                .with("needed", needed)
                .with("role", role.as_str()),
            GateError::NotForYou(_) => Self::new(ErrorCode::Forbidden, error.to_string()),
            GateError::Registry(error) => (*error).clone().into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let error = Self::new(HostCode::RateLimited, refusal.to_string());
        let error = error.with("retry_after", refusal.seconds).with("limit", refusal.limit);
        Self { retry_after: Some(Duration::from_secs(refusal.seconds.into())), ..error }
    }
}

impl From<TooManyTaken> for ApiError {
    fn from(_: TooManyTaken) -> Self {
        Self::rate_limited(TooManyTaken::SETTING, TooManyTaken::WAIT)
    }
}

impl From<AddressError> for ApiError {
    fn from(error: AddressError) -> Self {
        DriverError::from(error).into()
    }
}

impl From<ManagementError> for ApiError {
    fn from(error: ManagementError) -> Self {
        match error {
            ManagementError::Field(error) => error.into(),
            ManagementError::Driver(error) => error.into(),
            ManagementError::Address(error) => error.into(),
            ManagementError::Settings(_) => internal(&error),
            ManagementError::NoConnection(_) => Self::new(ErrorCode::NotFound, error.to_string()),
            ManagementError::Registry(error) => error.into(),
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        // Paths of files are for the operator only.
        tracing::error!(%error, "plugins not reloaded");
        let message = match error {
            CatalogError::File(_) => "plugins.toml can't be used; the gateway's log says why".to_owned(),
            CatalogError::Plugin { database_type, reason, .. } => {
                format!("plugin `{database_type}`: {reason}; nothing was changed")
            }
        };
        Self::new(ErrorCode::Conflict, message)
    }
}

impl From<FlowError> for ApiError {
    fn from(error: FlowError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            FlowError::UnknownType(_) => Self::unknown_database_type(message),
            FlowError::WrongMethod { allow } => Self::method_not_allowed(Some(allow)),
            FlowError::Gate(error) => error.into(),
            FlowError::TooOften(refusal) => (*refusal).into(),
            FlowError::Registry(error) => (*error).clone().into(),
            FlowError::Driver(error) if error.details.get("reason").is_some_and(|reason| reason == BUSY) => {
                Self { details: Box::new(error.details), ..Self::busy(message) }
            }
            FlowError::Driver(error) => error.into(),
            FlowError::Busy { outcome, .. } => match outcome {
                Some(outcome) => Self::busy(message).with("outcome", outcome),
                None => Self::busy(message),
            },
            FlowError::BodyTooSlow => Self::body_too_slow(message).with("field", "body"),
            FlowError::Parameter { field, .. } => Self::new(code, message).with("field", field),
            FlowError::BodyTooLarge { limit } => Self::new(code, message).with("limit_bytes", limit),
            FlowError::BodyTooDeep { limit } => {
                Self::new(code, message).with("field", "body").with("limit_levels", limit)
            }
            FlowError::BodyCutShort => Self::new(code, message).with("field", "body"),
            FlowError::UnknownPath => Self::unknown_path(message),
            FlowError::NoConnection(_) | FlowError::Inactive(_) | FlowError::Deadline => {
                Self::new(code, message)
            }
        }
    }
}
