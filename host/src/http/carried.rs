//! Bodies on their way through the socket. They tell their connection whether they make progress.

use crate::{
    budgets::{Account, Delivery, Line, UnderWay},
    config::BudgetSettings,
};
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::future::AbortHandle;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use studio_plugin_api::sync::lock;

/// An answer is handed on in pieces of so many bytes: a request for the next piece shows that the client takes the
/// answer.
const PIECE: usize = 64 * 1024;

/// The most bytes of an unwanted body that are read so that its client gets to read the answer.
const MOST_DRAINED: u64 = 64 * 1024 * 1024;
/// How long such a body may pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A request's body. It tells its connection when it waits for the client's bytes, and when they arrive.
pub(super) struct Arriving {
    /// `None` after the end of the body.
    inner: Option<Incoming>,
    line: Arc<Line>,
    rest: Rest,
    /// Whether its client was told to send it.
    is_asked_for: bool,
}

impl Arriving {
    /// Makes the body. `waits`: its client sends it only when it is asked to (`Expect: 100-continue`).
    pub(super) fn new(inner: Incoming, line: Arc<Line>, rest: Rest, waits: bool) -> Self {
        Self { inner: Some(inner), line, rest, is_asked_for: !waits }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_asked_for = true;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = Pin::new(inner).poll_frame(context);
        match frame {
            Poll::Ready(Some(Ok(_))) => self.line.body_came(),
            Poll::Ready(_) => {
                self.line.body_came();
                self.inner = None;
            }
            Poll::Pending => self.line.body_waits(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.line.body_came();
        if self.is_asked_for
            && let Some(inner) = self.inner.take()
            && !inner.is_end_stream()
        {
            self.rest.put(inner);
        }
    }
}

/// The rest of a body that the request's handler did not read. Most requests have no body, and nothing here.
#[derive(Clone, Default)]
pub(super) struct Rest(Option<Arc<Mutex<Option<Incoming>>>>);

impl Rest {
    /// Makes the place for the rest of this body; none of the body has been read yet.
    pub(super) fn of(body: &Incoming) -> Self {
        Self((!body.is_end_stream()).then(Arc::default))
    }

    fn put(&self, inner: Incoming) {
        if let Some(place) = &self.0 {
            // Nothing panics while it holds this lock.
            *lock(place) = Some(inner);
        }
    }

    fn take(&self) -> Option<Incoming> {
        lock(self.0.as_ref()?).take()
    }

    /// Reads the rest beside the answer, if there is any: a connection that is closed before its client has sent
    /// everything loses the answer too. No byte is kept; bytes and time are bounded. A client that is slow has the
    /// answer by then.
    pub(super) fn drain(self, line: &Arc<Line>, has_streams: bool, pace: DrainPace) {
        let Some(inner) = self.take() else { return };
        let under_way = line.begin_request(has_streams);
        let mut body = Arriving::new(inner, line.clone(), Self::default(), false);
        tokio::spawn(async move {
            let _held = under_way;
            let begin = Instant::now();
            let mut bytes = 0;
            while let Ok(Some(Ok(frame))) = tokio::time::timeout(LONGEST_PAUSE, body.frame()).await {
                bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                if !pace.allows(bytes, begin.elapsed()) {
                    break;
                }
            }
        });
    }
}

/// How long an unwanted body is read, and how fast it must come.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrainPace {
    /// For the whole body.
    time: Duration,
    /// In bytes a second; the first `LONGEST_PAUSE` does not count.
    least_rate: u64,
}

impl DrainPace {
    /// Takes the limits that hold for callers' bodies and replies too.
    pub(super) fn new(budgets: &BudgetSettings) -> Self {
        Self { time: *budgets.body, least_rate: budgets.least_rate.get().into() }
    }

    fn allows(self, bytes: u64, elapsed: Duration) -> bool {
        let late = elapsed.saturating_sub(LONGEST_PAUSE);
        bytes < MOST_DRAINED && elapsed < self.time && bytes >= self.least_rate * late.as_secs()
    }
}

/// An answer's body. It tells its connection when the client takes it. The request is under way while this body exists.
pub(super) struct Leaving {
    inner: Body,
    /// The rest of a piece that is too large to hand on whole.
    rest: Bytes,
    delivery: Arc<Delivery>,
    under_way: UnderWay,
}

impl Leaving {
    /// Makes the body. `stream` ends this answer alone if its connection has several.
    pub(super) fn new(
        inner: Body,
        under_way: UnderWay,
        account: Option<Account>,
        stream: Option<AbortHandle>,
    ) -> Self {
        let delivery = Arc::new(Delivery::new(account, stream));
        under_way.line().deliver(delivery.clone());
        Self { inner, rest: Bytes::new(), delivery, under_way }
    }

    /// Takes the next piece off the rest. The last piece is a copy: it may wait unsent for long, and would otherwise
    /// keep the whole answer in memory.
    fn next_piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE {
            return self.rest.split_to(PIECE);
        }
        Bytes::copy_from_slice(&std::mem::take(&mut self.rest))
    }
}

impl HttpBody for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.delivery.asked(self.under_way.line().now());
        let frame = if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) if data.len() > PIECE => {
                    self.rest = data;
                    Frame::data(self.next_piece())
                }
                Some(Ok(Ok(data))) => Frame::data(data),
                Some(Ok(Err(other))) => other,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        } else {
            Frame::data(self.next_piece())
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.delivery.handed_out(bytes, self.under_way.line().now());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        // The upper bound is set first: it may never be below the lower one.
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.under_way.line().delivered(&self.delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discarded_body_is_read_up_to_a_bound_while_it_keeps_coming() {
        let pace = DrainPace { time: Duration::from_secs(30), least_rate: 1000 };
        let allows = |bytes, seconds| pace.allows(bytes, Duration::from_secs_f64(seconds));
        assert!(allows(0, 0.0) && allows(0, 1.9), "there is a moment to begin in");
        assert!(!allows(999, 2.0) && allows(1000, 2.0));
        assert!(!allows(10_000, 12.0) && allows(11_000, 12.0));
        assert!(allows(MOST_DRAINED - 1, 29.9) && !allows(MOST_DRAINED - 1, 30.0));
        assert!(!allows(MOST_DRAINED, 0.0));
    }
}
