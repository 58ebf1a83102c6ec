//! One connection in PostgreSQL's protocol, version 3.0 (PostgreSQL's manual, chapter 55): messages out, messages in.
//!
//! Messages are made and read by `postgres-protocol`. What the client library above it does not do is why it is not
//! used: results come as texts, as PostgreSQL's users see them and as every type has them; rows go into JSON as they
//! arrive; and what cleans a connection is sent along with the query that made it dirty.

mod binding;
mod connect;
mod login;
mod names;
mod prepared;

use crate::{
    dial::{Stream, Transport},
    errors::{Failure, ServerError},
    options::Address,
    quote::literal,
    statement::Statement,
};
use bytes::BytesMut;
use postgres_protocol::{
    IsNull,
    message::{
        backend::{Header, Message},
        frontend,
    },
};
use prepared::Prepared;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};
use studio_plugin_api::DriverError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

/// For logging in, once the server is reached.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How much is read at once.
const READ_BUFFER: usize = 16 << 10;
/// A buffer that grew beyond this for one large message is not kept.
const KEPT_BUFFER: usize = 1 << 20;
/// Messages up to this many bytes are read whatever a result may have: errors above all.
const LEAST_MESSAGE: u64 = 1 << 20;
/// What is taken in one go, in messages, before others have their turn: what a server sends without a pause never makes
/// its reader wait. A read counts as many, because it may bring one large message or many small ones.
const MOST_STEPS: u32 = 4_096;
const STEPS_OF_A_READ: u32 = 256;
/// What a server may say unasked while a connection is not used, in bytes.
const MOST_UNASKED: usize = 64 << 10;
/// The detail of an error that says how large a result was when it was given up, in bytes.
pub(crate) const SIZE: &str = "size_bytes";

/// A connection. Dropping it closes it.
pub(crate) struct Wire {
    stream: Stream,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// Where it leads, for a word about what runs in it.
    pub(crate) address: Address,
    pub(crate) peer: SocketAddr,
    /// What allows that word.
    pub(crate) process_id: i32,
    pub(crate) secret_key: i32,
    /// The version that the server told at the start.
    pub(crate) version: String,
    /// In which encodings texts are, as the server last told it.
    pub(crate) encodings: Encodings,
    /// Whether the server is a standby, and whether transactions may only read unless they say otherwise, as far as it
    /// told.
    is_standby: Option<bool>,
    is_read_only: Option<bool>,
    /// What `pg_stat_activity` calls the connection, as the server last told it.
    application_name: String,
    /// The same, as it was when the connection was opened.
    own_application_name: String,
    prepared: Prepared,
    /// The server took the last statement, which is all that is done before it runs.
    is_bound: bool,
    /// The server told of a setting, unasked or by a statement.
    is_set: bool,
    /// When it was cleaned last, and for how many statements it was not since.
    cleaned: Instant,
    uncleaned: u32,
    /// What one message may have at the most, and what all of a result may.
    most_bytes: u64,
    limit: u64,
    /// How many `ReadyForQuery` the server still owes for what was sent.
    unanswered: u32,
    /// How many of those that come next are for what was put aside.
    aside: u32,
    /// What the last of them said of transactions: `I` none, `T` one, `E` a failed one.
    status: u8,
    /// How much was taken since others had their turn.
    steps: u32,
    /// Something was put in line that may leave traces in the connection, and nothing after it yet that removes them.
    is_dirty: bool,
    /// The last that was put in line leaves nothing to be cleaned, whether it works or not.
    leaves_nothing: bool,
    /// Which generation of its pool's connections it is of.
    pub(crate) generation: u64,
}

/// In which encodings a connection's texts are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encodings {
    /// That of answers, after the last statement.
    pub(crate) client: String,
    /// That of the database.
    pub(crate) server: String,
    /// All names of columns were UTF-8 since the connection was lent.
    pub(crate) names_are_readable: bool,
}

/// PostgreSQL's message that ends a connection.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

