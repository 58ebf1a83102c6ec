//! A certificate authority, a server's certificate and a client's, made for one test.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The names in a server's certificate, unless the test asks for others.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// Files of one authority, and of one server and one client that it vouches for.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate, as PEM text.
    pub authority: String,
    /// The file with it.
    pub authority_file: PathBuf,
    /// The server's certificate.
    pub certificate_file: PathBuf,
    /// The server's private key.
    pub key_file: PathBuf,
    /// The client's certificate, whose subject is `CN=client`, and its private key.
    pub client_file: PathBuf,
}

impl Certificates {
    /// Makes them, in files in `folder`, for `localhost` and 127.0.0.1.
    ///
    /// # Errors
    /// When the files can't be written.
    pub fn make(folder: &Path) -> io::Result<Self> {
        Self::make_for(folder, &NAMES)
    }

    /// Makes them for a server of other names.
    ///
    /// # Errors
    /// When the files can't be written.
    #[cfg(feature = "certificates")]
    pub fn make_for(folder: &Path, names: &[&str]) -> io::Result<Self> {
        make(folder, names).map_err(io::Error::other)
    }

    /// Makes none: certificates need the feature `certificates`.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "certificates"))]
    pub fn make_for(_: &Path, _: &[&str]) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "built without the feature `certificates`"))
    }
}

#[cfg(feature = "certificates")]
fn make(folder: &Path, names: &[&str]) -> Result<Certificates, Box<dyn std::error::Error + Send + Sync>> {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    };

    let mut authority = CertificateParams::default();
    // OpenSSL takes a certificate whose issuer has the certificate's own name for a self-signed one.
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let server = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    let client_key = KeyPair::generate()?;
    let mut client = CertificateParams::default();
    client.distinguished_name = DistinguishedName::new();
    client.distinguished_name.push(DnType::CommonName, "client");
    let client = client.signed_by(&client_key, &authority)?;
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).map(|()| file)
    };
    Ok(Certificates {
        authority: authority.pem(),
        authority_file: write("authority.pem", &authority.pem())?,
        certificate_file: write("server.pem", &server.pem())?,
        key_file: write("server.key", &key.serialize_pem())?,
        client_file: write("client.pem", &(client.pem() + &client_key.serialize_pem()))?,
    })
}
