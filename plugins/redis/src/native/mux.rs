//! One connection that many calls use at once: each writes its commands in one piece, and the answers come in that
//! order.
//!
//! The `redis` crate has such a connection too. It reads a reply whole before anyone can look at it; here the replies
//! to a call are counted as they come, and when they are more than the call may have, the call ends and the connection
//! is given up: at once where nobody else waits on it, else when they have their answers.

use crate::{
    errors,
    resp::{Broken, Budget, Replies, Reply},
};
use futures_util::future::{Either, select};
use redis::Value;
use std::{
    collections::VecDeque,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};
use studio_plugin_api::{DriverError, sync::lock};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

/// Questions that wait to be written: room for the full pipeline of a busy gateway.
const QUEUED: usize = 1024;
/// Questions that were written and not answered. Each belongs to a call, or to one that has left; a server that lets
/// so many callers leave is given up.
const UNANSWERED: usize = 16 << 10;
/// Bytes to write and to read at once.
const WRITE_SIZE: usize = 64 << 10;
const READ_SIZE: usize = 16 << 10;
/// Bytes of what the server says while it is asked nothing.
const UNASKED: u64 = 1 << 20;

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The answers are larger than this.
    TooLarge(u64),
    /// The server does not speak Redis's protocol.
    NotRedis,
    /// TLS failed, for this reason.
    Tls(String),
    /// The connection broke.
    Lost,
}

/// A handle to the connection. It is closed when the last one is dropped.
#[derive(Clone)]
pub(crate) struct Mux {
    questions: mpsc::Sender<Question>,
    open: Arc<AtomicBool>,
    _task: Arc<AbortOnDrop>,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Question {
    commands: Vec<u8>,
    waiting: Waiting,
}

/// A call that waits for its answers.
struct Waiting {
    answers: Vec<Value>,
    wanted: usize,
    /// What is left of `most`.
    budget: Budget,
    most: u64,
    /// Taken when there is nothing more to say.
    reply: Option<oneshot::Sender<Result<Vec<Value>, Failure>>>,
}

impl Waiting {
    fn is_waiting(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    fn tell(&mut self, outcome: Result<Vec<Value>, Failure>) {
        if let Some(reply) = self.reply.take() {
            // It may have left.
            let _ = reply.send(outcome);
        }
    }
}

impl Mux {
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (questions, incoming) = mpsc::channel(QUEUED);
        let open = Arc::new(AtomicBool::new(true));
        let line = Line { waiting: Mutex::default(), open: open.clone() };
        let task = tokio::spawn(line.run(stream, incoming)).abort_handle();
        Self { questions, open, _task: Arc::new(AbortOnDrop(task)) }
    }

    /// False as soon as the connection is known to be dead.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Calls that wait have their answers still, and no call should come to it any more.
    pub(crate) fn give_up(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// Sends commands in one piece and waits for `wanted` answers, which may have `most` bytes together.
    pub(crate) async fn ask(
        &self,
        commands: Vec<u8>,
        wanted: usize,
        most: u64,
    ) -> Result<Vec<Value>, Failure> {
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let (reply, answers) = oneshot::channel();
        let (answers_so_far, budget) = (Vec::with_capacity(wanted), Budget::new(most));
        let waiting = Waiting { answers: answers_so_far, wanted, budget, most, reply: Some(reply) };
        self.questions.send(Question { commands, waiting }).await.map_err(|_| Failure::Lost)?;
        answers.await.unwrap_or(Err(Failure::Lost))
    }
}

/// The connection's own end of it.
struct Line {
    /// In the order of their questions.
    waiting: Mutex<VecDeque<Waiting>>,
    open: Arc<AtomicBool>,
}

/// However the task ends, by a panic or an abort too.
impl Drop for Line {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Release);
    }
}

