//! Tokens that were verified a moment ago. For them a request costs one hash and no other cryptography.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
/// secret verified it, or with all parts of a request that decide what it may do. The token itself is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

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

    /// Makes the key of a request with a token and of these parts. Their lengths are hashed too, so that no two lists of
    /// as many parts are hashed alike.
    pub(super) fn of_request<const PARTS: usize>(token: &str, parts: [&[u8]; PARTS]) -> Self {
        let mut hash = Sha256::new().chain_update(token);
        for part in parts {
            hash.update(part);
        }
        for length in [token.len()].into_iter().chain(parts.map(<[u8]>::len)) {
            hash.update(length.to_le_bytes());
        }
        Self(hash.finalize().into())
    }

    /// Gives a number of the key that is below `bound`; keys are spread evenly.
    pub fn below(&self, bound: usize) -> usize {
        let [one, two, three, four, ..] = self.0;
        u32::from_le_bytes([one, two, three, four]) as usize % bound.max(1)
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

impl CachedToken {
    /// Gives the time from now to the end of the last second in which the entry counts.
    pub(super) fn time_left(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(self.until).saturating_add(Duration::from_secs(1)).saturating_sub(now)
    }
}

/// Tokens that were verified a moment ago.
pub(super) struct TokenCache(Cache<Fingerprint, CachedToken>);

impl TokenCache {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).time_to_live(AT_MOST).build())
    }

    /// Gives the entry of a token, unless its time was over before `now` (Unix seconds) or keys changed.
    pub(super) async fn get(
        &self,
        fingerprint: &Fingerprint,
        now: u64,
        generation: u64,
    ) -> Option<CachedToken> {
        let entry = self.0.get(fingerprint).await?;
        (now <= entry.until && entry.generation == generation).then_some(entry)
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

    #[test]
    fn time_left_ends_with_the_last_second() {
        let principal = Arc::new(Principal::ProjectService { reference: "acme".to_owned() });
        let now = jsonwebtoken::get_current_timestamp();
        let time_left =
            |until| CachedToken { principal: principal.clone(), until, generation: 0 }.time_left();
        assert_eq!(time_left(now - 1), Duration::ZERO);
        assert!(time_left(now + 3600) > Duration::from_secs(3590));
        assert!(time_left(now + 3600) <= Duration::from_secs(3601));
        assert!(time_left(u64::MAX) > Duration::from_secs(u64::MAX / 2));
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
            Fingerprint::of_request("a.b.c", []).0,
            Fingerprint::of_request("a.b.c", [b"acme", b"redis"]).0,
            Fingerprint::of_request("a.b.c", [b"acm", b"eredis"]).0,
            Fingerprint::of_request("a.b.c", [b"redis", b"acme"]).0,
            Fingerprint::of_request("a.b.cacme", [b"", b"redis"]).0,
            Fingerprint::of_request("a.b.c", [b"acme", b"redis", b""]).0,
            Fingerprint::of_request("a.b.c", [b"acme", b"", b"redis"]).0,
        ];
        assert_eq!(std::collections::HashSet::from(all).len(), all.len());
    }
}
