//! The first step: it finds the driver and the operation that a request means.

use super::{
    FlowError,
    deadline::time_for,
    query::{
        NamedConnection, empty_name, find_sealed_string, hand_on, read_query_leniently,
        read_query_with_bytes, refuse_headers, take_selector,
    },
};
use crate::{
    config::LimitSettings,
    plugins::{Driver, Operation, Prefix, RESERVED_TYPES, Route, catalog::Catalog},
    registry::ConnectionSelector,
};
use axum::body::Body;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use std::{net::IpAddr, sync::Arc, time::Instant};

/// The path below which drivers' paths begin.
const ROOT: &str = "/api/platform/";

/// Splits a path into the segment that says which driver is meant, and the rest.
fn split_prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(ROOT)?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// Finds the prefix that a path is below, if it is one of a driver's.
pub(crate) fn find_prefix(catalog: &Catalog, path: &str) -> Option<Arc<Prefix>> {
    let (segment, _) = split_prefix(path)?;
    catalog.prefix(segment)
}

/// Holds facts about a request that it does not carry itself.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// Its `x-request-id`.
    pub request_id: String,
    /// The address that it came from.
    pub remote: Option<IpAddr>,
    /// The prefix that its path is below. It is looked up once, so that an error has the shape of the very prefix that
    /// led to the operation, even after a reload meanwhile.
    pub prefix: Option<Arc<Prefix>>,
}

/// A request for an operation of a loaded driver. Its caller has not been checked yet.
pub(super) struct Request {
    pub(super) driver: Arc<Driver>,
    pub(super) operation: Arc<Operation>,
    pub(super) reference: String,
    pub(super) selector: ConnectionSelector,
    /// A header that names the connection instead.
    pub(super) named: Option<NamedConnection>,
    pub(super) path: Vec<Vec<u8>>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) request_id: String,
    pub(super) remote: Option<IpAddr>,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
}

/// Finds the operation by the driver's own manifest.
pub(super) fn route(
    limits: &LimitSettings,
    request: http::Request<Body>,
    facts: RequestFacts,
) -> Result<Request, FlowError> {
    let (head, body) = request.into_parts();
    let (segment, rest) = split_prefix(head.uri.path()).ok_or(FlowError::UnknownPath)?;
    let RequestFacts { request_id, remote, prefix } = facts;
    let prefix = prefix.ok_or_else(|| match RESERVED_TYPES.contains(&segment) {
        true => FlowError::UnknownPath,
        false => FlowError::UnknownType(shorten(segment)),
    })?;
    let is_lenient = prefix.is_lenient();
    let (reference, path) = match rest.find('/') {
        Some(end) => rest.split_at(end),
        None if is_lenient => (rest, "/"),
        None => return Err(FlowError::UnknownPath),
    };
    let (operation, parameters) = match prefix.find(head.method.as_str(), path) {
        Route::Operation { operation, parameters } => (operation, parameters),
        Route::WrongMethod { allow } => return Err(FlowError::WrongMethod { allow }),
        Route::EmptyName { name } if !is_lenient => return Err(empty_name(&name)),
        Route::EmptyName { .. } | Route::Unknown => return Err(FlowError::UnknownPath),
    };
    let reference =
        percent_decode_str(reference).decode_utf8().map_err(|_| FlowError::UnknownPath)?.into_owned();
    if reference.contains('\0') {
        return Err(FlowError::UnknownPath);
    }
    let text = head.uri.query().unwrap_or_default();
    let mut query = if is_lenient { read_query_leniently(text) } else { read_query_with_bytes(text)? };
    let selector = take_selector(&mut query, is_lenient)?;
    query.retain(|(name, _)| !operation.overlooks(name));
    refuse_headers(&query)?;
    let alias = prefix.alias();
    query.extend(alias.into_iter().flat_map(|alias| hand_on(&alias.headers, &head.headers)));
    let named = alias.and_then(|alias| find_sealed_string(&alias.connection_headers, &head.headers));
    let time = time_for(&head.headers, operation.time_within(*limits.request_timeout))?;
    let began = Instant::now();
    Ok(Request {
        began,
        deadline: began + time,
        headers: head.headers,
        path: parameters,
        driver: prefix.driver().clone(),
        operation,
        reference,
        selector,
        named,
        query,
        body,
        request_id,
        remote,
    })
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
