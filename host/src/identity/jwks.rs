//! The public keys of a JSON Web Key Set (RFC 7517), fetched from a server or read from a file, and refreshed.
//!
//! The set is fetched again for a token whose `kid` is unknown or whose key does not verify it: one fetch at a time,
//! and at most one in every [`Pace::minimum_interval`], so that invented tokens can't make the gateway overload its key
//! server. If the source is out of reach, the keys at hand stay in use.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::config::{JwksAlgorithm, JwksSource};

/// How long fetching the set may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest document that is read, in bytes.
const MAXIMUM_BYTES: usize = 1024 * 1024;

/// Why the key set can't be read. Shown to operators, not to clients.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The HTTP client can't be made.
    #[error("can't make an HTTP client for the JWKS")]
    Client(#[source] reqwest::Error),
    /// The server is out of reach, too slow, or answers with an error.
    #[error("can't fetch the JWKS")]
    Fetch(#[source] reqwest::Error),
    /// The file can't be read.
    #[error("can't read the JWKS file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The document is longer than any sensible key set.
    #[error("the JWKS is longer than {MAXIMUM_BYTES} bytes")]
    TooLarge,
    /// The document is no key set.
    #[error("the JWKS is not a JSON object with an array `keys` (RFC 7517 §5)")]
    NotAKeySet(#[source] serde_json::Error),
}

/// How often the set may be fetched, and how often it must be.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// The least time between the end of one fetch and the start of the next.
    pub(super) minimum_interval: Duration,
    /// A set older than this is fetched again at its next use.
    pub(super) maximum_age: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { minimum_interval: Duration::from_secs(10), maximum_age: Duration::from_secs(3600) }
    }
}

/// A key that verifies signatures, and the one algorithm that it may be used with.
pub(super) struct VerificationKey {
    jwk: Jwk,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// A fetched set.
struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
    fetched: Instant,
}

/// The key set of one source. Clones share it and are cheap.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Inner>);

enum Source {
    File(PathBuf),
    Server { client: reqwest::Client, url: reqwest::Url },
}

struct Inner {
    source: Source,
    algorithms: Vec<JwksAlgorithm>,
    pace: Pace,
    /// `None` until the first fetch succeeds.
    current: ArcSwapOption<KeySet>,
    /// Grows whenever the keys in `current` change.
    generation: AtomicU64,
    /// When the last fetch ended. A fetch holds this lock, so there is one at a time; a warm request never takes it.
    last_fetch: Mutex<Option<Instant>>,
}

impl Jwks {
    /// Opens a source and reads its keys.
    ///
    /// # Errors
    /// When a file can't be used, or the HTTP client can't be made. A server that is out of reach only causes a
    /// warning: it is asked again when the first token comes.
    pub(super) async fn open(
        source: JwksSource,
        algorithms: Vec<JwksAlgorithm>,
        pace: Pace,
    ) -> Result<Self, JwksError> {
        let source = match source {
            JwksSource::File(path) => Source::File(path),
            JwksSource::Url(url) => {
                let encrypted = url.scheme() == "https";
                if !encrypted {
                    tracing::warn!(
                        "the JWKS is fetched without TLS: whoever is on the way can replace its keys"
                    );
                }
                let client = reqwest::Client::builder()
                    .timeout(FETCH_TIMEOUT)
                    // A redirect must not lead away from TLS.
                    .https_only(encrypted)
                    .redirect(reqwest::redirect::Policy::limited(3));
                Source::Server { client: client.build().map_err(JwksError::Client)?, url }
            }
        };
        let inner = Arc::new(Inner {
            source,
            algorithms,
            pace,
            current: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            last_fetch: Mutex::new(None),
        });
        match inner.refresh().await {
            Err(error) if matches!(inner.source, Source::File(_)) => Err(error),
            _ => Ok(Self(inner)),
        }
    }

