//! What memcached says went wrong, in the contract's words.

use crate::wire::Refusal;
use studio_plugin_api::{DriverError, ErrorCode};

/// The server's error line as an error.
pub(crate) fn from_server(refusal: &Refusal) -> DriverError {
    let Refusal { kind, text } = refusal;
    if text == "unauthenticated" {
        return DriverError::connection("authentication_failed", "the memcached server asks for a password");
    }
    if text.ends_with("not allowed") {
        return DriverError::forbidden(format!("the memcached server does not allow this: {text}"))
            .with("code", *kind);
    }
    if text.starts_with("object too large") {
        return too_large(None);
    }
    if text.is_empty() {
        return DriverError::query(kind, "the memcached server does not know this command");
    }
    DriverError::query(kind, text.clone())
}

/// A value that does not fit into one item; `limit` where the server told it.
pub(crate) fn too_large(limit: Option<u64>) -> DriverError {
    let message = "the value is too large for the memcached server";
    match limit {
        None => DriverError::new(ErrorCode::PayloadTooLarge, message),
        Some(limit) => {
            let message = format!("{message}: key, value and header may have {limit} bytes together");
            DriverError::new(ErrorCode::PayloadTooLarge, message).with("limit_bytes", limit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> DriverError {
        from_server(&Refusal::parse(line).unwrap())
    }

    #[test]
    fn server_lines_become_the_contract_s_codes() {
        let error = code("CLIENT_ERROR cannot increment or decrement non-numeric value");
        assert_eq!((error.code, &error.details["code"]), (ErrorCode::QueryError, &"CLIENT_ERROR".into()));
        assert_eq!(code("ERROR").code, ErrorCode::QueryError);
        assert_eq!(code("ERROR metadump not allowed").code, ErrorCode::Forbidden);
        assert_eq!(code("CLIENT_ERROR flush_all not allowed").code, ErrorCode::Forbidden);
        assert_eq!(code("CLIENT_ERROR unauthenticated").details["reason"], "authentication_failed");
        assert_eq!(code("SERVER_ERROR object too large for cache").code, ErrorCode::PayloadTooLarge);
        assert_eq!(code("SERVER_ERROR out of memory storing object").details["code"], "SERVER_ERROR");
    }
}
