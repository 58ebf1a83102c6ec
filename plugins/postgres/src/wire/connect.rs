//! Connecting and logging in, as libpq does it (PostgreSQL's manual, 34.1): to the first server of several that answers
//! and is in the state that is asked for, with TLS or without.

use super::{Encodings, LEAST_MESSAGE, LOGIN_TIMEOUT, Prepared, READ_BUFFER, Wire};
use crate::{
    dial::{self, Stream, Transport},
    errors::{self, Failure},
    options::{Address, ServerState, SslMode, Target},
};
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;
use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddr,
    time::Instant,
};
use studio_plugin_api::{DriverError, ErrorCode, Network};
use tokio::time::timeout;

/// Asks for what [`Wire::is_standby`] and [`Wire::is_read_only`] are about, of a server that does not tell by itself:
/// before PostgreSQL 14, or behind a pooler.
const QUESTION: &str =
    "select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('default_transaction_read_only')";

impl Wire {
    /// Connects and logs in.
    pub(crate) async fn open(target: &Target, network: &Network) -> Result<Self, DriverError> {
        let mut addresses: Vec<&Address> = target.addresses.iter().collect();
        if target.shuffles {
            let order = RandomState::new();
            addresses.sort_by_cached_key(|address| order.hash_one((&address.host, address.port)));
        }
        let states: &[ServerState] = match target.server_state {
            ServerState::PreferStandby => &[ServerState::Standby, ServerState::Any],
            ServerState::Any => &[ServerState::Any],
            ServerState::ReadWrite => &[ServerState::ReadWrite],
            ServerState::ReadOnly => &[ServerState::ReadOnly],
            ServerState::Primary => &[ServerState::Primary],
            ServerState::Standby => &[ServerState::Standby],
        };
        let mut last = None;
        for state in states {
            for address in &addresses {
                match Self::open_at(target, network, address, *state).await {
                    Ok(wire) => return Ok(wire),
                    Err(error) if !is_of_one_server(&error) => return Err(error),
                    Err(error) => last = Some(error),
                }
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    async fn open_at(
        target: &Target,
        network: &Network,
        address: &Address,
        state: ServerState,
    ) -> Result<Self, DriverError> {
        let mut last = None;
        for peer in network.resolve(&address.host, address.port).await? {
            match Self::open_either_way(target, address, peer).await {
                Ok(mut wire) => {
                    wire.check_state(state).await?;
                    return Ok(wire);
                }
                Err(error) if !is_of_one_server(&error) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// With TLS or without, in the order of the mode. The second is tried where the first is what the server refuses.
    async fn open_either_way(
        target: &Target,
        address: &Address,
        peer: SocketAddr,
    ) -> Result<Self, DriverError> {
        let (first, second) = match target.ssl_mode {
            SslMode::Disable => (Transport::Plain, None),
            SslMode::Allow => (Transport::Plain, Some(Transport::Tls)),
            SslMode::Prefer => (Transport::TlsWhereOffered, Some(Transport::Plain)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Transport::Tls, None),
        };
        let refused = match Self::open_by(target, address, peer, first).await {
            Err(error) if is_about_transport(&error) => error,
            done => return done,
        };
        let Some(second) = second else { return Err(refused) };
        match Self::open_by(target, address, peer, second).await {
            Err(error) if is_about_transport(&error) => Err(refused),
            done => done,
        }
    }

    async fn open_by(
        target: &Target,
        address: &Address,
        peer: SocketAddr,
        transport: Transport,
    ) -> Result<Self, DriverError> {
        let mut wire = Self::over(dial::open(target, address, peer, transport).await?, address.clone(), peer);
        match timeout(LOGIN_TIMEOUT, wire.log_in(target)).await {
            Ok(Ok(())) => {
                wire.own_application_name.clone_from(&wire.application_name);
                Ok(wire)
            }
            Ok(Err(Failure::Told(error) | Failure::Left(error))) => Err(error),
            Ok(Err(Failure::Refused(error) | Failure::Ended(error) | Failure::Unheard(error))) => {
                Err(error.into_refusal())
            }
            Ok(Err(Failure::Broken(error))) => Err(errors::from_io(&error)),
            Err(_) => Err(DriverError::connection(
                "timeout",
                "the server does not answer; does it speak PostgreSQL's protocol on this port?",
            )),
        }
    }

    fn over(stream: Stream, address: Address, peer: SocketAddr) -> Self {
        Self {
            stream,
            incoming: BytesMut::with_capacity(READ_BUFFER),
            outgoing: BytesMut::new(),
            address,
            peer,
            process_id: 0,
            secret_key: 0,
            version: String::new(),
            encodings: Encodings::default(),
            is_standby: None,
            is_read_only: None,
            application_name: String::new(),
            own_application_name: String::new(),
            prepared: Prepared::default(),
            is_bound: false,
            is_set: false,
            cleaned: Instant::now(),
            uncleaned: 0,
            most_bytes: LEAST_MESSAGE,
            limit: LEAST_MESSAGE,
            unanswered: 1,
            aside: 0,
            status: b'I',
            steps: 0,
            is_dirty: false,
            leaves_nothing: false,
            generation: 0,
        }
    }

    /// Refuses a server that is not in the state that is asked for.
    async fn check_state(&mut self, state: ServerState) -> Result<(), DriverError> {
        if state == ServerState::Any {
            return Ok(());
        }
        if self.is_standby.is_none() || self.is_read_only.is_none() {
            match timeout(LOGIN_TIMEOUT, self.ask_for_state()).await {
                Ok(asked) => asked.map_err(|failure| failure.into_error(false))?,
                Err(_) => {
                    let message = "the PostgreSQL server does not answer any more";
                    return Err(DriverError::connection("timeout", message));
                }
            }
        }
        let is_standby = self.is_standby == Some(true);
        let is_writable = !is_standby && self.is_read_only == Some(false);
        let (fits, wanted) = match state {
            ServerState::Any | ServerState::PreferStandby => (true, ""),
            ServerState::ReadWrite => (is_writable, "read-write"),
            ServerState::ReadOnly => (!is_writable, "read-only"),
            ServerState::Primary => (!is_standby, "primary"),
            ServerState::Standby => (is_standby, "standby"),
        };
        match fits {
            true => Ok(()),
            false => {
                let message = format!("no PostgreSQL server of the connection string is {wanted} now");
                Err(DriverError::connection(OTHER_STATE, message))
            }
        }
    }

    async fn ask_for_state(&mut self) -> Result<(), Failure> {
        self.put_simple(QUESTION)?;
        self.flush().await?;
        loop {
            match self.receive().await? {
                Message::DataRow(row) => {
                    let mut ranges = row.ranges();
                    let mut next_is = |text: &[u8]| -> io::Result<bool> {
                        let range = ranges.next()?.flatten();
                        Ok(range.and_then(|range| row.buffer().get(range)) == Some(text))
                    };
                    self.is_standby = Some(next_is(b"t")?);
                    self.is_read_only = Some(next_is(b"on")?);
                }
                Message::ErrorResponse(body) => {
                    return Err(Failure::Refused(errors::ServerError::read(&body)?));
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
        }
    }
}

fn no_address() -> DriverError {
    DriverError::connection("not_resolved", "the PostgreSQL server has no address")
}

/// The reason of an error for which another server may do.
const OTHER_STATE: &str = "other_state";

fn reason(error: &DriverError) -> &str {
    error.details.get("reason").and_then(|reason| reason.as_str()).unwrap_or_default()
}

fn sqlstate(error: &DriverError) -> &str {
    error.details.get("code").and_then(|code| code.as_str()).unwrap_or_default()
}

/// Whether the next server may do: one that does not answer, or does not serve now. A login that is refused by one is no
/// better at the next.
fn is_of_one_server(error: &DriverError) -> bool {
    error.code == ErrorCode::ConnectionError
        && (sqlstate(error).starts_with("57P")
            || sqlstate(error).is_empty()
                && !["authentication_failed", "unsupported"].contains(&reason(error)))
}

/// Whether TLS, or that there is none, is what does not do: a handshake that failed, a login that no line of the server's
/// `pg_hba.conf` lets in (`invalid_authorization_specification`).
fn is_about_transport(error: &DriverError) -> bool {
    reason(error) == "tls" || sqlstate(error) == "28000"
}
