//! Verifying bearer tokens (RFC 7519, RFC 8725).
//!
//! Which algorithm a signature is checked with is a property of the key, never of the token: the shared secret does
//! HS256 alone, a key of the JWKS the one algorithm its type means. The token's header only chooses among keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::jwks::{Jwks, JwksError, NeverFetched, Pace, VerificationKey};
use super::remembered::{Entry, Fingerprint, PROJECT_TOKENS, Remembered};
use super::{Grants, Principal};
use crate::config::{IdentitySettings, MINIMUM_SECRET_BYTES};

/// How far the issuer's clock may be off: a token is accepted until `exp` + 10 s and from `nbf` − 10 s, both
/// inclusive. It is remembered until `exp` at most.
const LEEWAY: Duration = Duration::from_secs(10);
/// Tokens longer than this are not looked at, in bytes.
const MAXIMUM_TOKEN_BYTES: usize = 16 * 1024;

/// The most keys that one token is tried with.
const MOST_TRIES: usize = 16;

/// Why a token is refused. The messages are for clients; none holds the token or anything secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no token.
    #[error("a bearer token is required")]
    Missing,
    /// It is no JWT, or a claim has the wrong form, or its header asks for what is not supported (`alg: none`,
    /// `crit`).
    #[error("the token is malformed")]
    Malformed,
    /// A claim that is required is not there, or not of the right form.
    #[error("the token has no valid `{0}` claim")]
    MissingClaim(&'static str),
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `aud` is another.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `iss` is another.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// The signature is not of the key it should be of.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// No key at hand has the token's `kid`.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The token's `alg` is not that of the key that would verify it.
    #[error("the token's algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// It is a project's own token, but not its `service_role` key; such give nothing here.
    #[error("of a project's own keys only the `service_role` key gives access")]
    NotServiceRole,
    /// The keys to verify with can't be had right now. The only refusal that is not about the token.
    #[error("tokens can't be verified right now")]
    KeysUnavailable,
}

/// The registry could not say what a project's secret is; it logs why.
#[derive(Debug)]
pub struct SecretUnavailable;

/// Where a project's own signing secret comes from (`credentials.jwt_secret`).
#[async_trait]
pub trait ProjectSecrets: Send + Sync {
    /// The secret of the project `reference`, `None` if there is no such project or it has none.
    ///
    /// # Errors
    /// [`SecretUnavailable`] when it can't be known now.
    async fn jwt_secret(&self, reference: &str) -> Result<Option<SecretString>, SecretUnavailable>;
}

/// Turns tokens into principals.
pub struct TokenVerifier {
    shared_secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    audience: String,
    issuer: Option<String>,
    project_secrets: Arc<dyn ProjectSecrets>,
    remembered: Remembered,
}

/// The claims that matter here, besides those that [`jsonwebtoken`] checks.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<Number>,
    /// Any value: to other issuers it may be something else than a word.
    #[serde(default)]
    role: Value,
    #[serde(default)]
    app_metadata: Value,
}

/// A verified token: whose it is, and until when that may be remembered, in Unix seconds.
struct Verified {
    principal: Principal,
    until: u64,
}

impl TokenVerifier {
    /// A verifier with the keys that the settings name. `settings` has passed
    /// [`Settings::check`](crate::config::Settings::check).
    ///
    /// # Errors
    /// [`JwksError`] when the JWKS is a file that can't be used. A key server that is out of reach is warned about
    /// and asked again later.
    pub async fn open(
        settings: &IdentitySettings,
        project_secrets: Arc<dyn ProjectSecrets>,
    ) -> Result<Self, JwksError> {
        Self::open_at_pace(settings, project_secrets, Pace::default()).await
    }