    /// Gives a number that changes whenever the keys do.
    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Gives the keys at hand that are named `kid`, or all of them without a `kid` to look for; `None` if there are
    /// none.
    pub(super) fn find_known(&self, kid: Option<&str>) -> Option<Vec<Arc<VerificationKey>>> {
        let current = self.0.current.load();
        let set = current.as_ref()?;
        if set.fetched.elapsed() > self.0.pace.maximum_age {
            // Nobody waits for this: the keys at hand stay in use until the answer arrives.
            drop(self.spawn_refresh());
        }
        set.find(kid)
    }

    /// Gives the keys named `kid`, and asks the source again if there are none at hand. `Ok(None)` means that the
    /// source has neither such a key nor one without a name.
    ///
    /// # Errors
    /// [`NeverFetched`] when there are no keys at all because the source never answered.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
    ) -> Result<Option<Vec<Arc<VerificationKey>>>, NeverFetched> {
        if let Some(keys) = self.find_known(kid) {
            return Ok(Some(keys));
        }
        // This fails only if the task panicked; then the keys are unchanged.
        let _ = self.spawn_refresh().await;
        match self.0.current.load().as_ref() {
            Some(set) => Ok(set.find(kid).or_else(|| set.find_nameless())),
            None => Err(NeverFetched),
        }
    }

    /// Does the same with a set that is newer than this generation; asks the source for one if need be.
    pub(super) async fn find_newer(
        &self,
        kid: Option<&str>,
        generation: u64,
    ) -> Option<Vec<Arc<VerificationKey>>> {
        if self.generation() == generation {
            let _ = self.spawn_refresh().await;
        }
        if self.generation() == generation {
            return None;
        }
        let current = self.0.current.load();
        let set = current.as_ref()?;
        set.find(kid).or_else(|| set.find_nameless())
    }

    /// Refreshes in a separate task, so that a caller that goes away does not end the fetch.
    fn spawn_refresh(&self) -> tokio::task::JoinHandle<()> {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            // The error has been logged.
            let _ = inner.refresh().await;
        })
    }
}

/// There are no keys: the source has never answered.
#[derive(Debug)]
pub(super) struct NeverFetched;

impl Inner {
    /// Asks the source, unless that was done a moment ago: then that answer counts for this call too.
    async fn refresh(&self) -> Result<(), JwksError> {
        let mut last_fetch = self.last_fetch.lock().await;
        if last_fetch.is_some_and(|ended| ended.elapsed() < self.pace.minimum_interval) {
            return Ok(());
        }
        let outcome = self.fetch().await.and_then(|document| read_keys(&document, &self.algorithms));
        *last_fetch = Some(Instant::now());
        match outcome {
            Ok(keys) => {
                self.replace(keys);
                Ok(())
            }
            Err(error) => {
                let cause: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error = cause, "the JWKS could not be refreshed");
                Err(error)
            }
        }
    }

    /// Takes freshly fetched keys into use.
    fn replace(&self, keys: Vec<Arc<VerificationKey>>) {
        let unchanged = self
            .current
            .load()
            .as_ref()
            .is_some_and(|old| old.keys.iter().map(|key| &key.jwk).eq(keys.iter().map(|key| &key.jwk)));
        self.current.store(Some(Arc::new(KeySet { keys, fetched: Instant::now() })));
        if !unchanged {
            // After the keys: a reader of the new generation that then verifies uses the new keys.
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    async fn fetch(&self) -> Result<Vec<u8>, JwksError> {
        match &self.source {
            Source::Server { client, url } => fetch_url(client, url.clone()).await,
            Source::File(path) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&file)).await;
                let failed = |cause| JwksError::File { path: path.clone(), cause };
                let document = read.map_err(std::io::Error::other).flatten().map_err(failed)?;
                if document.len() > MAXIMUM_BYTES { Err(JwksError::TooLarge) } else { Ok(document) }
            }
        }
    }
}

