//! Which servers can't be reached, and why, as last seen.
//!
//! The client library keeps looking for a server until its time is over and then says only that there was none. What
//! each attempt failed of is in its events, and in what the relay refused.

use crate::{
    errors::{self, shorten},
    number,
};
use mongodb::{
    error::{Error, ErrorKind},
    event::{EventHandler, sdam::SdamEvent},
    options::ServerAddress,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use studio_plugin_api::{DriverError, ErrorCode, sync::lock};
use tokio::sync::Notify;

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 27017;

/// A host and a port, as a server or a connection names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostPort {
    /// Host name or IP address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
}

impl HostPort {
    pub(crate) fn new(host: String, port: u16) -> Self {
        Self { host, port }
    }

    pub(crate) fn of(address: &ServerAddress) -> Option<Self> {
        match address {
            ServerAddress::Tcp { host, port } => Some(Self::new(host.clone(), port.unwrap_or(DEFAULT_PORT))),
            _ => None,
        }
    }
}

/// What is known of the servers of one session.
#[derive(Default)]
pub(crate) struct Servers {
    /// The replica set that they must be of; none: any or none.
    replica_set: Option<String>,
    /// The only server, which the client library knows by the relay's socket.
    only: Option<HostPort>,
    /// Their first breach of the protocol: the end of the session.
    breach: OnceLock<DriverError>,
    /// How often a server has left a connection.
    cuts: AtomicU64,
    /// How often the client library has.
    left: AtomicU64,
    /// The fewest minutes that a server says it keeps a session for; 0 where none says so.
    session_minutes: AtomicU64,
    seen: Mutex<Seen>,
    changed: Notify,
}

#[derive(Default)]
struct Seen {
    /// Connects that the relay could not make, by where to.
    refused: HashMap<HostPort, DriverError>,
    /// Servers whose last check failed.
    failing: HashMap<HostPort, DriverError>,
    /// Servers that answer, but are of another replica set. The client library passes them over without a word.
    strangers: HashMap<HostPort, DriverError>,
}

impl Seen {
    fn failures(&self) -> impl Iterator<Item = &DriverError> {
        self.failing.values().chain(self.strangers.values())
    }
}

impl Servers {
    /// Of servers that must be of this replica set, if one is named, or of the only one.
    pub(crate) fn new(replica_set: Option<String>, only: Option<HostPort>) -> Self {
        Self { replica_set, only, ..Self::default() }
    }

    /// Notes a server's breach of the protocol.
    pub(crate) fn broke(&self, breach: &str) {
        let message = format!("what answers is no MongoDB server: {breach}");
        self.end(DriverError::new(ErrorCode::DriverError, message));
    }