impl Line {
    async fn run(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        mut questions: mpsc::Receiver<Question>,
    ) {
        // Nothing is read before there is a question: a server that has no room for a connection says so unasked, and
        // that is the answer to the first one.
        let Some(first) = questions.recv().await else { return };
        let (reading, writing) = tokio::io::split(stream);
        let failure = {
            let (read, write) = (pin!(self.read(reading)), pin!(self.write(writing, first, questions)));
            match select(write, read).await {
                Either::Left((failure, _)) | Either::Right((failure, _)) => failure,
            }
        };
        // The flag goes down before a caller learns of the failure, so that its next call finds a new session.
        self.open.store(false, Ordering::Release);
        for mut call in std::mem::take(&mut *self.waiting()) {
            call.tell(Err(failure.clone()));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        lock(&self.waiting)
    }

    async fn write(
        &self,
        mut stream: WriteHalf<impl AsyncWrite>,
        first: Question,
        mut questions: mpsc::Receiver<Question>,
    ) -> Failure {
        let mut bytes = Vec::new();
        let mut next = Some(first);
        while next.is_some() {
            while let Some(question) = next {
                if self.waiting().len() >= UNANSWERED {
                    return Failure::Lost;
                }
                // Who has left before anything was sent need not be asked for.
                if question.waiting.is_waiting() {
                    self.waiting().push_back(question.waiting);
                    if bytes.is_empty() {
                        bytes = question.commands;
                    } else {
                        bytes.extend_from_slice(&question.commands);
                    }
                }
                next = if bytes.len() < WRITE_SIZE { questions.try_recv().ok() } else { None };
            }
            let written = async {
                stream.write_all(&bytes).await?;
                stream.flush().await
            };
            if let Err(error) = written.await {
                return broken_by(&error);
            }
            bytes.clear();
            bytes.shrink_to(WRITE_SIZE);
            next = questions.recv().await;
        }
        Failure::Lost
    }

    async fn read(&self, mut stream: ReadHalf<impl AsyncRead>) -> Failure {
        let mut replies = Replies::default();
        let mut unasked = Budget::new(UNASKED);
        let mut buffer = vec![0; READ_SIZE];
        loop {
            let mut bytes = match stream.read(&mut buffer).await {
                Ok(0) => return Failure::Lost,
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) => return broken_by(&error),
            };
            while !bytes.is_empty() {
                if let Err(failure) = self.take(&mut replies, &mut bytes, &mut unasked) {
                    return failure;
                }
            }
        }
    }

    /// Takes bytes up to the end of a reply, for the call whose turn it is.
    fn take(&self, replies: &mut Replies, bytes: &mut &[u8], unasked: &mut Budget) -> Result<(), Failure> {
        let mut waiting = self.waiting();
        let Some(call) = waiting.front_mut() else {
            return match replies.next(bytes, unasked, false) {
                Ok(None) if !unasked.is_over() => Ok(()),
                // An answer to nothing, or talk without end.
                _ => Err(Failure::NotRedis),
            };
        };
        let wanted = call.is_waiting();
        let reply = replies.next(bytes, &mut call.budget, wanted);
        if call.budget.is_over() {
            self.open.store(false, Ordering::Release);
            call.tell(Err(Failure::TooLarge(call.most)));
        }
        match reply {
            Ok(None) => Ok(()),
            Ok(Some(reply)) => {
                // Where it was passed over its place is all that counts.
                let answer = if let Reply::Answer(answer) = reply { answer } else { Value::Nil };
                waiting.pop_front().map_or(Ok(()), |call| self.hand_over(answer, call, &mut waiting))
            }
            Err(Broken::TooLarge) => Err(Failure::Lost),
            Err(Broken::NotRedis) => Err(Failure::NotRedis),
        }
    }

    fn hand_over(
        &self,
        answer: Value,
        mut call: Waiting,
        waiting: &mut VecDeque<Waiting>,
    ) -> Result<(), Failure> {
        call.answers.push(answer);
        if call.answers.len() < call.wanted {
            waiting.push_front(call);
            return Ok(());
        }
        let answers = std::mem::take(&mut call.answers);
        call.tell(Ok(answers));
        // Given up, it goes on for those who have it still, and ends with the last of them.
        Ok(())
    }
}

fn broken_by(error: &io::Error) -> Failure {
    match error.get_ref().filter(|inner| inner.is::<rustls::Error>()) {
        Some(inner) => Failure::Tls(inner.to_string()),
        None => Failure::Lost,
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooLarge(most) => Self::result_too_large(most),
            Failure::NotRedis => errors::not_redis(),
            Failure::Tls(cause) => errors::tls(&cause),
            Failure::Lost => errors::lost(),
        }
    }
}
