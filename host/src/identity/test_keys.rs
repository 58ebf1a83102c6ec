//! Keys for tests. `aws-lc-rs` makes them and signs with them directly, and they are published as JWKs, so that the
//! code under test does not check its own work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaPublicKeyComponents,
};
use aws_lc_rs::{hmac, signature};
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A private key with its key id.
pub(super) struct TestKey {
    kid: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Encodes as base64url without padding (RFC 7515 §2).
pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Makes a token with exactly this header and these claims, signed with a shared secret.
pub(super) fn sign_with_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", encode(tag))
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

impl TestKey {
    pub(super) fn rsa(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub(super) fn ec(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Ec(pair) }
    }

    pub(super) fn ed(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// Gives the public half, without `alg` and `use`.
    pub(super) fn jwk(&self) -> Value {
        let kid = &self.kid;
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kid": kid, "kty": "RSA", "n": encode(public.n), "e": encode(public.e)})
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kid": kid, "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
            Pair::Ed(pair) => {
                json!({"kid": kid, "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())})
            }
        }
    }

    /// Makes a token with this key's `alg` and `kid`.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_header(&json!({"alg": self.algorithm(), "kid": self.kid}), claims)
    }

    /// Makes a token with any header.
    pub(super) fn sign_header(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signed).unwrap();
                signed
            }
            Pair::Ec(pair) => bytes(&pair.sign(&random, message.as_bytes()).unwrap()),
            Pair::Ed(pair) => bytes(&pair.sign(message.as_bytes())),
        };
        format!("{message}.{}", encode(signed))
    }
}

fn bytes(signature: &signature::Signature) -> Vec<u8> {
    signature.as_ref().to_vec()
}

/// A key server on a free local port.
pub(super) struct KeyServer {
    pub(super) url: reqwest::Url,
    state: Arc<ServerState>,
}

#[derive(Default)]
struct ServerState {
    /// The answer; `None` is a 503.
    document: Mutex<Option<String>>,
    requests: AtomicUsize,
    delay: Mutex<Duration>,
}

/// Makes a key set document.
pub(super) fn key_set(keys: &[&TestKey]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

impl KeyServer {
    pub(super) async fn start(document: Option<String>) -> Self {
        let state = Arc::new(ServerState { document: Mutex::new(document), ..ServerState::default() });
        let redirect = async || axum::response::Redirect::temporary("/jwks.json");
        let app = axum::Router::new()
            .route("/redirect", axum::routing::get(redirect))
            .route("/jwks.json", axum::routing::get(answer))
            .with_state(state.clone());
        let listener = studio_test_servers::listener().unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    pub(super) fn publish(&self, document: Option<String>) {
        *self.state.document.lock().unwrap() = document;
    }

    pub(super) fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

async fn answer(State(state): State<Arc<ServerState>>) -> Result<String, StatusCode> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let delay = *state.delay.lock().unwrap();
    tokio::time::sleep(delay).await;
    state.document.lock().unwrap().clone().ok_or(StatusCode::SERVICE_UNAVAILABLE)
}
