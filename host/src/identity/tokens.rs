//! Verifies bearer tokens (RFC 7519, RFC 8725).
//!
//! The key decides which algorithm checks a signature, never the token: the shared secret does HS256 only, and a key of
//! the JWKS only the algorithm that its type implies. The token's header only chooses among keys.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Number, Value};

use super::jwks::{Jwks, JwksError, NeverFetched, Pace, VerificationKey};
use super::token_cache::{CachedToken, Fingerprint, PROJECT_TOKENS, TokenCache};
use super::{Grants, Principal};
use crate::config::{IdentitySettings, MINIMUM_SECRET_BYTES};

/// How far the issuer's clock may be off: a token is accepted until `exp` + 10 s and from `nbf` − 10 s, both
/// inclusive. It is remembered until `exp` at most.
const LEEWAY: Duration = Duration::from_secs(10);
/// The longest token that is read, in bytes.
pub(super) const MAXIMUM_TOKEN_BYTES: usize = 16 * 1024;

/// The most keys that one token is tried with.
const MOST_TRIES: usize = 16;

/// Why a token is refused. The messages are for clients; none contains the token or anything secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no token.
    #[error("a bearer token is required")]
    Missing,
    /// It is no JWT, a claim has the wrong form, or its header asks for an unsupported feature (`alg: none`, `crit`).
    #[error("the token is malformed")]
    Malformed,
    /// A required claim is missing or has the wrong form.
    #[error("the token has no valid `{0}` claim")]
    MissingClaim(&'static str),
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `aud` names another audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `iss` names another issuer.
    #[error("the token is of another issuer")]
    WrongIssuer,
    /// The key that should have signed the token did not make this signature.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// No key at hand has the token's `kid`.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The token's `alg` is not the algorithm of the key that would verify it.
    #[error("the token's algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// It is signed with a project's own secret, but is not its `service_role` key. Such tokens give no access here.
    #[error("of a project's own keys only the `service_role` key gives access")]
    NotServiceRole,
    /// The keys to verify with are not available now. The only refusal that is not about the token.
    #[error("tokens can't be verified right now")]
    KeysUnavailable,
}

/// The registry could not read a project's secret; it logs why.
#[derive(Debug)]
pub struct SecretUnavailable;

/// The source of projects' own signing secrets (`credentials.jwt_secret`).
#[async_trait]
pub trait ProjectSecrets: Send + Sync {
    /// Gives the secret of the project `reference`; `None` if there is no such project or it has no secret.
    ///
    /// # Errors
    /// [`SecretUnavailable`] when it can't be read now.
    async fn jwt_secret(&self, reference: &str) -> Result<Option<SecretString>, SecretUnavailable>;
}

/// Turns tokens into principals.
pub struct TokenVerifier {
    shared_secret: Option<DecodingKey>,
    jwks: Option<Jwks>,
    audience: String,
    issuer: Option<String>,
    project_secrets: Arc<dyn ProjectSecrets>,
    token_cache: TokenCache,
}

/// The claims that this module reads, besides those that [`jsonwebtoken`] checks.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<Number>,
    /// Any value: other issuers may use this claim for something other than a word.
    #[serde(default)]
    role: Value,
    #[serde(default)]
    app_metadata: Value,
}

/// A verified token's principal, and until when it may be remembered, in Unix seconds.
struct Verified {
    principal: Principal,
    until: u64,
}

