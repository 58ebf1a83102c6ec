//! The rules (CORS) for pages of other origins: the requests that they may send and the headers that they may read.

use crate::config::HttpSettings;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, header, request::Parts};
use std::time::Duration;
use tower::ServiceExt;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

/// The headers of answers that a page may read, besides those that every page may read.
const EXPOSED: [&str; 8] = [
    "x-request-id",
    "x-total-count",
    "retry-after",
    "ratelimit-policy",
    "ratelimit",
    "allow",
    "etag",
    "cache-status",
];
/// How long a browser may keep the answer to a preflight request.
const KEPT_BY_BROWSERS: Duration = Duration::from_secs(600);

/// Adds CORS headers to all answers of this router, for the origins in the settings; without origins the router stays
/// as it is.
pub(super) fn around(router: Router, settings: &HttpSettings) -> Router {
    if settings.cors_origins.is_empty() {
        return router;
    }
    let within = router.clone();
    router.layer(layer(settings)).layer(middleware::from_fn_with_state(within, pass_plain_options))
}

/// Lets through an `OPTIONS` request that is no preflight request: the layer would answer every `OPTIONS`.
async fn pass_plain_options(State(within): State<Router>, request: Request<Body>, next: Next) -> Response {
    let asks_in_advance = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && !asks_in_advance {
        return within.oneshot(request).await.into_response();
    }
    next.run(request).await
}

fn layer(settings: &HttpSettings) -> CorsLayer {
    let (any, named): (Vec<_>, Vec<_>) =
        settings.cors_origins.iter().map(|origin| origin.as_str()).partition(|origin| *origin == "*");
    let named: Vec<HeaderValue> =
        named.into_iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let origins = match (any.is_empty(), named.is_empty()) {
        (true, _) => AllowOrigin::list(named.clone()),
        (false, true) => AllowOrigin::any(),
        // Credentials need the origin by its name; the other origins lose nothing by that.
        (false, false) => AllowOrigin::mirror_request(),
    };
    // The gateway takes no cookies, but a proxy before it may. Only origins that are trusted by name may use them.
    let credentials = move |origin: &HeaderValue, _: &Parts| named.contains(origin);
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(AllowCredentials::predicate(credentials))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(request_headers(settings))
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(KEPT_BY_BROWSERS)
}

fn request_headers(settings: &HttpSettings) -> AllowHeaders {
    let names = settings.cors_headers.iter().map(|header| header.name());
    match names.collect::<Option<Vec<HeaderName>>>() {
        Some(names) => AllowHeaders::list(names),
        None => AllowHeaders::mirror_request(),
    }
}