impl Drop for Wire {
    fn drop(&mut self) {
        // Else the server's log may speak of a client that vanished. A full socket is no reason to wait.
        if let Stream::Plain(stream) = &self.stream {
            let _ = stream.try_write(&TERMINATE);
        }
    }
}

impl Wire {
    /// Puts a simple query in line: one or several statements, answered by one `ReadyForQuery`.
    pub(crate) fn put_simple(&mut self, sql: &str) -> Result<(), Failure> {
        frontend::query(sql, &mut self.outgoing).map_err(|error| refuse_text(&error))?;
        self.unanswered += 1;
        Ok(())
    }

    /// Puts a setting in line whose answer nobody is told. Call it before anything else that is still unanswered.
    pub(crate) fn put_aside(&mut self, sql: &str) -> Result<(), Failure> {
        self.put_simple(sql)?;
        self.aside += 1;
        Ok(())
    }

    /// Has the connection called so from the next statement on; by its own name without one.
    pub(crate) fn put_application_name(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let name = name.unwrap_or(&self.own_application_name);
        if name == self.application_name {
            return Ok(());
        }
        let setting = format!("SET application_name = {}", literal(name));
        self.put_aside(&setting)
    }

    /// Puts one statement of the extended protocol in line. It is answered after [`Self::put_sync`], and not done at all
    /// when one before it in the same line fails.
    pub(crate) fn put_extended(&mut self, statement: &Statement) -> Result<(), Failure> {
        self.put_planned("", statement, false)?;
        self.put_execution("")
    }

    /// Has a planned statement done.
    pub(crate) fn put_execution(&mut self, portal: &str) -> Result<(), Failure> {
        frontend::describe(b'P', portal, &mut self.outgoing)?;
        frontend::execute(portal, 0, &mut self.outgoing)?;
        Ok(())
    }

    fn put_bound(&mut self, portal: &str, name: &str, statement: &Statement) -> Result<(), Failure> {
        let bound = frontend::bind(
            portal,
            name,
            [],
            &statement.parameters,
            |value, buffer| match value {
                Some(text) => {
                    buffer.extend_from_slice(text.as_bytes());
                    Ok(IsNull::No)
                }
                None => Ok(IsNull::Yes),
            },
            [],
            &mut self.outgoing,
        );
        bound.map_err(|_| DriverError::validation("parameters", "there may be at most 65,535 parameters"))?;
        Ok(())
    }

    /// Ends a line of the extended protocol.
    pub(crate) fn put_sync(&mut self) {
        frontend::sync(&mut self.outgoing);
        self.unanswered += 1;
    }

    /// Refuses what the server waits for after `COPY … FROM STDIN`.
    pub(crate) fn put_copy_fail(&mut self, reason: &str) -> Result<(), Failure> {
        Ok(frontend::copy_fail(reason, &mut self.outgoing)?)
    }

    /// Says that what follows may leave traces in the connection.
    pub(crate) fn expect_traces(&mut self) {
        (self.is_dirty, self.leaves_nothing) = (true, false);
    }

    /// Says that what was put in line removes all traces, and what is prepared with them.
    pub(crate) fn forget_traces(&mut self) {
        (self.is_dirty, self.leaves_nothing) = (false, false);
        (self.cleaned, self.uncleaned) = (Instant::now(), 0);
        self.prepared.forget();
    }

