//! Tests of tokens signed with the shared secret or a key of the JWKS.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::config::{JwksSource, Secret};
use crate::identity::test_keys::{KeyServer, TestKey, encode, key_set, sign_with_secret};
use crate::identity::{NewToken, issue_token};
use crate::role::Role;

const SECRET: &str = "a shared secret of at least 32 bytes";
const ACME_SECRET: &str = "the secret of project acme, 32 bytes+";

/// Projects' secrets in memory; counts how often they are read.
#[derive(Default)]
struct Projects {
    secrets: Mutex<BTreeMap<String, String>>,
    asked: AtomicUsize,
    broken: bool,
}

#[async_trait]
impl ProjectSecrets for Projects {
    async fn jwt_secret(&self, reference: &str) -> Result<Option<SecretString>, SecretUnavailable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.broken {
            return Err(SecretUnavailable);
        }
        Ok(self.secrets.lock().unwrap().get(reference).cloned().map(SecretString::from))
    }
}

fn projects() -> Arc<Projects> {
    let projects = Projects::default();
    let secrets = [("acme", ACME_SECRET), ("shared", SECRET), ("weak", "short"), ("empty", "")];
    *projects.secrets.lock().unwrap() = secrets.map(|(key, value)| (key.into(), value.into())).into();
    Arc::new(projects)
}

fn settings(secret: Option<&str>, jwks: Option<&KeyServer>) -> IdentitySettings {
    IdentitySettings {
        jwt_secret: secret.map(|secret| Secret::from(secret.to_owned())),
        jwks_url: jwks.map(|server| JwksSource::Url(server.url.clone())),
        ..IdentitySettings::default()
    }
}

/// Makes a verifier that may ask the key server at any time.
async fn verifier(secret: Option<&str>, jwks: Option<&KeyServer>) -> TokenVerifier {
    let pace = Pace { minimum_interval: Duration::ZERO, ..Pace::default() };
    TokenVerifier::open_at_pace(&settings(secret, jwks), projects(), pace).await.unwrap()
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// Makes a user's claims, with these replaced; `null` removes one.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "u1", "aud": "authenticated", "exp": now() + 60});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn hs256(changes: Value) -> String {
    sign_with_secret(SECRET.as_bytes(), &json!({"alg": "HS256", "typ": "JWT"}), &claims(changes))
}

/// Makes a classic Supabase project key: no `sub`, no `aud`.
fn project_key(secret: &str, role: &str) -> String {
    let claims = json!({"iss": "supabase", "ref": "acme", "role": role, "iat": 1, "exp": now() + 60});
    sign_with_secret(secret.as_bytes(), &json!({"alg": "HS256", "typ": "JWT"}), &claims)
}

async fn refusal(verifier: &TokenVerifier, token: &str) -> TokenError {
    verifier.verify(token, None).await.unwrap_err()
}

#[tokio::test]
async fn issued_token_is_its_user_with_its_grants() {
    let verifier = verifier(Some(SECRET), None).await;
    let token = NewToken {
        subject: "u1".to_owned(),
        projects: [("acme".to_owned(), Role::Developer), ("*".to_owned(), Role::Viewer)].into(),
        platform_admin: false,
        audience: "authenticated".to_owned(),
        issuer: None,
        time_to_live: Duration::from_secs(60),
    };
    let issued = issue_token(&SECRET.into(), &token).unwrap();
    let principal = verifier.verify(issued.expose_secret(), None).await.unwrap();
    assert_eq!(principal.user(), Some("u1"));
    assert_eq!(principal.role_on("acme", None), Some(Role::Developer));
    assert_eq!(principal.role_on("other", None), Some(Role::Viewer));
    assert!(!principal.is_platform_admin());

    let admin = issue_token(&SECRET.into(), &NewToken { platform_admin: true, ..token }).unwrap();
    assert!(verifier.verify(admin.expose_secret(), None).await.unwrap().is_platform_admin());
}

