//! Is around every request: gives it an id, writes its one log line, counts it, and writes the body of its error.

use super::{client_address::TrustedProxies, error::ApiError};
use crate::{
    flow::{RequestFacts, find_prefix},
    logging::RequestLine,
    plugins::{Operation, Prefix, catalog::Catalog},
    telemetry::Metrics,
};
use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use std::{net::IpAddr, sync::Arc, time::Instant};
use uuid::Uuid;

/// The header that carries a request's id, both ways.
const REQUEST_ID: &str = "x-request-id";
/// The longest id that is accepted from a request.
const LONGEST_ID: usize = 128;

/// A request that is being answered.
pub(super) struct Observed {
    start: Instant,
    request_id: Arc<str>,
    remote: IpAddr,
    prefix: Option<Arc<Prefix>>,
    method: Method,
    uri: Uri,
}

impl Observed {
    /// Begins with a request that has just come.
    pub(super) fn begin(
        catalog: &Catalog,
        proxies: &TrustedProxies,
        request: &Request<Body>,
        peer: IpAddr,
    ) -> Self {
        Self {
            start: Instant::now(),
            request_id: take_or_make_id(request.headers()),
            remote: proxies.client_address(peer, request.headers()),
            prefix: find_prefix(catalog, request.uri().path()),
            method: request.method().clone(),
            uri: request.uri().clone(),
        }
    }

    pub(super) fn request_id(&self) -> Arc<str> {
        self.request_id.clone()
    }

    pub(super) fn facts(&self) -> RequestFacts {
        let (request_id, prefix) = (self.request_id.to_string(), self.prefix.clone());
        RequestFacts { request_id, remote: Some(self.remote), prefix }
    }

    /// Completes, counts and logs the response. Without an operation, `pattern` gives the pattern of its path.
    pub(super) fn end(
        self,
        metrics: &Metrics,
        operation: Option<&Operation>,
        pattern: impl FnOnce(&str) -> Option<&'static str>,
        mut response: Response,
    ) -> Response {
        let mut code = "";
        if let Some(error) = response.extensions_mut().remove::<ApiError>() {
            code = error.code();
            let (mut head, _) = response.into_parts();
            // Below an alias every error has the alias's shape, whichever part made it.
            let alias = self.prefix.as_ref().and_then(|prefix| prefix.alias());
            response = error.respond(&self.request_id, alias);
            // The headers that were added within stay, above all the CORS headers.
            head.headers.remove(header::CONTENT_LENGTH);
            response.headers_mut().extend(head.headers);
        }
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let route = match operation {
            Some(operation) => &*operation.name,
            None => pattern(self.uri.path()).unwrap_or("unknown"),
        };
        let status = response.status().as_u16();
        metrics.request_answered(operation, route, status, self.start.elapsed());
        RequestLine {
            request_id: &self.request_id,
            method: self.method.as_str(),
            path: self.uri.path(),
            status,
            code,
            remote: self.remote,
            time: self.start.elapsed(),
        }
        .log();
        response
    }
}

/// Tells whether at most one host is named: a proxy may have trusted the other of two (RFC 9112 §3.2).
pub(super) fn is_of_one_host(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().nth(1).is_none()
}

/// Gives the request's own id if it is a harmless token, otherwise a new one.
fn take_or_make_id(headers: &HeaderMap) -> Arc<str> {
    let sane = |id: &&str| {
        !id.is_empty()
            && id.len() <= LONGEST_ID
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(sane);
    let new = || (&*Uuid::new_v4().simple().encode_lower(&mut Uuid::encode_buffer())).into();
    given.map_or_else(new, Into::into)
}
