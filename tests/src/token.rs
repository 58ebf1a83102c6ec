//! Tokens of every kind, good and bad.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use serde_json::{Map, Value, json};

/// A token that can be made. [`Token::user`] makes a good one.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Map<String, Value>,
}

impl Token {
    /// Makes a user's token, valid for an hour, that by itself gives no role.
    pub fn user(subject: &str) -> Self {
        let token = Self { claims: Map::new() };
        let token = token.claim("sub", subject).claim("aud", "authenticated").claim("role", "authenticated");
        token.expires_in(3600)
    }

    /// Makes a platform admin's token.
    pub fn platform_admin() -> Self {
        Self::user("platform-admin").metadata("platform_role", "admin".into())
    }

    /// Makes a project's own key, as a Studio makes them: without `sub` and `aud`. `role`: `service_role`, `anon`.
    pub fn project_key(role: &str) -> Self {
        Self::user("").claim("role", role).claim("iss", "supabase").without("sub").without("aud")
    }

    /// Gives a role on a project by the token itself; `*` is every project.
    pub fn grant(self, reference: &str, role: &str) -> Self {
        let mut projects =
            self.claims.get("app_metadata").and_then(|metadata| metadata.get("projects")).cloned();
        let projects = projects.get_or_insert_with(|| json!({}));
        projects[reference] = role.into();
        let projects = projects.clone();
        self.metadata("projects", projects)
    }

    fn metadata(mut self, name: &str, value: Value) -> Self {
        self.claims.entry("app_metadata").or_insert_with(|| json!({}))[name] = value;
        self
    }

    /// Makes it expire this many seconds from now; negative: it has expired.
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", get_current_timestamp().saturating_add_signed(seconds))
    }

    /// Makes it invalid before this many seconds from now.
    pub fn valid_in(self, seconds: i64) -> Self {
        self.claim("nbf", get_current_timestamp().saturating_add_signed(seconds))
    }

    /// Sets any claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Takes a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Signs it as it should be: HS256.
    pub fn sign(&self, secret: &str) -> String {
        self.sign_with(Algorithm::HS256, secret)
    }

    /// Signs it with another HMAC algorithm.
    pub fn sign_with(&self, algorithm: Algorithm, secret: &str) -> String {
        self.encode(algorithm, &EncodingKey::from_secret(secret.as_bytes()))
    }

    /// Signs it with a fresh elliptic-curve key.
    pub fn sign_with_fresh_key(&self) -> String {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        self.encode(Algorithm::ES256, &EncodingKey::from_ec_der(&key.serialize_der()))
    }

    /// Writes it without a signature: `alg` is `none`.
    pub fn unsigned(&self) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&self.claims.clone().into()))
    }

    fn encode(&self, algorithm: Algorithm, key: &EncodingKey) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), &self.claims, key).unwrap()
    }
}
