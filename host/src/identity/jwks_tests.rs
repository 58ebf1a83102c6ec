//! Tests of the key set with a real HTTP server.

use serde_json::json;

use super::*;
use crate::identity::test_keys::{KeyServer, TestKey, key_set};

const ALL: [JwksAlgorithm; 3] = [JwksAlgorithm::RS256, JwksAlgorithm::ES256, JwksAlgorithm::EdDSA];

/// Lets the set be fetched as often as it is asked for.
const EAGER: Pace = Pace { minimum_interval: Duration::ZERO, maximum_age: Duration::from_secs(3600) };

async fn open(server: &KeyServer, pace: Pace) -> Jwks {
    Jwks::open(JwksSource::Url(server.url.clone()), ALL.to_vec(), pace).await.unwrap()
}

async fn has(jwks: &Jwks, kid: &str) -> bool {
    jwks.find(Some(kid)).await.unwrap().is_some()
}

#[tokio::test]
async fn unknown_key_id_fetches_again_and_finds_the_new_key() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("old")]))).await;
    let jwks = open(&server, EAGER).await;
    assert!(has(&jwks, "old").await);
    assert_eq!(server.requests(), 1);

    server.publish(Some(key_set(&[&TestKey::ed("new")])));
    let before = jwks.generation();
    assert!(has(&jwks, "new").await);
    assert!(jwks.generation() > before);
    assert!(jwks.find_known(Some("old")).is_none(), "a withdrawn key no longer counts");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn same_keys_fetched_again_are_no_rotation() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("a")]))).await;
    let jwks = open(&server, EAGER).await;
    let before = jwks.generation();
    assert!(!has(&jwks, "b").await);
    assert_eq!((server.requests(), jwks.generation()), (2, before));
}

#[tokio::test]
async fn unknown_key_ids_fetch_no_faster_than_the_pace_allows() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("a")]))).await;
    let jwks = open(&server, Pace::default()).await;
    for invented in 0..50 {
        assert!(!has(&jwks, &invented.to_string()).await);
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn callers_who_miss_together_share_one_fetch() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("old")]))).await;
    let pace = Pace { minimum_interval: Duration::from_millis(100), ..Pace::default() };
    let jwks = open(&server, pace).await;
    tokio::time::sleep(pace.minimum_interval).await;
    server.publish(Some(key_set(&[&TestKey::ed("new")])));
    server.delay(Duration::from_millis(50));
    let found = futures_util::future::join_all((0..20).map(|_| has(&jwks, "new"))).await;
    assert!(found.into_iter().all(|found| found));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn fetch_goes_on_when_the_caller_who_caused_it_leaves() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("old")]))).await;
    let jwks = open(&server, EAGER).await;
    server.publish(Some(key_set(&[&TestKey::ed("new")])));
    server.delay(Duration::from_millis(100));
    let left = tokio::time::timeout(Duration::from_millis(20), jwks.find(Some("new"))).await;
    assert!(left.is_err());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(jwks.find_known(Some("new")).is_some());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn keys_stay_while_the_server_is_out_of_order() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("a")]))).await;
    let jwks = open(&server, EAGER).await;
    let too_long = key_set(&[&TestKey::ed("b")]) + &" ".repeat(MAXIMUM_BYTES);
    for broken in [None, Some("<html>".to_owned()), Some(too_long)] {
        server.publish(broken);
        assert!(!has(&jwks, "b").await);
        assert!(has(&jwks, "a").await);
    }
}

#[tokio::test]
async fn old_set_is_asked_for_again_while_it_serves_on() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("a")]))).await;
    let jwks = open(&server, Pace { maximum_age: Duration::ZERO, minimum_interval: Duration::ZERO }).await;
    server.publish(Some(key_set(&[])));
    assert!(jwks.find_known(Some("a")).is_some());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(jwks.find_known(Some("a")).is_none());
}

#[tokio::test]
async fn server_out_of_reach_at_start_is_asked_again_later() {
    let server = KeyServer::start(None).await;
    let jwks = open(&server, EAGER).await;
    assert!(jwks.find(Some("a")).await.is_err());
    server.publish(Some(key_set(&[&TestKey::ed("a")])));
    assert!(has(&jwks, "a").await);
}

