//! Answers on connections without a complete request: those that are closed before one arrives, and those whose head
//! can't be read.

use super::{ApiError, Code, ErrorBody, ErrorEnvelope, HttpCode};
use http::StatusCode;
use std::time::Duration;
use studio_plugin_api::ErrorCode;
use uuid::Uuid;

impl ApiError {
    /// Recognizes hyper's answer to a head that it can't read, which has an empty body, and gives the error to answer
    /// instead. The bytes must be the first of an answer.
    pub(in crate::http) fn of_unread_head(answer: &[u8]) -> Option<Self> {
        let (digits, rest) = answer.strip_prefix(b"HTTP/1.1 ")?.split_at_checked(3)?;
        let status = StatusCode::from_bytes(digits).ok()?;
        let (code, message): (Code, _) = match status {
            StatusCode::BAD_REQUEST => (
                ErrorCode::ValidationError.into(),
                "the request is not HTTP: its first line or one of its headers can't be read",
            ),
            StatusCode::URI_TOO_LONG => (
                HttpCode::UriTooLong.into(),
                "the request's path and query are longer than 65534 bytes together",
            ),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                (HttpCode::HeadTooLarge.into(), "the request's head is larger than `budgets.head_bytes`")
            }
            _ => return None,
        };
        // The router's own answers have the request's id.
        let head = std::str::from_utf8(rest).ok()?.to_ascii_lowercase();
        if head.contains("\r\nx-request-id:") || !head.contains("\r\ncontent-length: 0\r\n") {
            return None;
        }
        Some(Self::new(code, message))
    }

    /// Writes the whole answer as HTTP/1.1 text. The connection is closed after it.
    pub(in crate::http) fn as_text(&self) -> String {
        let request_id = &*Uuid::new_v4().simple().to_string();
        let error =
            ErrorBody { code: self.code(), message: &self.message, details: &self.details, request_id };
        let json = serde_json::to_string(&ErrorEnvelope { error }).unwrap_or_default();
        let wait = |wait: Duration| format!("retry-after: {}\r\n", wait.as_secs().max(1));
        format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\nx-request-id: {request_id}\r\n{}connection: close\r\n\
             content-length: {}\r\n\r\n{json}",
            self.code.status(),
            self.retry_after.map(wait).unwrap_or_default(),
            json.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_hyper_s_own_are_told_from_the_router_s() {
        let code = |answer: &str| ApiError::of_unread_head(answer.as_bytes()).map(|error| error.code());
        let of = |status: &str, header: &str| {
            format!("HTTP/1.1 {status}\r\nconnection: close\r\n{header}\r\ndate: x\r\n\r\n")
        };
        assert_eq!(code(&of("414 URI Too Long", "content-length: 0")), Some("URI_TOO_LONG"));
        assert_eq!(
            code(&of("431 Request Header Fields Too Large", "content-length: 0")),
            Some("HEAD_TOO_LARGE")
        );
        assert_eq!(code(&of("400 Bad Request", "content-length: 0")), Some("VALIDATION_ERROR"));
        for other in [
            of("400 Bad Request", "content-length: 0\r\nx-request-id: a"),
            of("400 Bad Request", "content-length: 7"),
            of("404 Not Found", "content-length: 0"),
            "HTTP/1.1 41".to_owned(),
        ] {
            assert_eq!(code(&other), None, "{other}");
        }
    }
}
