//! A session's one connection: logging in, and asking one thing after the other.
//!
//! A call takes the link out, and puts it back when a whole reply was read. What fails half-way, or is dropped, leaves
//! nothing to put back: then the session is not open any more, and no later call reads a reply that was not its own.

use crate::{
    errors,
    options::{Login, Target},
    stats::Stats,
    wire::{Facts, Head, Incoming, Refusal, not_memcached},
};
use std::sync::Mutex;
use studio_plugin_api::{DriverError, Network, Stream, sync::lock};

/// The first version with the meta commands as they are today: `ms` with a length, `HD`, `ma`, base64 keys.
const OLDEST: [u32; 3] = [1, 6, 10];
/// How much to read at once.
const PIECE: u32 = 64 << 10;
/// More text than any server tells of itself, its tens of thousands of connections included.
const MAX_STATS: u64 = 16 << 20;
/// So much beyond a bound is read and thrown away, to keep the connection.
const SKIPPED: u64 = 4 << 20;
/// About what a line of statistics takes in memory beside its text.
const LINE_OF_STATS: u64 = 64;
/// So many small commands fit into the socket's buffers, whatever the server has to answer: it is written before any
/// reply is read.
const BATCH: usize = 32;

/// A command, with the value that it sends, if any.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) bytes: Vec<u8>,
    pub(crate) has_value: bool,
}

/// A reply to a meta command.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A value, and what was asked beside it.
    Value(Vec<u8>, Facts),
    /// A value that is larger than was wanted. It was skipped.
    TooLarge,
    /// Anything else.
    Head(Head),
}

/// An open connection.
pub(crate) struct Connection {
    link: Mutex<Option<Link>>,
    /// Whether the server wanted to know who this is.
    pub(crate) authenticated: bool,
}

struct Link {
    stream: Stream,
    incoming: Incoming,
}

/// The link while a call uses it.
struct Lease<'a> {
    home: &'a Mutex<Option<Link>>,
    link: Link,
}

/// Room for the values of one call.
struct Room {
    most: u64,
    left: u64,
    to_skip: u64,
}

impl Room {
    fn new(most: u64) -> Self {
        Self { most, left: most, to_skip: SKIPPED }
    }

    /// Whether there is room for a value; if not, it may still be skipped.
    fn take(&mut self, length: u64) -> Result<bool, DriverError> {
        if let Some(left) = self.left.checked_sub(length) {
            self.left = left;
            return Ok(true);
        }
        let to_skip = self.to_skip.checked_sub(length);
        self.to_skip = to_skip.ok_or_else(|| DriverError::result_too_large(self.most))?;
        Ok(false)
    }
}

impl Connection {
    /// Opens it, logs in where the server wants that, and proves that a memcached answers.
    ///
    /// A server that asks for nothing is not told the password: it would store it like any value, for all to read.
    pub(crate) async fn open(target: &Target, network: &Network) -> Result<Self, DriverError> {
        let mut link = Link { stream: network.open(target.tls).await?, incoming: Incoming::default() };
        let mut greeting = link.ask_version().await?;
        let mut authenticated = false;
        if greeting == "CLIENT_ERROR unauthenticated" {
            let login = target.login.as_ref().ok_or_else(|| {
                let message =
                    "the memcached server asks for a user and a password, and the connection has none";
                DriverError::connection("authentication_failed", message)
            })?;
            link.log_in(login).await?;
            authenticated = true;
            greeting = link.ask_version().await?;
        }
        check_version(&greeting)?;
        Ok(Self { link: Mutex::new(Some(link)), authenticated })
    }

