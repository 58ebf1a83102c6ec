//! The rules (CORS) for pages of other origins: the requests that they may send and the headers that they may read.

use crate::config::HttpSettings;
use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderName, HeaderValue, Method, header, request::Parts};
use std::{convert::Infallible, time::Duration};
use tower::{Layer, ServiceExt, service_fn};
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

/// The rules, as the settings make them. Without origins there are none.
pub(super) struct PageRules(Option<CorsLayer>);

impl PageRules {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self((!settings.cors_origins.is_empty()).then(|| layer(settings)))
    }

    /// Adds CORS headers to an answer, and answers preflight requests instead. An `OPTIONS` request that is none is passed
    /// on: the layer would answer every `OPTIONS`.
    pub(super) async fn around<F: Future<Output = Response>>(
        &self,
        request: Request<Body>,
        answer: impl FnOnce(Request<Body>) -> F,
    ) -> Response {
        let asks_in_advance = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let Some(layer) = self.0.as_ref().filter(|_| request.method() != Method::OPTIONS || asks_in_advance)
        else {
            return answer(request).await;
        };
        // Called once, as a service of `tower` need not be.
        let mut answer = Some(answer);
        let inner = service_fn(move |request| {
            let answer = answer.take();
            async move {
                Ok::<_, Infallible>(match answer {
                    Some(answer) => answer(request).await,
                    None => Response::default(),
                })
            }
        });
        match layer.layer(inner).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
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
