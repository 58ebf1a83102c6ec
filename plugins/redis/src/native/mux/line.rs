//! The connection's own end of it: the task that writes and reads.

use super::{
    Failure, Waiting,
    queue::{KEPT, Queue},
};
use crate::resp::{Broken, Budget, Replies, Reply};
use redis::Value;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Questions that were written and not answered. Each belongs to a call, or to one that has left; a server that lets
/// so many callers leave is given up.
const UNANSWERED: usize = 16 << 10;
/// Bytes to read at once.
const READ_SIZE: usize = 16 << 10;
/// Bytes of what the server says while it is asked nothing.
const UNASKED: u64 = 1 << 20;

pub(super) struct Line<S> {
    stream: S,
    queue: Arc<Queue>,
    /// What is being written, and how much of it is.
    writing: Vec<u8>,
    written: usize,
    reading: Reading,
    buffer: Vec<u8>,
    /// Whether the server was asked anything. Nothing is read before: a server that has no room for a connection says so
    /// unasked, and that is the answer to the first question.
    was_asked: bool,
}

/// Whose answers are due, and how far they have come.
struct Reading {
    /// In the order of their questions.
    waiting: VecDeque<Waiting>,
    replies: Replies,
    unasked: Budget,
}

/// However the task ends, by a panic or an abort too.
impl<S> Drop for Line<S> {
    fn drop(&mut self) {
        self.queue.end(&Failure::Lost, std::mem::take(&mut self.reading.waiting));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    pub(super) fn new(stream: S, queue: Arc<Queue>) -> Self {
        let (waiting, replies, unasked) = (VecDeque::new(), Replies::default(), Budget::new(UNASKED));
        Self {
            stream,
            queue,
            writing: Vec::new(),
            written: 0,
            reading: Reading { waiting, replies, unasked },
            buffer: vec![0; READ_SIZE],
            was_asked: false,
        }
    }

    pub(super) async fn run(mut self) {
        let Err(failure) = poll_fn(|context| self.poll_turn(context)).await;
        self.queue.end(&failure, std::mem::take(&mut self.reading.waiting));
    }

    /// Reads before it writes: those who have their answers may have asked anew by then.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Result<Infallible, Failure>> {
        loop {
            let was_asked = self.was_asked;
            let read = if was_asked { self.poll_read(context)? } else { Poll::Pending };
            let write = self.poll_write(context)?;
            if read.is_pending() && write.is_pending() && was_asked == self.was_asked {
                return Poll::Pending;
            }
        }
    }

    /// Writes what has gathered; pending where that is nothing.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.writing.is_empty() {
            self.queue.take(&mut self.writing, &mut self.reading.waiting, context);
            if self.writing.is_empty() {
                return Poll::Pending;
            }
            if self.reading.waiting.len() > UNANSWERED {
                return Poll::Ready(Err(Failure::Lost));
            }
            self.was_asked = true;
        }
        while let Some(rest) = self.writing.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest)) {
                Ok(0) => return Poll::Ready(Err(Failure::Lost)),
                Ok(count) => self.written += count,
                Err(error) => return Poll::Ready(Err(broken_by(&error))),
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context)).map_err(|error| broken_by(&error))?;
        self.writing.clear();
        self.writing.shrink_to(KEPT);
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))
            .map_err(|error| broken_by(&error))?;
        let mut bytes = buffer.filled();
        if bytes.is_empty() {
            return Poll::Ready(Err(Failure::Lost));
        }
        while !bytes.is_empty() {
            self.reading.take(&mut bytes, &self.queue)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Reading {
    /// Takes bytes up to the end of a reply, for the call whose turn it is.
    fn take(&mut self, bytes: &mut &[u8], queue: &Queue) -> Result<(), Failure> {
        let Some(call) = self.waiting.front_mut() else {
            return match self.replies.next(bytes, &mut self.unasked, false) {
                Ok(None) if !self.unasked.is_over() => Ok(()),
                // An answer to nothing, or talk without end.
                _ => Err(Failure::NotRedis),
            };
        };
        let wanted = call.is_waiting();
        let reply = self.replies.next(bytes, &mut call.budget, wanted);
        if call.budget.is_over() {
            queue.give_up();
            call.tell(Err(Failure::TooLarge(call.most)));
        }
        match reply {
            Ok(None) => return Ok(()),
            Ok(Some(Reply::Answer(answer))) => call.answers.push(answer),
            // Its place is all that counts.
            Ok(Some(Reply::PassedOver)) => call.answers.push(Value::Nil),
            Err(Broken::TooLarge) => return Err(Failure::Lost),
            Err(Broken::NotRedis) => return Err(Failure::NotRedis),
        }
        // Given up, it goes on for those who have it still, and ends with the last of them.
        if call.answers.len() == call.wanted
            && let Some(mut call) = self.waiting.pop_front()
        {
            let answers = std::mem::take(&mut call.answers);
            call.tell(Ok(answers));
        }
        Ok(())
    }
}

fn broken_by(error: &io::Error) -> Failure {
    match error.get_ref().filter(|inner| inner.is::<rustls::Error>()) {
        Some(inner) => Failure::Tls(inner.to_string()),
        None => Failure::Lost,
    }
}