    /// False as soon as the connection is known to be of no more use.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.link).is_some()
    }

    /// One meta command and its reply, whose value may have `most` bytes. A server that announces far more has lost the
    /// connection.
    pub(crate) async fn ask(&self, command: &Command, most: u64) -> Result<Reply, DriverError> {
        let mut lease = self.lease()?;
        lease.link.send(&command.bytes).await?;
        let reply = lease.link.reply(&mut Room::new(most)).await?;
        let refused = match &reply {
            Reply::Head(Head::Refused(refusal)) => refusal.kind != "SERVER_ERROR",
            _ => false,
        };
        // A server that does not like the line of a command may take the value behind it for further commands.
        if !(command.has_value && refused) {
            lease.give_back();
        }
        Ok(reply)
    }

    /// Several commands that send no values, and a reply to each. All values together may have `most` bytes.
    pub(crate) async fn ask_all(&self, commands: &[Command], most: u64) -> Result<Vec<Reply>, DriverError> {
        let mut lease = self.lease()?;
        let (mut replies, mut room) = (Vec::with_capacity(commands.len()), Room::new(most));
        for batch in commands.chunks(BATCH) {
            let bytes: Vec<_> = batch.iter().map(|command| command.bytes.as_slice()).collect();
            lease.link.send(&bytes.concat()).await?;
            for _ in batch {
                replies.push(lease.link.reply(&mut room).await?);
            }
        }
        lease.give_back();
        Ok(replies)
    }

    /// One command whose reply is one line.
    pub(crate) async fn ask_line(&self, command: &str) -> Result<String, DriverError> {
        let mut lease = self.lease()?;
        lease.link.send(command.as_bytes()).await?;
        let line = lease.link.line().await?;
        lease.give_back();
        Ok(line)
    }

    /// `stats`, or a section of it, with `most` bytes of text. A server that tells far more has lost the connection.
    pub(crate) async fn stats(&self, section: &str, most: u64) -> Result<Stats, DriverError> {
        let mut lease = self.lease()?;
        let separator = if section.is_empty() { "" } else { " " };
        lease.link.send(format!("stats{separator}{section}\r\n").as_bytes()).await?;
        let most = most.min(MAX_STATS);
        let (mut stats, mut bytes) = (Stats::default(), 0);
        loop {
            let line = lease.link.line().await?;
            bytes += LINE_OF_STATS + line.len() as u64;
            if line == "END" {
                break;
            } else if let Some(refusal) = Refusal::parse(&line) {
                lease.give_back();
                return Err(errors::from_server(&refusal));
            } else if bytes > most.saturating_add(SKIPPED) {
                return Err(DriverError::result_too_large(most));
            } else if bytes <= most {
                stats.add(&line).ok_or_else(not_memcached)?;
            }
        }
        lease.give_back();
        if bytes > most { Err(DriverError::result_too_large(most)) } else { Ok(stats) }
    }

    /// The lines of a dump of all keys, one after the other and never all of them in memory. Anything but a dump is
    /// given back: the line that says why there is none.
    pub(crate) async fn dump(
        &self,
        mut look_at: impl FnMut(&[u8]) -> Result<(), DriverError>,
    ) -> Result<Option<String>, DriverError> {
        let mut lease = self.lease()?;
        lease.link.send(b"lru_crawler metadump all\r\n").await?;
        let end = loop {
            let range = lease.link.next_line().await?;
            let line = lease.link.incoming.at(range);
            if line.starts_with(b"key=") {
                look_at(line)?;
            } else {
                break String::from_utf8_lossy(line).into_owned();
            }
        };
        lease.give_back();
        Ok((end != "END").then_some(end))
    }

    fn lease(&self) -> Result<Lease<'_>, DriverError> {
        let link = lock(&self.link).take();
        let link = link.ok_or_else(|| DriverError::connection("closed", "the connection was lost before"))?;
        Ok(Lease { home: &self.link, link })
    }
}

impl Lease<'_> {
    /// All that was asked is answered.
    fn give_back(self) {
        *lock(self.home) = Some(self.link);
    }
}

