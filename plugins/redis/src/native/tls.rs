//! TLS towards the server.

use crate::{authorities, options::Tls};
use redis::RedisError;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{error::Error, sync::Arc};
use studio_plugin_api::DriverError;

/// The client's side of a handshake.
pub(crate) fn client_config(tls: &Tls) -> Result<ClientConfig, DriverError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed =
        |error: rustls::Error| DriverError::connection("tls", format!("TLS can't be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    if tls.insecure {
        let verifier = Arc::new(AnyCertificate(provider));
        return Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
    }
    let roots = match &tls.authorities {
        Some(pem) => trust(authorities::read(pem)?)?,
        None => system_authorities(),
    };
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The name that the server's certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, DriverError> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| DriverError::connection("tls", "the host's name can't be in a certificate"))
}

/// Cluster connections are made by the `redis` crate, which takes the process's default cryptography. "Process" is
/// this library: each driver has its own copy of rustls.
pub(crate) fn install_default_provider() {
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

/// Takes these authorities for the ones to trust.
pub(crate) fn trust(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, DriverError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate).map_err(|_| authorities::refuse("holds a certificate that does not parse"))?;
    }
    Ok(roots)
}

/// Certificates of the system that do not parse are left out: one bad file must not make all servers unreachable.
fn system_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (_, unreadable) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() || unreadable > 0 {
        tracing::warn!(trusted = roots.len(), unreadable, "certificates of the system");
    }
    roots
}

/// Believes every certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
