//! Tokens that keys of a JSON Web Key Set verify, whatever they call their key.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use serde_json::{Value, json};
use std::path::Path;
use studio_gateway_tests::{Gateway, GatewayOptions, Project, eventually};

struct Key(KeyPair);

impl Key {
    fn fresh() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn jwk(&self, kid: Option<&str>) -> Value {
        let point = self.0.der_bytes();
        let [x, y] = [1..33, 33..65].map(|part| BASE64_URL_SAFE_NO_PAD.encode(&point[part]));
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    fn sign(&self, kid: Option<&str>) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        let claims = json!({
            "sub": "someone", "aud": "authenticated", "exp": get_current_timestamp() + 600,
            "app_metadata": {"projects": {"alpha": "viewer"}},
        });
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&self.0.serialize_der())).unwrap()
    }
}

fn publish(file: &Path, keys: &[Value]) {
    std::fs::write(file, json!({"keys": keys}).to_string()).unwrap();
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.anonymous().with_token(token).get("/api/platform/projects").await.status
}

#[tokio::test]
async fn warm_token_is_refused_once_its_key_is_replaced() {
    let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
    let file = gateway.file("jwks.json");
    let (old, new) = (Key::fresh(), Key::fresh());
    publish(&file, &[old.jwk(Some("k"))]);
    gateway.set("GATEWAY_JWKS_URL", &file.display().to_string());
    gateway.start_again().await;
    let project = Project::create_empty(&gateway, "alpha").await;
    project.connect_probe("probe", json!({})).await;
    let path = project.path("probe", "/nothing");
    let status = async |token: &str| gateway.anonymous().with_token(token).get(&path).await.status;
    let (before, after) = (old.sign(Some("k")), new.sign(Some("k")));
    publish(&file, &[new.jwk(Some("k"))]);
    // The keys are read again no more often than every ten seconds.
    eventually("the new key is found", async || {
        assert_eq!(status(&before).await, 200);
        status(&after).await == 200
    })
    .await;
    assert_eq!(status(&before).await, 401, "its key is gone");
}

#[tokio::test]
async fn token_finds_its_key_by_name_without_one_and_after_rotation() {
    let mut gateway = Gateway::prepare(GatewayOptions::default()).await;
    let file = gateway.file("jwks.json");
    let (one, two, named, stranger) = (Key::fresh(), Key::fresh(), Key::fresh(), Key::fresh());
    publish(&file, &[one.jwk(Some("k")), two.jwk(Some("k")), named.jwk(Some("named"))]);
    gateway.set("GATEWAY_JWKS_URL", &file.display().to_string());
    gateway.start_again().await;
    for (key, kid) in [(&one, "k"), (&two, "k"), (&named, "named")] {
        assert_eq!(status(&gateway, &key.sign(Some(kid))).await, 200, "{kid}");
        assert_eq!(status(&gateway, &key.sign(None)).await, 200, "no name");
    }
    for kid in [Some("k"), None, Some("other")] {
        assert_eq!(status(&gateway, &stranger.sign(kid)).await, 401, "{kid:?}");
    }
    assert_eq!(status(&gateway, &one.sign(Some("named"))).await, 401, "another's name");

    // The same name, another key: it is looked for again, though not more often than every ten seconds.
    let (old, new) = (two.sign(Some("k")), stranger.sign(Some("k")));
    publish(&file, &[stranger.jwk(Some("k")), named.jwk(None)]);
    eventually("the new key is found", async || status(&gateway, &new).await == 200).await;
    assert_eq!(status(&gateway, &old).await, 401, "its key is gone");
    assert_eq!(status(&gateway, &named.sign(Some("unheard of"))).await, 200, "a key that nobody could name");
}
