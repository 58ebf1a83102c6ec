//! TLS towards the server.

use crate::options::Tls;
use rustls::{ClientConfig, pki_types::ServerName};
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
