//! The way to MongoDB: every connection of the client library goes through a relay of this library's own, on this
//! machine.
//!
//! The client library resolves host names and connects by itself, also to members of a replica set that only a server
//! named. Here is where that is done in its place: each connect is resolved, and checked after that, by
//! [`Network::resolve`], so that the gateway's address rules hold. TLS ends here too (`relay/onward.rs`), since what a
//! server sends must be looked at before the client library decodes it (`relay/pass.rs`, [`wire`](crate::wire)).
//!
//! Where a connection leads to one server, the client library comes in by a Unix socket, which costs less; otherwise by
//! SOCKS5 on the loopback interface, by which it says where to.

mod onward;
mod pass;

pub(crate) use onward::{Onward, tls_config};

use crate::servers::{HostPort, Servers};
use fast_socks5::{
    ReplyError,
    server::{Config, SimpleUserPassword, Socks5Socket},
    util::target_addr::TargetAddr,
};
use mongodb::options::{ClientOptions, ServerAddress, Socks5Proxy};
use std::{collections::HashSet, io, net::Ipv4Addr, sync::Arc, time::Duration};
use studio_plugin_api::{ErrorCode, sync::lock};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use uuid::Uuid;

/// How long the client, in the same process, may take to say where it wants to go.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait when the system has no resources for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most servers of one session. A server that names others again and again leads no further.
const MAX_PLACES: usize = 128;

/// A running relay. Dropping it closes everything that goes through it.
pub(crate) struct Relay {
    entrance: Entrance,
    task: AbortHandle,
}

/// Says how the client library comes in.
enum Entrance {
    /// By a socket that leads to one server. Only this user can come into the directory, which goes with the relay.
    Socket(TempDir),
    /// Saying where to.
    Proxy(Socks5Proxy),
}

/// The socket's name in its directory.
const SOCKET: &str = "mongodb";

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Starts one to this place alone.
    pub(crate) fn start_to(place: HostPort, onward: Onward) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("studio-").tempdir()?;
        let listener = UnixListener::bind(directory.path().join(SOCKET))?;
        let task = tokio::spawn(accept_socket(listener, place, Arc::new(onward))).abort_handle();
        Ok(Self { entrance: Entrance::Socket(directory), task })
    }

    /// Starts one to wherever the client library wants.
    pub(crate) async fn start(onward: Onward) -> io::Result<Self> {
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
        let task = tokio::spawn(accept_proxy(listener, Arc::new(config), Arc::new(onward))).abort_handle();
        Ok(Self { entrance: Entrance::Proxy(proxy), task })
    }

    /// Makes the client library come through here.
    pub(crate) fn lead(&self, options: &mut ClientOptions) {
        match &self.entrance {
            Entrance::Socket(directory) => {
                options.hosts = vec![ServerAddress::Unix { path: directory.path().join(SOCKET) }];
            }
            Entrance::Proxy(proxy) => options.socks5_proxy = Some(proxy.clone()),
        }
    }
}

async fn accept_socket(listener: UnixListener, place: HostPort, onward: Arc<Onward>) {
    // Aborting this task drops the set, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let (place, onward) = (place.clone(), onward.clone());
                    connections.spawn(async move { serve_socket(client, &place, &onward).await });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end. Whatever breaks is seen by the client library as a broken connection, and told of
/// in `servers`.
async fn serve_socket(mut client: UnixStream, place: &HostPort, onward: &Onward) {
    let servers = &onward.servers;
    match onward.connect(place).await {
        Ok(server) => {
            servers.connected(place);
            let (client_in, client_out) = client.split();
            server.pass(client_in, client_out, servers).await;
        }
        Err(error) => servers.refused(place, error),
    }
}

async fn accept_proxy(listener: TcpListener, config: Arc<Config<SimpleUserPassword>>, onward: Arc<Onward>) {
    let mut connections = JoinSet::new();
    let places = Arc::new(HostPorts::default());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let (config, places, onward) = (config.clone(), places.clone(), onward.clone());
                    connections.spawn(async move { serve_proxy(client, config, &places, &onward).await });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps where a session's connections went so far.
#[derive(Default)]
struct HostPorts(std::sync::Mutex<HashSet<HostPort>>);

impl HostPorts {
    /// Whether there may be a connection to this place.
    fn admit(&self, place: &HostPort) -> bool {
        let mut known = lock(&self.0);
        known.contains(place) || (known.len() < MAX_PLACES && known.insert(place.clone()))
    }
}

async fn serve_proxy(
    client: TcpStream,
    config: Arc<Config<SimpleUserPassword>>,
    places: &HostPorts,
    onward: &Onward,
) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let greeting = Socks5Socket::new(client, config).upgrade_to_socks5();
    let socket = timeout(GREETING_TIMEOUT, greeting).await.ok()?.ok()?;
    let place = match socket.target_addr()? {
        TargetAddr::Ip(address) => HostPort::new(address.ip().to_string(), address.port()),
        TargetAddr::Domain(host, port) => HostPort::new(host.clone(), *port),
    };
    let mut client = socket.into_inner();
    let servers: &Servers = &onward.servers;
    if !places.admit(&place) {
        servers.broke("it names more servers than a session may have");
    }
    match onward.connect(&place).await {
        Ok(server) => {
            servers.connected(&place);
            client.write_all(&answer(None)).await.ok()?;
            let (client_in, client_out) = client.split();
            server.pass(client_in, client_out, servers).await;
        }
        Err(error) => {
            let reply = match error.code {
                ErrorCode::Forbidden => ReplyError::ConnectionNotAllowed,
                _ => ReplyError::HostUnreachable,
            };
            servers.refused(&place, error);
            client.write_all(&answer(Some(reply))).await.ok()?;
        }
    }
    Some(())
}

/// A reply of SOCKS5 (RFC 1928, section 6); the address that was bound means nothing to the client.
fn answer(refusal: Option<ReplyError>) -> [u8; 10] {
    let code = refusal.unwrap_or(ReplyError::Succeeded).as_u8();
    [5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests;
