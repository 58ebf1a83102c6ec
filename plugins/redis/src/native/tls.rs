//! TLS towards the server.

use crate::options::Tls;
use redis::RedisError;
use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName};
use std::{error::Error, sync::Arc};
use studio_plugin_api::DriverError;
use studio_tls::Check;

/// The client's side of a handshake.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, DriverError> {
    studio_tls::client_config(tls.authorities.as_deref(), Check::unless(tls.insecure), None)
        .map_err(|error| DriverError::connection("tls", format!("`options.tls_ca`: {error}")))
}

/// The name that the server's certificate must be for.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, DriverError> {
    studio_tls::server_name(host)
        .ok_or_else(|| DriverError::connection("tls", "the host's name can't be in a certificate"))
}

/// Cluster connections are made by the `redis` crate, which takes the process's default cryptography. "Process" is
/// this library: each driver has its own copy of rustls.
pub(super) fn install_default_provider() {
    // It fails only where one is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Whether TLS is what failed. The library keeps its cause as a shared `io::Error`, and that keeps rustls's own error
/// inside: neither shows the next by `source` alone.
pub(crate) fn is_failure(error: &RedisError) -> bool {
    let shared = error.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = shared.and_then(|shared| shared.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}
