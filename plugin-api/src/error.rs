//! The one error that crosses from a driver to the host.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// The codes of the HTTP contract that a driver may give. The host maps each to a status in one place.
///
/// The codes that only the host gives ([`HostCode`]) are not among them:
///
/// ```compile_fail
/// let _ = studio_plugin_api::ErrorCode::Unauthenticated;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// A parameter or body does not fit; `details.field` names it.
    ValidationError,
    /// The database refused the query.
    QueryError,
    /// The caller is known, but not allowed to do this.
    Forbidden,
    /// The thing asked for is not there.
    NotFound,
    /// It exists already, or its state forbids the change.
    Conflict,
    /// The request body is over the limit.
    PayloadTooLarge,
    /// The result passed the configured bound.
    ResultTooLarge,
    /// The database can't be reached or refuses the stored credentials.
    ConnectionError,
    /// The operation passed its deadline.
    Timeout,
    /// The plugin broke the contract.
    DriverError,
}

impl ErrorCode {
    /// Returns the code as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "VALIDATION_ERROR",
            Self::QueryError => "QUERY_ERROR",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Conflict => "CONFLICT",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::ResultTooLarge => "RESULT_TOO_LARGE",
            Self::ConnectionError => "CONNECTION_ERROR",
            Self::Timeout => "TIMEOUT",
            Self::DriverError => "DRIVER_ERROR",
        }
    }

    /// Reads a code that a driver sent; `None` for an unknown one, such as one that only the host may give.
    pub fn from_driver(code: &str) -> Option<Self> {
        [
            Self::ValidationError,
            Self::QueryError,
            Self::Forbidden,
            Self::NotFound,
            Self::Conflict,
            Self::PayloadTooLarge,
            Self::ResultTooLarge,
            Self::ConnectionError,
            Self::Timeout,
            Self::DriverError,
        ]
        .into_iter()
        .find(|known| known.as_str() == code)
    }
}

/// Codes of the HTTP contract that only the host may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HostCode {
    /// No token, or one that does not verify.
    Unauthenticated,
    /// Too many requests.
    RateLimited,
    /// The gateway's own fault.
    InternalError,
}

/// A code of the HTTP contract, given by a driver or by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ContractCode {
    /// A code that a driver or the host gives.
    Any(ErrorCode),
    /// A code that only the host gives.
    Host(HostCode),
}

impl ContractCode {
    /// Returns the code as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any(code) => code.as_str(),
            Self::Host(HostCode::Unauthenticated) => "UNAUTHENTICATED",
            Self::Host(HostCode::RateLimited) => "RATE_LIMITED",
            Self::Host(HostCode::InternalError) => "INTERNAL_ERROR",
        }
    }
}

impl From<ErrorCode> for ContractCode {
    fn from(code: ErrorCode) -> Self {
        Self::Any(code)
    }
}

impl From<HostCode> for ContractCode {
    fn from(code: HostCode) -> Self {
        Self::Host(code)
    }
}

/// The reason why a driver could not do what was asked. Its message goes to the caller: it must never hold a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct DriverError {
    /// The kind of failure.
    pub code: ErrorCode,
    /// One sentence for a person.
    pub message: String,
    /// More for a program: `field`, `reason`, the database's own code.
    pub details: Map<String, Value>,
    /// The time after which it may be worth trying again.
    pub retry_after: Option<Duration>,
}

impl DriverError {
    /// Makes an error with a code and a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new(), retry_after: None }
    }

    /// Adds one detail.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Makes a `VALIDATION_ERROR` that names the field and says what would be right.
    pub fn validation(field: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ValidationError, message).with("field", field)
    }

    /// Makes a `VALIDATION_ERROR` in the words of the contract's own refusals: the field, a colon, and what is wrong
    /// with it.
    pub fn field(field: &str, wrong: impl std::fmt::Display) -> Self {
        Self::validation(field, format!("`{field}`: {wrong}"))
    }

    /// Makes a `QUERY_ERROR`; `database_code` is the database's own (SQLSTATE, an error prefix).
    pub fn query(database_code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::QueryError, message).with("code", database_code)
    }

    /// Makes a `QUERY_ERROR` with the code `UNEXPECTED`: the server answered a command in its protocol, but not with
    /// the answer that the command promises.
    pub fn unexpected_answer(command: &str) -> Self {
        Self::query("UNEXPECTED", format!("the server answered {command} with something else than it should"))
    }

    /// Makes a `FORBIDDEN`.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// Makes a `NOT_FOUND`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// Makes a `CONFLICT`.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Conflict, message)
    }

    /// Makes a `CONNECTION_ERROR`; `reason` is one word for programs: `refused`, `timeout`, `authentication_failed`,
    /// `tls`, `closed`, `not_resolved`, `unsupported`.
    pub fn connection(reason: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ConnectionError, message).with("reason", reason)
    }

    /// Makes a `RESULT_TOO_LARGE` that tells the bound, in bytes.
    pub fn result_too_large(limit: u64) -> Self {
        Self::new(ErrorCode::ResultTooLarge, format!("the result is larger than the limit of {limit} bytes"))
            .with("limit_bytes", limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Alias;

    #[test]
    fn aliases_give_statuses_to_codes_of_either_side() {
        let alias = Alias::bare("old").status(ErrorCode::Timeout, 408).status(HostCode::RateLimited, 420);
        let json = serde_json::to_value(&alias).unwrap();
        assert_eq!(json["statuses"], serde_json::json!({"TIMEOUT": 408, "RATE_LIMITED": 420}));
        assert_eq!(serde_json::from_value::<Alias>(json).unwrap(), alias);
        for host_only in ["UNAUTHENTICATED", "RATE_LIMITED", "INTERNAL_ERROR", "", "NO_SUCH"] {
            assert_eq!(ErrorCode::from_driver(host_only), None, "{host_only}");
        }
    }
}