    /// Notes that a server left a connection.
    pub(crate) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a server has left a connection: where that is another number after a write than before it, the client
    /// library may have taken the write a second time, and told of that only.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Notes that the client library left a connection.
    pub(crate) fn left(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a connection has ended, by whomever.
    pub(crate) fn ends(&self) -> u64 {
        self.cuts() + self.left.load(Ordering::Relaxed)
    }

    /// How long the servers keep a session that they hear nothing of.
    pub(crate) fn session_lifetime(&self) -> Duration {
        match self.session_minutes.load(Ordering::Relaxed) {
            0 => Duration::MAX,
            minutes => Duration::from_secs(minutes.saturating_mul(60)),
        }
    }

    /// Notes what a server says of that.
    fn keeps_sessions(&self, minutes: u64) {
        let fewer = |known| (known == 0 || minutes < known).then_some(minutes);
        let _ = self.session_minutes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
    }

    /// Notes that what answers never spoke the protocol.
    pub(crate) fn strange(&self) {
        let message =
            "what answers is no MongoDB server: it doesn't speak MongoDB's protocol; is the port another's?";
        self.end(DriverError::connection("unsupported", message));
    }

    /// Ends the session, which goes no further than the first breach.
    fn end(&self, error: DriverError) {
        tracing::warn!("{}", error.message);
        let _ = self.breach.set(error);
        self.changed.notify_waiters();
    }

    /// The breach of the protocol that there was, if any.
    pub(crate) fn breach(&self) -> Option<DriverError> {
        self.breach.get().cloned()
    }

    /// Waits for one.
    pub(crate) async fn broken(&self) -> DriverError {
        self.until(|| self.breach()).await
    }

    /// Waits until there is what is looked for.
    async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            changed.await;
        }
    }

    fn place(&self, address: &ServerAddress) -> Option<HostPort> {
        HostPort::of(address).or_else(|| self.only.clone())
    }

    /// The relay could not connect.
    pub(crate) fn refused(&self, place: &HostPort, error: DriverError) {
        lock(&self.seen).refused.insert(place.clone(), error);
    }

    /// The relay did connect.
    pub(crate) fn connected(&self, place: &HostPort) {
        lock(&self.seen).refused.remove(place);
    }

    /// What the client library calls whenever it has checked a server.
    pub(crate) fn listener(self: &Arc<Self>) -> EventHandler<SdamEvent> {
        let servers = self.clone();
        EventHandler::callback(move |event| match event {
            SdamEvent::ServerHeartbeatFailed(event) => servers.failed(&event.server_address, &event.failure),
            SdamEvent::ServerHeartbeatSucceeded(event) => {
                if let Some(minutes) = number::read(&event.reply, "logicalSessionTimeoutMinutes") {
                    servers.keeps_sessions(minutes.max(1));
                }
                servers.answered(&event.server_address, event.reply.get_str("setName").ok());
            }
            SdamEvent::ServerClosed(event) => servers.forget(&event.address),
            _ => {}
        })
    }

    fn failed(&self, address: &ServerAddress, failure: &Error) {
        let Some(place) = self.place(address) else { return };
        // What the relay said of it in its own words is all that there is to know.
        let error = match failure.kind.as_ref() {
            ErrorKind::ProxyConnect { .. } | ErrorKind::Io(_) => {
                lock(&self.seen).refused.get(&place).cloned()
            }
            _ => None,
        };
        let error = error.unwrap_or_else(|| self.tell(failure));
        lock(&self.seen).failing.insert(place, error);
        self.changed.notify_waiters();
    }

    /// A check succeeded, of a server that says that it is of this replica set, or of none.
    fn answered(&self, address: &ServerAddress, set: Option<&str>) {
        self.forget(address);
        let Some(place) = self.place(address) else { return };
        match &self.replica_set {
            Some(expected) if set != Some(expected) => {
                let is = set
                    .map_or_else(|| "of no replica set".to_owned(), |set| format!("of `{}`", shorten(set)));
                let message = format!("the MongoDB server is {is}, and not of the replica set `{expected}`");
                lock(&self.seen).strangers.insert(place, DriverError::connection("replica_set", message));
                self.changed.notify_waiters();
            }
            _ => drop(lock(&self.seen).strangers.remove(&place)),
        }
    }

    fn forget(&self, address: &ServerAddress) {
        if let Some(place) = self.place(address) {
            lock(&self.seen).failing.remove(&place);
        }
    }

    /// Tells an error of the client library, with what is known here of why a server can't be used.
    pub(crate) fn tell(&self, error: &Error) -> DriverError {
        let known = match error.kind.as_ref() {
            ErrorKind::Command(_) | ErrorKind::Write(_) => None,
            ErrorKind::Io(_) => self.breach().or_else(|| self.refusal()),
            ErrorKind::ProxyConnect { .. } | ErrorKind::ServerSelection { .. } => self.explain(),
            _ => self.breach(),
        };
        known.unwrap_or_else(|| errors::from_client(error))
    }

    /// Why no server can be used, as far as that is known.
    pub(crate) fn explain(&self) -> Option<DriverError> {
        if let Some(breach) = self.breach() {
            return Some(breach);
        }
        let seen = lock(&self.seen);
        seen.failures().next().or_else(|| seen.refused.values().next()).cloned()
    }

    /// Why the relay could not connect to the only server, if it could not. To the client library that is a connection
    /// that closes.
    pub(crate) fn refusal(&self) -> Option<DriverError> {
        self.only.as_ref().and_then(|place| lock(&self.seen).refused.get(place).cloned())
    }

    /// Waits until this many servers fail, and says why one of them does.
    pub(crate) async fn all_fail(&self, servers: usize) -> DriverError {
        let look = || {
            let seen = lock(&self.seen);
            let enough = seen.failures().count() >= servers.max(1);
            seen.failures().next().filter(|_| enough).cloned()
        };
        self.until(look).await
    }
}
