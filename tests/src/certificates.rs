//! A certificate authority, a server's certificate and a client's, made for one test.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files of one authority, and of one server and one client that it vouches for.
pub struct Certificates {
    /// The authority's certificate, as PEM text.
    pub authority: String,
    /// The file with it.
    pub authority_file: PathBuf,
    /// The server's certificate, for `localhost` and 127.0.0.1.
    pub certificate_file: PathBuf,
    /// The server's private key.
    pub key_file: PathBuf,
    /// The client's certificate, whose subject is `CN=client`, and its private key.
    pub client_file: PathBuf,
}

impl Certificates {
    /// Makes them, in files in `folder`.
    pub fn make(folder: &Path) -> Self {
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let server = server.signed_by(&key, &authority).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let mut client = CertificateParams::new(Vec::<String>::new()).unwrap();
        client.distinguished_name = DistinguishedName::new();
        client.distinguished_name.push(DnType::CommonName, "client");
        let client = client.signed_by(&client_key, &authority).unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            file
        };
        Self {
            authority: authority.pem(),
            authority_file: write("authority.pem", &authority.pem()),
            certificate_file: write("server.pem", &server.pem()),
            key_file: write("server.key", &key.serialize_pem()),
            client_file: write("client.pem", &(client.pem() + &client_key.serialize_pem())),
        }
    }
}
