//! The authorities that a connection trusts, as its options give them.

use studio_plugin_api::DriverError;

/// Checks what can be checked without connecting: that they are certificates. In the sandbox, what is in them is for
/// the host to judge.
pub(crate) fn check(pem: &str) -> Result<(), DriverError> {
    read(pem).map_err(|wrong| DriverError::field("options.tls_ca", wrong))
}

#[cfg(not(target_family = "wasm"))]
fn read(pem: &str) -> Result<(), String> {
    studio_net::read_authorities(pem).map(drop).map_err(|error| error.to_string())
}

#[cfg(target_family = "wasm")]
fn read(pem: &str) -> Result<(), String> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    match CertificateDer::pem_slice_iter(pem.as_bytes()).try_fold(0, |count, read| read.map(|_| count + 1)) {
        Ok(0) => Err("holds no certificate in PEM".to_owned()),
        Ok(_) => Ok(()),
        Err(_) => Err("is not PEM".to_owned()),
    }
}
