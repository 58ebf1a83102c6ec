//! The codes that clients see.

use http::StatusCode;
use studio_plugin_api::{ContractCode, ErrorCode, HostCode};

/// A code as clients see it, and the status that goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A code of the contract with drivers.
    Contract(ContractCode),
    /// A code that only HTTP uses.
    Http(HttpCode),
}

/// Codes of requests that never get as far as a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
pub enum HttpCode {
    /// No driver of the type is in service.
    UnknownDatabaseType,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// The body took too long to arrive.
    RequestTimeout,
    /// Path and query are too long.
    UriTooLong,
    /// The head is too large.
    HeadTooLarge,
    /// The gateway as a whole does not serve now.
    Unavailable,
}

impl Code {
    /// Gives the code's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contract(code) => code.as_str(),
            Self::Http(code) => code.as_str(),
        }
    }

    /// Maps the code to its status; no other function does.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Contract(ContractCode::Host(code)) => match code {
                HostCode::Unauthenticated => StatusCode::UNAUTHORIZED,
                HostCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
                HostCode::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Contract(ContractCode::Any(code)) => match code {
                ErrorCode::ValidationError | ErrorCode::QueryError => StatusCode::BAD_REQUEST,
                ErrorCode::Forbidden => StatusCode::FORBIDDEN,
                ErrorCode::NotFound => StatusCode::NOT_FOUND,
                ErrorCode::Conflict => StatusCode::CONFLICT,
                ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorCode::ResultTooLarge => StatusCode::INSUFFICIENT_STORAGE,
                ErrorCode::ConnectionError => StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
                ErrorCode::DriverError => StatusCode::BAD_GATEWAY,
            },
            Self::Http(code) => match code {
                HttpCode::UnknownDatabaseType => StatusCode::NOT_FOUND,
                HttpCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
                HttpCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
                HttpCode::UriTooLong => StatusCode::URI_TOO_LONG,
                HttpCode::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                HttpCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }
}

impl HttpCode {
    fn as_str(self) -> &'static str {
        match self {
            Self::UnknownDatabaseType => "UNKNOWN_DATABASE_TYPE",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::UriTooLong => "URI_TOO_LONG",
            Self::HeadTooLarge => "HEAD_TOO_LARGE",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

impl From<ContractCode> for Code {
    fn from(code: ContractCode) -> Self {
        Self::Contract(code)
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        Self::Contract(code.into())
    }
}

impl From<HostCode> for Code {
    fn from(code: HostCode) -> Self {
        Self::Contract(code.into())
    }
}

impl From<HttpCode> for Code {
    fn from(code: HttpCode) -> Self {
        Self::Http(code)
    }
}