    async fn open_at_pace(
        settings: &IdentitySettings,
        project_secrets: Arc<dyn ProjectSecrets>,
        pace: Pace,
    ) -> Result<Self, JwksError> {
        let jwks = match &settings.jwks_url {
            Some(source) => Some(Jwks::open(source.clone(), settings.jwks_algorithms.clone(), pace).await?),
            None => None,
        };
        let shared_secret = settings.jwt_secret.as_ref();
        Ok(Self {
            shared_secret: shared_secret
                .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes())),
            jwks,
            audience: settings.audience.clone(),
            issuer: settings.issuer.clone(),
            project_secrets,
            remembered: Remembered::new(),
        })
    }

    /// Whose token this is. `project` is the reference of the project that the request is about, if it is about one:
    /// a token that the shared keys do not verify is then tried with that project's own secret.
    ///
    /// # Errors
    /// [`TokenError`]; an `anon` key, or any other token of a project's own but the `service_role` one, is
    /// [`TokenError::NotServiceRole`].
    pub async fn verify(&self, token: &str, project: Option<&str>) -> Result<Arc<Principal>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAXIMUM_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let now = jsonwebtoken::get_current_timestamp();
        // Read before verifying: should keys change meanwhile, what is remembered below does not count.
        let generation = self.jwks.as_ref().map_or(0, Jwks::generation);
        let fingerprint = Fingerprint::of(token);
        if let Some(principal) = self.remembered.get(&fingerprint, now, generation).await {
            return Ok(principal);
        }
        let in_project = project.map(|reference| (reference, Fingerprint::within_project(token, reference)));
        if let Some((_, fingerprint)) = &in_project
            && let Some(principal) = self.remembered.get(fingerprint, now, generation).await
        {
            return Ok(principal);
        }

        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            // Extensions that must be understood (RFC 7515 §4.1.11): none is.
            return Err(TokenError::Malformed);
        }
        let refusal = match self.verify_shared(token, &header).await {
            Ok(verified) => return Ok(self.remember(fingerprint, verified, generation).await),
            Err(refusal) => refusal,
        };
        // The shared secret may also be a project's own (a single-project installation): then the project's
        // `service_role` key is genuine, but no user's. Only what is true of any key's token ends the matter.
        let (Some((reference, fingerprint)), Algorithm::HS256) = (in_project, header.alg) else {
            return Err(refusal);
        };
        if matches!(refusal, TokenError::Expired | TokenError::NotYetValid | TokenError::Malformed) {
            return Err(refusal);
        }
        match self.verify_in_project(token, reference).await {
            Ok(mut verified) => {
                verified.until = verified.until.min(now + PROJECT_TOKENS.as_secs());
                Ok(self.remember(fingerprint, verified, generation).await)
            }
            Err(TokenError::BadSignature) => Err(refusal),
            Err(error) => Err(error),
        }
    }

    /// Remembers a token that was verified under this generation of keys.
    async fn remember(
        &self,
        fingerprint: Fingerprint,
        verified: Verified,
        generation: u64,
    ) -> Arc<Principal> {
        let principal = Arc::new(verified.principal);
        let entry = Entry { principal: Arc::clone(&principal), until: verified.until, generation };
        self.remembered.insert(fingerprint, entry).await;
        principal
    }

    /// Verifies a user's token with the shared keys.
    async fn verify_shared(&self, token: &str, header: &Header) -> Result<Verified, TokenError> {
        let mut required = vec!["exp", "aud"];
        let issuer = self.issuer.as_deref();
        required.extend(issuer.map(|_| "iss"));
        let claims = match (self.verify_published(token, header, &required).await, &self.shared_secret) {
            (Some(verified), _) => verified,
            (None, Some(secret)) => self.decode(token, secret, Algorithm::HS256, issuer, &required),
            (None, None) => Err(TokenError::AlgorithmNotAllowed),
        }?;
        let until = claims.expires()?;
        let subject =
            claims.sub.filter(|subject| is_subject(subject)).ok_or(TokenError::MissingClaim("sub"))?;
        let grants = Grants::from_app_metadata(&claims.app_metadata);
        Ok(Verified { principal: Principal::User { subject, grants }, until })
    }

    /// Verifies a token with the keys of the JWKS that its header may mean; `None`: the shared secret is to be tried.
    async fn verify_published(
        &self,
        token: &str,
        header: &Header,
        required: &[&str],
    ) -> Option<Result<Claims, TokenError>> {
        let jwks = self.jwks.as_ref()?;
        let kid = header.kid.as_deref();
        if header.alg == Algorithm::HS256 {
            // No key of the JWKS does HS256, so that asking the source again could not help; and without a `kid`
            // nothing points to the JWKS. With the `kid` of a published key it is that key, which will refuse.
            let keys = jwks.find_known(Some(kid?))?;
            return Some(self.try_keys(token, header.alg, &keys, required));
        }
        let generation = jwks.generation();
        let verified = match jwks.find(kid).await {
            Ok(Some(keys)) => self.try_keys(token, header.alg, &keys, required),
            Ok(None) => Err(TokenError::UnknownKey),
            Err(NeverFetched) => Err(TokenError::KeysUnavailable),
        };
        if !matches!(verified, Err(TokenError::BadSignature | TokenError::AlgorithmNotAllowed)) {
            return Some(verified);
        }
        // Another key may have taken the place of the one at hand, under the same name.
        match jwks.find_newer(kid, generation).await {
            Some(keys) => Some(self.try_keys(token, header.alg, &keys, required)),
            None => Some(verified),
        }
    }

    /// Tries those of the keys that do the token's algorithm: several may have one name, or the token names none.
    fn try_keys(
        &self,
        token: &str,
        algorithm: Algorithm,
        keys: &[Arc<VerificationKey>],
        required: &[&str],
    ) -> Result<Claims, TokenError> {
        let mut verified = Err(TokenError::AlgorithmNotAllowed);
        for key in keys.iter().filter(|key| key.algorithm == algorithm).take(MOST_TRIES) {
            verified = self.decode(token, &key.key, key.algorithm, self.issuer.as_deref(), required);
            if !matches!(verified, Err(TokenError::BadSignature)) {
                break;
            }
        }
        verified
    }

    /// Verifies a project's service key with the project's own secret. Such keys have neither `sub` nor, in the
    /// usual case, `aud`, and their `iss` is the project's; `exp` is required of them too.
    async fn verify_in_project(&self, token: &str, reference: &str) -> Result<Verified, TokenError> {
        let secret = self.project_secrets.jwt_secret(reference).await;
        let secret = secret.map_err(|SecretUnavailable| TokenError::KeysUnavailable)?;
        // A short secret, above all an empty one, can be guessed: such a project has no keys here.
        let secret = secret
            .filter(|secret| secret.expose_secret().len() >= MINIMUM_SECRET_BYTES)
            .ok_or(TokenError::BadSignature)?;
        let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
        let claims = self.decode(token, &key, Algorithm::HS256, None, &["exp"])?;
        if claims.role != "service_role" {
            return Err(TokenError::NotServiceRole);
        }
        let until = claims.expires()?;
        Ok(Verified { principal: Principal::ProjectService { reference: reference.to_owned() }, until })
    }

    /// Checks signature, times, audience and issuer.
    fn decode(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
        issuer: Option<&str>,
        required: &[&str],
    ) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(required);
        if let Some(issuer) = issuer {
            validation.set_issuer(&[issuer]);
        }
        jsonwebtoken::decode(token, key, &validation)
            .map(|decoded| decoded.claims)
            .map_err(|error| TokenError::from(error.kind()))
    }
}

/// Whether anyone can be named so: PostgreSQL has no place for a zero byte in a text.
fn is_subject(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

impl Claims {
    /// `exp` in Unix seconds; a fraction is cut off.
    fn expires(&self) -> Result<u64, TokenError> {
        let seconds = self.exp.as_ref().and_then(Number::as_f64).ok_or(TokenError::MissingClaim("exp"))?;
        Ok(seconds as u64)
    }
}

impl From<&ErrorKind> for TokenError {
    fn from(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidAudience => Self::WrongAudience,
            ErrorKind::InvalidIssuer => Self::WrongIssuer,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Self::AlgorithmNotAllowed,
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidEcdsaKey
            | ErrorKind::InvalidEddsaKey
            | ErrorKind::InvalidRsaKey(_) => Self::BadSignature,
            ErrorKind::MissingRequiredClaim(claim) => Self::MissingClaim(match claim.as_str() {
                "aud" => "aud",
                "iss" => "iss",
                _ => "exp",
            }),
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