#[tokio::test]
async fn each_wrong_claim_is_refused_by_name() {
    let verifier = verifier(Some(SECRET), None).await;
    for (changes, expected) in [
        (json!({"exp": null}), TokenError::MissingClaim("exp")),
        (json!({"exp": "tomorrow"}), TokenError::Malformed),
        (json!({"exp": now() - 3600}), TokenError::Expired),
        (json!({"exp": 0}), TokenError::Expired),
        (json!({"exp": -1}), TokenError::MissingClaim("exp")),
        (json!({"nbf": now() + 3600}), TokenError::NotYetValid),
        (json!({"nbf": "later"}), TokenError::Malformed),
        (json!({"aud": null}), TokenError::MissingClaim("aud")),
        (json!({"aud": "other"}), TokenError::WrongAudience),
        (json!({"aud": ["other", "another"]}), TokenError::WrongAudience),
        (json!({"aud": []}), TokenError::WrongAudience),
        (json!({"aud": 7}), TokenError::MissingClaim("aud")),
        (json!({"sub": null}), TokenError::MissingClaim("sub")),
        (json!({"sub": ""}), TokenError::MissingClaim("sub")),
        (json!({"sub": 7}), TokenError::Malformed),
    ] {
        assert_eq!(refusal(&verifier, &hs256(changes.clone())).await, expected, "{changes}");
    }
    for accepted in [
        json!({"aud": ["other", "authenticated"]}),
        json!({"exp": (now() + 60) as f64 + 0.5}),
        json!({"nbf": now() - 1}),
        json!({"role": ["of", "another", "kind"], "app_metadata": "unusual"}),
    ] {
        assert!(verifier.verify(&hs256(accepted.clone()), None).await.is_ok(), "{accepted}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_ten_seconds() {
    let verifier = verifier(Some(SECRET), None).await;
    assert!(verifier.verify(&hs256(json!({"exp": now() - 8})), None).await.is_ok());
    assert_eq!(refusal(&verifier, &hs256(json!({"exp": now() - 12}))).await, TokenError::Expired);
    assert!(verifier.verify(&hs256(json!({"nbf": now() + 8})), None).await.is_ok());
    assert_eq!(refusal(&verifier, &hs256(json!({"nbf": now() + 12}))).await, TokenError::NotYetValid);
}

#[tokio::test]
async fn issuer_is_checked_when_it_is_configured() {
    let settings = IdentitySettings { issuer: Some("https://id".to_owned()), ..settings(Some(SECRET), None) };
    let verifier = TokenVerifier::open(&settings, projects()).await.unwrap();
    assert!(verifier.verify(&hs256(json!({"iss": "https://id"})), None).await.is_ok());
    assert_eq!(refusal(&verifier, &hs256(json!({"iss": "https://evil"}))).await, TokenError::WrongIssuer);
    assert_eq!(refusal(&verifier, &hs256(json!({}))).await, TokenError::MissingClaim("iss"));
    assert_eq!(refusal(&verifier, &hs256(json!({"iss": 7}))).await, TokenError::MissingClaim("iss"));
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let verifier = verifier(Some(SECRET), None).await;
    assert_eq!(refusal(&verifier, "").await, TokenError::Missing);
    let good = hs256(json!({}));
    let unsigned = good.rsplit_once('.').unwrap().0;
    for token in ["x", "a.b.c", "....", unsigned, &format!("{good}.x"), &"x".repeat(20_000)] {
        assert_eq!(refusal(&verifier, token).await, TokenError::Malformed, "{token:.40}");
    }
    assert_eq!(refusal(&verifier, &format!("{unsigned}.")).await, TokenError::BadSignature);
    assert_eq!(refusal(&verifier, &format!("{unsigned}.AAAA")).await, TokenError::BadSignature);
}

#[tokio::test]
async fn every_changed_byte_of_a_token_refuses_it() {
    let verifier = verifier(Some(SECRET), None).await;
    let good = hs256(json!({}));
    assert!(verifier.verify(&good, None).await.is_ok());
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier.verify(&changed, None).await.is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn algorithm_none_and_unknown_extensions_are_refused() {
    let verifier = verifier(Some(SECRET), None).await;
    for algorithm in ["none", "None", "NONE", ""] {
        let head = encode(json!({"alg": algorithm}).to_string());
        let token = format!("{head}.{}.", encode(claims(json!({})).to_string()));
        assert_eq!(refusal(&verifier, &token).await, TokenError::Malformed, "{algorithm}");
    }
    for algorithm in ["HS384", "HS512"] {
        let token = sign_with_secret(SECRET.as_bytes(), &json!({"alg": algorithm}), &claims(json!({})));
        assert_eq!(refusal(&verifier, &token).await, TokenError::AlgorithmNotAllowed, "{algorithm}");
    }
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let token = sign_with_secret(SECRET.as_bytes(), &header, &claims(json!({})));
    assert_eq!(refusal(&verifier, &token).await, TokenError::Malformed);
}

#[tokio::test]
async fn each_kind_of_published_key_verifies_its_tokens() {
    let keys = [TestKey::rsa("r"), TestKey::ec("e"), TestKey::ed("d")];
    let server = KeyServer::start(Some(key_set(&keys.each_ref()))).await;
    let verifier = verifier(None, Some(&server)).await;
    for key in &keys {
        let token = key.sign(&claims(json!({})));
        assert_eq!(verifier.verify(&token, None).await.unwrap().user(), Some("u1"), "{}", key.algorithm());
        let head = json!({"alg": key.algorithm(), "kid": "unknown"});
        assert_eq!(
            refusal(&verifier, &key.sign_header(&head, &claims(json!({})))).await,
            TokenError::UnknownKey
        );
    }
    // Signed by one key, and naming another of the same kind.
    let forged = TestKey::ed("d").sign(&claims(json!({})));
    assert_eq!(refusal(&verifier, &forged).await, TokenError::BadSignature);
}

#[tokio::test]
async fn token_can_not_choose_another_algorithm_for_a_key() {
    let keys = [TestKey::rsa("r"), TestKey::ec("e"), TestKey::ed("d")];
    let server = KeyServer::start(Some(key_set(&keys.each_ref()))).await;
    for secret in [None, Some(SECRET)] {
        let verifier = verifier(secret, Some(&server)).await;
        for key in &keys {
            let kid = key.jwk()["kid"].clone();
            // The public key, in every form that an attacker can have, as an HMAC secret.
            let jwk = key.jwk();
            let raw = ["n", "x"].iter().find_map(|name| jwk[*name].as_str()).unwrap().to_owned();
            for public in [raw, jwk.to_string()] {
                let header = json!({"alg": "HS256", "kid": kid});
                let token = sign_with_secret(public.as_bytes(), &header, &claims(json!({})));
                assert_eq!(refusal(&verifier, &token).await, TokenError::AlgorithmNotAllowed);
            }
            // Even the right shared secret does not verify under the name of a published key.
            let header = json!({"alg": "HS256", "kid": kid});
            let token = sign_with_secret(SECRET.as_bytes(), &header, &claims(json!({})));
            assert_eq!(refusal(&verifier, &token).await, TokenError::AlgorithmNotAllowed);
            for other in ["RS256", "ES256", "EdDSA", "PS256", "RS512", "ES384"] {
                if other != key.algorithm() {
                    let token = key.sign_header(&json!({"alg": other, "kid": kid}), &claims(json!({})));
                    assert_eq!(refusal(&verifier, &token).await, TokenError::AlgorithmNotAllowed);
                }
            }
        }
    }
    let shared_only = verifier(Some(SECRET), None).await;
    assert_eq!(
        refusal(&shared_only, &keys[0].sign(&claims(json!({})))).await,
        TokenError::AlgorithmNotAllowed
    );
}

#[tokio::test]
async fn key_in_the_token_itself_is_not_used() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ec("e")]))).await;
    let verifier = verifier(None, Some(&server)).await;
    let own = TestKey::ec("own");
    let header = json!({"alg": "ES256", "kid": "e", "jwk": own.jwk(), "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"});
    let token = own.sign_header(&header, &claims(json!({})));
    assert_eq!(refusal(&verifier, &token).await, TokenError::BadSignature);
}

