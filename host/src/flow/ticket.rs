//! Tickets: what was found out about a request a moment ago, for the next one with the same token, project, type and
//! connection. One look-up then takes the place of three: of the token, the caller's role, and the connection.
//!
//! A ticket counts no longer than each of the answers that it is made of: at most a second, until the token expires,
//! until the published keys change, and until this gateway changes anything in the registry.

use super::request::Request;
use crate::{
    directory::Answer,
    identity::{Authorization, Fingerprint, Gate, fingerprint},
    registry::{Connection, ConnectionSelector},
};
use arc_swap::ArcSwapOption;
use std::{sync::Arc, time::Instant};

/// The most tickets at a time; empty places take 64 KB. Two tickets of one place drive each other out, which costs
/// look-ups in memory.
const PLACES: usize = 8192;

/// The tickets, each at the place that its key tells.
pub struct Tickets(Box<[ArcSwapOption<Ticket>]>);

/// A caller's rights on a project, and the connection that was meant.
struct Ticket {
    key: Fingerprint,
    authorization: Authorization,
    connection: Arc<Connection>,
}

/// The ticket of a request, or the place for one.
pub(super) struct Stub {
    /// Absent without a token.
    key: Option<Fingerprint>,
    ticket: Option<Arc<Ticket>>,
}

impl Default for Tickets {
    fn default() -> Self {
        Self((0..PLACES).map(|_| ArcSwapOption::empty()).collect())
    }
}

impl Tickets {
    /// Finds the ticket of a request, if it counts for a request that begins now.
    pub(super) fn find(&self, request: &Request, gate: &Gate, now: Instant) -> Stub {
        let key = key_of(request);
        let known = key.and_then(|key| self.place(&key)?.load().clone().filter(|ticket| ticket.key == key));
        Stub { key, ticket: known.filter(|ticket| gate.counts(&ticket.authorization, now)) }
    }

    /// Keeps the ticket of a request whose connection was looked up.
    pub(super) fn keep(&self, stub: &Stub, authorization: Authorization, connection: &Answer<Connection>) {
        let (Some(key), Some(found)) = (stub.key, &connection.found) else { return };
        let authorization = authorization.with(connection.freshness);
        if let Some(place) = self.place(&key) {
            place.store(Some(Arc::new(Ticket { key, authorization, connection: found.clone() })));
        }
    }

    fn place(&self, key: &Fingerprint) -> Option<&ArcSwapOption<Ticket>> {
        self.0.get(key.below(self.0.len()))
    }
}

impl Stub {
    /// Gives the caller's rights, if they are known.
    pub(super) fn authorization(&self) -> Option<&Authorization> {
        self.ticket.as_ref().map(|ticket| &ticket.authorization)
    }

    /// Gives the connection, if it is known and the ticket still counts: reading the body may have taken a while.
    pub(super) fn connection(&self, gate: &Gate, now: Instant) -> Option<Arc<Connection>> {
        let ticket = self.ticket.as_ref().filter(|ticket| gate.counts(&ticket.authorization, now));
        ticket.map(|ticket| ticket.connection.clone())
    }
}

/// Makes the key of all that decides about a request's caller and connection.
fn key_of(request: &Request) -> Option<Fingerprint> {
    let (way, name): (&[u8], &[u8]) = match &request.selector {
        ConnectionSelector::Primary => (b"primary", b""),
        ConnectionSelector::Id(id) => (b"id", id.0.as_bytes()),
        ConnectionSelector::Identifier(name) => (b"identifier", name.as_bytes()),
    };
    let sealed = request.named.as_ref().map_or(&b""[..], |named| named.sealed.as_bytes());
    let database_type = request.operation.database_type.as_bytes();
    fingerprint(&request.headers, [request.reference.as_bytes(), database_type, way, name, sealed])
}
