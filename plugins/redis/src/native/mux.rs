//! One connection that many calls use at once: they add their commands to one buffer, each in one piece, and the answers
//! come in that order. A task writes the buffer whole, whatever has gathered in it since it wrote last, and hands the
//! answers out as they arrive.
//!
//! The `redis` crate has such a connection too. It reads a reply whole before anyone can look at it; here the replies
//! to a call are counted as they come, and when they are more than the call may have, the call ends and the connection
//! is given up: at once where nobody else waits on it, else when they have their answers.

mod line;
mod queue;
#[cfg(test)]
mod tests;

use crate::{errors, packed::Packed, resp::Budget};
use line::Line;
use queue::Queue;
use redis::Value;
use std::sync::Arc;
use studio_plugin_api::DriverError;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    task::AbortHandle,
};

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
pub(crate) struct Mux(Arc<Handle>);

struct Handle {
    queue: Arc<Queue>,
    task: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
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
    pub(super) fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let queue = Arc::new(Queue::default());
        let task = tokio::spawn(Line::new(stream, queue.clone()).run()).abort_handle();
        Self(Arc::new(Handle { queue, task }))
    }

    /// False as soon as the connection is known to be dead.
    pub(crate) fn is_open(&self) -> bool {
        self.0.queue.is_open()
    }

    /// Calls that wait have their answers still, and no call should come to it any more.
    pub(crate) fn give_up(&self) {
        self.0.queue.give_up();
    }

    /// Sends commands in one piece and waits for as many answers, which may have `most` bytes together.
    pub(crate) async fn ask(&self, commands: Packed, most: u64) -> Result<Vec<Value>, Failure> {
        let wanted = commands.len();
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let (reply, answers) = oneshot::channel();
        let (answers_so_far, budget) = (Vec::with_capacity(wanted), Budget::new(most));
        let waiting = Waiting { answers: answers_so_far, wanted, budget, most, reply: Some(reply) };
        self.0.queue.put(commands.into_bytes(), waiting).await?;
        answers.await.unwrap_or(Err(Failure::Lost))
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