    /// Whether there may be traces that nothing in line removes.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Sends what is in line.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.outgoing).await?;
        if self.outgoing.capacity() > KEPT_BUFFER {
            self.outgoing = BytesMut::new();
        }
        self.stream.flush().await
    }

    /// The next message, without those that may come at any time and answer nothing.
    pub(crate) async fn receive(&mut self) -> Result<Message, Failure> {
        loop {
            self.steps += 1;
            if self.steps >= MOST_STEPS {
                self.steps = 0;
                tokio::task::yield_now().await;
            }
            // Else room would be made for all of a message that is too large to be passed on.
            if let Some(header) = Header::parse(&self.incoming)? {
                let size = header.len().unsigned_abs();
                if u64::from(size) > self.most_bytes {
                    return Err(DriverError::result_too_large(self.limit).with(SIZE, size).into());
                }
                if header.tag() == b'T' {
                    self.make_names_readable(1 + size as usize);
                }
            }
            if let Some(message) = Message::parse(&mut self.incoming)? {
                match message {
                    Message::NoticeResponse(_) | Message::NotificationResponse(_) => {}
                    Message::ParameterStatus(body) => {
                        self.is_set |= self.aside == 0;
                        match body.name()? {
                            "server_version" => body.value()?.clone_into(&mut self.version),
                            "in_hot_standby" => self.is_standby = Some(body.value()? == "on"),
                            "default_transaction_read_only" => {
                                self.is_read_only = Some(body.value()? == "on");
                            }
                            "client_encoding" => body.value()?.clone_into(&mut self.encodings.client),
                            "server_encoding" => body.value()?.clone_into(&mut self.encodings.server),
                            "application_name" => body.value()?.clone_into(&mut self.application_name),
                            _ => {}
                        }
                    }
                    Message::BindComplete => self.is_bound = true,
                    Message::ReadyForQuery(body) => {
                        self.unanswered = self.unanswered.saturating_sub(1);
                        self.status = body.status();
                        if self.aside == 0 {
                            return Ok(Message::ReadyForQuery(body));
                        }
                        self.aside -= 1;
                    }
                    message if self.aside > 0 => {
                        if let Message::ErrorResponse(body) = &message
                            && ServerError::read(body)?.ends_the_connection()
                        {
                            return Ok(message);
                        }
                    }
                    message => return Ok(message),
                }
                continue;
            }
            self.incoming.reserve(READ_BUFFER);
            self.steps += STEPS_OF_A_READ;
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Has names of columns in the next message, which is about them and ends there, in UTF-8: no other can be read.
    fn make_names_readable(&mut self, end: usize) {
        if let Some(message) = self.incoming.get(..end).and_then(names::make_readable) {
            let rest = self.incoming.split_off(end);
            self.incoming = BytesMut::from(message.as_slice());
            self.incoming.extend_from_slice(&rest);
            self.encodings.names_are_readable = false;
        }
    }

    /// Sets what a result, and one message of it, may have at the most, in bytes.
    pub(crate) fn bound_messages(&mut self, limit: u64) {
        self.limit = limit;
        self.most_bytes = limit.max(LEAST_MESSAGE);
        self.encodings.names_are_readable = true;
    }

    /// Whether TLS is between this and the server.
    pub(crate) fn transport(&self) -> Transport {
        self.stream.transport()
    }

    /// How many `ReadyForQuery` are still to come.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// Whether no transaction is open, as far as was last heard.
    pub(crate) fn is_outside_transactions(&self) -> bool {
        self.status == b'I'
    }

    /// Whether the server has not ended the connection, from what is known without asking. Call it only when nothing is
    /// unanswered.
    pub(crate) async fn is_alive(&mut self) -> bool {
        let mut bytes = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = std::future::poll_fn(|context| {
                Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut buffer))
            });
            match read.await {
                Poll::Pending => return !self.holds_an_end(),
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && self.incoming.len() < MOST_UNASKED => {
                    self.incoming.extend_from_slice(buffer.filled());
                }
                Poll::Ready(_) => return false,
            }
        }
    }

    /// Takes what came unasked, and tells whether there is an error among it: the server says goodbye with one.
    fn holds_an_end(&mut self) -> bool {
        loop {
            match Message::parse(&mut self.incoming) {
                Ok(None) => return false,
                Ok(Some(Message::ParameterStatus(_) | Message::NoticeResponse(_)))
                | Ok(Some(Message::NotificationResponse(_))) => {}
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }
}

/// A message that has no place where it came.
pub(crate) fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message came that does not belong there")
}

/// The protocol ends a text with a zero byte, and gives its length in 32 bits.
fn refuse_text(error: &io::Error) -> DriverError {
    DriverError::validation("query", format!("`query` can't be sent to PostgreSQL: {error}"))
}
