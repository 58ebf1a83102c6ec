//! A certificate authority and a server certificate, made for one test.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files of one authority and of one server that it vouches for.
pub struct Certificates {
    /// The authority's certificate, as PEM text.
    pub authority: String,
    /// The file with it.
    pub authority_file: PathBuf,
    /// The server's certificate, for `localhost` and 127.0.0.1.
    pub certificate_file: PathBuf,
    /// The server's private key.
    pub key_file: PathBuf,
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
        }
    }
}
