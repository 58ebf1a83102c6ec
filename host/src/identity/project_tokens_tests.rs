//! Tests of tokens signed with a project's own secret.

use super::*;

#[tokio::test]
async fn service_key_of_a_project_is_its_admin_there_only() {
    let verifier = verifier(Some(SECRET), None).await;
    let token = project_key(ACME_SECRET, "service_role");
    let principal = verifier.verify(&token, Some("acme")).await.unwrap();
    assert_eq!(*principal, Principal::ProjectService { reference: "acme".to_owned() });
    for elsewhere in [None, Some("other"), Some("shared"), Some("weak")] {
        assert_eq!(verifier.verify(&token, elsewhere).await, Err(TokenError::BadSignature), "{elsewhere:?}");
    }
}

#[tokio::test]
async fn other_keys_of_a_project_give_nothing() {
    let verifier = verifier(Some(SECRET), None).await;
    for role in ["anon", "authenticated", "postgres", ""] {
        let token = project_key(ACME_SECRET, role);
        assert_eq!(verifier.verify(&token, Some("acme")).await, Err(TokenError::NotServiceRole), "{role}");
    }
    // A token made by the project's owner does not make its holder a user of the platform.
    let claims = claims(json!({"app_metadata": {"platform_role": "admin"}, "role": "authenticated"}));
    let token = sign_with_secret(ACME_SECRET.as_bytes(), &json!({"alg": "HS256"}), &claims);
    assert_eq!(verifier.verify(&token, Some("acme")).await, Err(TokenError::NotServiceRole));
}

#[tokio::test]
async fn weak_project_secret_verifies_nothing() {
    let verifier = verifier(Some(SECRET), None).await;
    for (project, secret) in [("weak", "short"), ("empty", "")] {
        let token = project_key(secret, "service_role");
        assert_eq!(verifier.verify(&token, Some(project)).await, Err(TokenError::BadSignature), "{project}");
    }
}

#[tokio::test]
async fn project_key_must_expire_and_its_audience_must_fit_if_present() {
    let verifier = verifier(None, None).await;
    let token = |claims: Value| sign_with_secret(ACME_SECRET.as_bytes(), &json!({"alg": "HS256"}), &claims);
    for (claims, expected) in [
        (json!({"role": "service_role"}), TokenError::MissingClaim("exp")),
        (json!({"role": "service_role", "exp": now() - 60}), TokenError::Expired),
        (json!({"role": "service_role", "exp": now() + 60, "aud": "other"}), TokenError::WrongAudience),
    ] {
        assert_eq!(verifier.verify(&token(claims), Some("acme")).await, Err(expected));
    }
    let claims = json!({"role": "service_role", "exp": now() + 60, "aud": "authenticated"});
    assert!(verifier.verify(&token(claims), Some("acme")).await.is_ok());
}

#[tokio::test]
async fn project_whose_secret_is_the_shared_one_keeps_its_service_key() {
    let verifier = verifier(Some(SECRET), None).await;
    let service = project_key(SECRET, "service_role");
    assert_eq!(
        *verifier.verify(&service, Some("shared")).await.unwrap(),
        Principal::ProjectService { reference: "shared".to_owned() }
    );
    assert_eq!(verifier.verify(&service, None).await, Err(TokenError::MissingClaim("aud")));
    let anon = project_key(SECRET, "anon");
    assert_eq!(verifier.verify(&anon, Some("shared")).await, Err(TokenError::NotServiceRole));
    let user = verifier.verify(&hs256(json!({})), Some("shared")).await.unwrap();
    assert_eq!(user.user(), Some("u1"));
}

#[tokio::test]
async fn project_secret_is_cached_and_a_change_counts_after_a_moment() {
    let projects = projects();
    let verifier = TokenVerifier::open(&settings(Some(SECRET), None), projects.clone()).await.unwrap();
    let token = project_key(ACME_SECRET, "service_role");
    assert!(verifier.verify(&token, Some("acme")).await.is_ok());
    assert!(verifier.verify(&token, Some("acme")).await.is_ok());
    assert_eq!(projects.asked.load(Ordering::SeqCst), 1);
    projects.secrets.lock().unwrap().insert("acme".into(), "another secret of at least 32 bytes".into());
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(verifier.verify(&token, Some("acme")).await, Err(TokenError::BadSignature));
}

#[tokio::test]
async fn user_tokens_do_not_ask_for_project_secrets() {
    let projects = projects();
    let verifier = TokenVerifier::open(&settings(Some(SECRET), None), projects.clone()).await.unwrap();
    assert!(verifier.verify(&hs256(json!({})), Some("acme")).await.is_ok());
    assert_eq!(projects.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn registry_out_of_reach_is_not_the_tokens_fault() {
    let broken = Arc::new(Projects { broken: true, ..Projects::default() });
    let verifier = TokenVerifier::open(&settings(Some(SECRET), None), broken).await.unwrap();
    let token = project_key(ACME_SECRET, "service_role");
    assert_eq!(verifier.verify(&token, Some("acme")).await, Err(TokenError::KeysUnavailable));
}
