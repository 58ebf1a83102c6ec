//! TLS towards databases: trust, the handshake, and errors that say what is wrong.

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
use studio_plugin_api::DriverError;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Says why TLS can't be set up, in words that the author of the certificates may see.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authorities are no PEM.
    #[error("is not PEM")]
    NotPem,
    /// One of the authorities' certificates does not parse.
    #[error("holds a certificate that does not parse")]
    BadCertificate,
    /// There is no certificate among the authorities.
    #[error("holds no certificate in PEM")]
    NoCertificate,
    /// The certificate to log in with, or its key.
    #[error("is no certificate and its key in PEM")]
    BadIdentity,
    /// The library refuses.
    #[error("TLS can't be set up: {0}")]
    Refused(#[from] rustls::Error),
}

/// Says which checks a server's certificate must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Only that the server holds the certificate's key.
    Nothing,
    /// A trusted authority signed it, for any name.
    Authority,
    /// A trusted authority signed it, for the server's name.
    AuthorityAndName,
}

impl Check {
    /// Checks nothing where the settings say that any certificate will do, else all of it.
    pub fn unless(insecure: bool) -> Self {
        if insecure { Self::Nothing } else { Self::AuthorityAndName }
    }
}

/// A certificate to log in with, and its private key, both in PEM.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate, and those between it and its authority.
    pub certificates: &'a str,
    /// The key.
    pub key: &'a str,
}

/// Makes the client's side of a handshake, which trusts the `authorities` (PEM), or else the system's.
///
/// # Errors
/// [`TlsError`], which says what is wrong with the authorities or the identity.
pub fn client_config(
    authorities: Option<&str>,
    check: Check,
    identity: Option<Identity<'_>>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let roots = || match authorities {
        Some(pem) => read_authorities(pem).map(Arc::new),
        None => Ok(system_authorities()),
    };
    let builder = match check {
        Check::AuthorityAndName => builder.with_root_certificates(roots()?),
        Check::Authority => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots()?, provider).build();
            let verifier = Arc::new(AnyName(verifier.map_err(|_| TlsError::NoCertificate)?));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
        Check::Nothing => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
    };
    let Some(Identity { certificates, key }) = identity else { return Ok(builder.with_no_client_auth()) };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect();
    let certificates = certificates.map_err(|_| TlsError::BadIdentity)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::BadIdentity)?;
    builder.with_client_auth_cert(certificates, key).map_err(|_| TlsError::BadIdentity)
}

/// Says why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// No certificate can be for this host.
    #[error("the host's name can't be in a certificate")]
    NoName,
    /// The time for it is over.
    #[error("the server does not answer TLS; does it speak it on this port?")]
    Unanswered,
    /// The connection broke, or one side refused the other.
    #[error("{0}")]
    Failed(io::Error),
}

impl HandshakeError {
    /// Makes a `CONNECTION_ERROR` out of it. The server is named as in `the Redis server`.
    pub fn with(&self, server: &str) -> DriverError {
        let message = match self {
            Self::Failed(error) => format!("TLS with {server} failed: {error}"),
            Self::NoName | Self::Unanswered => self.to_string(),
        };
        DriverError::connection("tls", message)
    }
}

/// Begins TLS on a connection, with the server at this host.
///
/// # Errors
/// [`HandshakeError`], never [`Unanswered`](HandshakeError::Unanswered), which only the caller can tell.
pub async fn shake_hands(
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, HandshakeError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| HandshakeError::NoName)?;
    TlsConnector::from(config).connect(name, stream).await.map_err(HandshakeError::Failed)
}

/// Begins TLS as [`shake_hands`] does, within this time: a server that does not speak TLS waits for more bytes, and
/// would never answer.
///
/// # Errors
/// [`HandshakeError`].
pub async fn shake_hands_within(
    time: Duration,
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, HandshakeError> {
    timeout(time, shake_hands(stream, host, config)).await.unwrap_or(Err(HandshakeError::Unanswered))
}

/// Reads certificates in PEM.
///
/// # Errors
/// [`TlsError`], which says what is wrong with them.
pub fn read_authorities(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| TlsError::NotPem)?;
        roots.add(certificate).map_err(|_| TlsError::BadCertificate)?;
    }
    if roots.is_empty() { Err(TlsError::NoCertificate) } else { Ok(roots) }
}

/// Reads the system's authorities, once. Certificates that do not parse are left out: one bad file must not make all
/// servers unreachable.
fn system_authorities() -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    SYSTEM
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs().certs;
            let (_, unreadable) = roots.add_parsable_certificates(found);
            if roots.is_empty() || unreadable > 0 {
                tracing::warn!(trusted = roots.len(), unreadable, "certificates of the system");
            }
            Arc::new(roots)
        })
        .clone()
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

/// Believes every certificate of the authorities, for any name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
