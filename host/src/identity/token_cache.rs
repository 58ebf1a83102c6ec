//! Tokens that were verified a moment ago. For them a request costs one hash and no other cryptography.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest, Sha256};

use super::Principal;

/// How many tokens are remembered. An entry is about 300 bytes.
const CAPACITY: u64 = 10_000;
/// How long any token is remembered, so that a withdrawn key is noticed.
const AT_MOST: Duration = Duration::from_secs(3600);
/// How long a token signed with a project's own secret is remembered: the secret may change at any time, and this
/// module is not told.
pub(super) const PROJECT_TOKENS: Duration = Duration::from_secs(1);

/// The key under which a token is remembered: its hash, together with the project's reference if the project's own
/// secret verified it. The token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Makes the key of a token that shared keys verify.
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Makes the key of a token that the project's own secret verifies. No token contains a zero byte, so no two pairs
    /// of token and reference are hashed alike.
    pub(super) fn within_project(token: &str, reference: &str) -> Self {
        Self(Sha256::new().chain_update(token).chain_update([0]).chain_update(reference).finalize().into())
    }
}

/// A token's principal, and for how long the entry counts.
#[derive(Clone)]
pub(super) struct CachedToken {
    pub(super) principal: Arc<Principal>,
    /// The last Unix second in which the entry counts; never later than the token's `exp`.
    pub(super) until: u64,
    /// The generation of the JWKS that verified it. An entry from before a key rotation does not count, even if its
    /// verification ended after the rotation.
    pub(super) generation: u64,
}

/// Tokens that were verified a moment ago.
pub(super) struct TokenCache(Cache<Fingerprint, CachedToken>);

impl TokenCache {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_live(AT_MOST).build())
    }

    /// Gives the principal remembered for a token, unless its time was over before `now` (Unix seconds) or keys
    /// changed.
    pub(super) async fn get(
        &self,
        fingerprint: &Fingerprint,
        now: u64,
        generation: u64,
    ) -> Option<Arc<Principal>> {
        let entry = self.0.get(fingerprint).await?;
        (now <= entry.until && entry.generation == generation).then_some(entry.principal)
    }

    pub(super) async fn insert(&self, fingerprint: Fingerprint, entry: CachedToken) {
        self.0.insert(fingerprint, entry).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn token_cache(until: u64, generation: u64) -> (TokenCache, Fingerprint) {
        let token_cache = TokenCache::new();
        let fingerprint = Fingerprint::of("a.b.c");
        let principal = Arc::new(Principal::ProjectService { reference: "acme".to_owned() });
        token_cache.insert(fingerprint, CachedToken { principal, until, generation }).await;
        (token_cache, fingerprint)
    }

    #[tokio::test]
    async fn entry_counts_until_its_second_and_not_past_it() {
        let (token_cache, fingerprint) = token_cache(100, 1).await;
        assert!(token_cache.get(&fingerprint, 100, 1).await.is_some());
        assert!(token_cache.get(&fingerprint, 101, 1).await.is_none());
    }

    #[tokio::test]
    async fn entry_does_not_outlive_a_key_rotation() {
        let (token_cache, fingerprint) = token_cache(100, 1).await;
        assert!(token_cache.get(&fingerprint, 50, 2).await.is_none());
    }

    #[test]
    fn fingerprints_differ_by_token_and_by_project() {
        let all = [
            Fingerprint::of("a.b.c").0,
            Fingerprint::of("a.b.d").0,
            Fingerprint::within_project("a.b.c", "acme").0,
            Fingerprint::within_project("a.b.c", "other").0,
            Fingerprint::within_project("a.b.ca", "cme").0,
        ];
        assert_eq!(std::collections::HashSet::from(all).len(), all.len());
    }
}
