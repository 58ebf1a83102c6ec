//! Tokens, and the keys that they are checked with.

use crate::{feedback, runtime::wait};
use async_trait::async_trait;
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use std::sync::{Arc, OnceLock};
use studio_gateway::{
    config::{IdentitySettings, Secret},
    fuzzing,
    identity::{Principal, ProjectSecrets, SecretUnavailable, TokenVerifier},
};

const SHARED: &str = "a shared secret of at least 32 bytes";
const PROJECTS: &str = "the secret of project acme, 32 bytes+";

struct Projects;

#[async_trait]
impl ProjectSecrets for Projects {
    async fn jwt_secret(&self, reference: &str) -> Result<Option<SecretString>, SecretUnavailable> {
        Ok((reference == "acme").then(|| PROJECTS.into()))
    }
}

/// Any token, or with a first byte that is odd any header and claims, signed well: whoever gets in has a signature of a
/// known secret, by the one algorithm that it may be used with.
pub(crate) fn tokens(input: &[u8]) {
    static VERIFIER: OnceLock<TokenVerifier> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(|| {
        let settings =
            IdentitySettings { jwt_secret: Some(Secret::from(SHARED.to_owned())), ..Default::default() };
        wait(TokenVerifier::open(&settings, Arc::new(Projects))).unwrap()
    });
    let Some((choice, rest)) = input.split_first() else { return };
    let token = if choice & 1 == 0 {
        String::from_utf8_lossy(rest).into_owned()
    } else {
        let mut parts = rest.splitn(2, |byte| *byte == b'\n');
        let mut next = || URL_SAFE_NO_PAD.encode(parts.next().unwrap_or_default());
        let message = format!("{}.{}", next(), next());
        let secret = if choice & 2 == 0 { SHARED } else { PROJECTS };
        format!("{message}.{}", sign(secret, &message))
    };
    match wait(verifier.verify(&token, Some("acme"))) {
        Ok(principal) => {
            let (message, signature) = token.rsplit_once('.').unwrap();
            let secret = match &*principal {
                Principal::User { subject, .. } => {
                    assert!(!subject.is_empty());
                    SHARED
                }
                Principal::ProjectService { reference } => {
                    assert_eq!(reference, "acme");
                    PROJECTS
                }
            };
            assert_eq!(sign(secret, message), signature);
            let header = URL_SAFE_NO_PAD.decode(message.split('.').next().unwrap()).unwrap();
            let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
            assert_eq!(header["alg"], "HS256");
            feedback::note(principal.user().is_some());
        }
        Err(refusal) => feedback::note(refusal.to_string()),
    }
}

fn sign(secret: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()))
}

/// Any key set, and after a zero byte a token by one of its keys. No key here signed anything.
pub(crate) fn jwks(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let document = parts.next().unwrap_or_default();
    let token = String::from_utf8_lossy(parts.next().unwrap_or_default());
    match fuzzing::count_keys(document, &token) {
        Ok((keys, verifying)) => {
            feedback::note(keys);
            assert_eq!(verifying, 0, "nobody signed it");
        }
        Err(error) => feedback::note(feedback::words(&error)),
    }
}
