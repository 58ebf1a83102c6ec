//! Opening one connection to one server: resolve, connect, TLS, log in.

use super::{
    mux::{Failure, Mux},
    tls,
};
use crate::{
    errors,
    login::{self, Exchange, GREETING_BYTES, GREETING_TIMEOUT},
    options::{Address, Target, Tls, Topology},
    wire,
};
use redis::{
    Cmd, RedisConnectionInfo, Value, cmd,
    io::tcp::socket2::{SockRef, TcpKeepalive},
};
use std::{io, sync::Arc, time::Duration};
use studio_plugin_api::{DriverError, Network};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// For one address of a host that has several; the whole is bounded by the host's deadline.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that vanished without a word is noticed after about half a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);
/// Bytes of an answer about one server.
const SHORT_ANSWER: u64 = 64 << 10;

/// Connects to the one server, or to the master that the Sentinels name.
pub(crate) async fn dial(target: &Target, network: &Network) -> Result<Mux, DriverError> {
    match &target.topology {
        Topology::Single(address) | Topology::Cluster(address) => {
            dial_server(address, target.tls.as_ref(), &target.login, network).await
        }
        Topology::Sentinel { master, sentinels } => {
            let address = find_master(master, sentinels, target, network).await?;
            let server = dial_server(&address, target.tls.as_ref(), &target.login, network).await?;
            // A Sentinel's knowledge may be older than a failover.
            match role(&server).await {
                Some(role) if role != "master" => Err(DriverError::connection(
                    "unavailable",
                    "the server that the Sentinels name is no master",
                )),
                _ => Ok(server),
            }
        }
    }
}

pub(super) async fn dial_server(
    address: &Address,
    tls: Option<&Tls>,
    login: &RedisConnectionInfo,
    network: &Network,
) -> Result<Mux, DriverError> {
    let stream = connect_tcp(address, network).await?;
    let Some(tls) = tls else {
        return log_in(stream, login).await;
    };
    let connector = TlsConnector::from(Arc::new(tls::client_config(tls)?));
    let name = tls::server_name(&address.host)?;
    let failed = |message: String| DriverError::connection("tls", message);
    let stream = tokio::time::timeout(GREETING_TIMEOUT, connector.connect(name, stream))
        .await
        .map_err(|_| failed("the server does not answer TLS; does it speak it on this port?".to_owned()))?
        .map_err(|error| failed(format!("TLS with the Redis server failed: {error}")))?;
    log_in(stream, login).await
}

async fn connect_tcp(address: &Address, network: &Network) -> Result<TcpStream, DriverError> {
    let mut last = None;
    for place in network.resolve(&address.host, address.port).await? {
        match tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => {
                set_up(&stream).map_err(|error| unreachable_server(&error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(unreachable_server(&last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into())))
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT))?;
    Ok(())
}

fn unreachable_server(error: &io::Error) -> DriverError {
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => "timeout",
        _ => "refused",
    };
    DriverError::connection(reason, format!("the Redis server can't be reached: {error}"))
}

async fn log_in(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    login: &RedisConnectionInfo,
) -> Result<Mux, DriverError> {
    let mut server = Mux::new(stream);
    let greeting = login::log_in(&mut server, login);
    tokio::time::timeout(GREETING_TIMEOUT, greeting).await.map_err(|_| login::unanswered())??;
    Ok(server)
}

impl Exchange for Mux {
    async fn exchange(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, DriverError> {
        let mut bytes = Vec::new();
        for command in commands {
            command.write_packed_command(&mut bytes);
        }
        Ok(self.ask(bytes, commands.len(), GREETING_BYTES).await?)
    }
}

/// One command that is answered shortly.
pub(super) async fn ask(server: &Mux, command: &Cmd) -> Result<Value, Failure> {
    let answers = server.ask(command.get_packed_command(), 1, SHORT_ANSWER).await?;
    answers.into_iter().next().ok_or(Failure::Lost)
}

async fn find_master(
    master: &str,
    sentinels: &[Address],
    target: &Target,
    network: &Network,
) -> Result<Address, DriverError> {
    let mut failure = DriverError::connection("unavailable", "no Sentinel knows the master by this name");
    for sentinel in sentinels {
        match ask_sentinel(master, sentinel, target, network).await {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => {}
            // An address that the rules exclude stays excluded whatever the next one says.
            Err(error) if error.code == studio_plugin_api::ErrorCode::Forbidden => return Err(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Sentinels have logins of their own, most often none: the connection's is tried only where one asks for it.
async fn ask_sentinel(
    master: &str,
    sentinel: &Address,
    target: &Target,
    network: &Network,
) -> Result<Option<Address>, DriverError> {
    let plain = RedisConnectionInfo::default();
    let tls = target.tls.as_ref();
    let server = match dial_server(sentinel, tls, &plain, network).await {
        Err(error) if error.details.get("reason").is_some_and(|reason| reason == "authentication_failed") => {
            dial_server(sentinel, tls, &target.login.clone().set_db(0), network).await?
        }
        other => other?,
    };
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
    let answer = wire::check(ask(&server, &question).await?)?;
    let parts = wire::items(answer).ok_or_else(|| errors::unexpected("SENTINEL"))?;
    let mut parts = parts.into_iter().filter_map(wire::text);
    Ok(match (parts.next(), parts.next().and_then(|port| port.parse().ok())) {
        (Some(host), Some(port)) => Some(Address { host, port }),
        _ => None,
    })
}

async fn role(server: &Mux) -> Option<String> {
    wire::items(ask(server, &cmd("ROLE")).await.ok()?)?.into_iter().next().and_then(wire::text)
}