#[tokio::test]
async fn with_both_configured_each_token_finds_its_key() {
    let key = TestKey::ec("e");
    let server = KeyServer::start(Some(key_set(&[&key]))).await;
    let verifier = verifier(Some(SECRET), Some(&server)).await;
    assert!(verifier.verify(&key.sign(&claims(json!({}))), None).await.is_ok());
    assert!(verifier.verify(&hs256(json!({})), None).await.is_ok());
    let header = json!({"alg": "HS256", "kid": "legacy"});
    let named = sign_with_secret(SECRET.as_bytes(), &header, &claims(json!({})));
    assert!(verifier.verify(&named, None).await.is_ok());
    assert_eq!(server.requests(), 1, "HS256 tokens never ask the key server");
}

#[tokio::test]
async fn without_keys_tokens_can_not_be_verified_right_now() {
    let server = KeyServer::start(None).await;
    let verifier = verifier(None, Some(&server)).await;
    let key = TestKey::ed("d");
    let token = key.sign(&claims(json!({})));
    assert_eq!(refusal(&verifier, &token).await, TokenError::KeysUnavailable);
    server.publish(Some(key_set(&[&key])));
    assert!(verifier.verify(&token, None).await.is_ok());
}

#[tokio::test]
async fn all_keys_that_a_token_may_mean_are_tried() {
    let (rsa, one, two) = (TestKey::rsa("k"), TestKey::ec("k"), TestKey::ec("k"));
    let server = KeyServer::start(Some(key_set(&[&rsa, &one, &two]))).await;
    let verifier = verifier(None, Some(&server)).await;
    for key in [&rsa, &one, &two] {
        assert!(verifier.verify(&key.sign(&claims(json!({}))), None).await.is_ok(), "one of three of a name");
        let token = key.sign_header(&json!({"alg": key.algorithm()}), &claims(json!({"n": 1})));
        assert!(verifier.verify(&token, None).await.is_ok(), "no name");
        let expired = key.sign(&claims(json!({"exp": now() - 60})));
        assert_eq!(refusal(&verifier, &expired).await, TokenError::Expired);
    }
    let other = TestKey::ec("k").sign_header(&json!({"alg": "ES256"}), &claims(json!({})));
    assert_eq!(refusal(&verifier, &other).await, TokenError::BadSignature);
    let none = TestKey::ed("k").sign_header(&json!({"alg": "EdDSA"}), &claims(json!({})));
    assert_eq!(refusal(&verifier, &none).await, TokenError::AlgorithmNotAllowed);
}

