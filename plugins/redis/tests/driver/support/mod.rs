//! Real servers for the tests: started on free ports in temporary folders, stopped when dropped.
#![allow(dead_code, missing_docs)]

mod server;

pub use server::*;

use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use studio_driver_redis::Redis;
use studio_plugin_api::{
    Access, Driver, DriverError, Network, Outcome,
    testing::{self, TestRequest},
};

impl Server {
    pub fn settings(&self, options: Value) -> Value {
        json!({ "endpoint": { "parts": { "host": "localhost", "port": self.port } }, "options": options })
    }

    pub async fn session(&self) -> Session {
        Session::open(self.settings(json!({}))).await.unwrap()
    }
}

/// Resolves to loopback, and refuses what the gateway's rules would.
pub fn network() -> Network {
    Network::new(|host, port| async move {
        match host.as_str() {
            "forbidden.test" | "169.254.169.254" => {
                Err(DriverError::forbidden("this address is not allowed"))
            }
            "localhost" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
            literal => match literal.parse() {
                Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
                Err(_) => Err(DriverError::connection("not_resolved", "there is no such host")),
            },
        }
    })
}

#[derive(Clone)]
pub struct Session(pub Arc<Redis>);

impl Session {
    pub async fn open(settings: Value) -> Result<Self, DriverError> {
        let settings = testing::settings::<Redis>(settings)?;
        Redis::check(&settings)?;
        Redis::connect(settings, network()).await.map(|redis| Self(Arc::new(redis)))
    }

    pub async fn send(&self, request: TestRequest) -> Result<(Outcome, Value), DriverError> {
        request.send(&self.0).await
    }

    pub async fn get(&self, path: &str) -> Result<Value, DriverError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let request = pairs.fold(TestRequest::get(path), |request, (name, value)| request.query(name, value));
        self.send(request).await.map(|(_, payload)| payload)
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<(Outcome, Value), DriverError> {
        self.send(TestRequest::post(path, body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, DriverError> {
        self.send(TestRequest::put(path, body)).await.map(|(_, payload)| payload)
    }

    pub async fn delete(&self, path: &str) -> Result<Outcome, DriverError> {
        self.send(TestRequest::delete(path)).await.map(|(outcome, _)| outcome)
    }

    pub async fn command(&self, granted: Access, words: Value) -> Result<Value, DriverError> {
        let request = TestRequest::post("/command", json!({ "command": words })).granted(granted);
        self.send(request).await.map(|(_, payload)| payload["result"].clone())
    }

    pub async fn run(&self, line: &str) -> Value {
        self.command(Access::Admin, line.split(' ').collect()).await.unwrap()
    }
}

pub fn code(error: &DriverError) -> &'static str {
    error.code.as_str()
}

pub fn field(error: &DriverError) -> &str {
    error.details["field"].as_str().unwrap()
}

pub fn reason(error: &DriverError) -> &str {
    error.details["reason"].as_str().unwrap()
}

/// Certificates for one server, by an authority of their own.
pub struct Certificates {
    pub folder: tempfile::TempDir,
    pub authority: String,
}

pub fn certificates(names: &[&str]) -> Certificates {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate whose issuer has its own name for a self-signed one.
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("crt"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.path().join("ca"), authority_certificate.pem()).unwrap();
    Certificates { folder, authority: authority_certificate.pem() }
}

impl Certificates {
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The arguments of a server that speaks TLS on this port.
    pub fn arguments(&self, port: u16) -> Vec<String> {
        let (port, crt, key, ca) = (port.to_string(), self.file("crt"), self.file("key"), self.file("ca"));
        ["--tls-port", &port, "--tls-cert-file", &crt, "--tls-key-file", &key, "--tls-ca-cert-file", &ca]
            .into_iter()
            .chain(["--tls-auth-clients", "no"])
            .map(str::to_owned)
            .collect()
    }
}
