//! The way out of the sandbox: to the connection's own server, by the gateway's address rules, and nowhere else.

use super::{
    bindings::studio::driver::net::{Failure, Reason},
    stream::ByteStream,
};
use crate::plugins::Resolve;
use rustls::ClientConfig;
use std::{io, sync::Arc, time::Duration};
use studio_net::{ADDRESS_TIMEOUT, Check, Keepalive, client_config};
use studio_plugin_api::{DriverError, ErrorCode};
use tokio::net::TcpStream;

/// The server's name in error messages.
const SERVER: &str = "the server";
/// How long the TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// The place that an instance may connect to.
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
    /// The authorities' certificates, in PEM; `None` for the system's.
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
        let addresses = (self.resolve)(self.host.clone(), self.port).await.map_err(of_driver)?;
        studio_net::connect(&addresses, ADDRESS_TIMEOUT, Keepalive::Prompt)
            .await
            .map_err(|error| of_driver(studio_net::unreachable_server(SERVER, &error)))
    }

    fn tls(&self) -> Result<ClientConfig, Failure> {
        client_config(self.authorities.as_deref(), Check::unless(self.insecure), None)
            .map_err(|error| failure(Reason::Tls, format!("`options.tls_ca`: {error}")))
    }

    async fn shake_hands(&self, stream: TcpStream, config: ClientConfig) -> Result<ByteStream, Failure> {
        studio_net::shake_hands_within(HANDSHAKE_TIMEOUT, stream, &self.host, Arc::new(config))
            .await
            .map(ByteStream::tls)
            .map_err(|error| of_driver(error.with(SERVER)))
    }
}

/// Makes a failure of the network, in the guest's type.
pub(super) fn failure(reason: Reason, message: impl Into<String>) -> Failure {
    Failure { reason, message: message.into() }
}

/// Makes the failure of a stream that broke.
pub(super) fn broken_stream(error: &io::Error) -> Failure {
    failure(Reason::Closed, format!("the connection to the server was lost: {error}"))
}

fn of_driver(error: DriverError) -> Failure {
    let reason = match error.details.get("reason").and_then(|reason| reason.as_str()) {
        _ if error.code == ErrorCode::Forbidden => Reason::Forbidden,
        Some("refused") => Reason::Refused,
        Some("timeout") => Reason::Timeout,
        Some("tls") => Reason::Tls,
        _ => Reason::NotResolved,
    };
    failure(reason, error.message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn connections_of_components_are_kept_alive() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let resolve: Arc<Resolve> = Arc::new(move |_, _| Box::pin(async move { Ok(vec![address]) }));
        let (host, port) = ("database".to_owned(), address.port());
        let server = Server { host, port, authorities: None, insecure: false, resolve };
        let stream = server.connect().await.ok().unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap() && stream.nodelay().unwrap());
    }
}
