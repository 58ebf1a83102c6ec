//! From the relay to a server.

use super::pass::{Left, NotMongo, pass};
use crate::{
    errors,
    options::Certificates,
    servers::{HostPort, Servers},
};
use std::{io, sync::Arc, time::Duration};
use studio_net::{ADDRESS_TIMEOUT, Check, HandshakeError, Identity, Keepalive};
use studio_plugin_api::{DriverError, Network};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{client::TlsStream, rustls::ClientConfig};

/// How long TLS may take to begin.
const TLS_TIMEOUT: Duration = Duration::from_secs(4);

/// Reaches a session's servers.
pub(crate) struct Onward {
    /// The gateway's rules.
    pub(crate) network: Network,
    /// How to speak TLS; nothing where it is not spoken.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Where failures are told of.
    pub(crate) servers: Arc<Servers>,
}

/// A connection to a server.
pub(super) enum Server {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes TLS's settings out of a connection's.
///
/// # Errors
/// `CONNECTION_ERROR` for certificates that can't be used.
pub(crate) fn tls_config(
    certificates: &Certificates,
    insecure: bool,
) -> Result<Arc<ClientConfig>, DriverError> {
    let pem = certificates.certificate_key.as_ref().map(|pem| pem.expose());
    let identity = pem.map(|pem| Identity { certificates: pem, key: pem });
    studio_net::client_config(certificates.authorities.as_deref(), Check::unless(insecure), identity)
        .map(Arc::new)
        .map_err(|error| DriverError::connection("tls", format!("certificates: {error}")))
}

impl Onward {
    /// Connects to where the network lets it.
    ///
    /// # Errors
    /// `FORBIDDEN` for an address that the gateway's rules exclude; `CONNECTION_ERROR` when there is no way to it, or
    /// TLS does not begin; what the session's servers did wrong before.
    pub(super) async fn connect(&self, place: &HostPort) -> Result<Server, DriverError> {
        if let Some(breach) = self.servers.breach() {
            return Err(breach);
        }
        let addresses = self.network.resolve(&place.host, place.port).await?;
        // As the client library has it on its own sockets, which lead no further than to the relay.
        let stream = studio_net::connect(&addresses, ADDRESS_TIMEOUT, Keepalive::Patient)
            .await
            .map_err(|error| errors::from_io(&error))?;
        let Some(tls) = &self.tls else { return Ok(Server::Plain(stream)) };
        match studio_net::shake_hands_within(TLS_TIMEOUT, stream, &place.host, tls.clone()).await {
            Ok(stream) => Ok(Server::Tls(Box::new(stream))),
            Err(HandshakeError::Failed(error)) => Err(errors::from_io(&error)),
            Err(HandshakeError::Unanswered) => Err(errors::from_io(&io::ErrorKind::TimedOut.into())),
            Err(error @ HandshakeError::NoName) => Err(error.with("the MongoDB server")),
        }
    }
}

impl Server {
    /// Passes data between the client library and the server until one of them leaves. A breach of the protocol ends the
    /// whole session.
    pub(super) async fn pass(
        self,
        client_in: impl AsyncRead + Unpin,
        client_out: impl AsyncWrite + Unpin,
        servers: &Servers,
    ) {
        let passed = match self {
            Self::Plain(mut stream) => {
                let (server_in, server_out) = stream.split();
                pass((client_in, client_out), (server_in, server_out)).await
            }
            Self::Tls(stream) => pass((client_in, client_out), tokio::io::split(*stream)).await,
        };
        match passed {
            Ok(Left::Client) => servers.left(),
            // Before the client sees it.
            Ok(Left::Server) => servers.cut(),
            Err(NotMongo::Breach(breach)) => servers.broke(breach.0),
            Err(NotMongo::Stranger) => servers.strange(),
        }
    }
}
