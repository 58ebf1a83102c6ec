//! Which path is whose.

use super::{
    client_address::TrustedProxies,
    connections,
    error::{ApiError, internal},
    health,
    limit::{by_address, by_user, refused},
    members,
    observe::{Observer, observe},
    organizations, plugins, projects,
};
use crate::{
    app::Gateway,
    config::HttpSettings,
    flow::{FlowError, RequestFacts},
};
use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, delete, get, post, put},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::{any::Any, sync::Arc, time::Duration};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    cors::{AllowOrigin, CorsLayer},
};

/// Bodies up to this many bytes are not worth compressing.
const SMALLEST_COMPRESSED: u64 = 1024;

/// The whole API; `/metrics` in it unless that has a listener of its own.
pub fn router(gateway: Arc<Gateway>, settings: &HttpSettings) -> Router {
    let mut router = Router::new()
        .route("/api/platform/plugins", get(plugins::list))
        .route("/api/platform/plugins/reload", post(plugins::reload))
        .route("/api/platform/organizations", get(organizations::list).post(organizations::create))
        .route("/api/platform/projects", get(projects::list).post(projects::create))
        .route("/api/platform/projects/{ref}", get(projects::get).delete(projects::delete))
        .route("/api/platform/projects/{ref}/databases", get(projects::databases))
        .route("/api/platform/projects/{ref}/members", get(members::list))
        .route(
            "/api/platform/projects/{ref}/members/{user_id}",
            put(members::put).merge(delete(members::delete)),
        )
        .route("/api/platform/{type}/{ref}/connections", get(connections::list).post(connections::create))
        .route(
            "/api/platform/{type}/{ref}/connections/{id}",
            get(connections::get).put(connections::change).merge(delete(connections::delete)),
        )
        .route("/api/platform/{type}/{ref}/connections/{id}/test", post(connections::test))
        .route_layer(middleware::from_fn_with_state(gateway.clone(), by_user))
        .route("/api/platform/{type}", any(driver_request))
        .route("/api/platform/{type}/{ref}", any(driver_request))
        .route("/api/platform/{type}/{ref}/", any(driver_request))
        .route("/api/platform/{type}/{ref}/{*rest}", any(driver_request))
        .route_layer(middleware::from_fn_with_state(gateway.clone(), by_address))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(async || ApiError::from(FlowError::UnknownPath))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed(None));
    if settings.metrics_listen.is_none() {
        router = router.route("/metrics", get(health::metrics));
    }
    let observer = Observer {
        metrics: gateway.metrics.clone(),
        catalog: gateway.catalog.clone(),
        proxies: TrustedProxies::new(settings),
    };
    let router = router.with_state(gateway);
    let router = match settings.cors_origins.is_empty() {
        true => router,
        false => router.layer(cors(settings)),
    };
    let compression = CompressionLayer::new().compress_when(
        SizeAbove::new(SMALLEST_COMPRESSED).and(NotForContentType::const_new("text/event-stream")),
    );
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(observer, observe))
        .layer(compression)
        .layer(middleware::map_response(weaken_compressed))
}

/// A compressed body is not, byte for byte, what a strong entity tag says it is (RFC 9110 §8.8.1).
async fn weaken_compressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = headers.get(header::ETAG)
        && !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
    response
}

/// The answer when the gateway's own code panicked; the panic's text is on standard error.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    internal(&"a request handler panicked").into_response()
}

/// `/metrics` alone, for a listener of its own.
pub fn metrics_router(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/metrics", get(health::metrics)).with_state(gateway)
}

/// Everything that is a driver's.
async fn driver_request(
    State(gateway): State<Arc<Gateway>>,
    Extension(facts): Extension<RequestFacts>,
    request: Request<Body>,
) -> Response {
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
    if let Some(standing) = served.standing {
        standing.write(response.headers_mut());
    }
    if let Some(label) = served.label {
        response.extensions_mut().insert(label);
    }
    response
}

fn cors(settings: &HttpSettings) -> CorsLayer {
    let any_origin = settings.cors_origins.iter().any(|origin| origin.as_str() == "*");
    let origins =
        settings.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    let exposed = [
        "x-request-id",
        "x-total-count",
        "retry-after",
        "ratelimit-policy",
        "ratelimit",
        "allow",
        "etag",
        "cache-status",
    ];
    CorsLayer::new()
        .allow_origin(if any_origin { AllowOrigin::any() } else { AllowOrigin::list(origins) })
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CACHE_CONTROL,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-request-timeout"),
        ])
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_secs(600))
}