impl Link {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        self.stream.write(bytes).await
    }

    async fn receive(&mut self) -> Result<(), DriverError> {
        let piece = self.stream.read(PIECE).await?;
        if piece.is_empty() {
            return Err(DriverError::connection("closed", "the memcached server closed the connection"));
        }
        self.incoming.add(&piece);
        Ok(())
    }

    async fn next_line(&mut self) -> Result<std::ops::Range<usize>, DriverError> {
        loop {
            if let Some(range) = self.incoming.next_line()? {
                return Ok(range);
            }
            self.receive().await?;
        }
    }

    async fn line(&mut self) -> Result<String, DriverError> {
        let range = self.next_line().await?;
        Ok(String::from_utf8_lossy(self.incoming.at(range)).into_owned())
    }

    async fn reply(&mut self, room: &mut Room) -> Result<Reply, DriverError> {
        let range = self.next_line().await?;
        match Head::parse(self.incoming.at(range))? {
            Head::Value(length, facts) => {
                let keep = room.take(length)?;
                let value = self.value(length, keep).await?;
                Ok(if keep { Reply::Value(value, facts) } else { Reply::TooLarge })
            }
            head => Ok(Reply::Head(head)),
        }
    }

    /// The bytes of a value, or nothing when they are only skipped.
    async fn value(&mut self, length: u64, keep: bool) -> Result<Vec<u8>, DriverError> {
        // In room of its length: it is there once only, however long it is.
        let room = if keep { usize::try_from(length).unwrap_or(usize::MAX) } else { 0 };
        let (mut value, mut left) = (Vec::new(), length);
        value.try_reserve_exact(room).map_err(|_| DriverError::result_too_large(length))?;
        while left > 0 {
            let taken = self.incoming.take(usize::try_from(left).unwrap_or(usize::MAX));
            left = left.saturating_sub(taken.len() as u64);
            if keep {
                value.extend_from_slice(taken);
            }
            if taken.is_empty() {
                self.receive().await?;
            }
        }
        if self.line().await?.is_empty() { Ok(value) } else { Err(not_memcached()) }
    }

    async fn ask_version(&mut self) -> Result<String, DriverError> {
        self.send(b"version\r\n").await?;
        self.line().await
    }

    /// By the text protocol's own way: `set` with user and password as its value. The key means nothing.
    async fn log_in(&mut self, login: &Login) -> Result<(), DriverError> {
        let token = format!("{} {}", login.username, login.password.expose());
        self.send(format!("set login 0 0 {}\r\n{token}\r\n", token.len()).as_bytes()).await?;
        let answer = self.line().await?;
        match Refusal::parse(&answer) {
            None if answer == "STORED" => Ok(()),
            Some(refusal) if refusal.kind == "CLIENT_ERROR" => {
                let message = "the memcached server refuses the stored credentials";
                Err(DriverError::connection("authentication_failed", message))
            }
            _ => Err(not_let_in(&answer)),
        }
    }
}

/// Why the server does not let anyone in, whichever step it says it at.
fn not_let_in(answer: &str) -> DriverError {
    match Refusal::parse(answer) {
        Some(refusal) if refusal.text.starts_with("Too many open connections") => DriverError::connection(
            "too_many_connections",
            "the memcached server has as many connections as it may have",
        ),
        Some(refusal) if refusal.kind == "SERVER_ERROR" => DriverError::connection("refused", refusal.text),
        _ => not_memcached(),
    }
}

/// `VERSION 1.6.18`
fn check_version(greeting: &str) -> Result<(), DriverError> {
    let Some(version) = greeting.strip_prefix("VERSION ") else {
        return Err(not_let_in(greeting));
    };
    let mut numbers = version.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    if [next(), next(), next()] >= OLDEST {
        return Ok(());
    }
    let message = format!(
        "memcached 1.6.10 or later is needed, for the commands that tell of times to live; this is `{version}`"
    );
    Err(DriverError::connection("unsupported", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_foreign_servers_are_told() {
        for version in ["1.6.10", "1.6.18", "1.6.38_dirty", "1.7.0", "2.0"] {
            check_version(&format!("VERSION {version}")).unwrap();
        }
        for greeting in
            ["VERSION 1.6.9", "VERSION 1.5.22", "VERSION mcrouter 2022", "-ERR unknown command", ""]
        {
            let error = check_version(greeting).unwrap_err();
            assert_eq!(error.details["reason"], "unsupported", "{greeting}");
        }
        let full = check_version("ERROR Too many open connections").unwrap_err();
        assert_eq!(full.details["reason"], "too_many_connections");
        let busy = check_version("SERVER_ERROR out of memory writing stats").unwrap_err();
        assert_eq!(busy.details["reason"], "refused");
    }
}
