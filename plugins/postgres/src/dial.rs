//! Opening a byte stream to a server: look up, connect, and TLS as `ssl_mode` says.

use crate::{
    errors,
    options::{Address, SslMode, Target},
};
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use studio_net::{Check, Identity, Keepalive};
use studio_plugin_api::{DriverError, Network};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{client::TlsStream, rustls::ClientConfig};

/// The server in an error's words.
const SERVER: &str = "the PostgreSQL server";
/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A byte stream to a server.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Whether a stream has TLS in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
    TlsWhereOffered,
}

/// Connects to where a stream led before, as long as the gateway's rules still allow it.
pub(crate) async fn dial_again(
    target: &Target,
    network: &Network,
    address: &Address,
    peer: SocketAddr,
    transport: Transport,
) -> Result<Stream, DriverError> {
    if !network.resolve(&address.host, address.port).await?.contains(&peer) {
        return Err(DriverError::connection("not_resolved", "the PostgreSQL server has moved"));
    }
    open(target, address, peer, transport).await
}

/// Connects to one address.
pub(crate) async fn open(
    target: &Target,
    address: &Address,
    peer: SocketAddr,
    transport: Transport,
) -> Result<Stream, DriverError> {
    let stream = studio_net::connect(&[peer], target.connect_timeout, Keepalive::Prompt)
        .await
        .map_err(|error| studio_net::unreachable_server(SERVER, &error))?;
    if transport == Transport::Plain {
        return Ok(Stream::Plain(stream));
    }
    match timeout(HANDSHAKE_TIMEOUT, ask_for_tls(target, address, stream, transport)).await {
        Ok(stream) => stream,
        Err(_) => Err(DriverError::connection(
            "timeout",
            "the server does not answer; does it speak PostgreSQL's protocol on this port?",
        )),
    }
}

/// PostgreSQL's manual, 55.2.11: one byte says whether TLS begins.
async fn ask_for_tls(
    target: &Target,
    address: &Address,
    mut stream: TcpStream,
    transport: Transport,
) -> Result<Stream, DriverError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let mut answer = [0];
    let asked = async {
        stream.write_all(&request).await?;
        stream.read_exact(&mut answer).await
    };
    asked.await.map_err(|error| errors::from_io(&error))?;
    match (answer, transport) {
        ([b'S'], _) => {
            let config = Arc::new(tls_settings(target)?);
            let shaken = studio_net::shake_hands(stream, &address.host, config).await;
            let stream = shaken.map_err(|error| error.with(SERVER))?;
            Ok(Stream::Tls(Box::new(stream)))
        }
        ([b'N'], Transport::TlsWhereOffered) => Ok(Stream::Plain(stream)),
        ([b'N'], _) => Err(DriverError::connection("tls", "the PostgreSQL server does not offer TLS")),
        _ => Err(DriverError::connection("refused", "what answers on this port is not PostgreSQL")),
    }
}

fn tls_settings(target: &Target) -> Result<ClientConfig, DriverError> {
    let check = match (target.ssl_mode, &target.tls_ca) {
        (SslMode::VerifyFull, _) => Check::AuthorityAndName,
        // libpq: with authorities at hand, `require` is as `verify-ca`.
        (SslMode::VerifyCa, _) | (SslMode::Require, Some(_)) => Check::Authority,
        _ => Check::Nothing,
    };
    let identity =
        target.identity.as_ref().map(|(certificates, key)| Identity { certificates, key: key.expose() });
    let mut settings = studio_net::client_config(target.tls_ca.as_deref(), check, identity)
        .map_err(|error| DriverError::connection("tls", format!("the TLS options: {error}")))?;
    settings.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(settings)
}

impl Stream {
    /// How the same server is reached again.
    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Plain(_) => Transport::Plain,
            Self::Tls(_) => Transport::Tls,
        }
    }

    /// The server's certificate, where there is TLS.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
