//! The routes, and the layers around them.

use super::{
    client_address::TrustedProxies,
    connections, cors,
    error::{ApiError, internal},
    health,
    limit::{by_address, by_deadline, by_user, refused},
    members,
    observe::{Observer, observe},
    organizations, plugins, projects,
};
use crate::{
    config::HttpSettings,
    flow::{FlowError, RequestFacts},
    gateway::Gateway,
};
use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, delete, get, post, put},
};
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use std::{any::Any, sync::Arc};
use tokio::sync::Semaphore;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
};

/// Bodies up to this many bytes are not worth compressing.
const SMALLEST_COMPRESSED: u64 = 1024;

/// Makes the router of the whole API; it has `/metrics` unless a separate listener serves that.
pub fn router(gateway: Arc<Gateway>, settings: &HttpSettings) -> Router {
    let mut router = Router::new()
        .route("/api/platform/plugins", get(plugins::list))
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
        .route_layer(middleware::from_fn_with_state(gateway.clone(), by_deadline))
        .route("/api/platform/plugins/reload", post(plugins::reload))
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
    let compressions = Arc::new(Semaphore::new(gateway.flow.budgets.settings().compressions.get()));
    let router = router.with_state(gateway);
    let router = for_pages(router, settings);
    let compression = CompressionLayer::new().compress_when(
        SizeAbove::new(SMALLEST_COMPRESSED).and(NotForContentType::const_new("text/event-stream")),
    );
    router
        .layer(middleware::from_fn_with_state(observer, observe))
        .layer(compression)
        .layer(middleware::map_response(weaken_compressed))
        .layer(middleware::from_fn_with_state(compressions, bound_compressions))
        .layer(middleware::map_request(accept_plain))
}

/// Removes from `Accept-Encoding` the elements that refuse an uncompressed answer: the compression layer would replace
/// the answer by 406 after the work is done. Such an answer may be sent all the same (RFC 9110 §12.5.3).
async fn accept_plain(mut request: Request<Body>) -> Request<Body> {
    let refuses = |element: &&str| {
        let (coding, weight) = element.split_once(';').unwrap_or((element, ""));
        let (coding, weight) = (coding.trim(), weight.trim().to_ascii_lowercase());
        let weight = weight.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        (coding == "*" || coding.eq_ignore_ascii_case("identity")) && weight == Some(0.0)
    };
    let lines = request.headers().get_all(header::ACCEPT_ENCODING).iter();
    let elements: Vec<&str> =
        lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).collect();
    if !elements.iter().any(refuses) {
        return request;
    }
    let kept = elements.into_iter().filter(|element| !refuses(element)).collect::<Vec<_>>().join(",");
    match HeaderValue::try_from(kept) {
        Ok(kept) if !kept.is_empty() => request.headers_mut().insert(header::ACCEPT_ENCODING, kept),
        _ => request.headers_mut().remove(header::ACCEPT_ENCODING),
    };
    request
}

/// Bounds how many answers are compressed at once, since each takes megabytes until its client has read it. The others
/// are sent uncompressed.
async fn bound_compressions(
    State(places): State<Arc<Semaphore>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    if !request.headers().contains_key(header::ACCEPT_ENCODING) {
        return next.run(request).await;
    }
    let Ok(place) = places.try_acquire_owned() else {
        request.headers_mut().remove(header::ACCEPT_ENCODING);
        return next.run(request).await;
    };
    let response = next.run(request).await;
    if !response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}

/// Makes the entity tag of a compressed body weak: a strong one promises the same bytes (RFC 9110 §8.8.1).
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

/// Adds CORS headers around the layer that catches panics: otherwise pages could not read the answer to a panic.
fn for_pages(router: Router, settings: &HttpSettings) -> Router {
    cors::around(router.layer(CatchPanicLayer::custom(panicked)), settings)
}

/// Answers a request whose handler panicked; the panic's text is on standard error.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    internal(&"a request handler panicked").into_response()
}

