//! The last step: the driver's payload in the host's envelope, byte for byte, never through a JSON value.

use crate::registry::ConnectionId;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
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

/// What the driver answered.
pub(super) struct Reply {
    payload: Payload,
    connection: ConnectionId,
}

impl Reply {
    pub(super) fn new(payload: Payload, connection: ConnectionId) -> Self {
        Self { payload, connection }
    }
    /// Whether a call that might have written only read.
    pub(super) fn only_read(&self) -> bool {
        self.payload.only_read
    }
    /// The connection that served it.
    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    pub(super) fn into_response(self) -> Response {
        let status = match self.payload.outcome {
            Outcome::Ok => StatusCode::OK,
            Outcome::Created => StatusCode::CREATED,
            Outcome::NoContent => StatusCode::NO_CONTENT,
        };
        let json = self.payload.json;
        let body = match json.len() {
            0 => Body::empty(),
            length if length <= SMALL => {
                let mut whole = Vec::with_capacity(OPENING.len() + length + CLOSING.len());
                whole.extend_from_slice(OPENING);
                whole.extend_from_slice(&json);
                whole.extend_from_slice(CLOSING);
                Body::from(whole)
            }
            _ => Body::new(Envelope {
                parts: [Bytes::from_static(OPENING), Bytes::from(json), Bytes::from_static(CLOSING)],
            }),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        if status != StatusCode::NO_CONTENT {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }
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
