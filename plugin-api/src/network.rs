//! The way to the database that the host grants.
//!
//! A native driver connects by itself, to addresses that [`Network::resolve`] gave it. A component has no sockets: the
//! host opens a [`Stream`] for it, to its connection's own server and to no other ([`Network::open`]).

use crate::{DriverError, MaybeSend};
use std::{sync::Arc, time::Duration};
#[cfg(not(target_family = "wasm"))]
use {crate::settings::BoxFuture, std::net::SocketAddr};

#[cfg(not(target_family = "wasm"))]
type Resolver = dyn Fn(String, u16) -> BoxFuture<'static, Result<Vec<SocketAddr>, DriverError>> + Send + Sync;

#[cfg(not(target_family = "wasm"))]
type Opener = dyn Fn(bool) -> Result<Stream, DriverError> + Send + Sync;
#[cfg(target_family = "wasm")]
type Opener = dyn Fn(bool) -> Result<Stream, DriverError>;

/// The way to the network that the host grants.
#[derive(Clone)]
pub struct Network {
    way: Way,
}

#[derive(Clone)]
enum Way {
    #[cfg(not(target_family = "wasm"))]
    Resolve(Arc<Resolver>),
    Open(Arc<Opener>),
}

impl std::fmt::Debug for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Network")
    }
}

impl Network {
    /// Makes a native driver's network: `resolver` resolves names, and decides which addresses are allowed.
    #[cfg(not(target_family = "wasm"))]
    pub fn new<F, R>(resolver: R) -> Self
    where
        F: std::future::Future<Output = Result<Vec<SocketAddr>, DriverError>> + Send + 'static,
        R: Fn(String, u16) -> F + Send + Sync + 'static,
    {
        Self { way: Way::Resolve(Arc::new(move |host, port| Box::pin(resolver(host, port)))) }
    }

    /// Makes a component's network: `opener` opens streams, and is told whether to speak TLS.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn of_streams(
        opener: impl Fn(bool) -> Result<Stream, DriverError> + Send + Sync + 'static,
    ) -> Self {
        Self { way: Way::Open(Arc::new(opener)) }
    }

    /// Makes a component's network: `opener` opens streams, and is told whether to speak TLS.
    #[cfg(target_family = "wasm")]
    pub(crate) fn of_streams(opener: impl Fn(bool) -> Result<Stream, DriverError> + 'static) -> Self {
        Self { way: Way::Open(Arc::new(opener)) }
    }

    /// Finds the addresses of a host that the gateway's rules allow; never an empty list. Only native drivers can call
    /// it. Call it at every connect, and connect only to the addresses that it gave. A client that connects by itself
    /// may be given one address for a session's life, if the session ends ([`Driver::is_open`](crate::Driver::is_open))
    /// when that address stops answering.
    ///
    /// # Errors
    /// `FORBIDDEN` for an address that the rules exclude, `CONNECTION_ERROR` (`not_resolved`) for an unknown name;
    /// `CONNECTION_ERROR` (`unsupported`) where the host opens streams instead.
    #[cfg(not(target_family = "wasm"))]
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DriverError> {
        match &self.way {
            Way::Resolve(resolver) => resolver(host.to_owned(), port).await,
            Way::Open(_) => Err(DriverError::connection(
                "unsupported",
                "here the host opens streams, and looks addresses up itself",
            )),
        }
    }

    /// Opens, for a component, a stream to the connection's own host and port. With `tls`, the host speaks TLS on it,
    /// by the connection's options `tls_ca` (authorities in PEM) and `tls_insecure` (accept any certificate).
    ///
    /// # Errors
    /// `FORBIDDEN` for an address that the gateway's rules exclude; `CONNECTION_ERROR` with `not_resolved`, `refused`,
    /// `timeout` or `tls`, and with `unsupported` in a native driver.
    // Async, although today's host lets the instance sleep instead: when that changes, handlers need not.
    #[allow(clippy::unused_async)]
    pub async fn open(&self, tls: bool) -> Result<Stream, DriverError> {
        match &self.way {
            Way::Open(opener) => opener(tls),
            #[cfg(not(target_family = "wasm"))]
            Way::Resolve(_) => {
                Err(DriverError::connection("unsupported", "a native driver opens its own connections"))
            }
        }
    }
}

/// The implementation of a stream.
pub(crate) trait Transport: MaybeSend {
    fn read(&mut self, most: u32, timeout: Option<Duration>) -> Result<Vec<u8>, DriverError>;
    fn write(&mut self, bytes: &[u8]) -> Result<(), DriverError>;
    fn shutdown(&mut self) -> Result<(), DriverError>;
}

/// A byte stream to the connection's server. Dropping the stream closes it.
pub struct Stream {
    transport: Box<dyn Transport>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Stream")
    }
}

#[allow(clippy::unused_async)]
impl Stream {
    pub(crate) fn new(transport: impl Transport + 'static) -> Self {
        Self { transport: Box::new(transport) }
    }

    /// Waits until there is something to read, and takes at most `most` bytes of it. An empty result means that the
    /// server has ended the stream.
    ///
    /// # Errors
    /// `CONNECTION_ERROR`: `closed` when the stream broke.
    pub async fn read(&mut self, most: u32) -> Result<Vec<u8>, DriverError> {
        self.transport.read(most, None)
    }

    /// Reads as [`read`](Self::read) does, but waits no longer than this. The stream stays usable when the time is
    /// over.
    ///
    /// # Errors
    /// Also `CONNECTION_ERROR` with `timeout`.
    pub async fn read_within(&mut self, most: u32, time: Duration) -> Result<Vec<u8>, DriverError> {
        self.transport.read(most, Some(time))
    }

    /// Writes all of the bytes.
    ///
    /// # Errors
    /// `CONNECTION_ERROR`: `closed` when the stream broke.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), DriverError> {
        self.transport.write(bytes)
    }

    /// Ends the stream in this direction. A session that keeps such a stream is over once its call is answered.
    ///
    /// # Errors
    /// `CONNECTION_ERROR`: `closed` when the stream broke before.
    pub async fn shutdown(&mut self) -> Result<(), DriverError> {
        self.transport.shutdown()
    }
}
