//! The authorities that a connection trusts, as its options give them.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use studio_plugin_api::DriverError;

const FIELD: &str = "options.tls_ca";

/// Checks what can be checked without connecting: that they are certificates. In the sandbox, what is in them is
/// for the host to judge.
pub(crate) fn check(pem: &str) -> Result<(), DriverError> {
    let authorities = read(pem);
    #[cfg(not(target_family = "wasm"))]
    let authorities = authorities.and_then(crate::native::tls::trust);
    authorities.map(drop)
}

/// The certificates in a PEM text, of which there must be one at least.
pub(crate) fn read(pem: &str) -> Result<Vec<CertificateDer<'static>>, DriverError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| refuse("is not PEM"))?;
    if certificates.is_empty() { Err(refuse("holds no certificate in PEM")) } else { Ok(certificates) }
}

pub(crate) fn refuse(what: &str) -> DriverError {
    DriverError::validation(FIELD, format!("`{FIELD}`: {what}"))
}
