//! Makes the tokens that `studio-gateway token` prints.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::config::MINIMUM_SECRET_BYTES;
use crate::role::Role;

/// The contents of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// `sub`: the user.
    pub subject: String,
    /// `app_metadata.projects`: roles by project reference; `*` is every project.
    pub projects: BTreeMap<String, Role>,
    /// `app_metadata.platform_role` = `admin`: makes the user an owner of every project.
    pub platform_admin: bool,
    /// `aud`, from the settings.
    pub audience: String,
    /// `iss`, from the settings.
    pub issuer: Option<String>,
    /// The time from now (`iat`) to `exp`, in whole seconds.
    pub time_to_live: Duration,
}

/// Why a token can't be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// An empty `sub` names nobody.
    #[error("the subject is empty: name the user")]
    EmptySubject,
    /// The gateway would not accept this secret for verification either.
    #[error("the shared secret is too short: HS256 needs at least {MINIMUM_SECRET_BYTES} bytes")]
    SecretTooShort,
    /// The library refused; not expected to happen.
    #[error("the token can't be signed: {0}")]
    Signing(jsonwebtoken::errors::Error),
}

/// Signs a token with the shared secret (HS256, RFC 7518 §3.2), issued now.
///
/// # Errors
/// An empty subject, or a secret shorter than [`MINIMUM_SECRET_BYTES`].
pub fn issue_token(secret: &SecretString, token: &NewToken) -> Result<SecretString, IssueError> {
    if token.subject.is_empty() {
        return Err(IssueError::EmptySubject);
    }
    let secret = secret.expose_secret().as_bytes();
    if secret.len() < MINIMUM_SECRET_BYTES {
        return Err(IssueError::SecretTooShort);
    }
    let issued_at = jsonwebtoken::get_current_timestamp();
    let mut app_metadata = Map::new();
    if !token.projects.is_empty() {
        let projects: Map<String, Value> =
            token.projects.iter().map(|(reference, role)| (reference.clone(), word(*role).into())).collect();
        app_metadata.insert("projects".to_owned(), projects.into());
    }
    if token.platform_admin {
        app_metadata.insert("platform_role".to_owned(), "admin".into());
    }
    let mut claims = json!({
        "sub": token.subject,
        "aud": token.audience,
        "iat": issued_at,
        "exp": issued_at.saturating_add(token.time_to_live.as_secs()),
        "role": "authenticated",
        "app_metadata": app_metadata,
    });
    if let (Some(issuer), Some(claims)) = (&token.issuer, claims.as_object_mut()) {
        claims.insert("iss".to_owned(), issuer.as_str().into());
    }
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .map(SecretString::from)
        .map_err(IssueError::Signing)
}

/// Gives the word for a role in claims.
fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Developer => "developer",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> NewToken {
        NewToken {
            subject: "u1".to_owned(),
            projects: BTreeMap::new(),
            platform_admin: false,
            audience: "authenticated".to_owned(),
            issuer: None,
            time_to_live: Duration::from_secs(60),
        }
    }

    #[test]
    fn every_role_has_the_word_it_is_read_from() {
        for role in [Role::Viewer, Role::Developer, Role::Admin, Role::Owner] {
            assert_eq!(Role::from_stored(word(role)), Some(role));
        }
    }

    #[test]
    fn no_token_for_nobody_or_with_a_short_secret() {
        let secret = SecretString::from("s".repeat(32));
        let nobody = NewToken { subject: String::new(), ..token() };
        assert!(matches!(issue_token(&secret, &nobody), Err(IssueError::EmptySubject)));
        let short = SecretString::from("s".repeat(31));
        assert!(matches!(issue_token(&short, &token()), Err(IssueError::SecretTooShort)));
        assert!(issue_token(&secret, &token()).is_ok());
    }
}
