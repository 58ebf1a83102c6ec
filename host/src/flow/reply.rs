//! The last step: the driver's payload in the host's envelope or, where an alias has none, alone; byte for byte, never
//! through a JSON value.

use crate::{
    cache::{CacheStatus, Kept, has_already},
    plugins::{JSON, Wrapping},
    registry::ConnectionId,
};
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY},
};
use http_body::{Frame, SizeHint};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use studio_plugin_api::{Outcome, reply::Payload};

const OPENING: &[u8] = b"{\"data\":";
const CLOSING: &[u8] = b"}";
/// Payloads up to this many bytes are copied into one buffer with the envelope: cheaper than three writes.
const SMALL: usize = 16 * 1024;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Callers may keep a cacheable reply, and ask each time whether it still counts: a write would not reach them.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");
/// What a cacheable reply depends on besides its address.
const VARIES_BY: HeaderValue = HeaderValue::from_static("accept-encoding, authorization");

/// What the driver answered, now or before.
pub(super) struct Reply {
    outcome: Outcome,
    json: Bytes,
    only_read: bool,
    connection: ConnectionId,
    /// Of a cacheable reply.
    entity_tag: Option<HeaderValue>,
    /// The caller has the very same already.
    is_known: bool,
    status: Option<CacheStatus>,
}

impl Reply {
    /// One that nobody keeps.
    pub(super) fn new(payload: Payload, connection: ConnectionId) -> Self {
        Self {
            outcome: payload.outcome,
            json: payload.json.into(),
            only_read: payload.only_read,
            connection,
            entity_tag: None,
            is_known: false,
            status: None,
        }
    }
    /// One that may be kept, for a request with these headers.
    pub(super) fn cacheable(reply: &Kept, headers: &HeaderMap, connection: ConnectionId) -> Self {
        let is_ok = reply.outcome == Outcome::Ok;
        Self {
            outcome: reply.outcome,
            json: reply.json.clone(),
            only_read: true,
            connection,
            entity_tag: is_ok.then(|| reply.entity_tag.clone()),
            is_known: is_ok && has_already(headers, &reply.entity_tag),
            status: None,
        }
    }
    /// Says what the cache did.
    pub(super) fn with_status(self, status: CacheStatus) -> Self {
        Self { status: Some(status), ..self }
    }
    /// Whether a call that might have written only read.
    pub(super) fn only_read(&self) -> bool {
        self.only_read
    }
    /// The connection that served it.
    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    pub(super) fn into_response(self, wrapping: &Wrapping) -> Response {
        let mut response = match self.is_known {
            true => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            false => wrap(self.outcome, self.json, wrapping),
        };
        let headers = response.headers_mut();
        if let Some(entity_tag) = self.entity_tag {
            headers.insert(ETAG, entity_tag);
            headers.insert(CACHE_CONTROL, REVALIDATED);
            headers.insert(VARY, VARIES_BY);
        }
        let status = self.status.and_then(|status| HeaderValue::try_from(status.to_string()).ok());
        if let Some(status) = status {
            headers.insert(CACHE_STATUS, status);
        }
        response
    }
}

/// A success with the payload.
fn wrap(outcome: Outcome, payload: Bytes, wrapping: &Wrapping) -> Response {
    let status = match outcome {
        Outcome::Ok => StatusCode::OK,
        Outcome::Created => StatusCode::CREATED,
        Outcome::NoContent => StatusCode::NO_CONTENT,
    };
    if status == StatusCode::NO_CONTENT {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return response;
    }
    let (body, media_type) = match wrapping {
        Wrapping::Data => (envelop(payload), JSON),
        Wrapping::Bare(media_type) => (Body::from(payload), media_type.clone()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// A payload in the envelope.
fn envelop(json: Bytes) -> Body {
    if json.len() > SMALL {
        let parts = [Bytes::from_static(OPENING), json, Bytes::from_static(CLOSING)];
        return Body::new(Envelope { parts });
    }
    let mut whole = Vec::with_capacity(OPENING.len() + json.len() + CLOSING.len());
    whole.extend_from_slice(OPENING);
    whole.extend_from_slice(&json);
    whole.extend_from_slice(CLOSING);
    Body::from(whole)
}

/// A payload between the envelope's two ends, without a copy.
struct Envelope {
    /// What is still to be sent; sent parts are empty.
    parts: [Bytes; 3],
}

impl http_body::Body for Envelope {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.parts.iter_mut().find(|part| !part.is_empty()).map(std::mem::take);
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}
