//! Between the client library and a server.

use crate::wire::{Breach, Filter, Passed};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{Notify, Semaphore},
    time::{Instant, timeout, timeout_at},
};

/// Bytes passed on at once, in each direction.
const BUFFER: usize = 32 << 10;
/// How long a server may take for its first reply, to the greeting that the client begins with.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// How long a reply may take from its first byte to its last.
const REPLY_TIME: Duration = Duration::from_secs(60);
/// How long either end may take to accept data that is sent to it.
const ACCEPTING_TIME: Duration = Duration::from_secs(30);
/// How long a client may take over a login's challenge before it is no longer waited for.
const HASHING_TIME: Duration = Duration::from_secs(10);

/// Logins that hash at this moment, in all sessions: the client library hashes on a thread that it shares with every
/// session's data, of which this leaves one free.
static HASHING: Semaphore = Semaphore::const_new(1);

/// Passes data both ways until one end leaves, errs or takes too long, and tells which.
///
/// # Errors
/// [`NotMongo`]: nothing of it was passed on.
pub(super) async fn pass(
    client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    server: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
) -> Result<Left, NotMongo> {
    let asked = Notify::new();
    // The first end to close closes the other: a server that does not answer is left when the client leaves.
    tokio::select! {
        asking = ask(client.0, server.1, &asked) => Ok(if asking.is_ok() { Left::Client } else { Left::Server }),
        answered = answer(server.0, client.1, &asked) => match answered {
            Err(Ended::NotMongo(reason)) => Err(reason),
            Ok(()) | Err(Ended::Io) => Ok(Left::Server),
        },
    }
}

/// Says which end is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Client,
    /// Perhaps with a request that it will not answer.
    Server,
}

/// Says what is wrong with what a server sends.
pub(super) enum NotMongo {
    /// It never spoke the protocol.
    Stranger,
    /// It did, and broke it.
    Breach(Breach),
}

/// Says why nothing more comes from a server.
enum Ended {
    NotMongo(NotMongo),
    Io,
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

impl From<tokio::time::error::Elapsed> for Ended {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Io
    }
}

async fn ask(
    mut client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    asked: &Notify,
) -> Result<(), Ended> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = client.read(&mut buffer).await?;
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
        asked.notify_waiters();
        timeout(ACCEPTING_TIME, write(&mut server, data)).await??;
    }
}

async fn answer(
    mut server: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    asked: &Notify,
) -> Result<(), Ended> {
    let mut buffer = vec![0; BUFFER];
    let mut filter = Filter::default();
    let mut end = Some(Instant::now() + GREETING_TIME);
    loop {
        let reading = server.read(&mut buffer);
        let count = match end {
            Some(end) => timeout_at(end, reading).await??,
            None => reading.await?,
        };
        let data = buffer.get(..count).unwrap_or_default();
        if data.is_empty() {
            return Ok(());
        }
        let passed = filter.check(data).map_err(|breach| {
            Ended::NotMongo(if filter.speaks() { NotMongo::Breach(breach) } else { NotMongo::Stranger })
        })?;
        if filter.is_between_messages() {
            end = None;
        } else {
            end.get_or_insert_with(|| Instant::now() + REPLY_TIME);
        }
        match passed {
            Passed::Data => timeout(ACCEPTING_TIME, write(&mut client, data)).await??,
            Passed::Challenge => {
                let _turn = HASHING.acquire().await;
                let answered = asked.notified();
                tokio::pin!(answered);
                answered.as_mut().enable();
                timeout(ACCEPTING_TIME, write(&mut client, data)).await??;
                let _ = timeout(HASHING_TIME, answered).await;
            }
        }
    }
}

async fn write(output: &mut (impl AsyncWrite + Unpin), data: &[u8]) -> io::Result<()> {
    output.write_all(data).await?;
    // TLS keeps back what it could not send at once.
    output.flush().await
}
