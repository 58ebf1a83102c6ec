//! Bodies on their way through the socket, which tell their connection how they get on.

use crate::budgets::{Account, Delivery, Line, UnderWay};
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::future::AbortHandle;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An answer is handed on in pieces of so many bytes: that the next one is asked for tells that its client goes on.
const PIECE: usize = 64 * 1024;

/// A request's body that tells when it does not come on.
pub(super) struct Arriving {
    inner: Incoming,
    line: Arc<Line>,
}

impl Arriving {
    pub(super) fn new(inner: Incoming, line: Arc<Line>) -> Self {
        Self { inner, line }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        match frame {
            Poll::Ready(_) => self.line.body_came(),
            Poll::Pending => self.line.body_waits(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.line.body_came();
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
