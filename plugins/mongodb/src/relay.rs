//! The way to MongoDB where names are involved: through a SOCKS5 relay of this library's own, on the loopback interface.
//!
//! The client library resolves host names and connects by itself, also to members of a replica set that only a server
//! named. A proxy is the one place where it lets someone else do that, and so the gateway's address rules hold: each
//! connect is resolved, and checked after that, by [`Network::resolve`]. TLS goes through end to end.

use crate::reach::{Place, Reach};
use fast_socks5::{
    ReplyError,
    server::{Config, SimpleUserPassword, Socks5Socket},
    util::target_addr::TargetAddr,
};
use mongodb::options::{ServerAddress, Socks5Proxy};
use socket2::{SockRef, TcpKeepalive};
use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};
use studio_plugin_api::{DriverError, ErrorCode, Network};
use tokio::{
    io::{AsyncWriteExt, BufReader, copy_buf},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use uuid::Uuid;

/// How long the client, in the same process, may take to say where it wants to go.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// For one address of a host that has several; the whole is bounded by the client's own timeout.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// As the client library sets it on its own sockets, which lead no further than to here.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
/// Bytes copied at once, in each direction.
const BUFFER: usize = 32 << 10;
/// How long to wait when the system has no resources for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running relay. Dropping it closes everything that goes through it.
pub(crate) struct Relay {
    proxy: Socks5Proxy,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Starts one that connects where the network lets it, and tells `reach` of failures.
    pub(crate) async fn start(network: Network, reach: Arc<Reach>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        // Nobody but this session comes in: the port is open to every program of this machine.
        let (username, password) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        let proxy = Socks5Proxy::builder()
            .host(Ipv4Addr::LOCALHOST.to_string())
            .port(listener.local_addr()?.port())
            .authentication((username.clone(), password.clone()))
            .build();
        let mut config = Config::<SimpleUserPassword>::default()
            .with_authentication(SimpleUserPassword { username, password });
        // Resolving and connecting is done here, by the gateway's rules.
        config.set_dns_resolve(false).set_execute_command(false);
        let config = Arc::new(config);
        let task = tokio::spawn(accept(listener, config, network, reach)).abort_handle();
        Ok(Self { proxy, task })
    }

    /// What the client library connects through.
    pub(crate) fn proxy(&self) -> Socks5Proxy {
        self.proxy.clone()
    }
}

async fn accept(
    listener: TcpListener,
    config: Arc<Config<SimpleUserPassword>>,
    network: Network,
    reach: Arc<Reach>,
) {
    // Aborting this task drops the set, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let (config, network, reach) = (config.clone(), network.clone(), reach.clone());
                    connections.spawn(async move { serve(client, config, &network, &reach).await });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end. Whatever breaks is seen by the client library as a broken connection.
async fn serve(
    client: TcpStream,
    config: Arc<Config<SimpleUserPassword>>,
    network: &Network,
    reach: &Reach,
) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let greeting = Socks5Socket::new(client, config).upgrade_to_socks5();
    let socket = timeout(GREETING_TIMEOUT, greeting).await.ok()?.ok()?;
    let place = match socket.target_addr()? {
        TargetAddr::Ip(address) => Place::new(address.ip().to_string(), address.port()),
        TargetAddr::Domain(host, port) => Place::new(host.clone(), *port),
    };
    let mut client = socket.into_inner();
    match connect(&place, network).await {
        Ok(mut server) => {
            reach.connected(&place);
            client.write_all(&answer(None)).await.ok()?;
            let (client_in, mut client_out) = client.split();
            let (server_in, mut server_out) = server.split();
            let mut client_in = BufReader::with_capacity(BUFFER, client_in);
            let mut server_in = BufReader::with_capacity(BUFFER, server_in);
            // The first end to close closes the other: a server that does not answer is left when the client leaves.
            tokio::select! {
                sent = copy_buf(&mut client_in, &mut server_out) => sent,
                received = copy_buf(&mut server_in, &mut client_out) => received,
            }
            .ok()?;
        }
        Err(error) => {
            let reply = match error.code {
                ErrorCode::Forbidden => ReplyError::ConnectionNotAllowed,
                _ => ReplyError::HostUnreachable,
            };
            reach.refused(&place, error);
            client.write_all(&answer(Some(reply))).await.ok()?;
        }
    }
    Some(())
}

/// The address of a server that can be reached now.
///
/// # Errors
/// `FORBIDDEN` for an address that the gateway's rules exclude; `CONNECTION_ERROR` when there is no way to it.
pub(crate) async fn find(place: &Place, network: &Network) -> Result<ServerAddress, DriverError> {
    let server = connect(place, network).await?;
    let address = server.peer_addr().map_err(|error| crate::errors::from_io(&error))?;
    Ok(ServerAddress::Tcp { host: address.ip().to_string(), port: Some(address.port()) })
}

async fn connect(place: &Place, network: &Network) -> Result<TcpStream, DriverError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in network.resolve(&place.host, place.port).await? {
        match timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(server)) => match set_up(&server) {
                Ok(()) => return Ok(server),
                Err(error) => last = error,
            },
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(crate::errors::from_io(&last))
}

fn set_up(server: &TcpStream) -> io::Result<()> {
    server.set_nodelay(true)?;
    SockRef::from(server).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE))
}

/// A reply of SOCKS5 (RFC 1928, section 6); the address that was bound means nothing to the client.
fn answer(refusal: Option<ReplyError>) -> [u8; 10] {
    let code = refusal.unwrap_or(ReplyError::Succeeded).as_u8();
    [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests;
