//! Opening one connection to one server: resolve, connect, TLS, log in.

use super::{
    mux::{Failure, Mux},
    tls,
};
use crate::{
    login::{self, Exchange, GREETING_BYTES, GREETING_TIMEOUT},
    options::{Address, Tls},
};
use redis::{
    Cmd, RedisConnectionInfo, Value,
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

/// Connects to one server and logs in.
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
