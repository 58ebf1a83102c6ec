//! The last step: it sends the driver's payload in the host's envelope, or alone where an alias has no envelope. The
//! payload is copied byte for byte, never through a JSON value.

use crate::{
    budgets::{Account, CallShare, ClientConnections, Held, Kind, Spent},
    cache::{CacheStatus, CachedReply, has_already},
    plugins::{JSON, Payload, ReplyFormat},
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
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use studio_plugin_api::Outcome;

const OPENING: &[u8] = b"{\"data\":";
const CLOSING: &[u8] = b"}";
/// Payloads up to this many bytes are copied into one buffer with the envelope: cheaper than three writes.
const SMALL: usize = 16 * 1024;

/// Replies above so many bytes may be ended to make room for others of their project.
const LARGE: usize = 64 * 1024;
/// How long a reply waits for room, and how often it looks. Meanwhile clients take other replies, or those are ended.
const WAIT: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// The field of RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Callers may keep a cacheable reply, but must ask each time whether it still counts, since they do not learn of
/// writes.
const REVALIDATED: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The request headers that a cacheable reply depends on.
const VARIES_BY: HeaderValue = HeaderValue::from_static("accept-encoding, authorization");

/// The driver's reply, made now or kept from before.
pub(super) struct Reply {
    outcome: Outcome,
    json: Bytes,
    /// The kept reply that it comes from, which others may be sent too.
    kept: Option<Arc<CachedReply>>,
    room: Option<Arc<Held>>,
    /// Held until the reply has its room.
    share: Option<CallShare>,
    only_read: bool,
    connection: ConnectionId,
    /// The tag of a cacheable reply.
    entity_tag: Option<HeaderValue>,
    /// The caller has the very same reply already.
    is_known: bool,
    status: Option<CacheStatus>,
}

impl Reply {
    /// Makes a reply that is not kept.
    pub(super) fn new(payload: Payload, share: CallShare, connection: ConnectionId) -> Self {
        Self {
            outcome: payload.outcome,
            json: payload.json,
            kept: None,
            room: None,
            share: Some(share),
            only_read: payload.only_read,
            connection,
            entity_tag: None,
            is_known: false,
            status: None,
        }
    }
    /// Makes a reply that may be kept, for a request with these headers.
    pub(super) fn cacheable(reply: &Arc<CachedReply>, headers: &HeaderMap, connection: ConnectionId) -> Self {
        let is_ok = reply.outcome == Outcome::Ok;
        Self {
            outcome: reply.outcome,
            json: reply.json.clone(),
            kept: Some(reply.clone()),
            room: None,
            share: None,
            only_read: true,
            connection,
            entity_tag: is_ok.then(|| reply.entity_tag.clone()),
            is_known: is_ok && has_already(headers, &reply.entity_tag),
            status: None,
        }
    }
    /// Adds how the cache served the request.
    pub(super) fn with_status(self, status: CacheStatus) -> Self {
        Self { status: Some(status), ..self }
    }
    /// Adds the share of a call that was made for it alone.
    pub(super) fn with_share(self, share: CallShare) -> Self {
        Self { share: Some(share), ..self }
    }
    /// Tells whether a call that might have written only read.
    pub(super) fn only_read(&self) -> bool {
        self.only_read
    }
    /// Returns the connection that served it.
    pub(super) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Takes room for it until its client has all of it. If there is none, replies that their clients do not take are
    /// ended.
    pub(super) async fn take_room(
        &mut self,
        account: &Account,
        clients: &ClientConnections,
        deadline: Instant,
    ) -> Result<(), Spent> {
        if self.is_known || self.json.is_empty() {
            return Ok(());
        }
        let bytes = self.json.len();
        let take = || match &self.kept {
            // Small ones are copied, so they share no room.
            Some(kept) if bytes > SMALL => kept.room.take(account, bytes),
            _ => account.take(Kind::Replies, bytes).map(Arc::new),
        };
        let mut waiting = None;
        loop {
            match take() {
                Ok(room) => {
                    self.room = Some(room);
                    self.share = None;
                    return Ok(());
                }
                Err(spent) => {
                    let (_, patience) = match &waiting {
                        Some(waiting) => waiting,
                        None => waiting
                            .insert((account.wait().ok_or(spent)?, deadline.min(Instant::now() + WAIT))),
                    };
                    if Instant::now() >= *patience {
                        return Err(spent);
                    }
                    clients.end_slowest(spent.of_project.then_some(account));
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    pub(super) fn into_response(self, format: &ReplyFormat, account: Account) -> Response {
        let is_large = self.json.len() > LARGE;
        let mut response = match self.is_known {
            true => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            false => wrap(self.outcome, self.json, self.room, format),
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
        if is_large {
            // The server that sends the reply finds its project by this.
            response.extensions_mut().insert(account);
        }
        response
    }
}

/// Makes a success response with the payload.
fn wrap(outcome: Outcome, payload: Bytes, room: Option<Arc<Held>>, format: &ReplyFormat) -> Response {
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
    let (body, media_type) = match format {
        ReplyFormat::Data => (envelop(payload, room), JSON),
        ReplyFormat::Bare(media_type) => (Body::from(budgeted(payload, room)), media_type.clone()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Bytes that keep their room until the last of them is written.
struct BudgetedBytes<T> {
    bytes: T,
    _room: Arc<Held>,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for BudgetedBytes<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

fn budgeted<T: AsRef<[u8]> + Into<Bytes> + Send + 'static>(bytes: T, room: Option<Arc<Held>>) -> Bytes {
    match room {
        Some(room) => Bytes::from_owner(BudgetedBytes { bytes, _room: room }),
        None => bytes.into(),
    }
}

/// Puts a payload in the envelope.
fn envelop(json: Bytes, room: Option<Arc<Held>>) -> Body {
    if json.len() > SMALL {
        let json = budgeted(json, room);
        let parts = [Bytes::from_static(OPENING), json, Bytes::from_static(CLOSING)];
        return Body::new(EnvelopedPayload { parts });
    }
    let mut whole = Vec::with_capacity(OPENING.len() + json.len() + CLOSING.len());
    whole.extend_from_slice(OPENING);
    whole.extend_from_slice(&json);
    whole.extend_from_slice(CLOSING);
    Body::from(budgeted(whole, room))
}

/// A payload between the envelope's two ends, without a copy.
struct EnvelopedPayload {
    /// The parts still to be sent; sent parts are empty.
    parts: [Bytes; 3],
}

impl http_body::Body for EnvelopedPayload {
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