#[tokio::test]
async fn file_is_read_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let open = || Jwks::open(JwksSource::File(path.clone()), ALL.to_vec(), EAGER);
    assert!(matches!(open().await, Err(JwksError::File { .. })), "a missing file refuses the start");
    std::fs::write(&path, "[]").unwrap();
    assert!(matches!(open().await, Err(JwksError::NotAKeySet(_))));

    let too_long = key_set(&[&TestKey::ec("a")]) + &" ".repeat(MAXIMUM_BYTES);
    std::fs::write(&path, too_long).unwrap();
    assert!(matches!(open().await, Err(JwksError::TooLarge)));

    std::fs::write(&path, key_set(&[&TestKey::ec("a")])).unwrap();
    let jwks = open().await.unwrap();
    assert!(has(&jwks, "a").await);
    std::fs::write(&path, key_set(&[&TestKey::ec("b")])).unwrap();
    assert!(has(&jwks, "b").await);
}

#[tokio::test]
async fn missing_key_id_finds_every_key_and_unknown_id_nameless_ones() {
    let (one, two) = (TestKey::ed("a"), TestKey::ed("b"));
    let server = KeyServer::start(Some(key_set(&[&one, &two]))).await;
    let jwks = open(&server, EAGER).await;
    assert_eq!(jwks.find_known(None).unwrap().len(), 2);
    assert_eq!(jwks.find_known(Some("a")).unwrap().len(), 1);
    let mut nameless = two.jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    server.publish(Some(json!({"keys": [one.jwk(), nameless]}).to_string()));
    assert_eq!(jwks.find(Some("unknown")).await.unwrap().unwrap().len(), 1);
    assert!(jwks.find_known(Some("unknown")).is_none(), "the source is asked first");
}

#[tokio::test]
async fn newer_keys_are_fetched_at_the_pace_unless_already_known() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("a")]))).await;
    let jwks = open(&server, Pace::default()).await;
    let generation = jwks.generation();
    for _ in 0..50 {
        assert!(jwks.find_newer(Some("a"), generation).await.is_none());
    }
    assert_eq!(server.requests(), 1);
    assert!(jwks.find_newer(Some("a"), generation - 1).await.is_some(), "there is a newer set already");
}

#[tokio::test]
async fn unusable_keys_are_left_out_and_spoil_no_others() {
    let with = |mut jwk: serde_json::Value, name: &str, value: serde_json::Value| {
        jwk[name] = value;
        jwk
    };
    let ec = || TestKey::ec("refused").jwk();
    let document = json!({"keys": [
        TestKey::ec("good").jwk(),
        with(with(TestKey::rsa("declared").jwk(), "alg", json!("RS256")), "use", json!("sig")),
        {"kid": "refused", "kty": "oct", "k": "c2VjcmV0"},
        {"kid": "refused", "kty": "oct", "alg": "HS256", "k": "c2VjcmV0"},
        {"kid": "refused", "kty": "AKP", "alg": "ML-DSA-44", "pub": "eA"},
        with(ec(), "use", json!("enc")),
        with(ec(), "key_ops", json!(["encrypt"])),
        with(ec(), "alg", json!("HS256")),
        with(ec(), "alg", json!("ES384")),
        with(ec(), "crv", json!("P-384")),
        with(ec(), "crv", json!("secp256k1")),
        with(ec(), "x", json!("not base64!")),
        with(ec(), "x", json!(7)),
        "nonsense",
    ]});
    let server = KeyServer::start(Some(document.to_string())).await;
    let jwks = open(&server, Pace::default()).await;
    assert!(has(&jwks, "good").await && has(&jwks, "declared").await);
    assert!(!has(&jwks, "refused").await);
}

#[tokio::test]
async fn key_whose_algorithm_is_not_allowed_is_left_out() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("ed"), &TestKey::ec("ec")]))).await;
    let source = JwksSource::Url(server.url.clone());
    let jwks = Jwks::open(source, vec![JwksAlgorithm::ES256], Pace::default()).await.unwrap();
    assert!(has(&jwks, "ec").await);
    assert!(!has(&jwks, "ed").await);
}

#[tokio::test]
async fn https_source_opens_also_when_nobody_answers() {
    let source = JwksSource::Url("https://127.0.0.1:1/jwks.json".parse().unwrap());
    let jwks = Jwks::open(source, ALL.to_vec(), EAGER).await.unwrap();
    assert!(jwks.find(Some("a")).await.is_err());
}

#[tokio::test]
async fn redirect_to_another_document_is_followed() {
    let server = KeyServer::start(Some(key_set(&[&TestKey::ed("a")]))).await;
    let source = JwksSource::Url(server.url.join("/redirect").unwrap());
    let jwks = Jwks::open(source, ALL.to_vec(), EAGER).await.unwrap();
    assert!(has(&jwks, "a").await);
}
