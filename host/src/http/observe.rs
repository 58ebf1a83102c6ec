//! Wraps every request: gives it an id, writes its one log line, counts it, and writes the body of its error.

use super::{client_address::TrustedProxies, error::ApiError};
use crate::{
    flow::{RequestFacts, find_prefix},
    plugins::{Operation, catalog::Catalog},
    telemetry::Metrics,
};
use axum::{
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tracing::Instrument;
use uuid::Uuid;

/// The header that carries a request's id, both ways.
const REQUEST_ID: &str = "x-request-id";
/// The longest id that is accepted from a request.
const LONGEST_ID: usize = 128;

/// The parts that the layer needs.
#[derive(Clone)]
pub(super) struct Observer {
    pub(super) metrics: Arc<Metrics>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) proxies: TrustedProxies,
}

/// Passes a request to the inner service, and completes and logs the response.
pub(super) async fn observe(
    State(observer): State<Observer>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let start = Instant::now();
    let remote = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| observer.proxies.client_address(peer.ip(), request.headers()));
    let request_id = take_or_make_id(&request);
    let prefix = find_prefix(&observer.catalog, request.uri().path());
    let facts = RequestFacts { request_id: request_id.clone(), remote, prefix: prefix.clone() };
    request.extensions_mut().insert(facts);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();

    let span = tracing::info_span!("request", request_id = %request_id);
    let mut response = match is_of_one_host(&request) {
        true => next.run(request).instrument(span).await,
        false => ApiError::two_hosts().into_response(),
    };

    let mut code = "";
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        code = error.code();
        let (mut head, _) = response.into_parts();
        // Below an alias every error has the alias's shape, whichever layer made it.
        response = error.respond(&request_id, prefix.as_ref().and_then(|prefix| prefix.alias()));
        // The headers that inner layers added stay, above all the CORS headers.
        head.headers.remove(header::CONTENT_LENGTH);
        response.headers_mut().extend(head.headers);
        if let Some(operation) = head.extensions.remove::<Arc<Operation>>() {
            response.extensions_mut().insert(operation);
        }
    }
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let operation = response.extensions().get::<Arc<Operation>>();
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    let status = response.status().as_u16();
    observer.metrics.request_answered(operation.map(AsRef::as_ref), route, status, start.elapsed());
    tracing::info!(
        target: "request",
        request_id,
        %method,
        path = uri.path(),
        status,
        code,
        remote = remote.map(tracing::field::display),
        milliseconds = start.elapsed().as_secs_f64() * 1000.0,
    );
    response
}

/// Tells whether at most one host is named: a proxy may have trusted the other of two (RFC 9112 §3.2).
fn is_of_one_host(request: &Request<Body>) -> bool {
    request.headers().get_all(header::HOST).iter().nth(1).is_none()
}

/// Gives the request's own id if it is a harmless token, otherwise a new one.
fn take_or_make_id(request: &Request<Body>) -> String {
    let sane = |id: &&str| {
        !id.is_empty()
            && id.len() <= LONGEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    given.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned)
}