/// Reads the usable keys of a document. One unusable key does not spoil the others: a provider may also publish keys
/// for encryption, or of future kinds.
pub(super) fn read_keys(
    document: &[u8],
    algorithms: &[JwksAlgorithm],
) -> Result<Vec<Arc<VerificationKey>>, JwksError> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<serde_json::Value>,
    }
    let document: Document = serde_json::from_slice(document).map_err(JwksError::NotAKeySet)?;
    let mut keys = Vec::with_capacity(document.keys.len());
    for value in document.keys {
        let kid = value.get("kid").and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
        let jwk = serde_json::from_value(value).map_err(|_| "it is not a JSON Web Key");
        match jwk.and_then(|jwk| VerificationKey::new(jwk, algorithms)) {
            Ok(key) => keys.push(Arc::new(key)),
            Err(reason) => tracing::debug!(kid, reason, "a key of the JWKS is not used"),
        }
    }
    if keys.is_empty() {
        tracing::warn!("the JWKS has no key that verifies tokens by an allowed algorithm");
    }
    Ok(keys)
}

impl KeySet {
    fn find(&self, kid: Option<&str>) -> Option<Vec<Arc<VerificationKey>>> {
        self.choose(|key| kid.is_none() || key.jwk.common.key_id.as_deref() == kid)
    }

    /// Gives the keys without a name, which no token can name.
    fn find_nameless(&self) -> Option<Vec<Arc<VerificationKey>>> {
        self.choose(|key| key.jwk.common.key_id.is_none())
    }

    fn choose(&self, which: impl Fn(&VerificationKey) -> bool) -> Option<Vec<Arc<VerificationKey>>> {
        let chosen: Vec<_> = self.keys.iter().filter(|key| which(key)).cloned().collect();
        (!chosen.is_empty()).then_some(chosen)
    }
}

impl VerificationKey {
    /// Binds a key to the algorithm that its type and curve imply; returns the reason if it must not be used.
    fn new(jwk: Jwk, allowed: &[JwksAlgorithm]) -> Result<Self, &'static str> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => JwksAlgorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                JwksAlgorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                JwksAlgorithm::EdDSA
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err("it is a shared secret, which a JWKS must not publish");
            }
            _ => return Err("its type or curve is not supported"),
        };
        if !allowed.contains(&algorithm) {
            return Err("its algorithm is not among identity.jwks_algorithms");
        }
        let algorithm = match algorithm {
            JwksAlgorithm::RS256 => Algorithm::RS256,
            JwksAlgorithm::ES256 => Algorithm::ES256,
            JwksAlgorithm::EdDSA => Algorithm::EdDSA,
        };
        if jwk.common.key_algorithm.is_some_and(|declared| declared != KeyAlgorithm::from(algorithm)) {
            return Err("its own `alg` is not one that is supported for its type");
        }
        if jwk.common.public_key_use.as_ref().is_some_and(|declared| *declared != PublicKeyUse::Signature) {
            return Err("its `use` is not `sig`");
        }
        if jwk
            .common
            .key_operations
            .as_ref()
            .is_some_and(|declared| !declared.contains(&KeyOperations::Verify))
        {
            return Err("its `key_ops` lack `verify`");
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| "its numbers are not base64url")?;
        Ok(Self { jwk, algorithm, key })
    }
}

/// Gets the body of a URL, if it is not too long.
async fn fetch_url(client: &reqwest::Client, url: reqwest::Url) -> Result<Vec<u8>, JwksError> {
    // Without the URL, whose query may be confidential.
    let failed = |error: reqwest::Error| JwksError::Fetch(error.without_url());
    let response = client.get(url).send().await.map_err(failed)?;
    let mut response = response.error_for_status().map_err(failed)?;
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if document.len() + chunk.len() > MAXIMUM_BYTES {
            return Err(JwksError::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

/// Reads a file, up to one byte more than allowed.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    std::fs::File::open(path)?.take(MAXIMUM_BYTES as u64 + 1).read_to_end(&mut document)?;
    Ok(document)
}

#[cfg(test)]
#[path = "jwks_tests.rs"]
mod tests;
