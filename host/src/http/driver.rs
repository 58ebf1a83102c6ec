//! Requests for drivers, on their way into the flow and back.

use super::{error::ApiError, limit::refused};
use crate::{
    flow::{FlowError, RequestFacts},
    gateway::Gateway,
    plugins::Operation,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Request, StatusCode, header};
use std::sync::Arc;

/// Tells by its form whether a path below a driver's prefix is one of its operations' paths: it is below a project and
/// not among the project's connections. For other paths the router tells.
pub(super) fn is_of_operation(path: &str) -> bool {
    // After the empty text before the first slash, `api`, `platform` and the prefix.
    let mut segments = path.split('/').skip(4);
    let (reference, first) = (segments.next(), segments.next());
    reference.is_some_and(|reference| !reference.is_empty())
        && first.is_some_and(|first| !first.is_empty() && first != "connections")
}

/// Passes a request to the flow. Also gives its operation, once that is known.
pub(super) async fn to_driver(
    gateway: &Gateway,
    facts: RequestFacts,
    request: Request<Body>,
) -> (Response, Option<Arc<Operation>>) {
    let asks_for_methods = request.method() == Method::OPTIONS;
    let (served, result) = gateway.flow.serve(request, facts).await;
    let mut response = match result {
        Ok(response) => response,
        Err(FlowError::WrongMethod { allow }) if asks_for_methods => {
            let allow = HeaderValue::from_str(&allow).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"));
            (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response()
        }
        Err(FlowError::TooOften(refusal)) => refused(*refusal),
        Err(error) => ApiError::from(error).into_response(),
    };
    if let Some(rate_limit_headers) = served.rate_limit_headers {
        rate_limit_headers.write(response.headers_mut());
    }
    (response, served.operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_an_operation_is_known_by_its_form() {
        for path in [
            "/api/platform/redis/p/keys",
            "/api/platform/redis/p/keys/",
            "/api/platform/redis/p/a/connections",
        ] {
            assert!(is_of_operation(path), "{path}");
        }
        for rest in ["", "/", "/p", "/p/", "//keys", "/p//keys", "/p/connections", "/p/connections/x/test"] {
            assert!(!is_of_operation(&format!("/api/platform/redis{rest}")), "{rest}");
        }
    }
}