impl TokenVerifier {
    /// Makes a verifier with the keys that the settings name. `settings` has passed
    /// [`Settings::check`](crate::config::Settings::check).
    ///
    /// # Errors
    /// [`JwksError`] when the JWKS is a file that can't be used. A key server that is out of reach only causes a
    /// warning, and is asked again later.
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
            token_cache: TokenCache::new(),
        })
    }

    /// Verifies a token and gives its principal. `project` is the reference of the project that the request is about,
    /// if any: if the shared keys do not verify the token, that project's own secret is tried.
    ///
    /// # Errors
    /// [`TokenError`]; for a token signed with a project's own secret that is not its `service_role` key, such as an
    /// `anon` key, [`TokenError::NotServiceRole`].
    pub async fn verify(&self, token: &str, project: Option<&str>) -> Result<Arc<Principal>, TokenError> {
        Ok(self.recognize(token, project).await?.principal)
    }

    /// Does the same, and tells for how long that counts.
    ///
    /// # Errors
    /// As for [`TokenVerifier::verify`].
    pub(super) async fn recognize(
        &self,
        token: &str,
        project: Option<&str>,
    ) -> Result<CachedToken, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAXIMUM_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let now = jsonwebtoken::get_current_timestamp();
        // Read before verifying: if keys change meanwhile, the entry remembered below does not count.
        let generation = self.generation();
        let fingerprint = Fingerprint::of(token);
        if let Some(known) = self.token_cache.get(&fingerprint, now, generation).await {
            return Ok(known);
        }
        let in_project = project.map(|reference| (reference, Fingerprint::within_project(token, reference)));
        if let Some((_, fingerprint)) = &in_project
            && let Some(known) = self.token_cache.get(fingerprint, now, generation).await
        {
            return Ok(known);
        }

        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            // Extensions that must be understood (RFC 7515 §4.1.11); the gateway understands none.
            return Err(TokenError::Malformed);
        }
        let refusal = match self.verify_shared(token, &header).await {
            Ok(verified) => return Ok(self.remember(fingerprint, verified, generation).await),
            Err(refusal) => refusal,
        };
        // The shared secret may also be the project's own (a single-project installation): then the project's
        // `service_role` key is genuine, but is no user's token. Only a refusal that holds for any key is final here.
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

    /// Gives a number that changes whenever the published keys do.
    pub(super) fn generation(&self) -> u64 {
        self.jwks.as_ref().map_or(0, Jwks::generation)
    }

    /// Remembers a token that was verified with this generation of keys.
    async fn remember(&self, fingerprint: Fingerprint, verified: Verified, generation: u64) -> CachedToken {
        let principal = Arc::new(verified.principal);
        let entry = CachedToken { principal, until: verified.until, generation };
        self.token_cache.insert(fingerprint, entry.clone()).await;
        entry
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

    /// Verifies a token with the keys of the JWKS that its header may mean; `None` means: try the shared secret.
    async fn verify_published(
        &self,
        token: &str,
        header: &Header,
        required: &[&str],
    ) -> Option<Result<Claims, TokenError>> {
        let jwks = self.jwks.as_ref()?;
        let kid = header.kid.as_deref();
        if header.alg == Algorithm::HS256 {
            // No key of the JWKS does HS256, so asking the source again would not help; and without a `kid` nothing
            // points to the JWKS. With the `kid` of a published key, that key is tried, and refuses.
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
        // The key at hand may have been replaced by another of the same name.
        match jwks.find_newer(kid, generation).await {
            Some(keys) => Some(self.try_keys(token, header.alg, &keys, required)),
            None => Some(verified),
        }
    }

    /// Tries those of the keys that do the token's algorithm: several may share a name, or the token may name none.
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

    /// Verifies a project's service key with the project's own secret. Such a key has no `sub` and usually no `aud`,
    /// and its `iss` is the project's own; `exp` is required.
    async fn verify_in_project(&self, token: &str, reference: &str) -> Result<Verified, TokenError> {
        let secret = self.project_secrets.jwt_secret(reference).await;
        let secret = secret.map_err(|SecretUnavailable| TokenError::KeysUnavailable)?;
        // A short secret, above all an empty one, can be guessed: a project that has one can't use its keys here.
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

/// Tells whether a text can be a user's name: PostgreSQL's text has no zero bytes.
fn is_subject(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

impl Claims {
    /// Gives `exp` in Unix seconds, without its fraction.
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