/// Makes the router that has `/metrics` alone, for its separate listener.
pub fn metrics_router(gateway: Arc<Gateway>) -> Router {
    Router::new().route("/metrics", get(health::metrics_for_operators)).with_state(gateway)
}

/// Passes a request to the flow, for every path of a driver.
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
    if let Some(rate_limit_headers) = served.rate_limit_headers {
        rate_limit_headers.write(response.headers_mut());
    }
    if let Some(operation) = served.operation {
        response.extensions_mut().insert(operation);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CorsHeader, Origin};
    use http::HeaderMap;
    use tower::ServiceExt;

    const STUDIO: &str = "https://studio.example.com";
    const OTHER: &str = "https://other.example.com";

    async fn broken() {
        panic!("as a test of panics");
    }

    /// Gives the answer of a router with these settings to this method at `/broken`, `/well` or any other path.
    async fn answer(settings: &HttpSettings, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let router = Router::new().route("/broken", get(broken)).route("/well", get(async || "well"));
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        for_pages(router, settings).oneshot(request).await.unwrap()
    }

    fn settings(origins: &[&str]) -> HttpSettings {
        let cors_origins = origins.iter().map(|origin| Origin::try_from(origin.to_string()).unwrap());
        HttpSettings { cors_origins: cors_origins.collect(), ..HttpSettings::default() }
    }

    fn allowed(headers: &HeaderMap) -> [Option<&str>; 2] {
        ["access-control-allow-origin", "access-control-allow-credentials"]
            .map(|name| headers.get(name).map(|value| value.to_str().unwrap()))
    }

    #[tokio::test]
    async fn page_reads_what_went_wrong_whoever_says_it() {
        for (path, status) in [("/broken", 500), ("/well", 200), ("/nowhere", 404)] {
            let answer = answer(&settings(&[STUDIO]), "GET", path, &[("origin", STUDIO)]).await;
            assert_eq!(answer.status(), status);
            assert_eq!(allowed(answer.headers()), [Some(STUDIO), Some("true")], "{path}");
            let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
            assert!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{exposed}");
            assert!(answer.headers()["vary"].to_str().unwrap().contains("origin"));
        }
    }

    #[tokio::test]
    async fn only_origins_with_a_name_have_credentials() {
        for (origins, origin, expected) in [
            (&[STUDIO][..], STUDIO, [Some(STUDIO), Some("true")]),
            (&[STUDIO], OTHER, [None, None]),
            (&["*"], STUDIO, [Some("*"), None]),
            (&["*", STUDIO], STUDIO, [Some(STUDIO), Some("true")]),
            (&["*", STUDIO], OTHER, [Some(OTHER), None]),
            (&[], STUDIO, [None, None]),
        ] {
            for (method, headers) in [
                ("GET", &[("origin", origin)][..]),
                ("OPTIONS", &[("origin", origin), ("access-control-request-method", "POST")]),
            ] {
                let answer = answer(&settings(origins), method, "/well", headers).await;
                assert_eq!(allowed(answer.headers()), expected, "{method} {origins:?} {origin}");
            }
        }
    }

    #[tokio::test]
    async fn pages_may_send_any_header_or_those_that_are_named() {
        let question = [
            ("origin", STUDIO),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "apikey,x-of-tomorrow"),
        ];
        let mut settings = settings(&[STUDIO]);
        for (headers, expected) in [(None, "apikey,x-of-tomorrow"), (Some("apikey"), "apikey")] {
            if let Some(header) = headers {
                settings.cors_headers = vec![CorsHeader::try_from(header.to_owned()).unwrap()];
            }
            let answer = answer(&settings, "OPTIONS", "/nowhere", &question).await;
            assert_eq!(answer.headers()["access-control-allow-headers"], expected);
            assert!(answer.status().is_success());
        }
    }

    #[tokio::test]
    async fn options_that_is_no_question_in_advance_is_told_the_methods() {
        for settings in [settings(&[]), settings(&[STUDIO])] {
            let answer = answer(&settings, "OPTIONS", "/well", &[]).await;
            assert_eq!(answer.headers()["allow"], "GET,HEAD");
        }
    }
}
