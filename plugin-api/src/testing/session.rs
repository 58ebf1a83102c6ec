//! A session in a driver's tests, and the facts that its errors tell.

use super::{TestRequest, settings};
use crate::{Driver, DriverError, Network, Outcome};
use serde_json::Value;
use std::{ops::Deref, sync::Arc};

/// A session of a driver, and its operations by their paths: `session.get("/keys?count=7")`.
pub struct Session<D>(pub Arc<D>);

impl<D: Driver> Session<D> {
    /// Checks settings, as [`settings`] takes them, and opens a session with them.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for settings that are not valid, or else the driver's own.
    pub async fn open(json: Value, network: Network) -> Result<Self, DriverError> {
        let settings = settings::<D>(json)?;
        D::check(&settings)?;
        D::connect(settings, network).await.map(|driver| Self(Arc::new(driver)))
    }

    /// Sends a request: see [`TestRequest::send`].
    ///
    /// # Errors
    /// The same.
    pub async fn send(&self, request: TestRequest) -> Result<(Outcome, Value), DriverError> {
        request.send(&self.0).await
    }

    /// Sends a `GET`, and gives the payload. The path may have a query, which is not percent-encoded.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn get(&self, path: &str) -> Result<Value, DriverError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let request = pairs.fold(TestRequest::get(path), |request, (name, value)| request.query(name, value));
        self.send(request).await.map(|(_, payload)| payload)
    }

    /// Sends a `POST` with a JSON body.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn post(&self, path: &str, body: Value) -> Result<(Outcome, Value), DriverError> {
        self.send(TestRequest::post(path, body)).await
    }

    /// Sends a `PUT` with a JSON body, and gives the payload.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn put(&self, path: &str, body: Value) -> Result<Value, DriverError> {
        self.send(TestRequest::put(path, body)).await.map(|(_, payload)| payload)
    }

    /// Sends a `DELETE`.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn delete(&self, path: &str) -> Result<Outcome, DriverError> {
        self.send(TestRequest::delete(path)).await.map(|(outcome, _)| outcome)
    }
}

impl<D> Clone for Session<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D> Deref for Session<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.0
    }
}

/// Returns the code of an error, as callers see it: `"CONNECTION_ERROR"`.
pub fn code(error: &DriverError) -> &'static str {
    error.code.as_str()
}

/// Returns the field that an error names.
///
/// # Panics
/// When it names none.
#[track_caller]
pub fn field(error: &DriverError) -> &str {
    detail(error, error.details.get("field"))
}

/// Returns the reason that a connection error gives.
///
/// # Panics
/// When it gives none.
#[track_caller]
pub fn reason(error: &DriverError) -> &str {
    detail(error, error.details.get("reason"))
}

#[track_caller]
fn detail<'a>(error: &'a DriverError, found: Option<&'a Value>) -> &'a str {
    let found = found.and_then(Value::as_str);
    assert!(found.is_some(), "the error has no such detail: {error}");
    found.unwrap_or_default()
}
