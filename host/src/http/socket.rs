//! A client's socket. It tells its connection when bytes arrive, and when the client takes none.

use super::error::ApiError;
use crate::budgets::Line;
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The socket. Its connection shares the stream, and can check whether unread bytes have arrived.
///
/// Hyper's own answer to a head that it can't read has no body; here it gets one.
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    line: Arc<Line>,
    /// No answer is under way, and all bytes of earlier answers are written: the next bytes begin an answer.
    is_between_answers: bool,
    /// A text that is written instead of the given bytes, and how many of its bytes are written.
    instead: Option<(String, usize)>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        let stream = Arc::new(stream);
        line.reads_from(&stream);
        Self { stream, line, is_between_answers: true, instead: None }
    }

    fn write(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.stream.poll_write_ready(context) else {
                self.line.write_waits();
                return Poll::Pending;
            };
            ready?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.line.wrote();
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl Socket {
    /// Writes the first bytes of an answer, or another answer in their place.
    fn poll_begin(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.is_between_answers) {
            self.instead = ApiError::of_unread_head(bytes).map(|error| (error.as_text(), 0));
        }
        let Some((text, mut written)) = self.instead.take() else {
            return self.write(context, |stream| stream.try_write(bytes));
        };
        while let Some(rest) = text.as_bytes().get(written..).filter(|rest| !rest.is_empty()) {
            match self.write(context, |stream| stream.try_write(rest)) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.instead = Some((text, written));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    if count > 0 {
                        self.line.read();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_some() || self.is_between_answers {
            return self.poll_begin(context, bytes);
        }
        self.write(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_some() || self.is_between_answers {
            // Hyper's own answers are one slice.
            match slices {
                [bytes] => return self.poll_begin(context, bytes),
                _ => self.is_between_answers = false,
            }
        }
        self.write(context, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_between_answers = self.line.is_quiet();
        // A socket buffers nothing.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}
