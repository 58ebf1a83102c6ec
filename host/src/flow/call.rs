//! The first step: which driver and operation a request means.

use super::{FlowError, deadline::time_for};
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
    let end = rest.find('/').ok_or(FlowError::UnknownPath)?;
    let (reference, path) = rest.split_at(end);
    let (operation, parameters) = match entrance.find(head.method.as_str(), path) {
        Route::Operation { operation, parameters } => (operation, parameters),
        Route::WrongMethod { allow } => return Err(FlowError::WrongMethod { allow }),
        Route::Unknown => return Err(FlowError::UnknownPath),
    };
    let reference =
        percent_decode_str(reference).decode_utf8().map_err(|_| FlowError::UnknownPath)?.into_owned();
    let mut query = read_query(head.uri.query().unwrap_or_default())?;
    let selector = take_selector(&mut query)?;
    let driver = entrance.driver().clone();
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
        query,
        body,
        facts,
    })
}

/// Splits and decodes a query string (WHATWG URL, `application/x-www-form-urlencoded`), but refuses bytes that are
/// not UTF-8 where that standard would replace them: nothing is lost unseen.
pub(crate) fn read_query(query: &str) -> Result<Vec<(String, String)>, FlowError> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(|text| text.into_owned()).ok()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name =
                decode(name).ok_or_else(|| parameter("query", "parameter names must be UTF-8 text"))?;
            let value = decode(value).ok_or_else(|| parameter(&name, "must be UTF-8 text"))?;
            Ok((name, value))
        })
        .collect()
}

/// Takes out the parameters that say which connection is meant.
fn take_selector(query: &mut Vec<(String, String)>) -> Result<ConnectionSelector, FlowError> {
    let mut selector = ConnectionSelector::Primary;
    let mut given = 0;
    let mut wrong = None;
    query.retain(|(name, value)| {
        match name.as_str() {
            "connection_id" => match value.parse() {
                Ok(id) => selector = ConnectionSelector::Id(id),
                Err(_) => wrong = Some(parameter("connection_id", "must be a UUID")),
            },
            "connection" => selector = ConnectionSelector::Identifier(value.clone()),
            _ => return true,
        }
        given += 1;
        false
    });
    match wrong {
        Some(error) => Err(error),
        None if given > 1 => {
            Err(parameter("connection", "and `connection_id` name a connection once, by one of them"))
        }
        None => Ok(selector),
    }
}

fn parameter(field: &str, message: &str) -> FlowError {
    FlowError::Parameter { field: field.to_owned(), message: format!("`{field}` {message}") }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded_and_bytes_that_are_no_text_are_refused() {
        let pairs = read_query("a=1&b=x+y%2B&c&a=%C3%A9&&=v").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y+"), ("c", ""), ("a", "é"), ("", "v")]);
        assert!(matches!(read_query("p=%FF"), Err(FlowError::Parameter { field, .. }) if field == "p"));
    }

    #[test]
    fn a_connection_is_named_once_and_its_parameter_is_not_the_drivers() {
        let select = |query: &str| {
            let mut pairs = read_query(query).unwrap();
            take_selector(&mut pairs).map(|selector| (selector, pairs.len()))
        };
        assert_eq!(select("x=1").unwrap(), (ConnectionSelector::Primary, 1));
        assert_eq!(
            select("connection=main&x=1").unwrap(),
            (ConnectionSelector::Identifier("main".into()), 1)
        );
        assert!(select("connection_id=7").is_err());
        assert!(select("connection=a&connection=b").is_err());
    }
}
