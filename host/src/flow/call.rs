//! The first step: which driver and operation a request means.

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
    plugins::{
        RESERVED_TYPES, Route, Wrapping,
        catalog::{Catalog, Driver},
    },
    registry::ConnectionSelector,
};
use axum::{body::Body, extract::Request};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use std::{net::IpAddr, sync::Arc, time::Instant};

/// Where a request's path begins to be a driver's.
const ROOT: &str = "/api/platform/";

/// The segment of a path that says which driver is meant, and what comes after it.
pub(crate) fn split_prefix(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(ROOT)?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// What is known of a request besides itself.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// Its `x-request-id`.
    pub request_id: String,
    /// Where it came from.
    pub remote: Option<IpAddr>,
}

/// An operation as metrics and logs name it: never with a caller's values in it.
#[derive(Debug, Clone)]
pub struct OperationLabel {
    driver: Arc<Driver>,
    operation: u32,
}

impl OperationLabel {
    /// The database type.
    pub fn database_type(&self) -> &str {
        &self.driver.manifest().database_type
    }
    /// Method and path template.
    pub fn operation(&self) -> (&str, &str) {
        match self.driver.operation(self.operation) {
            Some(operation) => (operation.method.as_str(), &operation.path),
            None => ("", ""),
        }
    }
}

/// A request that means an operation of a loaded driver. Nobody has looked yet at who sent it.
pub(super) struct Call {
    pub(super) driver: Arc<Driver>,
    pub(super) operation: u32,
    pub(super) reference: String,
    pub(super) selector: ConnectionSelector,
    /// A header that names the connection instead.
    pub(super) named: Option<NamedConnection>,
    pub(super) path: Vec<Vec<u8>>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) facts: RequestFacts,
    pub(super) deadline: Instant,
}

impl Call {
    pub(super) fn label(&self) -> OperationLabel {
        OperationLabel { driver: self.driver.clone(), operation: self.operation }
    }

    /// What its reply is sent as.
    pub(super) fn wrapping(&self) -> &Wrapping {
        self.driver.wrapping(self.operation)
    }
}

/// Finds the operation by the driver's own manifest.
pub(super) fn route(
    catalog: &Catalog,
    limits: &LimitSettings,
    request: Request<Body>,
    facts: RequestFacts,
) -> Result<Call, FlowError> {
    let (head, body) = request.into_parts();
    let (prefix, rest) = split_prefix(head.uri.path()).ok_or(FlowError::UnknownPath)?;
    if RESERVED_TYPES.contains(&prefix) {
        return Err(FlowError::UnknownPath);
    }
    let entrance = catalog.entrance(prefix).ok_or_else(|| FlowError::UnknownType(shorten(prefix)))?;
    let (reference, path) = match rest.find('/') {
        Some(end) => rest.split_at(end),
        None if entrance.is_lenient() => (rest, "/"),
        None => return Err(FlowError::UnknownPath),
    };
    let (operation, parameters) = match entrance.find(head.method.as_str(), path) {
        Route::Operation { operation, parameters } => (operation, parameters),
        Route::WrongMethod { allow } => return Err(FlowError::WrongMethod { allow }),
        Route::EmptyName { name } if !entrance.is_lenient() => return Err(empty_name(&name)),
        Route::EmptyName { .. } | Route::Unknown => return Err(FlowError::UnknownPath),
    };
    let reference =
        percent_decode_str(reference).decode_utf8().map_err(|_| FlowError::UnknownPath)?.into_owned();
    if reference.contains('\0') {
        return Err(FlowError::UnknownPath);
    }
    let driver = entrance.driver().clone();
    let text = head.uri.query().unwrap_or_default();
    let mut query =
        if entrance.is_lenient() { read_query_leniently(text) } else { read_query_with_bytes(text)? };
    let selector = take_selector(&mut query, entrance.is_lenient())?;
    query.retain(|(name, _)| !driver.overlooks(operation, name));
    refuse_headers(&query)?;
    let alias = entrance.alias();
    query.extend(alias.into_iter().flat_map(|alias| hand_on(&alias.headers, &head.headers)));
    let named = alias.and_then(|alias| find_sealed_string(&alias.connection_headers, &head.headers));
    let template = driver.operation(operation).map_or("", |operation| &operation.path);
    let most = driver.entry().limits.operation_time(template, *limits.request_timeout);
    let time = time_for(&head.headers, most)?;
    Ok(Call {
        deadline: Instant::now() + time,
        headers: head.headers,
        path: parameters,
        driver,
        operation,
        reference,
        selector,
        named,
        query,
        body,
        facts,
    })
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
