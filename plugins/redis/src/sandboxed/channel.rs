//! Questions and answers on a stream.

use crate::{
    errors,
    packed::Packed,
    resp::{Broken, Budget, Replies, Reply},
};
use redis::{Arg, Cmd, Value};
use std::time::Duration;
use studio_plugin_api::{DriverError, Stream, time::Instant};

/// The answer to a page of keys comes in one piece.
const READ_SIZE: u32 = 64 << 10;
/// So many bytes are sent at once. What is longer by itself is sent from where it is.
const WRITE_SIZE: usize = 64 << 10;

/// The host counts in milliseconds.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// A stream that is at the start of a question. When anything fails, it is of no more use.
pub(super) struct Channel {
    stream: Stream,
    packed: Vec<u8>,
    replies: Replies,
    /// What was read, as far as it is not `used`.
    arrived: Vec<u8>,
    used: usize,
}

impl Channel {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, packed: Vec::new(), replies: Replies::default(), arrived: Vec::new(), used: 0 }
    }

    /// Sends the commands one behind the other and waits for as many answers, which may have `most` bytes together, until the
    /// deadline where there is one.
    pub(super) async fn exchange(
        &mut self,
        commands: impl Iterator<Item = &Cmd>,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<Vec<Value>, DriverError> {
        self.packed.clear();
        let mut count = 0;
        for command in commands {
            self.send(command).await?;
            count += 1;
        }
        self.flush().await?;
        self.answers(count, most, deadline).await
    }

    /// Sends the commands in one piece.
    pub(super) async fn write(&mut self, commands: &Packed) -> Result<(), DriverError> {
        self.stream.write(commands.as_bytes()).await.map_err(errors::from_stream)
    }

    /// Waits for so many answers, which may have `most` bytes together, until the deadline where there is one.
    pub(super) async fn answers(
        &mut self,
        count: usize,
        most: u64,
        deadline: Option<Instant>,
    ) -> Result<Vec<Value>, DriverError> {
        let mut answers = Vec::with_capacity(count);
        let mut budget = Budget::new(most);
        while answers.len() < count {
            let mut rest = self.arrived.get(self.used..).unwrap_or_default();
            let reply = self.replies.next(&mut rest, &mut budget, true);
            self.used = self.arrived.len() - rest.len();
            if budget.is_over() {
                return Err(DriverError::result_too_large(most));
            }
            match reply {
                Ok(Some(Reply::Answer(answer))) => answers.push(answer),
                Ok(Some(Reply::PassedOver)) | Err(Broken::TooLarge) => {
                    return Err(DriverError::result_too_large(most));
                }
                Err(Broken::NotRedis) => return Err(errors::not_redis()),
                Ok(None) => {
                    self.arrived = self.read(deadline).await.map_err(errors::from_stream)?;
                    self.used = 0;
                    if self.arrived.is_empty() {
                        return Err(errors::lost());
                    }
                }
            }
        }
        Ok(answers)
    }

    /// Ends the stream. One that is broken has ended already.
    pub(super) async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn send(&mut self, command: &Cmd) -> Result<(), DriverError> {
        self.packed.extend_from_slice(format!("*{}\r\n", command.args_iter().len()).as_bytes());
        for word in command.args_iter() {
            // A cursor is what the library's own iterators have.
            let Arg::Simple(word) = word else { return Err(DriverError::unexpected_answer("a cursor")) };
            self.packed.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            if word.len() >= WRITE_SIZE {
                self.flush().await?;
                self.stream.write(word).await.map_err(errors::from_stream)?;
            } else {
                self.packed.extend_from_slice(word);
            }
            self.packed.extend_from_slice(b"\r\n");
            if self.packed.len() >= WRITE_SIZE {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), DriverError> {
        if !self.packed.is_empty() {
            self.stream.write(&self.packed).await.map_err(errors::from_stream)?;
            self.packed.clear();
        }
        Ok(())
    }

    async fn read(&mut self, deadline: Option<Instant>) -> Result<Vec<u8>, DriverError> {
        let Some(deadline) = deadline else {
            return self.stream.read(READ_SIZE).await;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left < SHORTEST_WAIT {
            return Err(DriverError::connection("timeout", "the time is over"));
        }
        self.stream.read_within(READ_SIZE, left).await
    }
}
