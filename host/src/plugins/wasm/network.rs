//! The way out of the sandbox: to the connection's own server, by the gateway's address rules, and nowhere else.

use super::{
    bindings::studio::driver::net::{Failure, Reason},
    stream::ByteStream,
};
use crate::plugins::Resolve;
use rustls::ClientConfig;
use std::{io, sync::Arc, time::Duration};
use studio_plugin_api::{DriverError, ErrorCode};
use studio_tls::{Check, client_config, server_name};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For one address of a host that has several; the whole is bounded by the session's own time.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// For the TLS handshake: a server that does not speak TLS waits for more, and would never answer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Where an instance may connect to.
pub(super) enum Egress {
    /// Nowhere: it was not started for a session.
    Nowhere,
    /// Nowhere, since the connection's settings do not name one host and port.
    Unclear(String),
    /// To its connection's server.
    Server(Box<Server>),
}

/// A connection's server, and how to speak TLS with it.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    /// PEM; none: the system's.
    pub(super) authorities: Option<String>,
    pub(super) insecure: bool,
    pub(super) resolve: Arc<Resolve>,
}

impl Egress {
    /// Opens a stream.
    pub(super) async fn open(&self, tls: bool) -> Result<ByteStream, Failure> {
        match self {
            Self::Nowhere => {
                Err(failure(Reason::Unsupported, "there is no network before a session is opened"))
            }
            Self::Unclear(message) => Err(failure(Reason::Unsupported, message.clone())),
            Self::Server(server) => {
                let config = if tls { Some(server.tls()?) } else { None };
                let stream = server.connect().await?;
                match config {
                    None => Ok(ByteStream::plain(stream)),
                    Some(config) => server.shake_hands(stream, config).await,
                }
            }
        }
    }
}

impl Server {
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let addresses = (self.resolve)(self.host.clone(), self.port).await.map_err(unresolved)?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(|error| unreachable_server(&error))?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(unreachable_server(&last))
    }

    fn tls(&self) -> Result<ClientConfig, Failure> {
        client_config(self.authorities.as_deref(), Check::unless(self.insecure), None)
            .map_err(|error| failure(Reason::Tls, format!("`options.tls_ca`: {error}")))
    }

    async fn shake_hands(&self, stream: TcpStream, config: ClientConfig) -> Result<ByteStream, Failure> {
        let name = server_name(&self.host)
            .ok_or_else(|| failure(Reason::Tls, "the host's name can't be in a certificate"))?;
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, stream);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await {
            Ok(Ok(stream)) => Ok(ByteStream::tls(stream)),
            Ok(Err(error)) => Err(failure(Reason::Tls, format!("TLS with the server failed: {error}"))),
            Err(_) => {
                Err(failure(Reason::Tls, "the server does not answer TLS; does it speak it on this port?"))
            }
        }
    }
}

/// A failure of the network, in the guest's words.
pub(super) fn failure(reason: Reason, message: impl Into<String>) -> Failure {
    Failure { reason, message: message.into() }
}

/// A stream's failure.
pub(super) fn broken_stream(error: &io::Error) -> Failure {
    failure(Reason::Closed, format!("the connection to the server was lost: {error}"))
}

fn unreachable_server(error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => Reason::Timeout,
        _ => Reason::Refused,
    };
    failure(reason, format!("the server can't be reached: {error}"))
}

fn unresolved(error: DriverError) -> Failure {
    let reason = match error.code {
        ErrorCode::Forbidden => Reason::Forbidden,
        _ if error.details.get("reason").is_some_and(|reason| reason == "timeout") => Reason::Timeout,
        _ => Reason::NotResolved,
    };
    failure(reason, error.message)
}
