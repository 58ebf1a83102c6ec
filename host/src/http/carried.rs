//! Bodies on their way through the socket, which tell their connection how they get on.

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
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// An answer is handed on in pieces of so many bytes: that the next one is asked for tells that its client goes on.
const PIECE: usize = 64 * 1024;

/// The most bytes of a body that are read for nothing but that its client comes to read the answer.
const MOST_DRAINED: u64 = 64 * 1024 * 1024;
/// How long such a body may pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A request's body that tells when it does not come on.
pub(super) struct Arriving {
    /// Nothing after its end.
    inner: Option<Incoming>,
    line: Arc<Line>,
    rest: Rest,
    /// Whether its client was told to send it.
    is_asked_for: bool,
}

impl Arriving {
    /// `waits`: its client sends it only when someone asks for it (`Expect: 100-continue`).
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

/// The rest of a body that whoever answered its request did not read. Most requests have no body, and nothing here.
#[derive(Clone, Default)]
pub(super) struct Rest(Option<Arc<Mutex<Option<Incoming>>>>);

impl Rest {
    /// Of this body, which nobody has read yet.
    pub(super) fn of(body: &Incoming) -> Self {
        Self((!body.is_end_stream()).then(Arc::default))
    }

    fn put(&self, inner: Incoming) {
        if let Some(place) = &self.0 {
            // Nothing panics while it holds this lock.
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
        }
    }

    fn take(&self) -> Option<Incoming> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads it beside the answer, if there is any: a connection that is closed before its client has sent all takes the
    /// answer along. Kept nowhere, and bounded in bytes and time; who pauses or trickles has the answer by then.
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

/// How much of a body is read for nothing, and how fast it must come.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrainPace {
    /// In all.
    time: Duration,
    /// Bytes a second, after a pause's time.
    least_rate: u64,
}

impl DrainPace {
    /// As callers' bodies and replies are held to.
    pub(super) fn new(budgets: &BudgetSettings) -> Self {
        Self { time: *budgets.body, least_rate: budgets.least_rate.get().into() }
    }

    fn allows(self, bytes: u64, elapsed: Duration) -> bool {
        let late = elapsed.saturating_sub(LONGEST_PAUSE);
        bytes < MOST_DRAINED && elapsed < self.time && bytes >= self.least_rate * late.as_secs()
    }
}

/// An answer's body that tells when its client takes it. The request is under way as long as there is one.
pub(super) struct Leaving {
    inner: Body,
    /// The rest of a piece that is too large to hand on whole.
    rest: Bytes,
    delivery: Arc<Delivery>,
    under_way: UnderWay,
}

impl Leaving {
    /// `stream` ends the answer alone, where a connection has several.
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

    /// The next piece of the rest. The last one is a copy: who takes all but the end of a large answer, which then waits
    /// where nobody looks after it, holds no more than that.
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
        // The upper bound first: it may never be below the other.
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
