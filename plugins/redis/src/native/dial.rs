//! Opening one connection to one server: resolve, connect, TLS, log in.

use super::mux::{Failure, Mux};
use crate::{
    login::{self, Exchange, GREETING_BYTES, GREETING_TIMEOUT},
    options::{Address, Tls},
    packed::Packed,
};
use redis::{Cmd, RedisConnectionInfo, Value};
use std::sync::Arc;
use studio_net::{ADDRESS_TIMEOUT, Check, Keepalive};
use studio_plugin_api::{DriverError, Network};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of an answer about one server.
const SHORT_ANSWER: u64 = 64 << 10;
/// The server in an error's words.
const SERVER: &str = "the Redis server";

/// Connects to one server and logs in.
pub(super) async fn dial_server(
    address: &Address,
    tls: Option<&Tls>,
    login: &RedisConnectionInfo,
    network: &Network,
) -> Result<Mux, DriverError> {
    let addresses = network.resolve(&address.host, address.port).await?;
    let stream = studio_net::connect(&addresses, ADDRESS_TIMEOUT, Keepalive::Prompt)
        .await
        .map_err(|error| studio_net::unreachable_server(SERVER, &error))?;
    let Some(tls) = tls else {
        return log_in(stream, login).await;
    };
    let config = studio_net::client_config(tls.authorities.as_deref(), Check::unless(tls.insecure), None)
        .map_err(|error| DriverError::connection("tls", format!("`options.tls_ca`: {error}")))?;
    let shaken =
        studio_net::shake_hands_within(GREETING_TIMEOUT, stream, &address.host, Arc::new(config)).await;
    log_in(shaken.map_err(|error| error.with(SERVER))?, login).await
}

async fn log_in(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    login: &RedisConnectionInfo,
) -> Result<Mux, DriverError> {
    let mut server = Mux::new(stream);
    let greeting = login::log_in(&mut server, login);
    tokio::time::timeout(GREETING_TIMEOUT, greeting).await.map_err(|_| login::unanswered())??;
    Ok(server)
}

impl Exchange for Mux {
    async fn exchange(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, DriverError> {
        let mut packed = Packed::default();
        commands.iter().for_each(|command| packed.add_command(command));
        Ok(self.ask(packed, GREETING_BYTES).await?)
    }
}

/// One command that is answered shortly.
pub(super) async fn ask(server: &Mux, command: &Cmd) -> Result<Value, Failure> {
    let answers = server.ask(command.into(), SHORT_ANSWER).await?;
    answers.into_iter().next().ok_or(Failure::Lost)
}