#[tokio::test]
async fn new_key_under_an_old_id_is_found_and_the_old_key_forgotten() {
    for new in [TestKey::ec("k"), TestKey::ed("k")] {
        let old = TestKey::ec("k");
        let server = KeyServer::start(Some(key_set(&[&old]))).await;
        let verifier = verifier(None, Some(&server)).await;
        let before = old.sign(&claims(json!({})));
        assert!(verifier.verify(&before, None).await.is_ok());
        server.publish(Some(key_set(&[&new])));
        assert!(verifier.verify(&new.sign(&claims(json!({}))), None).await.is_ok());
        assert!(verifier.verify(&before, None).await.is_err(), "its key is gone");
    }
}

#[tokio::test]
async fn subject_that_no_database_can_name_is_none() {
    let verifier = verifier(Some(SECRET), None).await;
    for subject in ["", "\0", "some\0one"] {
        let token = hs256(json!({"sub": subject}));
        assert_eq!(refusal(&verifier, &token).await, TokenError::MissingClaim("sub"), "{subject:?}");
    }
}

#[tokio::test]
async fn remembered_token_does_not_outlive_its_key() {
    let (old, new) = (TestKey::ed("old"), TestKey::ed("new"));
    let server = KeyServer::start(Some(key_set(&[&old]))).await;
    let verifier = verifier(None, Some(&server)).await;
    let token = old.sign(&claims(json!({})));
    let first = verifier.verify(&token, None).await.unwrap();
    assert!(Arc::ptr_eq(&first, &verifier.verify(&token, None).await.unwrap()), "remembered");

    server.publish(Some(key_set(&[&new])));
    assert!(verifier.verify(&new.sign(&claims(json!({}))), None).await.is_ok());
    assert_eq!(refusal(&verifier, &token).await, TokenError::UnknownKey);
}

#[tokio::test]
async fn remembered_token_is_not_remembered_past_its_expiry() {
    let verifier = verifier(Some(SECRET), None).await;
    let token = hs256(json!({"exp": now() + 1}));
    let first = verifier.verify(&token, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    // Within the leeway the token verifies, but is not remembered.
    assert!(!Arc::ptr_eq(&first, &verifier.verify(&token, None).await.unwrap()));
}

#[path = "project_tokens_tests.rs"]
mod of_projects;
