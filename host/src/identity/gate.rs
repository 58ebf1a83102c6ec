//! The only way from a request's headers to its caller's rights.

use super::{Access, Fingerprint, Principal, TokenError, TokenVerifier, tokens::MAXIMUM_TOKEN_BYTES};
use crate::{
    directory::{Directory, Freshness},
    registry::RegistryError,
    role::Role,
};
use http::{HeaderMap, header::AUTHORIZATION};
use std::{sync::Arc, time::Instant};

/// Why a caller is refused.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The token is refused.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The project does not exist for this caller, though it may exist.
    #[error("there is no project `{0}`, or you are no member of it")]
    NoProject(String),
    /// The role is too low.
    #[error("this needs the role {needed}, and yours on this project is {role}", role = role.as_str())]
    RoleTooLow {
        /// The lowest role that suffices.
        needed: &'static str,
        /// The caller's role.
        role: Role,
    },
    /// The route is not for this kind of caller.
    #[error("this needs {0}")]
    NotForYou(&'static str),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] Arc<RegistryError>),
}

/// Authenticates callers and authorizes them for projects.
pub struct Gate {
    verifier: TokenVerifier,
    directory: Arc<Directory>,
}

/// A caller with access to a project.
#[derive(Debug, Clone)]
pub struct Authorization {
    principal: Arc<Principal>,
    role: Role,
    freshness: Freshness,
    /// The generation of the published keys that verified the token.
    keys: u64,
}

impl Authorization {
    /// Makes it count no longer than something else does.
    pub fn with(self, other: Freshness) -> Self {
        Self { freshness: self.freshness.and(other), ..self }
    }

    /// Returns the caller.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }
    /// Returns the caller's role on the project.
    pub fn role(&self) -> Role {
        self.role
    }
    /// Returns the highest access that the role gives.
    pub fn granted(&self) -> Access {
        self.role.access()
    }

    /// Lets an action through that needs `needed`.
    ///
    /// # Errors
    /// [`GateError::RoleTooLow`].
    pub fn suffices(self, needed: Access) -> Result<Self, GateError> {
        if self.granted() >= needed {
            return Ok(self);
        }
        let needed = match needed {
            Access::Read => Role::Viewer,
            Access::Write => Role::Developer,
            Access::Admin => Role::Admin,
        };
        Err(GateError::RoleTooLow { needed: needed.as_str(), role: self.role })
    }
}

impl Gate {
    /// Makes a gate with these keys and this registry.
    pub fn new(verifier: TokenVerifier, directory: Arc<Directory>) -> Self {
        Self { verifier, directory }
    }

    /// Finds out the caller. `project` is the project that the request is about, if any.
    ///
    /// # Errors
    /// [`GateError::Token`].
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        project: Option<&str>,
    ) -> Result<Arc<Principal>, GateError> {
        Ok(self.verifier.verify(bearer_token(headers)?, project).await?)
    }

    /// Gives a caller access to a project for an action that needs `needed`. The membership is looked up every time.
    ///
    /// # Errors
    /// [`GateError`], all but `NotForYou`.
    pub async fn authorize(
        &self,
        headers: &HeaderMap,
        reference: &str,
        needed: Access,
    ) -> Result<Authorization, GateError> {
        self.enter(headers, reference).await?.suffices(needed)
    }

    /// Tells whether a request that begins now may go by what this authorization says, instead of asking again.
    pub fn counts(&self, authorization: &Authorization, now: Instant) -> bool {
        authorization.keys == self.verifier.generation()
            && self.directory.is_fresh(authorization.freshness, now)
    }

    /// Gives access to owners only.
    ///
    /// # Errors
    /// As for [`Gate::authorize`].
    pub async fn authorize_owner(
        &self,
        headers: &HeaderMap,
        reference: &str,
    ) -> Result<Authorization, GateError> {
        let authorization = self.enter(headers, reference).await?;
        if authorization.role.owns_project() {
            Ok(authorization)
        } else {
            Err(GateError::RoleTooLow { needed: Role::Owner.as_str(), role: authorization.role })
        }
    }

    async fn enter(&self, headers: &HeaderMap, reference: &str) -> Result<Authorization, GateError> {
        let token = self.verifier.recognize(bearer_token(headers)?, Some(reference)).await?;
        let user = token.principal.user().unwrap_or_default();
        let project = self.directory.access(reference, user).await?;
        let freshness = project.freshness.at_most(token.time_left());
        let role = project.found.and_then(|project| token.principal.role_on(reference, project.role));
        match role {
            Some(role) => {
                Ok(Authorization { principal: token.principal, role, freshness, keys: token.generation })
            }
            None => Err(GateError::NoProject(reference.to_owned())),
        }
    }
}

/// Makes the key of a request's token and of these parts of the request; `None` without a token that may be a good one.
pub fn fingerprint<const PARTS: usize>(headers: &HeaderMap, parts: [&[u8]; PARTS]) -> Option<Fingerprint> {
    let token = bearer_token(headers).ok().filter(|token| token.len() <= MAXIMUM_TOKEN_BYTES)?;
    Some(Fingerprint::of_request(token, parts))
}

/// Reads the token of an `Authorization: Bearer` header (RFC 6750 §2.1).
fn bearer_token(headers: &HeaderMap) -> Result<&str, TokenError> {
    let header = headers.get(AUTHORIZATION).ok_or(TokenError::Missing)?;
    let text = header.to_str().map_err(|_| TokenError::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(TokenError::Missing),
    }
}
