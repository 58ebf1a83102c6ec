//! Compression of answers, for clients that accept it.

use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::BodyExt;
use std::{convert::Infallible, future::ready, sync::Arc};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::compression::{
    CompressionLayer,
    predicate::{And, NotForContentType, Predicate, SizeAbove},
};

/// Bodies below so many bytes are not worth compressing.
const SMALLEST: u64 = 1024;

/// Compresses answers, a bounded number of them at once: each takes megabytes until its client has read it. The others
/// are sent uncompressed.
pub(super) struct Compression {
    layer: CompressionLayer<And<SizeAbove, NotForContentType>>,
    places: Arc<Semaphore>,
}

/// The lines of a request's `Accept-Encoding`.
pub(super) struct Accepted(Vec<HeaderValue>);

impl Accepted {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        Self(headers.get_all(header::ACCEPT_ENCODING).iter().cloned().collect())
    }

    /// Makes one line without the elements that refuse an uncompressed answer: the layer would replace the answer by 406
    /// after the work is done. Such an answer may be sent all the same (RFC 9110 §12.5.3).
    fn into_line(self) -> Option<HeaderValue> {
        let refuses = |element: &&str| {
            let (coding, weight) = element.split_once(';').unwrap_or((element, ""));
            let (coding, weight) = (coding.trim(), weight.trim().to_ascii_lowercase());
            let weight = weight.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            (coding == "*" || coding.eq_ignore_ascii_case("identity")) && weight == Some(0.0)
        };
        let elements = self.0.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let kept = elements.filter(|element| !refuses(element)).collect::<Vec<_>>().join(",");
        HeaderValue::try_from(kept).ok().filter(|kept| !kept.is_empty())
    }
}

impl Compression {
    /// Compresses at most so many answers at once.
    pub(super) fn new(most: usize) -> Self {
        let worth = SizeAbove::new(SMALLEST).and(NotForContentType::const_new("text/event-stream"));
        Self { layer: CompressionLayer::new().compress_when(worth), places: Arc::new(Semaphore::new(most)) }
    }

    /// Compresses an answer if that is worth it, accepted, and there is a place for it.
    pub(super) async fn compress(&self, accepted: Accepted, response: Response) -> Response {
        if response.body().size_hint().exact().is_some_and(|bytes| bytes < SMALLEST) {
            return response;
        }
        let mut asked = Request::new(());
        let line = accepted.into_line();
        let place = line.as_ref().and_then(|_| self.places.clone().try_acquire_owned().ok());
        if let (Some(line), Some(_)) = (line, &place) {
            asked.headers_mut().insert(header::ACCEPT_ENCODING, line);
        }
        let mut response = Some(response);
        let answer = service_fn(move |_| ready(Ok::<_, Infallible>(response.take().unwrap_or_default())));
        let mut response = match self.layer.layer(answer).oneshot(asked).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        };
        if !response.headers().contains_key(header::CONTENT_ENCODING) {
            return response;
        }
        weaken_tag(response.headers_mut());
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &place;
                frame
            }))
        })
    }
}

/// Makes the entity tag of a compressed body weak: a strong one promises the same bytes (RFC 9110 §8.8.1).
fn weaken_tag(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(header::ETAG)
        && !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}
